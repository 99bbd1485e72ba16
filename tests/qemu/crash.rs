//! The power goes while a booted machine writes: QEMU's `blklogwrites` records what reached the disk, and
//! the crash laboratory (`kernel/sim/src/crash/`) cuts that record wherever it likes.
//!
//! The same under Linux proves the laboratory: what it holds against Quill it must not hold against Linux's
//! own ext4.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::Trial;
use qemu_tests::{Verdict, debian_arm64, ensure, linux, required, user_program};
use sim::crash::{Abilities, Campaign, Data, Profile, Script, Setup, Way, judge_story};
use tempfile::TempDir;

use crate::trial;

pub fn trials() -> Vec<Trial> {
    let judge = linux::available() && debian_arm64("bin/busybox").is_some();
    vec![
        trial("crash::of_linux_replayed_by_e2fsck", || of_linux(Way::E2fsck)).with_ignored_flag(!judge),
        trial("crash::of_quill", of_quill),
    ]
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// How many images of each recording are judged.
fn images() -> u64 {
    std::env::var("QUILL_CRASH_IMAGES").ok().and_then(|text| text.parse().ok()).unwrap_or(60)
}

/// Files of one machine, in memory where the host offers that.
struct Bench(TempDir);

impl Bench {
    fn new() -> Result<Bench, String> {
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
        dir.map(Bench).map_err(text)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, String> {
        let path = self.path(name);
        fs::write(&path, bytes).map(|()| path).map_err(text)
    }

    /// A tree with the script and its program.
    fn tree(&self, script: &Script) -> Result<PathBuf, String> {
        let tree = self.path("tree");
        for dir in ["bin", "dev", "proc", "w0"] {
            fs::create_dir_all(tree.join(dir)).map_err(text)?;
        }
        fs::copy(user_program("script"), tree.join("bin/script")).map_err(text)?;
        fs::write(tree.join("script"), script.text()).map_err(text)?;
        Ok(tree)
    }

    /// The disk's block node for QEMU: `disk`, with its writes logged to `log`.
    fn logged_disk(&self) -> Result<String, String> {
        self.put("log", b"")?;
        Ok(format!(
            "driver=blklogwrites,node-name=logged,log-sector-size=512,file.driver=file,file.filename={},\
             log.driver=file,log.filename={}",
            self.path("disk").display(),
            self.path("log").display()
        ))
    }

    /// Lets the laboratory judge what the log tells.
    fn judged(&self, script: &Script, disk: &[u8], way: Way) -> Verdict {
        let log = fs::read(self.path("log")).map_err(text)?;
        let mut story = script.story(disk, &log, "/w0")?;
        story.setup.no_journal = true;
        let boundaries = story.recording.boundaries().len() as u64;
        let campaign =
            Campaign { way, subsets: 4, every: (boundaries * 3 / images()).max(1), ..Campaign::full(0..1) };
        let summary = story.recording.summary();
        let outcome = judge_story(&campaign, story, &mut || ());
        let name = outcome.setup.name();
        println!("{name}: {summary}, {} images of {boundaries} places", outcome.images);
        match outcome.failures.first() {
            Some(failure) => Err(format!("{failure}")),
            None => Ok(()),
        }
    }
}

/// A workload for a machine in QEMU.
fn setup(seed: u64, data: Data) -> Setup {
    let setup = Setup { actors: 1, garbage: false, fua: false, data, ..Setup::of(seed, &Abilities::NOW) };
    Setup { steps: setup.profile.steps().min(60), features: Vec::new(), options: Vec::new(), ..setup }
}

/// Linux writes; e2fsck, or our mount, replays.
fn of_linux(way: Way) -> Verdict {
    for (seed, profile) in
        [(1, Profile::Mixed), (2, Profile::Replace), (3, Profile::Append), (4, Profile::Deep)]
    {
        let setup = Setup { profile, ..setup(seed, Data::Ordered) };
        let bench = Bench::new()?;
        let script = Script::new(seed, &setup);
        let disk = script.disk(&bench.tree(&script)?).map_err(text)?;
        bench.put("disk", &disk)?;
        // The system itself comes from a disk of its own.
        let tree = bench.path("system");
        for dir in ["bin", "dev", "proc", "x"] {
            fs::create_dir_all(tree.join(dir)).map_err(text)?;
        }
        fs::copy(debian_arm64("bin/busybox").ok_or("no busybox")?, tree.join("bin/busybox")).map_err(text)?;
        let system = bench.path("system.img");
        qemu_tests::mke2fs(&system, 32 << 20, &["-t", "ext4", "-d", &tree.to_string_lossy()])?;
        let mount =
            format!("/bin/busybox mount -t ext4 -o nodelalloc,{} /dev/vdb1 /x", setup.mount_options());
        let commands = [&mount, "/x/bin/script /x/script /x/w0 /dev/vdb2", "/bin/busybox umount /x"];
        let more = ["-blockdev", &bench.logged_disk()?, "-device", "virtio-blk-device,drive=logged"];
        let answers = linux::run_with(&system, &commands, &more.map(str::to_owned))?;
        for answer in &answers {
            ensure!(answer.status == 0, "{answer:?}");
        }
        bench.judged(&script, &disk, way)?;
    }
    Ok(())
}

/// Quill writes, Quill recovers.
fn of_quill() -> Verdict {
    for (seed, profile) in
        [(1, Profile::Mixed), (2, Profile::Replace), (3, Profile::Append), (4, Profile::Deep)]
    {
        let setup = Setup { profile, ..setup(seed, Data::Writeback) };
        let bench = Bench::new()?;
        let script = Script::new(seed, &setup);
        let disk = script.disk(&bench.tree(&script)?).map_err(text)?;
        bench.put("disk", &disk)?;
        boot(&bench, &setup, "init=/bin/script -- /script /w0 /dev/vda2")?;
        bench.judged(&script, &disk, Way::Mount)?;
    }
    Ok(())
}

/// Boots Quill on the logged disk; the program must end with 0.
fn boot(bench: &Bench, setup: &Setup, words: &str) -> Verdict {
    let append = format!("root=/dev/vda1 rw rootflags={} quiet {words}", setup.mount_options());
    let output = Command::new("timeout")
        .args(["200", "qemu-system-aarch64", "-M", "virt,gic-version=3", "-accel", "tcg,thread=single"])
        .args(["-cpu", "cortex-a72", "-m", "128M", "-nodefaults", "-nographic", "-no-reboot"])
        .args(["-serial", "stdio", "-semihosting-config", "enable=on,target=native"])
        .args(["-global", "virtio-mmio.force-legacy=false", "-kernel"])
        .arg(required("QUILL_IMAGE"))
        .args(["-append", &append, "-blockdev", &bench.logged_disk()?])
        .args(["-device", "virtio-blk-device,drive=logged"])
        .output()
        .map_err(text)?;
    ensure!(
        output.status.code() == Some(0),
        "{:?}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
