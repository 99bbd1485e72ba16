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
//! # Reserved blocks
//! ```text
//!   free blocks  |<---- anybody ---->|<- s_r_blocks_count: some only ->|<- 2 %, at most 4096: only
//!                                                                          for metadata ->|
//! ```
//! The middle part is for the user `resuid=` (or `s_def_resuid`: root), the group `resgid=` unless that is
//! root's, and who has CAP_SYS_RESOURCE: the thread's credentials decide, when there is not enough
//! without. The last part keeps a file's tree able to grow when the disk is full, as in Linux.
//!
//! # Locking
//! The counter is claimed first, then one group's lock at a time.
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
use super::window::{self, Window};
use super::{pending, trim};
use crate::disk::feature::Incompat;
use crate::error::Site;
use crate::fs::Ext4Fs;
use crate::group::GroupGuard;
use crate::inode::Node;

/// Searches that find nothing while there are free blocks.
const SEARCHES: u32 = 8;

/// Who wants blocks, and so which of the last ones it may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Claimant {
    /// A file, directory or block of attributes, for the thread that asks.
    File,
    /// The file system's own: nodes of an extent tree.
    Metadata,
    /// A file, for blocks that it has reserved ([`reserve`]).
    Reserved,
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
    let claimed = claim(fs, request)?;
    let found = find(claimed);
    let used = found.as_ref().map_or(0, |(_, len)| *len);
    if request.who != Claimant::Reserved {
        fs.free_blocks.fetch_add(u64::from(claimed - used.min(claimed)), Ordering::Relaxed);
    }
    window::shed(fs);
    found
}

/// Takes up to `want` blocks off the counter.
fn claim(fs: &Ext4Fs, request: &Request) -> Result<u32> {
    let want = u64::from(request.want);
    match request.who {
        Claimant::Metadata => claim_above(fs, want, 0),
        Claimant::Reserved => Ok(request.want),
        Claimant::File => claim_above(fs, want, kept_from_files(fs, want)),
    }
}

/// How many of the free blocks a file gets none of, when the thread that asks wants so many for it.
fn kept_from_files(fs: &Ext4Fs, want: u64) -> u64 {
    let metadata = kept_for_metadata(fs);
    let reserved = metadata + fs.geometry().reserved_blocks;
    let plenty = fs.free_blocks.load(Ordering::Relaxed).saturating_sub(reserved) >= want;
    if plenty || !may_use_reserved(fs) { reserved } else { metadata }
}

/// Whether the thread that asks could have a block, by the counters.
pub fn has_free(fs: &Ext4Fs, who: Claimant) -> bool {
    match who {
        Claimant::Reserved => fs.reserved_blocks.load(Ordering::Relaxed) > 0,
        Claimant::Metadata => fs.free_blocks.load(Ordering::Relaxed) > 0,
        Claimant::File => fs.free_blocks.load(Ordering::Relaxed) > kept_from_files(fs, 1),
    }
}

/// Takes up to `want` blocks off the counter, none of the last `kept`.
fn claim_above(fs: &Ext4Fs, want: u64, kept: u64) -> Result<u32> {
    let mut got = 0;
    let take = |free: u64| {
        got = free.saturating_sub(kept).min(want);
        (got > 0).then(|| free - got)
    };
    fs.free_blocks.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).map_err(|_| Errno::ENOSPC)?;
    // At most `want`, a u32.
    Ok(got as u32)
}

/// Reserves up to `want` blocks for bytes of a file: they are claimed, and no search begins. ENOSPC.
pub fn reserve(fs: &Ext4Fs, want: u32) -> Result<u32> {
    let got = claim(fs, &Request { goal: FsBlock(0), want, who: Claimant::File })?;
    fs.reserved_blocks.fetch_add(u64::from(got), Ordering::Relaxed);
    Ok(got)
}

/// Blocks that were reserved are not wanted any more.
pub fn unreserve(fs: &Ext4Fs, blocks: u32) {
    if blocks > 0 {
        use_reserved(fs, blocks);
        fs.free_blocks.fetch_add(blocks.into(), Ordering::Relaxed);
    }
}

/// Blocks that were just allocated for `who` are not wanted after all: those that were reserved are so again, and
/// at no moment anybody's.
pub fn give_back(fs: &Ext4Fs, ino: u32, first: FsBlock, len: u32, who: Claimant) -> Result<()> {
    release(fs, ino, first, len.into(), who)
}

/// Blocks that were reserved have been given out ([`Claimant::Reserved`]).
pub fn use_reserved(fs: &Ext4Fs, blocks: u32) {
    fs.reserved_blocks.fetch_sub(blocks.into(), Ordering::Relaxed);
}

/// Whether the thread that asks may use the reserved blocks (`ext4_has_free_clusters`).
fn may_use_reserved(fs: &Ext4Fs) -> bool {
    let cred = vfs::current::current();
    let (uid, gid) = fs.reserved_for();
    cred.fsuid == uid || (gid != 0 && cred.in_group(gid)) || cred.may_exceed_limits()
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
    mark(fs, &mut group, run).inspect_err(|_| forget(&mut group, run))?;
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
    mark(fs, group, run).inspect_err(|_| forget(group, found))?;
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

/// Puts a run back into the summary that could not be marked as in use.
fn forget(group: &mut GroupGuard<'_>, run: Run) {
    if let Some(summary) = &mut group.summary {
        summary.give(run.start, run.len);
    }
    group.publish_largest();
}

/// Takes blocks back. A block that is not the file's to free, or is free already, is a contradiction
/// of the disk: EUCLEAN, and nothing of that group's share changes.
pub fn free(fs: &Ext4Fs, ino: u32, first: FsBlock, len: u64) -> Result<()> {
    release(fs, ino, first, len, Claimant::File)
}

/// The same for blocks that were given to `who`: those that were reserved stay claimed.
fn release(fs: &Ext4Fs, ino: u32, first: FsBlock, len: u64, who: Claimant) -> Result<()> {
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
        if who != Claimant::Reserved {
            fs.free_blocks.fetch_add(n, Ordering::Relaxed);
        }
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
    let run = Run { start: bit, len };
    let cleared = group.change_blocks(fs.geometry(), &mut buffer.write(), run, bits::clear);
    if let Err(at) = cleared {
        let site = Site::at(ino, FsBlock(first + u64::from(at)));
        return Err(fs.corrupt(site, "to be freed, but it is free already"));
    }
    let free = group.free_blocks().saturating_add(len);
    group.set_free_blocks(free);
    if !pending::hold(fs, &mut group, run) {
        if let Some(summary) = &mut group.summary {
            summary.give(bit, len);
        }
        trim::note(fs, number, run);
    }
    group.publish_largest();
    group.store(fs)
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
