//! Directories in the inode.
//!
//! [`crate::dir`] sees an inline directory as one block, the block it would be if it were converted now:
//! `.` and `..`, then the entries in their order, and the checksum at the end. A change is made in that
//! block and packed back into the inode; when it does not fit, the block itself goes to the disk, and
//! the directory is like any other. In an inode nearly as large as a block, even the block may have no
//! room for a long name: then it goes to the disk as it is, before the directory gets its second.
//!
//! ```text
//!   inode   12 | 13 16 "a"  14 40 "b" ||  15 12 "c"           ".." is 12; i_block ends behind "b"
//!   block   "." 12  ".." 12  "a" 12  "b" 12  "c" the rest
//! ```
//! A chain of entries ends exactly with its part, so an entry never lies across the two.

use alloc::vec::Vec;
use core::ops::{Deref, DerefMut};

use base::{Errno, FileBlock, Result};
use pagecache::{ExtentKind, MapMode};
use zerocopy::IntoBytes;

use crate::disk::dir::{self as disk, DirError, Layout, entries, entry_len, put_entry, set_rec_len};
use crate::disk::inode::BLOCK_SIZE;
use crate::inode::Node;

/// Bytes of the inode number of "..".
const PARENT: usize = 4;
/// `EXT4_FT_DIR`.
const DIRECTORY: u8 = 2;

/// A block in memory, aligned as one that lies in a page.
pub(crate) struct Block(Vec<u32>);

impl Deref for Block {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl DerefMut for Block {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.0.as_mut_bytes()
    }
}

/// The directory as one block. EUCLEAN.
pub(crate) fn block(node: &Node, layout: &Layout) -> Result<Option<Block>> {
    let Some(bytes) = node.inline_bytes()? else { return Ok(None) };
    unpack(layout, node.ino32(), &bytes).map(Some).map_err(|e| node.corrupt_file_block(FileBlock(0), e))
}

/// Takes over a changed block: into the inode, or when it does not fit to the disk. ENOSPC, EIO.
pub(crate) fn store(node: &Node, layout: &Layout, bytes: &[u8]) -> Result<()> {
    let capacity = node.inline_capacity()?.unwrap_or(0);
    let packed = pack(layout, bytes, capacity).map_err(|e| node.corrupt_file_block(FileBlock(0), e))?;
    match packed {
        Some(packed) => node.store_inline(&packed),
        None => convert(node, bytes),
    }
}

/// Makes a new, empty inode an inline directory with the entries of its first block. False: it cannot be.
pub(crate) fn create(node: &Node, layout: &Layout, bytes: &[u8]) -> Result<bool> {
    let Some(capacity) = node.inline_capacity()?.filter(|_| node.is_unused()) else { return Ok(false) };
    match pack(layout, bytes, capacity).map_err(|e| node.corrupt_file_block(FileBlock(0), e))? {
        Some(packed) => node.store_inline(&packed).map(|()| true),
        None => Ok(false),
    }
}

/// Moves a directory that needs a second block out of its inode, if it is there. ENOSPC, EIO.
pub(crate) fn leave(node: &Node, layout: &Layout) -> Result<()> {
    match block(node, layout)? {
        Some(bytes) => convert(node, &bytes),
        None => Ok(()),
    }
}

/// Gives the directory a block with these bytes. ENOSPC, EIO; then it is as before.
fn convert(node: &Node, bytes: &[u8]) -> Result<()> {
    let extent = node.map_leaving_inline(FileBlock(0), 1, MapMode::Write { ahead: 0 })?;
    let ExtentKind::Mapped { block } = extent.kind else { return Err(Errno::EIO) };
    let buffer = node.fs().device().getblk(block)?;
    buffer.write().copy_from_slice(bytes);
    // Before the table's inode leads to the block: the names may have been durable.
    let written = buffer.sync();
    node.set_size(bytes.len() as u64);
    node.drop_inline_rest()?;
    written
}

/// The layout of one part.
fn part(layout: &Layout, len: usize) -> Layout {
    Layout { block_size: len, csum_seed: None, ..*layout }
}

fn unpack(layout: &Layout, ino: u32, bytes: &[u8]) -> core::result::Result<Block, DirError> {
    let (head, rest) = bytes.split_at_checked(BLOCK_SIZE).ok_or(DirError::DotMissing)?;
    let parent = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
    if parent == 0 || parent > layout.max_ino {
        return Err(DirError::InodeOutOfRange);
    }
    let kind = if layout.filetype { DIRECTORY } else { 0 };
    let mut block = Block(alloc::vec![0; layout.block_size / 4]);
    disk::init_first(layout, &mut block, ino, parent, kind);
    // Where the last entry begins, and where its name ends: the next one goes there.
    let (mut last, mut at) = (entry_len(1), 2 * entry_len(1));
    let end = layout.entries_end();
    for region in [&head[PARENT..], rest] {
        if region.is_empty() {
            continue;
        }
        for entry in entries(&part(layout, region.len()), region) {
            let entry = entry?;
            if entry.ino == 0 {
                continue;
            }
            let len = entry_len(entry.name.len());
            if at + len > end {
                return Err(DirError::RecLenPastEnd);
            }
            set_rec_len(&mut block, last, at - last);
            put_entry(&mut block, at, end - at, entry.ino, entry.file_type, entry.name);
            (last, at) = (at, at + len);
        }
    }
    disk::seal(layout, &mut block);
    Ok(block)
}

