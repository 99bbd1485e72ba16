//! What a mount, writes and an unmount leave in the superblock and the descriptors.

use std::sync::atomic::{AtomicU32, Ordering};

use base::Errno;
use sim::{Image, Machine, Options};
use vfs::{Cred, OpenFlags};

fn u16_at(image: &Image, at: usize) -> u16 {
    u16::from_le_bytes(image.bytes[1024 + at..1024 + at + 2].try_into().unwrap())
}

fn u32_at(image: &Image, at: usize) -> u32 {
    u32::from_le_bytes(image.bytes[1024 + at..1024 + at + 4].try_into().unwrap())
}

const MTIME: usize = 0x2c;
const MNT_COUNT: usize = 0x34;
const STATE: usize = 0x3a;
const KBYTES: usize = 0x178;
const INCOMPAT: usize = 0x60;
const RECOVER: u32 = 4;

#[test]
fn state_counts_and_times() {
    let before = Image::mkfs(16 << 20, &[]).unwrap();
    let machine = Machine::mount(&before).unwrap();
    let mounted = machine.snapshot();
    assert_eq!(u16_at(&mounted, STATE) & 1, 1, "the journal answers for it");
    assert_eq!(u32_at(&mounted, INCOMPAT) & RECOVER, RECOVER, "in use");
    assert_eq!(u16_at(&mounted, MNT_COUNT), u16_at(&before, MNT_COUNT) + 1);
    assert!(u32_at(&mounted, MTIME) > u32_at(&before, MTIME));
    machine.write_file("/f", &[7; 3 << 20]).unwrap();
    let after = machine.unmount().unwrap();
    assert_eq!(u16_at(&after, STATE), 1, "clean");
    assert_eq!(u32_at(&after, INCOMPAT) & RECOVER, 0, "not in use");
    assert!(u32_at(&after, KBYTES) >= u32_at(&before, KBYTES) + 3072);
    assert_eq!(after.stat_field("Last mounted on").unwrap(), "/");
    after.fsck().unwrap();
}

#[test]
fn what_was_not_clean_does_not_become_clean() {
    let unclean = Image::mkfs(8 << 20, &["-O", "^has_journal"]).unwrap().changed("dirty").unwrap();
    let machine = Machine::mount(&unclean).unwrap();
    machine.create("/f", 0o644).unwrap();
    let after = machine.unmount().unwrap();
    assert_eq!(u16_at(&after, STATE) & 1, 0);
    after.repaired().unwrap().fsck().unwrap();
}

#[test]
fn backups_are_left_alone() {
    let before = Image::mkfs(64 << 20, &["-b", "1024"]).unwrap();
    let machine = Machine::mount(&before).unwrap();
    for i in 0..200 {
        machine.write_file(format!("/f{i}"), &[1; 5000]).unwrap();
    }
    let after = machine.unmount().unwrap();
    after.fsck().unwrap();
    for group in [1, 3, 5, 7] {
        let at = (1 + group * 8192) * 1024;
        let range = at..at + 2 * 1024;
        assert_eq!(before.bytes[range.clone()], after.bytes[range], "group {group}");
    }
}

/// mke2fs over a disk full of old bytes, with lazy tables: what was never used must not be believed.
#[test]
fn tables_full_of_old_bytes() {
    for args in [
        &["-b", "1024", "-E", "lazy_itable_init=1,nodiscard"][..],
        &["-b", "4096", "-E", "lazy_itable_init=1,nodiscard", "-g", "2048"][..],
        &["-b", "1024", "-O", "^metadata_csum,uninit_bg", "-E", "lazy_itable_init=1,nodiscard"][..],
    ] {
        let old = Image { bytes: (0..32u32 << 20).map(|i| (i % 251) as u8 | 1).collect() };
        let made = old.as_file(|path| {
            mke2fs(path, args);
            Ok(Image { bytes: std::fs::read(path)? })
        });
        let machine = Machine::mount(&made.unwrap()).unwrap();
        for d in 0..8 {
            machine.mkdir(format!("/d{d}")).unwrap();
            for f in 0..60 {
                machine.write_file(format!("/d{d}/f{f}"), &vec![d as u8; f * 100]).unwrap();
            }
        }
        let after = machine.unmount().unwrap();
        after.fsck().unwrap();
        assert_eq!(after.cat("/d7/f59").unwrap(), vec![7; 5900]);
    }
}

