//! The volume's name: FS_IOC_GETFSLABEL, FS_IOC_SETFSLABEL.
//!
//! It lies in `s_volume_name`, 16 bytes, with a NUL behind it where there is room. A new one goes to the
//! superblock and to its backups, each in a handle of its own, as Linux does it: the backups are for e2fsck,
//! and one that is damaged is left alone with a warning.
//!
//! # Locking
//! The superblock's buffer, or a backup's, alone.
//!
//! Source: ioctl_fslabel(2), `ext4_ioctl_setlabel`, `ext4_update_superblocks_fn`.

use base::{Errno, Result};
use vfs::{Caller, File};
use zerocopy::{FromBytes, IntoBytes};

use crate::disk::superblock::{MAGIC, SIZE, Superblock};
use crate::fs::Ext4Fs;
use crate::geometry::super_checksum;
use crate::journal::credits;

/// The longest name.
const LABEL_MAX: usize = 16;

/// FS_IOC_GETFSLABEL.
pub(crate) fn get(fs: &Ext4Fs, arg: u64, caller: &Caller<'_>) -> Result<u64> {
    let mut label = [0; LABEL_MAX + 1];
    label[..LABEL_MAX].copy_from_slice(&fs.superblock().s_volume_name);
    caller.put(arg, &label)
}

/// FS_IOC_SETFSLABEL. EPERM, EFAULT, EINVAL for more than 16 bytes, EROFS.
pub(crate) fn set(fs: &Ext4Fs, file: &File, arg: u64, caller: &Caller<'_>) -> Result<u64> {
    if !caller.capable {
        return Err(Errno::EPERM);
    }
    let asked: [u8; LABEL_MAX + 1] = caller.get(arg)?;
    let len = asked.iter().position(|&byte| byte == 0).ok_or(Errno::EINVAL)?;
    let mut label = [0; LABEL_MAX];
    label[..len].copy_from_slice(&asked[..len]);
    let _write = file.path().mount.want_write()?;
    {
        let _handle = fs.start(credits::superblock())?;
        fs.with_superblock(|sb| sb.s_volume_name = label);
    }
    let geometry = fs.geometry();
    for group in (1..geometry.groups).filter(|&group| geometry.has_super(group)) {
        fs.change_backup(group, |sb| sb.s_volume_name = label)?;
    }
    Ok(0)
}

impl Ext4Fs {
    /// Changes the superblock's backup in a group, if that is one.
    fn change_backup(&self, group: u32, change: impl FnOnce(&mut Superblock)) -> Result<()> {
        let _handle = self.start(credits::superblock())?;
        let buffer = self.device().bread(self.geometry().group_first_block(group))?;
        let known = |sb: &Superblock| {
            let summed = !self.geometry().metadata_csum() || sb.s_checksum.get() == super_checksum(sb);
            sb.s_magic.get() == MAGIC && summed
        };
        let found = Superblock::read_from_prefix(&buffer.read()).map(|(sb, _)| sb).ok();
        let Some(mut sb) = found.filter(known) else {
            log::warn!(
                "EXT4-fs warning ({}): the superblock's backup in group {group} is damaged: left as it is",
                self.disk_name()
            );
            return Ok(());
        };
        change(&mut sb);
        if self.geometry().metadata_csum() {
            sb.s_checksum = super_checksum(&sb).into();
        }
        let mut bytes = buffer.write();
        let Some(place) = bytes.get_mut(..SIZE) else { return Err(Errno::EIO) };
        place.copy_from_slice(sb.as_bytes());
        Ok(())
    }
}
