//! Directories: what the tables name, and the open descriptors.
//!
//! Positions: 0 and 1 are "." and ".."; a row stands at its place in the table plus 2, a descriptor
//! at its number plus 2. So a reader who comes back goes on where it was, whatever was closed.
//!
//! Nothing can be made here: Linux says ENOENT, because the lookup of a new name fails before anybody
//! asks for a way to make it. What is there cannot be removed or moved: EPERM, the vfs's own answer.

use alloc::string::ToString;
use alloc::sync::Arc;

use base::{DevId, Errno, Result};
use vfs::{Cred, DirContext, Directory, File, FileOperations, FileType, Inode, RenameFlags};

use crate::node::Node;
use crate::table::{Id, What};

/// The positions of "." and "..".
const DOTS: u64 = 2;

impl Directory for Node {
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let id = match self.row_what() {
            Some(What::Descriptors) => self.descriptor(name),
            _ => self.id.children().find(|(n, _)| n.as_bytes() == name).map(|(_, id)| id),
        };
        let id = id.filter(|id| !self.is_absent_process(*id)).ok_or(Errno::ENOENT)?;
        Ok(self.fs.node(id))
    }

    /// Descriptors come and go, and so does the program.
    fn cacheable(&self) -> bool {
        !matches!(self.row_what(), Some(What::Descriptors)) && self.id != Id::ROOT
    }

    fn create(&self, _name: &[u8], _mode: u32, _cred: &Cred) -> Result<Arc<dyn Inode>> {
        Err(Errno::ENOENT)
    }

    fn mkdir(&self, _name: &[u8], _mode: u32, _cred: &Cred) -> Result<Arc<dyn Inode>> {
        Err(Errno::ENOENT)
    }

    fn mknod(&self, _name: &[u8], _mode: u32, _rdev: DevId, _cred: &Cred) -> Result<Arc<dyn Inode>> {
        Err(Errno::ENOENT)
    }

    fn symlink(&self, _name: &[u8], _target: &[u8], _cred: &Cred) -> Result<Arc<dyn Inode>> {
        Err(Errno::ENOENT)
    }

    fn link(&self, _name: &[u8], _inode: &Arc<dyn Inode>) -> Result<()> {
        Err(Errno::ENOENT)
    }

    fn rename(
        &self,
        _old_name: &[u8],
        new_dir: &Arc<dyn Inode>,
        new_name: &[u8],
        _flags: RenameFlags,
    ) -> Result<()> {
        let there = new_dir.as_directory().ok_or(Errno::ENOTDIR)?.lookup(new_name);
        there.and(Err(Errno::EPERM))
    }
}

impl Node {
    /// Whether it is /proc/1 before there is a program.
    fn is_absent_process(&self, id: Id) -> bool {
        matches!(id.row().map(|row| &row.what), Some(What::Enter(_))) && self.fs.source.process().is_none()
    }

    /// The link of a descriptor, when it is open and written as Linux writes it: no sign, no zeros in
    /// front.
    fn descriptor(&self, name: &[u8]) -> Option<Id> {
        let fd: i32 = core::str::from_utf8(name).ok()?.parse().ok()?;
        let canonical = fd >= 0 && fd.to_string().as_bytes() == name;
        if !canonical {
            return None;
        }
        self.process().ok()?.file(fd)?;
        Some(Id::Descriptor(self.id.scope(), fd))
    }

    fn list_rows(&self, ctx: &mut DirContext<'_>) {
        let start = ctx.pos;
        for (name, id) in self.id.children() {
            let Id::Row(_, index) = id else { continue };
            let position = index as u64 + DOTS;
            if position < start || self.is_absent_process(id) {
                continue;
            }
            if !ctx.emit(name.as_bytes(), id.ino(), Some(id.kind()), position + 1) {
                return;
            }
        }
    }

    fn list_descriptors(&self, ctx: &mut DirContext<'_>) -> Result<()> {
        let start = ctx.pos;
        for (fd, _) in self.process()?.files() {
            let position = u64::from(fd.unsigned_abs()) + DOTS;
            if position < start {
                continue;
            }
            let id = Id::Descriptor(self.id.scope(), fd);
            if !ctx.emit(fd.to_string().as_bytes(), id.ino(), Some(FileType::Symlink), position + 1) {
                break;
            }
        }
        Ok(())
    }
}

/// The operations of an open directory.
impl FileOperations for Node {
    fn iterate(&self, file: &File, ctx: &mut DirContext<'_>) -> Result<()> {
        if !ctx.emit_dots(file) {
            return Ok(());
        }
        match self.row_what() {
            Some(What::Descriptors) => self.list_descriptors(ctx)?,
            _ => self.list_rows(ctx),
        }
        Ok(())
    }
}
