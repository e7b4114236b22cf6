//! How much memory the workers use, looked at only where there is a limit to it.
//!
//! One sample above a limit means nothing (a large request is no leak): a worker is replaced after
//! several in a row.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::time::Instant;

use nix::errno::Errno;
use nix::unistd::{SysconfVar, sysconf};
use rwsgi_core::config::recycling::MemoryLimits;
use rwsgi_core::log::{self, Event as Said};

use crate::event::{Event, Key};
use crate::master::Master;
use crate::state::WorkerPhase;

/// Samples above a limit, one after the other, after which a worker is to be replaced.
const SEVERAL: u32 = 3;

/// What was seen at the last looks.
#[derive(Debug)]
pub(crate) struct Samples {
    looked: Instant,
    /// By worker: how many samples in a row were above a limit.
    above: BTreeMap<Key, u32>,
    /// It was told that memory cannot be read.
    is_told: bool,
}

impl Samples {
    pub(crate) fn new() -> Self {
        Self { looked: Instant::now(), above: BTreeMap::new(), is_told: false }
    }

    /// A sample of `key`, above a limit or not: whether there were enough of the former.
    fn note(&mut self, key: Key, is_above: bool) -> bool {
        let count = self.above.entry(key).or_default();
        *count = if is_above { count.saturating_add(1) } else { 0 };
        *count >= SEVERAL
    }
}

impl Master {
    /// When memory is to be looked at.
    pub(crate) fn memory_due(&self) -> Option<Instant> {
        let recycling = &self.instance.config.recycling;
        let looks = recycling.memory.is_some() && !self.state.is_stopping();
        looks.then(|| self.samples.looked + recycling.sample_every)
    }

    /// Takes a sample of each worker that serves, and has those replaced that use too much.
    pub(crate) fn look_at_memory(&mut self) {
        self.samples.looked = Instant::now();
        let recycling = self.instance.config.recycling;
        let now = self.now();
        self.samples.above.retain(|key, _| self.workers.contains_key(key));
        for (key, worker) in self.state.workers() {
            let is_of_interest =
                worker.phase == WorkerPhase::Ready && worker.generation == self.state.generation();
            let pid = self.workers.get(key).and_then(|worker| worker.pid);
            let Some(pid) = pid.filter(|_| is_of_interest) else { continue };
            let excess = match Usage::read(pid, &recycling.memory) {
                Ok(usage) => usage.excess(&recycling.memory),
                Err(error) => {
                    tell_unreadable(&mut self.samples, pid, &error);
                    continue;
                }
            };
            let is_too_much = self.samples.note(*key, excess.is_some());
            let is_grown_up = now.saturating_sub(worker.since) >= recycling.min_lifetime;
            if let (true, true, Some(why)) = (is_too_much, is_grown_up, excess) {
                self.queue.push_back(Event::Retire(*key, why));
            }
        }
    }
}

fn tell_unreadable(samples: &mut Samples, pid: i32, error: &io::Error) {
    // One that has just died is told of anyway.
    if error.raw_os_error() != Some(Errno::ESRCH as i32)
        && error.kind() != io::ErrorKind::NotFound
        && !std::mem::replace(&mut samples.is_told, true)
    {
        let message = format!("cannot see how much memory process {pid} uses: {error}");
        log::warning(Said::SystemError, message).send();
    }
}

/// What a process uses, in bytes; 0 where nobody asked.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    address_space: u64,
    pub(crate) rss: u64,
    pub(crate) pss: u64,
    pub(crate) uss: u64,
}

impl Usage {
    /// Reads as much as `limits` need: proportions cost the kernel a walk through all pages.
    pub(crate) fn read(pid: i32, limits: &MemoryLimits) -> io::Result<Self> {
        let mut usage = Self::default();
        if limits.rss.is_some() || limits.address_space.is_some() {
            usage.take_statm(&fs::read_to_string(format!("/proc/{pid}/statm"))?, page_size());
        }
        if limits.pss.is_some() || limits.uss.is_some() {
            usage.take_rollup(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?);
        }
        Ok(usage)
    }

