//! What a program says to an open file beside reading and writing: ioctl(2), O_TMPFILE.

use std::sync::Arc;

use base::{Errno, FakeUser, Result};
use vfs::{Caller, File, OpenFlags};

use crate::machine::Machine;

/// FS_IOC_GETFLAGS, SETFLAGS, FSGETXATTR, FSSETXATTR, FIEMAP.
const GETFLAGS: u32 = 0x8008_6601;
const SETFLAGS: u32 = 0x4008_6602;
const FSGETXATTR: u32 = 0x801c_581f;
const FSSETXATTR: u32 = 0x401c_5820;
const FIEMAP: u32 = 0xc020_660b;
/// `struct fsxattr`, and where the project lies in it.
const FSXATTR: usize = 28;
const PROJECT: usize = 12;
/// Where the program keeps what it gives.
const AT: u64 = 0x1000;

impl Machine {
    /// ioctl(2) with a value that goes in and comes out.
    fn ioctl(&self, path: &[u8], cmd: u32, value: &[u8]) -> Result<Vec<u8>> {
        let file = self.open(path, OpenFlags::NOFOLLOW, 0)?;
        let user = FakeUser::new(AT, value.len());
        user.put(AT, value);
        let cred = self.cred();
        let caller = Caller { memory: &user, capable: cred.capable(), uid: cred.fsuid };
        file.ops().ioctl(&file, cmd, AT, &caller)?;
        Ok(user.get(AT, value.len()))
    }

    /// What lsattr(1) shows.
    pub fn flags(&self, path: impl AsRef<[u8]>) -> Result<u32> {
        let bytes = self.ioctl(path.as_ref(), GETFLAGS, &[0; 4])?;
        bytes.try_into().map(u32::from_ne_bytes).map_err(|_| Errno::EFAULT)
    }

    /// chattr(1).
    pub fn set_flags(&self, path: impl AsRef<[u8]>, flags: u32) -> Result<()> {
        self.ioctl(path.as_ref(), SETFLAGS, &flags.to_ne_bytes()).map(drop)
    }

    /// The project, as lsattr(1) `-p`.
    pub fn project(&self, path: impl AsRef<[u8]>) -> Result<u32> {
        let bytes = self.ioctl(path.as_ref(), FSGETXATTR, &[0; FSXATTR])?;
        let project = &bytes[PROJECT..PROJECT + 4];
        project.try_into().map(u32::from_ne_bytes).map_err(|_| Errno::EFAULT)
    }

    /// chattr(1) `-p`.
    pub fn set_project(&self, path: impl AsRef<[u8]>, project: u32) -> Result<()> {
        let mut bytes = self.ioctl(path.as_ref(), FSGETXATTR, &[0; FSXATTR])?;
        bytes[PROJECT..PROJECT + 4].copy_from_slice(&project.to_ne_bytes());
        self.ioctl(path.as_ref(), FSSETXATTR, &bytes).map(drop)
    }

    /// How many extents a file has, or its attributes (filefrag(8)).
    pub fn count_extents(&self, path: impl AsRef<[u8]>, attributes: bool) -> Result<u32> {
        let mut asked = [0; 32];
        asked[8..16].fill(0xff);
        asked[16] = if attributes { 4 } else { 1 };
        let told = self.ioctl(path.as_ref(), FIEMAP, &asked)?;
        told[20..24].try_into().map(u32::from_ne_bytes).map_err(|_| Errno::EFAULT)
    }

    /// open(2) with O_TMPFILE in a directory.
    pub fn tmpfile(&self, dir: impl AsRef<[u8]>, mode: u32) -> Result<Arc<File>> {
        self.open(dir, OpenFlags::TMPFILE | OpenFlags::RDWR, mode)
    }
}
