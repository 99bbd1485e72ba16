//! inline_data: small files and directories that live in their inode.
//!
//! # Where the bytes lie
//! ```text
//!   file        bytes 0–59: i_block          60 and on: the value of the attribute system.data
//!   directory   0–3: inode of "..", 4–59: entries        60 and on: more entries
//!   symlink     as a file (mke2fs and debugfs make these for targets of 60 bytes and more)
//! ```
//! An inline inode has INLINE_DATA_FL, no EXTENTS_FL, no blocks, and always the attribute, if only with an
//! empty value. A 256-byte inode holds up to 128 bytes so; other attributes take of that.
//!
//! # Life
//! ```text
//!   new file ──first write that fits──▶ inline ──write, truncate, mmap for writing──▶ blocks, for good
//!   new directory ─────────────────────▶ inline ──an entry that does not fit───────▶ blocks, for good
//! ```
//!
//! # Order of the steps
//! A file that outgrows its inode has its old bytes written to the block before the inode in the table
//! says so: they may have been durable.
//!
//! # Locking
//! The caller holds `rwsem`: alone to change, shared to look at a directory; a page being filled holds
//! its own lock alone. The bytes are read and stored under `xattr_sem`, which is therefore taken under a
//! page lock; nothing that holds `xattr_sem` takes a page lock.
//!
//! # Invariants
//! 1. `INLINE_DATA` in `i_flags` changes only under the first page's lock, or while `i_size` is 0 or the
//!    inode is no regular file.
//! 2. What Quill stores has `i_size` bytes exactly. Linux may leave fewer (truncate upwards): zeros follow.
//!
//! Source: ext4 documentation, "Inline Data".

pub(crate) mod dir;
mod file;

use alloc::vec::Vec;

use base::Result;
use vfs::FileType;

use crate::disk::feature::Incompat;
use crate::disk::inode::{BLOCK_SIZE, InodeFlags};
use crate::extent::node;
use crate::inode::{Meta, Node};

/// How an inode was before it stopped being inline.
struct Before {
    flags: InodeFlags,
    block: [u8; BLOCK_SIZE],
}

impl Node {
    /// Whether its content lies in the inode.
    pub(crate) fn is_inline(&self) -> bool {
        self.flags().contains(InodeFlags::INLINE_DATA)
    }

    /// The bytes in the inode, at most `i_size` of them. None when the inode is not inline. EUCLEAN.
    pub(crate) fn inline_bytes(&self) -> Result<Option<Vec<u8>>> {
        if !self.is_inline() {
            return Ok(None);
        }
        let size = usize::try_from(self.size()).unwrap_or(usize::MAX);
        let found = self.with_system_data(|rest| {
            // Asked again: it may have changed before the lock was there.
            let block = self.with_meta(|m| m.flags.contains(InodeFlags::INLINE_DATA).then_some(m.block));
            let Some(block) = block else { return Ok(None) };
            let mut bytes = block.to_vec();
            bytes.extend_from_slice(rest.ok_or(())?);
            bytes.truncate(size);
            Ok(Some(bytes))
        })?;
        found.map_err(|()| self.corrupt("is inline, but has no attribute system.data"))
    }

    /// Makes these bytes the inode's content, and it inline. ENOSPC when they do not fit.
    fn store_inline(&self, bytes: &[u8]) -> Result<()> {
        let (head, rest) = bytes.split_at(bytes.len().min(BLOCK_SIZE));
        self.set_system_data(Some(rest), || {
            self.with_meta(|m| {
                m.flags.remove(InodeFlags::EXTENTS);
                m.flags.insert(InodeFlags::INLINE_DATA);
                m.block = [0; BLOCK_SIZE];
                m.block[..head.len()].copy_from_slice(head);
            });
            self.set_size(bytes.len() as u64);
        })
    }

    /// The most bytes that fit the inode. None when it cannot be inline.
    fn inline_capacity(&self) -> Result<Option<usize>> {
        if !self.fs().geometry().has_incompat(Incompat::INLINE_DATA) {
            return Ok(None);
        }
        Ok(self.system_data_room()?.map(|room| BLOCK_SIZE + room))
    }

    /// Whether a file or directory has never had a block, so that it may become inline.
    fn is_unused(&self) -> bool {
        let sized = matches!(self.kind(), FileType::Regular | FileType::Directory);
        sized && self.size() == 0 && self.with_meta(|m| has_no_map(m))
    }

    /// Replaces the inline bytes in memory by an empty block map; the attribute stays.
    fn switch_to_map(&self) -> Before {
        let extents = self.fs().geometry().has_incompat(Incompat::EXTENTS);
        self.with_meta(|m| {
            let before = Before { flags: m.flags, block: m.block };
            m.block = [0; BLOCK_SIZE];
            m.flags.remove(InodeFlags::INLINE_DATA);
            if extents {
                m.flags.insert(InodeFlags::EXTENTS);
                node::init(&mut m.block, 0);
            }
            before
        })
    }

    /// Takes [`Node::switch_to_map`] back.
    fn switch_back(&self, before: &Before) {
        self.with_meta(|m| (m.flags, m.block) = (before.flags, before.block));
    }

    /// Takes the attribute away after the content has moved to blocks, and stores the inode.
    fn drop_inline_rest(&self) -> Result<()> {
        self.set_system_data(None, || {})
    }
}

/// Whether `i_block` is a map without any entry.
fn has_no_map(m: &Meta) -> bool {
    if m.flags.contains(InodeFlags::INLINE_DATA) {
        return false;
    }
    if m.flags.contains(InodeFlags::EXTENTS) {
        // eh_entries.
        return m.block[2..4] == [0, 0];
    }
    m.block == [0; BLOCK_SIZE]
}

/// Refuses an inline inode whose other words contradict it: at the door, before anybody uses it.
pub(crate) fn check(node: &Node) -> Result<()> {
    if node.is_inline() {
        node.inline_bytes().map(|_| ())?;
        if node.kind() == FileType::Directory && node.size() < BLOCK_SIZE as u64 {
            return Err(node.corrupt(format_args!("an inline directory of {} bytes", node.size())));
        }
    }
    Ok(())
}
