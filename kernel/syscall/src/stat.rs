//! What a file is, and whether it may be used: stat(2), statx(2), statfs(2), access(2), readlink(2).

use base::{DevId, Errno, Result};
use vfs::attr_ops::{self, Stat};
use vfs::namei::{self, LookupFlags};
use vfs::{Mount, MountFlags, Path, Want};

use crate::abi;
use crate::args::Args;
use crate::context::Cx;
use crate::path::{AT_EACCESS, AT_EMPTY_PATH, AT_NO_AUTOMOUNT, AT_SYMLINK_NOFOLLOW, UserPath, lookup_flags};

/// What a 64-bit size or count is as the signed field of an old struct.
fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn kernel_stat(stat: &Stat) -> abi::Stat {
    let attr = &stat.attr;
    abi::Stat {
        st_dev: stat.dev.encode(),
        st_ino: attr.ino.0,
        st_mode: attr.mode,
        st_nlink: attr.nlink,
        st_uid: attr.uid,
        st_gid: attr.gid,
        st_rdev: attr.rdev.encode(),
        pad1: 0,
        st_size: signed(attr.size),
        st_blksize: attr.blksize as i32,
        pad2: 0,
        st_blocks: signed(attr.blocks),
        st_atim: attr.atime.into(),
        st_mtim: attr.mtime.into(),
        st_ctim: attr.ctime.into(),
        unused: [0; 2],
    }
}

/// fstat(2).
pub fn fstat(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let file = cx.process.files().get(args.int(0))?;
    let stat = attr_ops::stat(&**file.inode());
    abi::put(cx.memory(), args.addr(1), &kernel_stat(&stat))?;
    Ok(0)
}

/// fstatat(2).
pub fn newfstatat(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let flags = args.uint(3);
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let place = UserPath::get_at(cx, args.int(0), args.addr(1), flags)?.lookup(lookup_flags(flags))?;
    let stat = attr_ops::stat(&**place.inode()?);
    abi::put(cx.memory(), args.addr(2), &kernel_stat(&stat))?;
    Ok(0)
}

const STATX_BASIC_STATS: u32 = 0x7ff;
const STATX_BTIME: u32 = 0x800;
const STATX_MNT_ID: u32 = 0x1000;
const STATX_DIOALIGN: u32 = 0x2000;
const STATX_RESERVED: u32 = 0x8000_0000;
const STATX_ATTR_AUTOMOUNT: u64 = 0x1000;
const STATX_ATTR_MOUNT_ROOT: u64 = 0x2000;
const STATX_ATTR_DAX: u64 = 0x20_0000;
/// What every file system's files are known to have or not: nothing here is mounted by itself or has no cache.
const STATX_ATTR_KNOWN: u64 = STATX_ATTR_AUTOMOUNT | STATX_ATTR_MOUNT_ROOT | STATX_ATTR_DAX;
const AT_STATX_SYNC_TYPE: u32 = 0x6000;

/// statx(2). What is asked for is a hint: all that is known is told, but for the time of birth and the alignment of
/// direct I/O, as in Linux.
pub fn statx(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let (flags, mask) = (args.uint(2), args.uint(3));
    let known = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE;
    if mask & STATX_RESERVED != 0 || flags & !known != 0 || flags & AT_STATX_SYNC_TYPE == AT_STATX_SYNC_TYPE {
        return Err(Errno::EINVAL);
    }
    let place = UserPath::get_at(cx, args.int(0), args.addr(1), flags)?.lookup(lookup_flags(flags))?;
    abi::put(cx.memory(), args.addr(4), &kernel_statx(&place, mask)?)?;
    Ok(0)
}

