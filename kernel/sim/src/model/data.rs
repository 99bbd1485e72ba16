//! Content in the model.

use base::time::Timespec;
use base::{Errno, Result};
use vfs::MountFlags;

use super::{Id, Model, ModelNode, flag};

/// FALLOC_FL_*.
pub const KEEP_SIZE: u32 = 0x01;
const PUNCH_HOLE: u32 = 0x02;
const COLLAPSE_RANGE: u32 = 0x08;
const ZERO_RANGE: u32 = 0x10;
const INSERT_RANGE: u32 = 0x20;

impl Model {
    /// The bytes of a file, to change them.
    pub(crate) fn bytes_mut(&mut self, id: Id) -> Result<&mut Vec<u8>> {
        match &mut self.inodes[id].node {
            ModelNode::File(bytes) => Ok(bytes),
            ModelNode::Directory(_) => Err(Errno::EISDIR),
            ModelNode::Symlink(_) | ModelNode::Special(..) => Err(Errno::EINVAL),
        }
    }

    /// open(2) for writing, without O_APPEND.
    pub fn open_for_writing(&self, id: Id) -> Result<()> {
        self.forbid(id, flag::IMMUTABLE | flag::APPEND)
    }

    /// pwrite(2) on an open file.
    pub fn pwrite(&mut self, id: Id, pos: usize, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.forbid(id, flag::IMMUTABLE)?;
        let file = self.bytes_mut(id)?;
        file.resize(file.len().max(pos + bytes.len()), 0);
        file[pos..pos + bytes.len()].copy_from_slice(bytes);
        self.touch(id);
        Ok(())
    }

    /// A write found no room for its first byte: the times moved before.
    pub fn write_without_room(&mut self, id: Id) {
        self.touch(id);
    }

    /// truncate(2). ext4 moves the times even when the size stays.
    pub fn truncate(&mut self, id: Id, len: usize) -> Result<()> {
        self.forbid(id, flag::IMMUTABLE | flag::APPEND)?;
        let file = self.bytes_mut(id)?;
        let grows = len > file.len();
        file.resize(len, 0);
        if !grows {
            self.inodes[id].reserved = 0;
        }
        self.touch(id);
        Ok(())
    }

    /// fallocate(2) of a file that is open for writing; `len` is not 0.
    pub fn fallocate(&mut self, id: Id, mode: u32, offset: usize, len: usize) -> Result<()> {
        let allowed = [
            0,
            KEEP_SIZE,
            PUNCH_HOLE | KEEP_SIZE,
            ZERO_RANGE,
            ZERO_RANGE | KEEP_SIZE,
            COLLAPSE_RANGE,
            INSERT_RANGE,
        ];
        if !allowed.contains(&mode) {
            let alone = mode & (COLLAPSE_RANGE | INSERT_RANGE) != 0 && mode & PUNCH_HOLE == 0;
            return Err(if alone { Errno::EINVAL } else { Errno::EOPNOTSUPP });
        }
        self.forbid(id, flag::IMMUTABLE)?;
        if mode & !KEEP_SIZE != 0 {
            self.forbid(id, flag::APPEND)?;
        }
        if mode & PUNCH_HOLE == 0 && !self.abilities.extents {
            return Err(Errno::EOPNOTSUPP);
        }
        let block = self.abilities.block as usize;
        let size = self.bytes_mut(id)?.len();
        let end = offset + len;
        let whole = offset.is_multiple_of(block) && len.is_multiple_of(block);
        match mode {
            COLLAPSE_RANGE if !whole || end >= size => return Err(Errno::EINVAL),
            INSERT_RANGE if !whole || offset >= size => return Err(Errno::EINVAL),
            m if m & PUNCH_HOLE != 0 && offset >= size => return Ok(()),
            _ => {}
        }
        let bytes = self.bytes_mut(id)?;
        match mode {
            COLLAPSE_RANGE => drop(bytes.drain(offset..end)),
            INSERT_RANGE => drop(bytes.splice(offset..offset, std::iter::repeat_n(0, len))),
            _ => {
                if mode & KEEP_SIZE == 0 {
                    bytes.resize(size.max(end), 0);
                }
                let zeroed = if mode & (PUNCH_HOLE | ZERO_RANGE) != 0 {
                    offset.min(size)..end.min(size)
                } else {
                    0..0
                };
                bytes[zeroed].fill(0);
            }
        }
        if mode & KEEP_SIZE != 0 && mode & PUNCH_HOLE == 0 {
            self.inodes[id].reserved += len + block;
        }
        self.touch(id);
        Ok(())
    }

    /// fallocate(2) found no room on its way: what is there now must be of what was there, of zeros in
    /// the range, and of no size that was not asked for. The times may have `moved`. Err: why it cannot be.
    pub fn fallocated_partly(
        &mut self,
        id: Id,
        mode: u32,
        range: (usize, usize),
        now: Vec<u8>,
        moved: bool,
    ) -> std::result::Result<(), String> {
        let (offset, end) = (range.0, range.0 + range.1);
        let old = self.bytes(id).ok_or("no file")?;
        let largest = if mode & !ZERO_RANGE == 0 { old.len().max(end) } else { old.len() };
        if now.len() < old.len() || now.len() > largest {
            return Err(format!("{} bytes became {}", old.len(), now.len()));
        }
        let zeroes = mode & (PUNCH_HOLE | ZERO_RANGE | COLLAPSE_RANGE) != 0;
        let may_be = |at: usize, byte: u8| match old.get(at) {
            Some(&old) => byte == old || (byte == 0 && zeroes && (offset..end).contains(&at)),
            None => byte == 0,
        };
        if let Some(at) = (0..now.len()).find(|&at| !may_be(at, now[at])) {
            return Err(format!("byte {at:#x} is neither what it was nor zero"));
        }
        if moved {
            self.touch(id);
        } else if self.bytes(id) != Some(&now) {
            return Err("the content changed and the times did not".into());
        }
        *self.bytes_mut(id).map_err(|e| format!("{e}"))? = now;
        self.inodes[id].reserved += range.1;
        Ok(())
    }

    /// Whether an inode's ctime is that of this step.
    pub fn is_now(&self, ctime: Timespec) -> bool {
        self.stored(ctime) == self.now
    }

    /// All symbolic links were read.
    pub fn read_links(&mut self) {
        for (path, _) in self.paths().into_iter().filter(|(_, kind)| *kind == 'l') {
            if let Ok(id) = self.find(&path) {
                self.accessed(id);
            }
        }
    }

    /// A file, directory or link was read: atime, unless mount or inode say it stays; under
    /// relatime when it is not newer than the last change, or a day old.
    pub fn accessed(&mut self, id: Id) {
        const DAY: i64 = 86_400;
        let mount = self.abilities.mount;
        let inode = &mut self.inodes[id];
        if mount.contains(MountFlags::NOATIME) || inode.flags & flag::NOATIME != 0 {
            return;
        }
        let t = &mut inode.times;
        let due = t.atime <= t.mtime || t.atime <= t.ctime || self.now.sec - t.atime.sec >= DAY;
        if due || !mount.contains(MountFlags::RELATIME) {
            t.atime = self.now;
        }
    }
}