fn mke2fs(path: &std::path::Path, args: &[&str]) {
    let sbin = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let done = std::process::Command::new("mke2fs")
        .env("PATH", sbin)
        .args(["-q", "-F", "-t", "ext4"])
        .args(args)
        .arg(path)
        .status()
        .unwrap();
    assert!(done.success());
}

#[test]
fn meta_block_groups() {
    let made = Image::mkfs(64 << 20, &["-b", "1024", "-O", "meta_bg,^resize_inode", "-g", "1024"]).unwrap();
    let machine = Machine::mount(&made).unwrap();
    for i in 0..40 {
        machine.mkdir(format!("/d{i}")).unwrap();
        machine.write_file(format!("/d{i}/f"), &[i; 100_000]).unwrap();
    }
    machine.unmount().unwrap().fsck().unwrap();
}

#[test]
fn sparse_super2_and_flex_groups_of_many_sizes() {
    for args in [
        &["-b", "1024", "-O", "sparse_super2", "-g", "1024"][..],
        &["-b", "1024", "-G", "4", "-g", "1024"][..],
        &["-b", "1024", "-G", "64", "-g", "1024"][..],
        &["-b", "1024", "-O", "metadata_csum_seed"][..],
    ] {
        let machine = Machine::mount(&Image::mkfs(24 << 20, args).unwrap()).unwrap();
        for i in 0..30 {
            machine.mkdir(format!("/d{i}")).unwrap();
            machine.write_file(format!("/d{i}/f"), &[i; 70_000]).unwrap();
        }
        for i in 0..30 {
            machine.unlink(format!("/d{i}/f")).unwrap();
        }
        machine.unmount().unwrap().fsck().unwrap();
    }
}

#[test]
fn statfs_as_linux_computes_it() {
    let image = Image::mkfs(64 << 20, &["-b", "4096"]).unwrap();
    let field = |name: &str| image.stat_field(name).unwrap().parse::<u64>().unwrap();
    let (blocks, overhead) = (field("Block count"), field("Overhead clusters"));
    let (free, reserved) = (field("Free blocks"), field("Reserved block count"));
    let inodes = (field("Inode count"), field("Free inodes"));
    let machine = Machine::mount(&image).unwrap();
    let s = machine.statfs().unwrap();
    assert_eq!((s.magic, s.block_size, s.name_max), (0xef53, 4096, 255));
    assert_eq!(s.blocks, blocks - overhead);
    assert_eq!(s.blocks_free, free);
    assert_eq!(s.blocks_available, free - reserved - blocks / 50);
    assert_eq!((s.files, s.files_free), inodes);
    machine.unmount().unwrap();
    let minix = Options { options: "minixdf".into(), ..Options::default() };
    assert_eq!(Machine::mount_with(&image, &minix).unwrap().statfs().unwrap().blocks, blocks);
}

#[test]
fn the_last_blocks_are_for_root() {
    let image = Image::mkfs(8 << 20, &["-b", "1024", "-m", "20"]).unwrap();
    let mut machine = Machine::mount(&image).unwrap();
    machine.mkdir_mode("/d", 0o777).unwrap();
    machine.set_cred(Cred::user(1000, 1000));
    let user = base::user::FakeUser::new(0, 50_000);
    let account = vfs::read_write::IoAccounting::new();
    let io = vfs::read_write::Io { memory: &user, account: &account, fsize_limit: u64::MAX, capable: false };
    let file = machine.open("/d/user", OpenFlags::CREAT | OpenFlags::WRONLY, 0o644).unwrap();
    let end = loop {
        if let Err(e) = vfs::read_write::write(&io, &file, base::UserAddr(0), 50_000) {
            break e;
        }
    };
    assert_eq!(end, Errno::ENOSPC);
    drop(file);
    let s = machine.statfs().unwrap();
    assert_eq!(s.blocks_available, 0);
    assert!(s.blocks_free > 8192 / 5);
    machine.set_cred(Cred::ROOT);
    assert_eq!(machine.write_file("/d/root", &[1; 500_000]), Ok(()));
    let machine = {
        let mut n = 0;
        let end = loop {
            if let Err(e) = machine.write_file(format!("/d/r{n}"), &[1; 50_000]) {
                break e;
            }
            n += 1;
        };
        assert_eq!(end, Errno::ENOSPC);
        machine
    };
    machine.unmount().unwrap().fsck().unwrap();
}

