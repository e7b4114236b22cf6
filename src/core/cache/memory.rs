//! The words of a cache, and what can be read of them while others write.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, fence};

use super::hash::hash;
use super::layout::{
    EXPIRES, FIRST, Geometry, HASH, HITS, KEY, KEY_LENGTH, LENGTH, MISSES, NEXT, SEED, SEQUENCE,
    STATE,
};
use crate::sys::SharedWords;

/// A reader that is disturbed this often takes the lock.
const ATTEMPTS: usize = 64;

/// The memory of a cache. Whatever is in it, nothing here goes beyond its end or on for ever.
#[derive(Debug)]
pub(super) struct Memory {
    pub words: SharedWords,
    pub geometry: Geometry,
}

impl Memory {
    pub fn word(&self, at: usize) -> Option<&AtomicU64> {
        self.words.words().get(at)
    }

    pub fn get(&self, at: usize) -> u64 {
        self.word(at).map_or(0, |word| word.load(Relaxed))
    }

    /// Stores a word after all that this thread has stored before: who dies has done a prefix of its work.
    pub fn put(&self, at: usize, value: u64) {
        #[cfg(test)]
        super::crash::burn();
        if let Some(word) = self.word(at) {
            word.store(value, Release);
        }
    }

    pub fn hash(&self, key: &[u8]) -> u64 {
        hash(key, [self.get(SEED), self.get(SEED + 1)])
    }

    /// The value of `key` at `now`, without the lock. The outer `None`: others write all the time.
    pub fn peek(&self, key: &[u8], now: u64) -> Option<Option<Vec<u8>>> {
        let hash = self.hash(key);
        self.undisturbed(|| self.find(key, hash, now).and_then(|item| self.value(item)))
    }

    /// Whether there is `key` at `now`, as [`peek`](Self::peek).
    pub fn has(&self, key: &[u8], now: u64) -> Option<bool> {
        let hash = self.hash(key);
        self.undisturbed(|| self.find(key, hash, now).is_some())
    }

    /// What `read` returns when nobody has written meanwhile.
    pub fn undisturbed<T>(&self, read: impl Fn() -> T) -> Option<T> {
        let sequence = self.word(SEQUENCE)?;
        for _ in 0..ATTEMPTS {
            let before = sequence.load(Acquire);
            if before.is_multiple_of(2) {
                let found = read();
                fence(Acquire);
                if sequence.load(Relaxed) == before {
                    return Some(found);
                }
            }
            std::hint::spin_loop();
        }
        None
    }

    pub fn count_read(&self, found: bool) {
        if let Some(word) = self.word(if found { HITS } else { MISSES }) {
            word.fetch_add(1, Relaxed);
        }
    }

    /// The item of `key`, unless it has expired.
    pub fn find(&self, key: &[u8], hash: u64, now: u64) -> Option<u64> {
        self.find_any(key, hash).filter(|item| !self.is_over(*item, now))
    }

    pub fn is_over(&self, item: u64, now: u64) -> bool {
        let expires = self.get(self.geometry.item(item) + EXPIRES);
        expires != 0 && expires <= now
    }

    /// The item of `key`, expired or not.
    pub fn find_any(&self, key: &[u8], hash: u64) -> Option<u64> {
        let mut next = self.get(self.geometry.bucket(hash));
        for _ in 0..self.geometry.slots() {
            let item = next.checked_sub(1).filter(|item| *item < self.geometry.slots())?;
            let at = self.geometry.item(item);
            if self.get(at + HASH) == hash && self.has_key(at, key) {
                return (self.get(at + STATE) != 0).then_some(item);
            }
            next = self.get(at + NEXT);
        }
        None
    }

    fn has_key(&self, at: usize, key: &[u8]) -> bool {
        self.get(at + KEY_LENGTH) == key.len() as u64
            && packed(key).enumerate().all(|(index, word)| self.get(at + KEY + index) == word)
    }

    pub fn key(&self, item: u64) -> Vec<u8> {
        let at = self.geometry.item(item);
        let length = self.get(at + KEY_LENGTH).min(self.geometry.key_bytes.into()) as usize;
        let mut key = Vec::with_capacity(length.next_multiple_of(8));
        self.unpack(at + KEY, length, &mut key);
        key
    }

    /// The value of an item; `None` when its blocks do not come to its length.
    pub fn value(&self, item: u64) -> Option<Vec<u8>> {
        let at = self.geometry.item(item);
        let mut left = self.get(at + LENGTH);
        if left > self.geometry.largest_value() {
            return None;
        }
        let mut value = Vec::with_capacity((left as usize).next_multiple_of(8));
        let mut next = self.get(at + FIRST);
        while left > 0 {
            let block = next.checked_sub(1).filter(|block| *block < self.geometry.all_blocks())?;
            let length = left.min(self.geometry.block_bytes.into());
            self.unpack(self.geometry.block(block), length as usize, &mut value);
            left -= length;
            next = self.get(self.geometry.link(block));
        }
        Some(value)
    }

    fn unpack(&self, at: usize, length: usize, bytes: &mut Vec<u8>) {
        let end = bytes.len() + length;
        for word in self.words.words().iter().skip(at).take(length.div_ceil(8)) {
            bytes.extend_from_slice(&word.load(Relaxed).to_le_bytes());
        }
        bytes.truncate(end);
    }

    /// Writes bytes that nobody can reach yet.
    pub fn pack(&self, at: usize, bytes: &[u8]) {
        #[cfg(test)]
        super::crash::burn();
        for (word, value) in self.words.words().iter().skip(at).zip(packed(bytes)) {
            word.store(value, Relaxed);
        }
    }
}

/// Bytes in words; the last one is filled with zeros.
fn packed(bytes: &[u8]) -> impl Iterator<Item = u64> {
    bytes.chunks(8).map(|chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    })
}
