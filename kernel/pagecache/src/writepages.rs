//! The generic `writepages`: dirty pages of one file become bios.
//!
//! ```text
//!   for each page that carries the tag, in ascending order:
//!     lock it         if another has it: send what was collected first, then wait
//!     clean, gone, behind i_size?                     pass on
//!     under writeback?       All: wait for that write     None: pass on
//!     write-protected: who stores to it from here on is asked to make it dirty again
//!     zero what lies behind i_size in the last page
//!     a dirty block without a place?                  ask `map`, for the whole dirty run; on an error let
//!                                                     the page go, ask `remedy`, and try again or leave it.
//!                                                     Unwritten until its bytes are there: see unwritten.rs
//!     DIRTY -> WRITEBACK      from here on the I/O owns the blocks it took
//!     add them to the bio     one bio as long as blocks are neighbours on the disk
//!     unlock
//! ```
//! PG_dirty goes away only here, when the I/O is as good as started: whatever fails before leaves the
//! page dirty, and what fails after makes it dirty again.
//!
//! A sweep for data integrity first tags TOWRITE what is dirty *now* and then follows that tag: a
//! writer that keeps dirtying pages behind or before it cannot keep it from ending.
//!
//! # Locking
//! One page lock at a time. Nothing that was collected is held back while this thread sleeps: the
//! builder is submitted, and the run of unwritten blocks ended, before a lock is waited for and before `map` is asked
//! (io.rs says why).
//! A metadata block is first marked WRITING, then its byte lock is tried: a guard that comes after
//! sees WRITING and waits; one that was there before makes the sweep leave the block out, and come
//! back to it, for data integrity, when the guard is gone. It is waited for without the page lock,
//! because its holder may want that for a neighbour of the block.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use base::{Errno, FileBlock, FsBlock, PAGE_SIZE, Result};
use block::BioFlags;

use crate::head::{self, BufferHead};
use crate::io::BioBuilder;
use crate::mapping::{AddressSpace, page_range};
use crate::ops::{AddressSpaceOperations, Extent, ExtentKind, MapMode, SyncMode, WritebackControl};
use crate::page::{Begin, LockedPage, MAX_HEADS, Page};
use crate::tree::Tag;
use crate::unwritten::UnwrittenIo;

/// Most pages `map` is asked for at once when blocks have no place yet: 8 MiB.
const MAX_RUN: u64 = 2048;

/// Starts dirty pages of a range on their way to the disk. The first error of a page that could not
/// be started (its blocks have no place, ENOSPC, EIO): it stays dirty, the others are written, and
/// the file's `wb_err` has it too. Errors of the I/O itself come through `wb_err`.
pub fn mpage_writepages(
    mapping: &AddressSpace,
    ops: &dyn AddressSpaceOperations,
    control: &mut WritebackControl,
) -> Result<()> {
    mpage_writepages_with(mapping, ops, control, &mut Err)
}

/// The same. When `map` refuses a place, `remedy` is told why: with no page locked and nothing collected, so that
/// it may wait. After its Ok the page is tried once more, after its error it is left dirty.
pub fn mpage_writepages_with(
    mapping: &AddressSpace,
    ops: &dyn AddressSpaceOperations,
    control: &mut WritebackControl,
    remedy: &mut dyn FnMut(Errno) -> Result<()>,
) -> Result<()> {
    let Some((first, last)) = page_range(&control.range) else { return Ok(()) };
    if !mapping.has_dirty() {
        return Ok(());
    }
    let _plug = ops.disk().plug();
    let mut flags = if control.sync_mode == SyncMode::All { BioFlags::SYNC } else { BioFlags::empty() };
    flags.set(BioFlags::META, mapping.is_metadata());
    let builder = BioBuilder::write(ops.disk(), flags);
    let (places, earlier) = ([None; MAX_HEADS], [const { None }; MAX_HEADS]);
    let mut sweep =
        Sweep { mapping, ops, control, remedy, builder, known: None, places, earlier, done: Ok(()) };
    if sweep.control.range_cyclic {
        let middle = mapping.writeback_index().load(Ordering::Relaxed).clamp(first, last);
        // The next turn goes on where this one's share ended, so only who came to the end begins again.
        if sweep.run(middle, last) && middle > first {
            sweep.run(first, middle - 1);
        }
    } else {
        sweep.run(first, last);
    }
    sweep.builder.submit();
    sweep.done
}

struct Sweep<'a> {
    mapping: &'a AddressSpace,
    ops: &'a dyn AddressSpaceOperations,
    control: &'a mut WritebackControl,
    remedy: &'a mut dyn FnMut(Errno) -> Result<()>,
    builder: BioBuilder<'a>,
    /// The last answer of `map`.
    known: Option<Known>,
    /// Of the page at hand, by block: a place that is unwritten until the I/O is over.
    places: [Option<FsBlock>; MAX_HEADS],
    /// Of the same page, by block: whose place it is, if not the last answer's.
    earlier: [Option<Arc<UnwrittenIo>>; MAX_HEADS],
    /// The first error.
    done: Result<()>,
}

