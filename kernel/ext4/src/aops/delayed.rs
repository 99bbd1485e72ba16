//! Delayed allocation in a write call and in writeback (`ext4_da_write_begin`, `ext4_writepages`).
//!
//! # A write
//! Needs no handle: nothing on the disk changes. `write_begin` reserves what the page lacks
//! ([`Node::map_delayed`]), `write_end` is that of [`super::immediate`], which publishes i_size in memory
//! alone as long as the last block has no place.
//!
//! # When it is not done
//! `nodelalloc`, and what is mounted as ext2 or ext3; data that go through the journal; and when blocks grow
//! scarce ([`Node::is_scarce`]): what is reserved may then be more than what can be found, so blocks are
//! taken at once, and the flusher is asked to find out about the others.
//!
//! # Writeback
//! ```text
//!   sweep ── a page whose blocks have no place ── EAGAIN ──▶ page let go, handle begins, page again
//!     ▲            inside a handle: the run gets its place             │
//!     └──── handle full, or its transaction wants to commit ◀──────────┘ EAGAIN: it ends, the next begins
//! ```
//! So a sweep over blocks that have a place begins none at all, and no page is locked where one begins. Within
//! another's handle (ordered data that must go first) nothing is allocated.
//!
//! # Errors
//! What finds no block waits for a commit that sets some free, and is tried again. If that does not help, the
//! page stays dirty, an fsync is told, and the log.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use base::{Errno, FileBlock, RateLimit, Result};
use block::Disk;
use pagecache::{
    AddressSpace, AddressSpaceOperations, Extent, LockedPage, MapMode, WritebackControl,
    filemap_fdatawait_range,
};
use vfs::FileType;

use crate::balloc::claim::Claimant;
use crate::disk::inode::InodeFlags;
use crate::inode::Node;
use crate::journal::credits;
use crate::options::Flag;
use crate::trace;

/// So many free blocks are left alone (`EXT4_FREECLUSTERS_WATERMARK` of one CPU).
const WATERMARK: u64 = 128;

/// A full disk has much to say.
static LOST: RateLimit = RateLimit::new();

/// The file as a write call sees it that allocates nothing.
struct Reserving<'a>(&'a Node);

impl AddressSpaceOperations for Reserving<'_> {
    fn block_bits(&self) -> u32 {
        self.0.block_bits()
    }

    fn disk(&self) -> &Arc<Disk> {
        self.0.disk()
    }

    fn size(&self) -> u64 {
        self.0.size()
    }

    fn map(&self, first: FileBlock, count: u64, how: MapMode) -> Result<Extent> {
        match how {
            MapMode::Write { .. } => {
                self.0.fs().bdi().check_alive()?;
                self.0.map_delayed(first, count)
            }
            _ => self.0.map(first, count, how),
        }
    }

    fn write_end(
        &self,
        mapping: &AddressSpace,
        page: LockedPage,
        pos: u64,
        len: usize,
        copied: usize,
    ) -> Result<usize> {
        self.0.write_end(mapping, page, pos, len, copied)
    }
}

impl Node {
    /// The page of `pos`, space reserved for its blocks. None when they shall be allocated at once.
    pub(super) fn delayed_begin(
        &self,
        mapping: &AddressSpace,
        pos: u64,
        len: usize,
        rest: usize,
    ) -> Result<Option<LockedPage>> {
        if !self.delays(mapping) || self.is_scarce() {
            return Ok(None);
        }
        self.fs().check_running()?;
        self.fs().check_writable()?;
        let (mut tries, mut settled) = (0, false);
        loop {
            match pagecache::block_write_begin(mapping, &Reserving(self), pos, len, rest) {
                Err(Errno::ENOSPC)
                    if self.fs().should_retry(&mut tries, Claimant::File)
                        || self.fs().settle_pointers(&mut settled) => {}
                page => return page.map(Some),
            }
        }
    }

    /// Whether this file's blocks may come later.
    pub(crate) fn delays(&self, mapping: &AddressSpace) -> bool {
        !self.flags().contains(InodeFlags::INLINE_DATA)
            && self.fs().flags_on().contains(Flag::DELALLOC)
            && self.kind() == FileType::Regular
            && !mapping.journals_data()
    }

    /// Whether so few blocks are free that none should be promised (`ext4_nonda_switch`).
    fn is_scarce(&self) -> bool {
        let fs = self.fs();
        let reserved = fs.reserved_blocks.load(Ordering::Relaxed);
        // Reserved blocks are free still.
        let free = fs.free_blocks.load(Ordering::Relaxed).saturating_add(reserved);
        if reserved > 0 && free < reserved.saturating_mul(2) {
            fs.bdi().start_inodes();
        }
        free.saturating_mul(2) < reserved.saturating_mul(3) || free < reserved.saturating_add(WATERMARK)
    }

    /// Starts dirty pages on their way to the disk; those that have no place get one, in handles of its own.
    pub(super) fn writepages_in_handles(
        &self,
        mapping: &AddressSpace,
        control: &mut WritebackControl,
    ) -> Result<()> {
        let fs = self.fs();
        if fs.in_handle() {
            let before = core::mem::replace(&mut control.placed_only, true);
            let done = pagecache::mpage_writepages(mapping, self, control);
            control.placed_only = before;
            return done;
        }
        let mut handle = None;
        let (mut tries, mut left) = (0, u32::MAX);
        let mut remedy = |error| {
            drop(handle.take());
            let reserved = self.delayed.reserved();
            if reserved < left {
                // Some have found their place since the last time.
                (tries, left) = (0, reserved);
            }
            let again = error == Errno::EAGAIN
                || (error == Errno::ENOSPC && fs.should_retry(&mut tries, Claimant::Reserved));
            if !again {
                self.tell_lost(error);
                return Err(error);
            }
            handle = Some(fs.start_tracked(credits::map(self, 1))?);
            Ok(())
        };
        pagecache::mpage_writepages_with(mapping, self, control, &mut remedy)
    }

    #[cold]
    fn tell_lost(&self, error: Errno) {
        if let Some(missed) = LOST.admit() {
            let (disk, ino) = (self.fs().disk_name(), self.ino32());
            log::error!(
                "EXT4-fs ({disk}): Delayed block allocation failed for inode {ino} with error {error}; its data \
                 stay in memory{missed}"
            );
        }
    }

    /// Begins to write what has no place (`ext4_alloc_da_blocks`): it gets one in the running transaction, whose
    /// commit has the bytes too. What is to be converted after its I/O is waited for.
    pub(crate) fn alloc_delayed(&self) -> Result<()> {
        trace::alloc_da_blocks(self);
        let flies = self.delayed.has_flights();
        let mut done = Ok(());
        if flies || self.delayed.reserved() > 0 {
            // A page that is on its way may have more blocks, and one that is about to be sent is dirty still: no
            // page of a flight is passed over.
            let control = if flies { WritebackControl::sync } else { WritebackControl::start };
            let control = WritebackControl { ordered: true, ..control(0..u64::MAX) };
            done = self.writepages(self.mapping(), &mut { control });
        }
        if self.delayed.has_flights() {
            done = done.and(filemap_fdatawait_range(self.mapping(), 0..u64::MAX));
        }
        done
    }
}
