//! What the vfs asks of a mounted ext4: sync, statfs, remount, unmount.
//!
//! # Unmount
//! Everything is written and acknowledged by a FLUSH first (with a journal: committed and taken home, and the
//! log is empty); only then is the superblock marked clean, written, and flushed too. So a disk that says
//! "clean" is, whatever instant the power goes.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use base::{DevId, Errno, Result};
use block::{Bio, BioFlags, BioOp};
use vfs::{Inode, MountFlags, StatFs, SuperBlock};

use crate::balloc::claim::{kept_for_metadata, seen_as_free};
use crate::balloc::trim;
use crate::dead::DeadRoot;
use crate::disk::feature::{Compat, Incompat};
use crate::disk::superblock::{STATE_ERROR, STATE_VALID};
use crate::disk::{hi32, lo32};
use crate::fs::Ext4Fs;
use crate::inode::cache::table_place;
use crate::inode::raw;
use crate::journal::mode;
use crate::options::{Flag, MOUNT_FLAGS};
use crate::orphan::{clean_up, note_unmount};
use crate::state::{begin, sectors_written, split_time};

/// `f_type` of statfs.
const MAGIC: u64 = 0xef53;

impl SuperBlock for Ext4Fs {
    fn root(&self) -> Arc<dyn Inode> {
        match self.root_inode() {
            Some(root) => root,
            None => DeadRoot::new(),
        }
    }

    fn statfs(&self) -> Result<StatFs> {
        let geometry = self.geometry();
        let overhead = if self.is_on(Flag::MINIX_DF) { 0 } else { self.overhead() };
        // What may become blocks of pointers is not a file's yet.
        let pointers = self.reserved_pointers.load(Ordering::Relaxed);
        let free = seen_as_free(self).saturating_add(pointers);
        let kept = geometry.reserved_blocks + kept_for_metadata(self);
        let half = |at: usize| {
            geometry.uuid[at..at + 8].iter().rev().fold(0u64, |n, &byte| (n << 8) | u64::from(byte))
        };
        Ok(StatFs {
            magic: MAGIC,
            block_size: geometry.block_size() as u64,
            blocks: geometry.blocks_count.saturating_sub(overhead),
            blocks_free: free,
            blocks_available: free.saturating_sub(kept),
            files: u64::from(geometry.inodes_count),
            files_free: u64::from(self.free_inodes.load(Ordering::Relaxed)),
            fsid: half(0) ^ half(8),
            name_max: 255,
        })
    }

    fn sync(&self, wait: bool) -> Result<()> {
        if !self.has_begun() {
            return Ok(());
        }
        if self.journal().is_some() {
            return if self.check_running().is_ok() { self.sync_with_journal(wait) } else { Ok(()) };
        }
        let freed = if wait { trim::take_freed(self) } else { Vec::new() };
        for node in self.inodes.all() {
            node.store_if_stale();
            node.store_lazy_times();
        }
        if !self.read_only() {
            self.update_superblock();
        }
        self.bdi().sync(wait)?;
        if wait {
            self.device().flush()?;
            trim::discard_freed(self, freed);
        }
        Ok(())
    }

    fn unmount(&self) -> Result<()> {
        // Its last use may be dropped here, outside any lock.
        drop(self.set_root(None));
        self.lazy_init.stop();
        self.later.wait();
        let cleaned = if self.read_only() || self.check_running().is_err() {
            // Only its thread is left to end; or after an abort, what it keeps from the disk.
            let _ = self.end_journal();
            Ok(())
        } else {
            self.finish()
        };
        // Never back to writing, even when it failed.
        self.set_read_only(true)?;
        let stopped = self.bdi().stop();
        self.give_up_claim();
        cleaned.and(stopped)
    }

    fn read_only(&self) -> bool {
        Ext4Fs::read_only(self)
    }

    fn remount(&self, flags: MountFlags, options: &str) -> Result<()> {
        let mut options = self.options().and(options)?.with_mount_flags(flags);
        mode::check_remount(self, &mut options)?;
        if options.is_on(Flag::ABORT, Flag::empty()) {
            self.abort();
        }
        let read_only = flags.contains(MountFlags::RDONLY);
        if read_only || !options.is_on(Flag::INIT_ITABLE, Flag::INIT_ITABLE) {
            self.lazy_init.stop();
        }
        if read_only && !self.read_only() {
            self.finish()?;
        } else if !read_only && self.read_only() {
            if self.superblock().s_state.get() & STATE_ERROR != 0 {
                log::warn!("EXT4-fs ({}): the file system has errors: stays read-only", self.disk_name());
                return Err(Errno::EROFS);
            }
            self.set_read_only(false)?;
            begin(self)?;
            if let Some(fs) = self.arc() {
                clean_up(&fs)?;
            }
        }
        self.set_options(options);
        self.tune_journal();
        if let Some(fs) = self.arc() {
            self.lazy_init.start(&fs);
        }
        Ok(())
    }

