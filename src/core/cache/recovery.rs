//! A process has died while it wrote: everything is made anew from the items that are whole.

use super::layout::{
    COUNT, FIRST, FREE_BLOCK, FREE_ITEM, FRESH_BLOCK, FRESH_ITEM, HASH, KEY_LENGTH, LENGTH, NEWEST,
    NEXT, OLDEST, SEQUENCE, SOONEST, STATE, USED_BLOCKS, VERSION,
};
use super::table::Table;

impl Table<'_> {
    /// Whether the last one who wrote has not come to an end.
    pub(super) fn is_interrupted(&self) -> bool {
        !self.get_word(SEQUENCE).is_multiple_of(2)
    }

    /// Makes the lists anew. Who dies here leaves it to the next one: items are only taken away.
    pub(super) fn recover(&self) {
        self.begin();
        let whole = self.whole_items();
        for word in self.geometry().buckets_at() {
            self.put(word, 0);
        }
        for word in [FREE_ITEM, FREE_BLOCK, USED_BLOCKS, COUNT, NEWEST, OLDEST, SOONEST] {
            self.put(word, 0);
        }
        for (version, item) in &whole {
            let hash = self.get_word(self.geometry().item(*item) + HASH);
            self.link(*item, hash);
            self.put(VERSION, *version);
        }
        self.give_back_the_rest();
        self.end();
    }

    /// The items that are whole, each key once, in the order in which they were written; the others are
    /// none any more.
    fn whole_items(&self) -> Vec<(u64, u64)> {
        let geometry = *self.geometry();
        let mut items: Vec<(u64, u64)> = (0..self.get_word(FRESH_ITEM).min(geometry.slots()))
            .map(|item| (self.get_word(geometry.item(item) + STATE), item))
            .filter(|(version, _)| *version != 0)
            .collect();
        // Of two with the same key the later one replaces the other.
        items.sort_unstable_by(|one, other| other.cmp(one));
        let mut keys = std::collections::HashSet::new();
        let mut taken = vec![false; geometry.all_blocks() as usize];
        items.retain(|(_, item)| {
            let is_whole = self.claim(*item, &mut taken) && keys.insert(self.memory.key(*item));
            if !is_whole {
                self.put(geometry.item(*item) + STATE, 0);
            }
            is_whole
        });
        items.reverse();
        items
    }

    /// Whether the key and the value of an item are what they can be, and its blocks nobody else's.
    fn claim(&self, item: u64, taken: &mut [bool]) -> bool {
        let at = self.geometry().item(item);
        let (key, length) = (self.get_word(at + KEY_LENGTH), self.get_word(at + LENGTH));
        if key == 0
            || key > self.geometry().key_bytes.into()
            || length > self.geometry().largest_value()
        {
            return false;
        }
        let blocks = self.blocks(item);
        let is_mine = |block: &u64| taken.get(*block as usize) == Some(&false);
        let is_whole = blocks.len() as u64 == self.geometry().blocks_for(length as usize)
            && blocks.iter().all(is_mine);
        if is_whole {
            blocks.iter().for_each(|block| taken[*block as usize] = true);
        }
        is_whole
    }

    fn blocks(&self, item: u64) -> Vec<u64> {
        let geometry = self.geometry();
        let at = geometry.item(item);
        let mut next = self.get_word(at + FIRST);
        let mut blocks = Vec::new();
        for _ in 0..geometry.blocks_for(self.get_word(at + LENGTH) as usize) {
            let Some(block) = next.checked_sub(1) else { break };
            blocks.push(block);
            next = self.get_word(geometry.link(block));
        }
        blocks
    }

    fn give_back_the_rest(&self) {
        let geometry = *self.geometry();
        let mut taken = vec![false; geometry.all_blocks() as usize];
        let fresh = self.get_word(FRESH_ITEM).min(geometry.slots());
        for item in 0..fresh {
            let at = geometry.item(item);
            if self.get_word(at + STATE) == 0 {
                self.give_back(FREE_ITEM, item, at + NEXT);
                continue;
            }
            for block in self.blocks(item) {
                taken[block as usize] = true;
                self.put(USED_BLOCKS, self.get_word(USED_BLOCKS) + 1);
            }
        }
        let fresh = self.get_word(FRESH_BLOCK).min(geometry.all_blocks());
        for block in (0..fresh).filter(|block| !taken[*block as usize]) {
            self.give_back(FREE_BLOCK, block, geometry.link(block));
        }
    }
}
