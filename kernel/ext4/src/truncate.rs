//! Changing a file's size.
//!
//! # Order, and what a crash in between leaves
//! ```text
//!   shrink  1 zero the rest of the last block     (a block of old bytes must never show again)
//!           2 handle: onto the orphan list        (a mount after a crash goes on from here),
//!             i_size, published and in the table
//!           3 pages behind it dropped, I/O on them waited for
//!           4 blocks freed, from the end backwards, a handle for each chunk
//!           5 handle: off the orphan list, times
//!   grow    handle: i_size alone: what is behind the old end is zeros already
//! ```
//!
//! # Chunks
//! What one handle takes out of the map it also frees. [`Removed`] counts the blocks of metadata that this
//! changes and says when they are enough: a bitmap and a descriptor for every group that a run lies in, a
//! leaf for every round. A run that is too long for the rest of the chunk is cut.
//!
//! # Locking
//! The caller holds `rwsem` alone and no handle. Direct I/O that nobody waits for is waited for first; steps 2
//! to 4 hold the mapping's `invalidate_lock` alone. `data_sem` is taken alone for step 4, anew for every chunk.

use base::units::SECTOR_SHIFT;
use base::{Errno, FsBlock, Result};
use smallvec::SmallVec;
use vfs::FileType;

use crate::balloc::{blocks, window};
use crate::disk::feature::RoCompat;
use crate::disk::inode::InodeFlags;
use crate::extent::node::{self, MAX_BLOCKS};
use crate::extent::tree::Tree;
use crate::indirect;
use crate::inode::{Node, Touch};
use crate::journal::credits::{self, CHUNK};
use crate::options::Flag;

impl Node {
    /// Cuts or extends a regular file to `size` bytes. EFBIG, EROFS, EIO, EUCLEAN.
    pub fn truncate(&self, size: u64) -> Result<()> {
        self.fs().check_writable()?;
        if size > self.max_bytes() {
            return Err(Errno::EFBIG);
        }
        self.dio.wait();
        let inline = self.truncate_inline(size)?;
        let old = self.size();
        if !inline && size < old {
            self.shrink(size)?;
        } else if !inline && size == old {
            // ftruncate to the present size gives back what was allocated behind it.
            self.free_behind(size)?;
        }
        if size > old {
            self.zero_behind(old)?;
        }
        {
            let _handle = self.fs().start_tracked(credits::orphan())?;
            if !inline && size < old {
                self.end_orphan()?;
            }
            self.grow_to(old, size);
            if size == 0 && !self.fs().flags_on().contains(Flag::NO_AUTO_DA_ALLOC) {
                self.delayed.write_at_close();
            }
            self.touch(Touch::Modified);
            self.mark_dirty();
        }
        self.grown_from(old);
        Ok(())
    }

    /// The file is about to grow from `size` bytes: what stores to its last page have left behind the end
    /// becomes zeros. No handle is held.
    pub(crate) fn zero_behind(&self, size: u64) -> Result<()> {
        if self.journals_data() {
            // The log may have it, and the disk, also when nobody has it mapped any more.
            self.zero_within_block(size, size.next_multiple_of(self.fs().geometry().block_size() as u64))?;
        }
        drop(self.mapping().before_growth(size));
        Ok(())
    }

    /// Publishes a new i_size. When it grows, what stores to the last page have left behind the old end is
    /// zeros from then on.
    pub(crate) fn grow_to(&self, old: u64, size: u64) {
        let _last = if size > old { self.mapping().before_growth(old) } else { None };
        self.set_size(size);
    }

    /// The file may have grown from `old` bytes: see [`pagecache::AddressSpace::after_growth`].
    #[inline(always)]
    pub(crate) fn grown_from(&self, old: u64) {
        if self.size() > old {
            self.mapping().after_growth(old);
        }
    }

    /// Steps 1 to 4.
    fn shrink(&self, size: u64) -> Result<()> {
        let block_end = size.next_multiple_of(self.fs().geometry().block_size() as u64);
        let journalled = self.journals_data();
        if !journalled {
            self.zero_within_block(size, block_end)?;
        }
        // Stores to mapped pages stay out until the blocks are free.
        let _no_faults = self.mapping().invalidate_lock();
        self.settle_cut(size)?;
        {
            let _handle = self.fs().start_tracked(credits::orphan() + credits::zeroed_block())?;
            if journalled {
                self.zero_within_block(size, block_end)?;
            }
            self.settle_ordered(size..u64::MAX)?;
            // The zeros behind the new end.
            self.note_ordered(size..block_end);
            self.add_orphan()?;
            self.set_size(size);
            self.track_range(self.first_behind(size)..MAX_BLOCKS);
            self.mark_dirty();
        }
        self.mapping().truncate_pagecache(size);
        self.free_behind(size)
    }

