//! Delayed allocation: bytes that are in the page cache, and whose blocks come when they are written back.
//!
//! # What it is
//! A write into a hole takes no block. It *reserves* one in the file system's counter, so that ENOSPC is
//! told now and not later, and notes the block in the inode's [`Delayed`]. Writeback gives the whole run a
//! place at once ([`place`]). Most short-lived files never get one, and a file that was written in small
//! pieces lies in one piece.
//!
//! ```text
//!                 write                     writeback                        commit
//!   hole    ────────────▶ delayed, reserved ───────────▶ written extent, ───────────▶ on the disk,
//!                                                         data on their way           data before it
//!   unwritten ──────────▶ delayed           ───────────▶ converted, the same
//!                                                                      after the I/O
//!   both, dioread_nolock  delayed           ───────────▶ unwritten extent ───────────▶ written extent
//!   delayed ── truncate, unlink ──▶ hole again; nothing was ever written
//! ```
//! [`convert`] is the last step of the third line. Beside it [`crate::aops`] has the choice when it is used, and what a write call does.
//!
//! # The counters
//! A reservation is a claim that lasts ([`crate::balloc::claim`]). statfs tells what is left beside them;
//! `st_blocks` counts reserved blocks as the file's.
//!
//! # i_disksize
//! The inode in the table must not speak of bytes that have no place: a crash would show zeros there.
//! So it has a size of its own ([`Node::disksize`]), which follows when the place comes, in the same
//! handle.
//!
//! # Locking
//! One spin lock an inode, the last but for the allocator: around the ranges, both sizes, and the hole that
//! is known. Blocks go from here into the map, and out of both, with `data_sem` held alone; they come in
//! with it held shared, or without it where the known hole says that nothing is there.
//!
//! # Invariants
//! 1. A block that is here is a hole in the map (reserved) or unwritten there (not reserved). Of a block-mapped
//!    file all are reserved, and with them the blocks of pointers that they may need ([`pointers`]).
//! 2. Each has a cached page, dirty, or locked by the write that dirties it; but for one behind i_size,
//!    of a write that failed, until the caller trims.
//! 3. `i_disksize <= i_size`.
//!
//! Source: `ext4_da_map_blocks`, `ext4_da_reserve_space`, `ext4_es_is_delayed`; mount options in ext4(5).

mod convert;
mod flights;
pub(crate) mod place;
mod pointers;
mod ranges;

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use base::{Errno, FileBlock, Result};
use pagecache::{Extent, ExtentKind};
use sync::SpinLock;

use crate::balloc::claim::{self, Claimant};
use crate::disk::inode::InodeFlags;
use crate::extent::map::answer;
use crate::extent::node::MAX_BLOCKS;
use crate::extent::tree::{Lookup, Tree};
use crate::inode::Node;
use crate::trace;
use convert::Landed;
use flights::Flights;
use pointers::Pointers;
pub(crate) use ranges::Run;
use ranges::{Ranges, Taken};

/// See the module.
#[derive(Default)]
pub(crate) struct Delayed {
    state: SpinLock<State>,
    /// Reserved blocks.
    reserved: AtomicU32,
    size: AtomicU64,
    disksize: AtomicU64,
    /// The file was cut to nothing: what is written to it anew goes to the disk when it is closed.
    at_close: AtomicBool,
}

#[derive(Default)]
struct State {
    ranges: Ranges,
    /// Blocks of which the map is known to have none.
    hole: Hole,
    flights: Flights<Landed>,
    pointers: Pointers,
}

#[derive(Clone, Copy, Default)]
struct Hole {
    start: u32,
    end: u64,
}

impl Delayed {
    /// Of an inode of this size.
    pub fn new(size: u64) -> Delayed {
        Delayed { size: AtomicU64::new(size), disksize: AtomicU64::new(size), ..Delayed::default() }
    }

    /// The run that holds a block.
    pub fn find(&self, block: u32) -> Option<Run> {
        self.state.lock().ranges.find(block)
    }

    /// The first run that ends behind a block.
    pub fn next_from(&self, block: u32) -> Option<Run> {
        self.state.lock().ranges.next_from(block)
    }

    /// Reserved blocks.
    pub fn reserved(&self) -> u32 {
        self.reserved.load(Ordering::Relaxed)
    }

    /// The file was cut to nothing (`EXT4_STATE_DA_ALLOC_CLOSE`).
    pub fn write_at_close(&self) {
        self.at_close.store(true, Ordering::Relaxed);
    }

    /// Whether it was, once.
    #[inline]
    pub fn is_written_at_close(&self) -> bool {
        self.at_close.load(Ordering::Relaxed) && self.at_close.swap(false, Ordering::Relaxed)
    }

