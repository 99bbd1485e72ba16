//! One run of `quill run`.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use tempfile::TempDir;

use crate::{Verdict, disk, required, user_program};

/// Seconds before a run is ended and counted as failed (exit status 124), unless a test says less.
const LIMIT: u32 = 240;

/// What is to be run, and how.
pub struct Run {
    options: Vec<OsString>,
    program: Vec<OsString>,
    stdin: Vec<u8>,
    limit: u32,
    dir: TempDir,
}

impl Run {
    /// Runs a host file as the program.
    pub fn new(program: impl AsRef<OsStr>) -> Run {
        Run {
            options: Vec::new(),
            program: vec![program.as_ref().into()],
            stdin: Vec::new(),
            limit: LIMIT,
            dir: TempDir::new().unwrap_or_else(|e| panic!("no temporary directory: {e}")),
        }
    }

    /// Runs a program of `user/`.
    pub fn user(name: &str) -> Run {
        Run::new(user_program(name))
    }

    /// Arguments of the program.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Run {
        self.program.extend(args.into_iter().map(|a| a.as_ref().into()));
        self
    }

    /// Options of `quill run`.
    pub fn options<S: AsRef<OsStr>>(mut self, options: impl IntoIterator<Item = S>) -> Run {
        self.options.extend(options.into_iter().map(|o| o.as_ref().into()));
        self
    }

    /// A 1 KiB or 4 KiB block image, as `mke2fs -b`.
    pub fn block_size(self, bytes: u32) -> Run {
        self.options(["--mkfs".to_owned(), format!("-b {bytes}")])
    }

    /// What the program reads from standard input.
    pub fn stdin(mut self, bytes: &[u8]) -> Run {
        self.stdin = bytes.to_vec();
        self
    }

    /// A time limit of its own, in seconds.
    pub fn limit(mut self, seconds: u32) -> Run {
        self.limit = seconds;
        self
    }

    /// Where the disk will be afterwards.
    pub fn disk(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    /// Runs it; the disk is kept for the judges.
    pub fn go(self) -> Outcome {
        let disk = self.disk();
        let options = ["--keep".into(), disk.clone().into_os_string()];
        self.start(&options, Some(disk))
    }

    /// Runs it without keeping a disk: where there is none, or where it is not ext4.
    pub fn go_without_disk(self) -> Outcome {
        self.start(&[], None)
    }

    /// Runs it, and does something with the launcher's process once the program has written that line.
    pub fn go_and(self, line: &str, act: impl FnOnce(u32)) -> Outcome {
        self.go_with(line, |quill, mut rest| {
            act(quill.id());
            let mut text = String::new();
            // What is not text ends the output here, and the test that looks for it fails.
            let _ = rest.read_to_string(&mut text);
            text
        })
    }

    /// Runs it, and reads its output no further than that line.
    pub fn go_until(self, line: &str) -> Outcome {
        self.go_with(line, |_, rest| {
            drop(rest);
            String::new()
        })
    }

    /// With its standard input open to the end.
    fn go_with(self, line: &str, act: impl FnOnce(&Child, BufReader<ChildStdout>) -> String) -> Outcome {
        let disk = self.disk();
        let (command, mut quill) = self.spawn(&["--keep".into(), disk.clone().into_os_string()]);
        let stdin = quill.stdin.take();
        let mut reader = BufReader::new(quill.stdout.take().unwrap_or_else(|| panic!("no pipe")));
        let mut stdout = String::new();
        while !stdout.ends_with(line) {
            if !matches!(reader.read_line(&mut stdout), Ok(1..)) {
                break;
            }
        }
        let rest = act(&quill, reader);
        let output = quill.wait_with_output().unwrap_or_else(|e| panic!("{command}: {e}"));
        drop(stdin);
        self.outcome(command, output, stdout + &rest, Some(disk))
    }

    fn spawn(&self, more: &[OsString]) -> (String, Child) {
        let mut command = Command::new(required("QUILL"));
        command.arg("run").arg("--timeout").arg(self.limit.to_string());
        command.args(more).args(&self.options).args(&self.program);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let line = format!("{command:?}");
        let child = command.spawn().unwrap_or_else(|e| panic!("{line}: {e}"));
        (line, child)
    }

    fn outcome(self, line: String, output: Output, stdout: String, disk: Option<PathBuf>) -> Outcome {
        Outcome {
            line,
            status: output.status.code().unwrap_or(-1),
            stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            disk,
            _dir: self.dir,
        }
    }

    fn start(self, more: &[OsString], disk: Option<PathBuf>) -> Outcome {
        let (line, mut child) = self.spawn(more);
        if let Some(mut stdin) = child.stdin.take() {
            // A program that does not read its input may be gone before we are done.
            let _ = stdin.write_all(&self.stdin);
        }
        let output = child.wait_with_output().unwrap_or_else(|e| panic!("{line}: {e}"));
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        self.outcome(line, output, stdout, disk)
    }
}

/// What came of a run.
pub struct Outcome {
    /// The command, for messages.
    pub line: String,
    /// Exit status of the launcher.
    pub status: i32,
    /// What the program wrote.
    pub stdout: String,
    /// What the kernel and the launcher wrote.
    pub stderr: String,
    disk: Option<PathBuf>,
    _dir: TempDir,
}

impl Outcome {
    /// The disk as it was left.
    pub fn disk(&self) -> Option<&Path> {
        self.disk.as_deref()
    }

    /// The exit status is this, and the disk is clean.
    pub fn ends_with(self, status: i32) -> Result<Outcome, String> {
        if self.status != status {
            return Err(format!("exit status {}, want {status}\n{self}", self.status));
        }
        self.disk_is_clean()?;
        Ok(self)
    }

    /// `e2fsck -fn` finds nothing.
    pub fn disk_is_clean(&self) -> Verdict {
        match &self.disk {
            Some(disk) => disk::e2fsck_clean(disk).map_err(|e| format!("{e}\n{self}")),
            None => Ok(()),
        }
    }

    /// The program wrote this somewhere.
    pub fn says(self, text: &str) -> Result<Outcome, String> {
        if self.stdout.contains(text) { Ok(self) } else { Err(format!("output lacks {text:?}\n{self}")) }
    }

    /// The kernel or the launcher wrote this somewhere.
    pub fn logs(self, text: &str) -> Result<Outcome, String> {
        if self.stderr.contains(text) { Ok(self) } else { Err(format!("the log lacks {text:?}\n{self}")) }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tail = |s: &str| {
            let lines: Vec<&str> = s.lines().collect();
            lines[lines.len().saturating_sub(40)..].join("\n")
        };
        writeln!(f, "{}\nstatus {}", self.line, self.status)?;
        write!(f, "--- stdout\n{}\n--- stderr\n{}", tail(&self.stdout), tail(&self.stderr))
    }
}
