//! Shared memory in which each worker says what it is doing: one slot for a worker.
//!
//! A slot has one writer, its worker (before that is forked: the master), and any number of readers
//! (`status`, deadlines, watchdog). Every counter is an independent atomic with relaxed order:
//! readers want recent, not consistent.
//! The memory is a memfd that the master creates and hands down; it outlives every worker, so that
//! the counters of a dead one can still be read.
//!
//! First come the counters of all workers, then what each of them runs ([`crate::running`]): the
//! latter is large, and only the pages of workers that exist ever become memory. At the end is the
//! word of the pause, which the master writes and every worker reads before each call.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

use crate::memory;

use crate::durations::{self, Durations};
use crate::request_id::RequestId;
use crate::running::{self, Entries, Running};
use crate::sys::SharedWords;

/// What the words mean. A program with another layout cannot take over from a master whose workers
/// write in this one: it goes up whenever an older reader would misread a newer writer, or the reverse.
pub const LAYOUT: u32 = 2;

const _: () = assert!(
    SLOT_WORDS == 16 && running::WORDS == 64 * 32,
    "the layout has changed: give it a number of its own"
);

/// Words of the counters of a slot; 128 bytes, so that two workers never write to one cache line.
const SLOT_WORDS: usize = 16;

const REQUESTS: usize = 0;
const RUNNING: usize = 1;
const CONNECTIONS: usize = 2;
const EXCEPTIONS: usize = 3;
const BYTES_SENT: usize = 4;
const WAITING: usize = 5;
const TURNED_AWAY: usize = 6;
const TEAM: usize = 7;
const NAME: usize = 8;
/// How long requests took, two counts of 32 bits in a word. A count that overflows adds one to its
/// neighbour, once in four thousand million requests.
const DURATIONS: usize = 9;

const _: () = assert!(DURATIONS + durations::BUCKETS / 2 == SLOT_WORDS);

/// The whole of the shared memory.
#[derive(Debug, Clone)]
pub struct Scoreboard {
    words: Arc<SharedWords>,
    memory: Arc<OwnedFd>,
    slots: usize,
}

impl Scoreboard {
    /// Creates the memory for `slots` workers, all zero.
    ///
    /// # Errors
    /// Those of [`memory::create`] and mmap(2).
    pub fn create(slots: usize) -> io::Result<Self> {
        Self::open(memory::create(c"rwsgi-scoreboard", Self::size(slots))?, slots)
    }

    /// The bytes of the memory for `slots` workers.
    pub fn size(slots: usize) -> usize {
        words(slots) * size_of::<u64>()
    }

    /// Maps the memory that the master has handed down.
    ///
    /// # Errors
    /// Those of mmap(2); EINVAL when it is smaller than `slots` need.
    pub fn open(memory: OwnedFd, slots: usize) -> io::Result<Self> {
        let words = SharedWords::map(memory.as_fd(), words(slots))?;
        Ok(Self { words: Arc::new(words), memory: Arc::new(memory), slots: slots.max(1) })
    }

    /// The memfd, to hand on.
    pub fn memory(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }

    /// The slot of one worker; `None` beyond the last.
    pub fn slot(&self, index: usize) -> Option<Slot> {
        let running = self.slots * SLOT_WORDS + index.checked_mul(running::WORDS)?;
        let start = index * SLOT_WORDS;
        let words = || Arc::clone(&self.words);
        let pause = self.words.words().len() - SLOT_WORDS;
        (index < self.slots).then(|| Slot { words: words(), start, running, pause })
    }

    /// From now on no worker lets a request reach the application (a number other than 0), or all do
    /// again (0). Who does not see this yet has its request among the running ones already.
    pub fn set_pause(&self, number: u64) {
        self.words.words()[self.words.words().len() - SLOT_WORDS].store(number, SeqCst);
    }

