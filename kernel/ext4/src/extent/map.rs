//! Where a range of a file lies: what the page cache, directories and lseek ask.
//!
//! # What it is
//! [`Node::map_blocks`] answers for the longest run it knows. For a write into a hole it allocates: the
//! blocks asked for become a written extent, and when the write call goes on (`ahead`) the blocks
//! after them are taken in the same breath as an *unwritten* extent, which the next questions turn
//! into written ones piece by piece. So a large write takes its blocks in one run and touches the
//! bitmaps once, and a crash in the middle shows zeros, never somebody else's old bytes.
//!
//! For a file that grows in small writes, free blocks behind its end are kept in memory alone
//! ([`crate::balloc::window`]).
//!
//! # Locking
//! `data_sem` shared to look, alone to allocate or convert. A look that the extent cache answers takes
//! no sleeping lock.

use base::{Errno, FileBlock, FsBlock, Result};
use pagecache::{Extent, ExtentKind, MapMode};

use super::node::{Entry, MAX_BLOCKS};
use super::tree::{Lookup, Tree};
use crate::balloc::blocks::{self, Request};
use crate::balloc::claim::Claimant;
use crate::balloc::window;
use crate::disk::extent::MAX_UNWRITTEN;
use crate::disk::inode::InodeFlags;
use crate::indirect;
use crate::inode::Node;
use crate::trace;
use vfs::FileType;

impl Node {
    /// Where the blocks from `first` on lie; at least 1 of the `count >= 1` asked for is answered.
    /// With [`MapMode::Read`] nothing changes. Else the answer is mapped, and `new` when the blocks
    /// came with this call. ENOSPC, EFBIG, EROFS, EIO, EUCLEAN. After a call that may allocate, the caller
    /// brings the inode to its table ([`Node::store_if_stale`]).
    pub fn map_blocks(&self, first: FileBlock, count: u64, how: MapMode) -> Result<Extent> {
        let Some(block) = u32::try_from(first.0).ok().filter(|&b| u64::from(b) < MAX_BLOCKS) else {
            return match how {
                MapMode::Read => Ok(Extent { kind: ExtentKind::Hole, len: count.max(1), new: false }),
                _ => Err(Errno::EFBIG),
            };
        };
        if let Some(entry) = self.extents.find(block)
            && !(entry.unwritten && how != MapMode::Read)
        {
            return Ok(answer(&entry, block, false));
        }
        let flags = self.flags();
        if flags.contains(InodeFlags::INLINE_DATA) {
            return match how {
                // What an inline file has is in its first page already: behind it are zeros.
                MapMode::Read => Ok(Extent { kind: ExtentKind::Hole, len: count.max(1), new: false }),
                _ => Err(Errno::EIO),
            };
        }
        if !flags.contains(InodeFlags::EXTENTS) {
            return self.map_indirect(block, count, how);
        }
        trace::map_blocks_enter(self, block, count, how);
        let found = match how {
            MapMode::Read => {
                let _shared = self.data_sem().read();
                self.look(block)
            }
            MapMode::Write { .. } => self.map_for_write(block, count, how),
            MapMode::Writeback { unwritten } => self.map_for_writeback(first, count, unwritten),
        };
        trace::map_blocks_exit(self, block, count, how, &found);
        found
    }

    /// A look into the tree; what is found is remembered.
    pub(super) fn look(&self, block: u32) -> Result<Extent> {
        match Tree::of(self).lookup(block)? {
            Lookup::Found(entry) => {
                self.extents.put(entry);
                Ok(answer(&entry, block, false))
            }
            Lookup::Hole { next, .. } => {
                let len = next.saturating_sub(u64::from(block)).max(1);
                Ok(Extent { kind: ExtentKind::Hole, len, new: false })
            }
        }
    }

