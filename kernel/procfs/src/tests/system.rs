//! The form of every file about the system.

use super::*;

#[test]
fn one_liners() {
    let world = World::new();
    for (path, text) in [
        ("/proc/version", "Linux version 6.1.0-quill (a@b) (rustc) #1 Quill\n"),
        ("/proc/cmdline", "root=/dev/vda rw -- -v\n"),
        ("/proc/loadavg", "0.05 1.23 0.00 1/4 1\n"),
        ("/proc/sys/fs/file-max", "9223372036854775807\n"),
        ("/proc/sys/fs/nr_open", "1048576\n"),
        ("/proc/sys/kernel/hostname", "quill\n"),
        ("/proc/sys/kernel/domainname", "(none)\n"),
        ("/proc/sys/kernel/ostype", "Linux\n"),
        ("/proc/sys/kernel/osrelease", "6.1.0-quill\n"),
        ("/proc/sys/kernel/version", "#1 Quill\n"),
        ("/proc/sys/kernel/pid_max", "32768\n"),
        ("/proc/sys/vm/overcommit_memory", "0\n"),
        ("/proc/sys/vm/dirty_ratio", "20\n"),
        ("/proc/sys/vm/dirty_background_ratio", "10\n"),
        ("/proc/sys/vm/dirty_expire_centisecs", "3000\n"),
        ("/proc/sys/vm/dirty_writeback_centisecs", "500\n"),
    ] {
        assert_eq!(world.cat(path), text, "{path}");
    }
}

#[test]
fn uuids() {
    let world = World::new();
    let boot = "f0f0f0f0-f0f0-40f0-b0f0-f0f0f0f0f0f0\n";
    assert_eq!(world.cat("/proc/sys/kernel/random/boot_id"), boot);
    assert_eq!(world.cat("/proc/sys/kernel/random/uuid"), "f1f1f1f1-f1f1-41f1-b1f1-f1f1f1f1f1f1\n");
    assert_eq!(&world.cat("/proc/sys/kernel/random/uuid")[..8], "f2f2f2f2");
    assert_eq!(world.cat("/proc/sys/kernel/random/boot_id"), boot);
}

#[test]
fn filesystems_are_those_registered() {
    let world = World::new();
    static RAMFS: RamFsType = RamFsType;
    vfs::register_filesystem(&RAMFS);
    assert!(world.cat("/proc/filesystems").lines().any(|l| l == "nodev\tramfs"));
}

#[test]
fn cpuinfo() {
    let paragraph = |n, implementer, variant, part, revision| {
        std::format!(
            "processor\t: {n}\nBogoMIPS\t: 125.00\nFeatures\t: fp asimd\nCPU implementer\t: {implementer}\n\
             CPU architecture: 8\nCPU variant\t: {variant}\nCPU part\t: {part}\nCPU revision\t: {revision}\n\n"
        )
    };
    let expected = paragraph(0, "0x41", "0x0", "0xd08", 3) + &paragraph(1, "0x00", "0x1", "0x001", 5);
    assert_eq!(World::new().cat("/proc/cpuinfo"), expected);
}

#[test]
fn meminfo() {
    let text = World::new().cat("/proc/meminfo");
    let begin = "\
MemTotal:         262144 kB
MemFree:          102400 kB
MemAvailable:     184320 kB
Buffers:           10240 kB
Cached:            71680 kB
SwapCached:            0 kB
Active:            30720 kB
Inactive:          53248 kB
Active(anon):          0 kB
Inactive(anon):     2048 kB
Active(file):      30720 kB
Inactive(file):    51200 kB
Unevictable:           0 kB
Mlocked:               0 kB
SwapTotal:             0 kB
SwapFree:              0 kB
Dirty:              5120 kB
Writeback:             4 kB
AnonPages:          2048 kB
Mapped:             1024 kB
Shmem:                 0 kB
KReclaimable:          0 kB
Slab:               3072 kB
SReclaimable:          0 kB
SUnreclaim:         3072 kB
KernelStack:          64 kB
PageTables:           16 kB
";
    assert!(text.starts_with(begin), "{text}");
    assert!(text.contains("\nCommitLimit:      131072 kB\nCommitted_AS:      20480 kB\n"));
    assert!(text.lines().all(|l| l.len() == "MemTotal:         262144 kB".len()), "{text}");
}

#[test]
fn uptime_has_two_numbers_with_two_decimals() {
    let text = World::new().cat("/proc/uptime");
    let words: Vec<&str> = text.trim_end().split(' ').collect();
    assert_eq!(words.len(), 2);
    for word in &words {
        let (whole, part) = word.split_once('.').unwrap();
        assert!(whole.parse::<u64>().is_ok() && part.len() == 2 && part.parse::<u64>().is_ok(), "{text}");
    }
    assert_eq!(words[1], "100.75");
}

#[test]
fn stat() {
    let text = World::new().cat("/proc/stat");
    let (before, after) = text.split_once("btime ").unwrap();
    assert_eq!(
        before,
        "cpu  200 0 100 10025 50 1 0 0 0 0\ncpu0 200 0 100 10025 50 1 0 0 0 0\nintr 37 0 7 30\nctxt 99\n"
    );
    let (btime, rest) = after.split_once('\n').unwrap();
    assert!(btime.parse::<u64>().is_ok_and(|t| t > 1_600_000_000));
    assert_eq!(rest, "processes 6\nprocs_running 1\nprocs_blocked 2\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n");
}

#[test]
fn disks() {
    let world = World::new();
    assert_eq!(
        world.cat("/proc/partitions"),
        "major minor  #blocks  name\n\n 254        0       1024 vda\n 254       16       1024 vdb\n"
    );
    assert_eq!(
        world.cat("/proc/diskstats"),
        " 254       0 vda 1 2 3 4 5 6 7 8 15 16 17 9 10 11 12 13 14\n \
         254      16 vdb 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
    );
}
