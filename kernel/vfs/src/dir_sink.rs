//! Directory reading: the file system offers entries, the sink takes them while it has room.
//!
//! Positions are the file system's: any `u64` up to `i64::MAX`, such that reading again from an
//! entry's `next` goes on right behind it (telldir and seekdir). 0 is the start; "." stands at 0
//! and ".." at 1 for those who let [`DirContext::emit_dots`] do it.

use base::{Ino, Result};

use crate::attr::FileType;
use crate::file::File;

/// One entry of a directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DirEntry<'a> {
    /// 1 to 255 bytes.
    pub name: &'a [u8],
    /// The inode it names.
    pub ino: Ino,
    /// Its kind, when the directory knows (DT_UNKNOWN else).
    pub kind: Option<FileType>,
    /// The position of the entry behind it (`d_off`).
    pub next: u64,
}

/// Takes entries.
pub trait DirSink {
    /// Takes one, or says false when there is no room: then it will be offered again next time.
    fn take(&mut self, entry: &DirEntry<'_>) -> bool;
}

impl<F: FnMut(&DirEntry<'_>) -> bool> DirSink for F {
    fn take(&mut self, entry: &DirEntry<'_>) -> bool {
        self(entry)
    }
}

/// One reading of a directory.
pub struct DirContext<'a> {
    /// Where it is. The file system starts here and leaves it behind the last entry taken.
    pub pos: u64,
    sink: &'a mut dyn DirSink,
}

impl<'a> DirContext<'a> {
    /// From a position on.
    pub fn new(pos: u64, sink: &'a mut dyn DirSink) -> Self {
        DirContext { pos, sink }
    }

    /// Offers an entry. True: it was taken and `pos` is now `next`. False: stop, and return Ok.
    pub fn emit(&mut self, name: &[u8], ino: Ino, kind: Option<FileType>, next: u64) -> bool {
        let taken = self.sink.take(&DirEntry { name, ino, kind, next });
        if taken {
            self.pos = next;
        }
        taken
    }

    /// "." and ".." at positions 0 and 1, for a file system that does not store them. The file's
    /// path tells the parent.
    pub fn emit_dots(&mut self, file: &File) -> bool {
        let directory = Some(FileType::Directory);
        if self.pos == 0 && !self.emit(b".", file.inode().ino(), directory, 1) {
            return false;
        }
        if self.pos == 1 {
            let parent = file.path().dentry.parent();
            let ino = parent.as_ref().and_then(|p| p.inode()).unwrap_or(file.inode()).ino();
            return self.emit(b"..", ino, directory, 2);
        }
        true
    }
}

/// Reads a directory into a sink from the file's position on, and moves the position
/// (getdents64(2)). ENOTDIR, EBADF; ENOENT when the directory was removed.
pub fn iterate_dir(file: &File, sink: &mut dyn DirSink) -> Result<()> {
    file.check_open_for_io()?;
    let inode = file.inode();
    if inode.file_type() != FileType::Directory {
        return Err(base::Errno::ENOTDIR);
    }
    let mut position = file.lock_pos();
    let _shared = inode.rwsem().read();
    if file.path().dentry.is_deleted() {
        return Err(base::Errno::ENOENT);
    }
    let mut ctx = DirContext::new(position.get(), sink);
    let done = file.ops().iterate(file, &mut ctx);
    position.set(ctx.pos);
    done
}
