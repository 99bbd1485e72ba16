//! Disk images, and what e2fsprogs says of them.
//!
//! The bytes live in memory; each look by a program writes them to a temporary file first.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::tools::{self, Trouble};

/// A disk image.
#[derive(Clone)]
pub struct Image {
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Image {
    /// A new file system of `size` bytes, by `mke2fs -t ext4` with more arguments.
    pub fn mkfs(size: u64, args: &[&str]) -> Result<Image, Trouble> {
        let file = scratch()?;
        file.as_file().set_len(size)?;
        tools::mke2fs(file.path(), args)?;
        Ok(Image { bytes: fs::read(file.path())? })
    }

    /// The same on a disk full of old bytes, with inode tables left as they are: whoever reads what
    /// was never written sees garbage.
    pub fn mkfs_over_garbage(size: u64, args: &[&str]) -> Result<Image, Trouble> {
        let file = scratch()?;
        fs::write(file.path(), crate::Rng::new(size).bytes(size as usize))?;
        let mut all = vec!["-E", "nodiscard,lazy_itable_init=1"];
        all.extend(args);
        tools::mke2fs(file.path(), &all)?;
        Ok(Image { bytes: fs::read(file.path())? })
    }

    /// The same with a tree of the host copied in.
    pub fn mkfs_with(size: u64, args: &[&str], tree: &Path) -> Result<Image, Trouble> {
        let tree = tree.to_str().ok_or_else(|| Trouble("a path that is no UTF-8".into()))?;
        let mut all = vec!["-d", tree];
        all.extend(args);
        Image::mkfs(size, &all)
    }

    /// `s_inode_size`.
    pub fn inode_size(&self) -> u16 {
        u16::from_le_bytes([self.bytes[1024 + 88], self.bytes[1024 + 89]])
    }

    /// 32 bits of the superblock, at this offset in it.
    pub fn word(&self, at: usize) -> u64 {
        self.bytes[1024 + at..1028 + at].iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
    }

    /// Does something with the image as a file.
    pub fn as_file<R>(&self, f: impl FnOnce(&Path) -> Result<R, Trouble>) -> Result<R, Trouble> {
        let file = scratch()?;
        write_sparse(file.as_file(), &self.bytes)?;
        f(file.path())
    }

    /// `e2fsck -fn`: Err with all it said unless the image is clean.
    pub fn fsck(&self) -> Result<(), Trouble> {
        self.as_file(|path| tools::e2fsck(path, None))
    }

    /// What `e2fsck -fy` makes of the image.
    pub fn repaired(&self) -> Result<Image, Trouble> {
        self.as_file(|path| {
            tools::e2fsck_repair(path, None)?;
            Ok(Image { bytes: fs::read(path)? })
        })
    }

    /// The image with the index of every directory built anew (`e2fsck -fyD`).
    pub fn optimized(&self) -> Result<Image, Trouble> {
        self.as_file(|path| {
            tools::e2fsck_optimize(path)?;
            Ok(Image { bytes: fs::read(path)? })
        })
    }

    /// The image after e2fsck has replayed its journal.
    pub fn replayed(&self) -> Result<Image, Trouble> {
        self.as_file(|path| {
            tools::e2fsck_journal(path)?;
            Ok(Image { bytes: fs::read(path)? })
        })
    }

    /// What a debugfs command prints.
    pub fn debugfs(&self, request: &str) -> Result<String, Trouble> {
        let out = self.as_file(|path| tools::debugfs(path, request))?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    /// The image after a debugfs command that changes it.
    pub fn changed(&self, request: &str) -> Result<Image, Trouble> {
        self.as_file(|path| {
            tools::debugfs_write(path, request)?;
            Ok(Image { bytes: fs::read(path)? })
        })
    }

    /// A file's content, by debugfs.
    pub fn cat(&self, path: &str) -> Result<Vec<u8>, Trouble> {
        self.as_file(|file| tools::debugfs(file, &format!("cat \"{path}\"")))
    }

    /// The image's directory tree copied to the host, by debugfs.
    pub fn dump_to(&self, host: &Path) -> Result<(), Trouble> {
        self.as_file(|file| tools::debugfs(file, &format!("rdump / \"{}\"", host.display())).map(|_| ()))
    }

    /// A field of the superblock as `debugfs stats` names it: `"Free blocks"`.
    pub fn stat_field(&self, name: &str) -> Result<String, Trouble> {
        let all = self.debugfs("stats -h")?;
        all.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(|value| value.trim().to_string())
            .ok_or_else(|| Trouble(format!("debugfs stats tells no {name:?}")))
    }
}

/// Writes what is not zero: most of a test's disk was never touched.
fn write_sparse(file: &fs::File, bytes: &[u8]) -> std::io::Result<()> {
    const CHUNK: usize = 4096;
    file.set_len(bytes.len() as u64)?;
    let zeroes = [0; CHUNK];
    for (index, chunk) in bytes.chunks(CHUNK).enumerate() {
        if chunk != &zeroes[..chunk.len()] {
            file.write_all_at(chunk, (index * CHUNK) as u64)?;
        }
    }
    Ok(())
}

/// A temporary file, in memory where the host offers that: e2fsprogs waits for the disk.
pub(crate) fn scratch() -> std::io::Result<tempfile::NamedTempFile> {
    let memory = Path::new("/dev/shm");
    if memory.is_dir()
        && let Ok(file) = tempfile::NamedTempFile::new_in(memory)
    {
        return Ok(file);
    }
    tempfile::NamedTempFile::new()
}