fn kernel_statx(place: &Path, asked: u32) -> Result<abi::Statx> {
    let Stat { attr, dev } = attr_ops::stat(&**place.inode()?);
    let DevId { major, minor } = dev;
    let is_root = place.same(&place.mount.root());
    let dio = if asked & STATX_DIOALIGN != 0 { place.inode()?.dio_align() } else { None };
    let btime = attr.btime.filter(|_| asked & STATX_BTIME != 0);
    let told = |is: bool, bit: u32| if is { bit } else { 0 };
    let more = told(btime.is_some(), STATX_BTIME) | told(dio.is_some(), STATX_DIOALIGN);
    let dio = dio.unwrap_or_default();
    Ok(abi::Statx {
        stx_mask: STATX_BASIC_STATS | STATX_MNT_ID | more,
        stx_blksize: attr.blksize,
        stx_attributes: attr.attributes | if is_root { STATX_ATTR_MOUNT_ROOT } else { 0 },
        stx_nlink: attr.nlink,
        stx_uid: attr.uid,
        stx_gid: attr.gid,
        stx_mode: attr.mode as u16,
        pad1: 0,
        stx_ino: attr.ino.0,
        stx_size: attr.size,
        stx_blocks: attr.blocks,
        stx_attributes_mask: attr.attributes_mask | STATX_ATTR_KNOWN,
        stx_atime: attr.atime.into(),
        stx_btime: btime.unwrap_or_default().into(),
        stx_ctime: attr.ctime.into(),
        stx_mtime: attr.mtime.into(),
        stx_rdev_major: attr.rdev.major,
        stx_rdev_minor: attr.rdev.minor,
        stx_dev_major: major,
        stx_dev_minor: minor,
        stx_mnt_id: place.mount.id(),
        stx_dio_mem_align: dio.memory,
        stx_dio_offset_align: dio.offset,
        spare: [0; 12],
    })
}

/// statfs(2).
pub fn statfs(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let path = UserPath::get(cx, crate::path::AT_FDCWD, args.addr(0))?;
    let place = path.lookup(LookupFlags::FOLLOW)?;
    abi::put(cx.memory(), args.addr(1), &kernel_statfs(&place.mount)?)?;
    Ok(0)
}

/// fstatfs(2).
pub fn fstatfs(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let file = cx.process.files().get(args.int(0))?;
    abi::put(cx.memory(), args.addr(1), &kernel_statfs(&file.path().mount)?)?;
    Ok(0)
}

const ST_VALID: i64 = 0x20;
const ST_RDONLY: i64 = 1;
/// Mount flags whose numbers statfs(2) tells as they are, and those it gives other numbers.
const ST_FLAGS: [(MountFlags, i64); 6] = [
    (MountFlags::NOSUID, 2),
    (MountFlags::NODEV, 4),
    (MountFlags::NOEXEC, 8),
    (MountFlags::NOATIME, 1024),
    (MountFlags::RELATIME, 4096),
    (MountFlags::SYNCHRONOUS, 16),
];

fn kernel_statfs(mount: &Mount) -> Result<abi::Statfs> {
    let told = mount.superblock().statfs()?;
    let mut flags = ST_VALID | if mount.read_only() { ST_RDONLY } else { 0 };
    for (flag, number) in ST_FLAGS {
        if (mount.flags() | mount.superblock().flags()).contains(flag) {
            flags |= number;
        }
    }
    Ok(abi::Statfs {
        f_type: signed(told.magic),
        f_bsize: signed(told.block_size),
        f_blocks: told.blocks,
        f_bfree: told.blocks_free,
        f_bavail: told.blocks_available,
        f_files: told.files,
        f_ffree: told.files_free,
        f_fsid: [told.fsid as u32 as i32, (told.fsid >> 32) as i32],
        f_namelen: signed(told.name_max),
        f_frsize: signed(told.block_size),
        f_flags: flags,
        f_spare: [0; 4],
    })
}

/// faccessat(2) as the kernel has it: without flags.
pub fn faccessat(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    access(cx, args, 0)
}

/// faccessat2(2): with flags.
pub fn faccessat2(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    access(cx, args, args.uint(3))
}

fn access(cx: &Cx<'_>, args: Args, flags: u32) -> Result<u64> {
    let mode = args.uint(2);
    if mode & !7 != 0 || flags & !(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let mut path = UserPath::get_at(cx, args.int(0), args.addr(1), flags)?;
    if flags & AT_EACCESS == 0 {
        let real = path.cred().real();
        path = path.with_cred(real);
    }
    namei::access(&path.at(), path.bytes(), Want::from_bits(mode), lookup_flags(flags))?;
    Ok(0)
}

/// readlinkat(2): the target, cut to the buffer, without a NUL.
pub fn readlinkat(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let size = args.int(3);
    if size <= 0 {
        return Err(Errno::EINVAL);
    }
    let path = UserPath::get_at(cx, args.int(0), args.addr(1), AT_EMPTY_PATH)?;
    let target = namei::readlink(&path.at(), path.bytes())?;
    let len = target.len().min(size as usize);
    cx.memory().write_all(args.addr(2), &target[..len])?;
    Ok(len as u64)
}
