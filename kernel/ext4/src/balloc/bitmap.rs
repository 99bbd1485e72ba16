//! A group's bitmaps: read and checked once, or made up when they were never written.
//!
//! mke2fs leaves most groups without a bitmap (BLOCK_UNINIT, INODE_UNINIT): what it would say follows
//! from the geometry. The first who takes something from such a group writes the bitmap down and
//! clears the flag, as Linux does.
//!
//! A bitmap that fails a check is not used any more until the next mount: its group counts as full.
//!
//! # Locking
//! The caller holds the group's lock.
//!
//! Source: ext4 documentation, "Block and Inode Bitmaps", "Lazy Block Group Initialization".

use core::fmt::Display;
use core::sync::atomic::Ordering;

use base::{Errno, FsBlock, Result};
use pagecache::Buffer;

use super::{bits, pending};
use crate::disk::group_desc::{BLOCK_UNINIT, INODE_UNINIT};
use crate::error::Site;
use crate::fs::Ext4Fs;
use crate::group::{Bitmap, GroupGuard};

/// The block bitmap of a group that is about to change. EUCLEAN when it cannot be trusted.
pub fn blocks(fs: &Ext4Fs, group: &mut GroupGuard<'_>) -> Result<Buffer> {
    match group.blocks {
        Bitmap::Bad => return Err(Errno::EUCLEAN),
        Bitmap::Good => {
            let at = group.block_bitmap();
            return read(fs, group, at);
        }
        Bitmap::Unchecked => {}
    }
    let buffer = if group.blocks_uninit(fs.geometry()) {
        make_blocks(fs, group)?
    } else {
        let at = group.block_bitmap();
        let buffer = read(fs, group, at)?;
        check_blocks(fs, group, &buffer)?;
        buffer
    };
    group.blocks = Bitmap::Good;
    Ok(buffer)
}

/// The inode bitmap of a group that is about to change. EUCLEAN when it cannot be trusted.
pub fn inodes(fs: &Ext4Fs, group: &mut GroupGuard<'_>) -> Result<Buffer> {
    match group.inodes {
        Bitmap::Bad => return Err(Errno::EUCLEAN),
        Bitmap::Good => {
            let at = group.inode_bitmap();
            return read(fs, group, at);
        }
        Bitmap::Unchecked => {}
    }
    let buffer = if group.inodes_uninit(fs.geometry()) {
        make_inodes(fs, group)?
    } else {
        let at = group.inode_bitmap();
        let buffer = read(fs, group, at)?;
        check_inodes(fs, group, &buffer)?;
        buffer
    };
    group.inodes = Bitmap::Good;
    Ok(buffer)
}

/// A bitmap that the disk does not give is an error of the file system, as in Linux: without it nothing
/// can be allocated or freed there. It is told once a group, and tried again by each who wants it.
fn read(fs: &Ext4Fs, group: &mut GroupGuard<'_>, block: FsBlock) -> Result<Buffer> {
    fs.device().bread(block).map_err(|e| {
        if core::mem::replace(&mut group.told_unreadable, true) {
            return e;
        }
        let site = Site::block(block);
        fs.failed(site, e, format_args!("group {}: a bitmap cannot be read", group.number))
    })
}

/// Writes down the block bitmap of a group that had none: its metadata is in use, and what lies past
/// the end of a short last group.
fn make_blocks(fs: &Ext4Fs, group: &mut GroupGuard<'_>) -> Result<Buffer> {
    let geometry = fs.geometry();
    let blocks = geometry.group_blocks(group.number);
    let buffer = fs.device().getblk(group.block_bitmap())?;
    let free = {
        let mut block = buffer.write();
        block.fill(0);
        fill_unused(fs, group.number, &mut block);
        group.seal_block_bitmap(geometry, &block);
        bits::count_clear(&block, blocks)
    };
    group.clear_flag(BLOCK_UNINIT);
    let claimed = group.free_blocks();
    group.set_free_blocks(free);
    group.store(fs)?;
    // The descriptor's count was an estimate only if it lied; keep the sum true all the same.
    adjust(&fs.free_blocks, claimed, free);
    Ok(buffer)
}

