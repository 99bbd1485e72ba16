//! A machine whose disk is recorded, or killed: its files, and how QEMU is started on them.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use qemu_tests::linux::Answer;
use qemu_tests::{Verdict, debian_arm64, ensure, linux, mke2fs, required};
use sim::crash::Setup;
use sim::crash::booted::{self, Mark};
use tempfile::TempDir;

/// How long a machine may take.
const LIMIT: Duration = Duration::from_secs(200);

pub fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Files of one machine, in memory where the host offers that.
pub struct Bench(TempDir);

impl Bench {
    pub fn new() -> Result<Bench, String> {
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
        dir.map(Bench).map_err(text)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, String> {
        let path = self.path(name);
        fs::write(&path, bytes).map(|()| path).map_err(text)
    }

    pub fn get(&self, name: &str) -> Result<Vec<u8>, String> {
        fs::read(self.path(name)).map_err(text)
    }

    /// A tree for mke2fs with these programs in /bin.
    pub fn tree(&self, programs: &[&Path]) -> Result<PathBuf, String> {
        let tree = self.path("tree");
        for dir in ["bin", "dev", "proc", "w0"] {
            fs::create_dir_all(tree.join(dir)).map_err(text)?;
        }
        for program in programs {
            let name = program.file_name().ok_or("a program without a name")?;
            fs::copy(program, tree.join("bin").join(name)).map_err(text)?;
        }
        Ok(tree)
    }

    /// The file `disk` as block node `disk0`.
    fn plain_disk(&self) -> String {
        format!("driver=file,node-name=disk0,filename={}", self.path("disk").display())
    }

    /// The same, with its writes logged to the file `log`.
    fn logged_disk(&self) -> Result<String, String> {
        self.put("log", b"")?;
        Ok(format!(
            "driver=blklogwrites,node-name=disk0,log-sector-size=512,file.driver=file,file.filename={},\
             log.driver=file,log.filename={}",
            self.path("disk").display(),
            self.path("log").display()
        ))
    }

    /// Boots Quill on the logged disk's first partition; the program must end with 0.
    pub fn boot_logged(&self, setup: &Setup, words: &str) -> Verdict {
        let child = self.start(&self.logged_disk()?, setup, words)?;
        let (status, output) = self.end(child)?;
        ensure!(status.code() == Some(0), "{status:?}\n{output}");
        Ok(())
    }

    /// The same on a disk that fails by this rule of `blkdebug`; what was said. The program may end as it will.
    pub fn boot_failing(&self, rule: &str, setup: &Setup, words: &str) -> Result<String, String> {
        let node = format!(
            "driver=blkdebug,node-name=disk0,inject-error.0.event=none,inject-error.0.errno=5,{rule},\
             image.driver=file,image.filename={}",
            self.path("disk").display()
        );
        let (status, output) = self.end(self.start(&node, setup, words)?)?;
        ensure!(status.code().is_some(), "{status:?}\n{output}");
        Ok(output)
    }

    /// Waits for QEMU, as long as it may take; how it ended, and what was said.
    fn end(&self, mut child: Child) -> Result<(ExitStatus, String), String> {
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().map_err(text)? {
                break status;
            }
            if begin.elapsed() > LIMIT {
                child.kill().map_err(text)?;
            }
            thread::sleep(Duration::from_millis(5));
        };
        Ok((status, String::from_utf8_lossy(&self.get("output")?).into_owned()))
    }

    /// Boots Quill on the plain disk, to be killed.
    pub fn boot(&self, setup: &Setup, words: &str) -> Result<Child, String> {
        self.start(&self.plain_disk(), setup, words)
    }

    fn start(&self, node: &str, setup: &Setup, words: &str) -> Result<Child, String> {
        let output = fs::File::create(self.path("output")).map_err(text)?;
        let errors = output.try_clone().map_err(text)?;
        let mut command = quill(node, setup, words);
        command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn().map_err(text)
    }

    /// The last mark on the disk.
    pub fn last_mark(&self) -> Option<Mark> {
        let disk = fs::File::open(self.path("disk")).ok()?;
        let mut sector = [0; 512];
        disk.read_exact_at(&mut sector, booted::marks_at(disk.metadata().ok()?.len())).ok()?;
        Mark::parse(&sector)
    }

    /// Runs commands under Linux, whose system is on a disk of its own; the logged disk is /dev/vdb.
    pub fn linux_logged(&self, commands: &[&str]) -> Result<Vec<Answer>, String> {
        self.linux(commands, &self.logged_disk()?)
    }

    /// The same on the disk as it is.
    pub fn linux_plain(&self, commands: &[&str]) -> Result<Vec<Answer>, String> {
        self.linux(commands, &self.plain_disk())
    }

    fn linux(&self, commands: &[&str], node: &str) -> Result<Vec<Answer>, String> {
        let tree = self.path("system");
        for dir in ["bin", "dev", "proc", "x"] {
            fs::create_dir_all(tree.join(dir)).map_err(text)?;
        }
        fs::copy(debian_arm64("bin/busybox").ok_or("no busybox")?, tree.join("bin/busybox")).map_err(text)?;
        let system = self.path("system.img");
        mke2fs(&system, 32 << 20, &["-t", "ext4", "-d", &tree.to_string_lossy()])?;
        let more = ["-blockdev", node, "-device", "virtio-blk-device,drive=disk0"];
        let answers = linux::run_with(&system, commands, &more.map(str::to_owned))?;
        match answers.iter().find(|answer| answer.status != 0) {
            Some(answer) => Err(format!("under Linux: {answer:?}")),
            None => Ok(answers),
        }
    }
}

fn quill(node: &str, setup: &Setup, words: &str) -> Command {
    let append = format!("root=/dev/vda1 rw rootflags={} quiet {words}", setup.mount_options());
    // QEMU dies with the test.
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "qemu-system-aarch64"])
        .args(["-M", "virt,gic-version=3", "-accel", "tcg,thread=single", "-cpu", "cortex-a72", "-m", "128M"])
        .args(["-nodefaults", "-nographic", "-no-reboot", "-serial", "stdio"])
        .args(["-semihosting-config", "enable=on,target=native", "-global", "virtio-mmio.force-legacy=false"])
        .arg("-kernel")
        .arg(required("QUILL_IMAGE"))
        .args(["-append", &append, "-blockdev", node, "-device", "virtio-blk-device,drive=disk0"]);
    command
}
