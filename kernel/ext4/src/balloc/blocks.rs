//! The block allocator.
//!
//! # What it is
//! [`allocate`] finds one run of free blocks near a goal: as long as wanted if it can, shorter if it
//! must. It looks in three rounds, each content with less (the whole run; a sixteenth of it, at least
//! 16; anything), and in each round goes through the groups from the goal's on. A group whose longest
//! run is known to be too short is passed over without a look at its bitmap.
//!
//! # Reserved blocks
//! ```text
//!   free blocks  |<---- anybody ---->|<- root only (s_r_blocks_count) ->|<- 2 %, at most 4096: only
//!                                                                           for metadata ->|
//! ```
//! The last part keeps a file's tree able to grow when the disk is full, as in Linux.
//!
//! # Locking
//! The counter is claimed first, then one group's lock at a time.
//!
//! # Invariants
//! 1. A block given out was free in a checked bitmap, and is no metadata of the file system.
//! 2. A block taken back was in use; taking back a free one is a contradiction of the disk.

use core::sync::atomic::Ordering;

use base::{Errno, FsBlock, Result};

use super::bitmap;
use super::bits::{self, Run};
use crate::disk::feature::Incompat;
use crate::error::Site;
use crate::fs::Ext4Fs;
use crate::group::GroupGuard;

/// Who wants blocks, and so which of the last ones it may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Claimant {
    /// A file of somebody who is not root.
    User,
    /// A file of root.
    Root,
    /// The file system's own: nodes of an extent tree.
    Metadata,
}

/// What is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Where it would be best.
    pub goal: FsBlock,
    /// How many blocks, at least 1.
    pub want: u32,
    /// For whom.
    pub who: Claimant,
}

/// Blocks kept for metadata: a fiftieth, at most 4096 (`ext4_calculate_resv_clusters`).
pub fn kept_for_metadata(fs: &Ext4Fs) -> u64 {
    if fs.geometry().has_incompat(Incompat::EXTENTS) {
        (fs.geometry().blocks_count / 50).min(4096)
    } else {
        0
    }
}

/// A run of 1 to `want` blocks, marked in use. ENOSPC.
pub fn allocate(fs: &Ext4Fs, request: &Request) -> Result<(FsBlock, u32)> {
    let claimed = claim(fs, request)?;
    let found = search(fs, request.goal, claimed);
    let used = found.as_ref().map_or(0, |(_, len)| *len);
    fs.free_blocks.fetch_add(u64::from(claimed - used.min(claimed)), Ordering::Relaxed);
    found
}

/// Takes up to `want` blocks off the counter.
fn claim(fs: &Ext4Fs, request: &Request) -> Result<u32> {
    let kept = match request.who {
        Claimant::Metadata => 0,
        Claimant::Root => kept_for_metadata(fs),
        Claimant::User => kept_for_metadata(fs) + fs.geometry().reserved_blocks,
    };
    let mut got = 0;
    let take = |free: u64| {
        got = free.saturating_sub(kept).min(u64::from(request.want));
        (got > 0).then(|| free - got)
    };
    fs.free_blocks.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).map_err(|_| Errno::ENOSPC)?;
    // At most `want`, a u32.
    Ok(got as u32)
}

fn search(fs: &Ext4Fs, goal: FsBlock, want: u32) -> Result<(FsBlock, u32)> {
    let geometry = fs.geometry();
    let (goal_group, goal_bit) = geometry.locate(goal).unwrap_or((0, 0));
    // No run is longer than a group; a quarter of one is long enough to be content with.
    let whole = want.min(geometry.blocks_per_group / 4).max(1);
    for need in [whole, (whole / 16).max(16).min(whole), 1] {
        for step in 0..geometry.groups {
            let number = (goal_group + step) % geometry.groups;
            if fs.groups.free_blocks(number) < need {
                continue;
            }
            let bit = if step == 0 { goal_bit } else { 0 };
            let Some(mut group) = fs.groups.lock(number) else { continue };
            match take(fs, &mut group, bit, need, want) {
                Ok(Some(run)) => {
                    let first = geometry.group_first_block(number).0 + u64::from(run.start);
                    return Ok((FsBlock(first), run.len));
                }
                // A bitmap that cannot be trusted has told so in the log; others may do.
                Ok(None) | Err(Errno::EUCLEAN) => {}
                Err(e) => return Err(e),
            }
            fs.check_writable()?;
        }
    }
    Err(Errno::ENOSPC)
}

