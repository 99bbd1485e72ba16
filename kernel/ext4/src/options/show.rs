//! The options as /proc/mounts shows them: what differs from the disk's own defaults, in Linux's order.

use alloc::string::String;
use core::fmt::Write;

use super::{DataMode, Flag, Flavor, Options};
use crate::disk::superblock as raw;
use crate::geometry::{ErrorPolicy, Geometry};

/// The flags in the order of Linux's table: the flag, its word when on, its word when off.
const SHOWN: &[(Flag, &str, &str)] = &[
    (Flag::MINIX_DF, "minixdf", "bsddf"),
    (Flag::GRPID, "grpid", "nogrpid"),
    (Flag::BLOCK_VALIDITY, "block_validity", "noblock_validity"),
    (Flag::DIOREAD_NOLOCK, "dioread_nolock", "dioread_lock"),
    (Flag::DISCARD, "discard", "nodiscard"),
    (Flag::DELALLOC, "delalloc", "nodelalloc"),
    (Flag::NORECOVERY, "norecovery", ""),
    (Flag::JOURNAL_CHECKSUM, "journal_checksum", "nojournal_checksum"),
    (Flag::ASYNC_COMMIT, "journal_async_commit", ""),
    (Flag::BARRIER, "barrier", "nobarrier"),
    (Flag::DATA_ERR_ABORT, "data_err=abort", "data_err=ignore"),
    (Flag::NO_AUTO_DA_ALLOC, "noauto_da_alloc", "auto_da_alloc"),
    (Flag::INIT_ITABLE, "init_itable", "noinit_itable"),
    (Flag::USER_XATTR, "user_xattr", "nouser_xattr"),
    (Flag::ACL, "acl", "noacl"),
    (Flag::DEBUG, "debug", ""),
    (Flag::NO_MBCACHE, "nombcache", ""),
];

/// What a mount without options does: Linux's defaults, and what the superblock adds
/// (`s_default_mount_opts`, set by `tune2fs -o`).
pub fn defaults(default_mount_opts: u32, flavor: Flavor) -> Flag {
    // `block_validity` in the superblock is no news: Linux has it by default.
    let mut flags = Flag::BLOCK_VALIDITY
        | Flag::DIOREAD_NOLOCK
        | Flag::BARRIER
        | Flag::INIT_ITABLE
        | Flag::USER_XATTR
        | Flag::ACL
        | Flag::DELALLOC;
    let said = |bit: u32| default_mount_opts & bit != 0;
    flags.set(Flag::DEBUG, said(raw::DEFM_DEBUG));
    flags.set(Flag::GRPID, said(raw::DEFM_BSDGROUPS));
    flags.set(Flag::DISCARD, said(raw::DEFM_DISCARD));
    if said(raw::DEFM_NOBARRIER) {
        flags.remove(Flag::BARRIER);
    }
    if said(raw::DEFM_NODELALLOC) {
        flags.remove(Flag::DELALLOC);
    }
    if flavor != Flavor::Ext4 {
        flags.remove(Flag::DELALLOC | Flag::DIOREAD_NOLOCK);
    }
    flags
}

/// `data=` as the superblock has it.
pub fn default_data(default_mount_opts: u32) -> Option<DataMode> {
    match default_mount_opts & raw::DEFM_JMODE {
        raw::DEFM_JMODE_DATA => Some(DataMode::Journal),
        raw::DEFM_JMODE_ORDERED => Some(DataMode::Ordered),
        raw::DEFM_JMODE => Some(DataMode::Writeback),
        _ => None,
    }
}

impl Options {
    /// The text, each option with a comma in front.
    pub fn text(&self, geometry: &Geometry) -> String {
        let mut out = String::new();
        let defaults = defaults(geometry.default_mount_opts, self.flavor);
        for &(flag, on, off) in SHOWN {
            let now = self.is_on(flag, defaults);
            let word = if now { on } else { off };
            if now != defaults.contains(flag) && !word.is_empty() {
                out.push(',');
                out.push_str(word);
            }
        }
        // Shown when the superblock names somebody too.
        for (name, said, disk) in
            [("resuid", self.resuid, geometry.reserved_uid), ("resgid", self.resgid, geometry.reserved_gid)]
        {
            let id = said.unwrap_or(disk);
            if id != 0 || disk != 0 {
                number(&mut out, name, Some(id), u32::MAX);
            }
        }
        if let Some(policy) = self.errors.filter(|&p| p != geometry.errors) {
            out.push_str(match policy {
                ErrorPolicy::Continue => ",errors=continue",
                ErrorPolicy::RemountReadOnly => ",errors=remount-ro",
                ErrorPolicy::Panic => ",errors=panic",
            });
        }
        number(&mut out, "commit", self.commit, 5);
        number(&mut out, "min_batch_time", self.batch_time.0, 0);
        number(&mut out, "max_batch_time", self.batch_time.1, 15_000);
        number(&mut out, "stripe", self.stripe, 0);
        if let Some(data) = self.data.filter(|&mode| Some(mode) != default_data(geometry.default_mount_opts))
        {
            // Writing to a String cannot fail.
            let _ = write!(out, ",data={}", data.name());
        }
        number(&mut out, "inode_readahead_blks", self.inode_readahead, 32);
        if self.is_on(Flag::INIT_ITABLE, defaults) {
            number(&mut out, "init_itable", self.init_itable, super::INIT_ITABLE);
        }
        number(&mut out, "max_dir_size_kb", Some(self.max_dir_size_kb), 0);
        out
    }
}

fn number(out: &mut String, name: &str, value: Option<u32>, default: u32) {
    if let Some(value) = value.filter(|&v| v != default) {
        // Writing to a String cannot fail.
        let _ = write!(out, ",{name}={value}");
    }
}
