//! The inode allocator: a number from a bitmap, a slot in the table, a Node in memory; and back.
//!
//! # Lazy tables
//! With uninit_bg or metadata_csum the last `bg_itable_unused` slots of a table were never used and
//! hold anything. Giving out a slot among them moves that border, and every table block that thereby
//! comes into use is first filled with zeros, without being read.
//!
//! ```text
//!   table  [ in use, or freed: an inode or zeros | never used: anything ]
//!                                                ^ inodes_per_group - bg_itable_unused
//! ```
//!
//! # Locking
//! One group's lock while a number is taken or given back. Then the new inode's slot is busy in the
//! inode cache until its bytes are in the table.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use base::{Errno, Ino, Result};
use pagecache::Buffer;
use vfs::{FileType, Ownership};

use super::bits::Run;
use super::{bitmap, bits, orlov};
use crate::disk::feature::Incompat;
use crate::disk::inode::{BLOCK_SIZE, InodeFlags};
use crate::error::Site;
use crate::fs::Ext4Fs;
use crate::group::GroupGuard;
use crate::inode::cache::{InodeCache, Made, table_place};
use crate::inode::raw::{self, Decoded, Meta};
use crate::inode::{Ext4Inode, Node};

/// A new inode; see [`Ext4Fs::new_inode`].
pub(crate) fn create(
    fs: &Arc<Ext4Fs>,
    parent: &Node,
    owner: Ownership,
    name: &[u8],
) -> Result<Arc<Ext4Inode>> {
    fs.check_writable()?;
    let kind = FileType::of_mode(owner.mode).ok_or(Errno::EINVAL)?;
    if parent.nlink() == 0 {
        return Err(Errno::ENOENT);
    }
    let directory = kind == FileType::Directory;
    let start = if directory { orlov::for_directory(fs, parent, name) } else { orlov::for_file(fs, parent) };
    let number = take_number(fs, start, directory)?;
    let made = InodeCache::insert(fs, number, || make(fs, number, parent, owner, kind));
    if made.is_err() {
        // The number goes back; that this fails too has been told in the log.
        let _ = give_back(fs, number, directory);
    }
    made
}

/// A number from the bitmap of the first group from `start` on that has one.
fn take_number(fs: &Ext4Fs, start: u32, directory: bool) -> Result<u32> {
    let groups = fs.geometry().groups;
    for step in 0..groups {
        let number = (start + step) % groups;
        if fs.groups.free_inodes(number) == 0 {
            continue;
        }
        let Some(mut group) = fs.groups.lock(number) else { continue };
        match take_in_group(fs, &mut group, directory) {
            Ok(Some(index)) => {
                fs.free_inodes.fetch_sub(1, Ordering::Relaxed);
                return Ok(number * fs.geometry().inodes_per_group + index + 1);
            }
            Ok(None) | Err(Errno::EUCLEAN) => {}
            Err(e) => return Err(e),
        }
        fs.check_writable()?;
    }
    Err(Errno::ENOSPC)
}

/// The index in this group's table of an inode that is now in use.
fn take_in_group(fs: &Ext4Fs, group: &mut GroupGuard<'_>, directory: bool) -> Result<Option<u32>> {
    let geometry = fs.geometry();
    if group.free_inodes() == 0 {
        return Ok(None);
    }
    let buffer = bitmap::inodes(fs, group)?;
    // The reserved inodes may fill more than one group of 8.
    let first = (geometry.first_ino - 1).saturating_sub(group.number * geometry.inodes_per_group);
    let Some(index) = bits::next_clear(&buffer.read(), first, geometry.inodes_per_group) else {
        return Ok(None);
    };
    mark(fs, group, &buffer, index, directory)?;
    Ok(Some(index))
}

/// Marks an index of a group's table as in use, which is not.
fn mark(fs: &Ext4Fs, group: &mut GroupGuard<'_>, bitmap: &Buffer, index: u32, directory: bool) -> Result<()> {
    let geometry = fs.geometry();
    // Linux writes the block bitmap down too when a group gets its first inode.
    if group.blocks_uninit(geometry) {
        bitmap::blocks(fs, group)?;
    }
    if geometry.group_csum() {
        expose(fs, group, index)?;
    }
    let run = Run { start: index, len: 1 };
    let taken = group.change_inodes(geometry, &mut bitmap.write(), run, bits::set);
    // Under the group's lock nobody else can have set the bit since it was seen clear.
    taken.map_err(|_| Errno::EIO)?;
    let free = group.free_inodes().saturating_sub(1);
    group.set_free_inodes(free);
    let dirs = group.used_dirs().saturating_add(u32::from(directory));
    group.set_used_dirs(dirs);
    group.store(fs)
}

/// Whether a number is in use.
pub(crate) fn is_used(fs: &Ext4Fs, number: u32) -> Result<bool> {
    let geometry = fs.geometry();
    let (group, index) = geometry.locate_inode(Ino(u64::from(number))).ok_or(Errno::EUCLEAN)?;
    let Some(mut group) = fs.groups.lock(group) else { return Err(Errno::EUCLEAN) };
    if group.inodes_uninit(geometry) {
        return Ok(false);
    }
    Ok(bits::is_set(&bitmap::inodes(fs, &mut group)?.read(), index))
}

