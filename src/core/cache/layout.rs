//! What a cache looks like in memory: 64-bit words, in this order.
//!
//! ```text
//! head │ buckets │ items: one more than configured │ links: one for each block │ blocks
//! ```
//! A bucket holds the first item of a chain; an item its successor. A value is in blocks, each of which
//! links to the next. Items and blocks are numbered from 0; a word that refers to one holds the number
//! plus 1, and 0 for none. Whoever changes this changes [`LAYOUT`]: a program that takes over from
//! another one maps what that has made.

use serde::{Deserialize, Serialize};

/// The version of this layout.
pub const LAYOUT: u64 = 1;

const BYTES: u64 = 8;

/// The first word: what it is, and in which layout.
pub(super) const MARK: usize = 0;
/// The seed of the hashes, two words.
pub(super) const SEED: usize = 1;
/// The geometry.
pub(super) const GEOMETRY: usize = 3;
/// The lock.
pub(super) const LOCK: usize = 16;
/// Odd while something is written.
pub(super) const SEQUENCE: usize = 24;
/// The number of the last item that was written.
pub(super) const VERSION: usize = 25;
/// First of the items that were given back.
pub(super) const FREE_ITEM: usize = 26;
/// How many items were ever used: those behind them are all zero.
pub(super) const FRESH_ITEM: usize = 27;
/// First of the blocks that were given back.
pub(super) const FREE_BLOCK: usize = 28;
/// How many blocks were ever used.
pub(super) const FRESH_BLOCK: usize = 29;
/// Blocks in use.
pub(super) const USED_BLOCKS: usize = 30;
/// Items in use.
pub(super) const COUNT: usize = 31;
/// The item that was used last.
pub(super) const NEWEST: usize = 32;
/// The item that was not used for the longest time.
pub(super) const OLDEST: usize = 33;
/// Nothing expires before this; 0: nothing does.
pub(super) const SOONEST: usize = 34;
/// How often there was no room.
pub(super) const FULL: usize = 35;
/// What was written, in operations.
pub(super) const CHANGES: usize = 36;
/// Found, and not found: in a cache line of their own, since readers write them.
pub(super) const HITS: usize = 40;
pub(super) const MISSES: usize = 41;
const HEAD: usize = 48;

/// Within an item: the number under which it was written, 0 while it is not one.
pub(super) const STATE: usize = 0;
/// The hash of its key.
pub(super) const HASH: usize = 1;
/// When it expires, in milliseconds of CLOCK_BOOTTIME; 0: never.
pub(super) const EXPIRES: usize = 2;
/// Bytes of its key.
pub(super) const KEY_LENGTH: usize = 3;
/// Bytes of its value.
pub(super) const LENGTH: usize = 4;
/// Its first block.
pub(super) const FIRST: usize = 5;
/// The next item of the bucket, or of those that were given back.
pub(super) const NEXT: usize = 6;
/// Its neighbours in the order of use.
pub(super) const OLDER: usize = 7;
pub(super) const NEWER: usize = 8;
/// Its key.
pub(super) const KEY: usize = 9;

/// How large a cache is, and how it is divided. Two caches of the same geometry can use the same memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Geometry {
    /// Items that it can hold.
    pub items: u32,
    /// Blocks that their values can have together.
    pub blocks: u32,
    /// Bytes of a block.
    pub block_bytes: u32,
    /// Bytes that a key can have.
    pub key_bytes: u32,
    /// Chains that items are divided into.
    pub buckets: u32,
    /// A value may have several blocks; otherwise one, and each item has one for itself.
    pub chained: bool,
    /// It is known which item was not used for the longest time.
    pub recency: bool,
}

impl Geometry {
    /// Bytes of memory. They are used only as far as something is written there.
    pub fn bytes(&self) -> Option<usize> {
        let items = self.slots().checked_mul(self.item_words())?;
        let blocks = self.all_blocks().checked_mul(1 + self.block_words())?;
        let words = (HEAD as u64 + u64::from(self.buckets)).checked_add(items)?;
        usize::try_from(words.checked_add(blocks)?.checked_mul(BYTES)?).ok()
    }

    /// The most bytes that a value can have.
    pub fn largest_value(&self) -> u64 {
        let blocks = if self.chained { self.blocks } else { 1 };
        u64::from(blocks) * u64::from(self.block_bytes)
    }

    /// The geometry in words, as it is in the head.
    pub(super) fn words(&self) -> [u64; 6] {
        let flags = u64::from(self.chained) | u64::from(self.recency) << 1;
        let sizes = [self.items, self.blocks, self.block_bytes, self.key_bytes, self.buckets];
        let [items, blocks, block, key, buckets] = sizes.map(u64::from);
        [items, blocks, block, key, buckets, flags]
    }

    /// Items for which there is room: one more than there may be, so that what replaces another one is
    /// whole before that goes.
    pub(super) fn slots(&self) -> u64 {
        u64::from(self.items) + 1
    }

    pub(super) fn all_blocks(&self) -> u64 {
        if self.chained { self.blocks.into() } else { self.slots() }
    }

    /// Blocks for a value of `bytes`.
    pub(super) fn blocks_for(&self, bytes: usize) -> u64 {
        (bytes as u64).div_ceil(self.block_bytes.into())
    }

    fn item_words(&self) -> u64 {
        KEY as u64 + u64::from(self.key_bytes).div_ceil(BYTES)
    }

    fn block_words(&self) -> u64 {
        u64::from(self.block_bytes).div_ceil(BYTES)
    }

    pub(super) fn bucket(&self, hash: u64) -> usize {
        HEAD + (hash % u64::from(self.buckets)) as usize
    }

    pub(super) fn buckets_at(&self) -> std::ops::Range<usize> {
        HEAD..HEAD + self.buckets as usize
    }

    /// The first word of an item.
    pub(super) fn item(&self, item: u64) -> usize {
        HEAD + self.buckets as usize + (item * self.item_words()) as usize
    }

    /// Where a block links to the next one.
    pub(super) fn link(&self, block: u64) -> usize {
        self.item(self.slots()) + block as usize
    }

    /// The first word of a block.
    pub(super) fn block(&self, block: u64) -> usize {
        self.link(self.all_blocks()) + (block * self.block_words()) as usize
    }
}
