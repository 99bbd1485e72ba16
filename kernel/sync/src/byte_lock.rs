//! The bytes of one block of a [`Frame`], as a slice, behind a sleeping lock.
//!
//! A frame gives nobody a reference to its bytes, because a device or a second handle may change
//! them. Metadata wants to be read in place, though, block by block. So the owner of a metadata page
//! splits it once, right after it was made, and from then on every look at its bytes goes through
//! these locks:
//! ```
//! let page = base::frame::alloc_zeroed().unwrap();
//! let blocks = sync::ByteLock::split(&page, 1024).unwrap();
//! blocks[1].write()[0] = 7;
//! assert_eq!(blocks[1].read()[..2], [7, 0]);
//! assert_eq!(blocks.len(), 4);
//! ```
//!
//! # What makes the references sound
//! 1. The range lies within the frame, and the frame lives as long as its ByteLock: `split` checks and
//!    clones.
//! 2. Two ByteLocks of one `split` never overlap.
//! 3. Within one ByteLock the sleeping lock admits many readers or one writer.
//! 4. The frame is split once, and its handle afterwards goes nowhere but into bios. A device writes
//!    the block only while it is being read in, which is before anybody has its lock (it is not
//!    uptodate); while it is written out the device only reads, and who changes the block meanwhile
//!    holds the write guard of bytes that the driver copies raw, never by reference.
//!
//! 1 to 3 are enforced here. 4 is the duty of the one module that calls `split` (pagecache's buffers);
//! such a frame is never mapped into the program and never given to `Frame::write` while a guard lives.

use core::fmt;
use core::ops::{Deref, DerefMut};

use base::{Errno, Frame, PAGE_SIZE, Result};
use smallvec::SmallVec;

use crate::rwlock::{ReadGuard, RwLock, WriteGuard};

/// One block's bytes behind a lock; see the module.
pub struct ByteLock {
    frame: Frame,
    offset: usize,
    len: usize,
    lock: RwLock<()>,
}

/// The locks of a page's blocks: most pages are one block, which needs no memory of its own.
pub type ByteLocks = SmallVec<[ByteLock; 1]>;

impl ByteLock {
    /// Locks for the blocks of a page, first to last. EINVAL unless `block_size` divides the page.
    /// A frame is split once (4).
    pub fn split(frame: &Frame, block_size: usize) -> Result<ByteLocks> {
        if block_size == 0 || !PAGE_SIZE.is_multiple_of(block_size) {
            return Err(Errno::EINVAL);
        }
        let block = |i| ByteLock {
            frame: frame.clone(),
            offset: i * block_size,
            len: block_size,
            lock: RwLock::new(()),
        };
        Ok((0..PAGE_SIZE / block_size).map(block).collect())
    }

    /// The bytes, shared with other readers. Sleeps while a writer has them.
    #[inline]
    pub fn read(&self) -> ByteReadGuard<'_> {
        ByteReadGuard { bytes: self, _lock: self.lock.read() }
    }

    /// The bytes, shared, if no writer has them or waits for them.
    #[inline]
    pub fn try_read(&self) -> Option<ByteReadGuard<'_>> {
        Some(ByteReadGuard { bytes: self, _lock: self.lock.try_read()? })
    }

    /// The bytes, alone. Sleeps while anybody has them.
    #[inline]
    pub fn write(&self) -> ByteWriteGuard<'_> {
        ByteWriteGuard { bytes: self, _lock: self.lock.write() }
    }

    /// Bytes in the block.
    pub fn size(&self) -> usize {
        self.len
    }

    #[inline]
    fn first(&self) -> *mut u8 {
        // SAFETY: `offset` is within the frame (1).
        unsafe { self.frame.as_ptr().add(self.offset) }
    }
}

impl fmt::Debug for ByteLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ByteLock({}..{} of {:?})", self.offset, self.offset + self.len, self.frame.phys())
    }
}

/// A block's bytes, shared.
pub struct ByteReadGuard<'a> {
    bytes: &'a ByteLock,
    _lock: ReadGuard<'a, ()>,
}

/// A block's bytes, alone.
pub struct ByteWriteGuard<'a> {
    bytes: &'a ByteLock,
    _lock: WriteGuard<'a, ()>,
}

impl Deref for ByteReadGuard<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: in bounds and alive (1); no writer by another block (2), by this one (3), or by the
        // frame (4).
        unsafe { core::slice::from_raw_parts(self.bytes.first(), self.bytes.len) }
    }
}

impl Deref for ByteWriteGuard<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: as for the read guard; the one writer is this guard, borrowed.
        unsafe { core::slice::from_raw_parts(self.bytes.first(), self.bytes.len) }
    }
}

impl DerefMut for ByteWriteGuard<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: in bounds and alive (1); nobody else reaches the bytes (2, 3, 4), and the guard is
        // borrowed mutably.
        unsafe { core::slice::from_raw_parts_mut(self.bytes.first(), self.bytes.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thread;
    use base::frame;
    use std::sync::Arc;
    use std::vec::Vec;

    #[test]
    fn blocks_are_disjoint_and_cover_the_page() {
        let page = frame::alloc_zeroed().unwrap();
        for size in [512, 1024, 2048, 4096] {
            let blocks = ByteLock::split(&page, size).unwrap();
            assert_eq!(blocks.len() * size, PAGE_SIZE);
            for (i, block) in blocks.iter().enumerate() {
                block.write().fill(i as u8);
            }
            let mut bytes = [0xff; PAGE_SIZE];
            page.read(0, &mut bytes);
            assert!(bytes.iter().enumerate().all(|(at, &b)| usize::from(b) == at / size));
        }
        assert_eq!(ByteLock::split(&page, 1000).err(), Some(Errno::EINVAL));
        assert_eq!(ByteLock::split(&page, 0).err(), Some(Errno::EINVAL));
        assert_eq!(ByteLock::split(&page, 8192).err(), Some(Errno::EINVAL));
    }

    #[test]
    fn readers_never_see_half_a_write() {
        let rounds: u32 = if cfg!(miri) { 20 } else { 2_000 };
        let page = frame::alloc_zeroed().unwrap();
        let blocks: Arc<[ByteLock]> = ByteLock::split(&page, 1024).unwrap().into_iter().collect();
        let threads: Vec<_> = (0..4)
            .map(|n| {
                let blocks = blocks.clone();
                thread::spawn("bytes", move || {
                    for i in 0..rounds {
                        let block = &blocks[((i + n) % 4) as usize];
                        if i % 3 == 0 {
                            block.write().fill(i as u8);
                        } else {
                            let guard = block.read();
                            assert!(guard.iter().all(|&b| b == guard[0]));
                        }
                    }
                })
                .unwrap()
            })
            .collect();
        threads.iter().for_each(|t| t.join());
    }
}
