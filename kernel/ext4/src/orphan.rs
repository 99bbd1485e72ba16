//! The orphan list: inodes without a name that are still in use, and inodes that are being cut short.
//!
//! # What it is
//! A list on the disk, so that a mount after a crash finds them: `s_last_orphan` names the newest,
//! each inode's `i_dtime` the one before it. [`Orphans`] keeps the same list in memory, newest last.
//!
//! A disk with the `orphan_file` feature has a table for them instead ([`file`]); when that is full, the
//! list serves. So it does on a disk without a journal, where Linux never sets `orphan_present`; what the
//! table has there is cleaned up all the same.
//!
//! ```text
//!   s_last_orphan = 14,  inode 14: i_dtime = 12,  inode 12: i_dtime = 0        chain = [12, 14]
//! ```
//!
//! # Fast commits
//! do not speak of it. Who comes and goes in one transaction was never on the disk's; one that was there before and
//! leaves costs a whole commit. For a fast commit leads to the same without the list: an inode that has lost its last
//! name is deleted by the replay, and of a file that is being cut none tells ([`Orphans::has`]).
//!
//! # Locking
//! A handle, inside it `known` around each change; inside it one buffer guard at a time (an inode table's, or the
//! superblock's). Nothing else is taken under it.
//!
//! Source: ext4 documentation, "Orphan list" under "Index Nodes" and `s_last_orphan`.

mod file;

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::{Errno, Ino, Result};
use hashbrown::HashMap;
use jbd2::Tid;
use sync::Mutex;

use crate::disk::feature::Compat;
use crate::disk::superblock::STATE_ERROR;
use crate::error::Site;
use crate::fs::Ext4Fs;
use crate::inode::cache::{InodeCache, table_place};
use crate::inode::{Node, raw};
use crate::journal::Reason;
use crate::journal::credits;
use file::OrphanFile;

/// The orphan list in memory, and the orphan file.
pub struct Orphans {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    chain: Vec<u32>,
    file: Option<OrphanFile>,
    /// Where fast commits are written: those that came in a transaction that may run still, and which that is. The
    /// list that a crash would find may have the others.
    entered: HashMap<u32, Tid>,
}

impl Known {
    fn has(&self, ino: u32) -> bool {
        self.chain.contains(&ino) || self.file.as_ref().is_some_and(|file| file.contains(ino))
    }
}

impl Orphans {
    /// An empty one.
    pub fn new() -> Orphans {
        Orphans { known: Mutex::new(Known::default()) }
    }

    /// Whether the inode is among them.
    pub(crate) fn has(&self, ino: u32) -> bool {
        self.known.lock().has(ino)
    }
}

impl Node {
    /// Puts the inode on the list, if it is not there.
    pub fn add_orphan(&self) -> Result<()> {
        self.enter_orphans(|older| self.set_dtime(older)).map(drop)
    }

    /// [`Node::add_orphan`] and [`Node::mark_dirty`] at the price of one: the inode goes to its table as
    /// an orphan.
    pub(crate) fn store_as_orphan(&self) -> Result<()> {
        let entered = self.enter_orphans(|older| self.mark_dirty_with_dtime(older));
        if !matches!(entered, Ok(true)) {
            self.mark_dirty();
        }
        entered.map(drop)
    }

    /// Puts it on the list; `write` puts the number of the one before it into `i_dtime`. False, and nothing
    /// was written, when it was there, or has gone to the file.
    fn enter_orphans(&self, write: impl FnOnce(u32)) -> Result<bool> {
        let fs = self.fs();
        fs.check_writable()?;
        let mut known = fs.orphans.known.lock();
        if let Some(tid) = fs.fast_commit_tid()
            && !known.has(self.ino32())
        {
            known.entered.insert(self.ino32(), tid);
        }
        let Known { chain, file, .. } = &mut *known;
        if chain.contains(&self.ino32()) {
            return Ok(false);
        }
        if let Some(file) = file
            && fs.geometry().has_compat(Compat::HAS_JOURNAL)
            && (file.contains(self.ino32()) || file.add(self.ino32()))
        {
            return Ok(false);
        }
        write(chain.last().copied().unwrap_or(0));
        fs.set_last_orphan(self.ino32());
        chain.push(self.ino32());
        Ok(true)
    }

    /// Takes the inode off the list, if it is there.
    pub fn del_orphan(&self) -> Result<()> {
        self.del_orphan_from(&mut self.fs().orphans.known.lock(), || self.set_dtime(0))
    }

    /// The same when what there was to cut is cut. An inode without a name stays: it is there for that.
    pub fn end_orphan(&self) -> Result<()> {
        // Inside the lock: who takes the last name away puts the inode on the list after that.
        let mut known = self.fs().orphans.known.lock();
        if self.nlink() == 0 { Ok(()) } else { self.del_orphan_from(&mut known, || self.set_dtime(0)) }
    }

    /// The same for an inode that is deleted: its `i_dtime` is written by what follows.
    pub(crate) fn forget_orphan(&self) -> Result<()> {
        self.del_orphan_from(&mut self.fs().orphans.known.lock(), || ())
    }