    /// Whether a worker of `team`, other than that of `own`, takes newcomers, has nobody wait and runs fewer
    /// requests than it has `threads`.
    pub fn has_idle_beside(&self, own: &Slot, team: u64, threads: u64) -> bool {
        (0..self.slots).filter_map(|index| self.slot(index)).any(|slot| {
            slot.start != own.start
                && slot.word(WAITING).load(Relaxed) == 0
                && slot.word(TEAM).load(Relaxed) == team
                && slot.word(RUNNING).load(Relaxed) < threads
        })
    }

    /// How long the requests of all workers took, since the master started.
    pub fn durations(&self) -> Durations {
        let slots = (0..self.slots).filter_map(|index| self.slot(index));
        slots.fold(Durations::default(), |sum, slot| sum.plus(slot.durations()))
    }

    /// What all workers together have done, and what was counted before the master started
    /// ([`Slot::begin_with`]).
    pub fn total(&self) -> Counters {
        (0..self.slots).filter_map(|index| self.slot(index)).fold(
            Counters::default(),
            |sum, slot| {
                let one = slot.read();
                Counters {
                    requests: sum.requests.saturating_add(one.requests),
                    running: sum.running.saturating_add(one.running),
                    connections: sum.connections.saturating_add(one.connections),
                    exceptions: sum.exceptions.saturating_add(one.exceptions),
                    bytes_sent: sum.bytes_sent.saturating_add(one.bytes_sent),
                    waiting: sum.waiting.saturating_add(one.waiting),
                    turned_away: sum.turned_away.saturating_add(one.turned_away),
                }
            },
        )
    }
}

/// The size of the memory for `slots` workers.
fn words(slots: usize) -> usize {
    slots.max(1) * (SLOT_WORDS + running::WORDS) + SLOT_WORDS
}

/// One reading of a slot, or a sum of several.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
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
    /// Requests that wait for a thread now, while all threads of their worker are busy.
    pub waiting: u64,
    /// Requests that were answered with 503, as no thread was free in time.
    pub turned_away: u64,
}

/// The words of one worker.
#[derive(Debug, Clone)]
pub struct Slot {
    words: Arc<SharedWords>,
    start: usize,
    running: usize,
    pause: usize,
}

impl Slot {
    fn word(&self, index: usize) -> &AtomicU64 {
        &self.words.words()[self.start + index]
    }

