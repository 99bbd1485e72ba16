//! What is there, and what stat, open and the rest say of it.

use super::*;
use kernfs::testing::BUF;
use vfs::{attr_ops, lseek::lseek, namei, read_write};

#[test]
fn the_whole_tree_can_be_walked_and_read() {
    let world = World::new();
    let all = world.check_tree("/sys");
    assert!(all.len() > 100, "{}", all.len());
    for Found { path, kind, .. } in &all {
        let attr = world.lstat(path).unwrap().attr;
        assert_eq!((attr.uid, attr.gid, attr.blocks, attr.blksize), (0, 0, 0, 4096), "{path}");
        match kind {
            FileType::Regular => {
                assert_eq!(attr.size, 4096, "{path}");
                let text = world.cat(path);
                let whole = text.ends_with('\n')
                    || path.ends_with("/serial")
                    || path.ends_with("0/uevent") && text.is_empty();
                assert!(whole && !text.contains("\n\n"), "{path}: {text:?}");
            }
            FileType::Symlink => {
                assert_eq!((attr.mode & 0o777, attr.size), (0o777, 0), "{path}");
                // Nothing is mounted on tracing here, but the directory is there.
                assert!(world.lookup(path, LookupFlags::FOLLOW | LookupFlags::DIRECTORY).is_ok(), "{path}");
            }
            _ => assert_eq!(attr.size, 0, "{path}"),
        }
    }
}

#[test]
fn disks_are_found_by_name_class_and_number() {
    let world = World::new();
    assert_eq!(world.ls("/sys/block").unwrap(), [".", "..", "vda", "ram0"]);
    assert_eq!(world.readlink("/sys/block/vda").unwrap(), "../devices/virtual/block/vda");
    assert_eq!(world.readlink("/sys/class/block/vda").unwrap(), "../../devices/virtual/block/vda");
    assert_eq!(world.readlink("/sys/dev/block/254:0").unwrap(), "../../devices/virtual/block/vda");
    assert_eq!(world.readlink("/sys/block/vda/subsystem").unwrap(), "../../../../class/block");
    let inode = |path| world.lookup(path, LookupFlags::FOLLOW).unwrap().inode().unwrap().ino();
    assert_eq!(inode("/sys/block/vda"), inode("/sys/dev/block/254:0"));
    assert_ne!(inode("/sys/block/vda"), inode("/sys/block/ram0"));
    assert_eq!(world.cat("/sys/dev/block/1:0/dev"), "1:0\n");
}

#[test]
fn modes_and_links_are_linux_s() {
    let world = World::new();
    for (path, mode, nlink) in [
        ("/sys", 0o040555, 8),
        ("/sys/block", 0o040755, 2),
        ("/sys/block/vda", 0o120777, 1),
        ("/sys/block/vda/", 0o040755, 5),
        ("/sys/block/vda/size", 0o100444, 1),
        ("/sys/block/vda/cache_type", 0o100644, 1),
        ("/sys/block/vda/uevent", 0o100644, 1),
        ("/sys/block/vda/queue", 0o040755, 3),
        ("/sys/block/vda/queue/scheduler", 0o100644, 1),
        ("/sys/block/vda/queue/iosched", 0o040755, 2),
        ("/sys/block/vda/queue/iosched/fifo_batch", 0o100644, 1),
        ("/sys/block/vda/queue/max_hw_sectors_kb", 0o100444, 1),
        ("/sys/kernel/tracing", 0o040555, 2),
    ] {
        let attr = world.lstat(path).unwrap().attr;
        assert_eq!((attr.mode, attr.nlink), (mode, nlink), "{path}");
    }
}

#[test]
fn what_a_disk_says_of_itself() {
    let world = World::new();
    for (name, text) in [
        ("dev", "254:0\n"),
        ("size", "2048\n"),
        ("ro", "0\n"),
        ("removable", "0\n"),
        ("hidden", "0\n"),
        ("capability", "0\n"),
        ("ext_range", "256\n"),
        ("alignment_offset", "0\n"),
        ("inflight", "       0        0\n"),
        ("range", "1\n"),
        ("discard_alignment", "0\n"),
        ("diskseq", "1\n"),
        ("serial", ""),
        ("uevent", "MAJOR=254\nMINOR=0\nDEVNAME=vda\nDEVTYPE=disk\nDISKSEQ=1\n"),
        (
            "stat",
            "       0        0        0        0        0        0        0        0        0        0 \
             \x20      0        0        0        0        0        0        0\n",
        ),
    ] {
        assert_eq!(world.cat(&format!("/sys/block/vda/{name}")), text, "{name}");
    }
    assert_eq!(world.cat("/sys/block/ram0/diskseq"), "2\n");
    for missing in ["serial", "cache_type", "partition", "start"] {
        assert_eq!(world.bytes(&format!("/sys/block/ram0/{missing}")), Err(Errno::ENOENT), "{missing}");
    }
}

