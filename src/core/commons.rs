//! Memory that all workers share for uWSGI's module: who is which worker, and locks.
//!
//! The master makes it once; it outlives generations and a takeover. First comes an entry for each
//! number that a worker can have. Its worker writes it, anybody reads. Of two workers of a number,
//! during a reload, the younger one has it. Then come the locks.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};

use crate::config::sizing::MOST_WORKERS;
use crate::lock::SharedLocks;
use crate::memory as memories;
use crate::scoreboard::{Counters, Scoreboard};
use crate::sys::{LOCK_WORDS, SharedWords};

/// Words of an entry: 128 bytes, so that two workers never write to one cache line.
const ENTRY: usize = 16;
const WORDS: usize = MOST_WORKERS as usize * ENTRY;

const PID: usize = 0;
const SINCE: usize = 1;
const SPAWNS: usize = 2;
/// Its slot of the scoreboard, and what was counted there before.
const SLOT: usize = 3;
const REQUESTS: usize = 4;
const EXCEPTIONS: usize = 5;
const BYTES_SENT: usize = 6;
const MICROS: usize = 7;
const SIGNALS: usize = 8;
/// The first of the counts of [`Deed`]s.
const DEEDS: usize = 9;

const _: () = assert!(DEEDS + Deed::ALL.len() <= ENTRY);

/// The whole.
#[derive(Debug, Clone)]
pub struct Commons {
    words: Arc<SharedWords>,
    locks: SharedLocks,
    memory: Arc<OwnedFd>,
}

impl Commons {
    /// Makes it, with so many locks.
    ///
    /// # Errors
    /// Those of [`crate::memory::create`], mmap(2) and pthread_mutex_init(3).
    pub fn create(locks: usize) -> io::Result<Self> {
        let bytes = (WORDS + locks * LOCK_WORDS) * size_of::<u64>();
        let commons = Self::open(memories::create(c"rwsgi-commons", bytes)?)?;
        commons.locks.make()?;
        Ok(commons)
    }

    /// Maps what [`Commons::create`] has made.
    ///
    /// # Errors
    /// Those of mmap(2); EINVAL for memory of another size.
    pub fn open(memory: OwnedFd) -> io::Result<Self> {
        let bytes = usize::try_from(nix::sys::stat::fstat(&memory)?.st_size).unwrap_or(0);
        let all = bytes / size_of::<u64>();
        let rest = all.checked_sub(WORDS).ok_or(io::ErrorKind::InvalidInput)?;
        let words = Arc::new(SharedWords::map(memory.as_fd(), all)?);
        let locks = SharedLocks::new(Arc::clone(&words), WORDS, rest / LOCK_WORDS);
        Ok(Self { words, locks, memory: Arc::new(memory) })
    }

    /// The memfd, to hand on.
    pub fn memory(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }

    /// The locks.
    pub fn locks(&self) -> &SharedLocks {
        &self.locks
    }

    /// The entry of the worker of this number, 1 or more; `None` beyond the last.
    pub fn entry(&self, number: u32) -> Option<Entry> {
        let index = number.checked_sub(1).filter(|index| *index < MOST_WORKERS)?;
        Some(Entry { words: Arc::clone(&self.words), start: index as usize * ENTRY })
    }
}

/// What a worker says of itself.
#[derive(Debug, Clone)]
pub struct Entry {
    words: Arc<SharedWords>,
    start: usize,
}

/// What a worker counts beside its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// A request was interrupted since it took longer than `harakiri`.
    Interrupted,
    /// A request was answered with a file.
    File,
    /// A request was answered by a rule (`route`).
    Routed,
    /// A client did not get the whole response.
    Unsent,
    /// A client did not send the whole body of its request.
    Unread,
}

impl Deed {
    const ALL: [Self; 5] =
        [Self::Interrupted, Self::File, Self::Routed, Self::Unsent, Self::Unread];
}

/// How often a worker did what, in the order of [`Deed`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deeds([u64; Deed::ALL.len()]);

impl Deeds {
    /// Of one kind.
    pub fn of(&self, deed: Deed) -> u64 {
        self.0[deed as usize]
    }
}

/// One reading of an entry. Counters are those of this process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Person {
    /// Its process; 0 when there was none yet. It may have ended.
    pub pid: i32,
    /// When it began, in seconds since the epoch.
    pub since: u64,
    /// How many workers of this number there were, with this one.
    pub spawns: u64,
    /// Requests that it has answered.
    pub requests: u64,
    /// Requests in which the application raised.
    pub exceptions: u64,
    /// Bytes of response bodies.
    pub bytes_sent: u64,
    /// Time that its requests took together.
    pub took: Duration,
    /// Signals of uWSGI's module that it has handled.
    pub signals: u64,
    /// Requests that it works on.
    pub running: u64,
    /// What else it has done; interrupted were those of all workers of this number.
    pub deeds: Deeds,
}

