//! Debian's arm64 Linux in the same QEMU, as the judge of output and of disks.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::Verdict;

/// What a command printed and how it ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The command.
    pub command: String,
    /// What it printed, standard error included: both go to the console.
    pub output: String,
    /// Its exit status.
    pub status: i32,
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/linux.sh")
}

/// Whether the kernel could be had.
pub fn available() -> bool {
    let have = Command::new(script()).arg("--have").status();
    have.is_ok_and(|status| status.success())
}

/// Runs commands on a disk under Linux, each chrooted into it.
pub fn run(disk: &Path, commands: &[&str]) -> Result<Vec<Answer>, String> {
    run_with(disk, commands, &[])
}

/// The same with more arguments for QEMU, such as another disk.
pub fn run_with(disk: &Path, commands: &[&str], qemu: &[String]) -> Result<Vec<Answer>, String> {
    let dir = TempDir::new().map_err(|e| e.to_string())?;
    let list = dir.path().join("commands");
    std::fs::write(&list, commands.join("\n") + "\n").map_err(|e| e.to_string())?;
    let output =
        Command::new(script()).arg(disk).arg(&list).args(qemu).output().map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    let answers = parse(&text);
    if answers.len() == commands.len() {
        return Ok(answers);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(format!("Linux answered {} of {} commands\n{text}\n{errors}", answers.len(), commands.len()))
}

/// Runs a command that ends with Linux itself: a crash, and not an orderly end of anything.
pub fn crash(disk: &Path, command: &str) -> Verdict {
    match run(disk, &[command]) {
        Ok(answers) => Err(format!("Linux lives: {answers:?}")),
        Err(said) if said.contains(&format!("==== {command}")) => Ok(()),
        Err(said) => Err(said),
    }
}

/// The script's output, cut at its marks.
fn parse(text: &str) -> Vec<Answer> {
    let mut answers = Vec::new();
    for part in text.split("==== ").skip(1) {
        let Some((command, rest)) = part.split_once('\n') else { continue };
        let Some((output, status)) = rest.rsplit_once("---- ") else { continue };
        let status = status.split_whitespace().next().and_then(|s| s.parse().ok());
        let Some(status) = status else { continue };
        answers.push(Answer { command: command.to_owned(), output: output.to_owned(), status });
    }
    answers
}

/// Every file, directory and link of a disk, with mode, owner, size and checksum, as Linux sees it.
/// Not the roots of /dev, /proc and /sys: those are Linux's own, and /proc counts its processes as links.
pub fn walk(disk: &Path) -> Result<Vec<Answer>, String> {
    run(
        disk,
        &[
            "/bin/busybox find / -xdev ! -path /dev ! -path /proc ! -path /sys -exec /bin/busybox stat -c %n_%A_%u_%g_%s_%h_%N {} ;",
            "/bin/busybox find / -xdev -type f -exec /bin/busybox sha256sum {} ;",
        ],
    )
}

/// Compares two answers, the times that a command printed of itself aside.
pub fn same(quill: &Answer, linux: &Answer) -> Verdict {
    let plain = |answer: &Answer| {
        // dd ends its last line with how long it took.
        let lines = answer.output.lines().map(|l| l.split(" copied,").next().unwrap_or(l));
        (lines.map(str::to_owned).collect::<Vec<_>>(), answer.status)
    };
    if plain(quill) == plain(linux) {
        return Ok(());
    }
    Err(format!(
        "{}\n--- Quill, status {}\n{}\n--- Linux, status {}\n{}",
        linux.command, quill.status, quill.output, linux.status, linux.output
    ))
}
