//! What a file system of this kind answers, and the rules in which they differ.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Debug;

use base::{Errno, Ino, Result};
use vfs::{FileOperations, FileType, OpenFlags, Path};

use crate::text::Text;

/// What is the same for every node of one file system, and not the same in each of them.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// "sysfs".
    pub name: &'static str,
    /// `f_type` of statfs(2).
    pub magic: u64,
    /// `st_blksize`.
    pub block_size: u32,
    /// What every attempt to make a name says; None: what each operation says by itself where a file
    /// system has none (EACCES for a file, EPERM for the others).
    pub no_new_names: Option<Errno>,
    /// Mode, owner and times can be set, and are kept until the file system goes; else EPERM.
    pub keeps_changes: bool,
    /// Whether there is an end to seek from: `st_size`. Else EINVAL.
    pub seeks_from_end: bool,
    /// What becomes of the bytes of a write behind its first page.
    pub long_write: LongWrite,
}

/// See [`Rules::long_write`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LongWrite {
    /// They are not written: a short count.
    Cut,
    /// They count as written and nobody sees them.
    Swallowed,
}

/// Takes an entry of a directory: its position, name and node. False: stop.
pub type Emit<'a, Id> = dyn FnMut(u64, &[u8], Id) -> bool + 'a;

/// A tree of generated files.
pub trait Tree: Send + Sync + 'static {
    /// Which node: what stays the same while things come and go.
    type Id: Copy + Ord + Debug + Send + Sync + 'static;

    /// The rules here.
    const RULES: Rules;

    /// The top.
    fn root(&self) -> Self::Id;

    /// The inode number of a node, the same as long as the system runs.
    fn ino(&self, id: Self::Id) -> Ino;

    /// Directory, regular file or symbolic link.
    fn kind(&self, id: Self::Id) -> FileType;

    /// Permission bits.
    fn mode(&self, id: Self::Id) -> u32;

    /// User and group.
    fn owner(&self, _id: Self::Id) -> (u32, u32) {
        (0, 0)
    }

    /// `st_size`; nobody knows the true one before the text is made.
    fn size(&self, _id: Self::Id) -> u64 {
        0
    }

    /// `st_nlink`: a directory's counts the directories in it.
    fn links(&self, id: Self::Id) -> u32 {
        if self.kind(id) != FileType::Directory {
            return 1;
        }
        let mut links: u32 = 2;
        // A directory that cannot be listed has no directories that anybody could count.
        let _ = self.list(id, 0, &mut |_, _, child| {
            links = links.saturating_add(u32::from(self.kind(child) == FileType::Directory));
            true
        });
        links
    }

    /// The node of a name in a directory.
    fn lookup(&self, dir: Self::Id, name: &[u8]) -> Option<Self::Id>;

    /// Offers what is in a directory from a position on: each entry's position, name and node, in
    /// rising order of positions, until it is told to stop.
    fn list(&self, dir: Self::Id, from: u64, emit: &mut Emit<'_, Self::Id>) -> Result<()>;

    /// Whether the names in a directory never change, so that the vfs may remember them.
    fn fixed(&self, _dir: Self::Id) -> bool {
        false
    }

    /// The text of a file as it is now.
    fn show(&self, id: Self::Id, text: &mut Text) -> Result<()>;

    /// Takes what was written to a file: one write, at most a page. EIO where nothing is taken.
    fn store(&self, _id: Self::Id, _bytes: &[u8]) -> Result<()> {
        Err(Errno::EIO)
    }

    /// Whether a write at `pos` counts as done and changes nothing.
    fn ignores_write(&self, _id: Self::Id, _pos: u64) -> bool {
        false
    }

    /// A link's target.
    fn readlink(&self, _id: Self::Id) -> Result<Vec<u8>> {
        Err(Errno::EINVAL)
    }

    /// Where a link leads that is no text.
    fn jump(&self, _id: Self::Id) -> Result<Option<Path>> {
        Ok(None)
    }

    /// Whether a file has a read at all; without one it is EINVAL.
    fn can_read(&self, _id: Self::Id) -> bool {
        true
    }

    /// Whether a file has a write at all; without one it is EINVAL.
    fn can_write(&self, _id: Self::Id) -> bool {
        true
    }

    /// Whether the permission bits bind the superuser too: EACCES at open.
    fn binds_root(&self, _id: Self::Id) -> bool {
        false
    }

    /// A file is opened. It may refuse, do what O_TRUNC means here, and bring operations of its own
    /// in place of `show` and `store`.
    fn open(&self, _id: Self::Id, _flags: OpenFlags) -> Result<Option<Arc<dyn FileOperations>>> {
        Ok(None)
    }
}

/// The name of `path` in the directory `prefix`, if it stands right there: for trees that are a table
/// of paths, with "" as the root.
pub fn child_name(prefix: &str, path: &'static str) -> Option<&'static str> {
    let rest = path.strip_prefix(prefix)?;
    let name = if prefix.is_empty() { rest } else { rest.strip_prefix('/')? };
    if name.is_empty() || name.contains('/') { None } else { Some(name) }
}
