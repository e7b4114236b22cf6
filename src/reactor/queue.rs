//! Jobs that wait for a hand: how many may, and for how long.
//!
//! While a hand leads, it is the task that waits, to be polled: what it submits is run at once, and the
//! clock is not read for it. Time begins here when all hands are busy, which the watcher knows.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::ages::JUMP;

/// What may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Jobs that wait while all hands are busy.
    pub most: usize,
    /// How long the first of more than these has waited, at least, when the others are turned away.
    pub patience: Duration,
    /// How long each; `None`: as long as it takes.
    pub timeout: Option<Duration>,
}

/// The jobs, the oldest first.
#[derive(Debug)]
pub(crate) struct Queue<J> {
    jobs: VecDeque<Waiting<J>>,
    bounds: Bounds,
    looked: Option<Instant>,
}

#[derive(Debug)]
struct Waiting<J> {
    job: J,
    /// Since when all hands are busy, as far as it has waited for that long.
    since: Option<Instant>,
    /// A hand was free, or about to be: it does not count how many wait.
    is_admitted: bool,
}

impl<J> Waiting<J> {
    fn age(&self, now: Instant) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now - since)
    }
}

impl<J> Queue<J> {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self { jobs: VecDeque::new(), bounds, looked: None }
    }

    pub(crate) fn len(&self) -> usize {
        self.jobs.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// A job for a hand that is about to take it.
    pub(crate) fn push(&mut self, job: J) {
        self.jobs.push_back(Waiting { job, since: None, is_admitted: true });
    }

    /// A job that has to wait.
    pub(crate) fn push_waiting(&mut self, job: J, now: Instant) {
        self.jobs.push_back(Waiting { job, since: Some(now), is_admitted: false });
    }

    /// Whether another job may wait.
    pub(crate) fn has_room(&self) -> bool {
        self.jobs.len() < self.bounds.most
    }

    pub(crate) fn pop(&mut self) -> Option<J> {
        self.jobs.pop_front().map(|waiting| waiting.job)
    }

    /// All hands have become busy.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.stamp(now);
    }

    /// The jobs that have waited for too long, and for how long.
    pub(crate) fn look(&mut self, now: Instant) -> Vec<(J, Duration)> {
        self.stamp(now);
        let Some(timeout) = self.bounds.timeout else { return Vec::new() };
        let late = self.jobs.iter().take_while(|waiting| waiting.age(now) >= timeout).count();
        self.jobs
            .drain(..late)
            .map(|late| {
                let age = late.age(now);
                (late.job, age)
            })
            .collect()
    }

    /// The last of those that are too many, but for `free` hands.
    pub(crate) fn surplus(&mut self, now: Instant, free: usize) -> Vec<J> {
        let most = self.bounds.most.saturating_add(free);
        let is_patient =
            self.jobs.front().is_none_or(|first| first.age(now) < self.bounds.patience);
        if is_patient || self.jobs.len() <= most {
            return Vec::new();
        }
        let beyond = self.jobs.split_off(most).into_iter();
        let (mut admitted, surplus): (VecDeque<_>, VecDeque<_>) =
            beyond.partition(|waiting| waiting.is_admitted);
        self.jobs.append(&mut admitted);
        surplus.into_iter().map(|waiting| waiting.job).collect()
    }

    /// Who waits since an unknown moment waits since now; who was stopped with this process, for less.
    fn stamp(&mut self, now: Instant) {
        let passed = self.looked.replace(now).map_or(Duration::ZERO, |last| now - last);
        let forgiven = if passed > JUMP { passed } else { Duration::ZERO };
        for waiting in &mut self.jobs {
            let since = waiting.since.get_or_insert(now);
            *since = (*since + forgiven).min(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// With `timeout` and `patience` in milliseconds.
    fn patient(most: usize, patience: u64, timeout: u64) -> (Queue<u32>, Instant) {
        let timeout = (timeout > 0).then_some(millis(timeout));
        (Queue::new(Bounds { most, patience: millis(patience), timeout }), Instant::now())
    }

    fn queue(most: usize, timeout: u64) -> (Queue<u32>, Instant) {
        patient(most, 0, timeout)
    }

    fn jobs(late: Vec<(u32, Duration)>) -> Vec<u32> {
        late.into_iter().map(|(job, _)| job).collect()
    }

    #[test]
    fn beyond_the_bound_the_last_are_handed_back() {
        let (mut queue, now) = queue(1, 0);
        queue.push_waiting(1, now);
        assert!(!queue.has_room());
        assert_eq!(queue.surplus(now, 0), []);
        (2..5).for_each(|job| queue.push_waiting(job, now));
        assert_eq!(queue.surplus(now, 0), [2, 3, 4]);
        assert_eq!(queue.pop(), Some(1));
        queue.push_waiting(5, now);
        assert_eq!(queue.surplus(now, 0), []);
    }

    #[test]
    fn nobody_is_handed_back_before_somebody_has_waited_for_a_while() {
        let (mut queue, start) = patient(1, 100, 0);
        (1..4).for_each(|job| queue.push_waiting(job, start));
        assert_eq!(queue.surplus(start + millis(99), 0), []);
        assert_eq!(queue.pop(), Some(1));
        queue.push_waiting(4, start + millis(99));
        assert_eq!(queue.surplus(start + millis(100), 0), [3, 4]);
    }

    #[test]
    fn who_was_to_be_run_is_not_handed_back() {
        let (mut queue, now) = queue(1, 0);
        queue.push_waiting(1, now);
        queue.push(2);
        queue.push_waiting(3, now);
        queue.begin(now);
        assert_eq!(queue.surplus(now, 0), [3]);
        assert_eq!((queue.pop(), queue.pop(), queue.pop()), (Some(1), Some(2), None));
    }

    #[test]
    fn a_free_hand_makes_room_even_where_none_may_wait() {
        let (mut queue, now) = queue(0, 0);
        (1..3).for_each(|job| queue.push_waiting(job, now));
        assert_eq!(queue.surplus(now, 1), [2]);
        assert_eq!(queue.surplus(now, 0), [1]);
    }

    #[test]
    fn who_has_waited_for_too_long_leaves_in_order() {
        let (mut queue, start) = queue(9, 500);
        queue.begin(start);
        queue.push_waiting(1, start);
        queue.push_waiting(2, start + millis(100));
        assert_eq!(queue.look(start + millis(499)), []);
        assert_eq!(queue.look(start + millis(500)), [(1, millis(500))]);
        assert_eq!(queue.look(start + millis(610)), [(2, millis(510))]);
        assert!(queue.is_empty());
    }

    #[test]
    fn the_wait_begins_when_all_hands_are_busy() {
        let (mut queue, start) = queue(9, 500);
        queue.push(1);
        queue.begin(start + millis(400));
        assert_eq!(queue.look(start + millis(800)), []);
        assert_eq!(jobs(queue.look(start + millis(900))), [1]);
    }

    #[test]
    fn without_a_timeout_nobody_leaves() {
        let (mut queue, start) = queue(9, 0);
        queue.push_waiting(1, start);
        assert_eq!(queue.look(start + Duration::from_secs(86_400)), []);
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn the_time_of_a_stopped_process_does_not_count() {
        let (mut queue, start) = queue(9, 500);
        queue.begin(start);
        queue.push_waiting(1, start);
        assert_eq!(queue.look(start + millis(300)), []);
        let awake = start + Duration::from_secs(3600);
        assert_eq!(queue.look(awake), []);
        assert_eq!(queue.look(awake + millis(199)), []);
        assert_eq!(jobs(queue.look(awake + millis(200))), [1]);
    }

    proptest::proptest! {
        #[test]
        fn each_job_leaves_once_in_order_and_not_early(steps in proptest::collection::vec((0_u8..4, 0_u64..900), 1..200)) {
            let (mut queue, mut now) = queue(5, 700);
            queue.begin(now);
            let (mut next, mut left, mut begun) = (0_u32, Vec::new(), Vec::new());
            for (step, pause) in steps {
                now += millis(pause);
                match step {
                    0 | 1 => {
                        queue.push_waiting(next, now);
                        let refused = queue.surplus(now, 0);
                        if refused.is_empty() {
                            begun.push((next, now));
                        } else {
                            proptest::prop_assert_eq!((refused, queue.len()), (vec![next], 5));
                        }
                        next += 1;
                    }
                    2 => left.extend(queue.pop()),
                    _ => {
                        for (job, waited) in queue.look(now) {
                            let since = begun.iter().find(|(one, _)| *one == job).unwrap().1;
                            proptest::prop_assert!(waited >= millis(700) && now - since >= waited);
                            left.push(job);
                        }
                    }
                }
                proptest::prop_assert!(queue.len() <= 5);
            }
            while let Some(job) = queue.pop() {
                left.push(job);
            }
            proptest::prop_assert_eq!(left, begun.into_iter().map(|(job, _)| job).collect::<Vec<_>>());
        }
    }
}
