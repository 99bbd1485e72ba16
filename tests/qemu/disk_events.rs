//! What happens to a disk while it is in use: it stops answering for a while, it grows, its cache is
//! switched on and off.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use qemu_tests::{Outcome, Run, Verdict, ensure};
use tempfile::TempDir;

use crate::trial;

/// Bytes of the second disk, at first.
const SIZE: u64 = 16 << 20;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("disk_events::hangs", || hangs("virtio-blk-device")),
        trial("disk_events::hangs_pci", || hangs("virtio-blk-pci")),
        trial("disk_events::grows", || grows("mmio", "virtio-blk-device")),
        trial("disk_events::grows_pci", || grows("pci", "virtio-blk-pci")),
        trial("disk_events::write_cache", write_cache),
        trial("disk_events::write_cache_without_a_switch", no_switch),
    ]
}

/// A second disk, vdb.
struct Second {
    dir: TempDir,
}

impl Second {
    fn new() -> Result<Second, String> {
        let second = Second { dir: TempDir::new().map_err(|e| e.to_string())? };
        let file = File::create(second.image()).map_err(|e| e.to_string())?;
        file.set_len(SIZE).map_err(|e| e.to_string())?;
        Ok(second)
    }

    fn image(&self) -> PathBuf {
        self.dir.path().join("vdb")
    }

    /// A run of `steps` that has it, as block node `d1`; `layers` come before the file.
    fn run(&self, layers: &str, device: &str, more: &[&str], steps: &str) -> Result<Outcome, String> {
        let file = self.image();
        let node = format!("node-name=d1,{layers}driver=file,{layers}filename={}", file.display());
        let node = if layers.is_empty() { node } else { format!("driver=throttle,throttle-group=g,{node}") };
        let device = format!("{device},drive=d1");
        let args = ["-blockdev", &node, "-device", &device].map(|arg| format!("--qemu-arg={arg}"));
        let run = Run::user("steps").options(more).options(args).args(steps.split(' ')).limit(100);
        let outcome = run.go().ends_with(0)?;
        ensure!(!outcome.stdout.contains("error"), "a step failed\n{outcome}");
        ensure!(!outcome.stderr.contains("panic"), "a panic\n{outcome}");
        Ok(outcome)
    }
}

/// Only so many bytes a second: after the first MiB, the next request waits for eight seconds.
const THROTTLE: [&str; 2] = ["--qemu-arg=-object", "--qemu-arg=throttle-group,id=g,x-bps-total=131072"];

/// A request that is not answered for long is named in the log, and goes on when the disk does.
fn hangs(device: &str) -> Verdict {
    let second = Second::new()?;
    let machine = if device.ends_with("pci") { "pci" } else { "mmio" };
    let more = [&THROTTLE[..], &["--machine", machine]].concat();
    let steps = "set /sys/block/vdb/queue/io_timeout 500 open /dev/vdb rwd write 1048576 1048576 1 \
                 write 4194304 4096 2 read 4194304 4096";
    let outcome = second.run("file.", device, &more, steps)?;
    let log = outcome.logs("vdb: Write at sector 8192, 8 sectors, not answered")?;
    log.says("read: 4096 [2]").map(drop)
}

/// QEMU's monitor, as a line of JSON for a line of JSON.
struct Monitor {
    stream: UnixStream,
    answers: BufReader<UnixStream>,
}

impl Monitor {
    /// Waits for the socket.
    fn connect(socket: &Path) -> std::io::Result<Monitor> {
        let begin = Instant::now();
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(error) if begin.elapsed() > Duration::from_secs(60) => return Err(error),
                Err(_) => thread::sleep(Duration::from_millis(20)),
            }
        };
        let answers = BufReader::new(stream.try_clone()?);
        let mut monitor = Monitor { stream, answers };
        monitor.say(r#"{"execute": "qmp_capabilities"}"#)?;
        Ok(monitor)
    }

    /// Says it, and waits for the answer to it.
    fn say(&mut self, command: &str) -> std::io::Result<()> {
        self.stream.write_all(command.as_bytes())?;
        loop {
            let mut line = String::new();
            self.answers.read_line(&mut line)?;
            if line.is_empty() || line.contains(r#""error""#) {
                return Err(std::io::Error::other(format!("{command}: {line}")));
            }
            if line.contains(r#""return""#) {
                return Ok(());
            }
        }
    }
}

