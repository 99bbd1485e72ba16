//! The form of every file about the system.

use super::*;

#[test]
fn one_liners() {
    let world = World::new();
    for (path, text) in [
        ("/proc/version", "Linux version 6.1.0-quill (a@b) (rustc) #1 Quill\n"),
        ("/proc/cmdline", "root=/dev/vda rw -- -v\n"),
        ("/proc/loadavg", "0.05 1.23 0.00 1/4 1\n"),
        ("/proc/sys/fs/aio-max-nr", "65536\n"),
        ("/proc/sys/fs/aio-nr", "0\n"),
        ("/proc/sys/fs/file-max", "9223372036854775807\n"),
        ("/proc/sys/fs/nr_open", "1048576\n"),
        ("/proc/sys/fs/pipe-max-size", "1048576\n"),
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
fn vmstat() {
    let text = World::new().cat("/proc/vmstat");
    for line in [
        "nr_free_pages 25600",
        "nr_inactive_anon 512",
        "nr_inactive_file 12800",
        "nr_active_file 7680",
        "nr_mapped 256",
        "nr_file_pages 20480",
        "nr_dirty 1280",
        "nr_writeback 1",
        "workingset_refault_file 42",
        "workingset_activate_file 43",
        "nr_dirtied 11",
        "nr_written 12",
        "nr_kernel_stack 64",
        "nr_dirty_threshold 13",
        "nr_dirty_background_threshold 14",
        "pgpgin 16",
        "pgpgout 18",
        "pswpin 0",
        "pgfault 23",
        "pgmajfault 3",
        "pgactivate 40",
        "pgsteal_kswapd 41",
        "pgscan_direct 0",
        "drop_pagecache 1",
        "drop_slab 2",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in {text}");
    }
    assert!(text.lines().all(|l| l.split(' ').count() == 2), "{text}");
}

#[test]
fn numbers_that_can_be_set() {
    let world = World::new();
    let set = |file: &str, text: &str| {
        let file = world.open(&std::format!("/proc/sys/vm/{file}"), OpenFlags::WRONLY).unwrap();
        world.write(&file, text.as_bytes())
    };
    // What Debian's Linux 6.1 answered to each.
    for (file, text, then) in [
        ("dirty_ratio", "30\n", Ok("30\n")),
        ("dirty_ratio", " 31 \n", Ok("31\n")),
        ("dirty_ratio", "32 33\n", Ok("32\n")),
        ("dirty_ratio", "0\n", Ok("0\n")),
        ("dirty_ratio", "101\n", Err(Errno::EINVAL)),
        ("dirty_ratio", "-1\n", Err(Errno::EINVAL)),
        ("dirty_ratio", "\n", Err(Errno::EINVAL)),
        ("dirty_ratio", "12x\n", Err(Errno::EINVAL)),
        ("dirty_ratio", "010\n", Ok("8\n")),
        ("dirty_bytes", "0\n", Err(Errno::EINVAL)),
        ("dirty_bytes", "8191\n", Err(Errno::EINVAL)),
        ("dirty_bytes", "8192\n", Ok("8192\n")),
        ("dirty_bytes", "99999999999\n", Ok("99999999999\n")),
        ("dirty_background_bytes", "0\n", Err(Errno::EINVAL)),
        ("dirty_background_bytes", "1\n", Ok("1\n")),
        ("dirty_expire_centisecs", "-1\n", Err(Errno::EINVAL)),
        ("dirty_expire_centisecs", "99999999999\n", Err(Errno::EINVAL)),
        ("dirty_expire_centisecs", "0x20\n", Ok("32\n")),
        ("dirty_writeback_centisecs", "-1\n", Ok("-1\n")),
        ("dirty_writeback_centisecs", "4294967296\n", Err(Errno::EINVAL)),
    ] {
        let before = world.cat(&std::format!("/proc/sys/vm/{file}"));
        assert_eq!(set(file, text), then.map(|_| text.len()), "{file} {text:?}");
        let after = world.cat(&std::format!("/proc/sys/vm/{file}"));
        assert_eq!(after, then.unwrap_or(&before), "{file} {text:?}");
    }
    for (text, then) in [("1\n", Ok(2)), ("4", Ok(1)), ("0", Err(Errno::EINVAL)), ("5", Err(Errno::EINVAL))] {
        assert_eq!(set("drop_caches", text), then, "{text}");
    }
    assert_eq!(world.try_open("/proc/sys/vm/drop_caches", RDONLY), err(Errno::EACCES));
}

#[test]
fn only_the_start_of_a_number_is_written() {
    let world = World::new();
    let file = world.open("/proc/sys/kernel/ctrl-alt-del", OpenFlags::WRONLY).unwrap();
    for text in ["0\n", "7\n"] {
        assert_eq!(world.write(&file, text.as_bytes()), Ok(2));
    }
    assert_eq!(world.cat("/proc/sys/kernel/ctrl-alt-del"), "0\n");
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

#[test]
fn each_journal_has_a_directory_with_what_it_tells() {
    let world = World::new();
    assert_eq!(world.ls("/proc/fs/jbd2").unwrap(), [".", "..", "vda-8", "vdb"]);
    assert_eq!(world.ls("/proc/fs/jbd2/vdb").unwrap(), [".", "..", "info"]);
    assert_eq!(world.cat("/proc/fs/jbd2/vda-8/info"), "3 transactions\n");
    assert_eq!(world.cat("/proc/fs/jbd2/vdb/info"), "7 transactions\n");
    assert_eq!(world.ls("/proc/fs/ext4").unwrap(), [".", "..", "vda"]);
    assert_eq!(world.ls("/proc/fs/ext4/vda").unwrap(), [".", "..", "fc_info"]);
    assert_eq!(world.cat("/proc/fs/ext4/vda/fc_info"), "3 fast commits\n");
    let refused = |path| world.try_open(path, RDONLY);
    assert_eq!(refused("/proc/fs/ext4/vda/info"), err(Errno::ENOENT));
    assert_eq!(refused("/proc/fs/jbd2/vdc"), err(Errno::ENOENT));
    assert_eq!(refused("/proc/fs/jbd2/vdb/other"), err(Errno::ENOENT));
}
