//! A page of a file in memory: its bytes, its state, its lock.
//!
//! ```text
//!            insert               read ends / write_end
//!   (none) ---------> LOCKED ----------------------------> UPTODATE
//!                                                           |    ^
//!                                              write_end    |    |  I/O ends well
//!                                                           v    |
//!                                             DIRTY ---> WRITEBACK ---> DIRTY again when it failed
//!                                                  writepages starts the I/O
//!   truncate, invalidate, reclaim: ATTACHED goes away; who still holds the page finds that out
//!   after locking it and looks the index up again.
//! ```
//! A state changes only through the value that proves the right to change it: [`LockedPage`] for what
//! the page lock orders, the end of an I/O for what the I/O owns.
//!
//! # Locking
//! LOCKED is the page lock, a sleeping lock that may change hands: a read takes it over and its end,
//! in an interrupt, unlocks. One page lock is taken with another held only by readahead, which locks
//! pages nobody else can know yet, in ascending order. Waiters share 64 queues, found by the page's
//! address; the WAITERS bit keeps an unlock that nobody waits for from looking there.
//!
//! # Invariants
//! 1. UPTODATE is set only when every block of the page is uptodate.
//! 2. DIRTY, WRITEBACK and ATTACHED change under the mapping's tree lock, together with the tree's
//!    tags and the counters of `stats`.
//! 3. A metadata page's bytes change through its [`ByteLock`]s only, and only of uptodate blocks;
//!    the disk is read into blocks that are not uptodate only.

use alloc::sync::{Arc, Weak};
use core::ops::Deref;

use base::units::SECTOR_SHIFT;
use base::{Errno, FileBlock, Frame, IovIter, PAGE_SHIFT, PAGE_SIZE, PageIndex, Result};
use sync::atomic::{AtomicU32, Ordering};
use sync::{ByteLock, ByteLocks, ByteReadGuard, ByteWriteGuard, WaitQueue};

use crate::head::{self, BufferHead};
use crate::mapping::AddressSpace;

pub(crate) const LOCKED: u32 = 1;
pub(crate) const UPTODATE: u32 = 1 << 1;
pub(crate) const DIRTY: u32 = 1 << 2;
pub(crate) const WRITEBACK: u32 = 1 << 3;
pub(crate) const ERROR: u32 = 1 << 4;
pub(crate) const REFERENCED: u32 = 1 << 5;
pub(crate) const ATTACHED: u32 = 1 << 6;
pub(crate) const WAITERS: u32 = 1 << 7;
/// Reading has come to where the next readahead shall begin.
pub(crate) const READAHEAD: u32 = 1 << 8;
/// A part of the write under way has failed.
pub(crate) const WRITE_FAILED: u32 = 1 << 9;
/// In the active list, or on its way there (lru.rs).
pub(crate) const ACTIVE: u32 = 1 << 10;
/// Used once more when it was REFERENCED already.
pub(crate) const USED_AGAIN: u32 = 1 << 11;
/// Reclaim came by while it was dirty or being written: it goes first when that is over.
pub(crate) const RECLAIM: u32 = 1 << 12;

const QUEUES: usize = 64;
static WAIT: [WaitQueue; QUEUES] = [const { WaitQueue::new() }; QUEUES];

/// Most blocks in a page: 512 bytes each, as of a disk whose size is an odd number of sectors.
pub const MAX_HEADS: usize = 8;

/// A page of a file in memory; see the module.
pub struct Page {
    frame: Frame,
    index: PageIndex,
    state: AtomicU32,
    block_bits: u32,
    /// Parts of a read, or of a write, that have not ended, plus one while parts are being added.
    reads: AtomicU32,
    writes: AtomicU32,
    /// Its node in the lists of reclaim, 0 for none; under their lock.
    lru: AtomicU32,
    heads: [BufferHead; MAX_HEADS],
    /// The blocks' locks of a metadata page; empty for a file's page.
    bytes: ByteLocks,
    mapping: Weak<AddressSpace>,
}

/// What [`Page::begin_writing`] found.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    /// The block is ours to send.
    Begun,
    /// Somebody is changing it: it is dirty as before.
    Busy,
    /// There is nothing to send any more.
    Clean,
}

/// A page whose lock this value holds; dropping it unlocks.
pub struct LockedPage {
    page: Arc<Page>,
    /// The lock went over to a read.
    handed_over: bool,
}

