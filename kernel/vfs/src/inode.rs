//! The traits a file system implements for its inodes.
//!
//! Small traits per kind: every inode is an [`Inode`]; a directory is also a [`Directory`], a
//! symbolic link also a [`Symlink`], and whatever can be read or written becomes, once opened,
//! a [`FileOperations`](crate::FileOperations).
//!
//! # Identity
//! A file system hands out the same `Arc` for the same inode as long as anybody holds it. Two
//! inodes are one when their `Arc`s are ([`same_inode`]).
//!
//! # Locking
//! `i_rwsem` ([`Inode::rwsem`]) belongs to the inode and is taken by the vfs:
//! shared around [`Directory::lookup`] and `iterate`; exclusive around every other method of
//! [`Directory`] (on each directory and victim involved) and around [`Inode::setattr`]. Nobody but
//! the file system takes it in `read_iter`, `write_iter` and `fsync`. Order: parent directories
//! before their children, then other inodes (see `namei/rename.rs`).
//!
//! # What the vfs has checked before it calls
//! Names are 1 to 255 bytes, without `/` and NUL, and neither `.` nor `..`. The caller may do it
//! (permissions, sticky bit, read-only mounts). For create, mkdir, mknod, symlink and link the name
//! does not exist; for unlink it exists and is no directory; for rmdir it is a directory, perhaps
//! not empty (the file system says ENOTEMPTY); for rename the kinds fit together and no directory
//! moves below itself. All of it holds until the call returns, because of the locks above.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;

use base::{DevId, Errno, Ino, Result};
use bitflags::bitflags;
use sync::RwLock;

use crate::acl::{Acl, AclKind};
use crate::attr::{Attr, FileType, Ownership, SetAttr};
use crate::cred::Cred;
use crate::file_ops::FileOperations;
use crate::flags::OpenFlags;
use crate::mount::Path;
use crate::superblock::{MountFlags, SuperBlock};
use crate::write_count::WriteCount;
use crate::xattr::Xattrs;

/// What direct I/O must be aligned to, in bytes; 0 where there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DioAlign {
    /// The program's memory.
    pub memory: u32,
    /// Place and length.
    pub offset: u32,
}

/// One object of a file system.
pub trait Inode: Send + Sync + Any {
    /// Its number, unique within the superblock.
    fn ino(&self) -> Ino;

    /// What kind it is; never changes.
    fn file_type(&self) -> FileType;

    /// Everything stat tells, at this moment.
    fn attr(&self) -> Attr;

    /// Mode, owner and group alone, for permission checks: worth its own short way.
    fn ownership(&self) -> Ownership {
        self.attr().ownership()
    }

    /// The size in bytes alone, for lseek and O_APPEND.
    fn size(&self) -> u64 {
        self.attr().size
    }

    /// Sets what is Some in `new`. EIO, ENOSPC, EFBIG, EPERM where the file system cannot.
    fn setattr(&self, new: &SetAttr) -> Result<()>;

    /// i_rwsem; see the module's manual.
    fn rwsem(&self) -> &RwLock<()>;

    /// The file system it belongs to.
    fn superblock(&self) -> Arc<dyn SuperBlock>;

    /// Whether an inode without a name may get one: made by [`Directory::tmpfile`], without O_EXCL
    /// (`I_LINKABLE`).
    fn is_linkable(&self) -> bool {
        false
    }

    /// Who writes to it and who runs it. None where nothing can be run.
    fn write_count(&self) -> Option<&WriteCount> {
        None
    }

    /// The methods of a directory, exactly when `file_type` is Directory.
    fn as_directory(&self) -> Option<&dyn Directory> {
        None
    }

    /// The methods of a symbolic link, exactly when `file_type` is Symlink.
    fn as_symlink(&self) -> Option<&dyn Symlink> {
        None
    }

    /// Its extended attributes, where the file system keeps any. None: EOPNOTSUPP.
    fn as_xattrs(&self) -> Option<&dyn Xattrs> {
        None
    }

    /// One of its access control lists, None when it has none. EOPNOTSUPP where there are no lists:
    /// then the mode alone decides.
    fn acl(&self, _kind: AclKind) -> Result<Option<Arc<Acl>>> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Sets or takes away a list, and with `mode` the permission bits that go with it, under `rwsem`
    /// held exclusively. The vfs has checked all of it.
    fn set_acl(&self, _kind: AclKind, _acl: Option<Acl>, _mode: Option<u32>) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }

    /// What direct I/O must be aligned to (STATX_DIOALIGN). None where that is not told.
    fn dio_align(&self) -> Option<DioAlign> {
        None
    }

    /// What chattr(1) forbids to change here.
    fn fixed(&self) -> Fixed {
        Fixed::empty()
    }

    /// What an open file of this inode calls. A file system whose files keep no state per open
    /// returns itself. Regular files and directories only: device nodes go to the device table
    /// ([`crate::device`]), others cannot be opened.
    fn open(self: Arc<Self>, flags: OpenFlags) -> Result<Arc<dyn FileOperations>>;

    /// For a file system to find its own type again: `fn as_any(&self) -> &dyn Any { self }`.
    fn as_any(&self) -> &dyn Any;
}

