//! The programs of e2fsprogs, run on a file.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A program that did not like what it saw: its name and all it said.
pub struct Trouble(pub String);

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// `unwrap` prints with Debug; a page of e2fsck should not come out as one quoted line.
impl fmt::Debug for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Trouble {}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Trouble {
        Trouble(error.to_string())
    }
}

/// e2fsck with the disk of an external journal, where there is one.
fn run_e2fsck(args: &[&str], file: &Path, log: Option<&Path>) -> Result<Output, Trouble> {
    let mut args = args.to_vec();
    let log = log.map(|log| log.to_string_lossy().into_owned());
    args.extend(log.iter().flat_map(|log| ["-j", log]));
    run("e2fsck", &args, file, &[])
}

fn run(program: &str, args: &[&str], file: &Path, after: &[&str]) -> Result<Output, Trouble> {
    Command::new(place(program))
        .env("MKE2FS_SYNC", "0")
        .args(args)
        .arg(file)
        .args(after)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| Trouble(format!("{program} (of e2fsprogs): {e}")))
}

/// Where a program lies. Given a whole path, the host starts it without a copy of this process, whose
/// memory is full of disks.
fn place(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Some distributions keep them where only root's PATH looks.
    let more = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let mut all = std::env::split_paths(&path).chain(more).map(|dir| dir.join(program));
    all.find(|file| file.is_file()).unwrap_or_else(|| program.into())
}

fn said(program: &str, output: &Output) -> Trouble {
    Trouble(format!(
        "{program}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// Makes a file system in an existing file, an ext4 unless the arguments say `-t`. What mke2fs would
/// draw by lot (UUID, hash seed) is always the same: a failure must come again.
pub(crate) fn mke2fs(file: &Path, args: &[&str]) -> Result<(), Trouble> {
    const LOT: &str = "51c1a7e0-0000-4000-8000-000000000001";
    let mut all = vec!["-q", "-F", "-U", LOT];
    if !args.contains(&"-t") {
        all.extend(["-t", "ext4"]);
    }
    // Of several -E mke2fs hears the last.
    let mut extended = format!("hash_seed={LOT}");
    let mut args = args.iter();
    while let Some(&arg) = args.next() {
        match (arg, args.as_slice().first()) {
            ("-E", Some(value)) => {
                extended = format!("{extended},{value}");
                args.next();
            }
            _ => all.push(arg),
        }
    }
    all.extend(["-E", &extended]);
    let output = run("mke2fs", &all, file, &[])?;
    if output.status.success() { Ok(()) } else { Err(said("mke2fs", &output)) }
}

/// A full check that changes nothing.
pub(crate) fn e2fsck(file: &Path, log: Option<&Path>) -> Result<(), Trouble> {
    let output = run_e2fsck(&["-fn"], file, log)?;
    if output.status.success() { Ok(()) } else { Err(said("e2fsck -fn", &output)) }
}

/// A repair that answers yes to everything; fails only when e2fsck gives up.
pub(crate) fn e2fsck_repair(file: &Path, log: Option<&Path>) -> Result<(), Trouble> {
    let output = run_e2fsck(&["-fy"], file, log)?;
    if matches!(output.status.code(), Some(0 | 1)) { Ok(()) } else { Err(said("e2fsck -fy", &output)) }
}

/// How e2fsck took a transaction whose commit block may have come before the rest of it.
pub(crate) enum Replay {
    /// All or nothing of it.
    Whole,
    /// Of a transaction whose commit block is right it left out the blocks whose checksums are not; or where one of
    /// these is a descriptor, it took the whole log for damaged and left out all of it.
    InPart,
}

/// A repair of what a crash left, which the journal alone shall do: Err with all it said when it had
/// more to repair. `may_end_early`: the last commit block may have come before its transaction was whole
/// (journal_async_commit), which its checksum tells.
pub(crate) fn e2fsck_replay(file: &Path, log: Option<&Path>, may_end_early: bool) -> Result<Replay, Trouble> {
    // A tree that could be lower is no error.
    let output = run_e2fsck(&["-fy", "-E", "no_optimize_extents"], file, log)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let left_out = ["Invalid checksum recovering data block", "Journal checksum error found in"];
    if may_end_early && left_out.iter().any(|words| text.contains(words)) {
        return Ok(Replay::InPart);
    }
    // With a journal alone its status is 1 too; the lines tell. Orphans are part of the recovery, and so are
    // the counts of the superblock, which Linux too brings up to date at an orderly end alone.
    let harmless = |line: &str| {
        let begins = [
            "Pass ",
            "e2fsck ",
            // A torn commit block: Linux forgives it since 6.12, e2fsck 1.47.0 drops the transaction.
            "Journal transaction ",
            "Clearing orphaned inode",
            "Truncating orphaned inode",
            "Free blocks count wrong (",
            "Free inodes count wrong (",
            "Feature orphan_present is set but orphan file is clean.",
            "Fix? yes",
            "Clear? yes",
        ];
        // It deletes the orphans first and asks about their file later.
        let orphans = line.starts_with("Orphan file (inode") && line.ends_with("is not clean.");
        let has = ["recovering journal", "FILE SYSTEM WAS MODIFIED", " files (", "Setting free "];
        line.trim().is_empty()
            || orphans
            || begins.iter().any(|part| line.starts_with(part))
            || has.iter().any(|part| line.contains(part))
    };
    let fine = matches!(output.status.code(), Some(0 | 1)) && text.lines().all(harmless);
    if fine { Ok(Replay::Whole) } else { Err(said("e2fsck -fy", &output)) }
}

/// The journal's replay, and nothing else.
pub(crate) fn e2fsck_journal(file: &Path) -> Result<(), Trouble> {
    let output = run("e2fsck", &["-y", "-E", "journal_only"], file, &[])?;
    let done = matches!(output.status.code(), Some(0 | 1));
    if done { Ok(()) } else { Err(said("e2fsck -E journal_only", &output)) }
}

/// A repair that also builds all directories anew.
pub(crate) fn e2fsck_optimize(file: &Path) -> Result<(), Trouble> {
    let output = run("e2fsck", &["-fyD"], file, &[])?;
    if matches!(output.status.code(), Some(0 | 1)) { Ok(()) } else { Err(said("e2fsck -fyD", &output)) }
}

/// One debugfs command; what it prints on stdout.
pub(crate) fn debugfs(file: &Path, request: &str) -> Result<Vec<u8>, Trouble> {
    let output = run("debugfs", &["-R", request], file, &[])?;
    if output.status.success() { Ok(output.stdout) } else { Err(said("debugfs", &output)) }
}

/// debugfs commands that change the image.
pub(crate) fn debugfs_write(file: &Path, request: &str) -> Result<(), Trouble> {
    let output = run("debugfs", &["-w", "-R", request], file, &[])?;
    if output.status.success() { Ok(()) } else { Err(said("debugfs -w", &output)) }
}
