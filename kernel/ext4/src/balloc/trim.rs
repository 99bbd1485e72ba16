//! Telling the disk of blocks that nobody uses: FITRIM, and the mount option `discard`.
//!
//! # When
//! A block may be discarded when no crash can bring back a file that has it. Without a journal that is
//! so once the metadata that freed it is on the medium. So FITRIM begins with a sync of the file
//! system; and with `discard`, freed runs are noted, and who makes metadata durable (sync, fsync,
//! unmount) takes the note *before* it writes and discards *after* its FLUSH what is still free:
//!
//! ```text
//!   let freed = trim::take_freed(fs);     write metadata, FLUSH     trim::discard_freed(fs, freed)
//! ```
//! With a journal there is no such note: a freed block waits for its commit anyway, and is discarded
//! after it ([`super::pending`]).
//!
//! The note is bounded; what does not fit is left for FITRIM, as a discard is only a hint.
//!
//! # Locking
//! The group's lock, from the look at its summary to the end of its discards: a block that is being
//! discarded is given to nobody. The note is under a spin lock of its own.
//!
//! Source: fstrim(8), ext4 documentation ("discard"), `struct fstrim_range` of linux/fs.h.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use base::{Errno, FsBlock, Result, Sector};
use block::{Bio, BioOp};
use sync::SpinLock;
use vfs::{Caller, SuperBlock};

use super::bits::Run;
use super::buddy::Buddy;
use super::{bitmap, blocks};
use crate::disk::superblock::STATE_ERROR;
use crate::fs::Ext4Fs;
use crate::group::GroupGuard;
use crate::options::Flag;

/// Freed runs that are remembered at most.
const NOTED: usize = 4096;

/// Runs that were freed since the last time metadata was made durable: group and place in it.
#[derive(Default)]
pub struct Freed {
    runs: SpinLock<Vec<(u32, Run)>>,
}

/// What FITRIM asks for, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TrimRange {
    /// From where on.
    pub start: u64,
    /// How much.
    pub len: u64,
    /// Free runs shorter than this are left alone.
    pub min_len: u64,
}

/// Whether the disk can discard.
pub fn supported(fs: &Ext4Fs) -> bool {
    fs.device().disk().limits().max_discard_sectors > 0
}

/// Whether the mount wants freed blocks to be discarded, and the disk can.
pub fn is_wanted(fs: &Ext4Fs) -> bool {
    fs.is_on(Flag::DISCARD) && supported(fs)
}

/// Notes a run that was just freed, if the mount wants it discarded.
pub fn note(fs: &Ext4Fs, group: u32, run: Run) {
    if !is_wanted(fs) {
        return;
    }
    let mut runs = fs.freed.runs.lock();
    let room = runs.len() < NOTED;
    match runs.last_mut() {
        Some((number, last)) if *number == group && last.start + last.len == run.start => last.len += run.len,
        // Files are freed from their end backwards.
        Some((number, last)) if *number == group && run.start + run.len == last.start => {
            *last = Run { start: run.start, len: run.len + last.len };
        }
        _ if room => runs.push((group, run)),
        _ => {}
    }
}

/// The note, for who is about to make metadata durable.
pub fn take_freed(fs: &Ext4Fs) -> Vec<(u32, Run)> {
    core::mem::take(&mut *fs.freed.runs.lock())
}

/// Discards what is still free of a note that was taken before metadata was made durable. An error is
/// logged: the blocks are free all the same.
pub fn discard_freed(fs: &Ext4Fs, freed: Vec<(u32, Run)>) {
    if fs.read_only() {
        // Something went wrong meanwhile: what the disk says is left as it is.
        return;
    }
    for (number, run) in freed {
        let Some(mut group) = fs.groups.lock(number) else { continue };
        let range = run.start..run.start.saturating_add(run.len);
        if let Err(e) = trim_group(fs, &mut group, range, 1) {
            log::warn!("EXT4-fs ({}): group {number}: discard failed: {e}", fs.disk_name());
            return;
        }
    }
}

/// FITRIM as ioctl(2) asks for it: `struct fstrim_range { u64 start, len, minlen }`, whose `len` becomes
/// the bytes that were discarded. EPERM without privilege, EFAULT, and what [`trim`] says.
pub fn fitrim(fs: &Ext4Fs, arg: u64, caller: &Caller<'_>) -> Result<u64> {
    if !caller.capable {
        return Err(Errno::EPERM);
    }
    if !supported(fs) {
        return Err(Errno::EOPNOTSUPP);
    }
    let mut bytes: [u8; 24] = caller.get(arg)?;
    let (words, _) = bytes.as_chunks::<8>();
    let word = |at: usize| words.get(at).map_or(0, |w| u64::from_le_bytes(*w));
    let range = TrimRange { start: word(0), len: word(1), min_len: word(2) };
    let trimmed = trim(fs, range)?;
    bytes[8..16].copy_from_slice(&trimmed.to_le_bytes());
    caller.put(arg, &bytes)
}

