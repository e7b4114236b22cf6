//! Entries that no sink has taken: how many, and why.

use super::{Entry, Event, Level};

/// What has been lost since it was last told.
#[derive(Debug, Default)]
pub(super) struct Loss {
    count: u64,
    why: String,
    /// A rotation has failed, and that was said.
    failed: bool,
}

impl Loss {
    /// So many more, for this reason; of several reasons the first is told.
    pub(super) fn add(&mut self, count: u64, why: impl std::fmt::Display) {
        if self.count == 0 && count > 0 {
            self.why = why.to_string();
        }
        self.count += count;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// A rotation has failed; whether that is news.
    pub(super) fn is_first_failure(&mut self) -> bool {
        !std::mem::replace(&mut self.failed, true)
    }

    /// A rotation has succeeded.
    pub(super) fn forgive(&mut self) {
        self.failed = false;
    }

    /// It has been told.
    pub(super) fn clear(&mut self) {
        self.count = 0;
    }

    /// What is to be told, if there is anything.
    pub(super) fn entry(&self) -> Option<Entry> {
        let Self { count, why, .. } = self;
        let (entries, were) = if *count == 1 { ("entry", "was") } else { ("entries", "were") };
        (*count > 0).then(|| {
            let message = format!("{count} log {entries} {were} lost: {why}");
            Entry::new(Level::Warning, Event::LogLost, message).number("RWSGI_LOST", count)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_counted_and_the_first_reason_is_told() {
        let mut loss = Loss::default();
        assert!(loss.entry().is_none());
        loss.add(0, "nothing");
        loss.add(1, "the disk is full");
        assert_eq!(loss.entry().unwrap().message, "1 log entry was lost: the disk is full");
        loss.add(2, "the log is too slow");
        assert_eq!(loss.entry().unwrap().message, "3 log entries were lost: the disk is full");
        loss.clear();
        assert!(loss.is_empty() && loss.entry().is_none());
    }
}
