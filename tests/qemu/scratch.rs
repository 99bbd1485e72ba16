//! A disk of 64 MiB with busybox on it, for tests that bring their own layers of QEMU's block drivers
//! and their own device in front of it.

use std::fs;
use std::path::{Path, PathBuf};

use qemu_tests::{Outcome, Run, Verdict, debian_arm64, debugfs, ensure, mke2fs};
use tempfile::TempDir;

/// Whether there is a busybox to put on it.
pub fn possible() -> bool {
    debian_arm64("bin/busybox").is_some()
}

/// The disk.
pub struct Disk {
    dir: TempDir,
}

impl Disk {
    /// With an empty /dev, /proc, /sys.
    pub fn new() -> Result<Disk, String> {
        Disk::with(|_| Ok(()))
    }

    /// With what `fill` puts into the folder that becomes its root.
    pub fn with(fill: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<Disk, String> {
        let dir = TempDir::new().map_err(|e| e.to_string())?;
        let disk = Disk { dir };
        let tree = disk.dir.path().join("tree");
        let busybox = debian_arm64("bin/busybox").ok_or("no busybox")?;
        fs::create_dir_all(tree.join("bin")).map_err(|e| e.to_string())?;
        for name in ["dev", "proc", "sys"] {
            fs::create_dir(tree.join(name)).map_err(|e| e.to_string())?;
        }
        fs::copy(busybox, tree.join("bin/busybox")).map_err(|e| e.to_string())?;
        fill(&tree).map_err(|e| e.to_string())?;
        mke2fs(&disk.path(), 64 << 20, &["-t", "ext4", "-b", "4096", "-d", &tree.to_string_lossy()])?;
        Ok(disk)
    }

    /// The image.
    pub fn path(&self) -> PathBuf {
        self.file("disk")
    }

    /// A place for another file of the test.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Block node `d0`: the image as it is.
    pub fn plain_node(&self) -> String {
        format!(
            "driver=raw,node-name=d0,discard=unmap,file.driver=file,file.discard=unmap,file.filename={}",
            self.path().display()
        )
    }

    /// The image under a layer of blkdebug, for [`Disk::run`].
    pub fn debugged(&self, layers: &str) -> String {
        format!("{layers},file.image.driver=file,file.image.filename={}", self.path().display())
    }

    /// Runs busybox on it; `layers` is what lies between the machine and the file.
    pub fn run(&self, layers: &str, command: &str) -> Outcome {
        self.run_on(&format!("driver=raw,node-name=d0,{layers}"), command)
    }

    /// Runs busybox on block node `d0`.
    pub fn run_on(&self, node: &str, command: &str) -> Outcome {
        let device = "virtio-blk-device,drive=d0,werror=report,rerror=report";
        self.machine(node, device, &[]).args(command.split(' ')).go_without_disk()
    }

    /// A run of busybox, which still wants its arguments, on block node `d0` behind that device.
    pub fn machine(&self, node: &str, device: &str, more: &[&str]) -> Run {
        let args = ["-blockdev", node, "-device", device].map(|arg| format!("--qemu-arg={arg}"));
        let run = Run::new(":/bin/busybox").options(["--no-disk", "--memory", "32M"]);
        run.options(args).options(more).limit(120)
    }

    /// The content of a file on it.
    pub fn content(&self, name: &str) -> Result<Vec<u8>, String> {
        let out = self.file("dumped");
        let said = debugfs(&self.path(), &format!("dump {name} {}", out.display()));
        fs::read(&out).map_err(|e| format!("{name}: {e}\n{said}"))
    }
}

/// The program ended with this status and said that; the kernel lives.
pub fn ended(outcome: &Outcome, status: i32, text: &str) -> Verdict {
    ensure!(outcome.status == status, "status {}, want {status}\n{outcome}", outcome.status);
    ensure!(outcome.stdout.contains(text), "the program does not say {text:?}\n{outcome}");
    ensure!(!outcome.stderr.contains("panic"), "a panic\n{outcome}");
    Ok(())
}
