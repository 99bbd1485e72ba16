//! Blocks for a hole of a block-mapped file.
//!
//! # Order
//! All blocks are allocated first, those of pointers and the data; then the blocks of pointers are
//! filled from the lowest up; last the one pointer is set that joins the new branch to the file. So
//! a failure gives everything back and leaves the map as it was, and nobody follows a pointer to a
//! block that is not filled.
//!
//! # Where
//! A file that is written in order lies in order: the block of pointers comes right behind the data before it, and
//! its own data right behind that.

use alloc::vec::Vec;

use base::{Errno, FsBlock, Result};
use pagecache::ExtentKind;

use super::{DIRECT, Place, per_block, put, read, root, set_root, span, write, zeros};
use crate::balloc::blocks::{self, Request};
use crate::balloc::claim::Claimant;
use crate::inode::Node;
use crate::trace;

/// The lowest row of pointers on the way to a block that is there already.
struct Joint {
    /// The block it is in; None: `i_block`.
    at: Option<u32>,
    /// The slot on the way.
    slot: usize,
    /// Blocks of pointers that are missing below.
    missing: u32,
    /// The block's number below the slot.
    offset: u64,
    /// Holes from the slot on.
    holes: u64,
    /// Where a new block would be best.
    goal: FsBlock,
}

/// Maps 1 to `count` blocks from `block` on, a hole; where the first lies, and how many. What has been reserved
/// for the blocks of pointers is used for them; for the data, the caller settles it. ENOSPC; EFBIG past what
/// pointers reach.
pub fn grow(inode: &Node, block: u32, count: u64, who: Claimant) -> Result<(FsBlock, u32)> {
    let place = Place::of(inode, u64::from(block)).ok_or(Errno::EFBIG)?;
    let joint = Joint::find(inode, block, &place)?;
    let room =
        if joint.missing == 0 { joint.holes } else { per_block(inode) - joint.offset % per_block(inode) };
    // A row of pointers at most.
    let want = count.clamp(1, room.max(1)) as u32;
    inode.delayed.forget_hole();
    let pointers_for = inode.pointers_claimant(joint.missing, who);
    let mut branch = Branch { inode, who: pointers_for, pointers: Vec::new() };
    let goal = branch.allocate(&joint)?;
    let request = Request { goal, want, who };
    trace::request_blocks(inode, block, &request);
    let (start, len) = branch.guard(blocks::allocate(inode.fs(), &request))?;
    trace::allocate_blocks(inode, block, &request, start, len);
    if let Err(e) = branch.join(&joint, start, len) {
        blocks::give_back(inode.fs(), inode.ino32(), start, len, who)?;
        return branch.guard(Err(e));
    }
    if pointers_for == Claimant::Reserved {
        inode.pointers_are_used(joint.missing);
    }
    inode.add_blocks(i64::from(len) + i64::from(joint.missing));
    Ok((start, len))
}

impl Joint {
    fn find(inode: &Node, block: u32, place: &Place) -> Result<Joint> {
        let mut row = root(inode);
        let (mut at, mut slot) = (None, place.slot);
        let (mut missing, mut offset) = (place.levels, place.offset);
        while missing > 0 {
            let pointer = row.get(slot).copied().unwrap_or(0);
            if pointer == 0 {
                break;
            }
            row = read(inode, pointer)?;
            missing -= 1;
            let span = span(inode, missing);
            (at, slot, offset) = (Some(pointer), (offset / span) as usize, offset % span);
        }
        if at.is_none() {
            row.truncate(if place.levels == 0 { DIRECT as usize } else { place.slot + 1 });
        }
        let holes = zeros(row.get(slot..).unwrap_or(&[]));
        if holes == 0 {
            return Err(inode.corrupt("a hole that is none is to be filled"));
        }
        let before = row.iter().take(slot).rev().zip(1u64..).find(|(p, _)| **p != 0);
        // The row says it where it holds the block before, and is spared the way to it.
        let behind = match before {
            Some((_, 1)) if missing == 0 => None,
            _ => behind(inode, block)?,
        };
        let goal = match (behind, before, at) {
            (Some(goal), ..) => goal,
            (None, Some((&p, away)), _) => FsBlock(u64::from(p) + away),
            (None, None, Some(block)) => FsBlock(u64::from(block) + 1),
            (None, None, None) => inode.home_block(),
        };
        Ok(Joint { at, slot, missing, offset, holes, goal })
    }
}

/// Right behind the block before this one, if that has a place.
fn behind(inode: &Node, block: u32) -> Result<Option<FsBlock>> {
    let Some(before) = block.checked_sub(1) else { return Ok(None) };
    Ok(match super::lookup(inode, before, 1)?.kind {
        ExtentKind::Mapped { block } => Some(FsBlock(block.0 + 1)),
        _ => None,
    })
}

/// Blocks of pointers that are not yet the file's, the highest first.
struct Branch<'a> {
    inode: &'a Node,
    /// For whom they are allocated.
    who: Claimant,
    pointers: Vec<u32>,
}

impl Branch<'_> {
    /// Allocates what is missing; where the data would be best.
    fn allocate(&mut self, joint: &Joint) -> Result<FsBlock> {
        let mut goal = joint.goal;
        for _ in 0..joint.missing {
            let request = Request { goal, want: 1, who: self.who };
            let (block, _) = self.guard(blocks::allocate(self.inode.fs(), &request))?;
            goal = FsBlock(block.0 + 1);
            match u32::try_from(block.0) {
                Ok(pointer) => self.pointers.push(pointer),
                Err(_) => return self.guard(self.too_far(block)),
            }
        }
        Ok(goal)
    }

    /// On an error all that was allocated goes back.
    fn guard<T>(&self, result: Result<T>) -> Result<T> {
        if result.is_err() {
            for &pointer in &self.pointers {
                let block = FsBlock(u64::from(pointer));
                self.inode.fs().forget(block);
                blocks::give_back(self.inode.fs(), self.inode.ino32(), block, 1, self.who)?;
            }
        }
        result
    }

    /// A pointer has 32 bits: a block behind that is none for this file.
    fn too_far<T>(&self, block: FsBlock) -> Result<T> {
        blocks::give_back(self.inode.fs(), self.inode.ino32(), block, 1, self.who)?;
        Err(Errno::ENOSPC)
    }

    /// Fills the branch and joins it to the file.
    fn join(&self, joint: &Joint, start: FsBlock, len: u32) -> Result<()> {
        let end = start.0.saturating_add(u64::from(len));
        if end > u64::from(u32::MAX) {
            return Err(Errno::ENOSPC);
        }
        // Below 2^32, as was seen.
        let mut below: Vec<u32> = (start.0..end).map(|b| b as u32).collect();
        for (level, &pointer) in (0u32..).zip(self.pointers.iter().rev()) {
            let at = (joint.offset / span(self.inode, level)) % per_block(self.inode);
            let buffer = self.inode.fs().device().getblk(FsBlock(u64::from(pointer)))?;
            let mut bytes = buffer.write();
            bytes.fill(0);
            // Below the pointers of a block.
            put(&mut bytes, at as usize, &below);
            below = alloc::vec![pointer];
        }
        match joint.at {
            None => set_root(self.inode, joint.slot, &below),
            Some(block) => write(self.inode, block, joint.slot, &below)?,
        }
        Ok(())
    }
}