impl Page {
    /// A locked page that is in no tree yet. `metadata`: its bytes are reached as [`ByteLock`]s.
    pub(crate) fn new_locked(
        frame: Frame,
        index: PageIndex,
        block_bits: u32,
        metadata: bool,
        mapping: Weak<AddressSpace>,
    ) -> Result<LockedPage> {
        if !(SECTOR_SHIFT..=PAGE_SHIFT).contains(&block_bits) {
            return Err(Errno::EINVAL);
        }
        let bytes = if metadata { ByteLock::split(&frame, 1 << block_bits)? } else { ByteLocks::new() };
        let page = Page {
            frame,
            index,
            state: AtomicU32::new(LOCKED),
            block_bits,
            reads: AtomicU32::new(0),
            writes: AtomicU32::new(0),
            lru: AtomicU32::new(0),
            heads: Default::default(),
            bytes,
            mapping,
        };
        Ok(LockedPage { page: Arc::new(page), handed_over: false })
    }

    /// The bytes. A handle to them that lives on (a page table's) keeps the page from being reclaimed.
    /// Of a metadata page they must not be touched: see [`ByteLock`].
    #[inline]
    pub fn frame(&self) -> &Frame {
        &self.frame
    }

    /// Which page of the file.
    #[inline]
    pub fn index(&self) -> PageIndex {
        self.index
    }

    #[inline]
    pub(crate) fn state(&self) -> &AtomicU32 {
        &self.state
    }

    #[inline]
    pub(crate) fn has(&self, bits: u32) -> bool {
        self.state.load(Ordering::Acquire) & bits == bits
    }

    /// Whether its bytes are the file's.
    #[inline]
    pub fn is_uptodate(&self) -> bool {
        self.has(UPTODATE)
    }

    /// Whether they are newer than the disk's.
    #[inline]
    pub fn is_dirty(&self) -> bool {
        self.has(DIRTY)
    }

    /// Whether they are on their way to the disk.
    #[inline]
    pub fn is_writeback(&self) -> bool {
        self.has(WRITEBACK)
    }

    /// Whether the page is still the cache's: not truncated, invalidated or reclaimed. Steady while
    /// the page is locked.
    #[inline]
    pub fn is_attached(&self) -> bool {
        self.has(ATTACHED)
    }

    /// Whether the last I/O on it failed.
    pub fn is_error(&self) -> bool {
        self.has(ERROR)
    }

    /// log2 of its blocks' size.
    #[inline]
    pub(crate) fn block_bits(&self) -> u32 {
        self.block_bits
    }

    /// Its blocks' heads, 1 to 8.
    #[inline]
    pub fn heads(&self) -> &[BufferHead] {
        &self.heads[..PAGE_SIZE >> self.block_bits]
    }

    /// Heads `first` to `last`, both in the page.
    #[inline]
    pub(crate) fn heads_between(&self, first: usize, last: usize) -> &[BufferHead] {
        // Masked, so that it costs no more than that to see that they are in the array.
        &self.heads[first % MAX_HEADS..last % MAX_HEADS + 1]
    }

    /// The file's block that head 0 stands for.
    #[inline]
    pub(crate) fn first_block(&self) -> FileBlock {
        FileBlock(self.index.0 << (PAGE_SHIFT - self.block_bits))
    }

    /// Whether it is a metadata page.
    #[inline]
    pub(crate) fn is_metadata(&self) -> bool {
        !self.bytes.is_empty()
    }

    pub(crate) fn mapping(&self) -> Option<Arc<AddressSpace>> {
        self.mapping.upgrade()
    }

    /// Handles to the frame when nobody outside the cache has one.
    pub(crate) fn own_handles(&self) -> usize {
        1 + self.bytes.len()
    }

    #[inline]
    pub(crate) fn lru(&self) -> &AtomicU32 {
        &self.lru
    }

    /// The page was used. The second time reclaim takes it for one that is needed (`mark_page_accessed`).
    #[inline]
    pub fn mark_accessed(&self) {
        let state = self.state.load(Ordering::Relaxed);
        if state & USED_AGAIN == 0 {
            let bit = if state & REFERENCED == 0 { REFERENCED } else { USED_AGAIN };
            self.state.fetch_or(bit, Ordering::Relaxed);
        }
    }

    // ---- waiting

