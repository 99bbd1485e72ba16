//! The flags of open(2) and the mode bits of an open file.

use bitflags::bitflags;

bitflags! {
    /// The flags of open(2), valued as arm64 has them: O_DIRECTORY, O_NOFOLLOW, O_DIRECT and
    /// O_LARGEFILE differ from x86 (`arch/arm64/include/uapi/asm/fcntl.h`).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct OpenFlags: u32 {
        /// Write only.
        const WRONLY = 0o1;
        /// Read and write.
        const RDWR = 0o2;
        /// Make the file when it is not there.
        const CREAT = 0o100;
        /// With CREAT: fail when it is there.
        const EXCL = 0o200;
        /// Do not make it the controlling terminal.
        const NOCTTY = 0o400;
        /// Cut to nothing.
        const TRUNC = 0o1000;
        /// Each write goes to the end.
        const APPEND = 0o2000;
        /// Do not wait.
        const NONBLOCK = 0o4000;
        /// Each write reaches the medium, with the metadata needed to find it.
        const DSYNC = 0o10000;
        /// Signal-driven I/O; kept and not acted on.
        const ASYNC = 0o20000;
        /// Only a directory will do.
        const DIRECTORY = 0o40000;
        /// Not through a symbolic link at the end.
        const NOFOLLOW = 0o100000;
        /// Around the page cache.
        const DIRECT = 0o200000;
        /// No meaning on a 64-bit system.
        const LARGEFILE = 0o400000;
        /// Reading leaves atime alone.
        const NOATIME = 0o1000000;
        /// Closed on exec.
        const CLOEXEC = 0o2000000;
        /// The bit that makes DSYNC into O_SYNC.
        const SYNC_BIT = 0o4000000;
        /// Each write reaches the medium with all its metadata.
        const SYNC = 0o4010000;
        /// A place in the tree, not for I/O.
        const PATH = 0o10000000;
        /// The bit that makes DIRECTORY into O_TMPFILE.
        const TMPFILE_BIT = 0o20000000;
        /// A file without a name.
        const TMPFILE = 0o20040000;
    }
}

impl OpenFlags {
    /// The two bits of the access mode.
    pub const ACCMODE: u32 = 3;

    /// From the argument of open(2); bits of no meaning are dropped, as Linux does.
    pub const fn from_user(bits: u32) -> OpenFlags {
        OpenFlags::from_bits_truncate(bits)
    }

    /// O_RDONLY 0, O_WRONLY 1, O_RDWR 2, or the odd 3, which can do neither.
    pub const fn access_mode(self) -> u32 {
        self.bits() & Self::ACCMODE
    }

    /// The flags F_SETFL changes. O_DIRECT is among them where the file can do it.
    pub const SETFL: OpenFlags =
        OpenFlags::APPEND.union(OpenFlags::NONBLOCK).union(OpenFlags::NOATIME).union(OpenFlags::ASYNC);

    /// The flags that are used up by open(2) and that F_GETFL does not tell.
    pub const ONCE: OpenFlags = OpenFlags::CREAT
        .union(OpenFlags::EXCL)
        .union(OpenFlags::NOCTTY)
        .union(OpenFlags::TRUNC)
        .union(OpenFlags::CLOEXEC);
}

bitflags! {
    /// What an open file can do (`f_mode`), fixed when it is opened.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct FMode: u32 {
        /// Opened for reading.
        const READ = 1;
        /// Opened for writing.
        const WRITE = 2;
        /// Has a position that lseek moves.
        const LSEEK = 4;
        /// pread works.
        const PREAD = 8;
        /// pwrite works.
        const PWRITE = 16;
        /// Reads and writes at the shared position are serialised (regular files, directories).
        const ATOMIC_POS = 32;
        /// Opened with O_PATH.
        const PATH = 64;
        /// The operations have read_iter.
        const CAN_READ = 128;
        /// The operations have write_iter.
        const CAN_WRITE = 256;
        /// Made by this open.
        const CREATED = 512;
        /// A regular file.
        const REGULAR = 1024;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_modes() {
        assert_eq!(OpenFlags::from_user(0o1).access_mode(), 1);
        assert_eq!(OpenFlags::from_user(0o102).access_mode(), 2);
        assert_eq!(OpenFlags::from_user(3).access_mode(), 3);
        assert!(OpenFlags::from_user(0o20040000).contains(OpenFlags::TMPFILE));
        assert!(!OpenFlags::DIRECTORY.contains(OpenFlags::TMPFILE));
        assert!(OpenFlags::SYNC.contains(OpenFlags::DSYNC));
        assert!(!OpenFlags::DSYNC.contains(OpenFlags::SYNC));
    }
}
