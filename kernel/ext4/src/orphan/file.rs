//! The orphan file: a table of orphans, in place of the list through the inodes.
//!
//! # What it is
//! mke2fs makes it with `-O orphan_file` and puts its inode's number into the superblock. An orphan
//! takes a free entry anywhere in it: one block changes, not a neighbour's inode and the superblock.
//! While the disk may hold entries, `orphan_present` is set, which keeps older kernels from writing.
//!
//! # Locking
//! [`super::Orphans`] holds its lock around each call; here one buffer guard at a time.
//!
//! # Invariants
//! 1. `places` has each entry that Quill made or took over; `free` counts the zeros of a block.
//!
//! Source: the kernel's ext4 documentation, "Orphan file".

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::{FileBlock, Ino, Result};
use hashbrown::HashMap;
use pagecache::Buffer;
use vfs::FileType;

use crate::disk::feature::{Compat, RoCompat};
use crate::disk::orphan::{self as disk, OrphanError};
use crate::fs::Ext4Fs;
use crate::inode::Node;

/// The largest file that is used (e2fsprogs makes at most 2 MiB).
const MAX_BYTES: u64 = 8 << 20;

/// The orphan file of a file system that may be written.
pub(super) struct OrphanFile {
    blocks: Vec<Block>,
    seed: Option<u32>,
    places: HashMap<u32, Place>,
}

struct Block {
    buffer: Buffer,
    free: usize,
    /// No entry before this one is free.
    from: usize,
}

/// Which entry of which block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    block: usize,
    at: usize,
}

impl OrphanFile {
    /// Reads and checks it. None when the disk has none. EUCLEAN, EIO.
    pub fn load(fs: &Arc<Ext4Fs>) -> Result<Option<OrphanFile>> {
        if !fs.geometry().has_compat(Compat::ORPHAN_FILE) {
            return Ok(None);
        }
        let inode = fs.iget(Ino(u64::from(fs.superblock().s_orphan_file_inum.get())))?;
        let size = inode.size();
        let whole = size.is_multiple_of(fs.geometry().block_size() as u64);
        if inode.kind() != FileType::Regular || size == 0 || size > MAX_BYTES || !whole {
            return Err(inode.corrupt(OrphanError::Shape(size)));
        }
        let seed = fs.geometry().metadata_csum().then_some(inode.csum_seed());
        let blocks = (0..inode.block_count()).map(|n| load_block(&inode, FileBlock(n), seed));
        Ok(Some(OrphanFile { blocks: blocks.collect::<Result<_>>()?, seed, places: HashMap::new() }))
    }

    /// The numbers in it.
    pub fn numbers(&self) -> Vec<u32> {
        let mut found = Vec::new();
        for block in self.blocks.iter().filter(|block| block.free < block.entries()) {
            let bytes = block.buffer.read();
            found.extend((0..block.entries()).map(|at| disk::get(&bytes, at)).filter(|&ino| ino != 0));
        }
        found
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.blocks.iter().all(|block| block.free == block.entries())
    }

    /// Whether an inode has an entry.
    pub fn contains(&self, ino: u32) -> bool {
        self.places.contains_key(&ino)
    }

    /// Gives an inode an entry; false when all are taken.
    pub fn add(&mut self, ino: u32) -> bool {
        let Some((number, block)) = self.blocks.iter_mut().enumerate().find(|(_, b)| b.free > 0) else {
            return false;
        };
        let Some(at) = block.first_free() else { return false };
        block.set(self.seed, at, ino);
        block.free -= 1;
        block.from = at + 1;
        self.places.insert(ino, Place { block: number, at });
        true
    }

    /// Takes an inode's entry away; false when it has none.
    pub fn remove(&mut self, ino: u32) -> bool {
        let Some(place) = self.places.remove(&ino) else { return false };
        let Some(block) = self.blocks.get_mut(place.block) else { return false };
        block.set(self.seed, place.at, 0);
        block.free += 1;
        block.from = block.from.min(place.at);
        true
    }

    /// Makes an entry that a crash left its inode's own. False when there is none.
    pub fn adopt(&mut self, ino: u32) -> bool {
        for (number, block) in self.blocks.iter().enumerate() {
            let bytes = block.buffer.read();
            if let Some(at) = (0..block.entries()).find(|&at| disk::get(&bytes, at) == ino) {
                self.places.insert(ino, Place { block: number, at });
                return true;
            }
        }
        false
    }
}

impl Block {
    fn entries(&self) -> usize {
        disk::entries(self.buffer.read().len())
    }

    fn first_free(&self) -> Option<usize> {
        let bytes = self.buffer.read();
        (self.from..disk::entries(bytes.len())).find(|&at| disk::get(&bytes, at) == 0)
    }

    fn set(&self, seed: Option<u32>, at: usize, ino: u32) {
        disk::set(&mut self.buffer.write(), self.buffer.block(), seed, at, ino);
    }
}

fn load_block(inode: &Node, block: FileBlock, seed: Option<u32>) -> Result<Block> {
    let Some(buffer) = inode.bread_dir(block)? else {
        return Err(inode.corrupt_file_block(block, OrphanError::Hole));
    };
    let (sound, free) = {
        let bytes = buffer.read();
        let free = (0..disk::entries(bytes.len())).filter(|&at| disk::get(&bytes, at) == 0).count();
        (disk::check(&bytes, buffer.block(), seed), free)
    };
    sound.map_err(|e| inode.corrupt_file_block(block, e))?;
    Ok(Block { buffer, free, from: 0 })
}

/// Sets or clears `orphan_present`.
pub(super) fn mark_present(fs: &Ext4Fs, yes: bool) {
    fs.with_superblock(|sb| {
        let bit = RoCompat::ORPHAN_PRESENT.bits();
        let old = sb.s_feature_ro_compat.get();
        sb.s_feature_ro_compat = if yes { old | bit } else { old & !bit }.into();
    });
}