    /// The first file block that lies wholly behind `size`.
    fn first_behind(&self, size: u64) -> u64 {
        size.div_ceil(self.fs().geometry().block_size() as u64)
    }

    /// Drops pages and blocks behind i_size: after a write that ended short, and for an orphan that was
    /// being cut when the machine stopped.
    pub(crate) fn trim(&self) -> Result<()> {
        let size = self.size();
        let _no_faults = self.mapping().invalidate_lock();
        self.settle_cut(size)?;
        self.mapping().truncate_pagecache(size);
        self.free_behind(size)
    }

    /// Frees the blocks that lie wholly behind `size`. No page of them is cached any more.
    pub(crate) fn free_behind(&self, size: u64) -> Result<()> {
        if !self.is_mapped() {
            return Ok(());
        }
        window::discard(self);
        self.remove_blocks(self.first_behind(size), MAX_BLOCKS, || {})
    }

    /// Takes the file blocks `from..to` out of the map and frees them, a chunk at a time, and brings the inode
    /// to its table. `between` is called after some were taken out and before they are freed: who found
    /// their place before has to be done with them when it returns.
    pub(crate) fn remove_blocks(&self, from: u64, to: u64, between: impl Fn()) -> Result<()> {
        loop {
            let _handle = self.fs().start_tracked(credits::chunk(self))?;
            let done = self.remove_chunk(from, to, &between);
            self.mark_dirty();
            if done? {
                return Ok(());
            }
        }
    }

    /// One chunk of that, from the end, inside a handle that has room for it; the inode is not stored. True when
    /// nothing is left in the range.
    pub(crate) fn remove_chunk(&self, from: u64, to: u64, between: impl Fn()) -> Result<bool> {
        let mut gone = Removed::new(self);
        let done = {
            let _alone = self.data_sem().write();
            self.track_range(from..to);
            self.forget_delayed(from, to);
            // Below 2^32 where there is anything to forget.
            self.extents.forget(u32::try_from(from).unwrap_or(u32::MAX), to);
            if self.flags().contains(InodeFlags::EXTENTS) {
                Tree::of(self).remove(from, to, &mut gone)
            } else {
                indirect::remove(self, from, to, &mut gone)
            }
        };
        between();
        // What was taken out is nobody's, even when the rest could not be.
        gone.runs.iter().try_for_each(|run| match run.metadata {
            true => self.free_pointers(run.first),
            false => self.free_run(run.first, run.len),
        })?;
        done
    }

    /// Whether all of its blocks certainly go in one chunk: the extents lie in the inode, and are of few groups.
    pub(crate) fn is_one_chunk(&self) -> bool {
        let geometry = self.fs().geometry();
        // With what is revoked of them it must not be more either.
        let records = self.revokes_per_block().map_or(u64::MAX, |per| per * u64::from(CHUNK / 2));
        let blocks = u64::from(geometry.blocks_per_group).min(records);
        let sectors = blocks << (geometry.block_bits - SECTOR_SHIFT);
        self.flags().contains(InodeFlags::EXTENTS)
            && self.with_meta(|m| m.blocks <= sectors && node::depth(&m.block) == 0)
    }

    /// Records that fill a block of the log, where each freed block of the file needs one: directories, symbolic
    /// links, and data that go through the journal.
    fn revokes_per_block(&self) -> Option<u64> {
        let revoked = self.is_metadata() || self.journals_data();
        let journal = self.fs().journal().filter(|_| revoked)?;
        Some(journal.revokes_per_block() as u64)
    }

    /// Frees a block of pointers.
    fn free_pointers(&self, block: FsBlock) -> Result<()> {
        self.add_blocks(-1);
        blocks::free_metadata(self.fs(), self.ino32(), block)
    }

    /// Whether its blocks are cached and logged as metadata: a directory's, a symbolic link's, and those of an
    /// attribute's value.
    fn is_metadata(&self) -> bool {
        self.kind() != FileType::Regular || self.flags().contains(InodeFlags::EA_INODE)
    }

    /// Frees a run of the file's blocks and takes it off `i_blocks`. Of metadata, what is cached of them must not be written any more. Nor what the log has of them,
    /// and of data that go through it.
    pub(crate) fn free_run(&self, first: FsBlock, len: u64) -> Result<()> {
        let blocks = || (first.0..first.0.saturating_add(len)).map(FsBlock);
        if self.is_metadata() {
            blocks().for_each(|block| self.fs().forget(block));
        } else if self.journals_data()
            && let Some(journal) = self.fs().journal()
        {
            blocks().for_each(|block| journal.revoke(block));
        }
        self.add_blocks(-i64::try_from(len).unwrap_or(0));
        blocks::free(self.fs(), self.ino32(), first, len)
    }