/// A run of at least `need` blocks of this group, at most `want`.
fn take(fs: &Ext4Fs, group: &mut GroupGuard<'_>, goal: u32, need: u32, want: u32) -> Result<Option<Run>> {
    if group.longest_run < need || group.free_blocks() < need {
        return Ok(None);
    }
    let buffer = bitmap::blocks(fs, group)?;
    let end = fs.geometry().group_blocks(group.number);
    let (found, longest) = find(&buffer.read(), goal, end, need, want);
    if let Some(longest) = longest {
        group.longest_run = longest;
    }
    let Some(run) = found.filter(|r| r.len >= need || r.start == goal) else { return Ok(None) };
    let taken = {
        let mut block = buffer.write();
        let taken = bits::set(&mut block, run.start, run.len);
        group.seal_block_bitmap(fs.geometry(), &block);
        taken
    };
    // Under the group's lock nobody else can have set a bit since `find`.
    taken.map_err(|_| Errno::EIO)?;
    let left = group.free_blocks().saturating_sub(run.len);
    group.set_free_blocks(left);
    group.store(fs)?;
    Ok(Some(run))
}

/// The run at the goal if it is free and not too short, else the first long enough after it, else the
/// longest. The second value, when known: the longest run of the whole group.
fn find(bits: &[u8], goal: u32, end: u32, need: u32, want: u32) -> (Option<Run>, Option<u32>) {
    if let Some(run) = bits::run_at(bits, goal, end, want)
        && run.len >= need.min(16)
    {
        return (Some(run), None);
    }
    let (after, none_longer) = bits::find_run(bits, goal, end, want);
    if none_longer.is_none() || goal == 0 {
        return (after, none_longer);
    }
    let (before, none_longer_before) = bits::find_run(bits, 0, end, want);
    (before, none_longer_before)
}

/// Takes blocks back. A block that is not the file's to free, or is free already, is a contradiction
/// of the disk: EUCLEAN, and nothing of that group's share changes.
pub fn free(fs: &Ext4Fs, ino: u32, first: FsBlock, len: u64) -> Result<()> {
    if !fs.zones.allows(first, len) {
        return Err(
            fs.corrupt(Site::at(ino, first), format_args!("{len} blocks to be freed are not a file's"))
        );
    }
    let (mut at, end) = (first.0, first.0 + len);
    while at < end {
        let Some((number, bit)) = fs.geometry().locate(FsBlock(at)) else { return Err(Errno::EUCLEAN) };
        let room = u64::from(fs.geometry().group_blocks(number).saturating_sub(bit)).max(1);
        let n = room.min(end - at);
        // At most the blocks of a group, a u32.
        free_in_group(fs, ino, number, bit, n as u32)?;
        at += n;
    }
    Ok(())
}

fn free_in_group(fs: &Ext4Fs, ino: u32, number: u32, bit: u32, len: u32) -> Result<()> {
    let Some(mut group) = fs.groups.lock(number) else { return Err(Errno::EUCLEAN) };
    let first = fs.geometry().group_first_block(number).0;
    if group.blocks_uninit(fs.geometry()) {
        let site = Site::at(ino, FsBlock(first + u64::from(bit)));
        return Err(fs.corrupt(site, "to be freed, but its group was never used"));
    }
    let buffer = bitmap::blocks(fs, &mut group)?;
    let cleared = {
        let mut block = buffer.write();
        let cleared = bits::clear(&mut block, bit, len);
        group.seal_block_bitmap(fs.geometry(), &block);
        cleared
    };
    if let Err(at) = cleared {
        let site = Site::at(ino, FsBlock(first + u64::from(at)));
        return Err(fs.corrupt(site, "to be freed, but it is free already"));
    }
    let free = group.free_blocks().saturating_add(len);
    group.set_free_blocks(free);
    group.longest_run = free;
    group.store(fs)?;
    fs.free_blocks.fetch_add(u64::from(len), Ordering::Relaxed);
    Ok(())
}

/// Takes a metadata block back: what is cached of it is never written again.
pub fn free_metadata(fs: &Ext4Fs, ino: u32, block: FsBlock) -> Result<()> {
    fs.device().forget(block);
    free(fs, ino, block, 1)
}
