//! e2fsprogs: makes file systems with mke2fs, judges them with e2fsck.
//!
//! The one thing read here directly is the superblock's state, so that nothing is written with
//! debugfs to a disk whose journal has not been replayed. Offsets are those of the kernel's
//! documentation, filesystems/ext4/globals, "Super Block".

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::size::ByteSize;
use crate::tools::Tool;

const SUPERBLOCK_AT: u64 = 1024;
const SUPERBLOCK_LEN: usize = 1024;
/// `s_magic`.
const MAGIC_AT: usize = 0x38;
const MAGIC: [u8; 2] = [0x53, 0xef];
/// The lowest byte of `s_feature_incompat`, and in it "needs recovery".
const INCOMPAT_AT: usize = 0x60;
const INCOMPAT_RECOVER: u8 = 0x4;

/// Makes an ext4 file system of `size` in the file `path`, with the content of `root` and the
/// user's own options.
pub fn make(path: &Path, size: ByteSize, root: Option<&Path>, options: &[String]) -> Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    file.set_len(size.bytes()).with_context(|| format!("cannot make a disk of {size}"))?;
    let mut command = Command::new(Tool::Mke2fs.find()?);
    command.args(["-q", "-t", "ext4", "-F"]);
    if let Some(root) = root {
        command.arg("-d").arg(root);
    }
    command.args(options).arg(path);
    let output = run(&mut command)?;
    ensure!(output.status.success(), "mke2fs could not make the disk ({size}): {}", complaint(&output));
    Ok(())
}

/// Refuses what debugfs must not write to, each with its reason.
pub fn ensure_writable(path: &Path) -> Result<()> {
    let disk = path.display();
    let superblock = superblock(path).with_context(|| format!("cannot read the disk {disk}"))?;
    let Some(superblock) = superblock.filter(|bytes| bytes[MAGIC_AT..][..2] == MAGIC) else {
        bail!("cannot place the program: {disk} holds no ext4 file system");
    };
    if superblock[INCOMPAT_AT] & INCOMPAT_RECOVER != 0 {
        bail!("cannot place the program: the journal of {disk} needs recovery; run `e2fsck -f {disk}` first");
    }
    Ok(())
}

/// The superblock's bytes; `None` where the file is too short to have one.
fn superblock(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(SUPERBLOCK_AT))?;
    let mut bytes = Vec::with_capacity(SUPERBLOCK_LEN);
    file.take(SUPERBLOCK_LEN as u64).read_to_end(&mut bytes)?;
    Ok(Some(bytes).filter(|bytes| bytes.len() == SUPERBLOCK_LEN))
}

/// What e2fsck says of a disk that it may not change.
pub struct Verdict {
    pub is_clean: bool,
    pub report: String,
}

/// Runs `e2fsck -fn`.
pub fn check(path: &Path) -> Result<Verdict> {
    let output = run(Command::new(Tool::E2fsck.find()?).arg("-fn").arg(path))?;
    let mut report = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        report.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    Ok(Verdict { is_clean: output.status.success(), report })
}

/// Runs one of the tools to its end, without input and in the C locale.
pub fn run(command: &mut Command) -> Result<Output> {
    let name = Path::new(command.get_program()).file_name().map(OsStr::to_os_string).unwrap_or_default();
    command
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", name.display()))
}

/// What a failed tool wrote, on one line.
pub fn complaint(output: &Output) -> String {
    let text =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() { output.status.to_string() } else { lines.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(bytes: &[u8]) -> Option<String> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), bytes).expect("written");
        ensure_writable(file.path()).err().map(|error| format!("{error:#}"))
    }

    #[test]
    fn only_clean_ext4_is_written_to() {
        let mut disk = vec![0; 4096];
        assert!(refusal(b"").is_some_and(|why| why.contains("no ext4")));
        assert!(refusal(&disk).is_some_and(|why| why.contains("no ext4")));
        disk[1024 + MAGIC_AT..][..2].copy_from_slice(&MAGIC);
        assert_eq!(refusal(&disk), None);
        disk[1024 + INCOMPAT_AT] = INCOMPAT_RECOVER | 0x40;
        assert!(refusal(&disk).is_some_and(|why| why.contains("needs recovery")));
    }
}
