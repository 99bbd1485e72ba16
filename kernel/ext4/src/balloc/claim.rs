//! Who may have how many of the free blocks: a claim comes before the search, so that a search that begins does
//! not come too late.
//!
//! # The counters
//! ```text
//!   free_blocks + reserved_blocks + claimed + pending == what the groups have free
//!   `- anybody's   `- delayed       `- searches `- until a commit nobody's (pending.rs)
//!                     allocation's     under way
//! ```
//! Blocks that wait for a commit are free in every count that a program sees ([`seen_as_free`]), but none is
//! promised: for each block that is reserved or claimed there is one that can be given out now. So writeback,
//! and who says that what it wrote is written now, inside a handle and thus unable to wait for a commit, find
//! what they were promised. (Linux counts them as free at once, and tries again for as long as it takes.)
//!
//! # Reserved blocks
//! ```text
//!   free_blocks  |<---- anybody ---->|<- s_r_blocks_count: some only ->|<- 2 %, at most 4096: only
//!                                                                          for metadata ->|
//! ```
//! The middle part is for the user `resuid=` (or `s_def_resuid`: root), the group `resgid=` unless that is
//! root's, and who has CAP_SYS_RESOURCE: the thread's credentials decide, when there is not enough
//! without. The last part keeps a file's tree able to grow when the disk is full, as in Linux.
//!
//! Source: `ext4_claim_free_clusters`, `ext4_calculate_resv_clusters`.

use core::sync::atomic::Ordering;

use base::{Errno, Result};

use crate::disk::feature::Incompat;
use crate::fs::Ext4Fs;

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

/// Blocks kept for metadata: a fiftieth, at most 4096 (`ext4_calculate_resv_clusters`).
pub fn kept_for_metadata(fs: &Ext4Fs) -> u64 {
    if fs.geometry().has_incompat(Incompat::EXTENTS) {
        (fs.geometry().blocks_count / 50).min(4096)
    } else {
        0
    }
}

/// Free blocks that are nobody's, with those that wait for a commit.
pub fn seen_as_free(fs: &Ext4Fs) -> u64 {
    let pending = fs.pending.blocks.load(Ordering::Relaxed);
    fs.free_blocks.load(Ordering::Relaxed).saturating_add(pending)
}

/// Takes up to `want` blocks off the counter; none of them for who has reserved them. ENOSPC.
pub fn claim(fs: &Ext4Fs, want: u32, who: Claimant) -> Result<u32> {
    match who {
        Claimant::Metadata => claim_above(fs, want, 0),
        Claimant::Reserved => Ok(want),
        Claimant::File => claim_above(fs, want, kept_from_files(fs, want)),
    }
}

/// Blocks that were claimed for `who` were not found, or are not wanted. Those that were reserved stay so.
pub fn unclaim(fs: &Ext4Fs, blocks: u32, who: Claimant) {
    if who != Claimant::Reserved {
        fs.free_blocks.fetch_add(blocks.into(), Ordering::Relaxed);
    }
}

/// How many of the free blocks a file gets none of, when the thread that asks wants so many for it.
fn kept_from_files(fs: &Ext4Fs, want: u32) -> u64 {
    let metadata = kept_for_metadata(fs);
    let reserved = metadata + fs.geometry().reserved_blocks;
    let plenty = fs.free_blocks.load(Ordering::Relaxed).saturating_sub(reserved) >= u64::from(want);
    if plenty || !may_use_reserved(fs) { reserved } else { metadata }
}

/// Whether the thread that asks may use the reserved blocks (`ext4_has_free_clusters`).
fn may_use_reserved(fs: &Ext4Fs) -> bool {
    let cred = vfs::current::current();
    let (uid, gid) = fs.reserved_for();
    cred.fsuid == uid || (gid != 0 && cred.in_group(gid)) || cred.may_exceed_limits()
}

/// Takes up to `want` blocks off the counter, none of the last `kept`.
fn claim_above(fs: &Ext4Fs, want: u32, kept: u64) -> Result<u32> {
    let mut got = 0;
    let take = |free: u64| {
        got = free.saturating_sub(kept).min(want.into());
        (got > 0).then(|| free - got)
    };
    fs.free_blocks.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).map_err(|_| Errno::ENOSPC)?;
    // At most `want`, a u32.
    Ok(got as u32)
}

/// Whether the thread that asks could have a block, by the counters.
pub fn has_free(fs: &Ext4Fs, who: Claimant) -> bool {
    match who {
        Claimant::Reserved => fs.reserved_blocks.load(Ordering::Relaxed) > 0,
        Claimant::Metadata => fs.free_blocks.load(Ordering::Relaxed) > 0,
        Claimant::File => fs.free_blocks.load(Ordering::Relaxed) > kept_from_files(fs, 1),
    }
}

/// Reserves up to `want` blocks for bytes of a file: they are claimed, and no search begins. ENOSPC.
pub fn reserve(fs: &Ext4Fs, want: u32) -> Result<u32> {
    let got = claim(fs, want, Claimant::File)?;
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

/// Blocks that were reserved have been given out ([`Claimant::Reserved`]).
pub fn use_reserved(fs: &Ext4Fs, blocks: u32) {
    fs.reserved_blocks.fetch_sub(blocks.into(), Ordering::Relaxed);
}