/// Whether two handles are of the same inode.
pub fn same_inode(a: &Arc<dyn Inode>, b: &Arc<dyn Inode>) -> bool {
    // Thin pointers: two vtables of one type may have two addresses.
    Arc::as_ptr(a).cast::<()>() == Arc::as_ptr(b).cast::<()>()
}

bitflags! {
    /// What may not be changed of an inode, whoever asks (FS_IOC_SETFLAGS, chattr(1)).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Fixed: u32 {
        /// Nothing: no write, no new name, no attribute, no entry of the directory.
        const IMMUTABLE = 1;
        /// It only grows: writes go to the end, names are added but not taken away.
        const APPEND = 2;
    }
}

bitflags! {
    /// The flags of renameat2(2).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct RenameFlags: u32 {
        /// EEXIST when the new name exists.
        const NOREPLACE = 1;
        /// Both names exist and change places.
        const EXCHANGE = 2;
        /// A character device 0:0, a whiteout, is left at the old name (overlayfs hides a name with one).
        const WHITEOUT = 4;
    }
}

/// What a directory does. A method left out answers EPERM, as Linux does for a file system that
/// has no such operation; lookup must be there.
pub trait Directory: Send + Sync {
    /// The inode of a name. ENOENT when there is none: the vfs then keeps a negative entry.
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>>;

    /// Whether names here change only through these methods, so that the vfs may remember them.
    /// False for /proc.
    fn cacheable(&self) -> bool {
        true
    }

    /// A new regular file. `mode` has no type bits; umask is applied already;
    /// [`Cred::init_owner`] tells the new inode's mode, owner and group.
    fn create(&self, _name: &[u8], _mode: u32, _cred: &Cred) -> Result<Arc<dyn Inode>> {
        Err(Errno::EACCES)
    }

    /// A new regular file without a name, in this directory's file system (O_TMPFILE): `nlink` 0, gone with
    /// its last use unless `linkable` and [`Directory::link`] gave it a name. EOPNOTSUPP.
    fn tmpfile(&self, _mode: u32, _linkable: bool, _cred: &Cred) -> Result<Arc<dyn Inode>> {
        Err(Errno::EOPNOTSUPP)
    }

    /// A new directory. EMLINK when this one cannot take another.
    fn mkdir(&self, _name: &[u8], _mode: u32, _cred: &Cred) -> Result<Arc<dyn Inode>> {
        Err(Errno::EPERM)
    }

    /// A new device node, FIFO or socket: `mode` with its type bits.
    fn mknod(&self, _name: &[u8], _mode: u32, _rdev: DevId, _cred: &Cred) -> Result<Arc<dyn Inode>> {
        Err(Errno::EPERM)
    }

    /// A new symbolic link to `target`, 1 to 4095 bytes. ENAMETOOLONG when it does not fit a block.
    fn symlink(&self, _name: &[u8], _target: &[u8], _cred: &Cred) -> Result<Arc<dyn Inode>> {
        Err(Errno::EPERM)
    }

    /// One more name for an inode of this file system that is no directory, or the first one for a
    /// linkable file without any. EMLINK.
    fn link(&self, _name: &[u8], _inode: &Arc<dyn Inode>) -> Result<()> {
        Err(Errno::EPERM)
    }

    /// Takes a name away. The inode lives on while somebody holds it.
    fn unlink(&self, _name: &[u8]) -> Result<()> {
        Err(Errno::EPERM)
    }

    /// Takes an empty directory away. ENOTEMPTY.
    fn rmdir(&self, _name: &[u8]) -> Result<()> {
        Err(Errno::EPERM)
    }

    /// Gives `old_name` the name `new_name` in `new_dir` (perhaps this same directory), replacing
    /// what is there; ENOTEMPTY when that is a directory with entries. With EXCHANGE both names
    /// exist and change places; with WHITEOUT the old name then leads to a new whiteout, `cred`'s. EINVAL
    /// for a flag that the file system does not know. NOREPLACE is the vfs's affair and may be passed over.
    fn rename(
        &self,
        _old_name: &[u8],
        _new_dir: &Arc<dyn Inode>,
        _new_name: &[u8],
        _flags: RenameFlags,
        _cred: &Cred,
    ) -> Result<()> {
        Err(Errno::EPERM)
    }
}

/// What a symbolic link does.
pub trait Symlink: Send + Sync {
    /// Its target, as readlink(2) tells it.
    fn readlink(&self) -> Result<Vec<u8>>;

    /// It is about to be read or followed through a mount with these flags: atime may move
    /// (`touch_atime`).
    fn accessed(&self, _mount: MountFlags) {}

    /// Where following it leads without reading a path, for the links of /proc/self. None: the
    /// target's text is walked.
    fn jump(&self) -> Result<Option<Path>> {
        Ok(None)
    }
}
