//! Inodes: a node of a tree as the vfs sees it, with the directories and links among them.
//!
//! # Positions in a directory
//! 0 and 1 are "." and ".."; an entry stands at its tree's position plus 2. So a reader who comes
//! back goes on where it was, whatever has gone meanwhile.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;

use base::{DevId, Errno, Ino, Result};
use sync::RwLock;
use vfs::{
    Attr, Cred, DirContext, Directory, File, FileOperations, FileType, Inode, OpenFlags, Ownership, Path,
    RenameFlags, SetAttr, SuperBlock, Symlink,
};

use crate::fs::{KernFs, Super};
use crate::open_file::OpenText;
use crate::tree::Tree;

/// The positions of "." and "..".
const DOTS: u64 = 2;

/// One inode.
pub(crate) struct Node<T: Tree> {
    pub fs: Arc<KernFs<T>>,
    pub id: T::Id,
    pub rwsem: RwLock<()>,
}

impl<T: Tree> Drop for Node<T> {
    fn drop(&mut self) {
        self.fs.forget(self.id);
    }
}

impl<T: Tree> Node<T> {
    pub fn tree(&self) -> &T {
        &self.fs.tree
    }

    /// EACCES for who asks for what no permission bit allows to anybody.
    fn check_bits(&self, flags: OpenFlags) -> Result<()> {
        let mode = self.ownership().mode;
        let (reads, writes) = (flags.access_mode() != 1, flags.access_mode() != 0);
        let refused = (reads && mode & 0o444 == 0) || (writes && mode & 0o222 == 0);
        if refused { Err(Errno::EACCES) } else { Ok(()) }
    }

    /// What making a name says.
    fn refuse_name<R>(&self, by_itself: Errno) -> Result<R> {
        Err(T::RULES.no_new_names.unwrap_or(by_itself))
    }
}

impl<T: Tree> Inode for Node<T> {
    fn ino(&self) -> Ino {
        self.tree().ino(self.id)
    }

    fn file_type(&self) -> FileType {
        self.tree().kind(self.id)
    }

    fn attr(&self) -> Attr {
        let (set, time) = (self.fs.changed(self.id), self.fs.mounted);
        let Ownership { mode, uid, gid } = self.ownership();
        Attr {
            ino: self.ino(),
            mode,
            nlink: self.tree().links(self.id),
            uid,
            gid,
            rdev: DevId::default(),
            size: self.size(),
            blocks: 0,
            blksize: T::RULES.block_size,
            atime: set.atime.unwrap_or(time),
            mtime: set.mtime.unwrap_or(time),
            ctime: set.ctime.unwrap_or(time),
            btime: None,
            attributes: 0,
            attributes_mask: 0,
        }
    }

    fn ownership(&self) -> Ownership {
        let set = self.fs.changed(self.id);
        let (uid, gid) = self.tree().owner(self.id);
        let bits = set.mode.unwrap_or_else(|| self.tree().mode(self.id));
        Ownership {
            mode: self.file_type().mode() | bits,
            uid: set.uid.unwrap_or(uid),
            gid: set.gid.unwrap_or(gid),
        }
    }

    fn size(&self) -> u64 {
        self.tree().size(self.id)
    }

    /// A truncation, as O_TRUNC does it, changes nothing.
    fn setattr(&self, new: &SetAttr) -> Result<()> {
        // A truncation by a user asks to take set-id bits away, and there are none.
        let mode = new.mode.filter(|_| new.size.is_none());
        let fixed = mode.is_some() || new.uid.is_some() || new.gid.is_some();
        if T::RULES.keeps_changes {
            self.fs.change(self.id, &SetAttr { mode, ..*new });
        } else if fixed {
            return Err(Errno::EPERM);
        }
        Ok(())
    }

    fn rwsem(&self) -> &RwLock<()> {
        &self.rwsem
    }

    fn superblock(&self) -> Arc<dyn SuperBlock> {
        Arc::new(Super(self.fs.clone()))
    }

    fn as_directory(&self) -> Option<&dyn Directory> {
        if self.file_type() == FileType::Directory { Some(self) } else { None }
    }

    fn as_symlink(&self) -> Option<&dyn Symlink> {
        if self.file_type() == FileType::Symlink { Some(self) } else { None }
    }

    fn open(self: Arc<Self>, flags: OpenFlags) -> Result<Arc<dyn FileOperations>> {
        if self.file_type() == FileType::Directory {
            return Ok(self);
        }
        if self.tree().binds_root(self.id) {
            self.check_bits(flags)?;
        }
        match self.tree().open(self.id, flags)? {
            Some(own) => Ok(own),
            None => Ok(Arc::new(OpenText::new(self))),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl<T: Tree> Symlink for Node<T> {
    fn readlink(&self) -> Result<Vec<u8>> {
        self.tree().readlink(self.id)
    }

    fn jump(&self) -> Result<Option<Path>> {
        self.tree().jump(self.id)
    }
}

/// Nothing can be made here, and what is there cannot be removed or moved.
impl<T: Tree> Directory for Node<T> {
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        let id = self.tree().lookup(self.id, name).ok_or(Errno::ENOENT)?;
        Ok(self.fs.node(id))
    }

    fn cacheable(&self) -> bool {
        self.tree().fixed(self.id)
    }

    fn create(&self, _name: &[u8], _mode: u32, _cred: &Cred) -> Result<Arc<dyn Inode>> {
        self.refuse_name(Errno::EACCES)
    }

    fn mkdir(&self, _name: &[u8], _mode: u32, _cred: &Cred) -> Result<Arc<dyn Inode>> {
        self.refuse_name(Errno::EPERM)
    }

    fn mknod(&self, _name: &[u8], _mode: u32, _rdev: DevId, _cred: &Cred) -> Result<Arc<dyn Inode>> {
        self.refuse_name(Errno::EPERM)
    }

    fn symlink(&self, _name: &[u8], _target: &[u8], _cred: &Cred) -> Result<Arc<dyn Inode>> {
        self.refuse_name(Errno::EPERM)
    }

    fn link(&self, _name: &[u8], _inode: &Arc<dyn Inode>) -> Result<()> {
        self.refuse_name(Errno::EPERM)
    }

    /// A new name is as impossible as with the others; one that is there is not given up.
    fn rename(
        &self,
        _old_name: &[u8],
        new_dir: &Arc<dyn Inode>,
        new_name: &[u8],
        _flags: RenameFlags,
        _cred: &Cred,
    ) -> Result<()> {
        if T::RULES.no_new_names.is_some() {
            new_dir.as_directory().ok_or(Errno::ENOTDIR)?.lookup(new_name)?;
        }
        Err(Errno::EPERM)
    }
}

/// The operations of an open directory.
impl<T: Tree> FileOperations for Node<T> {
    fn iterate(&self, file: &File, ctx: &mut DirContext<'_>) -> Result<()> {
        if !ctx.emit_dots(file) {
            return Ok(());
        }
        let tree = self.tree();
        let from = ctx.pos.saturating_sub(DOTS);
        tree.list(self.id, from, &mut |position, name, id| {
            let next = position.saturating_add(DOTS + 1);
            ctx.emit(name, tree.ino(id), Some(tree.kind(id)), next)
        })
    }
}
