//! A second disk as a file: the program `bdev` on every transport, its verdict under Linux, the host's
//! look at the bytes afterwards, and the tools of busybox.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use qemu_tests::{Outcome, Run, Verdict, debian_arm64, ensure, linux};
use tempfile::TempDir;

use crate::trial;

const MIB: usize = 1 << 20;

pub fn trials() -> Vec<Trial> {
    let mut trials: Vec<Trial> = ["mmio", "mmio-legacy", "pci"]
        .map(|machine| trial(format!("bdev::program::{machine}"), move || program(machine)))
        .into();
    trials.push(trial("bdev::large_blocks", large_blocks));
    let busybox = debian_arm64("bin/busybox").is_some();
    trials.push(trial("bdev::more_than_the_memory", more_than_the_memory).with_ignored_flag(!busybox));
    trials.push(trial("bdev::dd", dd).with_ignored_flag(!busybox));
    trials.push(trial("bdev::busybox_tools", busybox_tools).with_ignored_flag(!busybox));
    let judge = busybox && linux::available();
    trials.push(trial("bdev::program_under_linux", under_linux).with_ignored_flag(!judge));
    trials
}

/// The second disk: a file of so many MiB, gone with its folder.
struct Second {
    dir: TempDir,
}

impl Second {
    fn new(mib: usize) -> Result<Second, String> {
        let second = Second { dir: TempDir::new().map_err(|e| e.to_string())? };
        let file = File::create(second.path()).map_err(|e| e.to_string())?;
        file.set_len((mib * MIB) as u64).map_err(|e| e.to_string())?;
        Ok(second)
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("second")
    }

    fn bytes(&self) -> Result<Vec<u8>, String> {
        fs::read(self.path()).map_err(|e| e.to_string())
    }

    /// The arguments that attach it, for a machine's kind of disks.
    fn arguments(&self, machine: &str, more: &str) -> [String; 4] {
        let drive = format!("if=none,id=second,format=raw,discard=unmap,file={}", self.path().display());
        let device = if machine == "pci" { "virtio-blk-pci" } else { "virtio-blk-device" };
        ["-drive".into(), drive, "-device".into(), format!("{device},drive=second{more}")]
    }

    /// Attached to a run.
    fn of(&self, run: Run, machine: &str, more: &str) -> Run {
        let pairs = self.arguments(machine, more).map(|argument| ["--qemu-arg".to_string(), argument]);
        // A value that begins with a dash is joined with an equals sign.
        let joined = pairs.map(|[option, value]| format!("{option}={value}"));
        run.options(["--size", "32M", "--machine", machine]).options(joined)
    }
}

/// What `bdev` leaves in the second MiB, and zeros in the third.
fn as_left(bytes: &[u8]) -> Verdict {
    let pattern = |i: usize| (i / 512 * 7 + i) as u8;
    let wrong = (0..MIB).find(|&i| bytes[MIB + i] != pattern(i));
    ensure!(wrong.is_none(), "byte {wrong:?} of the second MiB is not what was written");
    let wrong = bytes[2 * MIB..3 * MIB].iter().position(|&b| b != 0);
    ensure!(wrong.is_none(), "byte {wrong:?} of the third MiB is not zero");
    Ok(())
}

fn program(machine: &str) -> Verdict {
    let second = Second::new(16)?;
    let run = second.of(Run::user("bdev").args(["/dev/vdb"]), machine, "").options(["--memory", "32M"]);
    run.limit(120).go().ends_with(0)?.says(" 0 did not")?;
    as_left(&second.bytes()?)
}

/// The same program holds under Linux: its checks are Linux's.
fn under_linux() -> Verdict {
    let second = Second::new(16)?;
    let outcome = second.of(Run::user("bdev").args(["/dev/vdb"]), "mmio", "").limit(120).go();
    let disk = outcome.disk().ok_or("no disk")?;
    let answers = linux::run_with(disk, &["/bin/bdev /dev/vdb"], &second.arguments("mmio", ""))?;
    let answer = answers.first().ok_or("no answer")?;
    ensure!(answer.status == 0, "under Linux: {}\n{}", answer.status, answer.output);
    as_left(&second.bytes()?)
}