/// An MBR with a partition of 100 sectors from the 64th on.
fn partitioned() -> Arc<Disk> {
    let mut bytes = vec![0; 1 << 20];
    bytes[446..462].copy_from_slice(&[0, 0, 0, 0, 0x83, 0, 0, 0, 64, 0, 0, 0, 100, 0, 0, 0]);
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    let disk = Disk::new("vdc", DevId::new(254, 32), RamDisk::new(bytes), "noop").unwrap();
    disk.rescan().unwrap();
    disk
}

#[test]
fn partitions_stand_in_their_disk() {
    let user = User::default();
    let disk = partitioned();
    user.mount("/sys", sysfs(core::slice::from_ref(&disk)), "sysfs");
    user.check_tree("/sys");
    assert_eq!(user.ls("/sys/block").unwrap(), [".", "..", "vdc"]);
    assert_eq!(user.ls("/sys/class/block").unwrap(), [".", "..", "vdc", "vdc1"]);
    assert_eq!(user.readlink("/sys/class/block/vdc1").unwrap(), "../../devices/virtual/block/vdc/vdc1");
    assert_eq!(user.readlink("/sys/block/vdc/vdc1/subsystem").unwrap(), "../../../../../class/block");
    let number = disk.partitions()[0].dev();
    for (name, text) in [
        ("partition", "1\n".into()),
        ("start", "64\n".into()),
        ("size", "100\n".into()),
        ("ro", "0\n".into()),
        ("dev", format!("{}:{}\n", number.major, number.minor)),
        ("inflight", "       0        0\n".into()),
    ] {
        assert_eq!(user.cat(&format!("/sys/class/block/vdc1/{name}")), text, "{name}");
    }
    let event = user.cat("/sys/class/block/vdc1/uevent");
    assert!(event.ends_with("DEVNAME=vdc1\nDEVTYPE=partition\nDISKSEQ=1\nPARTN=1\n"), "{event}");
    for missing in ["queue", "removable", "slaves", "diskseq", "serial", "hidden", "range"] {
        let path = format!("/sys/class/block/vdc1/{missing}");
        assert_eq!(user.try_open(&path, RDONLY), Err(Errno::ENOENT), "{missing}");
    }
}

#[test]
fn what_a_cache_goes_by() {
    let world = World::new();
    assert_eq!(world.ls("/sys/class/bdi").unwrap(), [".", "..", "254:0", "1:0"]);
    assert_eq!(world.readlink("/sys/class/bdi/254:0").unwrap(), "../../devices/virtual/bdi/254:0");
    assert_eq!(world.readlink("/sys/class/bdi/254:0/subsystem").unwrap(), "../../../../class/bdi");
    assert_eq!(world.readlink("/sys/block/vda/bdi").unwrap(), "../../bdi/254:0");
    assert_eq!(world.cat("/sys/block/vda/bdi/max_ratio"), "100\n");
    let here = |name: &str| format!("/sys/class/bdi/254:0/{name}");
    assert_eq!(world.cat(&here("min_ratio")), "0\n");
    assert_eq!(world.try_open(&here("min_ratio"), OpenFlags::WRONLY), Err(Errno::EACCES));
    for (text, answer) in [("1002", Ok(())), (" 5", Err(Errno::EINVAL)), ("-1", Err(Errno::EINVAL))] {
        assert_eq!(world.echo(text, &here("read_ahead_kb")), answer, "{text}");
    }
    assert_eq!(
        (world.cat(&here("read_ahead_kb")), world.queue("read_ahead_kb")),
        ("1000\n".into(), "1000".into())
    );
}

#[test]
fn a_mounted_file_system_tells_its_counters() {
    let world = World::new();
    assert_eq!(world.ls("/sys/fs/ext4").unwrap(), [".", "..", "vda"]);
    for (name, text) in [
        ("delayed_allocation_blocks", "12\n"),
        ("session_write_kbytes", "340\n"),
        ("lifetime_write_kbytes", "56789\n"),
        ("errors_count", "0\n"),
    ] {
        let path = format!("/sys/fs/ext4/vda/{name}");
        assert_eq!(world.cat(&path), text, "{name}");
        assert_eq!(world.try_open(&path, OpenFlags::WRONLY), Err(Errno::EACCES), "{name}");
    }
    assert_eq!(world.lstat("/sys/fs/ext4/vda").unwrap().attr.mode, 0o040755);
}

#[test]
fn processors_are_counted_as_glibc_counts_them() {
    let world = World::new();
    for name in ["online", "possible", "present"] {
        assert_eq!(world.cat(&format!("/sys/devices/system/cpu/{name}")), "0\n");
    }
    assert!(world.ls("/sys/devices/system/cpu").unwrap().contains(&"cpu0".into()));
}

