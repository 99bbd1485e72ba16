//! ext4 with its journal: what a crash leaves, what an fsync costs, external journals, the forced shutdown.

use base::{Errno, FakeUser, Result};
use block::{BioOp, DiskKind, RamDisk};
use sim::{Image, Machine, Options, Trace, take_log};
use vfs::{Caller, OpenFlags};

const ARG: u64 = 0x10000;
const SHUTDOWN: u32 = 0x8004_587d;

fn image(args: &[&str]) -> Image {
    Image::mkfs(16 << 20, args).unwrap()
}

fn shut_down(machine: &Machine, flags: u32, capable: bool) -> Result<u64> {
    let user = FakeUser::new(ARG, 4096);
    user.put(ARG, &flags.to_le_bytes());
    let file = machine.open("/", OpenFlags::empty(), 0)?;
    file.ops().ioctl(&file, SHUTDOWN, ARG, &Caller { memory: &user, uid: 0, capable })
}

/// Mounts what a crash left, looks, and lets e2fsck look.
fn after_crash(image: &Image, look: impl FnOnce(&Machine)) {
    let machine = Machine::mount(image).unwrap();
    look(&machine);
    machine.unmount().unwrap().fsck().unwrap();
}

#[test]
fn what_was_synced_is_there_and_what_was_not_is_whole() {
    for options in ["", "data=writeback", "nobarrier", "data=writeback,journal_async_commit", "commit=60"] {
        let options = Options { options: options.into(), ..Options::default() };
        let machine = Machine::mount_with(&image(&["-b", "1024"]), &options).unwrap();
        machine.mkdir("/d").unwrap();
        machine.write_file("/d/f", &[7; 100_000]).unwrap();
        machine.fsync("/d/f").unwrap();
        machine.rename("/d/f", "/d/g").unwrap();
        let cut = machine.snapshot();
        machine.give_up();
        after_crash(&cut, |m| assert_eq!(m.read_file("/d/f").unwrap(), [7; 100_000]));
    }
}

#[test]
fn a_read_only_mount_replays_too() {
    let machine = Machine::mount(&image(&["-b", "4096"])).unwrap();
    machine.write_file("/f", b"in the log").unwrap();
    machine.fsync("/f").unwrap();
    let cut = machine.snapshot();
    machine.give_up();
    let options = Options { read_only: true, ..Options::default() };
    let machine = Machine::mount_with(&cut, &options).unwrap();
    assert_eq!(machine.read_file("/f").unwrap(), b"in the log");
    machine.give_up().fsck().unwrap();
}

#[test]
fn fdatasync_of_what_has_not_changed_is_one_flush() {
    let machine = Machine::mount(&image(&["-b", "4096"])).unwrap();
    machine.write_file("/f", &[1; 8192]).unwrap();
    machine.fsync("/f").unwrap();
    machine.tracer().take();
    let file = machine.open("/f", OpenFlags::RDWR, 0).unwrap();
    vfs::fsync::fsync(&file, true).unwrap();
    let ops: Vec<BioOp> = machine.tracer().take().iter().map(|t: &Trace| t.op).collect();
    assert_eq!(ops, [BioOp::Flush]);
    // An overwrite whose times alone move: the data, and one flush.
    sim::write_all(&file, &[2; 4096], 0).unwrap();
    vfs::fsync::fsync(&file, true).unwrap();
    let ops: Vec<BioOp> = machine.tracer().take().iter().map(|t: &Trace| t.op).collect();
    assert_eq!(ops, [BioOp::Write, BioOp::Flush]);
    drop(file);
    machine.unmount().unwrap().fsck().unwrap();
}

/// Freed blocks come back with the commit that frees them, which a writer who needs them asks for.
#[test]
fn a_full_disk_has_room_again_after_an_unlink() {
    let machine = Machine::mount(&Image::mkfs(8 << 20, &["-b", "1024", "-m", "0"]).unwrap()).unwrap();
    for round in 0..3 {
        let free = machine.statfs().unwrap().blocks_available as usize * 1024;
        let bytes = vec![round; free - free / 8];
        machine.write_file("/f", &bytes).unwrap();
        assert_eq!(machine.read_file("/f").unwrap(), bytes);
        machine.unlink("/f").unwrap();
    }
    machine.unmount().unwrap().fsck().unwrap();
}