    /// Takes it off the list; `clear` takes the list's link out of `i_dtime`.
    fn del_orphan_from(&self, known: &mut Known, clear: impl FnOnce()) -> Result<()> {
        let fs = self.fs();
        if let Some(tid) = fs.fast_commit_tid()
            && known.has(self.ino32())
            && known.entered.remove(&self.ino32()) != Some(tid)
        {
            // The list that a crash would find has it, and a fast commit cannot say that it has left.
            fs.mark_ineligible(Reason::Other);
        }
        let Known { chain, file, .. } = known;
        if file.as_mut().is_some_and(|file| file.remove(self.ino32())) {
            return Ok(());
        }
        let Some(at) = chain.iter().position(|&n| n == self.ino32()) else { return Ok(()) };
        let older = at.checked_sub(1).and_then(|i| chain.get(i)).copied().unwrap_or(0);
        match chain.get(at + 1) {
            Some(&newer) => link(fs, newer, older)?,
            None => fs.set_last_orphan(older),
        }
        chain.remove(at);
        clear();
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
    if raw::set_dtime(older, slot) {
        raw::seal(geometry, raw::csum_seed(geometry, ino, raw::generation(slot)), slot);
    }
    Ok(())
}

/// Deletes or cuts short what a crash left on the list and in the file. At a mount that may write.
pub fn clean_up(fs: &Arc<Ext4Fs>) -> Result<()> {
    let file = OrphanFile::load(fs)?;
    let numbers = file.as_ref().map(OrphanFile::numbers).unwrap_or_default();
    if file.is_some() && fs.geometry().has_compat(Compat::HAS_JOURNAL) {
        let _handle = fs.start(credits::superblock())?;
        file::mark_present(fs, true);
    }
    fs.orphans.known.lock().file = file;
    let sb = fs.superblock();
    if sb.s_last_orphan.get() == 0 && numbers.is_empty() {
        return Ok(());
    }
    if sb.s_state.get() & STATE_ERROR != 0 {
        log::warn!("EXT4-fs ({}): errors on the file system: orphan list cleared", fs.disk_name());
        let _handle = fs.start(credits::superblock())?;
        fs.set_last_orphan(0);
        return Ok(());
    }
    let mut done = Done::default();
    match read_chain(fs, sb.s_last_orphan.get())? {
        Some(found) => {
            fs.orphans.known.lock().chain = found.iter().rev().copied().collect();
            for ino in found {
                let inode = InodeCache::get_orphan(fs, Ino(u64::from(ino)))?;
                done.end(&inode)?;
            }
        }
        None => {
            let _handle = fs.start(credits::superblock())?;
            fs.set_last_orphan(0);
        }
    }
    clean_up_file(fs, numbers, &mut done)?;
    log::info!(
        "EXT4-fs ({}): {} orphan inodes deleted, {} truncated",
        fs.disk_name(),
        done.deleted,
        done.cut
    );
    Ok(())
}

/// The entries of the file. One that leads to no inode stays for e2fsck, as with Linux.
fn clean_up_file(fs: &Arc<Ext4Fs>, numbers: Vec<u32>, done: &mut Done) -> Result<()> {
    for ino in numbers {
        if !may_be_orphan(fs, ino) {
            let _told = fs.corrupt(Site::inode(ino), "is in the orphan file, and can be no orphan");
            continue;
        }
        let inode = match InodeCache::get_orphan(fs, Ino(u64::from(ino))) {
            Ok(inode) => inode,
            Err(Errno::ESTALE | Errno::EUCLEAN) => continue,
            Err(e) => return Err(e),
        };
        let adopted = fs.orphans.known.lock().file.as_mut().is_some_and(|file| file.adopt(ino));
        if adopted {
            done.end(&inode)?;
        }
    }
    Ok(())
}

/// What a clean-up did.
#[derive(Default)]
struct Done {
    deleted: u32,
    cut: u32,
}

impl Done {
    /// Cuts an inode that has names to its size. One without goes with its last use, which the caller
    /// drops.
    fn end(&mut self, inode: &Node) -> Result<()> {
        if inode.nlink() == 0 {
            self.deleted += 1;
            return Ok(());
        }
        inode.trim()?;
        let _handle = inode.fs().start(credits::orphan())?;
        inode.end_orphan()?;
        inode.mark_dirty();
        self.cut += 1;
        Ok(())
    }
}

/// At a clean unmount: with nothing in the file, `orphan_present` goes.
pub(crate) fn note_unmount(fs: &Ext4Fs) {
    if fs.orphans.known.lock().file.as_ref().is_some_and(OrphanFile::is_empty) {
        file::mark_present(fs, false);
    }
}

/// Whether an inode of this number can be an orphan.
fn may_be_orphan(fs: &Ext4Fs, ino: u32) -> bool {
    let geometry = fs.geometry();
    ino >= geometry.first_ino
        && geometry.locate_inode(Ino(u64::from(ino))).is_some()
        && fs.groups.inode_may_be_used(fs, ino)
}

/// The list from its head on. None, told in the log, when it is no list: a number out of range or one
/// that comes twice.
fn read_chain(fs: &Arc<Ext4Fs>, head: u32) -> Result<Option<Vec<u32>>> {
    let geometry = fs.geometry();
    let mut chain: Vec<u32> = Vec::new();
    let mut ino = head;
    while ino != 0 {
        // Sorted look-ups are not worth it: a list of thousands means a crash with thousands of open files.
        if !may_be_orphan(fs, ino) || chain.contains(&ino) {
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
