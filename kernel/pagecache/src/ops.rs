//! What the page cache asks of a file system: [`AddressSpaceOperations`], and the words the two
//! speak: [`Extent`], [`MapMode`], [`WritebackControl`].
//!
//! The cache knows no inode. Every generic function takes `ops`, and through it learns the file's
//! size, the disk below, and where a *range* of the file lies: it asks once per extent, never once
//! per block.
//!
//! # Example
//! A file of 12 KiB with 4 KiB blocks, blocks 0 and 1 at disk blocks 100 and 101, block 2 a hole:
//! `map(FileBlock(0), 3, Read)` answers `Mapped { block: 100 }, len 2`; then `map(FileBlock(2), 1,
//! Read)` answers `Hole, len 1`.
//!
//! # Locking
//! `map` is called with one page locked, so it may take the file system's own mapping lock
//! (`i_data_sem`) but must never lock a page of the same file.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use base::{FileBlock, FsBlock, PageIndex, Result};
use block::Disk;

use crate::mapping::AddressSpace;
use crate::page::LockedPage;
use crate::unwritten::UnwrittenIo;

/// Where a run of a file's blocks lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExtentKind {
    /// Nowhere: reads as zeros.
    Hole,
    /// Blocks are allocated, but what they hold is not the file's: reads as zeros.
    Unwritten,
    /// Nowhere yet: space is reserved, and the place comes at writeback. An answer to
    /// [`MapMode::Write`] alone; to others such a run is what it is on the disk.
    Delayed,
    /// On the disk, `block` being the first of the run.
    Mapped {
        /// The disk block of the run's first file block.
        block: FsBlock,
    },
}

/// The answer of [`AddressSpaceOperations::map`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    /// Where the run lies.
    pub kind: ExtentKind,
    /// How many blocks the run goes on for: at least 1, may be more than was asked.
    pub len: u64,
    /// The blocks were allocated (or turned from unwritten to written) by this very call: what they
    /// hold on the disk is somebody else's, and the cache must fill or zero every byte.
    pub new: bool,
}

/// What [`AddressSpaceOperations::map`] is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapMode {
    /// Only look.
    Read,
    /// A write call is about to fill these blocks: allocate what is missing, or see to it that it can
    /// be allocated later. The answer is `Mapped` or `Delayed` and covers at most the blocks asked for
    /// when it is `new`. An unwritten run is answered as `new`.
    Write {
        /// How many blocks right after the asked ones the same call will want: a hint for
        /// preallocation.
        ahead: u64,
    },
    /// Writeback found dirty blocks without a place (delayed allocation): allocate. The answer is `Mapped`;
    /// its bytes will be written whole. What an error means, the file system knows
    /// ([`crate::mpage_writepages_with`]).
    Writeback {
        /// The blocks that are answered as `new` shall be unwritten on the disk until the bytes are there:
        /// what [`AddressSpaceOperations::begin_unwritten`] has begun sees to the rest.
        unwritten: bool,
    },
}

/// How hard a sweep tries (`enum writeback_sync_modes`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyncMode {
    /// Start what can be started without waiting for pages already under writeback.
    None,
    /// Data integrity: every page that is dirty when the sweep begins goes to the disk.
    All,
}

/// What one sweep over a file's dirty pages shall do, and how far it came
/// (`struct writeback_control`).
#[derive(Clone, Debug)]
pub struct WritebackControl {
    /// How hard to try.
    pub sync_mode: SyncMode,
    /// Pages still to be written; a sweep with [`SyncMode::None`] stops at zero.
    pub nr_to_write: u64,
    /// The bytes of the file that are meant.
    pub range: Range<u64>,
    /// Begin where the last sweep stopped and wrap around once.
    pub range_cyclic: bool,
    /// Pass over dirty blocks that have no place: nothing may be allocated.
    pub placed_only: bool,
    /// Blocks that get a place count as written at once, and the file system puts their bytes before what makes
    /// them visible; never [`MapMode::Writeback`] with `unwritten`.
    pub ordered: bool,
    /// Out: pages whose I/O was started.
    pub pages_written: u64,
    /// Out: pages that were dirty but passed over.
    pub pages_skipped: u64,
}

impl WritebackControl {
    /// Data integrity for a byte range.
    pub fn sync(range: Range<u64>) -> WritebackControl {
        WritebackControl {
            sync_mode: SyncMode::All,
            nr_to_write: u64::MAX,
            range,
            range_cyclic: false,
            placed_only: false,
            ordered: false,
            pages_written: 0,
            pages_skipped: 0,
        }
    }

    /// Starts a byte range on its way without waiting.
    pub fn start(range: Range<u64>) -> WritebackControl {
        WritebackControl { sync_mode: SyncMode::None, ..WritebackControl::sync(range) }
    }

    /// The same, of those blocks only that have a place.
    pub fn placed_only(self) -> WritebackControl {
        WritebackControl { placed_only: true, ..self }
    }