#[test]
fn the_forced_shutdown() {
    for flags in [0, 1, 2] {
        let machine = Machine::mount(&image(&["-b", "1024"])).unwrap();
        machine.write_file("/old", b"old").unwrap();
        machine.sync().unwrap();
        machine.create("/new", 0o644).unwrap();
        assert_eq!(shut_down(&machine, flags, false), Err(Errno::EPERM));
        assert_eq!(shut_down(&machine, 3, true), Err(Errno::EINVAL));
        let file = machine.open("/old", OpenFlags::RDWR, 0).unwrap();
        assert_eq!(shut_down(&machine, flags, true), Ok(0));
        assert_eq!(machine.create("/more", 0o644), Err(Errno::EIO));
        assert_eq!(machine.open("/old", OpenFlags::empty(), 0).err(), Some(Errno::EIO));
        assert_eq!(sim::write_all(&file, b"x", 0), Err(Errno::EIO));
        assert_eq!(sim::read_all(&file), Err(Errno::EIO));
        assert_eq!(vfs::fsync::fsync(&file, false), Err(Errno::EIO));
        drop(file);
        let image = machine.give_up();
        after_crash(&image, |m| {
            assert_eq!(m.read_file("/old").unwrap(), b"old");
            assert_eq!(m.stat("/new").is_ok(), flags != 2);
        });
    }
}

#[test]
fn an_external_journal() {
    const UUID: &str = "6fd5a3d8-1cf1-4a4e-9d8e-2b1f6b6ad001";
    let log = Image::mkfs(4 << 20, &["-b", "1024", "-O", "journal_dev", "-U", UUID]).unwrap();
    let ram = RamDisk::new(log.bytes.clone());
    let disk = block::register(DiskKind::Ram, ram.clone(), "noop").unwrap();
    let dev = (disk.dev().major << 8) | disk.dev().minor;
    let plain = image(&["-b", "1024", "-O", "^has_journal"]).changed("feature has_journal").unwrap();
    let plain = plain.changed(&format!("ssv journal_uuid {UUID}")).unwrap();
    take_log();
    assert_eq!(Machine::mount(&plain).err(), Some(Errno::EINVAL));
    assert!(take_log().join("\n").contains("no journal found"));
    let made = plain.changed(&format!("ssv journal_dev {dev}")).unwrap();
    take_log();
    assert_eq!(Machine::mount(&made).err(), Some(Errno::EINVAL));
    assert!(take_log().join("\n").contains("has 0 users"));
    // `s_nr_users` of the journal's superblock, in the third block; `mke2fs -J device=` sets it.
    ram.fill(2 * 1024 + 0x43, &[1]).unwrap();
    let machine = Machine::mount(&made).unwrap();
    machine.write_file("/f", b"its metadata is on another disk").unwrap();
    machine.fsync("/f").unwrap();
    assert_ne!(ram.bytes(), log.bytes, "the log is there");
    let cut = machine.snapshot();
    assert_eq!(Machine::mount(&made).err(), Some(Errno::EBUSY), "one file system has it");
    drop(machine);
    assert_eq!(cut.bytes.len(), made.bytes.len());
}

#[test]
fn options_about_a_journal_need_one() {
    let plain = image(&["-O", "^has_journal"]);
    for options in ["data=ordered", "data=writeback", "commit=7", "journal_checksum", "journal_async_commit"]
    {
        let options = Options { options: options.into(), ..Options::default() };
        assert_eq!(Machine::mount_with(&plain, &options).err(), Some(Errno::EINVAL));
    }
}