    fn map_for_write(&self, block: u32, count: u64, how: MapMode) -> Result<Extent> {
        let growing = u64::from(block) >= self.block_count();
        if !growing {
            // Most blocks that are written are there already: no need to keep other readers out.
            let _shared = self.data_sem().read();
            let seen = self.look(block)?;
            if matches!(seen.kind, ExtentKind::Mapped { .. }) {
                return Ok(seen);
            }
        }
        self.fs().check_writable()?;
        let _alone = self.data_sem().write();
        self.give_place(block, count, how, Claimant::File)
    }

    /// Allocates or converts: `data_sem` is held alone.
    pub(crate) fn give_place(&self, block: u32, count: u64, how: MapMode, who: Claimant) -> Result<Extent> {
        let answer = match Tree::of(self).lookup(block)? {
            Lookup::Found(entry) if entry.unwritten => self.convert(&entry, block, count, how),
            Lookup::Found(entry) => return Ok(answer(&entry, block, false)),
            Lookup::Hole { before, next } => {
                let ahead = if let MapMode::Write { ahead } = how { ahead } else { 0 };
                self.fill_hole(Wanted { block, count, ahead, before, next, who }, how)
            }
        };
        // Even a failure may have left the tree with one node more.
        self.set_stale();
        answer
    }

    /// Turns the part of an unwritten extent that is asked for into a written one.
    fn convert(&self, entry: &Entry, block: u32, count: u64, how: MapMode) -> Result<Extent> {
        let left = entry.end() - u64::from(block);
        // At most the entry's length, a u32.
        let len = left.min(count.max(1)) as u32;
        self.extents.forget(entry.block, entry.end());
        Tree::of(self).convert(block, len, false)?;
        let written = Entry { unwritten: false, ..entry.part(block, len) };
        self.delayed_are_placed(block, len, how, Claimant::File);
        self.note_new(block, len);
        self.extents.put(written);
        Ok(answer(&written, block, true))
    }

    /// Allocates for a hole that ends at `next`.
    fn fill_hole(&self, wanted: Wanted, how: MapMode) -> Result<Extent> {
        let Wanted { block, count, ahead, before, next, who } = wanted;
        let tree = Tree::of(self);
        let room = next.saturating_sub(u64::from(block)).min(u64::from(MAX_UNWRITTEN));
        let count = count.clamp(1, room.max(1));
        // At most MAX_UNWRITTEN, a u32.
        let want = count.saturating_add(ahead).min(room.max(1)) as u32;
        let request = Request { goal: tree.goal(block, before), want, who };
        trace::request_blocks(self, block, &request);
        let (start, got) = blocks::allocate_growing(self, &request, block, self.growth(block, before))?;
        trace::allocate_blocks(self, block, &request, start, got);
        let len = u64::from(got).min(count) as u32;
        let run = Entry { block, len: got, start: start.0, unwritten: false };
        let written = run.part(block, len);
        if let Err(e) = tree.insert(written) {
            blocks::give_back(self.fs(), self.ino32(), start, got, who)?;
            return Err(e);
        }
        self.delayed_are_placed(block, len, how, who);
        self.add_blocks(i64::from(len));
        if got > len {
            self.keep_ahead(&run, len)?;
        }
        self.note_new(block, len);
        self.extents.put(written);
        Ok(answer(&written, block, true))
    }

    /// How many blocks to keep behind those for `block` because the file seems to grow: the write goes on
    /// right at its end.
    pub(super) fn growth(&self, block: u32, before: Option<Entry>) -> u32 {
        let appends = before.is_some_and(|e| e.end() == u64::from(block))
            && u64::from(block) >= self.disk_block_count();
        if self.kind() == FileType::Regular && appends { window::size(self.fs()) } else { 0 }
    }

    /// Puts the rest of a run, behind its first `len` blocks, into the tree as unwritten; or gives it
    /// back when the tree has no room for it.
    fn keep_ahead(&self, run: &Entry, len: u32) -> Result<()> {
        let rest = Entry { unwritten: true, ..run.part(run.block + len, run.len - len) };
        match Tree::of(self).insert(rest) {
            Ok(()) => {
                self.delayed_are_allocated(rest.block.into(), rest.end(), Claimant::File);
                self.add_blocks(i64::from(rest.len));
                Ok(())
            }
            Err(_) => {
                blocks::give_back(self.fs(), self.ino32(), FsBlock(rest.start), rest.len, Claimant::File)
            }
        }
    }

