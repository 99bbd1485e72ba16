//! Data through the journal: `data=journal` and `chattr +j`.

use base::{Errno, FakeUser};
use block::{BioFlags, BioOp};
use sim::{Image, Machine, Options, take_log};
use vfs::{Caller, MountFlags, OpenFlags};

const ARG: u64 = 0x10000;
const GETFLAGS: u32 = 0x8008_6601;
const SETFLAGS: u32 = 0x4008_6602;
const FIBMAP: u32 = 1;
const JOURNAL_DATA: u32 = 0x4000;

fn image(args: &[&str]) -> Image {
    Image::mkfs(32 << 20, args).unwrap()
}

fn mount(image: &Image, options: &str) -> Machine {
    Machine::mount_with(image, &Options { options: options.into(), ..Options::default() }).unwrap()
}

fn journal(args: &[&str]) -> Machine {
    mount(&image(args), "data=journal")
}

fn ioctl(machine: &Machine, path: &str, cmd: u32, word: u32) -> base::Result<u32> {
    let user = FakeUser::new(ARG, 4096);
    user.put(ARG, &word.to_ne_bytes());
    let file = machine.open(path, OpenFlags::empty(), 0)?;
    file.ops().ioctl(&file, cmd, ARG, &Caller { memory: &user, uid: 0, capable: true })?;
    Ok(u32::from_ne_bytes(user.get(ARG, 4).try_into().unwrap()))
}

fn set_journalled(machine: &Machine, path: &str, on: bool) -> base::Result<()> {
    let flags = ioctl(machine, path, GETFLAGS, 0).unwrap() & !JOURNAL_DATA;
    ioctl(machine, path, SETFLAGS, flags | if on { JOURNAL_DATA } else { 0 }).map(drop)
}

/// The power goes; what the next mount finds.
fn cut(machine: Machine, look: impl FnOnce(&Machine)) {
    let left = machine.snapshot();
    machine.give_up();
    let machine = Machine::mount(&left).unwrap();
    look(&machine);
    machine.unmount().unwrap().fsck().unwrap();
}

/// Writes that bypass the log, since the last look.
fn past_the_log(machine: &Machine) -> usize {
    let sent = machine.tracer().take();
    sent.iter().filter(|t| t.op == BioOp::Write && !t.flags.contains(BioFlags::META)).count()
}

#[test]
fn an_fsync_writes_to_the_log_alone() {
    for block in ["1024", "4096"] {
        let machine = journal(&["-b", block]);
        machine.write_file("/f", &[1; 20_000]).unwrap();
        machine.fsync("/f").unwrap();
        assert_eq!(past_the_log(&machine), 0);
        machine.pwrite("/f", 5000, &[2; 5000]).unwrap();
        machine.fsync("/f").unwrap();
        assert_eq!(past_the_log(&machine), 0);
        machine.fsync("/f").unwrap();
        assert!(machine.tracer().take().is_empty(), "what is in the log is durable");
        let expected = [&[1; 5000][..], &[2; 5000], &[1; 10_000]].concat();
        assert_eq!(machine.read_file("/f").unwrap(), expected);
        cut(machine, |m| assert_eq!(m.read_file("/f").unwrap(), expected));
    }
}

/// What a commit has is nowhere else than in the log and in memory: closing the file and dropping caches must
/// not lose it.
#[test]
fn what_is_closed_and_dropped_is_read_again() {
    let machine = journal(&["-b", "4096"]);
    for round in 0..3u8 {
        machine.write_file("/f", &[round; 100_000]).unwrap();
        pagecache::drop_caches();
        assert_eq!(machine.read_file("/f").unwrap(), [round; 100_000]);
        machine.fsync("/f").unwrap();
        pagecache::drop_caches();
        assert_eq!(machine.read_file("/f").unwrap(), [round; 100_000]);
    }
    cut(machine, |m| assert_eq!(m.read_file("/f").unwrap(), [2; 100_000]));
}

/// A cut within a page whose blocks are in the log only, and growth over it.
#[test]
fn a_file_is_cut_within_a_page() {
    for block in ["1024", "2048", "4096"] {
        for synced in [false, true] {
            let machine = journal(&["-b", block]);
            machine.write_file("/f", &[7; 12_000]).unwrap();
            if synced {
                machine.fsync("/f").unwrap();
            }
            machine.truncate("/f", 5000).unwrap();
            machine.truncate("/f", 9000).unwrap();
            let expected = [&[7; 5000][..], &[0; 4000]].concat();
            assert_eq!(machine.read_file("/f").unwrap(), expected);
            machine.pwrite("/f", 8000, b"x").unwrap();
            machine.fsync("/f").unwrap();
            let expected = [&expected[..8000], b"x", &[0; 999]].concat();
            cut(machine, |m| assert_eq!(m.read_file("/f").unwrap(), expected));
        }
    }
}