#[test]
fn an_error_is_noted_and_ends_writing() {
    let image = Image::mkfs(8 << 20, &["-b", "1024"]).unwrap();
    let machine = Machine::mount(&image).unwrap();
    machine.write_file("/f", &[1; 5000]).unwrap();
    let mut image = machine.unmount().unwrap();
    // Another generation in the inode: its checksum does not match any more.
    let table: usize = image
        .debugfs("imap /f")
        .unwrap()
        .split("block ")
        .nth(2)
        .and_then(|s| s.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok())
        .unwrap();
    let offset = image.debugfs("imap /f").unwrap();
    let offset = usize::from_str_radix(offset.trim().rsplit("0x").next().unwrap(), 16).unwrap();
    image.bytes[table * 1024 + offset + 0x64] ^= 1;
    for (policy, writable) in [("errors=continue", true), ("errors=remount-ro", false)] {
        let options = Options { options: policy.into(), ..Options::default() };
        let machine = Machine::mount_with(&image, &options).unwrap();
        assert_eq!(machine.stat("/f").err(), Some(Errno::EUCLEAN));
        assert_eq!(machine.create("/g", 0o644).is_ok(), writable, "{policy}");
        let after = machine.give_up();
        assert_ne!(u16_at(&after, STATE) & 2, 0, "{policy}: EXT4_ERROR_FS");
        assert_eq!(u32_at(&after, 0x194), 1, "{policy}: s_error_count");
        assert_eq!(after.stat_field("First error err").unwrap(), "EFSCORRUPTED");
        assert_eq!(after.stat_field("Last error inode #").unwrap(), "12");
        assert!(after.stat_field("Last error function").unwrap().contains("i_checksum"), "{policy}");
        assert_ne!(after.stat_field("Last error line #").unwrap(), "0");
        let machine = Machine::mount_with(&after, &options).unwrap();
        let log = sim::take_log().join("\n");
        assert!(log.contains("error count since last fsck: 1") && log.contains("inode 12"), "{log}");
        machine.give_up();
    }
}