    fn fs_type(&self) -> &'static str {
        self.flavor().name()
    }

    fn dev(&self) -> DevId {
        self.device().disk().dev()
    }

    fn options(&self) -> String {
        self.options_text()
    }

    fn flags(&self) -> MountFlags {
        let on = self.flags_on();
        MOUNT_FLAGS.iter().filter(|(flag, _)| on.contains(*flag)).map(|(_, mount)| *mount).collect()
    }

    fn max_bytes(&self) -> u64 {
        self.geometry().max_bytes()
    }
}

impl Ext4Fs {
    /// Writes everything, then marks the disk as it was when it was mounted: clean, if it was clean. It is
    /// read-only afterwards.
    pub(crate) fn finish(&self) -> Result<()> {
        let synced = SuperBlock::sync(self, true);
        if self.journal().is_none() {
            synced?;
        }
        self.set_read_only(true)?;
        // What the log had is at home. From here on the superblock goes to the disk by itself.
        self.end_journal()?;
        let valid = self.state_at_mount() & STATE_VALID;
        self.with_superblock(|sb| {
            let bad = sb.s_state.get() & STATE_ERROR != 0;
            let state = sb.s_state.get() | if bad { 0 } else { valid };
            sb.s_state = state.into();
            sb.s_feature_incompat = (sb.s_feature_incompat.get() & !Incompat::RECOVER.bits()).into();
        });
        note_unmount(self);
        self.update_superblock();
        self.superblock_buffer().sync()?;
        self.device().flush()?;
        synced
    }

    /// Writes the superblock as it is in memory, by itself, and waits: for when no transaction will
    /// (`ext4_commit_super`).
    pub(crate) fn write_superblock_past_journal(&self) -> Result<()> {
        let buffer = self.superblock_buffer();
        let bits = self.geometry().block_bits;
        let sector = buffer.block().sector(bits).ok_or(Errno::EIO)?;
        let frame = base::frame::alloc_zeroed()?;
        let len = {
            let bytes = buffer.read();
            frame.write(0, &bytes);
            // A page at most.
            bytes.len() as u32
        };
        let mut bio = Bio::new(BioOp::Write, sector);
        bio.flags = BioFlags::SYNC | BioFlags::META | BioFlags::PREFLUSH | BioFlags::FUA;
        bio.add(&frame, 0, len);
        self.device().disk().submit_and_wait(bio)
    }

    /// Brings counters and times of the superblock up to date (`ext4_update_super`).
    pub(crate) fn update_superblock(&self) {
        let now = base::time::coarse_now().sec.cast_unsigned();
        let reserved = self.reserved_blocks.load(Ordering::Relaxed);
        let free = seen_as_free(self).saturating_add(reserved);
        let inodes = self.free_inodes.load(Ordering::Relaxed);
        let written = sectors_written(self.device().disk()).saturating_sub(self.sectors_at_mount) / 2;
        let before = self.kbytes_at_mount();
        self.with_superblock(|sb| {
            (sb.s_wtime, sb.s_wtime_hi) = split_time(now);
            sb.s_kbytes_written = before.saturating_add(written).into();
            sb.s_free_blocks_count_lo = lo32(free);
            if self.geometry().desc_size > 32 {
                sb.s_free_blocks_count_hi = hi32(free);
            }
            sb.s_free_inodes_count = inodes.into();
        });
    }

    /// Blocks that can never hold a file's data: what mke2fs counted, or the metadata and the journal.
    pub(crate) fn overhead(&self) -> u64 {
        let geometry = self.geometry();
        match u64::from(geometry.overhead) {
            n if n > 0 && n < geometry.blocks_count => n,
            _ => geometry.first_data_block + self.zones.total() + self.journal_blocks(),
        }
    }

    /// Blocks of the journal inside the file system; 0 when it has none or its inode cannot be read.
    fn journal_blocks(&self) -> u64 {
        let geometry = self.geometry();
        let look = || {
            let (block, offset) = table_place(self, geometry.journal_ino).ok()?;
            let buffer = self.device().bread(block).ok()?;
            let bytes = buffer.read();
            let slot = bytes.get(offset..offset + geometry.inode_size)?;
            let inode = raw::decode(geometry, geometry.journal_ino, slot).ok()?;
            Some(inode.size >> geometry.block_bits)
        };
        let internal = geometry.has_compat(Compat::HAS_JOURNAL) && geometry.journal_ino != 0;
        if internal { look().unwrap_or(0) } else { 0 }
    }
}
