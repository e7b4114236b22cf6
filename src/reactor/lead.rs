//! Who leads: one word that tells which thread, and whether it is inside a job.
//!
//! ```text
//!            take                    begin_job
//!   free ───────────▶ leading(id) ───────────────▶ in_job(id, n)
//!    ▲ ▲                  │   ▲                       │     │
//!    │ └──── release ─────┘   └────── end_job ────────┘     │
//!    └───────────────── take / free_from ───────────────────┘
//! ```
//! Only who leads changes the word while it leads; while it is in a job others may take the lead
//! from it, and it finds out when the job ends. `n` counts jobs, so that a watcher can tell one long
//! job from two short ones.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

const ID_SHIFT: u32 = 48;
const IN_JOB: u64 = 1 << 47;
const COUNT: u64 = IN_JOB - 1;

/// A thread of the crew, 1 or more.
pub type Id = u16;

/// The word.
#[derive(Debug, Default)]
pub(crate) struct Lead {
    word: AtomicU64,
}

/// One reading of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word(u64);

impl Word {
    /// Who leads, or did when its job began.
    pub(crate) fn holder(self) -> Option<Id> {
        Id::try_from(self.0 >> ID_SHIFT).ok().filter(|id| *id != 0)
    }

    pub(crate) fn in_job(self) -> bool {
        self.0 & IN_JOB != 0
    }
}

impl Lead {
    pub(crate) fn read(&self) -> Word {
        Word(self.word.load(SeqCst))
    }

    /// Takes the lead if it is free, or, with `from_job`, if who has it is in a job.
    pub(crate) fn take(&self, me: Id, from_job: bool) -> bool {
        let word = self.read();
        let free = word.holder().is_none() || (from_job && word.in_job());
        free && self.replace(word, u64::from(me) << ID_SHIFT | word.0 & COUNT)
    }

    /// Frees the lead if nothing has changed since `seen`, which was in a job.
    pub(crate) fn free_from(&self, seen: Word) -> bool {
        seen.in_job() && self.replace(seen, seen.0 & COUNT)
    }

    /// `me`, who leads, begins a job.
    pub(crate) fn begin_job(&self, me: Id) {
        let count = (self.read().0 + 1) & COUNT;
        self.word.store(u64::from(me) << ID_SHIFT | IN_JOB | count, SeqCst);
    }

    /// `me` has done its job; `false` when somebody else has the lead now.
    pub(crate) fn end_job(&self, me: Id) -> bool {
        let word = self.read();
        word.holder() == Some(me) && word.in_job() && self.replace(word, word.0 & !IN_JOB)
    }

    /// `me` leads no longer, in a job or not; `false` when it did not lead any more.
    pub(crate) fn release(&self, me: Id) -> bool {
        let word = self.read();
        word.holder() == Some(me) && self.replace(word, word.0 & COUNT)
    }

    fn replace(&self, old: Word, new: u64) -> bool {
        self.word.compare_exchange(old.0, new, SeqCst, SeqCst).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_leads() {
        let lead = Lead::default();
        assert!(lead.take(1, true));
        assert!(!lead.take(2, true));
        assert!(lead.release(1));
        assert!(lead.take(2, false));
        assert!(!lead.release(1));
    }

    #[test]
    fn who_is_in_a_job_can_lose_the_lead_and_finds_out() {
        let lead = Lead::default();
        assert!(lead.take(1, false));
        lead.begin_job(1);
        assert!(!lead.take(2, false));
        assert!(lead.take(2, true));
        assert!(!lead.end_job(1));
        assert_eq!(lead.read().holder(), Some(2));
    }

    #[test]
    fn a_watcher_does_not_take_a_second_short_job_for_a_long_one() {
        let lead = Lead::default();
        assert!(lead.take(1, false));
        lead.begin_job(1);
        let seen = lead.read();
        assert!(lead.end_job(1));
        lead.begin_job(1);
        assert!(!lead.free_from(seen));
        let seen = lead.read();
        assert!(lead.free_from(seen));
        assert!(!lead.end_job(1));
        assert_eq!(lead.read().holder(), None);
    }
}
