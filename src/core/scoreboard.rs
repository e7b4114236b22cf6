//! Shared memory in which each worker says what it is doing: one slot for a worker.
//!
//! A slot has one writer, its worker, and any number of readers (`status`, deadlines, watchdog).
//! Every word is an independent atomic with relaxed order: readers want recent, not consistent.
//! The memory is a memfd that the master creates and hands down; it outlives every worker, so that
//! the counters of a dead one can still be read.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::sys::SharedWords;

/// Words of a slot; 128 bytes, so that two workers never write to one cache line.
const SLOT_WORDS: usize = 16;

const REQUESTS: usize = 0;
const RUNNING: usize = 1;
const CONNECTIONS: usize = 2;
const EXCEPTIONS: usize = 3;
const BYTES_SENT: usize = 4;

/// The whole of the shared memory.
#[derive(Debug, Clone)]
pub struct Scoreboard {
    words: Arc<SharedWords>,
    memory: Arc<OwnedFd>,
}

impl Scoreboard {
    /// Creates the memory for `slots` workers, all zero.
    ///
    /// # Errors
    /// Those of memfd_create(2), ftruncate(2) and mmap(2).
    pub fn create(slots: usize) -> io::Result<Self> {
        let memory = memfd_create(c"rwsgi-scoreboard", MFdFlags::MFD_CLOEXEC)?;
        let bytes = slots.max(1) * SLOT_WORDS * size_of::<u64>();
        let bytes = i64::try_from(bytes).map_err(|_| io::ErrorKind::InvalidInput)?;
        nix::unistd::ftruncate(&memory, bytes)?;
        Self::open(memory, slots)
    }

    /// Maps the memory that the master has handed down.
    ///
    /// # Errors
    /// Those of mmap(2); EINVAL when it is smaller than `slots` need.
    pub fn open(memory: OwnedFd, slots: usize) -> io::Result<Self> {
        let words = SharedWords::map(memory.as_fd(), slots.max(1) * SLOT_WORDS)?;
        Ok(Self { words: Arc::new(words), memory: Arc::new(memory) })
    }

    /// The memfd, to hand on.
    pub fn memory(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }

    /// The slot of one worker; `None` beyond the last.
    pub fn slot(&self, index: usize) -> Option<Slot> {
        let start = index.checked_mul(SLOT_WORDS)?;
        (start + SLOT_WORDS <= self.words.words().len())
            .then(|| Slot { words: Arc::clone(&self.words), start })
    }

    /// What all workers together have done since the master started.
    pub fn total(&self) -> Counters {
        let slots = self.words.words().len() / SLOT_WORDS;
        (0..slots).filter_map(|index| self.slot(index)).fold(Counters::default(), |sum, slot| {
            let one = slot.read();
            Counters {
                requests: sum.requests + one.requests,
                running: sum.running + one.running,
                connections: sum.connections + one.connections,
                exceptions: sum.exceptions + one.exceptions,
                bytes_sent: sum.bytes_sent + one.bytes_sent,
            }
        })
    }
}

/// One reading of a slot, or a sum of several.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counters {
    /// Requests that were answered, by every worker that ever had this slot.
    pub requests: u64,
    /// Requests that the application is working on now.
    pub running: u64,
    /// Client connections that are open now.
    pub connections: u64,
    /// Requests in which the application raised.
    pub exceptions: u64,
    /// Bytes of response bodies.
    pub bytes_sent: u64,
}

/// The words of one worker.
#[derive(Debug, Clone)]
pub struct Slot {
    words: Arc<SharedWords>,
    start: usize,
}

impl Slot {
    fn word(&self, index: usize) -> &AtomicU64 {
        &self.words.words()[self.start + index]
    }

    /// A new worker takes the slot: what is counted since the start stays, what is now begins at 0.
    pub fn take(&self) {
        self.word(RUNNING).store(0, Relaxed);
        self.word(CONNECTIONS).store(0, Relaxed);
    }

    /// The application is called for a request.
    pub fn begin_request(&self) {
        self.word(RUNNING).fetch_add(1, Relaxed);
    }

    /// The application has done with a request.
    pub fn end_request(&self) {
        self.word(RUNNING).fetch_sub(1, Relaxed);
    }

    /// A response has left, or broke off, after `bytes` of its body.
    pub fn count_response(&self, bytes: u64) {
        self.word(REQUESTS).fetch_add(1, Relaxed);
        self.word(BYTES_SENT).fetch_add(bytes, Relaxed);
    }

    /// The application raised.
    pub fn count_exception(&self) {
        self.word(EXCEPTIONS).fetch_add(1, Relaxed);
    }

    /// The number of open client connections is now `count`.
    pub fn set_connections(&self, count: u64) {
        self.word(CONNECTIONS).store(count, Relaxed);
    }

    /// Reads the counters.
    pub fn read(&self) -> Counters {
        Counters {
            requests: self.word(REQUESTS).load(Relaxed),
            running: self.word(RUNNING).load(Relaxed),
            connections: self.word(CONNECTIONS).load(Relaxed),
            exceptions: self.word(EXCEPTIONS).load(Relaxed),
            bytes_sent: self.word(BYTES_SENT).load(Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_mapping_writes_the_other_reads() {
        let master = Scoreboard::create(2).unwrap();
        let memory = master.memory().try_clone_to_owned().unwrap();
        let worker = Scoreboard::open(memory, 2).unwrap();
        let slot = worker.slot(1).unwrap();
        slot.begin_request();
        slot.count_response(10);
        assert_eq!(master.slot(1).unwrap().read().bytes_sent, 10);
        assert_eq!(master.slot(0).unwrap().read(), Counters::default());
        assert_eq!(master.total().running, 1);
        assert!(master.slot(2).is_none());
    }

    #[test]
    fn a_successor_keeps_the_sums_and_forgets_the_present() {
        let board = Scoreboard::create(1).unwrap();
        let slot = board.slot(0).unwrap();
        slot.begin_request();
        slot.count_response(1);
        slot.take();
        assert_eq!(slot.read(), Counters { requests: 1, bytes_sent: 1, ..Counters::default() });
    }

    #[test]
    fn memory_that_is_too_small_is_refused() {
        let board = Scoreboard::create(1).unwrap();
        let memory = board.memory().try_clone_to_owned().unwrap();
        assert!(Scoreboard::open(memory, 2).is_err());
    }
}