/// Blocks that were journalled and freed become another file's, which a replay leaves alone.
#[test]
fn freed_blocks_are_revoked() {
    for size in [4096, 300_000] {
        let machine = mount(&image(&["-b", "1024"]), "data=ordered");
        machine.create("/j", 0o644).unwrap();
        set_journalled(&machine, "/j", true).unwrap();
        for round in 0..20u8 {
            machine.write_file("/j", &vec![round; size]).unwrap();
            machine.fsync("/j").unwrap();
            machine.truncate("/j", 0).unwrap();
            machine.sync().unwrap();
            machine.write_file("/ordered", &vec![100 + round; size]).unwrap();
            machine.fsync("/ordered").unwrap();
            let left = Machine::mount(&machine.snapshot()).unwrap();
            assert_eq!(left.read_file("/ordered").unwrap(), vec![100 + round; size]);
            left.unmount().unwrap().fsck().unwrap();
            machine.unlink("/ordered").unwrap();
        }
        machine.unmount().unwrap().fsck().unwrap();
    }
}

/// So many revoke records that they would not fit one transaction of a small log.
#[test]
fn a_large_file_goes_by_small_steps() {
    let machine = mount(&Image::mkfs(64 << 20, &["-b", "1024", "-J", "size=1"]).unwrap(), "data=journal");
    machine.write_file("/f", &vec![1; 40 << 20]).unwrap();
    machine.fallocate("/f", 0x10, 0, 20 << 20).unwrap();
    assert!(machine.read_file("/f").unwrap()[..20 << 20].iter().all(|&byte| byte == 0));
    machine.unlink("/f").unwrap();
    machine.sync().unwrap();
    machine.write_file("/g", b"the journal lives").unwrap();
    machine.unmount().unwrap().fsck().unwrap();
}

#[test]
fn holes_and_shifts() {
    let machine = journal(&["-b", "1024"]);
    let bytes: Vec<u8> = (0..40_960u32).map(|i| (i / 1024) as u8 + 1).collect();
    machine.write_file("/f", &bytes).unwrap();
    machine.fallocate("/f", 3, 3000, 9000).unwrap();
    let mut expected = bytes;
    expected[3000..12_000].fill(0);
    assert_eq!(machine.read_file("/f").unwrap(), expected);
    machine.fallocate("/f", 0x08, 20_480, 4096).unwrap();
    expected.drain(20_480..24_576);
    assert_eq!(machine.read_file("/f").unwrap(), expected);
    machine.fallocate("/f", 0x20, 1024, 2048).unwrap();
    expected.splice(1024..1024, [0; 2048]);
    machine.fallocate("/f", 0x10, 30_000, 3000).unwrap();
    expected[30_000..33_000].fill(0);
    assert_eq!(machine.read_file("/f").unwrap(), expected);
    machine.fsync("/f").unwrap();
    cut(machine, |m| assert_eq!(m.read_file("/f").unwrap(), expected));
}

#[test]
fn a_file_outgrows_its_inode() {
    let machine = journal(&["-b", "1024", "-O", "inline_data"]);
    machine.write_file("/f", &[1; 100]).unwrap();
    machine.fsync("/f").unwrap();
    machine.pwrite("/f", 100, &[2; 400]).unwrap();
    machine.fsync("/f").unwrap();
    let expected = [&[1; 100][..], &[2; 400]].concat();
    cut(machine, |m| assert_eq!(m.read_file("/f").unwrap(), expected));
}

#[test]
fn a_full_disk() {
    let machine = mount(&Image::mkfs(8 << 20, &["-b", "1024", "-m", "0"]).unwrap(), "data=journal");
    machine.create("/f", 0o644).unwrap();
    for round in 1..4u8 {
        let (mut size, mut full) = (0, false);
        while !full {
            let done = machine.pwrite("/f", size, &vec![round; 50_000]);
            full = done == Err(Errno::ENOSPC);
            assert!(full || done.is_ok(), "{done:?}");
            size = machine.stat("/f").unwrap().size;
        }
        assert!(machine.read_file("/f").unwrap().iter().all(|&byte| byte == round));
        machine.fsync("/f").unwrap();
        let left = Machine::mount(&machine.snapshot()).unwrap();
        assert_eq!(left.stat("/f").unwrap().size, size);
        left.unmount().unwrap().fsck().unwrap();
        machine.truncate("/f", 0).unwrap();
    }
    machine.unmount().unwrap().fsck().unwrap();
}

