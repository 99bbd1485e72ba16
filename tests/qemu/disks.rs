//! Partitions, several disks, blocks of 4096 bytes, the RAM disk: what is seen of them, mounted, written
//! and checked afterwards by the host. The tables are made by the host's own `sfdisk` and `fdisk`.

use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use qemu_tests::{
    Outcome, Run, Verdict, debian_arm64, e2fsck_clean, ensure, has_tool, linux, mke2fs, partition, put,
    put_bytes, take_bytes, user_program,
};
use tempfile::TempDir;

use crate::trial;

pub fn trials() -> Vec<Trial> {
    let tests: [Named; 11] = [
        ("disks::root_on_an_mbr_partition", mbr_root),
        ("disks::root_on_a_gpt_partition_by_its_backup", gpt_root),
        ("disks::root_by_number_and_names_that_are_not_there", root_names),
        ("disks::blocks_of_4096_bytes", large_blocks),
        ("disks::three_disks_mmio", || three("mmio")),
        ("disks::three_disks_pci", || three("pci")),
        ("disks::partitions_end_where_they_end", ends),
        ("disks::proc_partitions_is_linuxs", as_linux),
        ("disks::a_table_is_read_anew", reread),
        ("disks::ram_disk", ram_disk),
        ("disks::root_on_the_ram_disk", ram_root),
    ];
    let possible = debian_arm64("bin/busybox").is_some() && has_tool("sfdisk") && has_tool("fdisk");
    let as_linux_possible = possible && linux::available();
    let ignored = |name: &str| if name.contains("linux") { !as_linux_possible } else { !possible };
    tests.into_iter().map(|(name, test)| trial(name, test).with_ignored_flag(ignored(name))).collect()
}