    /// A background sweep of at most `pages` pages that goes on where the last one stopped.
    pub fn background(pages: u64) -> WritebackControl {
        WritebackControl { nr_to_write: pages, range_cyclic: true, ..WritebackControl::start(0..u64::MAX) }
    }
}

/// What a file system does for the cache of one file.
///
/// `block_bits`, `disk`, `size` and `map` are the file's geography; `write_begin` to `writepages`
/// have the generic behaviour as their default, and a file system overrides what it does otherwise.
pub trait AddressSpaceOperations: Send + Sync {
    /// log2 of the block size: 9 to 12.
    fn block_bits(&self) -> u32;

    /// The disk below.
    fn disk(&self) -> &Arc<Disk>;

    /// The file's size in bytes (`i_size_read`). Called with a page locked; must not sleep.
    fn size(&self) -> u64;

    /// Where the blocks from `first` on lie; asked for `count >= 1` blocks. EIO or EUCLEAN when the
    /// file's map cannot be read, ENOSPC when nothing can be allocated.
    fn map(&self, first: FileBlock, count: u64, how: MapMode) -> Result<Extent>;

    /// Writeback is about to ask `map` for places. Some: the blocks that it gives stay unwritten until this
    /// ends. None: they are written ones from the start. Called with a page locked; must not sleep.
    fn begin_unwritten(&self) -> Option<Arc<UnwrittenIo>> {
        None
    }

    /// The file's bytes, when they lie in its inode and not in blocks ([`crate::update_inline_page`]).
    /// Called with the first page locked. EIO or EUCLEAN when they cannot be read.
    fn inline_data(&self) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    /// Readies the page of byte `pos` for `len` bytes (within that page) to be copied in; not asked for
    /// bytes that are cached already, on blocks that are mapped, unless the data are journalled. `rest >=
    /// len` bytes is what the whole write call still wants to write from `pos` on.
    fn write_begin(&self, mapping: &AddressSpace, pos: u64, len: usize, rest: usize) -> Result<LockedPage> {
        crate::write::block_write_begin(mapping, &self, pos, len, rest)
    }

    /// `copied <= len` bytes were copied. Calls [`crate::block_write_end`], publishes the new
    /// i_size when `pos` plus its answer lies past it, unlocks the page (drops it), marks the inode
    /// dirty. Returns the bytes that count as written, perhaps 0: the caller tries again.
    fn write_end(
        &self,
        mapping: &AddressSpace,
        page: LockedPage,
        pos: u64,
        len: usize,
        copied: usize,
    ) -> Result<usize>;

    /// A program is about to store to page `index`, which it has mapped shared: the page locked, dirty, and
    /// not on its way to the disk. The caller holds `invalidate_lock` shared. See
    /// [`crate::generic_page_mkwrite`], which a file system calls once it has set the file's times.
    fn page_mkwrite(&self, mapping: &AddressSpace, index: PageIndex) -> Result<LockedPage> {
        crate::mkwrite::generic_page_mkwrite(mapping, &self, index)
    }

    /// Starts dirty pages on their way to the disk.
    fn writepages(&self, mapping: &AddressSpace, control: &mut WritebackControl) -> Result<()> {
        crate::writepages::mpage_writepages(mapping, &self, control)
    }

    /// `pages` pages became dirty in a write call: a chance to hold the writer back. No page is
    /// locked. A file system forwards to `writeback::balance_dirty_pages_ratelimited`.
    fn balance_dirty(&self, _pages: usize) {}
}

impl<T: AddressSpaceOperations + ?Sized> AddressSpaceOperations for &T {
    fn block_bits(&self) -> u32 {
        (**self).block_bits()
    }
    fn disk(&self) -> &Arc<Disk> {
        (**self).disk()
    }
    fn size(&self) -> u64 {
        (**self).size()
    }
    fn map(&self, first: FileBlock, count: u64, how: MapMode) -> Result<Extent> {
        (**self).map(first, count, how)
    }
    fn begin_unwritten(&self) -> Option<Arc<UnwrittenIo>> {
        (**self).begin_unwritten()
    }
    fn inline_data(&self) -> Result<Option<Vec<u8>>> {
        (**self).inline_data()
    }
    fn write_begin(&self, mapping: &AddressSpace, pos: u64, len: usize, rest: usize) -> Result<LockedPage> {
        (**self).write_begin(mapping, pos, len, rest)
    }
    fn write_end(
        &self,
        mapping: &AddressSpace,
        page: LockedPage,
        pos: u64,
        len: usize,
        copied: usize,
    ) -> Result<usize> {
        (**self).write_end(mapping, page, pos, len, copied)
    }
    fn page_mkwrite(&self, mapping: &AddressSpace, index: PageIndex) -> Result<LockedPage> {
        (**self).page_mkwrite(mapping, index)
    }
    fn writepages(&self, mapping: &AddressSpace, control: &mut WritebackControl) -> Result<()> {
        (**self).writepages(mapping, control)
    }
    fn balance_dirty(&self, pages: usize) {
        (**self).balance_dirty(pages)
    }
}
