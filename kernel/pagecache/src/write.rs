//! Buffered writes: from the program's memory into dirty pages.
//!
//! ```text
//!   generic_perform_write       for each page:
//!     fault_in_readable           bring the source in; EFAULT        (no lock is held yet)
//!     fatal signal?               EINTR
//!     ops.write_begin             page locked, its blocks mapped, read if only partly overwritten
//!     copy                        never sleeps; short where the source has gone away again
//!     ops.write_end               blocks uptodate and dirty, i_size published, page unlocked
//!     ops.balance_dirty           when the page was clean: the writer may have to wait
//! ```
//! A write over what is cached already takes a shorter way ([`overwrite`]): there is no block to place
//! and nothing to read, so nothing is lost by copying first, and the long way follows only where the
//! source cannot be reached.
//!
//! The source is brought in before the page is locked, because it may be a mapping of this very page:
//! a fault in the copy would wait for the lock the writer holds. What the copy then cannot reach is
//! tried again. Source: the description of `generic_perform_write` in the kernel's sources (mm/filemap).
//!
//! # Worked example
//! 1 KiB blocks, an empty file, `pwrite(fd, buf, 600, 1500)`: page 0 is made. Block 1 (bytes
//! 1024–2047) is mapped and comes back `new`, so its bytes 1024–1499 become zeros; bytes 1500–2047 are
//! to be overwritten. Block 2 likewise: bytes 2100–3071 become zeros. After the copy blocks 1 and 2
//! are uptodate and dirty, blocks 0 and 3 are neither; the page is not uptodate, but dirty.
//!
//! # Locking
//! The caller holds the inode lock, alone. One page is locked at a time; the tree lock is taken once
//! to find it and once more when it becomes dirty.

use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering};

use base::{Errno, FileBlock, IovIter, PAGE_SHIFT, PAGE_SIZE, PageIndex, Result};
use block::BioFlags;
use sync::Once;

use crate::head::{self, BufferHead};
use crate::io::{BioBuilder, Then};
use crate::mapping::{AddressSpace, Why};
use crate::ops::{AddressSpaceOperations, ExtentKind, MapMode};
use crate::page::LockedPage;

static SIGNAL: Once<fn() -> bool> = Once::new();
static HOOKED: AtomicBool = AtomicBool::new(false);

/// Installs what says that the current thread has a fatal signal pending: asked once per page of a
/// write. The first call wins.
pub fn set_fatal_signal_hook(pending: fn() -> bool) {
    SIGNAL.call_once(|| pending);
    HOOKED.store(true, Ordering::Release);
}

#[inline]
fn fatal_signal_pending() -> bool {
    HOOKED.load(Ordering::Relaxed) && SIGNAL.get().is_some_and(|pending| pending())
}

