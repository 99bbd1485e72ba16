//! Directories: names to inodes, linear or hashed.
//!
//! # What it is
//! The algorithms over a directory's blocks, free of inodes and devices: they ask for blocks through
//! [`DirBlocks`], which `namei` implements for an ext4 inode and the tests for a vector of blocks.
//!
//! ```text
//! mod.rs      one function per need: find, add, remove, retarget, parent, is_empty
//! linear.rs   inside one block: search, insert, delete
//! htree.rs    the index: lookup, insert, split;   split.rs  dividing leaves and nodes
//! hash.rs     the hashes                           iterate.rs  reading in an order that holds still
//! ```
//!
//! # Locking
//! The caller holds the directory's i_rwsem: shared for [`find`], [`iterate`](iterate::iterate) and
//! [`parent`], exclusive for the rest. A block's own lock is taken by [`DirBlocks`] for the time of
//! one closure, never two at once.
//!
//! # Failure
//! Every growing step appends a finished block first and then links it in, so that an error between
//! the two (ENOSPC, EIO) leaves a directory that reads the same as before.

pub(crate) mod hash;
mod htree;
mod iterate;
mod linear;
mod split;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

use base::{Errno, Result};

use crate::disk::dir::{self as disk, DirError, Layout};
use crate::disk::dir_view::View;
use crate::disk::dx::{Index, IndexKind, IndexMut, is_node};
use hash::Hasher;

pub(crate) use iterate::{Cursor, Visit, iterate, positions_are_hashes};

/// A directory's blocks, as its file system keeps them.
pub(crate) trait DirBlocks {
    /// What is fixed for this directory.
    fn shape(&self) -> &Shape;

    /// How many blocks it has.
    fn count(&self) -> u32;

    /// Shows a block's bytes. `block < count`. EIO; EUCLEAN for a hole. What `f` finds of the checksum
    /// is remembered.
    fn read<R>(&self, block: u32, f: impl FnOnce(&View<'_>) -> R) -> Result<R>;

    /// Lets a block's bytes be changed. As `read`.
    fn modify<R>(&self, block: u32, f: impl FnOnce(&mut [u8]) -> R) -> Result<R>;

    /// Adds a block with these bytes at the end and says which it is. ENOSPC, EFBIG, EIO; then
    /// all blocks and their bytes are as before.
    fn append(&self, bytes: &[u8]) -> Result<u32>;

    /// Whether the directory is hashed (the inode's INDEX flag).
    fn is_indexed(&self) -> bool;

    /// Sets or clears that flag.
    fn set_indexed(&self, indexed: bool);

    /// Tells the log that the index is no good, and reads the directory as a linear one from now on. The
    /// flag on the disk stays until a name is added.
    fn drop_index(&self, error: DirError);

    /// Tells the log, and whoever counts errors, what is wrong with a block; gives EUCLEAN.
    fn corrupt(&self, block: u32, error: DirError) -> Errno;
}

/// What is fixed for a directory while it is in use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// The form of its blocks.
    pub layout: Layout,
    /// The `dir_index` feature: without it a directory is read and written linearly whatever its
    /// flag says.
    pub dir_index: bool,
    /// The `large_dir` feature: one more level.
    pub large_dir: bool,
    /// How names hash in a directory that becomes indexed now.
    pub hasher: Hasher,
}

impl Shape {
    /// Levels of nodes that the index may have.
    fn max_levels(&self) -> u8 {
        if self.large_dir { 2 } else { 1 }
    }
}

/// Where a name was found. Valid until the directory changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    /// The inode it names, not 0.
    pub ino: u32,
    /// `EXT4_FT_*`, 0 when the directory does not say.
    pub file_type: u8,
    block: u32,
    offset: usize,
    /// The offset of the entry before it in its block.
    before: Option<usize>,
}

