//! A newtype per unit. No bare `u64` crosses a crate border when it counts something.
//!
//! ```text
//! Sector      512 bytes on a disk, whatever the disk's own block size      (Linux sector_t)
//! FsBlock     one block of a file system on its device, 1 to 64 KiB        (ext4_fsblk_t)
//! FileBlock   one block of a file, counted from the file's start           (ext4_lblk_t)
//! PageIndex   one 4 KiB page of a file, counted from its start             (pgoff_t)
//! PhysAddr    a byte of physical memory
//! Ino         an inode number
//! DevId       a device number, major and minor                             (dev_t)
//! ```

/// log2 of [`PAGE_SIZE`].
pub const PAGE_SHIFT: u32 = 12;
/// Bytes in a page, of memory and of a file alike.
pub const PAGE_SIZE: usize = 1 << PAGE_SHIFT;
/// log2 of the bytes in a [`Sector`].
pub const SECTOR_SHIFT: u32 = 9;
/// Bytes in a [`Sector`].
pub const SECTOR_SIZE: usize = 1 << SECTOR_SHIFT;

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
        #[repr(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// `self + n`, or None past the unit's range.
            pub const fn checked_add(self, n: $inner) -> Option<Self> {
                match self.0.checked_add(n) {
                    Some(v) => Some(Self(v)),
                    None => None,
                }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                core::fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

unit! {
    /// 512 bytes of a disk, counted from the disk's start.
    Sector(u64)
}
unit! {
    /// A block of a file system, counted from the device's start.
    FsBlock(u64)
}
unit! {
    /// A block of a file (or of a device seen as a file), counted from its start. ext4 keeps 32 bits of it.
    FileBlock(u64)
}
unit! {
    /// A page of a file, counted from the file's start.
    PageIndex(u64)
}
unit! {
    /// An inode number; 0 is no inode.
    Ino(u64)
}
unit! {
    /// A physical address in bytes.
    PhysAddr(u64)
}

impl Sector {
    /// The sector's first byte, or None past 2^64.
    pub const fn byte(self) -> Option<u64> {
        self.0.checked_mul(SECTOR_SIZE as u64)
    }
}

impl FsBlock {
    /// The first sector of this block when blocks are `1 << block_bits` bytes; None past 2^64.
    pub const fn sector(self, block_bits: u32) -> Option<Sector> {
        match self.0.checked_mul(1 << (block_bits - SECTOR_SHIFT)) {
            Some(s) => Some(Sector(s)),
            None => None,
        }
    }
}

impl PageIndex {
    /// The page that holds byte `pos` of a file.
    pub const fn of(pos: u64) -> PageIndex {
        PageIndex(pos >> PAGE_SHIFT)
    }

    /// The page's first byte.
    pub const fn byte(self) -> u64 {
        self.0 << PAGE_SHIFT
    }
}

/// A device number. Linux: 12 bits of major, 20 bits of minor inside the kernel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct DevId {
    /// Which driver.
    pub major: u32,
    /// Which of its devices.
    pub minor: u32,
}

impl DevId {
    /// A device number of its two parts.
    pub const fn new(major: u32, minor: u32) -> DevId {
        DevId { major, minor }
    }

    /// The 64-bit form that stat(2) returns on arm64 (`new_encode_dev`, as glibc's makedev).
    pub const fn encode(self) -> u64 {
        let (major, minor) = (self.major as u64, self.minor as u64);
        (minor & 0xff) | ((major & 0xfff) << 8) | ((minor & !0xff) << 12)
    }

    /// The inverse of [`DevId::encode`].
    pub const fn decode(dev: u64) -> DevId {
        DevId { major: ((dev >> 8) & 0xfff) as u32, minor: ((dev & 0xff) | ((dev >> 12) & 0xfff00)) as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_many_sectors() {
        assert_eq!(FsBlock(3).sector(12), Some(Sector(24)));
        assert_eq!(FsBlock(3).sector(10), Some(Sector(6)));
        assert_eq!(FsBlock(u64::MAX).sector(12), None);
    }

    #[test]
    fn device_numbers_round_trip() {
        for dev in [DevId::new(254, 0), DevId::new(1, 3), DevId::new(0xfff, 0xf_ffff)] {
            assert_eq!(DevId::decode(dev.encode()), dev);
        }
        assert_eq!(DevId::new(254, 0).encode(), 0xfe00);
    }
}