#[test]
fn the_permission_bits_bind_root() {
    let mut world = World::new();
    for path in ["/sys/block/vda/size", "/sys/devices/system/cpu/online", "/sys/block/vda/queue/fua"] {
        assert_eq!(world.try_open(path, OpenFlags::WRONLY), Err(Errno::EACCES), "{path}");
        assert_eq!(world.try_open(path, OpenFlags::RDWR), Err(Errno::EACCES), "{path}");
        assert_eq!(world.try_open(path, RDONLY), Ok(()), "{path}");
    }
    world.cred = Cred::user(7, 7);
    assert_eq!(world.set("scheduler", "noop"), Err(Errno::EACCES));
    assert!(world.queue("scheduler").contains("[deadline]"));
}

#[test]
fn nothing_is_made_or_taken_away() {
    let world = World::new();
    let at = world.at();
    let here = |name: &str| format!("/sys/block/vda/{name}").into_bytes();
    let create = world.try_open("/sys/block/vda/new", OpenFlags::CREAT | OpenFlags::WRONLY);
    assert_eq!(create, Err(Errno::EACCES));
    assert_eq!(namei::mkdir(&at, &here("new"), 0o755), Err(Errno::EPERM));
    assert_eq!(namei::symlink(&at, b"x", &here("new")), Err(Errno::EPERM));
    assert_eq!(namei::unlink(&at, &here("size")), Err(Errno::EPERM));
    assert_eq!(namei::rmdir(&at, &here("queue")), Err(Errno::EPERM));
    assert_eq!(world.try_open("/sys/block/vda/new", RDONLY), Err(Errno::ENOENT));
    assert_eq!(world.try_open("/sys/block/vdb", RDONLY), Err(Errno::ENOENT));
}

#[test]
fn modes_and_owners_can_be_set_and_stay() {
    let mut world = World::new();
    let place = |world: &World, name| world.lookup(&format!("{QUEUE}/{name}"), LookupFlags::FOLLOW).unwrap();
    attr_ops::chown(&place(&world, "scheduler"), Some(7), None, &Cred::ROOT).unwrap();
    attr_ops::chmod(&place(&world, "max_segments"), 0o400, &Cred::ROOT).unwrap();
    world.cred = Cred::user(7, 7);
    assert_eq!(world.set("scheduler", "noop"), Ok(()));
    assert_eq!(world.try_open("/sys/block/vda/queue/max_segments", RDONLY), Err(Errno::EACCES));
    let attr = world.lstat("/sys/block/vda/queue/scheduler").unwrap().attr;
    assert_eq!((attr.uid, attr.gid, attr.mode), (7, 0, 0o100644));
}

#[test]
fn reading_in_steps_and_seeking() {
    let world = World::new();
    let file = world.open("/sys/block/vda/queue/scheduler", RDONLY).unwrap();
    let text = world.read(&file, 4096).unwrap();
    assert_eq!((lseek(&file, 0, 0), lseek(&file, 0, 2)), (Ok(0), Ok(4096)));
    assert_eq!(world.read(&file, 10).as_deref(), Ok(&b""[..]));
    lseek(&file, 0, 0).unwrap();
    let steps: Vec<u8> =
        core::iter::from_fn(|| world.read(&file, 3).ok().filter(|b| !b.is_empty())).flatten().collect();
    assert_eq!(steps, text);
}

#[test]
fn a_write_is_a_value_wherever_it_is() {
    let world = World::new();
    let file = world.open("/sys/block/vda/queue/nr_requests", OpenFlags::RDWR).unwrap();
    assert_eq!((world.write(&file, b"64"), world.write(&file, b"32\n")), (Ok(2), Ok(3)));
    assert_eq!(world.queue("nr_requests"), "32");
    let mut page = [0; 5000];
    page[..2].copy_from_slice(b"16");
    // A NUL ends the value, and a page the write.
    assert_eq!(world.write(&file, &page), Ok(4096));
    assert_eq!(world.queue("nr_requests"), "16");
    assert_eq!(world.write(&file, b""), Ok(0));
    let bad = read_write::write(&world.io(), &file, base::UserAddr(8), 2);
    assert_eq!(bad, Err(Errno::EFAULT));
    world.memory.put(BUF, b"x");
}

#[test]
fn one_file_system_however_often_it_is_mounted() {
    let world = World::new();
    let sb = world.sys.superblock();
    let stat = sb.statfs().unwrap();
    assert_eq!((stat.magic, stat.block_size, sb.fs_type()), (0x6265_6572, 4096, "sysfs"));
    let kind = fs_type(Box::new(Vec::new), Box::new(Vec::new));
    let mount = |options| kind.mount(None, MountFlags::empty(), options);
    assert_eq!(mount("").unwrap().dev(), mount("").unwrap().dev());
    assert_eq!(mount("what=ever").err(), Some(Errno::EINVAL));
    assert!(!kind.requires_dev());
}

#[test]
fn events_can_be_asked_for() {
    let world = World::new();
    for (text, answer) in
        [("add", Ok(())), ("change uuid", Ok(())), ("addd", Err(Errno::EINVAL)), ("", Err(Errno::EINVAL))]
    {
        assert_eq!(world.echo(text, "/sys/block/vda/uevent"), answer, "{text}");
    }
}
