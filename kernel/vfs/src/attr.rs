//! What an inode says of itself, and what may be changed of it.
//!
//! [`Attr`] holds everything stat(2) and statx(2) report but the device number, which is the
//! superblock's. [`SetAttr`] is the order the vfs gives a file system after it has checked that the
//! caller may: plain new values, no policy left in them.
//!
//! Sources: inode(7), statx(2), `include/uapi/linux/stat.h`.

use base::{DevId, Ino, Timespec};

/// The bits of `st_mode` that tell the type.
pub const S_IFMT: u32 = 0o170000;
/// Set-user-id on execution.
pub const S_ISUID: u32 = 0o4000;
/// Set-group-id on execution; on a directory, new entries take its group.
pub const S_ISGID: u32 = 0o2000;
/// On a directory: only owners remove.
pub const S_ISVTX: u32 = 0o1000;
/// All permission bits with suid, sgid and sticky (`S_IALLUGO`).
pub const S_IALLUGO: u32 = 0o7777;
/// The group may execute.
pub const S_IXGRP: u32 = 0o010;

/// The seven kinds of inode, as the top bits of a mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum FileType {
    /// A named pipe.
    Fifo = 0o010000,
    /// A character device.
    CharDevice = 0o020000,
    /// A directory.
    Directory = 0o040000,
    /// A block device.
    BlockDevice = 0o060000,
    /// A regular file.
    Regular = 0o100000,
    /// A symbolic link.
    Symlink = 0o120000,
    /// A socket's name.
    Socket = 0o140000,
}

impl FileType {
    /// The type in a mode's top bits; None when those bits name no type.
    pub const fn of_mode(mode: u32) -> Option<FileType> {
        Some(match mode & S_IFMT {
            0o010000 => FileType::Fifo,
            0o020000 => FileType::CharDevice,
            0o040000 => FileType::Directory,
            0o060000 => FileType::BlockDevice,
            0o100000 => FileType::Regular,
            0o120000 => FileType::Symlink,
            0o140000 => FileType::Socket,
            _ => return None,
        })
    }

    /// The bits for a mode.
    pub const fn mode(self) -> u32 {
        self as u32
    }

    /// `d_type` of getdents64(2): DT_REG 8, DT_DIR 4, …
    pub const fn dirent_type(self) -> u8 {
        (self as u32 >> 12) as u8
    }

    /// Whether it stands for a device.
    pub const fn is_device(self) -> bool {
        matches!(self, FileType::CharDevice | FileType::BlockDevice)
    }
}

/// Who owns an inode and who may do what: the part of [`Attr`] that permission checks read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ownership {
    /// Type and permission bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// Everything statx(2) tells of an inode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attr {
    /// Inode number.
    pub ino: Ino,
    /// Type and permission bits.
    pub mode: u32,
    /// Names that lead here.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The device a device node stands for; 0:0 for others.
    pub rdev: DevId,
    /// Bytes.
    pub size: u64,
    /// 512-byte units in use on disk.
    pub blocks: u64,
    /// Preferred size of an I/O (`st_blksize`).
    pub blksize: u32,
    /// Last read.
    pub atime: Timespec,
    /// Last change of the content.
    pub mtime: Timespec,
    /// Last change of the inode.
    pub ctime: Timespec,
    /// Birth, where the file system keeps it.
    pub btime: Option<Timespec>,
    /// `stx_attributes`: STATX_ATTR_*.
    pub attributes: u64,
    /// Which bits of `attributes` this file system knows.
    pub attributes_mask: u64,
}

impl Attr {
    /// The part that permission checks read.
    pub const fn ownership(&self) -> Ownership {
        Ownership { mode: self.mode, uid: self.uid, gid: self.gid }
    }

    /// The kind of inode. A file system keeps only modes that name one.
    pub const fn file_type(&self) -> Option<FileType> {
        FileType::of_mode(self.mode)
    }
}

/// New values for an inode, already checked. What is None stays as it is.
///
/// When `size` changes, the file system also sets mtime and ctime to now unless they are given.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SetAttr {
    /// Permission bits ([`S_IALLUGO`]); the type bits are not looked at.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Truncate or extend to this many bytes. Regular files only.
    pub size: Option<u64>,
    /// Last read.
    pub atime: Option<Timespec>,
    /// Last change of the content.
    pub mtime: Option<Timespec>,
    /// Last change of the inode.
    pub ctime: Option<Timespec>,
}

/// What statfs(2) tells of a file system.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StatFs {
    /// The magic number of the type, 0xef53 for ext4.
    pub magic: u64,
    /// Bytes in a block.
    pub block_size: u64,
    /// Blocks in all.
    pub blocks: u64,
    /// Blocks free.
    pub blocks_free: u64,
    /// Blocks free to those who are not root.
    pub blocks_available: u64,
    /// Inodes in all.
    pub files: u64,
    /// Inodes free.
    pub files_free: u64,
    /// The file system's id.
    pub fsid: u64,
    /// The longest name.
    pub name_max: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_modes() {
        for (mode, kind, dt) in [
            (0o010644, FileType::Fifo, 1),
            (0o020600, FileType::CharDevice, 2),
            (0o041777, FileType::Directory, 4),
            (0o060600, FileType::BlockDevice, 6),
            (0o104755, FileType::Regular, 8),
            (0o120777, FileType::Symlink, 10),
            (0o140000, FileType::Socket, 12),
        ] {
            assert_eq!(FileType::of_mode(mode), Some(kind));
            assert_eq!(kind.mode(), mode & S_IFMT);
            assert_eq!(kind.dirent_type(), dt);
        }
        assert_eq!(FileType::of_mode(0o000644), None);
        assert_eq!(FileType::of_mode(0o170000), None);
    }
}
