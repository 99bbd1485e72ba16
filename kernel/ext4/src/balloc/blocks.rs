//! The block allocator.
//!
//! # What it is
//! [`allocate`] finds one run of free blocks near a goal: as long as wanted if it can, shorter if it
//! must. It asks the groups' buddy summaries ([`super::buddy`]), from the goal's group on, in rounds
//! that are content with less each time:
//!
//! ```text
//!   round  a group is good enough when it has in a row
//!   1      what is wanted and what is to be kept behind it, at most a quarter of a group
//!   2      what is wanted                     3  a sixteenth of it, at least 16 blocks     4  anything
//! ```
//! In a group: the run that begins at the goal; else the smallest chunk that is large enough (best
//! fit, so that large ones stay whole); else the longest run. A group whose largest chunk is known to
//! be too small is passed over without its lock. When all that finds nothing, windows kept for other
//! files are given up and the search begins again.
//!
//! [`allocate_growing`] keeps free blocks behind the run for the file's next ones ([`window`]). Such
//! files leave their directory's group, when that is crowded, for the group where the last such file
//! went, as Linux's stream allocation does.
//!
//! # Locking
//! The counter is claimed first ([`super::claim`]), then one group's lock at a time.
//!
//! # Invariants
//! 1. A block given out was free in a checked bitmap, and is no metadata of the file system.
//! 2. A block taken back was in use; taking back a free one is a contradiction of the disk.

use alloc::boxed::Box;
use core::sync::atomic::Ordering;

use base::{Errno, FsBlock, Result};

use super::bitmap;
use super::bits::{self, Run};
use super::buddy::Buddy;
use super::claim::{Claimant, claim, unclaim};
use super::window::{self, Window};
use super::{pending, trim};
use crate::error::Site;
use crate::fs::Ext4Fs;
use crate::group::GroupGuard;
use crate::inode::Node;

/// Searches that find nothing while there are free blocks.
const SEARCHES: u32 = 8;

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

/// A run of 1 to `want` blocks, marked in use. ENOSPC.
pub fn allocate(fs: &Ext4Fs, request: &Request) -> Result<(FsBlock, u32)> {
    claimed(fs, request, |want| search(fs, &Search { goal: request.goal, want, growth: None }))
}

/// The same for block `logical` of a file's data; up to `more` free blocks behind the run are kept for
/// the file's next ones ([`window`]).
pub fn allocate_growing(node: &Node, request: &Request, logical: u32, more: u32) -> Result<(FsBlock, u32)> {
    let fs = node.fs();
    claimed(fs, request, |want| {
        if let Some(found) = from_window(node, logical, want)? {
            return Ok(found);
        }
        // Who gets less than asked for finds a disk so full that nothing is kept any more.
        let more = if want == request.want { more } else { 0 };
        let growth = (more > 0).then_some(Growth { node, logical, more });
        search(fs, &Search { goal: request.goal, want, growth })
    })
}

/// Takes blocks off the counter, lets `find` look for them, and puts back what it did not get.
fn claimed(
    fs: &Ext4Fs,
    request: &Request,
    find: impl FnOnce(u32) -> Result<(FsBlock, u32)>,
) -> Result<(FsBlock, u32)> {
    let claimed = claim(fs, request.want, request.who)?;
    let found = find(claimed);
    let used = found.as_ref().map_or(0, |(_, len)| *len);
    unclaim(fs, claimed - used.min(claimed), request.who);
    window::shed(fs);
    found
}

/// A file that grows.
struct Growth<'a> {
    node: &'a Node,
    logical: u32,
    more: u32,
}

/// What is looked for, its blocks claimed.
struct Search<'a> {
    goal: FsBlock,
    want: u32,
    growth: Option<Growth<'a>>,
}

impl Search<'_> {
    /// With what is to be kept behind it.
    fn total(&self) -> u32 {
        self.want.saturating_add(self.growth.as_ref().map_or(0, |g| g.more))
    }
}

/// From the window that is kept for this block of the file.
fn from_window(node: &Node, logical: u32, want: u32) -> Result<Option<(FsBlock, u32)>> {
    let Some(number) = node.window() else { return Ok(None) };
    let fs = node.fs();
    let Some(mut group) = fs.groups.lock(number) else { return Ok(None) };
    let Some(run) = window::take(fs, &mut group, node.ino32(), logical, want) else {
        node.set_window(None);
        return Ok(None);
    };
    mark(fs, &mut group, run).inspect_err(|_| give(&mut group, run))?;
    Ok(Some((place(fs, number, run), run.len)))
}

fn search(fs: &Ext4Fs, wanted: &Search<'_>) -> Result<(FsBlock, u32)> {
    // A window that the file had is not where it goes on.
    if let Some(growth) = &wanted.growth {
        window::discard(growth.node);
    }
    let mut tries = 0;
    loop {
        match search_groups(fs, wanted) {
            Err(Errno::ENOSPC) if window::steal_all(fs) || came_free(fs, &mut tries) => {}
            found => return found,
        }
    }
}

