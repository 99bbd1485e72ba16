//! ioctl(2) of files and directories: flags, project, generation, label.
//!
//! ```text
//!   FS_IOC_GETFLAGS, SETFLAGS          lsattr(1), chattr(1)         a word of i_flags
//!   FS_IOC_FSGETXATTR, FSSETXATTR      the same in XFS's words, and the project
//!   FS_IOC_GETVERSION, SETVERSION      i_generation (also EXT4_IOC_*)
//!   FS_IOC_GETFSLABEL, SETFSLABEL      s_volume_name: label.rs
//!   EXT4_IOC_ALLOC_DA_BLOCKS           what is delayed gets its place now
//!   EXT4_IOC_SHUTDOWN                  the end, at once: journal/shutdown.rs
//!   FITRIM                             fstrim(8): balloc/trim.rs
//!   FS_IOC_FIEMAP, FIBMAP              filefrag(8): fiemap.rs
//!   FIGETBSZ                           the size of a block
//! ```
//! Which flags may be set on what, and by whom, is in [`Node::set_user_flags`].
//!
//! # What is refused though Linux does it
//! A change between extents and block pointers (FS_EXTENT_FL), EOPNOTSUPP. FS_JOURNAL_DATA_FL is changed
//! last and apart, as it takes commits ([`Node::change_journal_flag`]); on a disk without a journal it is
//! passed over.
//!
//! # Locking
//! `i_rwsem` alone around a change.
//!
//! Source: ioctl_iflags(2), ioctl_xfs_fsgetxattr(2), `linux/fs.h`.

use base::{Errno, Result};
use vfs::{Caller, File, FileType};

use crate::balloc::trim;
use crate::disk::feature::RoCompat;
use crate::disk::inode::{BASE_SIZE, InodeFlags};
use crate::fiemap;
use crate::inode::{Ext4Inode, Node, Touch};
use crate::journal::{credits, shutdown};
use crate::label;

const FIBMAP: u32 = 0x1;
const FIGETBSZ: u32 = 0x2;
const FS_IOC_FIEMAP: u32 = 0xc020_660b;
const FS_IOC_GETFLAGS: u32 = 0x8008_6601;
const FS_IOC_SETFLAGS: u32 = 0x4008_6602;
const FS_IOC_GETVERSION: u32 = 0x8008_7601;
const FS_IOC_SETVERSION: u32 = 0x4008_7602;
const EXT4_IOC_GETVERSION: u32 = 0x8008_6603;
const EXT4_IOC_SETVERSION: u32 = 0x4008_6604;
const FS_IOC_FSGETXATTR: u32 = 0x801c_581f;
const FS_IOC_FSSETXATTR: u32 = 0x401c_5820;
const FS_IOC_GETFSLABEL: u32 = 0x8100_9431;
const FS_IOC_SETFSLABEL: u32 = 0x4100_9432;
const FITRIM: u32 = 0xc018_5879;
const EXT4_IOC_ALLOC_DA_BLOCKS: u32 = 0x660c;
const EXT4_IOC_SHUTDOWN: u32 = 0x8004_587d;

/// Commands of encryption and verity (fscrypt.h, fsverity.h), which no disk here has.
const CRYPTO: [u32; 12] = [
    0x800c_6613, // FS_IOC_SET_ENCRYPTION_POLICY
    0x4010_6614, // FS_IOC_GET_ENCRYPTION_PWSALT
    0x400c_6615, // FS_IOC_GET_ENCRYPTION_POLICY
    0xc009_6616, // FS_IOC_GET_ENCRYPTION_POLICY_EX
    0xc050_6617, // FS_IOC_ADD_ENCRYPTION_KEY
    0xc040_6618, // FS_IOC_REMOVE_ENCRYPTION_KEY
    0xc040_6619, // FS_IOC_REMOVE_ENCRYPTION_KEY_ALL_USERS
    0xc080_661a, // FS_IOC_GET_ENCRYPTION_KEY_STATUS
    0x8010_661b, // FS_IOC_GET_ENCRYPTION_NONCE
    0x4080_6685, // FS_IOC_ENABLE_VERITY
    0xc004_6686, // FS_IOC_MEASURE_VERITY
    0xc028_6687, // FS_IOC_READ_VERITY_METADATA
];

/// Bytes of `struct fsxattr`: xflags, extsize, nextents, projid, cowextsize, 8 of padding.
const FSXATTR: usize = 28;
/// Where the project lies in it.
const FSX_PROJID: usize = 12;

