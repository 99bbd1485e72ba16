//! An open directory.

use alloc::sync::Arc;

use base::{Ino, Result};
use sync::Mutex;
use vfs::{Caller, DirContext, File, FileOperations, FileType, Whence};

use super::blocks::NodeDir;
use crate::dir::{self, Cursor, Visit};
use crate::inode::Ext4Inode;

/// What an open directory keeps: which names of one hash it has given out (see [`dir::iterate`]).
pub(crate) struct DirFile {
    inode: Arc<Ext4Inode>,
    cursor: Mutex<Cursor>,
}

impl DirFile {
    /// Of a directory.
    pub fn new(inode: Arc<Ext4Inode>) -> Arc<DirFile> {
        Arc::new(DirFile { inode, cursor: Mutex::new(Cursor::default()) })
    }
}

impl FileOperations for DirFile {
    fn iterate(&self, file: &File, ctx: &mut DirContext<'_>) -> Result<()> {
        let mut cursor = self.cursor.lock();
        let mut pos = ctx.pos;
        let done =
            dir::iterate(&NodeDir::new(&self.inode), &mut cursor, &mut pos, &mut |visit: &Visit<'_>| {
                ctx.emit(visit.name, Ino(u64::from(visit.ino)), kind_of(visit.file_type), visit.next)
            });
        ctx.pos = pos;
        self.inode.accessed_by(file);
        done
    }

    /// Among hashes the end is the largest of them, and all before it is data (`ext4_dir_llseek`).
    fn llseek(&self, file: &File, pos: u64, offset: i64, whence: Whence) -> Result<u64> {
        const HASH_END: u64 = i64::MAX as u64;
        match dir::positions_are_hashes(&NodeDir::new(&self.inode)) {
            true => vfs::lseek::generic(pos, offset, whence, HASH_END, HASH_END),
            false => vfs::lseek::generic_file(file, pos, offset, whence),
        }
    }

    fn ioctl(&self, file: &File, cmd: u32, arg: u64, caller: &Caller<'_>) -> Result<u64> {
        crate::ioctl::ioctl(&self.inode, file, cmd, arg, caller)
    }

    fn fsync(&self, _file: &File, _start: u64, _end: u64, datasync: bool) -> Result<()> {
        self.inode.fsync(0, u64::MAX, datasync)
    }
}

/// The vfs's word for `EXT4_FT_*`.
fn kind_of(file_type: u8) -> Option<FileType> {
    Some(match file_type {
        1 => FileType::Regular,
        2 => FileType::Directory,
        3 => FileType::CharDevice,
        4 => FileType::BlockDevice,
        5 => FileType::Fifo,
        6 => FileType::Socket,
        7 => FileType::Symlink,
        _ => return None,
    })
}

/// `EXT4_FT_*` of a kind.
pub(crate) fn file_type(kind: FileType) -> u8 {
    match kind {
        FileType::Regular => 1,
        FileType::Directory => 2,
        FileType::CharDevice => 3,
        FileType::BlockDevice => 4,
        FileType::Fifo => 5,
        FileType::Socket => 6,
        FileType::Symlink => 7,
    }
}