    fn entries(&self) -> Entries<'_> {
        Entries(&self.words.words()[self.running..self.running + running::WORDS])
    }

    /// A new worker takes the slot: what is counted since the start stays, what is now begins at 0.
    ///
    /// `name` is the worker's number in the names of its requests.
    pub fn take(&self, name: u64) {
        self.word(NAME).store(name, Relaxed);
        self.word(RUNNING).store(0, Relaxed);
        self.word(CONNECTIONS).store(0, Relaxed);
        self.word(WAITING).store(0, Relaxed);
        self.word(TEAM).store(0, Relaxed);
        self.entries().clear();
    }

    /// Thread `thread` (1 or more) calls the application for a request. A few stores: no system call,
    /// no allocation.
    pub fn begin_request(&self, thread: u16, id: &RequestId, method: &str, path: impl AsRef<[u8]>) {
        self.entries().begin(thread, id, method, path);
        self.word(RUNNING).fetch_add(1, SeqCst);
    }

    /// The application has done with the request of thread `thread`. Returns how many run now.
    pub fn end_request(&self, thread: u16) -> u64 {
        self.entries().end(thread);
        self.word(RUNNING).fetch_sub(1, SeqCst).saturating_sub(1)
    }

    /// The number of the pause, 0 when there is none. To be read after
    /// [`begin_request`](Self::begin_request): either the request sees the pause, or who paused sees
    /// the request.
    pub fn pause(&self) -> u64 {
        self.words.words()[self.pause].load(SeqCst)
    }

    /// Ends a pause that nobody is left to end: the master is gone.
    pub fn end_pause(&self) {
        self.words.words()[self.pause].store(0, SeqCst);
    }

    /// Before there is a worker: others have counted so much where this scoreboard goes on.
    pub fn begin_with(&self, sums: Counters) {
        self.word(REQUESTS).store(sums.requests, Relaxed);
        self.word(EXCEPTIONS).store(sums.exceptions, Relaxed);
        self.word(BYTES_SENT).store(sums.bytes_sent, Relaxed);
        self.word(TURNED_AWAY).store(sums.turned_away, Relaxed);
    }

    /// The requests that run, or ran when the worker died; the longest first.
    pub fn running(&self) -> Vec<Running> {
        self.entries().read(self.word(NAME).load(Relaxed))
    }

    /// How many requests thread `thread` (1 or more) of this worker has begun.
    pub fn begun(&self, thread: u16) -> u64 {
        self.entries().begun(thread)
    }

    /// A response has left, or broke off, after `bytes` of its body, so long after its request came.
    /// Returns how many there were, of every worker that ever had this slot.
    pub fn count_response(&self, bytes: u64, took: Duration) -> u64 {
        self.word(BYTES_SENT).fetch_add(bytes, Relaxed);
        let bucket = durations::bucket(took);
        self.word(DURATIONS + bucket / 2).fetch_add(1 << (32 * (bucket % 2)), Relaxed);
        self.word(REQUESTS).fetch_add(1, Relaxed) + 1
    }

    fn durations(&self) -> Durations {
        let word = |index: usize| self.word(DURATIONS + index / 2).load(Relaxed);
        Durations(std::array::from_fn(|index| (word(index) >> (32 * (index % 2))) as u32))
    }

    /// The application raised.
    pub fn count_exception(&self) {
        self.word(EXCEPTIONS).fetch_add(1, Relaxed);
    }

    /// The number of open client connections is now `count`.
    pub fn set_connections(&self, count: u64) {
        self.word(CONNECTIONS).store(count, Relaxed);
    }

    /// So many requests wait for a thread.
    pub fn set_waiting(&self, count: u64) {
        self.word(WAITING).store(count, Relaxed);
    }

    /// A request was answered with 503 before the application has seen it.
    pub fn count_turned_away(&self) {
        self.word(TURNED_AWAY).fetch_add(1, Relaxed);
    }

    /// The worker takes newcomers from the workers of `team`; 0: it does not.
    pub fn set_team(&self, team: u64) {
        self.word(TEAM).store(team, Relaxed);
    }

    /// Reads the counters.
    pub fn read(&self) -> Counters {
        Counters {
            requests: self.word(REQUESTS).load(Relaxed),
            running: self.word(RUNNING).load(SeqCst),
            connections: self.word(CONNECTIONS).load(Relaxed),
            exceptions: self.word(EXCEPTIONS).load(Relaxed),
            bytes_sent: self.word(BYTES_SENT).load(Relaxed),
            waiting: self.word(WAITING).load(Relaxed),
            turned_away: self.word(TURNED_AWAY).load(Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: RequestId = RequestId::Own { worker: 7, number: 3 };

    #[test]
    fn what_one_mapping_writes_the_other_reads() {
        let master = Scoreboard::create(2).unwrap();
        let memory = master.memory().try_clone_to_owned().unwrap();
        let worker = Scoreboard::open(memory, 2).unwrap();
        let slot = worker.slot(1).unwrap();
        slot.begin_request(1, &ID, "GET", "/reports/7");
        slot.count_response(10, Duration::from_millis(3));
        assert_eq!(master.slot(1).unwrap().read().bytes_sent, 10);
        assert_eq!(master.slot(0).unwrap().read(), Counters::default());
        assert_eq!(master.total().running, 1);
        let running = master.slot(1).unwrap().running();
        assert_eq!((running.len(), running[0].path.as_str()), (1, "/reports/7"));
        assert_eq!(running[0].id, RequestId::Own { worker: 0, number: 3 });
        assert_eq!(master.slot(0).unwrap().running(), []);
        assert!(master.slot(2).is_none());
    }

    #[test]
    fn a_worker_is_idle_that_takes_newcomers_of_the_team_and_has_a_thread() {
        let board = Scoreboard::create(3).unwrap();
        let slots: Vec<_> = (0..3).filter_map(|index| board.slot(index)).collect();
        let other = &slots[1];
        assert!(!board.has_idle_beside(other, 7, 1));
        slots[0].set_team(8);
        slots[2].set_team(7);
        assert!(board.has_idle_beside(other, 7, 1) && !board.has_idle_beside(&slots[2], 7, 1));
        slots[2].set_waiting(1);
        assert!(!board.has_idle_beside(other, 7, u64::MAX));
        slots[2].set_waiting(0);
        slots[2].begin_request(1, &ID, "GET", "/");
        assert!(!board.has_idle_beside(other, 7, 1) && board.has_idle_beside(other, 7, 2));
        slots[2].take(7);
        assert!(!board.has_idle_beside(other, 7, 2));
    }

    #[test]
    fn a_successor_keeps_the_sums_and_forgets_the_present() {
        let board = Scoreboard::create(1).unwrap();
        let slot = board.slot(0).unwrap();
        slot.begin_request(1, &ID, "GET", "/reports/7");
        slot.count_response(1, Duration::ZERO);
        slot.take(7);
        assert_eq!(slot.read(), Counters { requests: 1, bytes_sent: 1, ..Counters::default() });
        assert_eq!(slot.running(), []);
    }

    #[test]
    fn every_worker_sees_a_pause_and_how_many_it_still_runs() {
        let board = Scoreboard::create(2).unwrap();
        let slots = [board.slot(0).unwrap(), board.slot(1).unwrap()];
        (1..=2).for_each(|thread| slots[1].begin_request(thread, &ID, "GET", "/"));
        board.set_pause(3);
        assert_eq!(slots.each_ref().map(Slot::pause), [3, 3]);
        assert_eq!((slots[1].end_request(1), slots[1].end_request(2)), (1, 0));
        slots[0].end_pause();
        assert_eq!(slots[1].pause(), 0);
        assert_eq!(board.total(), Counters::default());
    }

    #[test]
    fn workers_do_not_write_into_the_slots_of_others() {
        let board = Scoreboard::create(3).unwrap();
        let slots: Vec<_> = (0..3).filter_map(|index| board.slot(index)).collect();
        for (slot, path) in slots.iter().zip(["/0", "/1", "/2"]) {
            (1..=64).for_each(|thread| slot.begin_request(thread, &ID, "GET", path.repeat(70)));
        }
        assert_eq!([1, 64, 65].map(|thread| slots[1].begun(thread)), [1, 1, 0]);
        slots[1].take(7);
        assert_eq!(slots[1].begun(1), 0);
        for (slot, count) in slots.iter().zip([64, 0, 64]) {
            assert_eq!((slot.read().running, slot.running().len()), (count, count as usize));
        }
        assert!(slots[2].running().iter().all(|running| running.path.starts_with("/2/2")));
    }

    #[test]
    fn durations_of_all_workers_are_counted_each_in_its_place() {
        let board = Scoreboard::create(2).unwrap();
        let slots = [board.slot(0).unwrap(), board.slot(1).unwrap()];
        let expected: [u32; durations::BUCKETS] = std::array::from_fn(|index| index as u32 + 1);
        for (index, count) in expected.into_iter().enumerate() {
            let took = Duration::from_millis(((1 << index) >> 1) * 2);
            for one in 0..count {
                slots[one as usize % 2].count_response(1, took);
            }
        }
        assert_eq!(board.durations(), Durations(expected));
    }

    #[test]
    fn memory_that_is_too_small_is_refused() {
        let board = Scoreboard::create(1).unwrap();
        let memory = board.memory().try_clone_to_owned().unwrap();
        assert!(Scoreboard::open(memory, 2).is_err());
    }
}
