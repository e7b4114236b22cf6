//! What the holder of the lock does to a cache.
//!
//! A process may be killed between any two stores. So an item counts from the one store that gives it
//! its number (`STATE`), after everything else of it is there, and until the one that takes the number
//! away, before anything of it is used otherwise. All else, chains and lists, can be made anew from
//! the items: [`super::recovery`].

use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::atomic::fence;

use super::layout::{
    CHANGES, COUNT, EXPIRES, FIRST, FREE_BLOCK, FREE_ITEM, FRESH_BLOCK, FRESH_ITEM, FULL, Geometry,
    HASH, KEY, KEY_LENGTH, LENGTH, NEWER, NEWEST, NEXT, OLDER, OLDEST, SEQUENCE, SOONEST, STATE,
    USED_BLOCKS, VERSION,
};
use super::memory::Memory;
use super::{Entry, Number, Refusal, WhenFull, Write};
use crate::lock::Locked;

/// A cache, locked.
#[derive(Debug)]
pub struct Table<'a> {
    pub(super) memory: &'a Memory,
    pub(super) _lock: Locked<'a>,
}

impl Table<'_> {
    /// The value of `key` at `now`.
    pub fn get(&self, key: &[u8], now: u64) -> Option<Vec<u8>> {
        let item = self.memory.find(key, self.memory.hash(key), now)?;
        let value = self.memory.value(item);
        if self.geometry().recency && self.get_word(NEWEST) != item + 1 {
            self.begin();
            self.forget_use(item);
            self.note_use(item);
            self.end();
        }
        value
    }

    /// Whether there is `key` at `now`.
    pub fn has(&self, key: &[u8], now: u64) -> bool {
        self.memory.find(key, self.memory.hash(key), now).is_some()
    }

    /// Writes `entry` if that is possible.
    ///
    /// # Errors
    /// Why not; then the cache is as it was.
    pub fn set(
        &self,
        entry: &Entry<'_>,
        write: Write,
        when_full: WhenFull,
        now: u64,
    ) -> Result<(), Refusal> {
        let (memory, geometry) = (self.memory, self.geometry());
        if entry.key.is_empty() || entry.key.len() as u64 > geometry.key_bytes.into() {
            return Err(Refusal::Key);
        }
        if entry.value.len() as u64 > geometry.largest_value() {
            return Err(Refusal::TooLarge);
        }
        let hash = memory.hash(entry.key);
        let mut old = memory.find_any(entry.key, hash);
        let is_there = old.is_some_and(|item| !memory.is_over(item, now));
        if is_there && write == Write::New {
            return Err(Refusal::Exists);
        }
        self.begin();
        if old.is_some() && !is_there {
            old = self.drop_item(old);
        }
        let made_room = self.make_room(&mut old, entry.value.len(), when_full, now);
        if made_room.is_ok() {
            self.insert(entry, hash);
            self.drop_item(old);
        }
        self.end();
        made_room
    }

    /// Computes with the number that `key` has; if there is none, with 0, which then expires at
    /// `expires`. The expiry of one that is there stays.
    ///
    /// # Errors
    /// The value is no number of 8 bytes, or there is no room.
    pub fn compute(
        &self,
        (key, expires): (&[u8], u64),
        operation: impl Fn(i64) -> i64,
        when_full: WhenFull,
        now: u64,
    ) -> Result<(), Refusal> {
        let memory = self.memory;
        let Some(item) = memory.find(key, memory.hash(key), now) else {
            let value = operation(0).to_le_bytes();
            return self.set(&Entry { key, value: &value, expires }, Write::Any, when_full, now);
        };
        let at = self.geometry().item(item);
        let block = self.get_word(at + FIRST).checked_sub(1);
        let Some(block) = block.filter(|_| self.get_word(at + LENGTH) == 8) else {
            return Err(Refusal::NoNumber);
        };
        let place = self.geometry().block(block);
        let number = i64::from_le_bytes(self.get_word(place).to_le_bytes());
        self.begin();
        // One store: before it there is the old number, after it the new one.
        self.put(place, u64::from_le_bytes(operation(number).to_le_bytes()));
        self.end();
        Ok(())
    }

    /// The number that `key` has.
    pub fn number(&self, key: &[u8], now: u64) -> Number {
        super::number(self.get(key, now).as_deref())
    }

    /// Removes `key`; whether it was there.
    pub fn remove(&self, key: &[u8], now: u64) -> bool {
        let memory = self.memory;
        let Some(item) = memory.find_any(key, memory.hash(key)) else { return false };
        let was_there = !memory.is_over(item, now);
        self.begin();
        self.drop_item(Some(item));
        self.end();
        was_there
    }

    /// Removes everything.
    pub fn clear(&self) {
        self.begin();
        self.clear_items();
        self.end();
    }

    fn clear_items(&self) {
        for item in 0..self.get_word(FRESH_ITEM).min(self.geometry().slots()) {
            let at = self.geometry().item(item);
            if self.get_word(at + STATE) != 0 {
                self.drop_item(Some(item));
            }
        }
    }

    /// Room for one more item with a value of `bytes`, beside `old` if that is possible: what has
    /// expired goes, then what was not used for longest, or everything, as `when_full` says.
    fn make_room(
        &self,
        old: &mut Option<u64>,
        bytes: usize,
        when_full: WhenFull,
        now: u64,
    ) -> Result<(), Refusal> {
        let geometry = self.geometry();
        let (needed, all) = (geometry.blocks_for(bytes), geometry.all_blocks());
        let has_room = |old: &Option<u64>| {
            let most = u64::from(geometry.items) + u64::from(old.is_some());
            self.get_word(COUNT) < most && self.get_word(USED_BLOCKS) + needed <= all
        };
        if has_room(old) {
            return Ok(());
        }
        self.drop_expired(now);
        let of_old = old.map_or(0, |item| {
            geometry.blocks_for(self.get_word(geometry.item(item) + LENGTH) as usize)
        });
        let room_without = self.get_word(USED_BLOCKS).saturating_sub(of_old) + needed <= all;
        if !has_room(old) && old.is_some() && room_without {
            *old = self.drop_item(*old);
        }
        if has_room(old) {
            return Ok(());
        }
        self.put(FULL, self.get_word(FULL) + 1);
        match when_full {
            WhenFull::Refuse => return Err(Refusal::Full),
            WhenFull::Clear => {
                self.clear_items();
                *old = None;
            }
            WhenFull::DropOldest => {
                while !has_room(old) {
                    let Some(oldest) = self.get_word(OLDEST).checked_sub(1) else {
                        return Err(Refusal::Full);
                    };
                    self.drop_item(Some(oldest));
                    *old = old.filter(|old| *old != oldest);
                }
            }
        }
        Ok(())
    }

    /// Removes what has expired, if something may have.
    fn drop_expired(&self, now: u64) {
        let soonest = self.get_word(SOONEST);
        if soonest == 0 || soonest > now {
            return;
        }
        let mut next = 0;
        for item in 0..self.get_word(FRESH_ITEM).min(self.geometry().slots()) {
            let at = self.geometry().item(item);
            let expires = self.get_word(at + EXPIRES);
            if self.get_word(at + STATE) == 0 || expires == 0 {
                continue;
            }
            if expires <= now {
                self.drop_item(Some(item));
            } else if next == 0 || expires < next {
                next = expires;
            }
        }
        self.put(SOONEST, next);
    }

    /// There is room.
    fn insert(&self, entry: &Entry<'_>, hash: u64) {
        let geometry = self.geometry();
        let Some(item) = self.take(FREE_ITEM, FRESH_ITEM, |item| geometry.item(item) + NEXT) else {
            return;
        };
        let at = geometry.item(item);
        self.put(at + HASH, hash);
        self.put(at + EXPIRES, entry.expires);
        self.put(at + KEY_LENGTH, entry.key.len() as u64);
        self.put(at + LENGTH, entry.value.len() as u64);
        self.memory.pack(at + KEY, entry.key);
        let mut place = at + FIRST;
        self.put(place, 0);
        for part in entry.value.chunks(geometry.block_bytes as usize) {
            let block = self.take(FREE_BLOCK, FRESH_BLOCK, |block| geometry.link(block));
            let Some(block) = block else { return };
            self.memory.pack(geometry.block(block), part);
            self.put(place, block + 1);
            place = geometry.link(block);
            self.put(place, 0);
            self.put(USED_BLOCKS, self.get_word(USED_BLOCKS) + 1);
        }
        let version = self.get_word(VERSION) + 1;
        self.put(VERSION, version);
        self.put(at + STATE, version);
        self.link(item, hash);
    }

    /// Enters an item that is whole into all lists.
    pub(super) fn link(&self, item: u64, hash: u64) {
        let (at, bucket) = (self.geometry().item(item), self.geometry().bucket(hash));
        self.put(at + NEXT, self.get_word(bucket));
        self.put(bucket, item + 1);
        self.put(COUNT, self.get_word(COUNT) + 1);
        if self.geometry().recency {
            self.note_use(item);
        }
        let (expires, soonest) = (self.get_word(at + EXPIRES), self.get_word(SOONEST));
        if expires != 0 && (soonest == 0 || expires < soonest) {
            self.put(SOONEST, expires);
        }
    }

    /// Removes an item that is in all lists; always `None`.
    fn drop_item(&self, item: Option<u64>) -> Option<u64> {
        let item = item?;
        let geometry = self.geometry();
        let at = geometry.item(item);
        self.put(at + STATE, 0);
        let mut place = geometry.bucket(self.get_word(at + HASH));
        for _ in 0..geometry.slots() {
            match self.get_word(place).checked_sub(1) {
                Some(found) if found == item => {
                    self.put(place, self.get_word(at + NEXT));
                    break;
                }
                Some(other) => place = geometry.item(other) + NEXT,
                None => break,
            }
        }
        if geometry.recency {
            self.forget_use(item);
        }
        let mut next = self.get_word(at + FIRST);
        for _ in 0..geometry.blocks_for(self.get_word(at + LENGTH) as usize) {
            let Some(block) = next.checked_sub(1) else { break };
            next = self.get_word(geometry.link(block));
            self.give_back(FREE_BLOCK, block, geometry.link(block));
            self.put(USED_BLOCKS, self.get_word(USED_BLOCKS).saturating_sub(1));
        }
        self.give_back(FREE_ITEM, item, at + NEXT);
        self.put(COUNT, self.get_word(COUNT).saturating_sub(1));
        None
    }

    /// The first of a list, or one that was never used.
    fn take(&self, free: usize, fresh: usize, link: impl Fn(u64) -> usize) -> Option<u64> {
        if let Some(first) = self.get_word(free).checked_sub(1) {
            self.put(free, self.get_word(link(first)));
            return Some(first);
        }
        let first = self.get_word(fresh);
        let all = if fresh == FRESH_ITEM {
            self.geometry().slots()
        } else {
            self.geometry().all_blocks()
        };
        (first < all).then(|| {
            self.put(fresh, first + 1);
            first
        })
    }

    pub(super) fn give_back(&self, free: usize, one: u64, link: usize) {
        self.put(link, self.get_word(free));
        self.put(free, one + 1);
    }

    /// From now on it is the one that was used last.
    fn note_use(&self, item: u64) {
        let at = self.geometry().item(item);
        let second = self.get_word(NEWEST);
        self.put(at + NEWER, 0);
        self.put(at + OLDER, second);
        let place = second.checked_sub(1).map_or(OLDEST, |two| self.geometry().item(two) + NEWER);
        self.put(place, item + 1);
        self.put(NEWEST, item + 1);
    }

    fn forget_use(&self, item: u64) {
        let at = self.geometry().item(item);
        let (older, newer) = (self.get_word(at + OLDER), self.get_word(at + NEWER));
        let of = |one: u64, field, end| {
            one.checked_sub(1).map_or(end, |one| self.geometry().item(one) + field)
        };
        self.put(of(newer, OLDER, NEWEST), older);
        self.put(of(older, NEWER, OLDEST), newer);
    }

    /// From here to [`end`](Self::end) readers look elsewhere, and who dies leaves work behind.
    pub(super) fn begin(&self) {
        self.put(SEQUENCE, self.get_word(SEQUENCE) | 1);
        fence(Release);
    }

    pub(super) fn end(&self) {
        self.put(CHANGES, self.get_word(CHANGES) + 1);
        self.put(SEQUENCE, (self.get_word(SEQUENCE) | 1) + 1);
    }

    pub(super) fn geometry(&self) -> &Geometry {
        &self.memory.geometry
    }

    pub(super) fn get_word(&self, at: usize) -> u64 {
        self.memory.word(at).map_or(0, |word| word.load(Relaxed))
    }

    pub(super) fn put(&self, at: usize, value: u64) {
        self.memory.put(at, value);
    }
}
