//! Inodes, and the symbolic links among them.
//!
//! An inode is nothing but its [`Id`]: what it says is asked for anew each time, so one whose
//! descriptor was closed, or whose program is gone, says so (ENOENT, ESRCH) and does no harm.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;

use base::{DevId, Errno, Ino, Result};
use sync::RwLock;
use vfs::{
    Attr, Directory, FMode, File, FileOperations, FileType, Inode, OpenFlags, Path, SetAttr, SuperBlock,
    Symlink, d_path,
};

use crate::fs::{ProcFs, Super};
use crate::open_file::OpenText;
use crate::source::ProcessView;
use crate::table::{Id, Row, Scope, What};

/// `st_blksize` of /proc.
const BLOCK: u32 = 1024;
/// What lstat tells as the size of a descriptor's link, whatever its length.
const DESCRIPTOR_LINK_SIZE: u64 = 64;

/// One inode.
pub(crate) struct Node {
    pub fs: Arc<ProcFs>,
    pub id: Id,
    pub rwsem: RwLock<()>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.fs.forget(self.id);
    }
}

impl Node {
    /// The program. ESRCH.
    pub fn process(&self) -> Result<Arc<dyn ProcessView>> {
        self.fs.source.process().ok_or(Errno::ESRCH)
    }

    /// The open file of a descriptor's link. ENOENT when it was closed.
    fn file(&self, fd: i32) -> Result<Arc<File>> {
        self.process()?.file(fd).ok_or(Errno::ENOENT)
    }

    /// Type and permission bits. A descriptor's link shows how the file was opened.
    fn mode(&self) -> u32 {
        let bits = match self.id {
            Id::Row(..) => self.id.row().map_or(0, |row| row.mode),
            Id::Descriptor(_, fd) => self.file(fd).map_or(0, |file| link_mode(file.mode())),
        };
        self.id.kind().mode() | bits
    }

    /// The program's files are its user's, the others root's.
    fn owner(&self) -> (u32, u32) {
        let own = self.id.scope() != Scope::System || matches!(self.row_what(), Some(What::Enter(_)));
        let process = if own { self.fs.source.process() } else { None };
        process.map_or((0, 0), |process| {
            let cred = process.cred();
            (cred.euid, cred.egid)
        })
    }

    /// Directories below /proc/sys do not count theirs, in Linux.
    fn links(&self) -> u32 {
        let counts = !self.id.row().is_some_and(|row| row.path.starts_with("sys"));
        if self.file_type() != FileType::Directory || !counts {
            return 1;
        }
        let directories = self.id.children().filter(|(_, id)| id.kind() == FileType::Directory);
        2 + directories.count() as u32
    }

    pub fn row_what(&self) -> Option<&'static What> {
        self.id.row().map(|row| &row.what)
    }

    /// Where a link that is no text leads.
    fn place(&self) -> Result<Option<Path>> {
        match (self.id, self.row_what()) {
            (Id::Descriptor(_, fd), _) => Ok(Some(self.file(fd)?.path().clone())),
            (_, Some(What::Place(place))) => Ok(Some(place(&*self.process()?))),
            _ => Ok(None),
        }
    }
}

fn link_mode(file: FMode) -> u32 {
    let read = if file.contains(FMode::READ) { 0o500 } else { 0 };
    let write = if file.contains(FMode::WRITE) { 0o300 } else { 0 };
    read | write
}

impl Inode for Node {
    fn ino(&self) -> Ino {
        self.id.ino()
    }

    fn file_type(&self) -> FileType {
        self.id.kind()
    }

    fn attr(&self) -> Attr {
        let (uid, gid) = self.owner();
        let size = match (self.id, self.row_what()) {
            (Id::Descriptor(..), _) => DESCRIPTOR_LINK_SIZE,
            (_, Some(What::Link(_, size))) => *size,
            _ => 0,
        };
        let time = self.fs.mounted;
        Attr {
            ino: self.ino(),
            mode: self.mode(),
            nlink: self.links(),
            uid,
            gid,
            rdev: DevId::default(),
            size,
            blocks: 0,
            blksize: BLOCK,
            atime: time,
            mtime: time,
            ctime: time,
            btime: None,
            attributes: 0,
            attributes_mask: 0,
        }
    }

    fn size(&self) -> u64 {
        match self.id {
            Id::Descriptor(..) => DESCRIPTOR_LINK_SIZE,
            Id::Row(..) => 0,
        }
    }

    /// Mode and owner are fixed: EPERM. Truncating, as O_TRUNC does, and setting the times are let
    /// pass and change nothing.
    fn setattr(&self, new: &SetAttr) -> Result<()> {
        // A truncation by a user asks to take set-id bits away, and there are none.
        let mode = new.mode.filter(|_| new.size.is_none());
        if mode.is_some() || new.uid.is_some() || new.gid.is_some() { Err(Errno::EPERM) } else { Ok(()) }
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

    /// EACCES below /proc/sys for who would write what nobody may, the superuser too.
    fn open(self: Arc<Self>, flags: OpenFlags) -> Result<Arc<dyn FileOperations>> {
        if self.file_type() == FileType::Directory {
            return Ok(self);
        }
        if let Some(Row { what: What::Sysctl(_), mode, .. }) = self.id.row()
            && flags.access_mode() != 0
            && mode & 0o222 == 0
        {
            return Err(Errno::EACCES);
        }
        Ok(Arc::new(OpenText::new(self)))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Symlink for Node {
    fn readlink(&self) -> Result<Vec<u8>> {
        if let Some(What::Link(text, _)) = self.row_what() {
            return Ok(text.as_bytes().to_vec());
        }
        match self.place()? {
            Some(place) => Ok(d_path(&place, &self.process()?.root())),
            None => Err(Errno::EINVAL),
        }
    }

    fn jump(&self) -> Result<Option<Path>> {
        self.place()
    }
}