/// Discards the free runs in a range. How many bytes that were. EOPNOTSUPP, EINVAL, EROFS, EIO.
pub fn trim(fs: &Ext4Fs, range: TrimRange) -> Result<u64> {
    if !supported(fs) {
        return Err(Errno::EOPNOTSUPP);
    }
    check_trimmable(fs)?;
    let geometry = fs.geometry();
    let bits = geometry.block_bits;
    let start = range.start >> bits;
    let group_blocks = u64::from(geometry.blocks_per_group);
    let mut min_len = range.min_len >> bits;
    if min_len > group_blocks || start >= geometry.blocks_count || range.len < geometry.block_size() as u64 {
        return Err(Errno::EINVAL);
    }
    let grain = u64::from(fs.device().disk().limits().discard_granularity);
    if range.min_len < grain {
        min_len = grain >> bits;
        if min_len > group_blocks {
            return Ok(0);
        }
    }
    let end = start.saturating_add(range.len >> bits).min(geometry.blocks_count);
    let start = start.max(geometry.first_data_block);
    if end <= start {
        return Ok(0);
    }
    SuperBlock::sync(fs, true)?;
    // At most the blocks of a group, a u32.
    trim_blocks(fs, start..end, min_len.max(1) as u32).map(|blocks| blocks << bits)
}

/// A read-only mount does not keep Linux from trimming, and so not Quill: what is free is free. EROFS when
/// the bitmaps may say something else: the journal is not replayed, a feature is not known, an error was
/// found; EPERM when the disk is write-protected.
fn check_trimmable(fs: &Ext4Fs) -> Result<()> {
    if fs.device().disk().read_only() {
        return Err(Errno::EPERM);
    }
    let damaged = fs.read_only() && fs.superblock().s_state.get() & STATE_ERROR != 0;
    if fs.must_not_write() || damaged { Err(Errno::EROFS) } else { Ok(()) }
}

fn trim_blocks(fs: &Ext4Fs, range: Range<u64>, min_len: u32) -> Result<u64> {
    let geometry = fs.geometry();
    let Some((first, _)) = geometry.locate(FsBlock(range.start)) else { return Ok(0) };
    let mut trimmed = 0;
    for number in first..geometry.groups {
        let base = geometry.group_first_block(number).0;
        if base >= range.end {
            break;
        }
        if fs.groups.free_blocks(number) < min_len {
            continue;
        }
        let Some(mut group) = fs.groups.lock(number) else { break };
        let all = u64::from(geometry.group_blocks(number));
        // Both lie in the group.
        let (from, to) = (range.start.saturating_sub(base) as u32, (range.end - base).min(all) as u32);
        match trim_group(fs, &mut group, from..to, min_len) {
            Ok(blocks) => trimmed += u64::from(blocks),
            // A bitmap that cannot be trusted has told so in the log.
            Err(Errno::EUCLEAN) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(trimmed)
}

/// Discards the free runs of a group that lie in `range` and are long enough there.
fn trim_group(fs: &Ext4Fs, group: &mut GroupGuard<'_>, range: Range<u32>, min_len: u32) -> Result<u32> {
    let number = group.number;
    let made_up;
    // A group that was never used is left without a bitmap.
    let summary = if group.blocks_uninit(fs.geometry()) {
        made_up = unused(fs, number);
        &*made_up
    } else {
        blocks::summary(fs, group)?
    };
    let (mut at, mut trimmed) = (range.start, 0);
    while at < range.end
        && let Some(run) = summary.next_run(at)
    {
        if run.start >= range.end {
            break;
        }
        at = run.start + run.len;
        let len = run.len.min(range.end - run.start);
        if len >= min_len {
            issue(fs, fs.geometry().group_first_block(number).0 + u64::from(run.start), len)?;
            trimmed += len;
        }
    }
    Ok(trimmed)
}

/// The summary of a group whose bitmap was never written.
fn unused(fs: &Ext4Fs, number: u32) -> Box<Buddy> {
    let mut bits = vec![0; fs.geometry().block_size()];
    bitmap::fill_unused(fs, number, &mut bits);
    Box::new(Buddy::build(&bits, fs.geometry().group_blocks(number)))
}

fn issue(fs: &Ext4Fs, first: u64, len: u32) -> Result<()> {
    let shift = fs.geometry().block_bits - 9;
    let bio = Bio::without_data(BioOp::Discard, Sector(first << shift), u64::from(len) << shift);
    fs.device().disk().submit_and_wait(bio)
}
