//! Caches in shared memory (`cache2`, `import uwsgi`): keys with values that may expire.
//!
//! All workers of an instance map the same memory, and so do those of the next generation. Who reads
//! takes no lock, unless others write all the time; who writes takes one that outlives its holder's
//! death ([`Locked`]). What has expired is not found any more, and goes when its room is
//! needed: nothing ticks.
//!
//! - `layout`: where is what; `hash`: which bucket;
//! - `memory`: reading beside those who write;
//! - `table`: what the holder of the lock does; `recovery`: what the next holder does when one has
//!   died;
//! - [`store`]: a cache in a file.

mod hash;
mod layout;
mod memory;
mod recovery;
pub mod store;
mod table;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::lock::Locked;
use crate::sys::{self, SharedWords};
use layout::{CHANGES, COUNT, EXPIRES, FULL, HITS, LOCK, MARK, MISSES, SEED, STATE, USED_BLOCKS};
use memory::Memory;

pub use layout::{Geometry, LAYOUT};
pub use table::Table;

/// How long somebody may hold the lock: it takes microseconds, but the process may be stopped.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// "rwsgi" and the layout.
const SIGN: u64 = u64::from_be_bytes(*b"rwsgi\0\0\0") | LAYOUT;

/// A cache, mapped.
#[derive(Debug)]
pub struct Cache {
    memory: Memory,
    fd: OwnedFd,
}

/// What is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Under which it is found.
    pub key: &'a [u8],
    /// What is found.
    pub value: &'a [u8],
    /// When it expires, as [`now`]; 0: never.
    pub expires: u64,
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its key.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
    /// When it expires, as [`now`]; 0: never.
    pub expires: u64,
}

/// What [`Table::set`] does with a key that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// It stays.
    New,
    /// It is replaced.
    Any,
}

/// What gives way when there is no room and nothing has expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum WhenFull {
    /// The newcomer.
    #[default]
    Refuse,
    /// What was not used for the longest time (`purge_lru`).
    DropOldest,
    /// Everything (`clear_on_full`).
    Clear,
}

/// Why something is not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The key is empty, or longer than `keysize`.
    Key,
    /// The value is larger than a block, or than all blocks with `bitmap`.
    TooLarge,
    /// The key is there.
    Exists,
    /// There is no room.
    Full,
    /// What is to be computed with is no number.
    NoNumber,
}

/// What a value is as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    /// There is no such key.
    Missing,
    /// It has 8 bytes.
    Is(i64),
    /// It has so many bytes, and is none.
    Not(usize),
}

fn number(value: Option<&[u8]>) -> Number {
    match value {
        None => Number::Missing,
        Some(value) => match value.try_into() {
            Ok(bytes) => Number::Is(i64::from_le_bytes(bytes)),
            Err(_) => Number::Not(value.len()),
        },
    }
}

/// What a cache has done and holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Figures {
    /// Items that it holds, those among them that have expired and were not in the way yet.
    pub items: u64,
    /// Blocks that they use.
    pub blocks: u64,
    /// Keys that were found.
    pub hits: u64,
    /// Keys that were not.
    pub misses: u64,
    /// How often there was no room.
    pub full: u64,
    /// Operations that wrote.
    pub changes: u64,
}

