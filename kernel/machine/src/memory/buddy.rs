//! Frames by the buddy method: blocks of 2^order pages, split on demand, joined when both halves are
//! free again.
//!
//! # Data
//! ```text
//!  states   one byte per page: FREE | order on the first page of a free block, else 0
//!  lists    per order a doubly linked list of free blocks; the links lie in the free pages themselves
//! ```
//! Nothing is allocated, ever, so the heap can be filled from here and a lock can be held around it.
//! Every operation is O(orders).
//!
//! # Invariants
//! 1. A page is in exactly one of: a free block, an allocated block, a hole (never freed into here).
//! 2. A free block's first page has `FREE | order` in `states`; every other page has 0.
//! 3. No two free buddies of the same order: freeing joins them.
//! 4. Indices are relative to `first`, which is aligned to the largest block, so that an index is
//!    aligned exactly when its physical address is.

/// Orders 0 to 18: up to 1 GiB in one block, so that a large memory is a short list.
pub const ORDERS: usize = 19;

const FREE: u8 = 0x80;
const NONE: u32 = u32::MAX;

/// Links of a free block, at its first byte.
#[derive(Clone, Copy)]
#[repr(C)]
struct Links {
    next: u32,
    prev: u32,
}

/// See the module.
pub struct Buddy {
    /// First byte of page 0 as the CPU sees it.
    base: *mut u8,
    states: *mut u8,
    pages: u32,
    free_pages: u32,
    heads: [u32; ORDERS],
}

// SAFETY: the pointers are to memory that this value alone uses (`new`'s contract).
unsafe impl Send for Buddy {}

impl Buddy {
    /// Without any memory; every allocation fails.
    pub const fn empty() -> Buddy {
        Buddy {
            base: core::ptr::null_mut(),
            states: core::ptr::null_mut(),
            pages: 0,
            free_pages: 0,
            heads: [NONE; ORDERS],
        }
    }

    /// An allocator for `pages` pages from `base` on, none of them free yet.
    ///
    /// # Safety
    /// `states` has `pages` bytes that belong to the allocator from now on. Pages that are later
    /// freed into it are readable and writable at `base + 4096 * index`.
    pub unsafe fn new(base: *mut u8, states: *mut u8, pages: u32) -> Buddy {
        // SAFETY: the caller gives `pages` bytes.
        unsafe { states.write_bytes(0, pages as usize) };
        Buddy { base, states, pages, free_pages: 0, heads: [NONE; ORDERS] }
    }

    /// Pages that can be had now.
    pub const fn free_pages(&self) -> u32 {
        self.free_pages
    }

    /// Frees the pages `[start, end)`, in blocks as large as their alignment allows.
    ///
    /// # Safety
    /// They are memory nobody uses, and not free already.
    pub unsafe fn add(&mut self, start: u32, end: u32) {
        let mut at = start;
        while at < end.min(self.pages) {
            let aligned = if at == 0 { ORDERS - 1 } else { (at.trailing_zeros() as usize).min(ORDERS - 1) };
            let fits = (end.min(self.pages) - at).ilog2() as usize;
            let order = aligned.min(fits);
            // SAFETY: the caller's promise covers the block.
            unsafe { self.free(at, order) };
            at += 1 << order;
        }
    }

    /// A block of 2^order pages: the index of its first. None when there is none as large.
    pub fn alloc(&mut self, order: usize) -> Option<u32> {
        let mut have = (order..ORDERS).find(|&o| self.heads[o] != NONE)?;
        let block = self.heads[have];
        self.unlink(block, have);
        while have > order {
            have -= 1;
            self.link(block + (1 << have), have);
        }
        self.free_pages -= 1 << order;
        Some(block)
    }

    /// Gives a block back.
    ///
    /// # Safety
    /// It came from [`Buddy::alloc`] with the same order (or is new memory) and nobody uses it.
    pub unsafe fn free(&mut self, block: u32, order: usize) {
        debug_assert!(self.state(block) == 0, "page {block} freed twice");
        self.free_pages += 1 << order;
        let (mut block, mut order) = (block, order);
        while order + 1 < ORDERS {
            let buddy = block ^ (1 << order);
            let whole = buddy.checked_add(1 << order).is_some_and(|end| end <= self.pages);
            if !whole || self.state(buddy) != FREE | order as u8 {
                break;
            }
            self.unlink(buddy, order);
            block &= !(1 << order);
            order += 1;
        }
        self.link(block, order);
    }