/// Makes the disk twice as large as soon as its first byte is 1.
fn grow(image: &Path, socket: &Path) -> std::io::Result<()> {
    let mut monitor = Monitor::connect(socket)?;
    let begin = Instant::now();
    loop {
        let mut first = [0];
        File::open(image)?.read_exact(&mut first)?;
        if first == [1] {
            break;
        }
        if begin.elapsed() > Duration::from_secs(60) {
            return Err(std::io::Error::other("the guest does not write"));
        }
        thread::sleep(Duration::from_millis(20));
    }
    let resize = r#"{"execute": "block_resize", "arguments": {"node-name": "d1", "size": SIZE}}"#;
    monitor.say(&resize.replace("SIZE", &(2 * SIZE).to_string()))
}

/// A disk that grows while it is in use: the new room can be written at once.
fn grows(machine: &str, device: &str) -> Verdict {
    let second = Second::new()?;
    let (image, socket) = (second.image(), second.dir.path().join("qmp"));
    let qmp = format!("--qemu-arg=unix:{},server=on,wait=off", socket.display());
    let more = ["--log", "info", "--machine", machine, "--qemu-arg=-qmp", &qmp];
    let grower = thread::spawn(move || grow(&image, &socket));
    let twice = 2 * SIZE;
    let last = twice - 4096;
    let steps = format!(
        "open /dev/vdb rwd size write 0 4096 1 grown {twice} write {last} 4096 5 read {last} 4096 \
         get /sys/block/vdb/size"
    );
    let outcome = second.run("", device, &more, &steps);
    let grown = grower.join().map_err(|_| "the thread at the monitor panicked")?;
    let outcome = outcome?;
    grown.map_err(|e| format!("{e}\n{outcome}"))?;
    let outcome = outcome.says(&format!("size: {SIZE}\n"))?.says(&format!("grown: {twice}\n"))?;
    let outcome = outcome.says("read: 4096 [5]")?.says(&format!("{} get", twice / 512))?;
    let image = fs::read(second.image()).map_err(|e| e.to_string())?;
    ensure!(image.last() == Some(&5) && image.len() as u64 == twice, "the file lacks it\n{outcome}");
    outcome.logs("sectors now, no longer").map(drop)
}

const WRITES: &str = "write 0 4096 1 fsync get /sys/block/vdb/stat";

/// How many flushes the device had been sent at each look at `stat`: its 16th figure.
fn flushes(outcome: &Outcome) -> Vec<u64> {
    let looks = outcome.stdout.lines().filter(|line| line.contains("get:"));
    looks.filter_map(|line| line.split_whitespace().nth(15)?.parse().ok()).collect()
}

/// "write through" is told to the device, and spares the flushes.
fn write_cache() -> Verdict {
    let through = "/sys/block/vdb/queue/write_cache write_through";
    let back = "/sys/block/vdb/queue/write_cache write_back";
    let steps = format!("open /dev/vdb rw {WRITES} set {through} {WRITES} set {back} {WRITES}");
    let outcome = Second::new()?.run("", "virtio-blk-device", &[], &steps)?;
    // What was in the cache when it was turned off was flushed.
    ensure!(flushes(&outcome) == [1, 2, 3], "flushes: {:?}\n{outcome}", flushes(&outcome));
    Ok(())
}

/// A device without a cache and without the switch gets no flush.
fn no_switch() -> Verdict {
    let steps = format!("get /sys/block/vdb/queue/write_cache open /dev/vdb rw {WRITES}");
    let device = "virtio-blk-device,config-wce=off,write-cache=off";
    let outcome = Second::new()?.run("", device, &[], &steps)?.says("write through")?;
    ensure!(flushes(&outcome) == [0], "flushes: {:?}\n{outcome}", flushes(&outcome));
    Ok(())
}
