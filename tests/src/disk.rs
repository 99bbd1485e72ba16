//! The host's own tools as makers and judges of a disk.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Verdict;

/// A tool of e2fsprogs or util-linux, which Debian keeps in /sbin.
fn command(name: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let brew = "/opt/homebrew/opt/e2fsprogs/sbin:/usr/local/opt/e2fsprogs/sbin";
    let mut command = Command::new(name);
    command.env("PATH", format!("{path}:/usr/sbin:/sbin:{brew}"));
    command
}

/// Runs a tool; its status and what it printed.
fn tool(name: &str, args: &[&OsStr]) -> (i32, String) {
    let output = command(name).args(args).output().unwrap_or_else(|e| panic!("{name}: {e}"));
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap_or(-1), text.into_owned())
}

/// Whether there is a tool of that name.
pub fn has_tool(name: &str) -> bool {
    command(name).arg("--version").output().is_ok()
}

/// Runs a partitioner on a disk, with this on its standard input.
pub fn partition(disk: &Path, tool: &[&str], script: &str) -> Verdict {
    let (name, options) = tool.split_first().ok_or("no partitioner")?;
    let mut child = command(name)
        .args(options)
        .arg(disk)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("{name}: {e}"))?;
    // It may end before it has read everything; its status tells.
    child.stdin.take().map(|mut stdin| stdin.write_all(script.as_bytes()));
    let output = child.wait_with_output().map_err(|e| e.to_string())?;
    if output.status.success() { Ok(()) } else { Err(format!("{name}: {output:?}")) }
}

/// Puts a file onto a disk, `at` bytes from its start.
pub fn put(disk: &Path, at: u64, file: &Path) -> Verdict {
    let bytes = std::fs::read(file).map_err(|e| e.to_string())?;
    put_bytes(disk, at, &bytes)
}

/// Puts bytes onto a disk.
pub fn put_bytes(disk: &Path, at: u64, bytes: &[u8]) -> Verdict {
    let put = |mut disk: File| disk.seek(SeekFrom::Start(at)).and_then(|_| disk.write_all(bytes));
    OpenOptions::new().write(true).open(disk).and_then(put).map_err(|e| e.to_string())
}

/// A piece of a disk.
pub fn take_bytes(disk: &Path, at: u64, len: u64) -> Result<Vec<u8>, String> {
    let take = |mut disk: File| {
        let mut bytes = Vec::new();
        disk.seek(SeekFrom::Start(at))?;
        disk.take(len).read_to_end(&mut bytes).map(|_| bytes)
    };
    File::open(disk).and_then(take).map_err(|e| e.to_string())
}

/// `e2fsck -fn` finds nothing wrong.
pub fn e2fsck_clean(disk: &Path) -> Verdict {
    match tool("e2fsck", &["-fn".as_ref(), disk.as_ref()]) {
        (0, _) => Ok(()),
        (status, text) => Err(format!("e2fsck -fn: status {status}\n{text}")),
    }
}

/// What debugfs prints for a request.
pub fn debugfs(disk: &Path, request: &str) -> String {
    tool("debugfs", &["-R".as_ref(), request.as_ref(), disk.as_ref()]).1
}

/// Makes a file system in a file of `size` bytes.
pub fn mke2fs(disk: &Path, size: u64, options: &[&str]) -> Verdict {
    let file = std::fs::File::create(disk).map_err(|e| e.to_string())?;
    file.set_len(size).map_err(|e| e.to_string())?;
    let mut args: Vec<&OsStr> = vec!["-q".as_ref(), "-F".as_ref()];
    args.extend(options.iter().map(|o| OsStr::new(*o)));
    args.push(disk.as_ref());
    match tool("mke2fs", &args) {
        (0, _) => Ok(()),
        (status, text) => Err(format!("mke2fs: status {status}\n{text}")),
    }
}