    fn queue(&self) -> &'static WaitQueue {
        &WAIT[(core::ptr::from_ref(self).addr() >> 7) % QUEUES]
    }

    /// Sleeps until `done` answers true; asked whenever an unlock or the end of an I/O wakes.
    #[cold]
    fn wait_for(&self, mut done: impl FnMut() -> bool) {
        self.queue().wait_until(|| {
            // WAITERS first: an end that comes after it wakes, one that came before is seen below.
            self.state.fetch_or(WAITERS, Ordering::AcqRel);
            done()
        });
    }

    /// Clears bits and wakes who waits. Returns the state before.
    #[inline]
    pub(crate) fn clear_and_wake(&self, bits: u32) -> u32 {
        let old = self.state.fetch_and(!(bits | WAITERS), Ordering::AcqRel);
        if old & WAITERS != 0 {
            self.queue().wake_all();
        }
        old
    }

    #[inline]
    fn take_lock(&self) -> bool {
        self.state.fetch_or(LOCKED, Ordering::AcqRel) & LOCKED == 0
    }

    /// Locks the page, sleeping while another has it.
    #[inline]
    pub fn lock(self: Arc<Page>) -> LockedPage {
        if !self.take_lock() {
            self.lock_slow();
        }
        LockedPage { page: self, handed_over: false }
    }

    #[cold]
    fn lock_slow(&self) {
        self.wait_unlocked();
        while !self.take_lock() {
            self.wait_unlocked();
        }
    }

    /// Locks the page if it is free.
    pub fn try_lock(self: &Arc<Page>) -> Option<LockedPage> {
        self.take_lock().then(|| LockedPage { page: self.clone(), handed_over: false })
    }

    /// Sleeps while the page is locked, as by a read under way.
    pub fn wait_unlocked(&self) {
        if self.has(LOCKED) {
            self.wait_for(|| !self.has(LOCKED));
        }
    }

    /// Sleeps while the page is on its way to the disk.
    pub fn wait_writeback(&self) {
        if self.has(WRITEBACK) {
            self.wait_for(|| !self.has(WRITEBACK));
        }
    }

    // ---- bytes of metadata

    /// Block `i` of a metadata page, shared.
    #[inline]
    pub(crate) fn read_bytes(&self, i: usize) -> ByteReadGuard<'_> {
        self.bytes[i].read()
    }

    /// Block `i` of a metadata page, alone, and not on its way to the disk: the copy that a write
    /// under way sends stays as it was when the write began.
    pub(crate) fn write_bytes(&self, i: usize) -> ByteWriteGuard<'_> {
        loop {
            let guard = self.bytes[i].write();
            if !self.heads[i].has(head::WRITING) {
                return guard;
            }
            drop(guard);
            self.wait_for(|| !self.heads[i].has(head::WRITING));
        }
    }

    /// DIRTY becomes WRITING: block `i` is about to be sent.
    pub(crate) fn begin_writing(&self, i: usize) -> Begin {
        let head = &self.heads[i];
        // Marked first: a guard that the try below does not meet will see it.
        head.set(head::WRITING);
        let busy = self.bytes.get(i).is_some_and(|b| b.try_read().is_none());
        // From here on nobody comes to change the bytes. One who was faster may have given the block to
        // the journal, and then it is DIRTY no more.
        if !busy && head.clear(head::DIRTY) & head::DIRTY != 0 {
            return Begin::Begun;
        }
        head.clear(head::WRITING);
        self.clear_and_wake(0);
        if busy { Begin::Busy } else { Begin::Clean }
    }

    /// Sleeps until the guard that is held on block `i` of a metadata page is gone.
    pub(crate) fn wait_for_guard(&self, i: usize) {
        if let Some(bytes) = self.bytes.get(i) {
            drop(bytes.read());
        }
    }

    // ---- copying

    /// Copies from a write's source into the page; never sleeps for the program's memory. Short
    /// where that is not present.
    #[inline]
    pub(crate) fn copy_from_iter(&self, iter: &mut IovIter<'_>, offset: usize, len: usize) -> usize {
        if self.is_metadata() {
            return self.copy_to_metadata(iter, offset, len);
        }
        iter.copy_to_frame(&self.frame, offset, len)
    }

    #[cold]
    fn copy_to_metadata(&self, iter: &mut IovIter<'_>, offset: usize, len: usize) -> usize {
        let size = 1 << self.block_bits;
        let mut done = 0;
        while done < len {
            let at = offset + done;
            let part = (len - done).min(size - at % size);
            // Held as the right to write; the frame is written raw, no reference is made.
            let _alone = self.write_bytes(at / size);
            let copied = iter.copy_to_frame(&self.frame, at, part);
            done += copied;
            if copied < part {
                break;
            }
        }
        done
    }

    /// Copies from the page to a read's target; may sleep for the program's memory.
    #[inline]
    pub(crate) fn copy_to_iter(&self, iter: &mut IovIter<'_>, offset: usize, len: usize) -> usize {
        if self.is_metadata() {
            return self.copy_from_metadata(iter, offset, len);
        }
        iter.copy_from_frame(&self.frame, offset, len)
    }

    /// Under the guard nothing may be brought in, for that may need this very block: what is not
    /// present comes by way of a small buffer, and brings in the page for the rest.
    #[cold]
    fn copy_from_metadata(&self, iter: &mut IovIter<'_>, offset: usize, len: usize) -> usize {
        let size = 1 << self.block_bits;
        let mut done = 0;
        while done < len {
            let at = offset + done;
            let n = (len - done).min(size - at % size);
            let copied = {
                let _shared = self.read_bytes(at / size);
                iter.copy_from_frame_atomic(&self.frame, at, n)
            };
            done += copied;
            if copied < n {
                let slowly = self.copy_by_buffer(iter, at + copied, n - copied);
                done += slowly;
                if slowly == 0 {
                    break;
                }
            }
        }
        done
    }

    /// The first bytes of a part of one block, by way of a buffer. 0 where the target cannot be reached.
    fn copy_by_buffer(&self, iter: &mut IovIter<'_>, at: usize, len: usize) -> usize {
        let mut part = [0u8; 256];
        let size = 1 << self.block_bits;
        let n = len.min(part.len());
        part[..n].copy_from_slice(&self.read_bytes(at / size)[at % size..at % size + n]);
        iter.copy_from_slice(&part[..n])
    }

    // ---- the ends of I/O, perhaps in an interrupt

    /// One more part of a read. The page is locked.
    pub(crate) fn get_read(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
    }

    /// A part of a read is over; true when it was the last.
    pub(crate) fn put_read(&self) -> bool {
        self.reads.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// The read that owns the lock is over: uptodate if every block is, unlocked.
    pub(crate) fn end_read(&self) {
        self.note_uptodate();
        self.clear_and_wake(LOCKED);
    }

    /// One more part of a write.
    pub(crate) fn get_write(&self) {
        self.writes.fetch_add(1, Ordering::Relaxed);
    }

    /// Block `i` could not be sent: it is dirty still. Its page's write is under way.
    pub(crate) fn write_refused(&self, i: usize) {
        self.heads[i].write_failed();
        self.state.fetch_or(WRITE_FAILED, Ordering::AcqRel);
        self.heads[i].clear(head::WRITING);
    }

    /// A part of a write is over. After the last, the page is no longer under writeback, and dirty
    /// again if any part failed.
    pub(crate) fn put_write(&self) {
        if self.writes.fetch_sub(1, Ordering::AcqRel) == 1 {
            AddressSpace::end_writeback(self);
        }
    }

    /// Sets UPTODATE when every block is (invariant 1).
    pub(crate) fn note_uptodate(&self) {
        if self.heads().iter().all(|h| h.has(head::UPTODATE)) {
            self.state.fetch_or(UPTODATE, Ordering::AcqRel);
        }
    }
}

