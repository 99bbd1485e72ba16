//! The programs of e2fsprogs, run on a file.

use std::fmt;
use std::path::Path;
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

fn run(program: &str, args: &[&str], file: &Path, after: &[&str]) -> Result<Output, Trouble> {
    // Some distributions keep them where only root's PATH looks.
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    Command::new(program)
        .env("PATH", path)
        .env("MKE2FS_SYNC", "0")
        .args(args)
        .arg(file)
        .args(after)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| Trouble(format!("{program} (of e2fsprogs): {e}")))
}

fn said(program: &str, output: &Output) -> Trouble {
    Trouble(format!(
        "{program}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// Makes a file system in an existing file, an ext4 unless the arguments say `-t`.
pub(crate) fn mke2fs(file: &Path, args: &[&str]) -> Result<(), Trouble> {
    let mut all = vec!["-q", "-F"];
    if !args.contains(&"-t") {
        all.extend(["-t", "ext4"]);
    }
    all.extend(args);
    let output = run("mke2fs", &all, file, &[])?;
    if output.status.success() { Ok(()) } else { Err(said("mke2fs", &output)) }
}

/// A full check that changes nothing.
pub(crate) fn e2fsck(file: &Path) -> Result<(), Trouble> {
    let output = run("e2fsck", &["-fn"], file, &[])?;
    if output.status.success() { Ok(()) } else { Err(said("e2fsck -fn", &output)) }
}

/// A repair that answers yes to everything; fails only when e2fsck gives up.
pub(crate) fn e2fsck_repair(file: &Path) -> Result<(), Trouble> {
    let output = run("e2fsck", &["-fy"], file, &[])?;
    if matches!(output.status.code(), Some(0 | 1)) { Ok(()) } else { Err(said("e2fsck -fy", &output)) }
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