/// Flags of both interfaces: `FS_XFLAG_*` and what it is in `i_flags`.
const XFLAGS: [(u32, InodeFlags); 7] = [
    (0x8, InodeFlags::IMMUTABLE),
    (0x10, InodeFlags::APPEND),
    (0x20, InodeFlags::SYNC),
    (0x40, InodeFlags::NOATIME),
    (0x80, InodeFlags::NODUMP),
    (0x8000, InodeFlags::DAX),
    (0x200, InodeFlags::PROJINHERIT),
];
/// `FS_XFLAG_*` that only one kind of inode can have: extsize, extszinherit.
const XFLAG_EXTSIZE: u32 = 0x800;
const XFLAG_EXTSZINHERIT: u32 = 0x1000;

/// A command of ioctl(2) on an open file or directory. ENOTTY when it is none of these.
pub(crate) fn ioctl(inode: &Ext4Inode, file: &File, cmd: u32, arg: u64, caller: &Caller<'_>) -> Result<u64> {
    match cmd {
        FS_IOC_GETFLAGS => caller.put(arg, &inode.user_flags().bits().to_ne_bytes()),
        FS_IOC_SETFLAGS => {
            let flags = InodeFlags::from_bits_retain(u32::from_ne_bytes(caller.get(arg)?));
            change(inode, file, caller, |now| Ok((flags, now.1)))
        }
        FS_IOC_FSGETXATTR => caller.put(arg, &inode.fsxattr()),
        FS_IOC_FSSETXATTR => {
            let asked: [u8; FSXATTR] = caller.get(arg)?;
            change(inode, file, caller, |now| from_fsxattr(&asked, now.0, inode.kind()))
        }
        FS_IOC_GETVERSION | EXT4_IOC_GETVERSION => {
            caller.put(arg, &inode.with_meta(|m| m.generation).to_ne_bytes())
        }
        FS_IOC_SETVERSION | EXT4_IOC_SETVERSION => set_generation(inode, file, arg, caller),
        FS_IOC_GETFSLABEL => label::get(inode.fs(), arg, caller),
        FS_IOC_SETFSLABEL => label::set(inode.fs(), file, arg, caller),
        FS_IOC_FIEMAP => fiemap::fiemap(inode, arg, caller),
        FIBMAP => fiemap::fibmap(inode, arg, caller),
        // 65536 at most.
        FIGETBSZ => caller.put(arg, &(inode.fs().geometry().block_size() as u32).to_ne_bytes()),
        EXT4_IOC_ALLOC_DA_BLOCKS => alloc_da_blocks(inode, file, caller),
        EXT4_IOC_SHUTDOWN => shutdown::ioctl(inode.fs(), arg, caller),
        FITRIM => trim::fitrim(inode.fs(), arg, caller),
        _ if CRYPTO.contains(&cmd) => Err(Errno::EOPNOTSUPP),
        _ => Err(Errno::ENOTTY),
    }
}

/// Begins to write what has no place yet, so that it gets one; the caller does not wait for the bytes. EACCES for
/// who does not own the file, EROFS, and what writing them finds.
fn alloc_da_blocks(inode: &Ext4Inode, file: &File, caller: &Caller<'_>) -> Result<u64> {
    if !caller.capable && caller.uid != inode.ownership().uid {
        return Err(Errno::EACCES);
    }
    let _write = file.path().mount.want_write()?;
    inode.alloc_delayed().map(|()| 0)
}

/// Changes flags and project as the owner may; `decide` sees those of now.
fn change(
    inode: &Ext4Inode,
    file: &File,
    caller: &Caller<'_>,
    decide: impl FnOnce((InodeFlags, u32)) -> Result<(InodeFlags, u32)>,
) -> Result<u64> {
    let _write = file.path().mount.want_write()?;
    if !caller.capable && caller.uid != inode.ownership().uid {
        return Err(Errno::EPERM);
    }
    let _alone = inode.rwsem().write();
    let now = (inode.user_flags(), inode.with_meta(|m| m.projid));
    let (flags, project) = decide(now)?;
    if (flags ^ now.0).intersects(InodeFlags::IMMUTABLE | InodeFlags::APPEND) && !caller.capable {
        return Err(Errno::EPERM);
    }
    {
        let _handle = inode.fs().start(credits::setattr())?;
        inode.set_user_flags(flags, project, caller.capable)?;
        inode.set_project(project)?;
    }
    if (flags ^ now.0).contains(InodeFlags::JOURNAL_DATA) {
        inode.change_journal_flag(flags.contains(InodeFlags::JOURNAL_DATA))?;
    }
    inode.commit_if_sync();
    Ok(0)
}

