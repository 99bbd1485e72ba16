//! The inode: 128 bytes, and more when `s_inode_size` says so.
//!
//! Source: ext4 documentation, "Index Nodes".

use bitflags::bitflags;
use zerocopy::byteorder::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of the part that every inode has.
pub const BASE_SIZE: usize = 128;
/// Bytes of `i_block`.
pub const BLOCK_SIZE: usize = 60;
/// The inode of the root directory.
pub const ROOT_INO: u32 = 2;

bitflags! {
    /// `i_flags`.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct InodeFlags: u32 {
        const SECRM = 0x1;
        const UNRM = 0x2;
        const COMPR = 0x4;
        const SYNC = 0x8;
        const IMMUTABLE = 0x10;
        const APPEND = 0x20;
        const NODUMP = 0x40;
        const NOATIME = 0x80;
        const DIRTY = 0x100;
        const COMPRBLK = 0x200;
        const NOCOMPR = 0x400;
        const ENCRYPT = 0x800;
        const INDEX = 0x1000;
        const IMAGIC = 0x2000;
        const JOURNAL_DATA = 0x4000;
        const NOTAIL = 0x8000;
        const DIRSYNC = 0x1_0000;
        const TOPDIR = 0x2_0000;
        const HUGE_FILE = 0x4_0000;
        const EXTENTS = 0x8_0000;
        const VERITY = 0x10_0000;
        const EA_INODE = 0x20_0000;
        const DAX = 0x200_0000;
        const INLINE_DATA = 0x1000_0000;
        const PROJINHERIT = 0x2000_0000;
        const CASEFOLD = 0x4000_0000;
        const RESERVED = 0x8000_0000;
        /// Bits without a name are kept as they are.
        const _ = !0;
        /// What a new inode takes over from its directory.
        const INHERITED = Self::SECRM.bits() | Self::UNRM.bits() | Self::COMPR.bits() | Self::SYNC.bits()
            | Self::NODUMP.bits() | Self::NOATIME.bits() | Self::NOCOMPR.bits()
            | Self::JOURNAL_DATA.bits() | Self::NOTAIL.bits() | Self::DIRSYNC.bits()
            | Self::PROJINHERIT.bits() | Self::CASEFOLD.bits() | Self::DAX.bits();
        /// Which inherited flags have a meaning only for directories.
        const DIRECTORY_ONLY = Self::DIRSYNC.bits() | Self::TOPDIR.bits() | Self::CASEFOLD.bits()
            | Self::PROJINHERIT.bits();
        /// What FS_IOC_SETFLAGS may set (`EXT4_FL_USER_MODIFIABLE`), EOFBLOCKS of old among it.
        const USER_MODIFIABLE = Self::SECRM.bits() | Self::UNRM.bits() | Self::COMPR.bits()
            | Self::SYNC.bits() | Self::IMMUTABLE.bits() | Self::APPEND.bits() | Self::NODUMP.bits()
            | Self::NOATIME.bits() | Self::JOURNAL_DATA.bits() | Self::NOTAIL.bits()
            | Self::DIRSYNC.bits() | Self::TOPDIR.bits() | Self::EXTENTS.bits() | 0x40_0000
            | Self::DAX.bits() | Self::PROJINHERIT.bits() | Self::CASEFOLD.bits();
        /// What FS_IOC_GETFLAGS shows (`EXT4_FL_USER_VISIBLE`).
        const USER_VISIBLE = Self::USER_MODIFIABLE.bits() | Self::DIRTY.bits() | Self::COMPRBLK.bits()
            | Self::NOCOMPR.bits() | Self::ENCRYPT.bits() | Self::INDEX.bits() | Self::VERITY.bits()
            | Self::INLINE_DATA.bits();
        /// What a file that is neither directory nor regular may have.
        const ANY_FILE = Self::NODUMP.bits() | Self::NOATIME.bits();
    }
}

/// The first 128 bytes of an inode.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct InodeBase {
    pub i_mode: U16,
    pub i_uid: U16,
    pub i_size_lo: U32,
    pub i_atime: U32,
    pub i_ctime: U32,
    pub i_mtime: U32,
    pub i_dtime: U32,
    pub i_gid: U16,
    pub i_links_count: U16,
    pub i_blocks_lo: U32,
    pub i_flags: U32,
    pub i_version_lo: U32,
    pub i_block: [u8; BLOCK_SIZE],
    pub i_generation: U32,
    pub i_file_acl_lo: U32,
    pub i_size_high: U32,
    pub i_obso_faddr: U32,
    pub i_blocks_high: U16,
    pub i_file_acl_high: U16,
    pub i_uid_high: U16,
    pub i_gid_high: U16,
    pub i_checksum_lo: U16,
    pub i_reserved: U16,
}

/// What follows when the inode is larger than 128 bytes; a field counts only when `i_extra_isize`
/// reaches past it.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct InodeExtra {
    pub i_extra_isize: U16,
    pub i_checksum_hi: U16,
    pub i_ctime_extra: U32,
    pub i_mtime_extra: U32,
    pub i_atime_extra: U32,
    pub i_crtime: U32,
    pub i_crtime_extra: U32,
    pub i_version_hi: U32,
    pub i_projid: U32,
}

/// Bytes of [`InodeExtra`].
pub const EXTRA_SIZE: usize = size_of::<InodeExtra>();
/// Where `i_dtime` lies in the inode.
pub const DTIME_OFFSET: usize = 0x14;
/// Where `i_checksum_lo` lies in the inode.
pub const CHECKSUM_LO_OFFSET: usize = 0x7c;
/// Where `i_checksum_hi` lies in the inode.
pub const CHECKSUM_HI_OFFSET: usize = 0x82;

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<InodeBase>() == BASE_SIZE);
    assert!(EXTRA_SIZE == 32);
    assert!(offset_of!(InodeBase, i_dtime) == DTIME_OFFSET);
    assert!(offset_of!(InodeBase, i_block) == 0x28);
    assert!(offset_of!(InodeBase, i_checksum_lo) == CHECKSUM_LO_OFFSET);
    assert!(BASE_SIZE + offset_of!(InodeExtra, i_checksum_hi) == CHECKSUM_HI_OFFSET);
};
