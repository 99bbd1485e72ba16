//! The orphan list: inodes without a name that are still in use, and inodes that are being cut short.
//!
//! # What it is
//! A list on the disk, so that a mount after a crash finds them: `s_last_orphan` names the newest,
//! each inode's `i_dtime` the one before it. [`Orphans`] keeps the same list in memory, newest last.
//!
//! ```text
//!   s_last_orphan = 14,  inode 14: i_dtime = 12,  inode 12: i_dtime = 0        chain = [12, 14]
//! ```
//!
//! # Locking
//! `chain` around each change; inside it one buffer guard at a time (an inode table's, or the
//! superblock's). Nothing else is taken under it.
//!
//! Source: ext4 documentation, "Orphan list" under "Index Nodes" and `s_last_orphan`.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::{Errno, Ino, Result};
use sync::Mutex;

use crate::disk::superblock::STATE_ERROR;
use crate::error::Site;
use crate::fs::Ext4Fs;
use crate::inode::cache::{InodeCache, table_place};
use crate::inode::{Node, raw};

/// The orphan list in memory.
pub struct Orphans {
    chain: Mutex<Vec<u32>>,
}

impl Orphans {
    /// An empty one.
    pub fn new() -> Orphans {
        Orphans { chain: Mutex::new(Vec::new()) }
    }
}

impl Node {
    /// Puts the inode on the list, if it is not there.
    pub fn add_orphan(&self) -> Result<()> {
        let fs = self.fs();
        fs.check_writable()?;
        let mut chain = fs.orphans.chain.lock();
        if chain.contains(&self.ino32()) {
            return Ok(());
        }
        self.set_dtime(chain.last().copied().unwrap_or(0));
        fs.with_superblock(|sb| sb.s_last_orphan = self.ino32().into());
        chain.push(self.ino32());
        Ok(())
    }

    /// Takes the inode off the list, if it is there.
    pub fn del_orphan(&self) -> Result<()> {
        let fs = self.fs();
        let mut chain = fs.orphans.chain.lock();
        let Some(at) = chain.iter().position(|&n| n == self.ino32()) else { return Ok(()) };
        let older = at.checked_sub(1).and_then(|i| chain.get(i)).copied().unwrap_or(0);
        match chain.get(at + 1) {
            Some(&newer) => link(fs, newer, older)?,
            None => fs.with_superblock(|sb| sb.s_last_orphan = older.into()),
        }
        chain.remove(at);
        self.set_dtime(0);
        Ok(())
    }
}

/// Makes `older` follow `ino` on the list.
fn link(fs: &Ext4Fs, ino: u32, older: u32) -> Result<()> {
    let geometry = fs.geometry();
    let (block, offset) = table_place(fs, ino)?;
    let buffer = fs.device().bread(block)?;
    let mut bytes = buffer.write();
    let slot = bytes.get_mut(offset..offset + geometry.inode_size).ok_or(Errno::EIO)?;
    raw::set_dtime(geometry, ino, older, slot);
    Ok(())
}

/// Deletes or cuts short what a crash left on the list. At a mount that may write.
pub fn clean_up(fs: &Arc<Ext4Fs>) -> Result<()> {
    let sb = fs.superblock();
    let head = sb.s_last_orphan.get();
    if head == 0 {
        return Ok(());
    }
    if sb.s_state.get() & STATE_ERROR != 0 {
        log::warn!("EXT4-fs ({}): errors on the file system: orphan list cleared", fs.disk_name());
        fs.with_superblock(|sb| sb.s_last_orphan = 0.into());
        return Ok(());
    }
    let Some(found) = read_chain(fs, head)? else {
        fs.with_superblock(|sb| sb.s_last_orphan = 0.into());
        return Ok(());
    };
    *fs.orphans.chain.lock() = found.iter().rev().copied().collect();
    let (mut deleted, mut cut) = (0u32, 0u32);
    for ino in found {
        let inode = InodeCache::get_orphan(fs, Ino(u64::from(ino)))?;
        if inode.nlink() == 0 {
            deleted += 1;
        } else {
            inode.trim()?;
            inode.del_orphan()?;
            inode.mark_dirty();
            cut += 1;
        }
        // The last use of an inode without names deletes it, here.
        drop(inode);
    }
    log::info!("EXT4-fs ({}): {deleted} orphan inodes deleted, {cut} truncated", fs.disk_name());
    Ok(())
}

/// The list from its head on. None, told in the log, when it is no list: a number out of range or one
/// that comes twice.
fn read_chain(fs: &Arc<Ext4Fs>, head: u32) -> Result<Option<Vec<u32>>> {
    let geometry = fs.geometry();
    let mut chain: Vec<u32> = Vec::new();
    let mut ino = head;
    while ino != 0 {
        let known = ino >= geometry.first_ino && geometry.locate_inode(Ino(u64::from(ino))).is_some();
        // Sorted look-ups are not worth it: a list of thousands means a crash with thousands of open files.
        if !known || chain.contains(&ino) || !fs.groups.inode_may_be_used(fs, ino) {
            let _told = fs.corrupt(Site::inode(ino), "is on the orphan list, which is damaged");
            return Ok(None);
        }
        chain.push(ino);
        let (block, offset) = table_place(fs, ino)?;
        let buffer = fs.device().bread(block)?;
        let bytes = buffer.read();
        let slot = bytes.get(offset..offset + geometry.inode_size).ok_or(Errno::EIO)?;
        match raw::decode(geometry, ino, slot) {
            Ok(decoded) => ino = decoded.dtime,
            Err(e) => {
                drop(bytes);
                let _told = fs.corrupt(Site::at(ino, block), e);
                return Ok(None);
            }
        }
    }
    Ok(Some(chain))
}
