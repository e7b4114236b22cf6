//! Who has sent SIGKILL: the kernel, for want of memory, or somebody else.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::cgroup::MemoryGroup;
use crate::reap::Exit;

/// How long deaths may come apart that the kernel counts together.
const TOGETHER: Duration = Duration::from_secs(2);

/// What the kernel has counted so far.
#[derive(Debug, Default)]
pub(crate) struct Oom {
    group: Option<MemoryGroup>,
    seen: u64,
    /// Deaths that were counted and of which nobody was told yet, until they are stale: they were
    /// those of other processes.
    open: Option<(u64, Instant)>,
}

impl Oom {
    /// From now on.
    pub(crate) fn new() -> Self {
        let group = MemoryGroup::own();
        let seen = group.as_ref().and_then(MemoryGroup::oom_kills).unwrap_or(0);
        Self { group, seen, open: None }
    }

    /// How a process ended that was killed by a signal which the master has not sent, with what it
    /// did `meanwhile`; and whether it was for want of memory.
    pub(crate) fn describe(&mut self, exit: Exit, meanwhile: &str) -> (String, bool) {
        let count = self.group.as_ref().and_then(MemoryGroup::oom_kills);
        let (Exit::Signal(Signal::SIGKILL, _), Some(count)) = (exit, count) else {
            return (exit.describe(meanwhile), false);
        };
        if self.claim(count, Instant::now()) {
            let limit = self.group.as_ref().and_then(MemoryGroup::limit);
            return (out_of_memory(limit, meanwhile), true);
        }
        let text = format!(
            "was killed by signal 9 (SIGKILL){meanwhile}, which somebody has sent: the kernel has not \
             run out of memory here"
        );
        (text, false)
    }

    /// Whether one of the deaths that the kernel has counted is to be told now.
    fn claim(&mut self, count: u64, now: Instant) -> bool {
        let open = match self.open.take() {
            Some((open, since)) if now.saturating_duration_since(since) < TOGETHER => open,
            Some(_) | None => 0,
        };
        let all = open + count.saturating_sub(self.seen);
        self.seen = count;
        if all > 1 {
            self.open = Some((all - 1, now));
        }
        all > 0
    }
}

fn out_of_memory(limit: Option<u64>, meanwhile: &str) -> String {
    let limit = match limit {
        Some(bytes) => format!("the processes of this service may use {} MiB", bytes >> 20),
        None => "the machine has none left".to_owned(),
    };
    format!(
        "was killed by the kernel (SIGKILL){meanwhile}, out of memory: {limit}. Fewer processes need \
         less, reload-on-uss and reload-on-memory-pressure replace who uses much in time; MemoryMax= of \
         the unit is the limit"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_death_that_the_kernel_counts_is_told_of_one_process() {
        let now = Instant::now();
        let mut oom = Oom { seen: 5, ..Oom::default() };
        assert!(!oom.claim(5, now));
        assert!(oom.claim(7, now));
        assert!(oom.claim(7, now + TOGETHER / 2));
        assert!(!oom.claim(7, now + TOGETHER / 2));
        assert!(oom.claim(8, now + TOGETHER));
    }

    #[test]
    fn deaths_of_other_processes_are_not_told_of_the_next_worker() {
        let now = Instant::now();
        let mut oom = Oom::default();
        assert!(oom.claim(3, now));
        assert!(!oom.claim(3, now + TOGETHER));
    }

    #[test]
    fn what_the_kernel_says_is_a_sentence_with_a_remedy() {
        let told = out_of_memory(Some(512 << 20), " while it ran GET /report (2.3 s)");
        assert!(told.starts_with("was killed by the kernel (SIGKILL) while it ran GET /report"));
        assert!(told.contains("may use 512 MiB") && told.contains("MemoryMax="), "{told}");
        let mut unknown = Oom::default();
        let (told, oom) = unknown.describe(Exit::Signal(Signal::SIGKILL, false), "");
        assert!(told.contains("or the kernel's") && !oom, "{told}");
    }
}