/// Writes what `iter` has left from byte `pos` of the file on. Bytes written; an error only when not
/// one was: EFAULT, EINTR, or what `write_begin` and `write_end` say.
#[inline]
pub fn generic_perform_write<T: AddressSpaceOperations + ?Sized>(
    mapping: &AddressSpace,
    ops: &T,
    pos: u64,
    iter: &mut IovIter<'_>,
) -> Result<usize> {
    let mut written = 0;
    while iter.count() > 0 {
        let at = pos + written as u64;
        let step = match overwrite(mapping, ops, at, iter) {
            Ok(0) => write_page(mapping, &ops, at, iter),
            step => step,
        };
        match step {
            Ok(copied) => written += copied,
            Err(error) if written == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(written)
}

/// One page's worth over bytes that are cached and whose blocks are mapped; 0 where that is not so
/// or the source is not present, and then nothing has happened. For each kind of file it is compiled into one
/// piece, from here to the end of `write_end`.
#[inline]
fn overwrite<T: AddressSpaceOperations + ?Sized>(
    mapping: &AddressSpace,
    ops: &T,
    pos: u64,
    iter: &mut IovIter<'_>,
) -> Result<usize> {
    if fatal_signal_pending() || mapping.journals_data() {
        return Ok(0);
    }
    // Below the page size, so it fits.
    let offset = (pos % PAGE_SIZE as u64) as usize;
    let len = (PAGE_SIZE - offset).min(iter.count());
    let Some(page) = mapping.find_lock_page(PageIndex::of(pos)) else { return Ok(0) };
    if !ready(&page, offset, offset + len) {
        return Ok(0);
    }
    let was_dirty = page.is_dirty();
    let copied = page.copy_from_iter(iter, offset, len);
    if copied == 0 {
        return Ok(0);
    }
    // The page is uptodate, so a short copy counts as far as it came.
    let done = ops.write_end(mapping, page, pos, len, copied);
    if done.is_ok() && !was_dirty {
        ops.balance_dirty(1);
    }
    done
}

/// One page's worth; at least one byte.
#[inline(never)]
fn write_page(
    mapping: &AddressSpace,
    ops: &dyn AddressSpaceOperations,
    pos: u64,
    iter: &mut IovIter<'_>,
) -> Result<usize> {
    // Below the page size, so it fits.
    let offset = (pos % PAGE_SIZE as u64) as usize;
    let room = PAGE_SIZE - offset;
    let mut len = room.min(iter.count());
    loop {
        iter.fault_in_readable(len)?;
        if fatal_signal_pending() {
            return Err(Errno::EINTR);
        }
        let page = ops.write_begin(mapping, pos, len, iter.count())?;
        let was_dirty = page.is_dirty();
        let copied = page.copy_from_iter(iter, offset, len);
        let done = ops.write_end(mapping, page, pos, len, copied);
        let taken = done.unwrap_or(0);
        if taken != copied {
            iter.revert(copied.saturating_sub(taken));
        }
        if done? != 0 {
            if !was_dirty {
                ops.balance_dirty(1);
            }
            return Ok(taken);
        }
        // A short copy was turned down: try what could be reached, or else the first segment alone.
        len = if copied != 0 && copied < len { copied } else { room.min(iter.segment_count()) };
    }
}

/// The generic `write_begin`: the page of byte `pos`, locked, ready for `len` bytes from there to be
/// copied in. Its blocks in that range are mapped; a block that is not uptodate and only partly
/// overwritten is read, or zeroed around the range when it is new. `rest` is what the write call
/// still wants from `pos` on.
pub fn block_write_begin(
    mapping: &AddressSpace,
    ops: &dyn AddressSpaceOperations,
    pos: u64,
    len: usize,
    rest: usize,
) -> Result<LockedPage> {
    let bits = ops.block_bits();
    let page = mapping.grab_page(PageIndex::of(pos), bits, Why::Write)?;
    // Below the page size, so it fits.
    let from = (pos % PAGE_SIZE as u64) as usize;
    let to = from + len.min(PAGE_SIZE - from);
    if !ready(&page, from, to) {
        let ahead = (rest.saturating_sub(len) as u64).div_ceil(1 << bits);
        prepare(&page, ops, from, to, ahead)?;
    }
    Ok(page)
}

/// The blocks of a page that bytes `[from, to)` lie in.
#[inline]
fn touched(from: usize, to: usize, bits: u32) -> Range<usize> {
    from >> bits..(to + (1 << bits) - 1) >> bits
}

/// Their heads. `from < to`, both within the page.
#[inline(always)]
fn touched_heads(page: &LockedPage, from: usize, to: usize) -> &[BufferHead] {
    let bits = page.block_bits();
    // Mostly a page is one block.
    if bits == PAGE_SHIFT {
        return page.heads_between(0, 0);
    }
    page.heads_between(from >> bits, (to - 1) >> bits)
}

/// Whether the blocks of `[from, to)` can be written right away.
#[inline]
pub(crate) fn ready(page: &LockedPage, from: usize, to: usize) -> bool {
    let placed = |head: &BufferHead| head.state() & (head::MAPPED | head::DELAY) != 0;
    page.is_uptodate() && touched_heads(page, from, to).iter().all(placed)
}

#[cold]
fn prepare(
    page: &LockedPage,
    ops: &dyn AddressSpaceOperations,
    from: usize,
    to: usize,
    ahead: u64,
) -> Result<()> {
    let done = map_range(page, ops, from, to, ahead).and_then(|()| fill_range(page, ops, from, to));
    if done.is_err() {
        // What was allocated on the way is the file's now, all of each block: it must not show what the disk
        // held, nor what was in memory.
        let size = 1 << page.block_bits();
        zero_new(page, from / size * size, to.next_multiple_of(size));
    }
    done
}

/// Gives every block of `[from, to)` a place.
fn map_range(
    page: &LockedPage,
    ops: &dyn AddressSpaceOperations,
    from: usize,
    to: usize,
    ahead: u64,
) -> Result<()> {
    let bits = page.block_bits();
    let last = (to - 1) >> bits;
    let mut i = from >> bits;
    while i <= last {
        if page.heads()[i].state() & (head::MAPPED | head::DELAY) != 0 {
            i += 1;
            continue;
        }
        let count = (last - i + 1) as u64;
        let extent = ops.map(FileBlock(page.first_block().0 + i as u64), count, MapMode::Write { ahead })?;
        for n in 0..extent.len.clamp(1, count) {
            let head = &page.heads()[i];
            match extent.kind {
                ExtentKind::Mapped { block } if block.checked_add(n).is_some_and(|at| head.map(at)) => {}
                ExtentKind::Delayed => {
                    head.set(head::DELAY);
                }
                _ => return Err(Errno::EIO),
            }
            if extent.new {
                head.set(head::NEW);
            }
            i += 1;
        }
    }
    Ok(())
}

/// Makes the bytes around the range what they should be, in the blocks that the range cuts.
fn fill_range(page: &LockedPage, ops: &dyn AddressSpaceOperations, from: usize, to: usize) -> Result<()> {
    let bits = page.block_bits();
    let mut builder = BioBuilder::read(ops.disk(), BioFlags::SYNC, Then::Wake);
    let mut reading = false;
    for i in touched(from, to, bits) {
        let head = &page.heads()[i];
        let (start, end) = (i << bits, (i + 1) << bits);
        if head.has(head::UPTODATE) || (from <= start && end <= to) {
            continue;
        }
        if head.has(head::NEW) {
            page.zero(start, from.clamp(start, end));
            page.zero(to.clamp(start, end), end);
            continue;
        }
        let place = head.block().ok_or(Errno::EIO)?;
        let left = ops.size().saturating_sub(page.index().byte()).min(PAGE_SIZE as u64);
        // At most a page, so it fits.
        let zero_from = if page.is_metadata() { PAGE_SIZE } else { left as usize };
        builder.add(page.page(), i, place, zero_from)?;
        reading = true;
    }
    drop(builder);
    if reading {
        page.wait_reads();
        let cut = [from >> bits, (to - 1) >> bits];
        let read = |i: usize| {
            let whole = from <= i << bits && (i + 1) << bits <= to;
            whole || page.heads()[i].state() & (head::UPTODATE | head::NEW) != 0
        };
        if !cut.into_iter().all(read) {
            return Err(Errno::EIO);
        }
    }
    Ok(())
}

/// Blocks of `[from, to)` that are new and not filled become zeros, dirty (`page_zero_new_buffers`).
fn zero_new(page: &LockedPage, from: usize, to: usize) {
    let bits = page.block_bits();
    let mut any = false;
    for i in touched(from, to, bits) {
        let head = &page.heads()[i];
        if !head.has(head::NEW) {
            continue;
        }
        if !head.has(head::UPTODATE) {
            page.zero(from.max(i << bits), to.min((i + 1) << bits));
        }
        set_written(head);
        any = true;
    }
    if any {
        page.note_uptodate();
        if let Some(mapping) = page.mapping() {
            mapping.set_page_dirty(page);
        }
    }
}

#[inline(always)]
fn set_written(head: &BufferHead) {
    const WRITTEN: u64 = head::UPTODATE | head::DIRTY;
    let state = head.state();
    if state & head::JOURNALLED != 0 {
        // The journal says when it becomes dirty.
        head.replace(head::NEW, head::UPTODATE);
    } else if state & (WRITTEN | head::NEW) != WRITTEN {
        head.clear(head::NEW);
        head.set(WRITTEN);
    }
}

/// The generic part of `write_end`: `copied` of the `len` bytes at `pos` were copied into the page.
/// Marks their blocks uptodate and dirty. The page stays locked, so that the caller can publish
/// i_size before writeback looks at it. Returns the bytes that count: all that were copied, or none
/// when the copy was short and a block that was not uptodate would be left with a gap; blocks that
/// were new are zeros there. A file system whose write ends short past i_size gives the blocks behind
/// i_size back.
#[inline(always)]
pub fn block_write_end(
    mapping: &AddressSpace,
    page: &LockedPage,
    pos: u64,
    len: usize,
    copied: usize,
) -> usize {
    // Below the page size, so it fits.
    let from = (pos % PAGE_SIZE as u64) as usize;
    let mut copied = copied.min(len);
    if copied < len {
        if !page.is_uptodate() {
            copied = 0;
        }
        zero_new(page, from + copied, from + len);
    }
    if copied > 0 {
        for head in touched_heads(page, from, from + copied) {
            set_written(head);
        }
        if !page.is_uptodate() {
            page.note_uptodate();
        }
        mapping.set_page_dirty(page);
    }
    copied
}

/// Zeroes from byte `from` to the end of its block ([`block_zero_range`]). A file system calls this when
/// it lowers i_size to `from`, before it does so.
pub fn block_truncate_page(
    mapping: &AddressSpace,
    ops: &dyn AddressSpaceOperations,
    from: u64,
) -> Result<()> {
    block_zero_range(mapping, ops, from, from.next_multiple_of(1 << ops.block_bits()))
}

/// Zeroes the bytes `[from, to)` of one block, in the cache and so, later, on the disk: the block is read
/// first if need be and becomes dirty. A hole or an unwritten block stays one.
pub fn block_zero_range(
    mapping: &AddressSpace,
    ops: &dyn AddressSpaceOperations,
    from: u64,
    to: u64,
) -> Result<()> {
    if let Some(zeroing) = block_zero_begin(mapping, ops, from, to)? {
        zeroing.end(mapping);
    }
    Ok(())
}

/// Bytes of one block that are about to become zeros; their page is locked, and the block's other bytes are
/// there.
pub struct Zeroing {
    page: LockedPage,
    bytes: Range<usize>,
}

impl Zeroing {
    /// The page, and which of its bytes.
    pub fn place(&self) -> (&LockedPage, Range<usize>) {
        (&self.page, self.bytes.clone())
    }

    /// They become zeros, and the block dirty.
    pub fn end(self, mapping: &AddressSpace) {
        let Zeroing { page, bytes } = self;
        page.zero(bytes.start, bytes.end);
        set_written(&page.heads()[bytes.start >> page.block_bits()]);
        page.note_uptodate();
        mapping.set_page_dirty(&page);
    }
}

/// The first half of [`block_zero_range`], for who has something to do in between. None for a hole, and for
/// nothing to zero.
pub fn block_zero_begin(
    mapping: &AddressSpace,
    ops: &dyn AddressSpaceOperations,
    from: u64,
    to: u64,
) -> Result<Option<Zeroing>> {
    if from >= to {
        return Ok(None);
    }
    let bits = ops.block_bits();
    // Both at most the page size, so they fit.
    let offset = (from % PAGE_SIZE as u64) as usize;
    let end = offset + (to - from).min((PAGE_SIZE - offset) as u64) as usize;
    let page = mapping.grab_page(PageIndex::of(from), bits, Why::Write)?;
    let head = &page.heads()[offset >> bits];
    if head.state() & (head::MAPPED | head::DELAY) == 0 {
        match ops.map(FileBlock(from >> bits), 1, MapMode::Read)?.kind {
            ExtentKind::Hole | ExtentKind::Unwritten | ExtentKind::Delayed => return Ok(None),
            ExtentKind::Mapped { block } if head.map(block) => {}
            ExtentKind::Mapped { .. } => return Err(Errno::EIO),
        }
    }
    fill_range(&page, ops, offset, end)?;
    Ok(Some(Zeroing { page, bytes: offset..end }))
}
