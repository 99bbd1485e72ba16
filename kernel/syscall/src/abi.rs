//! The structs that cross the border between a Linux/arm64 program and the kernel, byte for byte.
//!
//! Every struct is `repr(C)` with its padding spelled out, so that no byte of the kernel leaks, and
//! `zerocopy` turns it into bytes without `unsafe`.
//!
//! Source: `include/uapi/asm-generic/{stat,statfs,resource,utsname}.h`, `include/uapi/linux/stat.h`,
//! stat(2), statx(2), statfs(2).

use base::{Result, Timespec, UserAddr, UserMemory};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Copies a struct out. EFAULT.
pub fn put<T: IntoBytes + Immutable>(memory: &dyn UserMemory, at: UserAddr, value: &T) -> Result<()> {
    memory.write_all(at, value.as_bytes())
}

/// Copies a struct in. EFAULT.
pub fn get<T: FromBytes + IntoBytes>(memory: &dyn UserMemory, at: UserAddr) -> Result<T> {
    let mut value = T::new_zeroed();
    memory.read_exact(at, value.as_mut_bytes())?;
    Ok(value)
}

/// `struct timespec`, 16 bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct KernelTimespec {
    /// Seconds.
    pub tv_sec: i64,
    /// Nanoseconds, or UTIME_NOW, UTIME_OMIT for utimensat.
    pub tv_nsec: i64,
}

impl From<Timespec> for KernelTimespec {
    fn from(t: Timespec) -> Self {
        KernelTimespec { tv_sec: t.sec, tv_nsec: t.nsec.into() }
    }
}

impl KernelTimespec {
    /// The span in nanoseconds. EINVAL when negative or when `tv_nsec` is not below 10^9.
    pub fn span_ns(self) -> Result<u64> {
        u32::try_from(self.tv_nsec)
            .ok()
            .and_then(|nsec| Timespec { sec: self.tv_sec, nsec }.as_ns())
            .ok_or(base::Errno::EINVAL)
    }
}

/// `struct timeval`, 16 bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct KernelTimeval {
    /// Seconds.
    pub tv_sec: i64,
    /// Microseconds.
    pub tv_usec: i64,
}

/// `struct stat` of the generic table, 128 bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[allow(missing_docs, reason = "stat(2) documents each field")]
pub struct Stat {
    pub st_dev: u64,
    pub st_ino: u64,
    pub st_mode: u32,
    pub st_nlink: u32,
    pub st_uid: u32,
    pub st_gid: u32,
    pub st_rdev: u64,
    pub pad1: u64,
    pub st_size: i64,
    pub st_blksize: i32,
    pub pad2: i32,
    pub st_blocks: i64,
    pub st_atim: KernelTimespec,
    pub st_mtim: KernelTimespec,
    pub st_ctim: KernelTimespec,
    pub unused: [u32; 2],
}

/// `struct statx_timestamp`, 16 bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[allow(missing_docs, reason = "statx(2) documents each field")]
pub struct StatxTimestamp {
    pub tv_sec: i64,
    pub tv_nsec: u32,
    pub reserved: i32,
}

impl From<Timespec> for StatxTimestamp {
    fn from(t: Timespec) -> Self {
        StatxTimestamp { tv_sec: t.sec, tv_nsec: t.nsec, reserved: 0 }
    }
}

/// `struct statx`, 256 bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[allow(missing_docs, reason = "statx(2) documents each field")]
pub struct Statx {
    pub stx_mask: u32,
    pub stx_blksize: u32,
    pub stx_attributes: u64,
    pub stx_nlink: u32,
    pub stx_uid: u32,
    pub stx_gid: u32,
    pub stx_mode: u16,
    pub pad1: u16,
    pub stx_ino: u64,
    pub stx_size: u64,
    pub stx_blocks: u64,
    pub stx_attributes_mask: u64,
    pub stx_atime: StatxTimestamp,
    pub stx_btime: StatxTimestamp,
    pub stx_ctime: StatxTimestamp,
    pub stx_mtime: StatxTimestamp,
    pub stx_rdev_major: u32,
    pub stx_rdev_minor: u32,
    pub stx_dev_major: u32,
    pub stx_dev_minor: u32,
    pub stx_mnt_id: u64,
    pub stx_dio_mem_align: u32,
    pub stx_dio_offset_align: u32,
    pub spare: [u64; 12],
}

