//! A disk image through the eyes of debugfs, by inode number.
//!
//! debugfs always exits with 0 when it could open the disk; a command that failed shows in stderr
//! alone. So everything on stderr but debugfs's first line, its version, is an error here.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::e2fs;
use crate::tools::Tool;

/// An inode number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ino(pub u32);

/// The root folder of any ext2, ext3 or ext4.
pub const ROOT: Ino = Ino(2);

/// What an entry of a folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Folder,
    File,
    Symlink,
    Other,
}

/// One line of `ls -p`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub ino: Ino,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub name: String,
    /// Zero for folders, of which debugfs does not tell it.
    pub size: u64,
}

impl Entry {
    pub const fn kind(&self) -> Kind {
        match self.mode & 0o170_000 {
            0o040_000 => Kind::Folder,
            0o100_000 => Kind::File,
            0o120_000 => Kind::Symlink,
            _ => Kind::Other,
        }
    }

    /// Reads `/12/040755/0/0/bin//`. Inode 0 marks room in a folder that nothing uses.
    fn parse(line: &str) -> Option<Entry> {
        let mut fields = line.strip_prefix('/')?.split('/');
        let ino = Ino(fields.next()?.parse().ok().filter(|&number| number != 0)?);
        let mode = u32::from_str_radix(fields.next()?, 8).ok()?;
        let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let name = fields.next()?.to_owned();
        let size = match fields.next()? {
            "" => 0,
            digits => digits.parse().ok()?,
        };
        Some(Entry { ino, mode, uid, gid, name, size })
    }
}

/// An image and a folder in which debugfs may run.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    path: &'a Path,
    work: &'a Path,
}

impl<'a> Image<'a> {
    pub fn new(path: &'a Path, work: &'a Path) -> Self {
        Image { path, work }
    }

    /// The folder in which debugfs runs: a relative host path in a command starts here.
    pub fn work(&self) -> &Path {
        self.work
    }

    /// What a folder holds, `.` and `..` included.
    pub fn list(&self, folder: Ino) -> Result<Vec<Entry>> {
        let text = self.query(&format!("ls -p <{}>", folder.0))?;
        Ok(String::from_utf8_lossy(&text).lines().filter_map(Entry::parse).collect())
    }

    /// A file's bytes.
    pub fn read(&self, file: Ino) -> Result<Vec<u8>> {
        self.query(&format!("cat <{}>", file.0))
    }

    /// Where a symbolic link leads. Links of 60 bytes and more keep their target in a block.
    pub fn link_target(&self, link: Ino) -> Result<String> {
        let text = self.query(&format!("stat <{}>", link.0))?;
        let text = String::from_utf8_lossy(&text);
        let fast = text.lines().find_map(|line| line.strip_prefix("Fast link dest: \"")?.strip_suffix('"'));
        match fast {
            Some(target) => Ok(target.to_owned()),
            None => Ok(String::from_utf8_lossy(&self.read(link)?).trim_end_matches('\0').to_owned()),
        }
    }

    /// Runs commands that change the disk, one a line.
    pub fn change(&self, commands: &[String]) -> Result<()> {
        let script = self.work.join("debugfs.commands");
        std::fs::write(&script, commands.join("\n") + "\n")
            .context("cannot write the commands for debugfs")?;
        let mut command = self.debugfs()?;
        self.run(command.arg("-w").arg("-f").arg(&script).arg(self.disk()?)).map(drop)
    }

    fn query(&self, request: &str) -> Result<Vec<u8>> {
        let mut command = self.debugfs()?;
        self.run(command.arg("-R").arg(request).arg(self.disk()?))
    }

    fn debugfs(&self) -> Result<Command> {
        let mut command = Command::new(Tool::Debugfs.find()?);
        command.current_dir(self.work);
        Ok(command)
    }

    /// The image's path, which must hold from any folder.
    fn disk(&self) -> Result<std::path::PathBuf> {
        std::path::absolute(self.path).with_context(|| format!("cannot find {}", self.path.display()))
    }

    fn run(&self, command: &mut Command) -> Result<Vec<u8>> {
        let output = e2fs::run(command)?;
        let text = String::from_utf8_lossy(&output.stderr);
        let errors: Vec<&str> =
            text.lines().filter(|line| !is_version(line) && !line.trim().is_empty()).collect();
        if !output.status.success() || !errors.is_empty() {
            bail!("debugfs on {}: {}", self.path.display(), errors.join("; "));
        }
        Ok(output.stdout)
    }
}

/// `debugfs 1.47.0 (5-Feb-2023)`; an error starts with the name and a colon.
fn is_version(line: &str) -> bool {
    line.strip_prefix("debugfs ").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_ls() {
        let entry = Entry::parse("/16/100755/1/2/my prog/35664/").expect("an entry");
        assert_eq!((entry.ino, entry.kind(), entry.size), (Ino(16), Kind::File, 35664));
        assert_eq!((entry.uid, entry.gid, entry.name.as_str()), (1, 2, "my prog"));
        assert_eq!(Entry::parse("/2/040755/0/0/..//").map(|e| (e.kind(), e.size)), Some((Kind::Folder, 0)));
        assert_eq!(Entry::parse("/15/120777/0/0/b/1/").map(|e| e.kind()), Some(Kind::Symlink));
        for wrong in ["", "/", "/a/b/c", "12/040755/0/0/x//", "/0/000000/0/0///", "/12/999/0/0/x//"] {
            assert_eq!(Entry::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_version_line_is_no_error() {
        assert!(is_version("debugfs 1.47.0 (5-Feb-2023)"));
        assert!(!is_version("debugfs: No such file or directory while opening filesystem"));
    }
}