/// A test by name.
type Named = (&'static str, fn() -> Verdict);

const SECTOR: u64 = 512;
/// Where the partition with the file system begins, and its size.
const ROOT_AT: u64 = 20480 * SECTOR;
const ROOT_SIZE: u64 = 32 << 20;

/// One primary, the root, and two logical partitions.
const MBR: &str = "label: dos\nlabel-id: 0x1234abcd\n\
                   start=2048, size=18432, type=83\nstart=20480, size=65536, type=83\n\
                   start=86016, size=30720, type=5\n\
                   start=88064, size=2048, type=83\nstart=92160, size=4096, type=83\n";
const GPT: &str = "label: gpt\nstart=2048, size=18432, name=first\n\
                   start=20480, size=65536, name=root, uuid=01234567-89AB-CDEF-0123-456789ABCDEF\n\
                   7: start=86016, size=2048\n";

/// Images in a folder that goes with them.
struct Images(TempDir);

impl Images {
    fn new() -> Result<Images, String> {
        TempDir::new().map(Images).map_err(|e| e.to_string())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A file of zeros.
    fn blank(&self, name: &str, size: u64) -> Result<PathBuf, String> {
        let path = self.path(name);
        let file = fs::File::create(&path).map_err(|e| e.to_string())?;
        file.set_len(size).map_err(|e| e.to_string())?;
        Ok(path)
    }

    /// An ext4 file system with a program in /bin.
    fn file_system(&self, name: &str, program: &Path, block: u32) -> Result<PathBuf, String> {
        let tree = self.path("tree");
        fs::create_dir_all(tree.join("bin")).map_err(|e| e.to_string())?;
        for dir in ["dev", "proc"] {
            fs::create_dir_all(tree.join(dir)).map_err(|e| e.to_string())?;
        }
        let name_there = program.file_name().ok_or("no name")?;
        fs::copy(program, tree.join("bin").join(name_there)).map_err(|e| e.to_string())?;
        let image = self.path(name);
        let block = block.to_string();
        mke2fs(&image, ROOT_SIZE, &["-t", "ext4", "-b", &block, "-d", &tree.to_string_lossy()])?;
        Ok(image)
    }

    fn busybox(&self) -> Result<PathBuf, String> {
        self.file_system("root", &debian_arm64("bin/busybox").ok_or("no busybox")?, 4096)
    }

    /// A disk of 64 MiB with this table and a root file system with busybox in its second partition.
    fn partitioned(&self, script: &str) -> Result<PathBuf, String> {
        let disk = self.blank("disk", 64 << 20)?;
        partition(&disk, &["sfdisk", "-q"], script)?;
        put(&disk, ROOT_AT, &self.busybox()?)?;
        Ok(disk)
    }

    /// What is in the partition with the file system now is clean.
    fn root_is_clean(&self, disk: &Path) -> Result<PathBuf, String> {
        let after = self.path("after");
        fs::write(&after, take_bytes(disk, ROOT_AT, ROOT_SIZE)?).map_err(|e| e.to_string())?;
        e2fsck_clean(&after)?;
        Ok(after)
    }
}

/// Busybox of the root file system, with these disks alone.
fn busybox(drives: &[String], append: &str, command: &str) -> Outcome {
    busybox_on("mmio", drives, append, command)
}

fn busybox_on(machine: &str, drives: &[String], append: &str, command: &str) -> Outcome {
    let mut run = Run::new(":/bin/busybox").options(["--no-disk", "--machine", machine, "--log", "info"]);
    for drive in drives {
        run = run.options(["--drive", drive]);
    }
    run.options(["--append", append]).args(command.split(' ')).limit(120).go_without_disk()
}

fn drive(path: &Path, more: &str) -> String {
    format!("{}{more}", path.display())
}

fn ends_with(outcome: Outcome, status: i32, text: &str) -> Result<Outcome, String> {
    ensure!(outcome.status == status, "status {}, want {status}\n{outcome}", outcome.status);
    ensure!(!outcome.stderr.contains("panic"), "a panic\n{outcome}");
    if outcome.stdout.contains(text) { Ok(outcome) } else { outcome.logs(text) }
}

/// The lines of /proc/partitions, fields parted by single spaces.
fn partitions(text: &str) -> Vec<String> {
    let fields = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    text.lines().skip(2).map(fields).collect()
}

fn mbr_root() -> Verdict {
    let images = Images::new()?;
    let disk = images.partitioned(MBR)?;
    let drives = [drive(&disk, ",serial=Q1")];
    let seen = ends_with(busybox(&drives, "root=/dev/vda2 rd_nr=0", "cat /proc/partitions"), 0, "vda6")?;
    let want = [
        "254 0 65536 vda",
        "254 1 9216 vda1",
        "254 2 32768 vda2",
        "254 3 1 vda3",
        "254 5 1024 vda5",
        "254 6 2048 vda6",
    ];
    ensure!(partitions(&seen.stdout) == want, "{seen}");
    seen.logs("vda: vda1 vda2 vda3 vda5 vda6")?;
    let root = "root=PARTUUID=1234ABCD-02";
    ends_with(busybox(&drives, root, "dd if=/dev/urandom of=/new bs=64k count=64 conv=fsync"), 0, "")?;
    let copy = "dd if=/bin/busybox of=/dev/vda5 bs=4k count=256 conv=fsync";
    ends_with(busybox(&drives, root, copy), 0, "256+0 records out")?;
    ends_with(busybox(&drives, root, "cp /bin/busybox /dev/vda5"), 1, "No space left on device")?;
    ends_with(busybox(&drives, root, "grep vda /proc/mounts"), 0, "/dev/vda2 / ext4")?;
    let after = images.root_is_clean(&disk)?;
    let new = qemu_tests::debugfs(&after, "stat /new");
    ensure!(new.contains("Size: 4194304"), "{new}");
    // The logical partition has the head of the program, and the EBR behind it is whole.
    let copied = take_bytes(&disk, 88064 * SECTOR, 2048 * SECTOR)?;
    let busybox = fs::read(debian_arm64("bin/busybox").ok_or("no busybox")?).map_err(|e| e.to_string())?;
    ensure!(busybox.starts_with(&copied), "/dev/vda5 has something else");
    ensure!(take_bytes(&disk, 90112 * SECTOR + 510, 2)? == [0x55, 0xaa], "the second EBR is overwritten");
    Ok(())
}

fn gpt_root() -> Verdict {
    let images = Images::new()?;
    let disk = images.partitioned(GPT)?;
    let root = "root=PARTUUID=01234567-89ab-cdef-0123-456789abcdef rd_nr=0";
    let cat = "cat /proc/partitions";
    let whole = ends_with(busybox(&[drive(&disk, "")], root, cat), 0, "vda7")?;
    ensure!(!whole.stderr.contains("GPT"), "{whole}");
    put_bytes(&disk, SECTOR + 40, b"not a header")?;
    let damaged = ends_with(busybox(&[drive(&disk, "")], root, cat), 0, "its backup is used")?;
    ensure!(damaged.stdout == whole.stdout, "{damaged}");
    let written =
        busybox(&[drive(&disk, "")], "root=PARTLABEL=root", "dd if=/dev/zero of=/new bs=1M count=4");
    ends_with(written, 0, "wrong checksum of the header")?;
    images.root_is_clean(&disk)?;
    put_bytes(&disk, (64 << 20) - SECTOR + 40, b"nor this")?;
    ends_with(busybox(&[drive(&disk, "")], root, cat), 125, "no partitions: the primary GPT is damaged")
        .map(drop)
}

fn root_names() -> Verdict {
    let images = Images::new()?;
    let disk = images.partitioned(MBR)?;
    let drives = [drive(&disk, "")];
    for root in ["254:2", "fe02", "PARTUUID=1234abcd-01/PARTNROFF=1"] {
        ends_with(busybox(&drives, &format!("root={root}"), "echo it runs"), 0, "it runs")?;
    }
    let missing =
        ends_with(busybox(&drives, "root=/dev/vda9", "true"), 125, "root=/dev/vda9: there is no such disk")?;
    missing.logs("/dev/vda2 (PARTUUID=1234abcd-02)")?;
    ends_with(busybox(&drives, "root=UUID=1234", "true"), 125, "PARTUUID= is").map(drop)
}

fn large_blocks() -> Verdict {
    let images = Images::new()?;
    let root = images.busybox()?;
    let write = "dd if=/dev/urandom of=/new bs=100k count=40 conv=fsync";
    let blocks = ",logical_block_size=4096,physical_block_size=4096";
    ends_with(busybox(&[drive(&root, blocks)], "root=/dev/vda", write), 0, "blocks of 4096 bytes")?;
    e2fsck_clean(&root)?;
    ends_with(busybox(&[drive(&root, blocks)], "root=/dev/vda", "blockdev --getss /dev/vda"), 0, "4096")?;
    // Blocks of the file system that are smaller than the disk's cannot be.
    let small = images.file_system("small", &debian_arm64("bin/busybox").ok_or("no busybox")?, 1024)?;
    ends_with(busybox(&[drive(&small, blocks)], "root=/dev/vda", write), 125, "cannot be mounted")?;
    // The same numbers as in `GPT`, in larger units.
    let disk = images.blank("disk", 64 << 20)?;
    partition(&disk, &["fdisk", "-b", "4096"], "g\nn\n1\n256\n2559\nn\n2\n2560\n10751\nw\n")?;
    put(&disk, ROOT_AT, &images.busybox()?)?;
    let drives = [drive(&disk, blocks)];
    let seen = ends_with(busybox(&drives, "root=/dev/vda2 rd_nr=0", "cat /proc/partitions"), 0, "vda2")?;
    ensure!(partitions(&seen.stdout) == ["254 0 65536 vda", "254 1 9216 vda1", "254 2 32768 vda2"], "{seen}");
    ends_with(busybox(&drives, "root=/dev/vda2", write), 0, "")?;
    images.root_is_clean(&disk).map(drop)
}

fn three(machine: &str) -> Verdict {
    let images = Images::new()?;
    let (root, b) = (images.busybox()?, images.blank("b", 3 << 20)?);
    let (c, random) =
        (images.blank("c", 5 << 20)?, "dd if=/dev/urandom of=/dev/vdb bs=64k count=48 conv=fsync");
    put_bytes(&c, 0, &[7; 4096])?;
    let before = fs::read(&c).map_err(|e| e.to_string())?;
    let drives = [drive(&root, ""), drive(&b, ",serial=B"), drive(&c, ",readonly,serial=C")];
    let run = |command| busybox_on(machine, &drives, "root=/dev/vda rd_nr=0", command);
    let seen = ends_with(run("cat /proc/partitions"), 0, "vdc")?;
    let want = ["254 0 32768 vda", "254 16 3072 vdb", "254 32 5120 vdc"];
    ensure!(partitions(&seen.stdout) == want, "{seen}");
    ends_with(run(random), 0, "48+0 records out")?;
    ensure!(fs::read(&b).is_ok_and(|bytes| bytes.iter().any(|&byte| byte != 0)), "/dev/vdb was not written");
    ends_with(run("cmp -n 3145728 /dev/vdb /dev/vdb"), 0, "")?;
    ends_with(run("blockdev --getro /dev/vdc"), 0, "1")?;
    ends_with(run("dd if=/bin/busybox of=/dev/vdc bs=4k count=1"), 1, "Operation not permitted")?;
    ensure!(fs::read(&c).is_ok_and(|after| after == before), "the read-only disk has changed");
    e2fsck_clean(&root)
}

/// A partition is a device with an end of its own.
fn ends() -> Verdict {
    let images = Images::new()?;
    let disk = images.blank("disk", 64 << 20)?;
    partition(&disk, &["sfdisk", "-q"], MBR)?;
    let drives = [drive(&images.busybox()?, ""), drive(&disk, "")];
    let run = |command| busybox(&drives, "root=/dev/vda", command);
    ends_with(run("blockdev --getsize64 /dev/vdb5"), 0, "1048576")?;
    ends_with(
        run("dd if=/bin/busybox of=/dev/vdb5 bs=4k seek=255 count=1 conv=fsync"),
        0,
        "1+0 records out",
    )?;
    ends_with(run("dd if=/bin/busybox of=/dev/vdb5 bs=4k seek=256 count=1"), 1, "No space left on device")?;
    ends_with(run("dd if=/dev/vdb5 of=/dev/null bs=4k skip=255"), 0, "1+0 records in")?;
    let written = take_bytes(&disk, 88064 * SECTOR + 255 * 4096, 4)?;
    ensure!(written == *b"\x7fELF", "{written:?}");
    ensure!(take_bytes(&disk, 90112 * SECTOR, 4)? == [0; 4], "written past the end");
    let stats = ends_with(run("grep vdb5 /proc/diskstats"), 0, "vdb5")?;
    ensure!(stats.stdout.split_whitespace().count() == 20, "{stats}");
    Ok(())
}

/// The second disk's lines are what Linux shows for the same image.
fn as_linux() -> Verdict {
    for script in [MBR, GPT] {
        let images = Images::new()?;
        let disk = images.blank("disk", 64 << 20)?;
        partition(&disk, &["sfdisk", "-q"], script)?;
        let root = images.busybox()?;
        let quill =
            busybox(&[drive(&root, ""), drive(&disk, "")], "root=/dev/vda rd_nr=0", "cat /proc/partitions");
        ensure!(quill.status == 0, "{quill}");
        let more = format!("if=none,id=more,format=raw,file={}", disk.display());
        let device = ["-drive", &more, "-device", "virtio-blk-device,drive=more"].map(str::to_owned);
        let answers = linux::run_with(&root, &["/bin/busybox cat /proc/partitions"], &device)?;
        ensure!(quill.stdout == answers[0].output, "Quill\n{}\nLinux\n{}", quill.stdout, answers[0].output);
    }
    Ok(())
}

/// The program writes a table and has it read; the node in /dev comes, and goes again.
fn reread() -> Verdict {
    let images = Images::new()?;
    let disk = images.blank("disk", 4 << 20)?;
    let run = Run::user("reread").options(["--drive", &drive(&disk, "")]).args(["/dev/vdb"]);
    run.limit(120).go().ends_with(0)?.says(" 0 did not")?;
    ensure!(take_bytes(&disk, 2048 * SECTOR, 512)? == [7; 512], "the partition was not written");
    Ok(())
}

fn ram_disk() -> Verdict {
    let images = Images::new()?;
    let drives = [drive(&images.busybox()?, "")];
    let run = |append: &str, command| busybox(&drives, &format!("root=/dev/vda {append}"), command);
    let write = "dd if=/dev/zero of=/dev/ram0 bs=64k";
    ends_with(run("", write), 1, "64+0 records out")?;
    ends_with(run("", "blockdev --getsize64 /dev/ram0"), 0, "4194304")?;
    ends_with(run("ramdisk_size=8192 rd_nr=3", "blockdev --getsize64 /dev/ram2"), 0, "8388608")?;
    ends_with(run("rd_nr=0", "ls /dev/ram0"), 1, "No such file")?;
    // Far more than there is memory: it is taken as it is written.
    let sparse = "dd if=/bin/busybox of=/dev/ram0 bs=4k count=1 seek=100000000";
    ends_with(run("ramdisk_size=1000000000", sparse), 0, "1+0 records out").map(drop)
}

/// The whole way: an image in memory is the root, is changed, and is copied to where e2fsck is.
fn ram_root() -> Verdict {
    let images = Images::new()?;
    let root = images.file_system("root", &user_program("ramcopy"), 4096)?;
    let before = fs::read(&root).map_err(|e| e.to_string())?;
    let copy = images.blank("copy", ROOT_SIZE)?;
    let root_option = root.to_string_lossy().into_owned();
    let run = Run::new(":/bin/ramcopy").options(["--ramdisk", "--log", "info", "--disk", &root_option]);
    let run = run.options(["--drive", &drive(&copy, "")]).args(["/dev/ram0", "/dev/vda"]).limit(120);
    let outcome = run.go_without_disk().says("copied 33554432 bytes")?.says(" 0 did not")?;
    ensure!(outcome.status == 0, "{outcome}");
    let outcome = outcome.logs("ram0: 32768 KiB loaded")?;
    ensure!(fs::read(&root).is_ok_and(|after| after == before), "the image has changed\n{outcome}");
    e2fsck_clean(&copy)?;
    let numbers = qemu_tests::debugfs(&copy, "stat /made/numbers");
    ensure!(numbers.contains("Size: 1572864"), "{numbers}");
    let gone = qemu_tests::debugfs(&copy, "stat /made/gone");
    ensure!(gone.contains("not found"), "{gone}");
    Ok(())
}