/// Threads on one file and on many: appends never mix, counters come out right.
#[test]
fn threads() {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let image = Image::mkfs(32 << 20, &["-b", "1024"]).unwrap();
    let machine = Machine::mount(&image).unwrap();
    machine.create("/log", 0o644).unwrap();
    std::thread::scope(|scope| {
        for t in 0..4u8 {
            let machine = &machine;
            scope.spawn(move || {
                machine.mkdir(format!("/t{t}")).unwrap();
                for i in 0..50usize {
                    machine.append("/log", &[b'a' + t; 700]).unwrap();
                    let path = format!("/t{t}/f{i}");
                    machine.write_file(&path, &vec![t; i * 1000]).unwrap();
                    machine.truncate(&path, i as u64 * 500).unwrap();
                    if i % 3 == 0 {
                        machine.unlink(&path).unwrap();
                    }
                    if i % 10 == 0 {
                        machine.fsync("/log").unwrap();
                    }
                    NEXT.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let log = machine.read_file("/log").unwrap();
    assert_eq!(log.len(), 4 * 50 * 700);
    for record in log.chunks(700) {
        assert!(record.iter().all(|b| *b == record[0]));
    }
    machine.unmount().unwrap().fsck().unwrap();
}

#[test]
#[should_panic(expected = "errors=panic")]
fn the_option_that_asks_for_a_panic() {
    let mut image = Image::mkfs(8 << 20, &["-b", "1024"]).unwrap();
    // The first data block of lost+found's directory: its checksum breaks.
    let block: usize =
        image.debugfs("blocks /lost+found").unwrap().split_whitespace().next().unwrap().parse().unwrap();
    image.bytes[block * 1024] ^= 1;
    let options = Options { options: "errors=panic".into(), ..Options::default() };
    let machine = Machine::mount_with(&image, &options).unwrap();
    let _ = machine.read_dir("/lost+found");
}

#[test]
fn remounts() {
    let image = Image::mkfs(8 << 20, &["-b", "1024"]).unwrap();
    let options = Options { read_only: true, ..Options::default() };
    let machine = Machine::mount_with(&image, &options).unwrap();
    let sb = machine.vfs_mount().superblock();
    sb.remount(vfs::MountFlags::empty(), "").unwrap();
    assert_eq!(u32_at(&machine.snapshot(), INCOMPAT) & RECOVER, RECOVER);
    let root = sb.root();
    let file = root.as_directory().unwrap().create(b"f", 0o644, &Cred::ROOT).unwrap();
    drop((file, root));
    sb.remount(vfs::MountFlags::RDONLY, "").unwrap();
    let clean = machine.snapshot();
    assert_eq!(u16_at(&clean, STATE), 1);
    assert_eq!(u32_at(&clean, INCOMPAT) & RECOVER, 0);
    clean.fsck().unwrap();
    assert!(clean.debugfs("ls /").unwrap().contains(" f "));
    assert_eq!(sb.remount(vfs::MountFlags::empty(), "nonsense"), Err(Errno::EINVAL));
    machine.give_up();
}

/// Without large_file the first file of 2 GiB switches it on.
#[test]
fn the_first_large_file() {
    let image = Image::mkfs(8 << 20, &["-b", "4096", "-O", "^large_file,^huge_file"]).unwrap();
    let machine = Machine::mount(&image).unwrap();
    machine.create("/f", 0o644).unwrap();
    machine.pwrite("/f", 3 << 30, b"x").unwrap();
    let after = machine.unmount().unwrap();
    after.fsck().unwrap();
    assert!(after.stat_field("Filesystem features").unwrap().contains("large_file"));
}

/// `mount -o remount,abort` ends writing and says so on the disk.
#[test]
fn abort_forced_by_user() {
    let machine = Machine::mount(&Image::mkfs(8 << 20, &["-b", "1024"]).unwrap()).unwrap();
    machine.create("/f", 0o644).unwrap();
    // It cannot be writable any more, which the same call asks for: Linux answers the same.
    let sb = machine.vfs_mount().superblock();
    assert_eq!(sb.remount(vfs::MountFlags::empty(), "abort"), Err(Errno::EROFS));
    assert_eq!(machine.create("/g", 0o644), Err(Errno::EROFS));
    let after = machine.give_up();
    assert_eq!(after.stat_field("Last error err").unwrap(), "ESHUTDOWN");
}

/// mke2fs counts the overhead; where it did not, the first mount does, and comes to the same.
#[test]
fn overhead_is_counted_once() {
    for args in [
        &["-b", "1024"][..],
        &["-b", "4096", "-O", "^flex_bg"],
        &["-O", "^has_journal,meta_bg,^resize_inode"],
    ] {
        let made = Image::mkfs(64 << 20, args).unwrap();
        let want = u32_at(&made, 0x248);
        assert_ne!(want, 0);
        let without = made.changed("ssv overhead_clusters 0").unwrap();
        let after = Machine::mount(&without).unwrap().unmount().unwrap();
        assert_eq!(u32_at(&after, 0x248), want, "{args:?}");
        after.fsck().unwrap();
    }
}

/// A mount in use must not look clean to who finds the copies: they are not written at all.
#[test]
fn backups_of_sparse_super2_are_left_alone() {
    let made = Image::mkfs(64 << 20, &["-b", "1024", "-O", "sparse_super2,^resize_inode"]).unwrap();
    let groups: Vec<usize> = made
        .stat_field("Backup block groups")
        .unwrap()
        .split_whitespace()
        .map(|n| n.parse().unwrap())
        .collect();
    assert_eq!(groups.len(), 2);
    let machine = Machine::mount(&made).unwrap();
    machine.write_file("/f", &vec![1; 40 << 20]).unwrap();
    let after = machine.unmount().unwrap();
    after.fsck().unwrap();
    for group in groups {
        let at = (1 + group * 8192) * 1024;
        assert_eq!(made.bytes[at..at + 2048], after.bytes[at..at + 2048], "group {group}");
    }
}

/// Fills the disk as somebody; how much of it was free then.
fn left_by(machine: &mut Machine, cred: Cred) -> u64 {
    machine.set_cred(cred);
    for n in 0.. {
        if machine.write_file(format!("/d/f{n}"), &[1; 100_000]).is_err() {
            break;
        }
    }
    let left = machine.statfs().unwrap().blocks_free;
    machine.set_cred(Cred::ROOT);
    for (name, ..) in machine.read_dir("/d").unwrap() {
        if name.starts_with(b"f") {
            machine.unlink([b"/d/", &name[..]].concat()).unwrap();
        }
    }
    left
}

/// The user of `resuid=`, the group of `resgid=` and CAP_SYS_RESOURCE, for data and for directories.
#[test]
fn the_reserved_blocks_have_owners() {
    let mut image = Image::mkfs(8 << 20, &["-b", "1024", "-m", "20"]).unwrap();
    let (user, group) = (Cred::user(7, 8), Cred { groups: vec![1, 9], ..Cred::user(5, 5) });
    // Set-user-id: what counts is who it acts as.
    let was_root = Cred { uid: 0, suid: 0, ..Cred::user(7, 7) };
    let acts_as_root = Cred { euid: 0, ..Cred::user(6, 6) };
    let rows: [(&str, &[(&Cred, bool)]); 4] = [
        (
            "",
            &[
                (&user, false),
                (&group, false),
                (&Cred::ROOT, true),
                (&acts_as_root, true),
                (&was_root, false),
            ],
        ),
        ("resuid=7", &[(&user, true), (&group, false), (&Cred::ROOT, true), (&was_root, true)]),
        ("resgid=9", &[(&user, false), (&group, true), (&Cred::ROOT, true)]),
        ("resgid=8,resuid=5", &[(&user, true), (&group, true)]),
    ];
    for (options, who) in rows {
        let options = Options { options: options.into(), ..Options::default() };
        let mut machine = Machine::mount_with(&image, &options).unwrap();
        if machine.stat("/d").is_err() {
            machine.mkdir_mode("/d", 0o777).unwrap();
        }
        for (cred, may) in who {
            let left = left_by(&mut machine, (*cred).clone());
            assert_eq!(left < 8192 / 5, *may, "{options:?} {cred:?}: {left}");
        }
        image = machine.unmount().unwrap();
        image.fsck().unwrap();
    }
    // The superblock's own.
    let image = image.changed("set_super_value def_resuid 7").unwrap();
    let mut machine = Machine::mount(&image).unwrap();
    assert!(left_by(&mut machine, user) < 8192 / 5);
    assert_eq!(machine.vfs_mount().superblock().options(), ",resuid=7");
    machine.unmount().unwrap().fsck().unwrap();
}

/// Directories that grow take no reserved blocks for who may not.
#[test]
fn a_directory_grows_for_who_asks() {
    let image = Image::mkfs(8 << 20, &["-b", "1024", "-m", "20", "-N", "4000"]).unwrap();
    let mut machine = Machine::mount(&image).unwrap();
    machine.mkdir_mode("/d", 0o777).unwrap();
    machine.set_cred(Cred::user(7, 7));
    for n in 0.. {
        if machine.write_file(format!("/d/f{n}"), &[1; 100_000]).is_err() {
            break;
        }
    }
    let free = machine.statfs().unwrap().blocks_free;
    let end = (0..3000).find_map(|n| machine.create(format!("/d/{n:0>200}"), 0o644).err());
    assert_eq!(end, Some(Errno::ENOSPC));
    // Nodes of an extent tree come from what is kept for metadata.
    assert!(free - machine.statfs().unwrap().blocks_free <= 8);
    machine.unmount().unwrap().fsck().unwrap();
}