/// Whether there are blocks now, after a search has found none. What is looked for was claimed, so it is
/// there: others may have taken what lay ahead of the search, and freed or given up as much behind it.
#[cold]
fn came_free(fs: &Ext4Fs, tries: &mut u32) -> bool {
    *tries += 1;
    *tries <= SEARCHES && (0..fs.geometry().groups).any(|number| fs.groups.may_have(number, 1))
}

/// One search, content with less in each round.
fn search_groups(fs: &Ext4Fs, wanted: &Search<'_>) -> Result<(FsBlock, u32)> {
    let geometry = fs.geometry();
    let (goal_group, goal_bit) = geometry.locate(wanted.goal).unwrap_or((0, 0));
    // Large growing files go where the last one went, and leave the small ones' groups alone.
    let next = match wanted.growth {
        Some(_) => fs.kept.stream.load(Ordering::Relaxed),
        None => goal_group + 1,
    };
    // No run is longer than a group; a quarter of one is long enough to be content with.
    let most = (geometry.blocks_per_group / 4).max(1);
    let whole = wanted.total().clamp(1, most);
    let rounds =
        [whole, wanted.want.clamp(1, whole), (wanted.want / 16).max(16).min(wanted.want).min(whole), 1];
    let mut last = u32::MAX;
    for need in rounds {
        if need == last {
            continue;
        }
        last = need;
        for step in 0..=geometry.groups {
            let number = if step == 0 { goal_group } else { (next + (step - 1)) % geometry.groups };
            if (step > 0 && number == goal_group) || !fs.groups.may_have(number, need) {
                continue;
            }
            let bit = if step == 0 { goal_bit } else { 0 };
            let Some(mut group) = fs.groups.lock(number) else { continue };
            match take(fs, &mut group, bit, need, wanted) {
                Ok(Some(run)) => return Ok((place(fs, number, run), run.len)),
                // A bitmap that cannot be trusted has told so in the log; others may do.
                Ok(None) | Err(Errno::EUCLEAN) => {}
                Err(e) => return Err(e),
            }
            fs.check_writable()?;
        }
    }
    Err(Errno::ENOSPC)
}

fn place(fs: &Ext4Fs, group: u32, run: Run) -> FsBlock {
    FsBlock(fs.geometry().group_first_block(group).0 + u64::from(run.start))
}

/// A run of at least `need` blocks of this group, at most `want` of them marked in use and the rest
/// kept as the file's window.
fn take(
    fs: &Ext4Fs,
    group: &mut GroupGuard<'_>,
    goal: u32,
    need: u32,
    wanted: &Search<'_>,
) -> Result<Option<Run>> {
    if group.free_blocks() < need {
        return Ok(None);
    }
    let found = find(summary(fs, group)?, goal, need, wanted.total());
    let Some(found) = found else { return Ok(None) };
    if let Some(summary) = &mut group.summary {
        summary.take(found.start, found.len);
    }
    let run = Run { start: found.start, len: found.len.min(wanted.want) };
    mark(fs, group, run).inspect_err(|_| give(group, found))?;
    if let Some(growth) = &wanted.growth
        && found.len > run.len
    {
        let rest = Window {
            ino: growth.node.ino32(),
            logical: growth.logical.saturating_add(run.len),
            start: run.start + run.len,
            len: found.len - run.len,
        };
        window::keep(fs, growth.node, group, rest);
    }
    Ok(Some(run))
}

/// The group's summary, made from its bitmap when there is none.
pub fn summary<'a>(fs: &Ext4Fs, group: &'a mut GroupGuard<'_>) -> Result<&'a Buddy> {
    if group.summary.is_none() {
        let bitmap = bitmap::blocks(fs, group)?;
        let mut buddy = Buddy::build(&bitmap.read(), fs.geometry().group_blocks(group.number));
        group.waiting.iter().for_each(|waiting| buddy.take(waiting.run().start, waiting.run().len));
        group.summary = Some(Box::new(buddy));
        fs.kept.summaries.fetch_add(1, Ordering::Relaxed);
        group.publish_largest();
    }
    group.summary.as_deref().ok_or(Errno::EIO)
}

/// The run at the goal if it is long enough, else the best fit, else the longest if that is.
fn find(summary: &Buddy, goal: u32, need: u32, want: u32) -> Option<Run> {
    summary
        .run_at(goal, want)
        .filter(|run| run.len >= need)
        .or_else(|| summary.best_fit(goal, want))
        .or_else(|| summary.longest(goal, want).filter(|run| run.len >= need))
}