/// The inode's bytes for a block's entries; None when they are more than `capacity`.
fn pack(layout: &Layout, block: &[u8], capacity: usize) -> core::result::Result<Option<Vec<u8>>, DirError> {
    let dots = disk::dots(entries(layout, block))?;
    let mut bytes = alloc::vec![0; BLOCK_SIZE];
    bytes[..PARENT].copy_from_slice(&dots.parent.to_le_bytes());
    // The part in use: where it begins, where its last entry does, where the next may.
    let (mut last, mut at) = (None, PARENT);
    let mut in_head = true;
    for entry in entries(layout, block) {
        let entry = entry?;
        if entry.ino == 0 || entry.name == b"." || entry.name == b".." {
            continue;
        }
        let len = entry_len(entry.name.len());
        if in_head && at + len > BLOCK_SIZE {
            close(&mut bytes, last, at, BLOCK_SIZE);
            (in_head, at) = (false, BLOCK_SIZE);
        }
        if !in_head {
            bytes.resize(at + len, 0);
        }
        if at + len > capacity {
            return Ok(None);
        }
        put_entry(&mut bytes, at, len, entry.ino, entry.file_type, entry.name);
        (last, at) = (Some(at), at + len);
    }
    let end = bytes.len();
    close(&mut bytes, last, at, end);
    Ok((end <= capacity).then_some(bytes))
}

/// Ends a part's chain: its last entry reaches to `end`, or an unused one fills it.
fn close(bytes: &mut [u8], last: Option<usize>, at: usize, end: usize) {
    let start = last.unwrap_or(at);
    set_rec_len(bytes, start, end - start);
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: Layout = Layout { block_size: 1024, csum_seed: Some(7), filetype: true, max_ino: 5000 };

    fn block_with(names: &[&[u8]]) -> Vec<u8> {
        let mut block = alloc::vec![0; 1024];
        disk::init_first(&LAYOUT, &mut block, 20, 12, DIRECTORY);
        let (mut last, mut at) = (12, 24);
        for (i, name) in names.iter().enumerate() {
            set_rec_len(&mut block, last, at - last);
            put_entry(&mut block, at, LAYOUT.entries_end() - at, 100 + i as u32, 1, name);
            (last, at) = (at, at + entry_len(name.len()));
        }
        disk::seal(&LAYOUT, &mut block);
        block
    }

    #[test]
    fn there_and_back() {
        for names in [
            &[][..],
            &[&b"a"[..]],
            &[b"a", b"bb", b"ccc", b"dddd"],
            &[b"a name of forty-eight bytes, for the first part.."],
            &[b"a name that is too long for the first part, by far; so it lies in the second", b"b"],
        ] {
            let block = block_with(names);
            let packed = pack(&LAYOUT, &block, 160).unwrap().unwrap();
            assert!(packed.len() >= 60 && packed.len() <= 160);
            assert_eq!(*unpack(&LAYOUT, 20, &packed).unwrap(), *block, "{names:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let names: Vec<&[u8]> = alloc::vec![b"twelve bytes"; 8];
        assert!(pack(&LAYOUT, &block_with(&names), 160).unwrap().is_none());
        assert!(pack(&LAYOUT, &block_with(&names[..7]), 160).unwrap().is_some());
    }

    #[test]
    fn hostile_bytes_are_refused_by_name() {
        let good = pack(&LAYOUT, &block_with(&[b"a", b"bb"]), 160).unwrap().unwrap();
        let bad = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            unpack(&LAYOUT, 20, &bytes)
        };
        assert!(bad(0, 0).is_err(), "no parent");
        assert!(bad(3, 0xff).is_err(), "a parent out of range");
        assert!(bad(8, 0).is_err(), "rec_len 0");
        assert!(bad(8, 200).is_err(), "rec_len past the part");
        assert!(unpack(&LAYOUT, 20, &good[..59]).is_err());
        let mut state = 1u32;
        for _ in 0..20_000 {
            let mut bytes = good.clone();
            bytes.resize(60 + (state >> 20) as usize % 100, 0);
            for _ in 0..3 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let at = (state >> 8) as usize % bytes.len();
                bytes[at] = (state >> 24) as u8;
            }
            if let Ok(block) = unpack(&LAYOUT, 20, &bytes) {
                assert!(entries(&LAYOUT, &block).all(|e| e.is_ok()));
            }
        }
    }
}
