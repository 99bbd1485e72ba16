//! Options of a mount and a remount that speak of the journal: which go together, and with which disk.
//!
//! # `data=journal`
//! does without delayed allocation, `dioread_nolock`, O_DIRECT and fast commits. The first two are switched off, as
//! /proc/mounts shows; who asks for `delalloc` by name is refused.
//!
//! # A remount
//! may say the mode of data that is there, and no other. Checksums and the kind of commit stay as they are, with a
//! line in the log.
//!
//! Source: ext4 documentation, "Options"; `__ext4_fill_super`, `ext4_check_opt_consistency`, `__ext4_remount`.

use base::{Errno, Result};
use block::Disk;

use crate::disk::feature::Compat;
use crate::fs::Ext4Fs;
use crate::geometry::Geometry;
use crate::journal::load;
use crate::options::{DataMode, Flag, Options, default_data};

/// Checks the options of a mount, and switches off what its mode of data cannot have. EINVAL for options that
/// speak of a journal where there is none, or that do not go together.
pub(crate) fn check_mount(disk: &Disk, geometry: &Geometry, options: &mut Options) -> Result<()> {
    let said = |flag| options.is_on(flag, Flag::empty());
    let asked = [
        ("data=", options.data.is_some()),
        ("commit=", options.commit.is_some_and(|seconds| seconds != 5)),
        ("journal_checksum", said(Flag::JOURNAL_CHECKSUM)),
        ("journal_async_commit", said(Flag::ASYNC_COMMIT)),
    ];
    if !geometry.has_compat(Compat::HAS_JOURNAL)
        && let Some((word, _)) = asked.iter().find(|(_, said)| *said)
    {
        log::error!("EXT4-fs ({}): can't mount with {word}, fs mounted w/o journal", disk.name());
        return Err(Errno::EINVAL);
    }
    if !load::is_wanted(geometry, options) {
        return Ok(());
    }
    let data = options.data.or(default_data(geometry.default_mount_opts)).unwrap_or(DataMode::Ordered);
    if data == DataMode::Journal {
        log::warn!(
            "EXT4-fs: Warning: mounting with data=journal disables delayed allocation, dioread_nolock, \
             O_DIRECT and fast_commit support!"
        );
        options.switch_off(Flag::DIOREAD_NOLOCK);
        check_delalloc(disk, options)?;
        options.switch_off(Flag::DELALLOC);
    }
    check_async_commit(disk, data, options)
}

/// Checks the options of a remount, and leaves what it cannot change as it is. EINVAL for another mode of data.
pub(crate) fn check_remount(fs: &Ext4Fs, options: &mut Options) -> Result<()> {
    let (disk, data) = (fs.device().disk(), fs.data_mode());
    if fs.journal().is_none() {
        return Ok(());
    }
    if options.data.is_some_and(|mode| mode != data) {
        log::error!("EXT4-fs ({}): Cannot change data mode on remount", disk.name());
        return Err(Errno::EINVAL);
    }
    check_async_commit(disk, data, options)?;
    let fixed = [(Flag::JOURNAL_CHECKSUM, "journal_checksum"), (Flag::ASYNC_COMMIT, "journal_async_commit")];
    for (flag, word) in fixed {
        if options.is_on(flag, Flag::empty()) != fs.is_on(flag) {
            log::error!("EXT4-fs ({}): changing {word} during remount not supported; ignoring", disk.name());
            options.keep(flag, &fs.options());
        }
    }
    if data == DataMode::Journal {
        check_delalloc(disk, options)?;
        refuse(disk, options, Flag::DIOREAD_NOLOCK, "both data=journal and dioread_nolock")?;
    }
    Ok(())
}

/// Nobody may ask for delayed allocation by name where data go through the journal.
fn check_delalloc(disk: &Disk, options: &Options) -> Result<()> {
    refuse(disk, options, Flag::DELALLOC, "both data=journal and delalloc")
}

/// EINVAL for commits that wait for nothing where data must be on the disk first: nothing would keep the commit
/// block from the medium until they are.
fn check_async_commit(disk: &Disk, data: DataMode, options: &Options) -> Result<()> {
    match data {
        DataMode::Ordered => {
            refuse(disk, options, Flag::ASYNC_COMMIT, "journal_async_commit in data=ordered mode")
        }
        _ => Ok(()),
    }
}

/// EINVAL when a flag was said.
fn refuse(disk: &Disk, options: &Options, flag: Flag, what: &str) -> Result<()> {
    if !options.is_on(flag, Flag::empty()) {
        return Ok(());
    }
    log::error!("EXT4-fs ({}): can't mount with {what}", disk.name());
    Err(Errno::EINVAL)
}