    /// The largest size this file can have: 2^32 - 1 blocks with extents, what three levels of pointers
    /// reach without.
    #[inline]
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes_by(self.flags())
    }

    /// The same, with its flags.
    #[inline]
    pub fn max_bytes_by(&self, flags: InodeFlags) -> u64 {
        let geometry = self.fs().geometry();
        if flags.contains(InodeFlags::EXTENTS) {
            return geometry.max_bytes();
        }
        indirect::limit::max_bytes(geometry.block_bits, geometry.has_ro_compat(RoCompat::HUGE_FILE))
            .min(geometry.max_bytes())
    }
}

/// Runs that were taken out of a file's map and are to be freed: one chunk.
pub(crate) struct Removed {
    /// Most files have so few that they need no memory of their own.
    runs: SmallVec<[Run; 4]>,
    /// Blocks of metadata that may still be changed.
    left: u32,
    blocks_per_group: u64,
    /// The group of the last run, whose bitmap is counted.
    group: u64,
    /// Records that fill a block of the log, where each freed block needs one.
    revokes_per_block: Option<u64>,
    /// Blocks so far.
    blocks: u64,
}

struct Run {
    first: FsBlock,
    len: u64,
    /// A block of pointers.
    metadata: bool,
}

impl Removed {
    /// The most runs that are kept for one time.
    const FULL: usize = 256;

    fn new(node: &Node) -> Removed {
        Removed {
            runs: SmallVec::new(),
            left: CHUNK,
            blocks_per_group: u64::from(node.fs().geometry().blocks_per_group),
            group: u64::MAX,
            revokes_per_block: node.revokes_per_block(),
            blocks: 0,
        }
    }

    /// Whether these are enough for one time.
    pub fn is_full(&self) -> bool {
        self.runs.len() >= Removed::FULL || self.left <= 2
    }

    /// So many blocks of metadata change besides what the runs cost.
    pub fn spend(&mut self, blocks: u32) {
        self.left = self.left.saturating_sub(blocks);
    }

    /// Blocks of metadata that may still be changed.
    pub fn left(&self) -> u32 {
        self.left
    }

    /// What a run costs: a bitmap and a descriptor for each group that it lies in, and the records that revoke
    /// its blocks.
    pub fn cost(&self, first: FsBlock, len: u64) -> u32 {
        // Groups begin at the first data block, 0 or 1: one more or less does not matter here.
        let groups = (first.0 + len) / self.blocks_per_group - first.0 / self.blocks_per_group + 1;
        let groups = u32::try_from(groups).unwrap_or(u32::MAX).saturating_mul(2);
        groups.saturating_add(self.records(0, len))
    }

    /// Blocks of the log for the records of blocks `from..to`, counted from the first that was removed.
    fn records(&self, from: u64, to: u64) -> u32 {
        let blocks = self.revokes_per_block.map_or(0, |per| to.div_ceil(per) - from.div_ceil(per));
        u32::try_from(blocks).unwrap_or(u32::MAX)
    }

    /// How many blocks of a run there is certainly room for, counted from its end; at least 1.
    pub fn room(&self) -> u64 {
        // The run may begin and end within a group.
        let groups = |left: u32| u64::from((left / 2).saturating_sub(1)) * self.blocks_per_group + 1;
        match self.revokes_per_block {
            Some(per) => groups(self.left / 2).min(u64::from(self.left / 2).saturating_sub(1) * per + 1),
            None => groups(self.left),
        }
    }

    /// A run of data, joined with the one before it where they touch.
    pub fn data(&mut self, first: FsBlock, len: u64) {
        self.count(first, len);
        match self.runs.last_mut().filter(|last| !last.metadata) {
            Some(last) if last.first.0 + last.len == first.0 => last.len += len,
            Some(last) if first.0 + len == last.first.0 => {
                last.first = first;
                last.len += len;
            }
            _ => self.runs.push(Run { first, len, metadata: false }),
        }
    }

    /// A block of pointers.
    pub fn metadata(&mut self, block: FsBlock) {
        self.count(block, 1);
        self.runs.push(Run { first: block, len: 1, metadata: true });
    }

    /// Spends what a run costs, but for a group that the last one lay in.
    fn count(&mut self, first: FsBlock, len: u64) {
        let (from, to) = (first.0 / self.blocks_per_group, (first.0 + len) / self.blocks_per_group);
        let known = if (from..=to).contains(&self.group) { 2 } else { 0 };
        let records = self.records(self.blocks, self.blocks + len);
        let cost = self.cost(first, len) - self.records(0, len);
        self.spend(cost - known + records);
        self.group = from;
        self.blocks += len;
    }
}
