//! Feature words of the superblock: what a disk may contain, in three degrees of danger.
//!
//! * compat: an implementation that does not know the feature may still write.
//! * ro_compat: who does not know it may only read.
//! * incompat: who does not know it must not touch the disk.
//!
//! [`Incompat::SUPPORTED`] and [`RoCompat::SUPPORTED`] are what Quill knows today; the mount refuses
//! or limits everything else *by name*, so that the message says what to turn off.
//!
//! Source: ext4 documentation, "Super Block", tables of `s_feature_*`.

use alloc::string::String;
use bitflags::bitflags;

bitflags! {
    /// `s_feature_compat`.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Compat: u32 {
        const DIR_PREALLOC = 0x1;
        const IMAGIC_INODES = 0x2;
        const HAS_JOURNAL = 0x4;
        const EXT_ATTR = 0x8;
        const RESIZE_INODE = 0x10;
        const DIR_INDEX = 0x20;
        const LAZY_BG = 0x40;
        const EXCLUDE_BITMAP = 0x100;
        const SPARSE_SUPER2 = 0x200;
        const FAST_COMMIT = 0x400;
        const STABLE_INODES = 0x800;
        const ORPHAN_FILE = 0x1000;
    }
}

bitflags! {
    /// `s_feature_incompat`.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Incompat: u32 {
        const COMPRESSION = 0x1;
        const FILETYPE = 0x2;
        const RECOVER = 0x4;
        const JOURNAL_DEV = 0x8;
        const META_BG = 0x10;
        const EXTENTS = 0x40;
        const BIT64 = 0x80;
        const MMP = 0x100;
        const FLEX_BG = 0x200;
        const EA_INODE = 0x400;
        const DIRDATA = 0x1000;
        const CSUM_SEED = 0x2000;
        const LARGEDIR = 0x4000;
        const INLINE_DATA = 0x8000;
        const ENCRYPT = 0x1_0000;
        const CASEFOLD = 0x2_0000;

        /// What Quill can mount. RECOVER is here because the mount turns it into "read-only".
        const SUPPORTED = Self::FILETYPE.bits() | Self::RECOVER.bits() | Self::META_BG.bits()
            | Self::EXTENTS.bits() | Self::BIT64.bits() | Self::FLEX_BG.bits() | Self::CSUM_SEED.bits()
            | Self::LARGEDIR.bits() | Self::EA_INODE.bits() | Self::INLINE_DATA.bits();
        /// What an ext2 may have, and what an ext3 may have besides.
        const EXT2 = Self::FILETYPE.bits() | Self::META_BG.bits();
        const EXT3 = Self::EXT2.bits() | Self::RECOVER.bits();
    }
}

bitflags! {
    /// `s_feature_ro_compat`.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct RoCompat: u32 {
        const SPARSE_SUPER = 0x1;
        const LARGE_FILE = 0x2;
        const BTREE_DIR = 0x4;
        const HUGE_FILE = 0x8;
        const GDT_CSUM = 0x10;
        const DIR_NLINK = 0x20;
        const EXTRA_ISIZE = 0x40;
        const HAS_SNAPSHOT = 0x80;
        const QUOTA = 0x100;
        const BIGALLOC = 0x200;
        const METADATA_CSUM = 0x400;
        const REPLICA = 0x800;
        const READONLY = 0x1000;
        const PROJECT = 0x2000;
        const SHARED_BLOCKS = 0x4000;
        const VERITY = 0x8000;
        const ORPHAN_PRESENT = 0x1_0000;

        /// What Quill can write beside.
        const SUPPORTED = Self::SPARSE_SUPER.bits() | Self::LARGE_FILE.bits() | Self::HUGE_FILE.bits()
            | Self::GDT_CSUM.bits() | Self::DIR_NLINK.bits() | Self::EXTRA_ISIZE.bits()
            | Self::METADATA_CSUM.bits() | Self::PROJECT.bits() | Self::ORPHAN_PRESENT.bits();
        /// What an ext2 or ext3 that is written may have.
        const EXT3 = Self::SPARSE_SUPER.bits() | Self::LARGE_FILE.bits() | Self::BTREE_DIR.bits();
    }
}

/// mke2fs's name of one incompat bit, or None for a bit that has none.
fn incompat_name(bit: u32) -> Option<&'static str> {
    Some(match Incompat::from_bits(bit)? {
        Incompat::COMPRESSION => "compression",
        Incompat::FILETYPE => "filetype",
        Incompat::RECOVER => "needs_recovery",
        Incompat::JOURNAL_DEV => "journal_dev",
        Incompat::META_BG => "meta_bg",
        Incompat::EXTENTS => "extent",
        Incompat::BIT64 => "64bit",
        Incompat::MMP => "mmp",
        Incompat::FLEX_BG => "flex_bg",
        Incompat::EA_INODE => "ea_inode",
        Incompat::DIRDATA => "dirdata",
        Incompat::CSUM_SEED => "metadata_csum_seed",
        Incompat::LARGEDIR => "large_dir",
        Incompat::INLINE_DATA => "inline_data",
        Incompat::ENCRYPT => "encrypt",
        Incompat::CASEFOLD => "casefold",
        _ => return None,
    })
}

/// mke2fs's name of one ro_compat bit, or None for a bit that has none.
fn ro_compat_name(bit: u32) -> Option<&'static str> {
    Some(match RoCompat::from_bits(bit)? {
        RoCompat::SPARSE_SUPER => "sparse_super",
        RoCompat::LARGE_FILE => "large_file",
        RoCompat::BTREE_DIR => "btree_dir",
        RoCompat::HUGE_FILE => "huge_file",
        RoCompat::GDT_CSUM => "uninit_bg",
        RoCompat::DIR_NLINK => "dir_nlink",
        RoCompat::EXTRA_ISIZE => "extra_isize",
        RoCompat::HAS_SNAPSHOT => "snapshot",
        RoCompat::QUOTA => "quota",
        RoCompat::BIGALLOC => "bigalloc",
        RoCompat::METADATA_CSUM => "metadata_csum",
        RoCompat::REPLICA => "replica",
        RoCompat::READONLY => "read-only",
        RoCompat::PROJECT => "project",
        RoCompat::SHARED_BLOCKS => "shared_blocks",
        RoCompat::VERITY => "verity",
        RoCompat::ORPHAN_PRESENT => "orphan_present",
        _ => return None,
    })
}

/// The names of the incompat bits set in `bits`, "inline_data, 0x40000".
pub fn incompat_names(bits: u32) -> String {
    names(bits, incompat_name)
}

/// The names of the ro_compat bits set in `bits`.
pub fn ro_compat_names(bits: u32) -> String {
    names(bits, ro_compat_name)
}

fn names(bits: u32, name: fn(u32) -> Option<&'static str>) -> String {
    let mut out = String::new();
    for bit in (0..32).map(|i| 1u32 << i).filter(|b| bits & b != 0) {
        if !out.is_empty() {
            out.push_str(", ");
        }
        match name(bit) {
            Some(text) => out.push_str(text),
            None => out.push_str(&alloc::format!("{bit:#x}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_mke2fs_names() {
        assert_eq!(incompat_names(0x8000 | 0x8000_0000), "inline_data, 0x80000000");
        assert_eq!(ro_compat_names(0x200), "bigalloc");
        assert_eq!(incompat_names(0), "");
    }
}