impl LockedPage {
    /// The page as a shared handle.
    pub fn page(&self) -> &Arc<Page> {
        &self.page
    }

    /// The lock goes over to a read, whose end unlocks.
    pub(crate) fn into_read(mut self) -> Arc<Page> {
        self.handed_over = true;
        self.page.clone()
    }

    /// Unlocks and keeps the handle.
    pub fn unlock(self) -> Arc<Page> {
        self.page.clone()
    }

    /// The bytes of `[from, to)` become zeros.
    pub(crate) fn zero(&self, from: usize, to: usize) {
        if self.is_metadata() {
            let size = 1 << self.block_bits;
            for i in from / size..to.div_ceil(size) {
                let (a, b) = (from.max(i * size), to.min((i + 1) * size));
                self.write_bytes(i)[a - i * size..b - i * size].fill(0);
            }
        } else {
            self.frame.fill(from, to - from, 0);
        }
    }

    /// Sleeps until the parts of a read, begun with the lock kept, are over.
    pub(crate) fn wait_reads(&self) {
        if self.reads.load(Ordering::Acquire) != 0 {
            self.wait_for(|| self.reads.load(Ordering::Acquire) == 0);
        }
        self.note_uptodate();
    }
}

impl Deref for LockedPage {
    type Target = Page;

    #[inline]
    fn deref(&self) -> &Page {
        &self.page
    }
}

impl Drop for LockedPage {
    #[inline]
    fn drop(&mut self) {
        if !self.handed_over {
            self.page.clear_and_wake(LOCKED);
        }
    }
}
