//! For how long those in a queue have waited, without a clock for each: who was found by the same look
//! has come at the same time.

use std::collections::VecDeque;
use std::time::Duration;

/// A time between two looks that says that this process was stopped: nobody ran or waited meanwhile. A busy
/// machine is slow by less.
pub(crate) const JUMP: Duration = Duration::from_secs(1);

/// Times are those of looks, in nanoseconds on a clock of who owns this.
#[derive(Debug, Default)]
pub(crate) struct Ages {
    /// When, and how many, the oldest first.
    looks: VecDeque<(u64, usize)>,
}

impl Ages {
    /// One more at the end of the queue, found by the last look.
    pub(crate) fn push(&mut self, looked: u64) {
        match self.looks.back_mut() {
            Some((when, count)) if *when == looked => *count += 1,
            _ => self.looks.push_back((looked, 1)),
        }
    }

    /// The first has left.
    pub(crate) fn pop(&mut self) {
        if let Some((_, count)) = self.looks.front_mut() {
            *count -= 1;
            if *count == 0 {
                self.looks.pop_front();
            }
        }
    }

    /// How many have waited for `time` or longer, and for how long the first has.
    pub(crate) fn have_waited(&self, now: u64, time: Duration) -> (usize, Duration) {
        let age = |when: u64| Duration::from_nanos(now.saturating_sub(when));
        let oldest = self.looks.front().map_or(Duration::ZERO, |(when, _)| age(*when));
        let late = self.looks.iter().take_while(|(when, _)| age(*when) >= time);
        (late.map(|(_, count)| count).sum(), oldest)
    }

    /// There is another look `now`; the last one was at `looked`.
    pub(crate) fn look(&mut self, looked: u64, now: u64) {
        let passed = now.saturating_sub(looked);
        if Duration::from_nanos(passed) > JUMP {
            self.looks.iter_mut().for_each(|(when, _)| *when = (*when + passed).min(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> u64 {
        millis * 1_000_000
    }

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn who_was_found_by_a_look_has_waited_since() {
        let mut ages = Ages::default();
        assert_eq!(ages.have_waited(at(9), millis(0)), (0, millis(0)));
        [1, 1, 4, 9].map(at).into_iter().for_each(|looked| ages.push(looked));
        assert_eq!(ages.have_waited(at(11), millis(7)), (3, millis(10)));
        assert_eq!(ages.have_waited(at(11), millis(11)), (0, millis(10)));
        ages.pop();
        assert_eq!(ages.have_waited(at(11), millis(7)), (2, millis(10)));
        ages.pop();
        assert_eq!(ages.have_waited(at(11), millis(2)), (2, millis(7)));
    }

    #[test]
    fn the_time_of_a_stopped_process_does_not_count() {
        let mut ages = Ages::default();
        ages.push(at(100));
        ages.look(at(100), at(900));
        assert_eq!(ages.have_waited(at(900), millis(1)), (1, millis(800)));
        ages.look(at(900), at(9900));
        assert_eq!(ages.have_waited(at(9900), millis(1)), (1, millis(800)));
    }
}
