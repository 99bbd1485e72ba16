//! What stat and statx tell of an inode, and what chmod, chown, utimensat and truncate change.

use base::{DevId, Errno, Result};
use vfs::{Attr, FileType, Ownership, S_IALLUGO, SetAttr};

use super::{Node, raw};
use crate::disk::inode::InodeFlags;
use crate::journal::Reason;
use crate::journal::credits;

/// The flags that statx shows; STATX_ATTR_* have the values of the inode's flags.
const SHOWN: InodeFlags = InodeFlags::COMPR
    .union(InodeFlags::IMMUTABLE)
    .union(InodeFlags::APPEND)
    .union(InodeFlags::NODUMP)
    .union(InodeFlags::ENCRYPT)
    .union(InodeFlags::VERITY);

impl Node {
    /// Everything statx tells.
    pub fn attr(&self) -> Attr {
        let geometry = self.fs.geometry();
        let device = self.kind.is_device();
        self.with_meta(|m| Attr {
            ino: self.ino(),
            mode: u32::from(m.mode),
            nlink: u32::from(m.nlink),
            uid: m.uid,
            gid: m.gid,
            rdev: if device { raw::decode_device(&m.block) } else { DevId::default() },
            size: self.size(),
            blocks: m.blocks.saturating_add(self.delayed_sectors()),
            // A block is at most 4096.
            blksize: 1 << geometry.block_bits,
            atime: m.atime,
            mtime: m.mtime,
            ctime: m.ctime,
            btime: m.crtime,
            attributes: u64::from((m.flags & SHOWN).bits()),
            attributes_mask: u64::from(SHOWN.bits()),
        })
    }

    /// Mode, owner and group.
    pub fn ownership(&self) -> Ownership {
        self.with_meta(|m| Ownership { mode: u32::from(m.mode), uid: m.uid, gid: m.gid })
    }

    /// Sets what is Some. The size first, in handles of its own, since only that can fail. EPERM for an immutable inode; what
    /// an append-only one does not take, the vfs knows.
    pub fn setattr(&self, new: &SetAttr) -> Result<()> {
        self.fs.check_writable()?;
        if self.flags().contains(InodeFlags::IMMUTABLE) {
            return Err(Errno::EPERM);
        }
        if let Some(size) = new.size {
            self.truncate(size)?;
        }
        let handle = self.fs.start_tracked(credits::setattr())?;
        if self.kind() == FileType::Directory {
            // No fast commit tells of it.
            self.fs.mark_ineligible(Reason::Other);
        }
        self.grow_extra_isize()?;
        let geometry = self.fs.geometry();
        let time = |t| geometry.timestamp(t);
        let now = base::time::coarse_now();
        self.with_meta(|m| {
            if let Some(mode) = new.mode {
                // 12 bits: they fit 16.
                m.mode = (m.mode & !(S_IALLUGO as u16)) | (mode & S_IALLUGO) as u16;
            }
            m.uid = new.uid.unwrap_or(m.uid);
            m.gid = new.gid.unwrap_or(m.gid);
            m.atime = new.atime.map_or(m.atime, time);
            m.mtime = new.mtime.map_or(m.mtime, time);
            m.ctime = time(new.ctime.unwrap_or(now));
            m.version = m.version.wrapping_add(1);
        });
        self.mark_dirty();
        drop(handle);
        self.commit_if_sync();
        Ok(())
    }

    /// Makes a device node stand for this device.
    pub fn set_rdev(&self, dev: DevId) {
        self.with_meta(|m| m.block = raw::encode_device(dev));
    }
}
