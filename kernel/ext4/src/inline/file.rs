//! Regular files in the inode: written, cut, grown out of it.

use base::{Errno, FileBlock, IovIter, Result};
use pagecache::{Extent, MapMode, filemap_write_and_wait_range, leave_inline_page, update_inline_page};
use vfs::FileType;

use crate::inode::Node;
use crate::journal::credits;

impl Node {
    /// A write call's bytes into the inode, if they fit it; None when they must go through pages, and then
    /// the file is not inline any more. `rwsem` is held alone. EFAULT, ENOSPC, EIO, EUCLEAN.
    pub(crate) fn write_inline(&self, pos: u64, from: &mut IovIter<'_>) -> Result<Option<usize>> {
        if !self.is_inline() && !self.is_unused() {
            return Ok(None);
        }
        let end = pos.saturating_add(from.count() as u64).max(self.size());
        let capacity = self.inline_capacity()?;
        let Some(end) = usize::try_from(end).ok().filter(|&end| Some(end) <= capacity) else {
            self.convert_inline()?;
            return Ok(None);
        };
        let mut bytes = self.inline_bytes()?.unwrap_or_default();
        bytes.resize(end, 0);
        // Within `end`, so it fits.
        let start = pos as usize;
        let want = from.count();
        from.fault_in_readable(want)?;
        let done = from.copy_to_slice(&mut bytes[start..start + want]);
        if done == 0 {
            return Err(Errno::EFAULT);
        }
        // A copy that ended early adds no zeros behind itself.
        let size = usize::try_from(self.size()).unwrap_or(0);
        bytes.truncate(size.max(start + done));
        let stored = self.fs().start(credits::xattr()).and_then(|_handle| self.store_inline(&bytes));
        match stored {
            Ok(()) => {}
            Err(Errno::ENOSPC) => {
                from.revert(done);
                self.convert_inline()?;
                return Ok(None);
            }
            Err(e) => return Err(e),
        }
        update_inline_page(self.mapping(), &bytes);
        Ok(Some(done))
    }

    /// Cuts or extends an inline file, its times apart. False when it is not inline, perhaps not any
    /// more. `rwsem` is held alone.
    pub(crate) fn truncate_inline(&self, size: u64) -> Result<bool> {
        let Some(mut bytes) = self.inline_bytes()?.filter(|_| self.kind() == FileType::Regular) else {
            return Ok(false);
        };
        let capacity = self.inline_capacity()?;
        let Some(len) = usize::try_from(size).ok().filter(|&len| Some(len) <= capacity) else {
            self.convert_inline()?;
            return Ok(false);
        };
        bytes.resize(len, 0);
        let _handle = self.fs().start(credits::xattr())?;
        self.store_inline(&bytes)?;
        update_inline_page(self.mapping(), &bytes);
        self.mapping().truncate_pagecache(size);
        Ok(true)
    }

    /// Moves an inline file's bytes to a block, for what only blocks can do: growth, mmap for writing,
    /// fallocate. Nothing happens to a file that is not inline. `rwsem` is held alone. ENOSPC, EIO.
    pub(crate) fn convert_inline(&self) -> Result<()> {
        if !self.is_inline() {
            return Ok(());
        }
        self.fs().transact(credits::write_page(self) + credits::xattr(), || self.convert_in_handle())
    }

    fn convert_in_handle(&self) -> Result<()> {
        let Some(bytes) = self.inline_bytes()? else { return Ok(()) };
        if bytes.is_empty() {
            self.switch_to_map();
            return self.drop_inline_rest();
        }
        leave_inline_page(self.mapping(), self, &bytes)?;
        self.mark_pages_dirty();
        if self.journals_data() {
            let handle = self.fs().start(0)?;
            self.journal_cached(&handle, 0..bytes.len() as u64)?;
            return self.drop_inline_rest();
        }
        // Before the table's inode leads to the block: its bytes may have been durable.
        let written = filemap_write_and_wait_range(self.mapping(), self, 0..bytes.len() as u64);
        self.drop_inline_rest()?;
        written
    }

    /// Blocks for the first page of a file that stops being inline, asked for with that page locked.
    pub(crate) fn map_leaving_inline(&self, first: FileBlock, count: u64, how: MapMode) -> Result<Extent> {
        let before = self.switch_to_map();
        self.map_blocks(first, count, how).inspect_err(|_| self.switch_back(&before))
    }
}