    /// Reads all that smaps_rollup tells.
    pub(crate) fn whole(pid: i32) -> io::Result<Self> {
        let mut usage = Self::default();
        usage.take_rollup(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?);
        Ok(usage)
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            address_space: self.address_space + other.address_space,
            rss: self.rss + other.rss,
            pss: self.pss + other.pss,
            uss: self.uss + other.uss,
        }
    }

    /// The first two numbers of proc_pid_statm(5): pages of the address space, and resident ones.
    fn take_statm(&mut self, text: &str, page: u64) {
        let mut numbers = text.split_ascii_whitespace().map_while(|number| number.parse().ok());
        let mut bytes = || numbers.next().map_or(0, |pages: u64| pages.saturating_mul(page));
        (self.address_space, self.rss) = (bytes(), bytes());
    }

    /// Lines of proc_pid_smaps(5), such as `Pss:  123 kB`.
    fn take_rollup(&mut self, text: &str) {
        for line in text.lines() {
            let Some((name, value)) = line.split_once(':') else { continue };
            let number = value.trim().strip_suffix(" kB").and_then(|number| number.parse().ok());
            let bytes = number.map_or(0, |number: u64| number.saturating_mul(1024));
            match name {
                "Rss" if self.rss == 0 => self.rss = bytes,
                "Pss" => self.pss = bytes,
                "Private_Clean" | "Private_Dirty" | "Private_Hugetlb" => self.uss += bytes,
                _ => {}
            }
        }
    }

    /// Which limit it is above, in words.
    fn excess(&self, limits: &MemoryLimits) -> Option<String> {
        let all = [
            (self.rss, limits.rss, "memory", "rss"),
            (self.pss, limits.pss, "memory", "pss"),
            (self.uss, limits.uss, "memory of its own", "uss"),
            (self.address_space, limits.address_space, "address space", "as"),
        ];
        let above = |used: u64, limit: Option<u64>| limit.is_some_and(|limit| used > limit);
        all.into_iter().find(|(used, limit, ..)| above(*used, *limit)).map(
            |(used, limit, what, option)| {
                let (used, limit) = (used.div_ceil(1 << 20), limit.unwrap_or_default() >> 20);
                format!("it uses {used} MiB of {what}, more than {limit} (reload-on-{option})")
            },
        )
    }
}

/// Resident bytes of a process; 0 of one that is gone.
pub(crate) fn resident(pid: i32) -> u64 {
    let limits = MemoryLimits { rss: Some(0), ..Default::default() };
    Usage::read(pid, &limits).map_or(0, |usage| usage.rss)
}

fn page_size() -> u64 {
    let size = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
    size.and_then(|size| u64::try_from(size).ok()).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(limits: MemoryLimits) -> Usage {
        Usage::read(i32::try_from(std::process::id()).unwrap(), &limits).unwrap()
    }

    #[test]
    fn only_several_samples_in_a_row_are_too_much() {
        let mut samples = Samples::new();
        let seen = [true, true, false, true, true, true, true, false, true];
        let enough = seen.map(|is_above| samples.note(1, is_above));
        assert_eq!(enough, [false, false, false, false, false, true, true, false, false]);
        assert!(!samples.note(2, true));
    }

    #[test]
    fn a_process_is_seen_as_it_is() {
        let limits =
            MemoryLimits { rss: Some(1), pss: Some(1), uss: Some(1), ..Default::default() };
        let before = own(limits);
        let held = std::hint::black_box(vec![1_u8; 64 << 20]);
        let after = own(limits);
        for (before, after) in
            [(before.rss, after.rss), (before.pss, after.pss), (before.uss, after.uss)]
        {
            assert!(before > 1 << 18 && after >= before + (60 << 20), "{before} {after}");
        }
        assert!(after.address_space > after.rss && after.rss >= after.pss);
        assert!(after.pss >= after.uss);
        drop(held);
    }

    #[test]
    fn what_nobody_asked_for_is_not_read() {
        let limits = MemoryLimits { rss: Some(1), ..Default::default() };
        assert_eq!((own(limits).pss, own(limits).uss), (0, 0));
        let gone = Usage::read(i32::MAX, &limits).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn numbers_are_read_by_their_names() {
        let mut usage = Usage::default();
        usage.take_statm("1000 250 90 1 0 300 0\n", 4096);
        usage.take_rollup(
            "55-7f ---p 00000000 00:00 0    [rollup]\nRss:      900 kB\nPss:      700 kB\n\
             Pss_Anon: 650 kB\nShared_Clean: 8 kB\nPrivate_Clean:  16 kB\nPrivate_Dirty: 600 kB\n",
        );
        let (pss, uss) = (700 << 10, 616 << 10);
        assert_eq!(usage, Usage { address_space: 4_096_000, rss: 1_024_000, pss, uss });
        let mut nothing = Usage::default();
        nothing.take_statm("", 4096);
        nothing.take_rollup("Pss: many kB\nPss\n");
        assert_eq!(nothing, Usage::default());
    }

    #[test]
    fn an_excess_names_its_option() {
        let usage = Usage { address_space: 9 << 30, rss: (530 << 20) - 1, pss: 0, uss: 3 << 20 };
        let limit = |megabytes: u64| Some(megabytes << 20);
        let limits = MemoryLimits { rss: limit(512), ..Default::default() };
        let why = "it uses 530 MiB of memory, more than 512 (reload-on-rss)";
        assert_eq!(usage.excess(&limits).as_deref(), Some(why));
        let limits = MemoryLimits { uss: limit(2), rss: limit(530), ..Default::default() };
        let why = "it uses 3 MiB of memory of its own, more than 2 (reload-on-uss)";
        assert_eq!(usage.excess(&limits).as_deref(), Some(why));
        let limits = MemoryLimits { uss: limit(3), pss: limit(1), ..Default::default() };
        assert_eq!(usage.excess(&limits), None);
    }
}