/// The name's entry, if there is one. `.` and `..` are found too.
pub(crate) fn find(dir: &impl DirBlocks, name: &[u8]) -> Result<Option<Found>> {
    if name.is_empty() || name.len() > disk::NAME_MAX {
        return Ok(None);
    }
    if uses_index(dir) {
        let found = if is_dots(name) { find_dots(dir, name).map(Some) } else { htree::find(dir, name) };
        if !lost_index(dir, &found) {
            return found;
        }
    }
    for block in 0..dir.count() {
        if let Some(found) = find_in(dir, block, name)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Adds a name that is not there. EEXIST when it is seen to be there; ENOSPC, EIO.
pub(crate) fn add(dir: &impl DirBlocks, name: &[u8], ino: u32, file_type: u8) -> Result<()> {
    if name.is_empty() || name.len() > disk::NAME_MAX {
        return Err(Errno::EINVAL);
    }
    let new = NewEntry { name, ino, file_type: if dir.shape().layout.filetype { file_type } else { 0 } };
    if uses_index(dir) {
        let added = htree::add(dir, &new);
        if !lost_index(dir, &added) {
            return added;
        }
        dir.set_indexed(false);
    }
    if dir.is_indexed() {
        // The feature was switched off: linear changes make the index untrue.
        dir.set_indexed(false);
    }
    for block in 0..dir.count() {
        if add_to(dir, block, &new)? {
            return Ok(());
        }
    }
    if dir.count() == 1 && dir.shape().dir_index {
        htree::make_indexed(dir)?;
        return htree::add(dir, &new);
    }
    let mut bytes = alloc::vec![0; dir.shape().layout.block_size];
    let layout = &dir.shape().layout;
    disk::init_empty(layout, &mut bytes);
    linear::add(layout, &mut bytes, &new).map_err(|e| dir.corrupt(dir.count(), e))?;
    dir.append(&bytes).map(|_| ())
}

/// A name to be added.
#[derive(Clone, Copy)]
pub(crate) struct NewEntry<'a> {
    name: &'a [u8],
    ino: u32,
    file_type: u8,
}

/// Takes an entry away.
pub(crate) fn remove(dir: &impl DirBlocks, found: &Found) -> Result<()> {
    let layout = &dir.shape().layout;
    dir.modify(found.block, |bytes| linear::remove(layout, bytes, found))?
        .map_err(|e| dir.corrupt(found.block, e))
}

/// Makes an entry name another inode.
pub(crate) fn retarget(dir: &impl DirBlocks, found: &Found, ino: u32, file_type: u8) -> Result<()> {
    let layout = &dir.shape().layout;
    let file_type = if layout.filetype { file_type } else { 0 };
    dir.modify(found.block, |bytes| {
        disk::set_target(bytes, found.offset, ino, file_type);
        disk::seal(layout, bytes);
    })
}

/// The inode that `..` names.
pub(crate) fn parent(dir: &impl DirBlocks) -> Result<u32> {
    first_dots(dir).map(|dots| dots.parent)
}

/// Makes `..` name another inode.
pub(crate) fn set_parent(dir: &impl DirBlocks, parent: u32) -> Result<()> {
    let dots = first_dots(dir)?;
    let layout = &dir.shape().layout;
    let indexed = uses_index(dir);
    dir.modify(0, |bytes| {
        disk::set_target(bytes, dots.parent_at, parent, dots.parent_type);
        if indexed {
            IndexMut::of(layout, bytes, IndexKind::Root).seal();
        } else {
            disk::seal(layout, bytes);
        }
    })
}

/// Whether there is nothing but `.` and `..`.
pub(crate) fn is_empty(dir: &impl DirBlocks) -> Result<bool> {
    first_dots(dir)?;
    let layout = &dir.shape().layout;
    let indexed = uses_index(dir);
    for block in u32::from(indexed)..dir.count() {
        let used = dir.read(block, |bytes| {
            if indexed && is_node(layout, bytes) {
                return Ok(false);
            }
            bytes.check_tail(layout)?;
            linear::has_names(layout, bytes)
        })?;
        if used.map_err(|e| dir.corrupt(block, e))? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The first block of a new directory.
pub(crate) fn first_block(shape: &Shape, ino: u32, parent: u32) -> alloc::vec::Vec<u8> {
    let mut bytes = alloc::vec![0; shape.layout.block_size];
    let kind = if shape.layout.filetype { DIRECTORY } else { 0 };
    disk::init_first(&shape.layout, &mut bytes, ino, parent, kind);
    bytes
}

/// `EXT4_FT_DIR`.
pub(crate) const DIRECTORY: u8 = 2;

/// Whether the directory is to be read through its index. Where there are no checksums, a root that
/// makes no sense is passed over, as Linux does; with them it is damage, and told by who reads it. The
/// nodes below are seen on the way down ([`bad_index`], [`lost_index`]).
fn uses_index(dir: &impl DirBlocks) -> bool {
    let shape = dir.shape();
    if !shape.dir_index || !dir.is_indexed() {
        return false;
    }
    if shape.layout.csum_seed.is_some() || dir.count() == 0 {
        return true;
    }
    let look = dir.read(0, |bytes| Index::root(&shape.layout, bytes, shape.max_levels()).err());
    match look {
        Ok(Some(error)) if error.spoils_index() => {
            dir.drop_index(error);
            false
        }
        _ => true,
    }
}

/// Whether an operation failed because it met a node that spoils the index, which was dropped then: the
/// directory is to be read as a linear one.
fn lost_index<T>(dir: &impl DirBlocks, done: &Result<T>) -> bool {
    done.is_err() && !dir.is_indexed()
}

/// A fault of an index block. EUCLEAN; where there are no checksums, one that spoils the index drops it.
fn bad_index(dir: &impl DirBlocks, block: u32, error: DirError) -> Errno {
    if dir.shape().layout.csum_seed.is_none() && error.spoils_index() {
        dir.drop_index(error);
        return Errno::EUCLEAN;
    }
    dir.corrupt(block, error)
}

fn first_dots(dir: &impl DirBlocks) -> Result<disk::Dots> {
    let layout = &dir.shape().layout;
    let indexed = uses_index(dir);
    if dir.count() == 0 {
        return Err(dir.corrupt(0, DirError::DotMissing));
    }
    dir.read(0, |bytes| {
        if indexed {
            Index::root(layout, bytes, dir.shape().max_levels())?;
            return disk::dots(disk::root_entries(layout, bytes));
        }
        bytes.check_tail(layout)?;
        disk::dots(disk::entries(layout, bytes))
    })?
    .map_err(|e| dir.corrupt(0, e))
}

/// `.` or `..` of an indexed directory, in its root.
fn find_dots(dir: &impl DirBlocks, name: &[u8]) -> Result<Found> {
    let dots = first_dots(dir)?;
    let (ino, offset, before) =
        if name == b"." { (dots.own, 0, None) } else { (dots.parent, dots.parent_at, Some(0)) };
    Ok(Found { ino, file_type: dots.parent_type, block: 0, offset, before })
}

/// Whether a name is `.` or `..`.
fn is_dots(name: &[u8]) -> bool {
    name == b"." || name == b".."
}

/// Searches one block of entries.
fn find_in(dir: &impl DirBlocks, block: u32, name: &[u8]) -> Result<Option<Found>> {
    let layout = &dir.shape().layout;
    let found = dir.read(block, |bytes| {
        bytes.check_tail(layout)?;
        linear::find(layout, bytes, name)
    })?;
    let hit = found.map_err(|e| dir.corrupt(block, e))?;
    Ok(hit.map(|hit| Found { block, ..hit }))
}

/// Adds to one block of entries. False: no room. EEXIST.
fn add_to(dir: &impl DirBlocks, block: u32, new: &NewEntry<'_>) -> Result<bool> {
    let layout = &dir.shape().layout;
    // Look first with the block shared: a full block must not become dirty.
    let place = dir.read(block, |bytes| {
        bytes.check_tail(layout)?;
        linear::place(layout, bytes, new.name)
    })?;
    match place.map_err(|e| dir.corrupt(block, e))? {
        linear::Place::Taken => Err(Errno::EEXIST),
        linear::Place::Full => Ok(false),
        linear::Place::At { offset } => dir
            .modify(block, |bytes| {
                linear::add_at(layout, bytes, offset, new)?;
                Ok(true)
            })?
            .map_err(|e| dir.corrupt(block, e)),
    }
}