/// What a worker does, in uWSGI's words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Status {
    /// There is none.
    #[default]
    Cheap,
    /// It works on requests.
    Busy,
    /// It lets no request reach the application.
    Pause,
    /// It waits for requests.
    Idle,
}

impl Status {
    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cheap => "cheap",
            Self::Busy => "busy",
            Self::Pause => "pause",
            Self::Idle => "idle",
        }
    }
}

/// A worker as it is told to others: [`Person`], as long as its process is there, and what the kernel says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Portrait {
    /// Of one that is not there only `spawns` and what was interrupted.
    pub person: Person,
    /// What it does.
    pub status: Status,
    /// Resident memory, in bytes.
    pub rss: u64,
    /// Virtual memory, in bytes.
    pub vsz: u64,
}

impl Portrait {
    /// Of one that is not there any more.
    pub fn absent(person: &Person) -> Self {
        let Person { spawns, deeds, .. } = *person;
        let mut left = Deeds::default();
        left.0[Deed::Interrupted as usize] = deeds.of(Deed::Interrupted);
        Self { person: Person { spawns, deeds: left, ..Person::default() }, ..Self::default() }
    }

    /// Time that its requests took together, in microseconds.
    pub fn running_micros(&self) -> u64 {
        u64::try_from(self.person.took.as_micros()).unwrap_or(u64::MAX)
    }

    /// Time that a request took on the average, in microseconds.
    pub fn average_micros(&self) -> u64 {
        self.running_micros().checked_div(self.person.requests).unwrap_or(0)
    }

    /// How often another one had to follow.
    pub fn respawns(&self) -> u64 {
        self.person.spawns.saturating_sub(1)
    }
}

/// Resident and virtual memory of a process, in bytes; `None` when there is none, or only its end is left.
pub fn memory(pid: i32) -> Option<(u64, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let mut pages = text.split_ascii_whitespace().map(|pages| pages.parse::<u64>().unwrap_or(0));
    let size = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
    let size = size.and_then(|size| u64::try_from(size).ok()).unwrap_or(4096);
    let (virtual_size, resident) = (pages.next()?, pages.next()?);
    (virtual_size > 0).then_some((resident * size, virtual_size * size))
}

impl Entry {
    fn word(&self, index: usize) -> &AtomicU64 {
        &self.words.words()[self.start + index]
    }

    /// Process `pid` is the worker of this number from `second` (since the epoch) on, with this slot of
    /// the scoreboard.
    pub fn introduce(&self, pid: i32, second: u64, slot: usize, before: Counters) {
        let set = |index: usize, value| self.word(index).store(value, Relaxed);
        set(SLOT, slot as u64);
        set(REQUESTS, before.requests);
        set(EXCEPTIONS, before.exceptions);
        set(BYTES_SENT, before.bytes_sent);
        set(MICROS, 0);
        set(SIGNALS, 0);
        let kept = |deed: &Deed| *deed == Deed::Interrupted;
        Deed::ALL.iter().filter(|deed| !kept(deed)).for_each(|deed| set(DEEDS + *deed as usize, 0));
        set(SINCE, second);
        self.word(SPAWNS).fetch_add(1, Relaxed);
        set(PID, u64::try_from(pid).unwrap_or(0));
    }

    /// A request took so long.
    pub fn count_time(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.word(MICROS).fetch_add(micros, Relaxed);
    }

    /// The worker has done this once more.
    pub fn count(&self, deed: Deed) {
        self.word(DEEDS + deed as usize).fetch_add(1, Relaxed);
    }

    /// The handler of a signal was called.
    pub fn count_signal(&self) {
        self.word(SIGNALS).fetch_add(1, Relaxed);
    }

    /// Reads it, with what the scoreboard and the kernel say.
    pub fn portray(&self, board: &Scoreboard) -> Portrait {
        let person = self.read(board);
        let Some((rss, vsz)) = (person.pid > 0).then(|| memory(person.pid)).flatten() else {
            return Portrait::absent(&person);
        };
        let is_paused = board.slot(0).is_some_and(|slot| slot.pause() != 0);
        let status = match person.running {
            1.. => Status::Busy,
            0 if is_paused => Status::Pause,
            0 => Status::Idle,
        };
        Portrait { person, status, rss, vsz }
    }

