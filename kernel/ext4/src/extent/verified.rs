//! Which blocks of an inode's tree have passed their checks, so that a walk checks each once.
//!
//! A block is remembered with the key its parent gave it, because the check is against that too.
//! The newest 16 are kept. A block that is read from the disk again is trusted: the checks are there
//! against bad images, and every access to a node is bounded anyway.

use sync::SpinLock;

const SLOTS: usize = 16;

#[derive(Default)]
struct Ring {
    known: [(u64, u32); SLOTS],
    next: usize,
}

/// See the module's manual. Block 0 stands for "nothing": it is never a node.
#[derive(Default)]
pub struct Verified {
    ring: SpinLock<Ring>,
}

impl Verified {
    /// Whether the block was checked under this key.
    pub fn contains(&self, block: u64, key: u32) -> bool {
        self.ring.lock().known.contains(&(block, key))
    }

    /// It was.
    pub fn add(&self, block: u64, key: u32) {
        let mut ring = self.ring.lock();
        let at = ring.next;
        ring.known[at] = (block, key);
        ring.next = (at + 1) % SLOTS;
    }

    /// The block is a node no more.
    pub fn forget(&self, block: u64) {
        for slot in &mut self.ring.lock().known {
            if slot.0 == block {
                *slot = (0, 0);
            }
        }
    }
}