/// A disk of blocks of 4 KiB refuses less, and says so.
fn large_blocks() -> Verdict {
    let second = Second::new(16)?;
    let blocks = ",logical_block_size=4096,physical_block_size=4096";
    let run = second.of(Run::user("ddbench").args(["/dev/vdb", "4", "1"]), "mmio", blocks);
    run.limit(120).go().ends_with(0)?.says("direct write, 4 KiB").map(drop)
}

/// Buffered writes of a disk far larger than the memory: the writer waits for the flusher.
fn more_than_the_memory() -> Verdict {
    let second = Second::new(96)?;
    let busybox = debian_arm64("bin/busybox").ok_or("no busybox")?;
    let args = "dd if=/dev/zero of=/dev/vdb bs=1M count=96".split(' ');
    fs::write(second.path(), vec![0xff; 96 * MIB]).map_err(|e| e.to_string())?;
    let run = second.of(Run::new(busybox).args(args), "mmio", "").options(["--memory", "32M"]);
    run.limit(240).go().ends_with(0)?;
    ensure!(second.bytes()?.iter().all(|&b| b == 0), "not everything was written at the last close");
    Ok(())
}

fn busybox(second: &Second, args: &str) -> Result<Outcome, String> {
    let busybox = debian_arm64("bin/busybox").ok_or("no busybox")?;
    Ok(second.of(Run::new(busybox).args(args.split(' ')), "mmio", "").limit(120).go())
}

/// dd around the cache and through it.
fn dd() -> Verdict {
    let second = Second::new(16)?;
    let noise: Vec<u8> = (0..16 * MIB).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    fs::write(second.path(), &noise).map_err(|e| e.to_string())?;
    busybox(&second, "dd if=/dev/vdb of=/dev/vdb bs=64k count=32 seek=128 iflag=direct oflag=direct")?
        .ends_with(0)?;
    busybox(&second, "dd if=/dev/vdb of=/dev/vdb bs=1000 count=1000 seek=10000 conv=fsync")?.ends_with(0)?;
    let mut want = noise;
    want.copy_within(0..32 * 65536, 128 * 65536);
    want.copy_within(0..1_000_000, 10_000_000);
    ensure!(second.bytes()? == want, "the disk is not what dd was told to make of it");
    Ok(())
}

fn busybox_tools() -> Verdict {
    let second = Second::new(16)?;
    fs::write(second.path(), vec![0xaa; 16 * MIB]).map_err(|e| e.to_string())?;
    busybox(&second, "blockdev --getsize64 /dev/vdb")?.ends_with(0)?.says("16777216")?;
    busybox(&second, "blockdev --getss /dev/vdb")?.ends_with(0)?.says("512")?;
    busybox(&second, "blkdiscard -o 1048576 -l 1048576 /dev/vdb")?.ends_with(0)?;
    let bytes = second.bytes()?;
    ensure!(bytes[MIB - 1] == 0xaa && bytes[2 * MIB] == 0xaa, "more was discarded than was asked for");
    ensure!(bytes[MIB..2 * MIB].iter().all(|&b| b == 0), "what was discarded is still there");
    partitioned(&second.path())?;
    busybox(&second, "fdisk -l /dev/vdb")?.ends_with(0)?.says("/dev/vdb1")?;
    busybox(&second, "dd if=/dev/vdb1 of=/dev/null bs=512 count=1")?.ends_with(0)?;
    busybox(&second, "blockdev --rereadpt /dev/vdb")?.ends_with(0).map(drop)
}

/// A table with one partition of 2048 sectors from 2048 on (MBR).
fn partitioned(disk: &Path) -> Verdict {
    let mut bytes = fs::read(disk).map_err(|e| e.to_string())?;
    bytes[..512].fill(0);
    bytes[446..462].copy_from_slice(&[0, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0]);
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    fs::write(disk, bytes).map_err(|e| e.to_string())
}