/// What the block bitmap of a group says in which no file has a block yet; `bits` are zeros before.
pub fn fill_unused(fs: &Ext4Fs, number: u32, bits: &mut [u8]) {
    let first = fs.geometry().group_first_block(number);
    let blocks = fs.geometry().group_blocks(number);
    for (start, len) in fs.zones.within(first, u64::from(blocks)) {
        // Both lie within the group, so they fit.
        bits::force_set(bits, start as u32, len as u32);
    }
    pad(bits, blocks);
}

fn check_blocks(fs: &Ext4Fs, group: &mut GroupGuard<'_>, buffer: &Buffer) -> Result<()> {
    let geometry = fs.geometry();
    let blocks = geometry.group_blocks(group.number);
    let first = geometry.group_first_block(group.number);
    let problem = {
        let block = buffer.read();
        let free = bits::count_clear(&block, blocks);
        if !group.block_bitmap_matches(geometry, &block) {
            Some("block bitmap: checksum does not match")
        } else if fs
            .zones
            .within(first, u64::from(blocks))
            .any(|(start, len)| bits::next_clear(&block, start as u32, (start + len) as u32).is_some())
        {
            Some("block bitmap: the file system's own blocks are marked free")
        } else if free != group.free_blocks() {
            Some("block bitmap and bg_free_blocks_count disagree")
        } else {
            None
        }
    };
    let Some(problem) = problem else { return Ok(()) };
    let waiting = pending::forget(fs, group);
    let lost = group.free_blocks().saturating_sub(waiting);
    group.give_up_blocks();
    adjust(&fs.free_blocks, lost, 0);
    Err(complain(fs, group, buffer, problem))
}

fn make_inodes(fs: &Ext4Fs, group: &mut GroupGuard<'_>) -> Result<Buffer> {
    let geometry = fs.geometry();
    let buffer = fs.device().getblk(group.inode_bitmap())?;
    {
        let mut block = buffer.write();
        block.fill(0);
        pad(&mut block, geometry.inodes_per_group);
        group.seal_inode_bitmap(geometry, &block);
    }
    group.clear_flag(INODE_UNINIT);
    group.store(fs)?;
    Ok(buffer)
}

fn check_inodes(fs: &Ext4Fs, group: &mut GroupGuard<'_>, buffer: &Buffer) -> Result<()> {
    let geometry = fs.geometry();
    let problem = {
        let block = buffer.read();
        if !group.inode_bitmap_matches(geometry, &block) {
            Some("inode bitmap: checksum does not match")
        } else if bits::count_clear(&block, geometry.inodes_per_group) != group.free_inodes() {
            Some("inode bitmap and bg_free_inodes_count disagree")
        } else {
            None
        }
    };
    let Some(problem) = problem else { return Ok(()) };
    let lost = group.free_inodes();
    group.give_up_inodes();
    fs.free_inodes.fetch_sub(lost.min(fs.free_inodes.load(Ordering::Relaxed)), Ordering::Relaxed);
    Err(complain(fs, group, buffer, problem))
}

/// Bits from `used` to the block's end count as in use.
fn pad(block: &mut [u8], used: u32) {
    let all = (block.len() * 8) as u32;
    bits::force_set(block, used, all.saturating_sub(used));
}

/// Replaces a group's share `old` of a sum by `new`.
fn adjust(sum: &core::sync::atomic::AtomicU64, old: u32, new: u32) {
    let next = |s: u64| Some(s.saturating_add(u64::from(new)).saturating_sub(u64::from(old)));
    // The closure always gives a value, so this cannot fail.
    let _ = sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
}

fn complain(fs: &Ext4Fs, group: &GroupGuard<'_>, buffer: &Buffer, check: impl Display) -> Errno {
    fs.corrupt(Site::block(buffer.block()), format_args!("group {}: {check}", group.number))
}