/// Milliseconds of CLOCK_BOOTTIME, which nobody sets and which goes on while the machine sleeps.
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from);
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Cache {
    /// Makes an empty cache.
    ///
    /// # Errors
    /// Those of memfd_create(2), ftruncate(2), mmap(2) and getrandom(2); `InvalidInput` when it is
    /// larger than memory can be.
    pub fn create(geometry: Geometry) -> io::Result<Self> {
        let bytes = geometry.bytes().ok_or(io::ErrorKind::InvalidInput)?;
        let fd = crate::memory::create(c"rwsgi-cache", bytes)?;
        let cache = Self::map(fd, geometry)?;
        let memory = &cache.memory;
        memory.words.make_lock(LOCK)?;
        memory.put(SEED, sys::random()?);
        memory.put(SEED + 1, sys::random()?);
        for (index, word) in geometry.words().into_iter().enumerate() {
            memory.put(layout::GEOMETRY + index, word);
        }
        memory.put(MARK, SIGN);
        Ok(cache)
    }

    /// Maps a cache that another process has made.
    ///
    /// # Errors
    /// A clause: why it is none of this geometry.
    pub fn open(fd: OwnedFd, geometry: Geometry) -> Result<Self, String> {
        let bytes = geometry.bytes().ok_or("it would be larger than memory can be")?;
        crate::memory::check(&fd, bytes)?;
        let cache = Self::map(fd, geometry).map_err(|error| error.to_string())?;
        if cache.memory.get(MARK) != SIGN {
            return Err("its memory has another layout".into());
        }
        let words = geometry.words().into_iter().enumerate();
        if words
            .map(|(index, word)| (layout::GEOMETRY + index, word))
            .any(|(at, word)| cache.memory.get(at) != word)
        {
            return Err("its memory is divided otherwise".into());
        }
        Ok(cache)
    }

    fn map(fd: OwnedFd, geometry: Geometry) -> io::Result<Self> {
        let bytes = geometry.bytes().ok_or(io::ErrorKind::InvalidInput)?;
        let words = SharedWords::map(fd.as_fd(), bytes / size_of::<u64>())?;
        Ok(Self { memory: Memory { words, geometry }, fd })
    }

    /// Its memory, to hand on.
    pub fn memory(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// How it is divided.
    pub fn geometry(&self) -> &Geometry {
        &self.memory.geometry
    }

    /// Locks it, after `patience` at most; zero: at once or not at all.
    ///
    /// # Errors
    /// ETIMEDOUT, or EBUSY with no patience: another one holds the lock.
    pub fn lock(&self, patience: Duration) -> io::Result<Table<'_>> {
        let lock = Locked::take(&self.memory.words, LOCK, patience)?;
        let table = Table { memory: &self.memory, _lock: lock };
        if table.is_interrupted() {
            table.recover();
        }
        Ok(table)
    }

    /// The value of `key` at `now`, without the lock. The outer `None`: it takes the lock.
    pub fn peek(&self, key: &[u8], now: u64) -> Option<Option<Vec<u8>>> {
        if self.geometry().recency { None } else { self.memory.peek(key, now) }
    }

    /// Whether there is `key` at `now`, as [`peek`](Self::peek).
    pub fn peek_has(&self, key: &[u8], now: u64) -> Option<bool> {
        self.memory.has(key, now)
    }

    /// Counts a hit or a miss.
    pub fn count_read(&self, found: bool) {
        self.memory.count_read(found);
    }

    /// The item in place `index`, if there is one at `now`. The outer `None`: there is no such place.
    ///
    /// # Errors
    /// Those of [`Cache::lock`], which is only needed while others write all the time or one has died.
    pub fn item(&self, index: u64, now: u64) -> io::Result<Option<Option<Item>>> {
        let memory = &self.memory;
        let read = || {
            let at = memory.geometry.item(index);
            if memory.get(at + STATE) == 0 || memory.is_over(index, now) {
                return None;
            }
            let (key, value) = (memory.key(index), memory.value(index)?);
            Some(Item { key, value, expires: memory.get(at + EXPIRES) })
        };
        let is_used = index < memory.get(layout::FRESH_ITEM).min(memory.geometry.slots());
        if !is_used {
            return Ok(None);
        }
        if let Some(item) = memory.undisturbed(read) {
            return Ok(Some(item));
        }
        let _table = self.lock(PATIENCE)?;
        Ok(Some(read()))
    }

    /// What it holds and has done.
    pub fn figures(&self) -> Figures {
        let word = |at| self.memory.get(at);
        Figures {
            items: word(COUNT),
            blocks: word(USED_BLOCKS),
            hits: word(HITS),
            misses: word(MISSES),
            full: word(FULL),
            changes: word(CHANGES),
        }
    }
}

impl Table<'_> {
    /// All keys at `now`.
    pub fn keys(&self, now: u64) -> Vec<Vec<u8>> {
        let (memory, geometry) = (self.memory, self.geometry());
        (0..memory.get(layout::FRESH_ITEM).min(geometry.slots()))
            .filter(|item| memory.get(geometry.item(*item) + STATE) != 0)
            .filter(|item| !memory.is_over(*item, now))
            .map(|item| memory.key(item))
            .collect()
    }
}

#[cfg(test)]
mod crash {
    //! A process that dies at a store, as a panic.

    use std::cell::Cell;

    thread_local!(static LEFT: Cell<Option<u32>> = const { Cell::new(None) });

    /// The store after so many others is not done any more; `None`: all are.
    pub fn after(stores: Option<u32>) {
        LEFT.set(stores);
    }

    /// A store is next.
    pub fn burn() {
        match LEFT.get() {
            Some(0) => panic!("it dies here"),
            left => LEFT.set(left.map(|left| left - 1)),
        }
    }
}
