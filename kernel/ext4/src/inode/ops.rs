//! An ext4 inode as the vfs and the flusher see it. The methods of directories are in
//! [`crate::namei`], those of symbolic links in [`crate::symlink`].

use alloc::sync::Arc;
use core::any::Any;

use base::{Errno, Ino, Result};
use pagecache::{AddressSpace, AddressSpaceOperations, WritebackControl};
use sync::RwLock;
use vfs::acl::{Acl, AclKind};
use vfs::xattr::Xattrs;
use vfs::{
    Attr, DioAlign, Directory, FileOperations, FileType, Fixed, Inode, OpenFlags, Ownership, SetAttr,
    SuperBlock, Symlink, WriteCount,
};
use writeback::{DirtyInode, DirtyState};

use super::{Ext4Inode, Node};
use crate::disk::inode::InodeFlags;
use crate::file::RegularFile;
use crate::namei::DirFile;

impl Inode for Ext4Inode {
    fn ino(&self) -> Ino {
        Node::ino(self)
    }

    fn file_type(&self) -> FileType {
        self.kind()
    }

    fn attr(&self) -> Attr {
        Node::attr(self)
    }

    fn ownership(&self) -> Ownership {
        Node::ownership(self)
    }

    fn size(&self) -> u64 {
        Node::size(self)
    }

    fn setattr(&self, new: &SetAttr) -> Result<()> {
        Node::setattr(self, new)
    }

    fn rwsem(&self) -> &RwLock<()> {
        Node::rwsem(self)
    }

    fn superblock(&self) -> Arc<dyn SuperBlock> {
        self.fs().clone()
    }

    fn is_linkable(&self) -> bool {
        Node::is_linkable(self)
    }

    fn write_count(&self) -> Option<&WriteCount> {
        Some(&self.writers)
    }

    fn as_directory(&self) -> Option<&dyn Directory> {
        (self.kind() == FileType::Directory).then_some(self)
    }

    fn as_symlink(&self) -> Option<&dyn Symlink> {
        (self.kind() == FileType::Symlink).then_some(self)
    }

    fn as_xattrs(&self) -> Option<&dyn Xattrs> {
        Some(self)
    }

    fn acl(&self, kind: AclKind) -> Result<Option<Arc<Acl>>> {
        Node::acl(self, kind)
    }

    fn set_acl(&self, kind: AclKind, acl: Option<Acl>, mode: Option<u32>) -> Result<()> {
        Node::set_acl(self, kind, acl, mode)
    }

    fn dio_align(&self) -> Option<DioAlign> {
        (self.kind() == FileType::Regular).then(|| Node::dio_align(self))
    }

    fn fixed(&self) -> Fixed {
        let flags = self.flags();
        let mut fixed = Fixed::empty();
        fixed.set(Fixed::IMMUTABLE, flags.contains(InodeFlags::IMMUTABLE));
        fixed.set(Fixed::APPEND, flags.contains(InodeFlags::APPEND));
        fixed
    }

    fn open(self: Arc<Self>, _flags: OpenFlags) -> Result<Arc<dyn FileOperations>> {
        self.fs().check_running()?;
        match self.kind() {
            FileType::Regular => Ok(RegularFile::new(self)),
            FileType::Directory => Ok(DirFile::new(self)),
            _ => Err(Errno::ENXIO),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl DirtyInode for Node {
    fn ino(&self) -> Ino {
        Node::ino(self)
    }

    fn dirty_state(&self) -> &DirtyState {
        &self.dirty
    }

    fn mapping(&self) -> &Arc<AddressSpace> {
        &self.mapping
    }

    fn writepages(&self, control: &mut WritebackControl) -> Result<()> {
        AddressSpaceOperations::writepages(self, &self.mapping, control)
    }

    fn write_inode(&self, sync: bool) -> Result<()> {
        self.store_if_stale();
        // With a journal it is the commit that counts.
        if sync && self.fs.journal().is_none() { self.table.sync() } else { Ok(()) }
    }
}
