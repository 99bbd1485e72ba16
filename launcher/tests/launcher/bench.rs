//! A launcher under test: its own folder, a kernel that nobody executes, and a QEMU that is a shell
//! script and says on its console whatever the test wants.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command as StdCommand;

use assert_cmd::Command;
use tempfile::TempDir;

pub struct Bench {
    folder: TempDir,
}

impl Bench {
    /// `qemu` is the body of a shell script; `$disk` in it is the disk's path.
    pub fn new(qemu: &str) -> Self {
        let bench = Bench { folder: tempfile::tempdir().expect("a temporary folder") };
        let head = "#!/bin/sh\n\
            printf '%s\\n' \"$@\" > \"${0%/*}/arguments\"\n\
            disk=$(sed -n 's/.*file.filename=//p' \"${0%/*}/arguments\")\n";
        bench.script("qemu", &format!("{head}{qemu}\n"));
        let mut image = vec![0; 64];
        image[0x38..0x3c].copy_from_slice(b"ARM\x64");
        fs::write(bench.path("kernel"), image).expect("the kernel is written");
        bench.script("prog", "#!/bin/sh\n# any file will do\n");
        bench
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn script(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("the script is written");
        fs::set_permissions(self.path(name), Permissions::from_mode(0o755)).expect("it is made executable");
    }

    /// `quill run OPTIONS...`, in the bench's folder.
    pub fn run(&self, options: &[&str]) -> Command {
        let mut command = Command::from_std(self.std_run(options));
        command.timeout(std::time::Duration::from_secs(120));
        command
    }

    /// The same for tests that look at the process while it runs.
    pub fn std_run(&self, options: &[&str]) -> StdCommand {
        let mut command = StdCommand::new(env!("CARGO_BIN_EXE_quill"));
        command.current_dir(self.folder.path()).env("QUILL_QEMU", self.path("qemu"));
        command.args(["run", "--kernel", "kernel"]).args(options);
        command
    }

    /// The arguments that the last QEMU was given, one a line.
    pub fn qemu_arguments(&self) -> String {
        fs::read_to_string(self.path("arguments")).expect("QEMU was started")
    }

    /// Makes an ext4 image.
    pub fn make_disk(&self, name: &str, options: &[&str]) {
        tool("truncate", &["-s", "16M", &self.text(name)]);
        let path = self.text(name);
        tool("mke2fs", &[&["-q", "-t", "ext4", "-F"], options, &[&path]].concat());
    }

    /// Asks debugfs about an image.
    pub fn debugfs(&self, disk: &str, request: &str) -> Vec<u8> {
        tool("debugfs", &["-R", request, &self.text(disk)])
    }

    /// Changes an image with debugfs.
    pub fn debugfs_write(&self, disk: &str, request: &str) {
        tool("debugfs", &["-w", "-R", request, &self.text(disk)]);
    }

    pub fn assert_clean(&self, disk: &str) {
        tool("e2fsck", &["-fn", &self.text(disk)]);
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("a UTF-8 path").to_owned()
    }
}

/// Runs a tool of e2fsprogs or coreutils, which must succeed, and returns its output.
fn tool(name: &str, args: &[&str]) -> Vec<u8> {
    let path = std::env::var("PATH").unwrap_or_default();
    let output = StdCommand::new(name)
        .args(args)
        .env("PATH", format!("{path}:/usr/sbin:/sbin:/opt/homebrew/opt/e2fsprogs/sbin"))
        .output()
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(output.status.success(), "{name} {args:?}: {output:?}");
    output.stdout
}

/// The names in a folder of the host, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