/// `struct statfs` of 64-bit machines, 120 bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[allow(missing_docs, reason = "statfs(2) documents each field")]
pub struct Statfs {
    pub f_type: i64,
    pub f_bsize: i64,
    pub f_blocks: u64,
    pub f_bfree: u64,
    pub f_bavail: u64,
    pub f_files: u64,
    pub f_ffree: u64,
    pub f_fsid: [i32; 2],
    pub f_namelen: i64,
    pub f_frsize: i64,
    pub f_flags: i64,
    pub f_spare: [i64; 4],
}

/// `struct new_utsname`, 390 bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[allow(missing_docs, reason = "uname(2) documents each field")]
pub struct Utsname {
    pub sysname: [u8; 65],
    pub nodename: [u8; 65],
    pub release: [u8; 65],
    pub version: [u8; 65],
    pub machine: [u8; 65],
    pub domainname: [u8; 65],
}

/// `struct rlimit64`, 16 bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Rlimit64 {
    /// Soft limit; all ones is infinity.
    pub rlim_cur: u64,
    /// Hard limit.
    pub rlim_max: u64,
}

/// `struct iovec`, 16 bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct KernelIovec {
    /// First byte.
    pub iov_base: u64,
    /// Length in bytes.
    pub iov_len: u64,
}

/// `struct sysinfo` of 64-bit machines, 112 bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[allow(missing_docs, reason = "sysinfo(2) documents each field")]
pub struct Sysinfo {
    pub uptime: i64,
    pub loads: [u64; 3],
    pub totalram: u64,
    pub freeram: u64,
    pub sharedram: u64,
    pub bufferram: u64,
    pub totalswap: u64,
    pub freeswap: u64,
    pub procs: u16,
    pub pad: u16,
    pub pad2: u32,
    pub totalhigh: u64,
    pub freehigh: u64,
    pub mem_unit: u32,
    pub pad3: u32,
}

/// `struct rusage`, 144 bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[allow(missing_docs, reason = "getrusage(2) documents each field")]
pub struct Rusage {
    pub ru_utime: KernelTimeval,
    pub ru_stime: KernelTimeval,
    pub ru_maxrss: u64,
    pub unused: [u64; 3],
    pub ru_minflt: u64,
    pub ru_majflt: u64,
    pub ru_nswap: u64,
    pub ru_inblock: u64,
    pub ru_oublock: u64,
    pub rest: [u64; 5],
}

/// `struct flock` of 64-bit machines, 32 bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[allow(missing_docs, reason = "fcntl(2) documents each field")]
pub struct Flock {
    pub l_type: i16,
    pub l_whence: i16,
    pub pad: i32,
    pub l_start: i64,
    pub l_len: i64,
    pub l_pid: i32,
    pub pad2: i32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::FakeUser;

    #[test]
    fn sizes_are_linux_sizes() {
        assert_eq!(size_of::<Stat>(), 128);
        assert_eq!(size_of::<Statx>(), 256);
        assert_eq!(size_of::<Statfs>(), 120);
        assert_eq!(size_of::<Utsname>(), 390);
        assert_eq!(size_of::<Sysinfo>(), 112);
        assert_eq!(size_of::<Rusage>(), 144);
        assert_eq!(size_of::<Flock>(), 32);
    }

    #[test]
    fn structs_travel_both_ways() {
        let user = FakeUser::new(0x1000, 0x1000);
        let limit = Rlimit64 { rlim_cur: 5, rlim_max: u64::MAX };
        assert_eq!(put(&user, UserAddr(0x1100), &limit), Ok(()));
        assert_eq!(get::<Rlimit64>(&user, UserAddr(0x1100)), Ok(limit));
        assert_eq!(put(&user, UserAddr(0x1ff8), &limit), Err(base::Errno::EFAULT));
    }

    #[test]
    fn spans_are_checked() {
        let span = |tv_sec, tv_nsec| KernelTimespec { tv_sec, tv_nsec }.span_ns();
        assert_eq!(span(1, 5), Ok(1_000_000_005));
        assert_eq!(span(-1, 0), Err(base::Errno::EINVAL));
        assert_eq!(span(0, 1_000_000_000), Err(base::Errno::EINVAL));
        assert_eq!(span(0, -1), Err(base::Errno::EINVAL));
    }
}