/// The flag goes on and off, on files and directories, whose files inherit it; the bytes stay.
#[test]
fn the_flag_changes_the_way() {
    let machine = mount(&image(&["-b", "4096"]), "");
    machine.write_file("/f", &[1; 10_000]).unwrap();
    machine.mkdir("/d").unwrap();
    set_journalled(&machine, "/d", true).unwrap();
    machine.create("/d/f", 0o644).unwrap();
    assert_eq!(ioctl(&machine, "/d/f", GETFLAGS, 0).unwrap() & JOURNAL_DATA, JOURNAL_DATA);
    set_journalled(&machine, "/f", true).unwrap();
    for path in ["/f", "/d/f"] {
        past_the_log(&machine);
        machine.pwrite(path, 0, &[2; 10_000]).unwrap();
        machine.fsync(path).unwrap();
        assert_eq!(past_the_log(&machine), 0, "{path}");
        set_journalled(&machine, path, false).unwrap();
        assert_eq!(machine.snapshot().debugfs(&format!("cat {path}")).unwrap().as_bytes(), [2; 10_000]);
        past_the_log(&machine);
        machine.pwrite(path, 5000, &[3; 100]).unwrap();
        machine.fsync(path).unwrap();
        assert_eq!(past_the_log(&machine), 1, "{path}");
    }
    cut(machine, |m| {
        let expected = [&[2; 5000][..], &[3; 100], &[2; 4900]].concat();
        assert_eq!(m.read_file("/f").unwrap(), expected);
        assert_eq!(m.read_file("/d/f").unwrap(), expected);
    });
    // A journal that there is not: passed over, as by Linux.
    let plain = mount(&image(&["-O", "^has_journal"]), "");
    plain.create("/f", 0o644).unwrap();
    set_journalled(&plain, "/f", true).unwrap();
    assert_eq!(ioctl(&plain, "/f", GETFLAGS, 0).unwrap() & JOURNAL_DATA, 0);
}

/// Who asks where a block lies may read it there, from then on.
#[test]
fn fibmap_empties_the_log() {
    let machine = journal(&["-b", "4096"]);
    machine.write_file("/f", &[9; 8192]).unwrap();
    let place = ioctl(&machine, "/f", FIBMAP, 1).unwrap() as usize * 4096;
    let disk = machine.snapshot();
    assert_eq!(disk.bytes[place..place + 4096], [9; 4096]);
    machine.unmount().unwrap().fsck().unwrap();
}

#[test]
fn options_that_go_with_it() {
    let made = image(&["-b", "4096"]);
    let refused = |options: &str| {
        let options = Options { options: options.into(), ..Options::default() };
        Machine::mount_with(&made, &options).err()
    };
    assert_eq!(refused("data=journal,delalloc"), Some(Errno::EINVAL));
    take_log();
    let machine = mount(&made, "data=journal,dioread_nolock");
    assert!(take_log().join("\n").contains("mounting with data=journal disables delayed allocation"));
    let sb = machine.vfs_mount().superblock();
    assert_eq!(sb.options(), ",dioread_lock,nodelalloc,data=journal");
    for options in ["delalloc", "dioread_nolock", "data=ordered"] {
        assert_eq!(sb.remount(MountFlags::empty(), options), Err(Errno::EINVAL), "{options}");
    }
    sb.remount(MountFlags::empty(), "data=journal,commit=9").unwrap();
    machine.unmount().unwrap().fsck().unwrap();
    // `tune2fs -o journal_data`.
    let by_disk = made.changed("ssv default_mount_opts 0x20").unwrap();
    let machine = Machine::mount(&by_disk).unwrap();
    machine.write_file("/f", &[1; 5000]).unwrap();
    machine.fsync("/f").unwrap();
    assert_eq!(past_the_log(&machine), 0);
    machine.unmount().unwrap().fsck().unwrap();
}

/// A program's store to a mapped page, as the page fault and the processor do it.
fn store(machine: &Machine, path: &str, at: usize, byte: u8) {
    let file = machine.open(path, OpenFlags::RDWR, 0).unwrap();
    let vfs::Mmap::Pages { mapping, ops } = file.ops().mmap(&file).unwrap() else { panic!("no pages") };
    let _steady = mapping.invalidate_lock_shared();
    let page = ops.page_mkwrite(&mapping, base::PageIndex(0)).unwrap();
    page.frame().write(at, &[byte]);
}

#[test]
fn what_is_stored_behind_the_end_does_not_come_up_later() {
    for block in ["1024", "4096"] {
        for remount in [false, true] {
            let mut machine = journal(&["-b", block]);
            machine.write_file("/f", &[1; 100]).unwrap();
            store(&machine, "/f", 200, 9);
            machine.fsync("/f").unwrap();
            machine.sync().unwrap();
            if remount {
                machine = mount(&machine.unmount().unwrap(), "data=journal");
            }
            machine.truncate("/f", 1000).unwrap();
            // What the cache shows, and what the disk has when the cache has gone.
            for _ in 0..2 {
                let bytes = machine.read_file("/f").unwrap();
                assert!(bytes[..100].iter().all(|b| *b == 1) && bytes[100..].iter().all(|b| *b == 0));
                machine.fsync("/f").unwrap();
                machine.sync().unwrap();
                pagecache::drop_caches();
            }
            machine.unmount().unwrap().fsck().unwrap();
        }
    }
}
