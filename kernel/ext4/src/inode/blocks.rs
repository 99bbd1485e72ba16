//! Blocks of a file as metadata: directories and long symbolic links keep theirs in the block
//! device's cache, not in pages of their own.
//!
//! # How to use it
//! ```text
//!   match dir.bread_dir(FileBlock(0))? { Some(buffer) => …buffer.read()…, None => a hole }
//!   let (at, buffer) = dir.append_dir_block()?;      // one block longer, all zeros, dirty
//! ```
//!
//! # Locking
//! The caller holds `rwsem`: shared to read, alone to append.

use base::{Errno, FileBlock, FsBlock, Result};
use pagecache::{Buffer, ExtentKind, MapMode};
use vfs::FileType;

use super::Node;

impl Node {
    /// Blocks of the file, by its size.
    pub fn block_count(&self) -> u64 {
        self.size().div_ceil(self.fs.geometry().block_size() as u64)
    }

    /// Blocks of the file, by its size on the disk.
    pub(crate) fn disk_block_count(&self) -> u64 {
        self.disksize().div_ceil(self.fs.geometry().block_size() as u64)
    }

    /// Where a block of this file lies. None for a hole or an unwritten block.
    pub fn locate(&self, block: FileBlock) -> Result<Option<FsBlock>> {
        let extent = self.map_blocks(block, 1, MapMode::Read)?;
        Ok(match extent.kind {
            ExtentKind::Mapped { block } => Some(block),
            ExtentKind::Hole | ExtentKind::Unwritten | ExtentKind::Delayed => None,
        })
    }

    /// A block of this directory (or slow symbolic link), read in. None for a hole. EIO, EUCLEAN.
    pub fn bread_dir(&self, block: FileBlock) -> Result<Option<Buffer>> {
        match self.locate(block)? {
            Some(at) => self.fs.device().bread(at).map(Some),
            None => Ok(None),
        }
    }

    /// ENOSPC when a directory has reached `max_dir_size_kb`.
    fn check_dir_size(&self) -> Result<()> {
        let limit = u64::from(self.fs.max_dir_size_kb());
        let full = limit != 0 && self.kind == FileType::Directory && self.size() >> 10 >= limit;
        if full { Err(Errno::ENOSPC) } else { Ok(()) }
    }

    /// Makes the file one block longer: the new block, zeroed, for the caller to fill. The inode is
    /// marked dirty. ENOSPC, EFBIG.
    pub fn append_dir_block(&self) -> Result<(FileBlock, Buffer)> {
        let size = self.fs.geometry().block_size() as u64;
        self.check_dir_size()?;
        let block = FileBlock(self.block_count());
        let extent =
            self.map_blocks(block, 1, MapMode::Write { ahead: 0 }).inspect_err(|_| self.store_if_stale())?;
        let ExtentKind::Mapped { block: at } = extent.kind else { return Err(Errno::EIO) };
        let buffer = self.fs.device().getblk(at)?;
        buffer.write().fill(0);
        let end = block.0.checked_add(1).and_then(|n| n.checked_mul(size)).ok_or(Errno::EFBIG)?;
        self.set_size(end);
        self.mark_dirty();
        Ok((block, buffer))
    }
}