/// An answer of `map`.
struct Known {
    /// The mapping's when it was given.
    generation: u32,
    first: FileBlock,
    extent: Extent,
    /// Where the blocks are unwritten.
    unwritten: Option<Arc<UnwrittenIo>>,
}

impl Known {
    fn has(&self, block: FileBlock, generation: u32) -> bool {
        let behind = block.0.checked_sub(self.first.0);
        self.generation == generation && behind.is_some_and(|behind| behind < self.extent.len)
    }
}

impl Sweep<'_> {
    /// Sends off what was collected, so that this thread may sleep.
    fn send(&mut self) {
        self.builder.submit();
        (self.places, self.earlier) = ([None; MAX_HEADS], [const { None }; MAX_HEADS]);
        if self.known.as_ref().is_some_and(|known| known.unwritten.is_some()) {
            self.known = None;
        }
    }

    /// Whether it came to the end; otherwise it has written its share.
    fn run(&mut self, first: u64, last: u64) -> bool {
        let tag = match self.control.sync_mode {
            SyncMode::All => {
                self.mapping.tag_for_writeback(first, last);
                Tag::ToWrite
            }
            SyncMode::None => Tag::Dirty,
        };
        let mut at = Some(first);
        while let Some(from) = at {
            let batch = self.mapping.batch(from, last, Some(tag));
            at = batch.last().and_then(|p| p.index().0.checked_add(1));
            for page in batch {
                if self.control.sync_mode == SyncMode::None && self.control.nr_to_write == 0 {
                    self.mapping.writeback_index().store(page.index().0, Ordering::Relaxed);
                    return false;
                }
                self.whole_page(page);
            }
        }
        self.mapping.writeback_index().store(0, Ordering::Relaxed);
        true
    }

    /// A page, and for data integrity again until all its blocks are on their way.
    fn whole_page(&mut self, page: Arc<Page>) {
        loop {
            let locked = match page.try_lock() {
                Some(locked) => locked,
                None => {
                    self.send();
                    page.clone().lock()
                }
            };
            match self.page(&locked) {
                Ok(None) => return,
                Ok(Some(_)) if self.control.sync_mode == SyncMode::None => return,
                Ok(Some(busy)) => {
                    drop(locked);
                    self.send();
                    page.wait_for_guard(busy);
                }
                Err(error) => {
                    drop(locked);
                    self.send();
                    if let Err(error) = (self.remedy)(error) {
                        return self.failed(error);
                    }
                }
            }
        }
    }

    fn failed(&mut self, error: Errno) {
        self.mapping.wb_err().set(error);
        self.control.pages_skipped += 1;
        if self.done.is_ok() {
            self.done = Err(error);
        }
    }

    /// Starts a page's I/O. The answer: a block that somebody was changing, so that it was left out.
    fn page(&mut self, page: &LockedPage) -> Result<Option<usize>> {
        if !page.is_attached() || !page.is_dirty() {
            return Ok(None);
        }
        if page.is_writeback() {
            if self.control.sync_mode == SyncMode::None {
                self.control.pages_skipped += 1;
                return Ok(None);
            }
            self.send();
            page.wait_writeback();
            // The write that has just ended may have failed; then it is dirty still, as it must be.
        }
        self.mapping.write_protect(page);
        let blocks = self.blocks_within_size(page);
        if blocks == 0 {
            // Behind the end: a write that did not come to publish its size, or a truncate under way.
            for head in page.heads() {
                head.clear(head::DIRTY);
            }
            self.mapping.cancel_dirty(page);
            return Ok(None);
        }
        for i in 0..blocks {
            self.give_place(page, i)?;
        }
        let ready = |head: &BufferHead| head.has(head::DIRTY | head::MAPPED);
        if self.control.placed_only && !page.heads()[..blocks].iter().any(ready) {
            return Ok(None);
        }
        let busy = self.write(page, blocks);
        self.control.nr_to_write = self.control.nr_to_write.saturating_sub(1);
        self.control.pages_written += 1;
        Ok(busy)
    }

    /// How many of the page's blocks begin before i_size; what lies behind it in the page is zeroed.
    fn blocks_within_size(&self, page: &LockedPage) -> usize {
        let size = self.ops.size();
        if self.mapping.journals_data() {
            // What a commit made durable goes home wherever the file ends by now: until the cut has
            // committed too, a crash takes it back.
            return page.heads().len();
        }
        // At most a page, so it fits.
        let within = size.saturating_sub(page.index().byte()).min(PAGE_SIZE as u64) as usize;
        if within > 0 && within < PAGE_SIZE && !page.is_metadata() {
            page.zero(within, PAGE_SIZE);
        }
        within.div_ceil(1 << page.block_bits())
    }

    /// Sees to it that block `i`, if dirty, has a place on the disk; or is passed over, if that is asked for.
    fn give_place(&mut self, page: &LockedPage, i: usize) -> Result<()> {
        let head = &page.heads()[i];
        if head.state() & (head::DIRTY | head::MAPPED) != head::DIRTY {
            return Ok(());
        }
        let block = FileBlock(page.first_block().0 + i as u64);
        let generation = self.mapping.generation();
        if self.known.as_ref().is_none_or(|known| !known.has(block, generation)) {
            self.keep_earlier();
            self.known = Some(self.ask(page, i, block, generation)?);
        }
        let Some(known) = &self.known else { return Err(Errno::EIO) };
        let start = match known.extent.kind {
            ExtentKind::Mapped { block } => block,
            _ if self.control.placed_only => return Ok(()),
            _ => return Err(Errno::EIO),
        };
        let place = start.checked_add(block.0 - known.first.0).ok_or(Errno::EIO)?;
        if known.unwritten.is_some() {
            self.places[i] = Some(place);
            return Ok(());
        }
        if head.map(place) { Ok(()) } else { Err(Errno::EIO) }
    }

    /// Another answer follows: blocks of the page at hand that have their place from the last one keep it.
    fn keep_earlier(&mut self) {
        let Some(last) = self.known.take().and_then(|known| known.unwritten) else { return };
        for (place, earlier) in self.places.iter().zip(&mut self.earlier) {
            if place.is_some() && earlier.is_none() {
                *earlier = Some(last.clone());
            }
        }
    }

    /// Asks `map` where block `i` of the page lies.
    fn ask(&mut self, page: &LockedPage, i: usize, block: FileBlock, generation: u32) -> Result<Known> {
        // `map` may sleep, and may need memory that only this I/O frees.
        self.builder.submit();
        let count = self.run_from(page, i);
        if self.control.placed_only {
            let extent = self.ops.map(block, count, MapMode::Read)?;
            return Ok(Known { generation, first: block, extent, unwritten: None });
        }
        let unwritten = if self.control.ordered { None } else { self.ops.begin_unwritten() };
        let how = MapMode::Writeback { unwritten: unwritten.is_some() };
        let extent = self.ops.map(block, count, how)?;
        let unwritten = unwritten.filter(|_| extent.new);
        if let Some(unwritten) = &unwritten {
            unwritten.place(block, extent.len);
        }
        Ok(Known { generation, first: block, extent, unwritten })
    }

    /// How many blocks from block `i` of the page on are dirty in a row, as far as whole pages tell.
    fn run_from(&self, page: &LockedPage, i: usize) -> u64 {
        let per_page = page.heads().len() as u64;
        let pages = self.mapping.dirty_run(page.index().0, MAX_RUN).max(1);
        let end = self.ops.size().div_ceil(1 << page.block_bits());
        let first = page.first_block().0 + i as u64;
        (pages * per_page - i as u64).min(end.saturating_sub(first)).max(1)
    }

    /// Starts the I/O of the page's dirty blocks among the first `blocks`. The answer: a block that
    /// was left out, because somebody holds its guard.
    fn write(&mut self, page: &LockedPage, blocks: usize) -> Option<usize> {
        let mut busy = None;
        let mut left = false;
        // One part of its own, so that writeback does not end before all parts are in.
        page.get_write();
        self.mapping.start_writeback(page);
        for (i, head) in page.heads().iter().enumerate() {
            let (unwritten, earlier) = (self.places[i].take(), self.earlier[i].take());
            if i >= blocks {
                head.clear(head::DIRTY);
                continue;
            }
            if !head.has(head::DIRTY) {
                continue;
            }
            let place = match unwritten {
                Some(place) => Some(place).filter(|&place| head.map_unwritten(place)),
                None => head.block(),
            };
            let Some(place) = place else {
                left = true;
                continue;
            };
            match page.begin_writing(i) {
                Begin::Begun => {}
                Begin::Clean => continue,
                Begin::Busy => {
                    busy = Some(i);
                    continue;
                }
            }
            let last = self.known.as_ref().and_then(|known| known.unwritten.as_ref());
            let unwritten = unwritten.and(earlier.as_ref().or(last));
            if let Err(error) = self.builder.add_of(unwritten, page.page(), i, place, PAGE_SIZE) {
                page.write_refused(i);
                self.failed(error);
            }
        }
        if left || busy.is_some() {
            self.mapping.set_page_dirty(page);
        }
        page.put_write();
        busy
    }
}