/// What FSSETXATTR asks for: its flags over those it does not speak of, and the project.
fn from_fsxattr(asked: &[u8; FSXATTR], now: InodeFlags, kind: FileType) -> Result<(InodeFlags, u32)> {
    let word = |at: usize| u32::from_ne_bytes([asked[at], asked[at + 1], asked[at + 2], asked[at + 3]]);
    let xflags = word(0);
    let file_only = xflags & XFLAG_EXTSIZE != 0 && kind != FileType::Regular;
    let directory_only = xflags & XFLAG_EXTSZINHERIT != 0 && kind != FileType::Directory;
    if file_only || directory_only {
        return Err(Errno::EINVAL);
    }
    let mut flags = now;
    for (xflag, flag) in XFLAGS {
        flags.set(flag, xflags & xflag != 0);
    }
    Ok((flags, word(FSX_PROJID)))
}

/// `i_generation`. EPERM; ENOTTY with metadata_csum, whose sums it goes into.
fn set_generation(inode: &Ext4Inode, file: &File, arg: u64, caller: &Caller<'_>) -> Result<u64> {
    if !caller.capable && caller.uid != inode.ownership().uid {
        return Err(Errno::EPERM);
    }
    if inode.fs().geometry().metadata_csum() {
        return Err(Errno::ENOTTY);
    }
    let _write = file.path().mount.want_write()?;
    let generation = u32::from_ne_bytes(caller.get(arg)?);
    let _alone = inode.rwsem().write();
    let _handle = inode.fs().start(credits::inode())?;
    inode.with_meta(|m| m.generation = generation);
    inode.touch(Touch::Changed);
    inode.mark_dirty();
    Ok(0)
}

impl Node {
    /// The flags that a program may see.
    fn user_flags(&self) -> InodeFlags {
        let mut flags = self.flags() & InodeFlags::USER_VISIBLE;
        if self.kind() == FileType::Regular {
            flags.remove(InodeFlags::PROJINHERIT);
        }
        flags
    }

    fn fsxattr(&self) -> [u8; FSXATTR] {
        let flags = self.user_flags();
        let xflags = XFLAGS.iter().filter(|(_, f)| flags.contains(*f)).fold(0, |all, (x, _)| all | x);
        let mut out = [0; FSXATTR];
        out[..4].copy_from_slice(&u32::to_ne_bytes(xflags));
        out[FSX_PROJID..FSX_PROJID + 4].copy_from_slice(&self.with_meta(|m| m.projid).to_ne_bytes());
        out
    }

    /// Sets the flags that may be set; those that are only visible stay as they are (`chattr` gives
    /// them back as it got them). The caller holds `rwsem` alone and may do it. EOPNOTSUPP for flags
    /// that this kind of inode or this disk cannot have, EPERM for JOURNAL_DATA and for any other change
    /// of what stays immutable.
    fn set_user_flags(&self, asked: InodeFlags, project: u32, capable: bool) -> Result<()> {
        if !InodeFlags::USER_VISIBLE.contains(asked) {
            return Err(Errno::EOPNOTSUPP);
        }
        let old = self.flags() & InodeFlags::USER_MODIFIABLE;
        let new = asked & InodeFlags::USER_MODIFIABLE;
        let fits = match self.kind() {
            FileType::Directory => true,
            FileType::Regular => !new.intersects(InodeFlags::DIRECTORY_ONLY),
            _ => InodeFlags::ANY_FILE.contains(new),
        };
        if !fits {
            return Err(Errno::EOPNOTSUPP);
        }
        let frozen = InodeFlags::IMMUTABLE;
        if old.contains(frozen)
            && new.contains(frozen)
            && (old != new || project != self.with_meta(|m| m.projid))
        {
            return Err(Errno::EPERM);
        }
        let changes = old ^ new;
        if changes.contains(InodeFlags::JOURNAL_DATA) && !capable {
            return Err(Errno::EPERM);
        }
        // No way from one map to the other, no directory without case, no memory to map directly.
        if changes.intersects(InodeFlags::EXTENTS | InodeFlags::CASEFOLD | InodeFlags::DAX) {
            return Err(Errno::EOPNOTSUPP);
        }
        let settable = InodeFlags::USER_MODIFIABLE - InodeFlags::JOURNAL_DATA;
        self.with_meta(|m| m.flags = (m.flags - settable) | (new & settable));
        self.touch(Touch::Changed);
        self.mark_dirty();
        Ok(())
    }

    /// Puts the inode into a project. EOPNOTSUPP when the disk knows of none.
    fn set_project(&self, project: u32) -> Result<()> {
        let geometry = self.fs().geometry();
        if project == self.with_meta(|m| m.projid) {
            return Ok(());
        }
        if !geometry.has_ro_compat(RoCompat::PROJECT) || geometry.inode_size <= BASE_SIZE {
            return Err(Errno::EOPNOTSUPP);
        }
        self.grow_extra_isize()?;
        if !crate::inode::raw::has_project(self.with_meta(|m| m.extra_isize)) {
            return Err(Errno::EOVERFLOW);
        }
        self.with_meta(|m| m.projid = project);
        self.touch(Touch::Changed);
        self.mark_dirty();
        Ok(())
    }
}