/// Marks blocks as in use that the summary has given out, in the bitmap and the descriptor.
fn mark(fs: &Ext4Fs, group: &mut GroupGuard<'_>, run: Run) -> Result<()> {
    let buffer = bitmap::blocks(fs, group)?;
    let taken = group.change_blocks(fs.geometry(), &mut buffer.write(), run, bits::set);
    // What the summary has is clear in the bitmap; both change under the group's lock only.
    taken.map_err(|_| Errno::EIO)?;
    let left = group.free_blocks().saturating_sub(run.len);
    group.set_free_blocks(left);
    group.publish_largest();
    group.store(fs)
}

/// Takes blocks back. A block that is not the file's to free, or is free already, is a contradiction
/// of the disk: EUCLEAN, and nothing of that group's share changes.
pub fn free(fs: &Ext4Fs, ino: u32, first: FsBlock, len: u64) -> Result<()> {
    by_group(fs, ino, first, len, |group, run| {
        if !pending::hold(fs, group, run) {
            give(group, run);
            trim::note(fs, group.number, run);
            unclaim(fs, run.len, Claimant::File);
        }
    })
}

/// Blocks that the present handle has allocated for `who` are not wanted after all. No commit knows of them, so they
/// wait for none; those that were reserved are so again, and at no moment anybody's.
pub fn give_back(fs: &Ext4Fs, ino: u32, first: FsBlock, len: u32, who: Claimant) -> Result<()> {
    by_group(fs, ino, first, len.into(), |group, run| {
        give(group, run);
        unclaim(fs, run.len, who);
    })
}

/// Clears blocks in the bitmaps; `freed` is called with each group and its share.
fn by_group(
    fs: &Ext4Fs,
    ino: u32,
    first: FsBlock,
    len: u64,
    freed: impl Fn(&mut GroupGuard<'_>, Run),
) -> Result<()> {
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
        let Some(mut group) = fs.groups.lock(number) else { return Err(Errno::EUCLEAN) };
        // At most the blocks of a group, a u32.
        let run = Run { start: bit, len: n as u32 };
        clear(fs, ino, &mut group, run)?;
        freed(&mut group, run);
        group.store(fs)?;
        at += n;
    }
    Ok(())
}

/// Clears a run in a group's bitmap, and counts it in the descriptor.
fn clear(fs: &Ext4Fs, ino: u32, group: &mut GroupGuard<'_>, run: Run) -> Result<()> {
    let first = fs.geometry().group_first_block(group.number).0;
    if group.blocks_uninit(fs.geometry()) {
        let site = Site::at(ino, FsBlock(first + u64::from(run.start)));
        return Err(fs.corrupt(site, "to be freed, but its group was never used"));
    }
    let buffer = bitmap::blocks(fs, group)?;
    let cleared = group.change_blocks(fs.geometry(), &mut buffer.write(), run, bits::clear);
    if let Err(at) = cleared {
        let site = Site::at(ino, FsBlock(first + u64::from(at)));
        return Err(fs.corrupt(site, "to be freed, but it is free already"));
    }
    let free = group.free_blocks().saturating_add(run.len);
    group.set_free_blocks(free);
    Ok(())
}

/// Puts a run into the summary: it may be given out.
fn give(group: &mut GroupGuard<'_>, run: Run) {
    if let Some(summary) = &mut group.summary {
        summary.give(run.start, run.len);
    }
    group.publish_largest();
}

/// Marks blocks as in use, those that are not: they are a file's that was told of by other means.
pub fn take_over(fs: &Ext4Fs, first: FsBlock, len: u64) -> Result<()> {
    let (mut at, end) = (first.0, first.0.saturating_add(len));
    while at < end {
        let Some((number, bit)) = fs.geometry().locate(FsBlock(at)) else { return Err(Errno::EUCLEAN) };
        let room = u64::from(fs.geometry().group_blocks(number).saturating_sub(bit)).max(1);
        let n = room.min(end - at);
        // At most the blocks of a group, a u32.
        take_over_in_group(fs, number, bit, n as u32)?;
        at += n;
    }
    Ok(())
}

fn take_over_in_group(fs: &Ext4Fs, number: u32, bit: u32, len: u32) -> Result<()> {
    let Some(mut group) = fs.groups.lock(number) else { return Err(Errno::EUCLEAN) };
    let buffer = bitmap::blocks(fs, &mut group)?;
    let (mut at, end) = (bit, bit.saturating_add(len));
    loop {
        let run = {
            let bytes = buffer.read();
            let Some(start) = bits::next_clear(&bytes, at, end) else { return Ok(()) };
            let stop = bits::next_set(&bytes, start, end).unwrap_or(end);
            Run { start, len: stop - start }
        };
        if let Some(summary) = &mut group.summary {
            summary.take(run.start, run.len);
        }
        mark(fs, &mut group, run)?;
        fs.free_blocks.fetch_sub(u64::from(run.len), Ordering::Relaxed);
        at = run.start + run.len;
    }
}

/// Takes a metadata block back: what is cached of it is never written again.
pub fn free_metadata(fs: &Ext4Fs, ino: u32, block: FsBlock) -> Result<()> {
    fs.forget(block);
    free(fs, ino, block, 1)
}
