//! How long jobs take, and what follows from that.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::moment::Moment;

/// How often the watcher looks while there is work. A job counts as long after one to two of it.
pub(crate) const TICK: Duration = Duration::from_millis(2);
/// Mean duration from which on it is measured whether jobs block.
const MAY_BLOCK: Duration = Duration::from_micros(500);
/// How long the first response of a round waits, and no longer than for the job that then runs.
pub(crate) const ROUND: Duration = Duration::from_millis(2);
/// Requests of a round at most.
const MOST: u64 = 32;
/// The same where newcomers wait who come in between two rounds, one by one, or jobs are short.
const FEW: u64 = 8;
/// Mean duration of jobs up to which a round has [`FEW`]: with more of them there is little left to win, and
/// a process that is killed would lose more responses.
const SHORT: Duration = Duration::from_micros(20);

/// The lesser of two times, if there are any; spelled out, since each look asks.
pub fn sooner(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// How long jobs take, as far as it decides who leads.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    pub(crate) mean_nanos: AtomicU64,
    pub(crate) blocks: AtomicBool,
}

impl Pace {
    /// Whether jobs are no longer than those that the watcher does not notice.
    pub(crate) fn is_short(&self) -> bool {
        self.mean_nanos.load(Relaxed) < TICK.as_nanos() as u64
    }

    /// How many requests make a round, beside newcomers or not.
    pub(crate) fn round(&self, crowded: bool) -> usize {
        let mean = self.mean_nanos.load(Relaxed);
        if mean == 0 {
            // None has been measured.
            return 1;
        }
        let is_few = crowded || mean < SHORT.as_nanos() as u64;
        (ROUND.as_nanos() as u64 / mean).clamp(1, if is_few { FEW } else { MOST }) as usize
    }

    /// Returns when the job ended.
    pub(crate) fn measure(&self, job: impl FnOnce()) -> Moment {
        let mean = self.mean_nanos.load(Relaxed);
        let may_block = mean > MAY_BLOCK.as_nanos() as u64;
        let cpu_before = if may_block { thread_cpu() } else { Duration::ZERO };
        let began = Moment::now();
        job();
        let ended = Moment::now();
        let nanos = ended.nanos().saturating_sub(began.nanos());
        self.mean_nanos.store(mean - mean / 8 + nanos / 8, Relaxed);
        let blocks = may_block && thread_cpu().saturating_sub(cpu_before) * 2 < ended - began;
        if blocks != self.blocks.load(Relaxed) {
            self.blocks.store(blocks, Relaxed);
        }
        ended
    }
}

fn thread_cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}
