//! The host's own tools as judges of a disk.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use crate::Verdict;

/// Runs a tool of e2fsprogs, which Debian keeps in /sbin; its status and what it printed.
fn tool(name: &str, args: &[&OsStr]) -> (i32, String) {
    let path = std::env::var("PATH").unwrap_or_default();
    let brew = "/opt/homebrew/opt/e2fsprogs/sbin:/usr/local/opt/e2fsprogs/sbin";
    let output = Command::new(name)
        .env("PATH", format!("{path}:/usr/sbin:/sbin:{brew}"))
        .args(args)
        .output()
        .unwrap_or_else(|e| panic!("{name}: {e}"));
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap_or(-1), text.into_owned())
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