/// Marks a number as in use, if it is not: it is that of an inode that was told of by other means.
pub(crate) fn take_over(fs: &Ext4Fs, number: u32, directory: bool) -> Result<()> {
    let (group, index) = fs.geometry().locate_inode(Ino(u64::from(number))).ok_or(Errno::EUCLEAN)?;
    let Some(mut group) = fs.groups.lock(group) else { return Err(Errno::EUCLEAN) };
    let buffer = bitmap::inodes(fs, &mut group)?;
    if bits::is_set(&buffer.read(), index) {
        return Ok(());
    }
    mark(fs, &mut group, &buffer, index, directory)?;
    fs.free_inodes.fetch_sub(1, Ordering::Relaxed);
    Ok(())
}

/// Moves the border of the never-used part of the table past `index`, zeroing what comes into use.
fn expose(fs: &Ext4Fs, group: &mut GroupGuard<'_>, index: u32) -> Result<()> {
    let geometry = fs.geometry();
    let border = geometry.inodes_per_group.saturating_sub(group.table_unused());
    if index < border {
        return Ok(());
    }
    let per_block = geometry.inodes_per_block();
    // A block that the border cuts was zeroed when its first slot came into use.
    for block in border.div_ceil(per_block)..=index / per_block {
        let at = group.inode_table().checked_add(u64::from(block)).ok_or(Errno::EUCLEAN)?;
        fs.device().getblk(at)?.write().fill(0);
    }
    group.set_table_unused(geometry.inodes_per_group - index - 1);
    Ok(())
}

/// Fills the slot of a number that was just taken.
fn make(fs: &Ext4Fs, number: u32, parent: &Node, owner: Ownership, kind: FileType) -> Result<Made> {
    let (block, offset) = table_place(fs, number)?;
    let table = fs.device().bread(block)?;
    let meta = fresh(fs, parent, owner, kind);
    {
        let mut bytes = table.write();
        let slot = bytes.get_mut(offset..offset + fs.geometry().inode_size).ok_or(Errno::EIO)?;
        slot.fill(0);
        raw::encode(fs.geometry(), &meta, 0, slot);
        let seed = raw::csum_seed(fs.geometry(), number, meta.generation);
        raw::seal(fs.geometry(), seed, slot);
    }
    Ok(Made { decoded: Decoded { meta, size: 0, kind, dtime: 0 }, table, offset })
}

fn fresh(fs: &Ext4Fs, parent: &Node, owner: Ownership, kind: FileType) -> Meta {
    let geometry = fs.geometry();
    let now = geometry.timestamp(base::time::coarse_now());
    let parent_flags = parent.flags();
    let mut flags = parent_flags & InodeFlags::INHERITED;
    match kind {
        FileType::Directory => {}
        FileType::Regular => flags.remove(InodeFlags::DIRECTORY_ONLY),
        _ => flags &= InodeFlags::ANY_FILE,
    }
    let mapped = matches!(kind, FileType::Regular | FileType::Directory | FileType::Symlink);
    let mut block = [0; BLOCK_SIZE];
    if mapped && geometry.has_incompat(Incompat::EXTENTS) {
        flags.insert(InodeFlags::EXTENTS);
        crate::extent::node::init(&mut block, 0);
    }
    Meta {
        // The type and 12 bits: both fit 16.
        mode: (owner.mode & 0xffff) as u16,
        uid: owner.uid,
        gid: owner.gid,
        nlink: 1,
        flags,
        blocks: 0,
        atime: now,
        mtime: now,
        ctime: now,
        crtime: (geometry.want_extra_isize >= 20).then_some(now),
        generation: fs.random(),
        file_acl: 0,
        version: 1,
        projid: if parent_flags.contains(InodeFlags::PROJINHERIT) {
            parent.with_meta(|m| m.projid)
        } else {
            0
        },
        extra_isize: geometry.want_extra_isize,
        block,
    }
}

/// Gives a number back to the bitmap. The inode's bytes and blocks are the caller's affair.
pub(crate) fn give_back(fs: &Ext4Fs, number: u32, directory: bool) -> Result<()> {
    let geometry = fs.geometry();
    let (group, index) = geometry.locate_inode(Ino(u64::from(number))).ok_or(Errno::EUCLEAN)?;
    let Some(mut group) = fs.groups.lock(group) else { return Err(Errno::EUCLEAN) };
    if group.inodes_uninit(geometry) {
        return Err(fs.corrupt(Site::inode(number), "to be freed, but its group was never used"));
    }
    let buffer = bitmap::inodes(fs, &mut group)?;
    let run = Run { start: index, len: 1 };
    let cleared = group.change_inodes(geometry, &mut buffer.write(), run, bits::clear);
    if cleared.is_err() {
        return Err(fs.corrupt(Site::inode(number), "to be freed, but it is free already"));
    }
    let free = group.free_inodes().saturating_add(1);
    group.set_free_inodes(free);
    let dirs = group.used_dirs().saturating_sub(u32::from(directory));
    group.set_used_dirs(dirs);
    group.store(fs)?;
    fs.free_inodes.fetch_add(1, Ordering::Relaxed);
    Ok(())
}
