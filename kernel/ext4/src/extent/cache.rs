//! The extents an inode used last, so that a mapped overwrite walks no tree (a small form of Linux's
//! extent status tree).
//!
//! # Locking
//! A spin lock over four entries. Entries are put in while `data_sem` is held (either way) and taken
//! out while it is held alone, so that a look without it finds nothing that was already removed.

use sync::SpinLock;

use super::node::Entry;

const SLOTS: usize = 4;

#[derive(Default)]
struct Slots {
    entries: [Option<Entry>; SLOTS],
    next: usize,
}

/// See the module's manual.
#[derive(Default)]
pub struct ExtentCache {
    slots: SpinLock<Slots>,
}

impl ExtentCache {
    /// The extent that holds a block.
    pub fn find(&self, block: u32) -> Option<Entry> {
        let slots = self.slots.lock();
        slots.entries.iter().flatten().find(|e| e.block <= block && u64::from(block) < e.end()).copied()
    }

    /// Remembers an extent, in place of the ones it covers or touches.
    pub fn put(&self, entry: Entry) {
        let mut slots = self.slots.lock();
        slots.clear(entry.block, entry.end());
        let at = match slots.entries.iter().position(Option::is_none) {
            Some(at) => at,
            None => {
                slots.next = (slots.next + 1) % SLOTS;
                slots.next
            }
        };
        slots.entries[at] = Some(entry);
    }

    /// Forgets what touches the blocks `from..end`.
    pub fn forget(&self, from: u32, end: u64) {
        self.slots.lock().clear(from, end);
    }
}

impl Slots {
    fn clear(&mut self, from: u32, end: u64) {
        for slot in &mut self.entries {
            if slot.is_some_and(|e| u64::from(e.block) < end && e.end() > u64::from(from)) {
                *slot = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn e(block: u32, len: u32) -> Entry {
        Entry { block, len, start: 1000 + u64::from(block), unwritten: false }
    }

    #[test]
    fn the_last_four_are_found() {
        let cache = ExtentCache::default();
        (0..5).for_each(|i| cache.put(e(i * 10, 10)));
        assert_eq!((0..5).filter(|i| cache.find(i * 10 + 9).is_some()).count(), 4);
        assert_eq!(cache.find(45), Some(e(40, 10)));
        cache.put(e(40, 20));
        assert_eq!(cache.find(55), Some(e(40, 20)));
        cache.forget(59, 1 << 32);
        assert_eq!(cache.find(45), None);
    }
}