#[test]
fn an_asynchronous_commit_does_not_go_with_ordered_data() {
    let made = image(&["-b", "1024"]);
    let mount = |options: &str| {
        Machine::mount_with(&made, &Options { options: options.into(), ..Options::default() })
            .map(|machine| drop(machine.give_up()))
    };
    for options in ["journal_async_commit", "data=ordered,journal_async_commit"] {
        assert_eq!(mount(options), Err(Errno::EINVAL), "{options}");
    }
    assert_eq!(mount("data=writeback,journal_async_commit"), Ok(()));
    assert_eq!(mount("ro,noload,journal_async_commit"), Ok(()));
}

#[test]
fn a_damaged_journal_inode_is_refused_by_name() {
    let made = image(&["-b", "1024"]);
    for (command, text) in [
        ("sif <8> mode 0040755", "no regular file"),
        ("sif <8> size 1000001", "bytes"),
        ("sif <8> size 0xfffffffc00", "no block at 1024"),
        ("ssv journal_inum 0", "no journal found"),
        ("ssv journal_dev 0x101", "both a journal inode"),
    ] {
        let bad = made.changed(command).unwrap();
        take_log();
        assert!(Machine::mount(&bad).is_err(), "{command}");
        let log = take_log().join("\n");
        assert!(log.contains(text), "{command}: {log}");
    }
}

#[test]
fn a_dirty_journal_on_a_disk_that_takes_no_writes() {
    let machine = Machine::mount(&image(&["-b", "1024"])).unwrap();
    machine.write_file("/f", b"in the log").unwrap();
    machine.fsync("/f").unwrap();
    let crashed = machine.snapshot();
    let mount = |read_only, options: &str| {
        let options =
            Options { read_only, read_only_disk: true, options: options.into(), ..Options::default() };
        Machine::mount_with(&crashed, &options)
    };
    for read_only in [false, true] {
        take_log();
        assert_eq!(mount(read_only, "").err(), Some(Errno::EROFS));
        let log = take_log().join("\n");
        assert!(log.contains("write access unavailable, cannot proceed (try mounting with noload)"), "{log}");
    }
    let machine = mount(true, "noload").unwrap();
    machine.read_dir("/").unwrap();
    assert_eq!(machine.create("/new", 0o644), Err(Errno::EROFS));
    assert!(machine.give_up().bytes == crashed.bytes, "not a byte was written");
    after_crash(&crashed, |m| assert_eq!(m.read_file("/f").unwrap(), b"in the log"));
}

/// The first block of the journal's file.
fn first_of_journal(image: &Image) -> u64 {
    image.debugfs("bmap <8> 0").unwrap().trim().parse().unwrap()
}

#[test]
fn no_file_has_the_journals_blocks() {
    for (features, field) in [("extents", "block[5]"), ("^extents,^64bit", "block[0]")] {
        let machine = Machine::mount(&image(&["-b", "1024", "-O", features])).unwrap();
        machine.write_file("/f", b"one block").unwrap();
        let made = machine.unmount().unwrap();
        let victim = first_of_journal(&made) + 7;
        let crafted = made.changed(&format!("sif /f {field} {victim}")).unwrap();
        let machine = Machine::mount(&crafted).unwrap();
        assert_eq!(machine.read_file("/f").err(), Some(Errno::EUCLEAN), "{features}");
        let written = machine.pwrite("/f", 0, &[7; 1024]).and_then(|()| machine.fsync("/f"));
        assert_eq!(written.err(), Some(Errno::EUCLEAN), "{features}");
        drop(machine.give_up());
    }
}

#[test]
fn a_journal_that_is_too_short_is_refused_by_name() {
    let mut short = image(&["-b", "1024"]);
    let at = first_of_journal(&short) as usize * 1024;
    // `s_maxlen`, of a superblock that has no checksum yet.
    short.bytes[at + 0x10..at + 0x14].copy_from_slice(&1000u32.to_be_bytes());
    take_log();
    assert_eq!(Machine::mount(&short).err(), Some(Errno::EINVAL));
    let log = take_log().join("\n");
    assert!(log.contains("journal too short: 1000 blocks"), "{log}");
}