    /// The map is about to change where it has a hole. `data_sem` is held alone.
    pub fn forget_hole(&self) {
        self.state.lock().hole = Hole::default();
    }
}

impl Node {
    /// i_size.
    #[inline]
    pub fn size(&self) -> u64 {
        self.delayed.size.load(Ordering::Acquire)
    }

    /// i_size as the inode in the table has it: no bytes behind it have a place.
    #[inline]
    pub(crate) fn disksize(&self) -> u64 {
        self.delayed.disksize.load(Ordering::Acquire)
    }

    /// Publishes a new i_size, on the disk as in memory; `mark_dirty` brings it to the table.
    pub fn set_size(&self, size: u64) {
        let _both = self.delayed.state.lock();
        self.delayed.disksize.store(size, Ordering::Release);
        self.delayed.size.store(size, Ordering::Release);
        self.tids.note_map_changed();
    }

    /// A write has come to byte `end`, past i_size. True when the inode in the table must follow: false
    /// when its last block is delayed, for then writeback sees to that.
    pub(crate) fn extend_size(&self, end: u64) -> bool {
        let bits = self.fs().geometry().block_bits;
        let state = self.delayed.state.lock();
        let last = u32::try_from(end.saturating_sub(1) >> bits).ok();
        let delayed = last.is_some_and(|block| state.ranges.find(block).is_some());
        self.delayed.size.store(end, Ordering::Release);
        if !delayed {
            self.delayed.disksize.store(end, Ordering::Release);
            self.tids.note_map_changed();
        }
        !delayed
    }

    /// The bytes up to `end` have a place, as far as the file goes. The lock is held.
    fn raise_disksize(&self, end: u64) {
        let to = end.min(self.size());
        if to > self.disksize() {
            self.delayed.disksize.store(to, Ordering::Release);
            self.tids.note_map_changed();
        }
    }

    /// Where the blocks from `first` on lie, for a write call that allocates nothing: for what has no
    /// place space is reserved, and the answer is `Delayed`. ENOSPC, EFBIG, EIO, EUCLEAN.
    pub(crate) fn map_delayed(&self, first: FileBlock, count: u64) -> Result<Extent> {
        let block = u32::try_from(first.0).ok().filter(|&b| u64::from(b) < MAX_BLOCKS).ok_or(Errno::EFBIG)?;
        // A page has few.
        let count = u32::try_from(count).unwrap_or(u32::MAX).max(1);
        if let Some(done) = self.delay_known(block, count)? {
            return Ok(done);
        }
        if let Some(entry) = self.extents.find(block).filter(|entry| !entry.unwritten) {
            return Ok(answer(&entry, block, false));
        }
        if !self.flags().contains(InodeFlags::EXTENTS) {
            return self.map_delayed_indirect(block, count);
        }
        let _shared = self.data_sem().read();
        match Tree::of(self).lookup(block)? {
            Lookup::Found(entry) if entry.unwritten => {
                // The entry's length is a u32.
                let len = (entry.end() - u64::from(block)).min(count.into()) as u32;
                Ok(self.delay(Run { block, len, reserved: false }, 0))
            }
            Lookup::Found(entry) => {
                self.extents.put(entry);
                Ok(answer(&entry, block, false))
            }
            Lookup::Hole { next, .. } => self.delay_in_hole(block, count, next),
        }
    }

    /// The same of a block-mapped file.
    fn map_delayed_indirect(&self, block: u32, count: u32) -> Result<Extent> {
        let _shared = self.data_sem().read();
        let seen = self.look_indirect(block, count.into())?;
        match seen.kind {
            ExtentKind::Mapped { .. } => Ok(seen),
            _ => self.delay_in_hole(block, count, u64::from(block).saturating_add(seen.len)),
        }
    }

    /// The same of a block in a hole that ends at `next`. `data_sem` is held.
    fn delay_in_hole(&self, block: u32, count: u32, next: u64) -> Result<Extent> {
        self.delayed.state.lock().hole = Hole { start: block, end: next };
        // At most `count`, a u32.
        let len = next.saturating_sub(block.into()).clamp(1, count.into()) as u32;
        let spare = self.pointers_at_most(block, len);
        let got = self.reserve_beside(len, spare)?;
        let extent = self.delay(Run { block, len: got, reserved: true }, spare);
        trace::da_reserve_space(self);
        Ok(extent)
    }