    fn map_indirect(&self, block: u32, count: u64, how: MapMode) -> Result<Extent> {
        let seen = {
            let _shared = self.data_sem().read();
            self.look_indirect(block, count)?
        };
        if how == MapMode::Read || matches!(seen.kind, ExtentKind::Mapped { .. }) {
            return Ok(seen);
        }
        self.fs().check_writable()?;
        let _alone = self.data_sem().write();
        self.give_place_indirect(block, count, how, Claimant::File)
    }

    /// Allocates where there is nothing: `data_sem` is held alone.
    pub(crate) fn give_place_indirect(
        &self,
        block: u32,
        count: u64,
        how: MapMode,
        who: Claimant,
    ) -> Result<Extent> {
        let seen = self.look_indirect(block, count)?;
        if matches!(seen.kind, ExtentKind::Mapped { .. }) {
            return Ok(seen);
        }
        let (start, len) = indirect::grow(self, block, count, who)?;
        self.set_stale();
        self.delayed_are_placed(block, len, how, who);
        self.note_new(block, len);
        let written = Entry { block, len, start: start.0, unwritten: false };
        self.extents.put(written);
        Ok(answer(&written, block, true))
    }

    /// A look into the blocks of pointers; what is found is remembered.
    pub(crate) fn look_indirect(&self, block: u32, count: u64) -> Result<Extent> {
        let found = indirect::lookup(self, block, count)?;
        if let (ExtentKind::Mapped { block: start }, Ok(len)) = (found.kind, u32::try_from(found.len)) {
            self.extents.put(Entry { block, len, start: start.0, unwritten: false });
        }
        Ok(found)
    }

    /// Whether `i_block` maps blocks: files, directories and symbolic links that are not fast ones.
    pub(crate) fn is_mapped(&self) -> bool {
        match self.kind() {
            FileType::Regular | FileType::Directory => !self.is_inline(),
            FileType::Symlink => !self.is_inline() && !self.is_fast_symlink(),
            _ => false,
        }
    }

    /// Whether this is a symbolic link whose target lies in the inode: it has no block, but perhaps one
    /// with attributes.
    pub fn is_fast_symlink(&self) -> bool {
        let attributes = 1u64 << (self.fs().geometry().block_bits - 9);
        self.kind() == FileType::Symlink
            && self.with_meta(|m| m.blocks == if m.file_acl != 0 { attributes } else { 0 })
    }

    /// Changes `i_blocks` by a number of blocks of the file system.
    pub(crate) fn add_blocks(&self, blocks: i64) {
        self.tids.note_map_changed();
        let sectors = blocks << (self.fs().geometry().block_bits - 9);
        self.with_meta(|m| m.blocks = m.blocks.saturating_add_signed(sectors));
    }

    /// Where a file's first block would be best: the start of its inode's group.
    pub(crate) fn home_block(&self) -> FsBlock {
        let geometry = self.fs().geometry();
        let group = geometry.locate_inode(self.ino()).map_or(0, |(group, _)| group);
        geometry.group_first_block(group)
    }
}

/// A hole, and what is wanted in it.
struct Wanted {
    block: u32,
    count: u64,
    /// Blocks behind these that will be wanted next.
    ahead: u64,
    before: Option<Entry>,
    /// Where the hole ends.
    next: u64,
    who: Claimant,
}

/// What an extent says from `block` on.
pub(crate) fn answer(entry: &Entry, block: u32, new: bool) -> Extent {
    let len = entry.end() - u64::from(block);
    let kind = if entry.unwritten {
        ExtentKind::Unwritten
    } else {
        ExtentKind::Mapped { block: FsBlock(entry.start + u64::from(block - entry.block)) }
    };
    Extent { kind, len, new }
}