    fn state(&self, page: u32) -> u8 {
        assert!(page < self.pages, "no such page");
        // SAFETY: below `pages`, the length of `states`.
        unsafe { *self.states.add(page as usize) }
    }

    fn set_state(&mut self, page: u32, state: u8) {
        assert!(page < self.pages, "no such page");
        // SAFETY: as in `state`.
        unsafe { *self.states.add(page as usize) = state }
    }

    fn links(&self, block: u32) -> *mut Links {
        self.base.wrapping_add(block as usize * 4096).cast()
    }

    fn link(&mut self, block: u32, order: usize) {
        let next = core::mem::replace(&mut self.heads[order], block);
        // SAFETY: a free block's first page is ours to write (`new`, `free`).
        unsafe { self.links(block).write(Links { next, prev: NONE }) };
        if next != NONE {
            // SAFETY: `next` is a free block too.
            unsafe { (*self.links(next)).prev = block };
        }
        self.set_state(block, FREE | order as u8);
    }

    fn unlink(&mut self, block: u32, order: usize) {
        // SAFETY: a free block holds its links.
        let Links { next, prev } = unsafe { self.links(block).read() };
        match prev {
            NONE => self.heads[order] = next,
            // SAFETY: neighbours in a list are free blocks.
            _ => unsafe { (*self.links(prev)).next = next },
        }
        if next != NONE {
            // SAFETY: as above.
            unsafe { (*self.links(next)).prev = prev };
        }
        self.set_state(block, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::vec;
    use std::vec::Vec;

    struct Ram {
        _bytes: Vec<u64>,
        _states: Vec<u8>,
        buddy: Buddy,
    }

    fn ram(pages: u32) -> Ram {
        let mut bytes = vec![0u64; pages as usize * 512];
        let mut states = vec![0xee; pages as usize];
        // SAFETY: both vectors live as long as the allocator.
        let buddy = unsafe { Buddy::new(bytes.as_mut_ptr().cast(), states.as_mut_ptr(), pages) };
        Ram { _bytes: bytes, _states: states, buddy }
    }

    #[test]
    fn an_empty_one_gives_nothing() {
        assert_eq!(Buddy::empty().alloc(0), None);
    }

    #[test]
    fn ragged_memory_is_used_to_the_last_page() {
        let mut r = ram(100);
        // SAFETY: fresh memory.
        unsafe { r.buddy.add(3, 97) };
        assert_eq!(r.buddy.free_pages(), 94);
        let mut seen: Vec<u32> = (0..94).map(|_| r.buddy.alloc(0).unwrap()).collect();
        seen.sort_unstable();
        assert_eq!(seen, (3..97).collect::<Vec<_>>());
        assert_eq!(r.buddy.alloc(0), None);
    }

    #[test]
    fn halves_join_again() {
        let mut r = ram(64);
        // SAFETY: fresh memory.
        unsafe { r.buddy.add(0, 64) };
        let pages: Vec<u32> = (0..64).map(|_| r.buddy.alloc(0).unwrap()).collect();
        assert_eq!(r.buddy.alloc(1), None);
        for p in pages {
            // SAFETY: allocated above.
            unsafe { r.buddy.free(p, 0) };
        }
        assert_eq!(r.buddy.alloc(6), Some(0));
    }

    proptest! {
        #[test]
        fn blocks_never_overlap(ops in prop::collection::vec((any::<bool>(), 0usize..5, any::<u16>()), 1..200)) {
            let mut r = ram(256);
            // SAFETY: fresh memory.
            unsafe { r.buddy.add(5, 250) };
            let mut held: BTreeMap<u32, usize> = BTreeMap::new();
            for (take, order, pick) in ops {
                if take {
                    if let Some(block) = r.buddy.alloc(order) {
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
                    // SAFETY: it was allocated with this order.
                    unsafe { r.buddy.free(block, order) };
                }
                let used: u32 = held.values().map(|&o| 1u32 << o).sum();
                prop_assert_eq!(r.buddy.free_pages(), 245 - used);
            }
        }
    }
}