    /// The same of a block in the hole that is known; None when it is in none.
    #[inline]
    fn delay_known(&self, block: u32, count: u32) -> Result<Option<Extent>> {
        let hole = self.delayed.state.lock().hole;
        let within = |hole: Hole| hole.start <= block && u64::from(block) < hole.end;
        if !within(hole) {
            return Ok(None);
        }
        // At most `count`, a u32.
        let len = (hole.end - u64::from(block)).min(count.into()) as u32;
        let spare = self.pointers_at_most(block, len);
        let got = self.reserve_beside(len, spare)?;
        let mut state = self.delayed.state.lock();
        // Not only of the block: the hole may have become another since, which ends before.
        if !within(state.hole) || state.hole.end < u64::from(block) + u64::from(got) {
            drop(state);
            claim::unreserve(self.fs(), got + spare);
            return Ok(None);
        }
        let extent = self.delay_locked(&mut state, Run { block, len: got, reserved: true }, spare);
        drop(state);
        trace::da_reserve_space(self);
        Ok(Some(extent))
    }

    fn delay(&self, run: Run, spare: u32) -> Extent {
        self.delay_locked(&mut self.delayed.state.lock(), run, spare)
    }

    /// Notes a run, as far as nothing of it is noted; what was reserved for the rest goes back, and of the `spare`
    /// blocks for pointers what they do not need.
    #[inline]
    fn delay_locked(&self, state: &mut State, run: Run, spare: u32) -> Extent {
        let extent = |len| Extent { kind: ExtentKind::Delayed, len, new: true };
        let fresh = match state.ranges.next_from(run.block) {
            None => run.len,
            // At most the run's length, a u32.
            Some(next) => u64::from(next.block).saturating_sub(run.block.into()).min(run.len.into()) as u32,
        };
        if run.reserved {
            self.delayed.reserved.fetch_add(fresh, Ordering::Relaxed);
            if fresh < run.len {
                claim::unreserve(self.fs(), run.len - fresh);
            }
        }
        if spare > 0 {
            self.require_pointers(state, &Run { len: fresh, ..run }, spare);
        }
        if fresh == 0 {
            // Of a write that failed: noted already.
            return extent(1);
        }
        state.ranges.put(Run { len: fresh, ..run });
        extent(fresh.into())
    }

    /// Takes blocks out; how many reserved ones were among them.
    fn take_delayed(&self, state: &mut State, from: u64, end: u64) -> (Taken, u32) {
        if state.ranges.is_empty() {
            return (Taken::new(), 0);
        }
        let taken = state.ranges.take(from, end);
        let reserved = taken.iter().filter(|run| run.reserved).map(|run| run.len).sum();
        // They were counted when they came.
        self.delayed.reserved.fetch_sub(reserved, Ordering::Relaxed);
        self.release_pointers(state, &taken);
        (taken, reserved)
    }

    /// The blocks `from..end` are nobody's any more: what was reserved for them is given back. `data_sem` is
    /// held alone.
    pub(crate) fn forget_delayed(&self, from: u64, end: u64) {
        let mut state = self.delayed.state.lock();
        let (_, reserved) = self.take_delayed(&mut state, from, end);
        drop(state);
        claim::unreserve(self.fs(), reserved);
        if reserved > 0 {
            trace::da_release_space(self, reserved);
        }
    }

    /// The Node goes: nothing is reserved any more, but for a file that could not be written.
    pub(crate) fn end_delayed(&self) {
        let reserved = self.delayed.reserved();
        if reserved > 0 {
            let (disk, ino) = (self.fs().disk_name(), self.ino32());
            log::warn!("EXT4-fs ({disk}): Inode {ino}: i_reserved_data_blocks ({reserved}) not cleared!");
            self.forget_delayed(0, u64::MAX);
        }
        debug_assert!(self.holds_no_pointers(), "blocks of pointers are reserved for no block");
    }

    /// The blocks `from..end` have got unwritten blocks in the map: those among them that are delayed need no
    /// reservation now: it was used, if `who` says so, and else is given back. `data_sem` is held alone.
    pub(crate) fn delayed_are_allocated(&self, from: u64, end: u64, who: Claimant) {
        let mut state = self.delayed.state.lock();
        let (taken, reserved) = self.take_delayed(&mut state, from, end);
        taken.iter().for_each(|run| state.ranges.put(Run { reserved: false, ..*run }));
        drop(state);
        self.settle_reserved(reserved, who);
    }

    /// Reservations that are over.
    fn settle_reserved(&self, reserved: u32, who: Claimant) {
        match who {
            Claimant::Reserved => claim::use_reserved(self.fs(), reserved),
            _ => claim::unreserve(self.fs(), reserved),
        }
        if reserved > 0 {
            trace::da_update_reserve_space(self, reserved, who == Claimant::Reserved);
        }
    }
}
