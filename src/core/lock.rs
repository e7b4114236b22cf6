//! Locks in memory that processes share. Whoever dies with one does not keep it.

use std::io;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;

use crate::sys::{LOCK_WORDS, SharedWords, Taken};

/// A lock that this thread holds; given back when dropped.
#[derive(Debug)]
pub struct Locked<'a> {
    words: &'a SharedWords,
    at: usize,
    /// Only the thread that has taken it may give it back.
    stays: PhantomData<*const ()>,
}

impl<'a> Locked<'a> {
    /// Takes the lock at word `at`, after `patience` at most; zero: at once or not at all. It may be in
    /// the state in which somebody has died.
    ///
    /// # Errors
    /// ETIMEDOUT, or EBUSY with no patience: another thread has it.
    pub fn take(words: &'a SharedWords, at: usize, patience: Duration) -> io::Result<Self> {
        match words.take_lock(at, patience)? {
            Taken::Free | Taken::AfterDeath => Ok(Self { words, at, stays: PhantomData }),
            Taken::No if patience.is_zero() => Err(Errno::EBUSY.into()),
            Taken::No => Err(Errno::ETIMEDOUT.into()),
        }
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let _ = self.words.give_lock(self.at);
    }
}

/// Several locks in a row, which are taken and given back by number.
#[derive(Debug, Clone)]
pub struct SharedLocks {
    words: Arc<SharedWords>,
    start: usize,
    count: usize,
}

impl SharedLocks {
    /// The `count` locks from word `start` on.
    pub fn new(words: Arc<SharedWords>, start: usize, count: usize) -> Self {
        Self { words, start, count }
    }

    /// Makes them: once, before anybody else uses the memory.
    ///
    /// # Errors
    /// Those of [`SharedWords::make_lock`].
    pub fn make(&self) -> io::Result<()> {
        (0..self.count).try_for_each(|index| self.words.make_lock(self.at(index)?))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Waits for a lock, `patience` at most; zero: not at all.
    ///
    /// # Errors
    /// EDEADLK when this very thread has it; `InvalidInput` for one that is not there.
    pub fn lock(&self, index: usize, patience: Duration) -> io::Result<Taken> {
        self.words.take_lock(self.at(index)?, patience)
    }

    /// Gives a lock back.
    ///
    /// # Errors
    /// EPERM when this thread does not have it; `InvalidInput` for one that is not there.
    pub fn unlock(&self, index: usize) -> io::Result<()> {
        self.words.give_lock(self.at(index)?)
    }

    /// Whether somebody has a lock: [`Taken::No`] if so. Looking takes it, for a moment, if it is free, and
    /// whoever looks is the only one that is told of a death.
    ///
    /// # Errors
    /// As for [`SharedLocks::lock`] and [`SharedLocks::unlock`].
    pub fn look(&self, index: usize) -> io::Result<Taken> {
        match self.lock(index, Duration::ZERO) {
            // By this very thread.
            Err(error) if error.raw_os_error() == Some(Errno::EDEADLK as i32) => Ok(Taken::No),
            Ok(found @ (Taken::Free | Taken::AfterDeath)) => self.unlock(index).map(|()| found),
            other => other,
        }
    }

    fn at(&self, index: usize) -> io::Result<usize> {
        if index >= self.count {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(self.start + index * LOCK_WORDS)
    }
}