    /// Reads it, with what the scoreboard says.
    pub fn read(&self, board: &Scoreboard) -> Person {
        let word = |index| self.word(index).load(Relaxed);
        let slot = usize::try_from(word(SLOT)).ok().and_then(|slot| board.slot(slot));
        let counted = slot.map(|slot| slot.read()).unwrap_or_default();
        Person {
            pid: i32::try_from(word(PID)).unwrap_or(0),
            since: word(SINCE),
            spawns: word(SPAWNS),
            requests: counted.requests.saturating_sub(word(REQUESTS)),
            exceptions: counted.exceptions.saturating_sub(word(EXCEPTIONS)),
            bytes_sent: counted.bytes_sent.saturating_sub(word(BYTES_SENT)),
            took: Duration::from_micros(word(MICROS)),
            signals: word(SIGNALS),
            running: counted.running,
            deeds: Deeds(Deed::ALL.map(|deed| word(DEEDS + deed as usize))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Taken;

    #[test]
    fn a_worker_is_told_with_what_it_has_done_itself() {
        let board = Scoreboard::create(2).unwrap();
        let slot = board.slot(1).unwrap();
        slot.count_response(100, Duration::ZERO);
        let ours = Commons::create(1).unwrap();
        let theirs = Commons::open(ours.memory().try_clone_to_owned().unwrap()).unwrap();
        theirs.entry(2).unwrap().introduce(42, 1000, 1, slot.read());
        slot.count_response(10, Duration::ZERO);
        theirs.entry(2).unwrap().count_time(Duration::from_millis(7));
        let person = ours.entry(2).unwrap().read(&board);
        assert_eq!((person.pid, person.since, person.spawns), (42, 1000, 1));
        assert_eq!((person.requests, person.bytes_sent), (1, 10));
        assert_eq!((person.took, person.signals), (Duration::from_millis(7), 0));
        assert_eq!(ours.entry(1).unwrap().read(&board).pid, 0);
        assert_eq!(ours.entry(1).unwrap().portray(&board), Portrait::default());
        assert!(ours.entry(0).is_none() && ours.entry(MOST_WORKERS + 1).is_none());
    }

    #[test]
    fn a_portrait_is_of_one_that_is_there() {
        let board = Scoreboard::create(1).unwrap();
        let slot = board.slot(0).unwrap();
        let entry = Commons::create(1).unwrap().entry(1).unwrap();
        let me = nix::unistd::getpid().as_raw();
        entry.introduce(me, 1000, 0, slot.read());
        let portrait = entry.portray(&board);
        assert_eq!(
            (portrait.status, portrait.respawns(), portrait.average_micros()),
            (Status::Idle, 0, 0)
        );
        assert!(portrait.rss > 0 && portrait.vsz >= portrait.rss, "{portrait:?}");
        board.set_pause(1);
        assert_eq!(entry.portray(&board).status.name(), "pause");
        slot.begin_request(
            1,
            &crate::request_id::RequestId::Own { worker: 1, number: 1 },
            "GET",
            "/",
        );
        assert_eq!(entry.portray(&board).status.name(), "busy");
        for _ in 0..2 {
            slot.count_response(1, Duration::ZERO);
        }
        entry.count_time(Duration::from_micros(30));
        let portrait = entry.portray(&board);
        assert_eq!((portrait.running_micros(), portrait.average_micros()), (30, 15));
        Deed::ALL.iter().for_each(|deed| entry.count(*deed));
        entry.introduce(i32::MAX, 1000, 0, slot.read());
        let portrait = entry.portray(&board);
        assert_eq!((portrait.status, portrait.person.spawns), (Status::Cheap, 2));
        let kept = Deed::ALL.map(|deed| portrait.person.deeds.of(deed));
        assert_eq!(kept, [1, 0, 0, 0, 0], "what was interrupted is of all workers of a number");
    }

    #[test]
    fn locks_keep_others_out_and_say_who_may_not() {
        let commons = Commons::create(2).unwrap();
        let locks = commons.locks();
        assert_eq!((locks.count(), locks.lock(1, Duration::ZERO).unwrap()), (2, Taken::Free));
        assert!(locks.lock(1, Duration::from_millis(1)).is_err(), "it is ours");
        assert!(locks.lock(2, Duration::ZERO).is_err() && locks.unlock(0).is_err());
        assert_eq!([0, 1].map(|index| locks.look(index).unwrap()), [Taken::Free, Taken::No]);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert_eq!(locks.lock(1, Duration::ZERO).unwrap(), Taken::No);
                assert_eq!(locks.lock(1, Duration::from_millis(1)).unwrap(), Taken::No);
                assert!(locks.unlock(1).is_err(), "it is not ours");
            });
        });
        locks.unlock(1).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| assert_eq!(locks.lock(1, Duration::ZERO).unwrap(), Taken::Free));
        });
        let taken = locks.lock(1, Duration::from_secs(1)).unwrap();
        assert_eq!(taken, Taken::AfterDeath, "that thread has ended with it");
        locks.unlock(1).unwrap();
    }
}
