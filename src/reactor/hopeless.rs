//! Tasks whose jobs will not be run, as they have waited for too long, or too many with them.
//!
//! While the leader runs short jobs, requests wait where nobody has read them. So each has its turn, is
//! read, and is told.

use std::cell::Cell;
use std::time::Duration;

use crate::queue::Bounds;
use crate::reactor::Reactor;

/// What becomes of the job of the task that this thread polls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Good,
    /// Too many wait.
    Crowded,
    /// It has waited for so long.
    Late(Duration),
}

thread_local! {
    static PLACE: Cell<Place> = const { Cell::new(Place::Good) };
}

/// That of the task that this thread polls.
pub(crate) fn place() -> Place {
    PLACE.get()
}

/// The same, for a job: another one of the task has not waited.
pub(crate) fn take_place() -> Place {
    PLACE.replace(Place::Good)
}

/// How many of the tasks that are polled next are to have no job run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Hopeless {
    /// As they have waited for too long: so long the first.
    late: usize,
    waited: Duration,
    /// As too many wait.
    crowded: usize,
}

impl Hopeless {
    /// Of so many tasks that may wait, beside the jobs in `line`: the oldest of those that are too many.
    pub(crate) fn find(reactor: &Reactor, bounds: Bounds, tasks: usize, line: usize) -> Self {
        let mut hopeless = Self::default();
        if tasks + line > bounds.most && reactor.have_waited(bounds.patience).0 > 0 {
            let tasks = reactor.have_waited(Duration::ZERO).0;
            hopeless.crowded = (tasks + line).saturating_sub(bounds.most).min(tasks);
        }
        // One has just come.
        if let Some(timeout) = bounds.timeout.filter(|_| tasks > 1) {
            (hopeless.late, hopeless.waited) = reactor.have_waited(timeout);
        }
        hopeless
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.late.max(self.crowded) == 0
    }

    /// Polls a task by `poll`, which says whether there was one, as one of those or not. Those have their
    /// refusals sent at once.
    pub(crate) fn mark(&mut self, reactor: &Reactor, poll: impl FnOnce() -> bool) -> bool {
        if self.is_empty() {
            return poll();
        }
        let place = if self.late > 0 { Place::Late(self.waited) } else { Place::Crowded };
        let mut polled = false;
        reactor.run_here(|| {
            PLACE.set(place);
            polled = poll();
            PLACE.set(Place::Good);
        });
        self.late = self.late.saturating_sub(1);
        self.crowded = self.crowded.saturating_sub(1);
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_marked_and_then_nobody() {
        let reactor = Reactor::new().unwrap();
        let waited = Duration::from_secs(2);
        let mut hopeless = Hopeless { late: 1, waited, crowded: 2 };
        let mut places = Vec::new();
        for _ in 0..3 {
            hopeless.mark(reactor, || {
                places.push(place());
                true
            });
        }
        assert_eq!(places, [Place::Late(waited), Place::Crowded, Place::Good]);
        assert_eq!(place(), Place::Good);
        hopeless.crowded = 1;
        let mut jobs = Vec::new();
        hopeless.mark(reactor, || {
            jobs.extend([take_place(), take_place()]);
            true
        });
        assert_eq!(jobs, [Place::Crowded, Place::Good]);
    }

    #[test]
    fn those_that_are_too_many_are_hopeless_once_one_has_waited() {
        let reactor = Reactor::new().unwrap();
        let bounds = |patience| Bounds { most: 2, patience, timeout: None };
        for _ in 0..5 {
            reactor.spawn(async {});
        }
        let find = |patience, line| Hopeless::find(reactor, bounds(patience), 5, line);
        assert_eq!(find(Duration::from_secs(3600), 0), Hopeless::default());
        assert_eq!(find(Duration::ZERO, 0).crowded, 3);
        assert_eq!(find(Duration::ZERO, 9).crowded, 5);
    }
}
