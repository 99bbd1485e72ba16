//! Frames by the buddy method: `buddy_system_allocator`'s lists, and a count of what is free.
//!
//! Blocks of 2^order frames are split on demand and joined when both halves are free again. Frames go
//! by their number, physical address / 4096, so that a block is aligned to its size in memory too.
//!
//! The lists are B-trees on the heap. They change while the frames' lock is held, so their nodes come
//! from the [`arena`](super::arena), never from the heap that is itself filled from here.

use buddy_system_allocator::FrameAllocator;

/// Orders 0 to 18: up to 1 GiB in one block, so that a large memory is a short list.
pub const ORDERS: usize = 19;

/// See the module.
pub struct Buddy {
    lists: FrameAllocator<ORDERS>,
    free: u64,
}

impl Buddy {
    /// Without any memory; every allocation fails.
    pub const fn new() -> Buddy {
        Buddy { lists: FrameAllocator::new(), free: 0 }
    }

    /// Frames that can be had now.
    pub const fn free_frames(&self) -> u64 {
        self.free
    }

    /// Hands over the frames `[start, end)`, which nobody uses and which were not here before.
    pub fn add(&mut self, start: usize, end: usize) {
        if start < end {
            self.lists.add_frame(start, end);
            self.free += (end - start) as u64;
        }
    }

    /// A block of 2^order frames: the number of its first. None when there is none as large.
    pub fn alloc(&mut self, order: usize) -> Option<usize> {
        if order >= ORDERS {
            return None;
        }
        let block = self.lists.alloc(1 << order)?;
        self.free -= 1 << order;
        Some(block)
    }

    /// Gives back what [`Buddy::alloc`] gave, with the same order.
    pub fn free(&mut self, block: usize, order: usize) {
        self.lists.dealloc(block, 1 << order);
        self.free += 1 << order;
    }
}

/// The order of the largest block that these frames, ascending and no two alike, begin with. They are not
/// empty.
pub fn block_order(frames: &[usize]) -> usize {
    let Some(&first) = frames.first() else { return 0 };
    let is_block = |order: &usize| {
        let len = 1 << order;
        first.is_multiple_of(len) && frames.get(len - 1) == Some(&(first + len - 1))
    };
    (1..ORDERS).take_while(is_block).last().unwrap_or(0)
}

impl Default for Buddy {
    fn default() -> Buddy {
        Buddy::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::vec::Vec;

    fn with(start: usize, end: usize) -> Buddy {
        let mut buddy = Buddy::new();
        buddy.add(start, end);
        buddy
    }

    #[test]
    fn an_empty_one_gives_nothing() {
        assert_eq!(Buddy::new().alloc(0), None);
        assert_eq!(with(0, 8).alloc(ORDERS), None);
    }

    #[test]
    fn ragged_memory_is_used_to_the_last_frame() {
        let mut buddy = with(3, 97);
        assert_eq!(buddy.free_frames(), 94);
        let mut seen: Vec<usize> = (0..94).map(|_| buddy.alloc(0).unwrap()).collect();
        seen.sort_unstable();
        assert_eq!(seen, (3..97).collect::<Vec<_>>());
        assert_eq!(buddy.alloc(0), None);
    }

    #[test]
    fn neighbours_are_one_block_as_far_as_it_is_aligned() {
        assert_eq!(block_order(&[7]), 0);
        assert_eq!(block_order(&[7, 8]), 0);
        assert_eq!(block_order(&[8, 9, 10, 12]), 1);
        assert_eq!(block_order(&[8, 9, 10, 11, 12, 13, 14, 15]), 3);
        assert_eq!(block_order(&[12, 13, 14, 15, 16, 17, 18, 19]), 2);
        assert_eq!(block_order(&[8, 10, 11]), 0);
    }

    #[test]
    fn halves_join_again() {
        let mut buddy = with(0, 64);
        let frames: Vec<usize> = (0..64).map(|_| buddy.alloc(0).unwrap()).collect();
        assert_eq!(buddy.alloc(1), None);
        for frame in frames {
            buddy.free(frame, 0);
        }
        assert_eq!(buddy.alloc(6), Some(0));
    }

    proptest! {
        #[test]
        fn blocks_never_overlap(ops in prop::collection::vec((any::<bool>(), 0usize..5, any::<u16>()), 1..200)) {
            let mut buddy = with(5, 250);
            let mut held: BTreeMap<usize, usize> = BTreeMap::new();
            for (take, order, pick) in ops {
                if take {
                    if let Some(block) = buddy.alloc(order) {
                        prop_assert_eq!(block % (1 << order), 0);
                        prop_assert!(block >= 5 && block + (1 << order) <= 250);
                        for (&b, &o) in &held {
                            prop_assert!(b + (1 << o) <= block || block + (1 << order) <= b);
                        }
                        held.insert(block, order);
                    }
                } else if !held.is_empty() {
                    let (&block, &order) = held.iter().nth(pick as usize % held.len()).unwrap();
                    held.remove(&block);
                    buddy.free(block, order);
                }
                let used: u64 = held.values().map(|&o| 1u64 << o).sum();
                prop_assert_eq!(buddy.free_frames(), 245 - used);
            }
        }
    }
}
