//! Delayed allocation: what is reserved and told, when blocks come, and what a crash leaves.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use base::Errno;
use base::user::FakeUser;
use block::BioOp;
use sim::{Image, Machine, Options, Rng, write_all};
use vfs::{Caller, OpenFlags};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const WRITE: OpenFlags = OpenFlags::WRONLY;
/// SEEK_DATA and SEEK_HOLE.
const DATA: u32 = 3;
const HOLE: u32 = 4;
/// FIEMAP_EXTENT_*.
const LAST: u32 = 1;
const DELAYED: u32 = 6;
const UNWRITTEN: u32 = 0x800;
const MERGED: u32 = 0x1000;
/// Of mke2fs: files are mapped by pointers.
const POINTERS: &str = "^extent,^64bit";

fn disk(mib: u64, args: &[&str]) -> Image {
    Image::mkfs(mib * MIB, args).unwrap()
}

fn mount(image: &Image, options: &'static str) -> Machine {
    Machine::mount_with(image, &Options { options: options.into(), ..Options::default() }).unwrap()
}

fn extents(image: &Image, path: &str) -> usize {
    image.debugfs(&format!("dump_extents -l \"{path}\"")).unwrap().lines().skip(1).count()
}

/// FS_IOC_FIEMAP: start, length and flags of each, in blocks.
fn fiemap(machine: &Machine, path: &str, block: u64) -> Vec<(u64, u64, u32)> {
    const ARG: u64 = 0x1000;
    let memory = FakeUser::new(ARG, 0x4000);
    let mut head = [0u64.to_ne_bytes(), u64::MAX.to_ne_bytes()].concat();
    [0u32, 0, 200, 0].iter().for_each(|word| head.extend(word.to_ne_bytes()));
    memory.put(ARG, &head);
    let file = machine.open(path, OpenFlags::empty(), 0).unwrap();
    let caller = Caller { memory: &memory, capable: false, uid: 1 };
    file.ops().ioctl(&file, 0xc020_660b, ARG, &caller).unwrap();
    let long = |at: u64| u64::from_ne_bytes(memory.get(at, 8).try_into().unwrap());
    let word = |at: u64| u32::from_ne_bytes(memory.get(at, 4).try_into().unwrap());
    let extent = |n: u32| {
        let at = ARG + 32 + 56 * u64::from(n);
        (long(at) / block, long(at + 16) / block, word(at + 40))
    };
    (0..word(ARG + 20)).map(extent).collect()
}

/// What a crash would leave, once everything up to now that needs no writeback is committed.
fn after_a_crash(machine: &Machine) -> Machine {
    machine.create("/commit", 0o644).unwrap();
    machine.fsync("/commit").unwrap();
    let image = machine.snapshot();
    image.replayed().unwrap().fsck().unwrap();
    Machine::mount(&image).unwrap()
}

#[test]
fn space_is_reserved_and_told_and_given_back() {
    for args in [
        &["-b", "1024"][..],
        &["-b", "4096"],
        &["-b", "1024", "-O", "^has_journal"],
        &["-b", "1024", "-O", POINTERS],
        &["-b", "4096", "-t", "ext3"],
        &["-b", "1024", "-t", "ext2"],
    ] {
        let machine = Machine::mount(&disk(16, args)).unwrap();
        machine.sync().unwrap();
        let (free, block) = machine.statfs().map(|s| (s.blocks_free, s.block_size)).unwrap();
        machine.tracer().take();
        machine.write_file("/f", &[7; 64 << 10]).unwrap();
        assert_eq!(machine.statfs().unwrap().blocks_free, free - 64 * KIB / block);
        assert_eq!(machine.stat("/f").unwrap().blocks, 128);
        assert_eq!(fiemap(&machine, "/f", block), [(0, 64 * KIB / block, DELAYED | LAST)]);
        machine.truncate("/f", 32 * KIB).unwrap();
        assert_eq!(machine.statfs().unwrap().blocks_free, free - 32 * KIB / block);
        machine.unlink("/f").unwrap();
        assert_eq!(machine.statfs().unwrap().blocks_free, free);
        machine.sync().unwrap();
        let written = |sectors: u64| machine.tracer().take().iter().any(|t| t.sectors >= sectors);
        assert!(!written(128), "bytes of a file that is gone were written");
        machine.unmount().unwrap().fsck().unwrap();
    }
}

/// A sequential writer of 4 KiB a call: one piece, in few requests.
#[test]
fn eight_mebibytes_are_three_extents_and_forty_requests() {
    for args in [&["-b", "4096"][..], &["-b", "1024"], &["-b", "4096", "-O", POINTERS]] {
        let machine = Machine::mount(&disk(64, args)).unwrap();
        machine.sync().unwrap();
        let file = machine.open("/f", WRITE | OpenFlags::CREAT, 0o644).unwrap();
        machine.tracer().take();
        (0..8 * MIB).step_by(4096).for_each(|at| write_all(&file, &[1; 4096], at).unwrap());
        machine.fsync("/f").unwrap();
        let requests = machine.tracer().take().iter().filter(|t| t.op == BioOp::Write).count();
        assert!(requests <= 40, "{args:?}: {requests} requests");
        drop(file);
        // A block or two of pointers stand between the rows of data.
        let runs = fiemap(&machine, "/f", 1).len();
        assert!(runs <= 4, "{args:?}: {runs} runs");
        let image = machine.unmount().unwrap();
        image.fsck().unwrap();
        assert!(extents(&image, "/f") <= 3, "{args:?}: {}", extents(&image, "/f"));
    }
}

/// Written backwards, with holes, in pieces: it lies in order, and the holes stay.
#[test]
fn the_order_of_writing_does_not_matter() {
    for args in [&["-b", "1024"][..], &["-b", "1024", "-O", POINTERS]] {
        let machine = Machine::mount(&disk(16, args)).unwrap();
        machine.create("/f", 0o644).unwrap();
        for page in (0..64u64).rev().filter(|page| page % 16 != 5) {
            machine.pwrite("/f", page * 4 * KIB, &[page as u8 + 1; 4096]).unwrap();
        }
        let bytes = machine.read_file("/f").unwrap();
        machine.fsync("/f").unwrap();
        // The block of pointers behind the direct ones is one border more.
        let runs = fiemap(&machine, "/f", KIB).len();
        assert!(runs <= 7, "{args:?}: {runs}");
        let image = machine.unmount().unwrap();
        image.fsck().unwrap();
        assert!(extents(&image, "/f") <= 6, "{args:?}: {}", extents(&image, "/f"));
        assert_eq!(Machine::mount(&image).unwrap().read_file("/f").unwrap(), bytes);
    }
}

/// Who was told that his bytes were taken finds them, however full the disk is.
#[test]
fn what_was_accepted_finds_its_blocks() {
    for args in [
        &["-b", "1024", "-m", "0"][..],
        &["-b", "4096"],
        &["-b", "1024", "-O", "^has_journal"],
        &["-b", "1024", "-m", "0", "-O", POINTERS],
        &["-b", "4096", "-m", "0", "-O", POINTERS],
        &["-b", "1024", "-m", "0", "-t", "ext2"],
    ] {
        let machine = Machine::mount(&disk(8, args)).unwrap();
        let mut rng = Rng::new(3);
        let mut files = Vec::new();
        for n in 0.. {
            // Pieces with holes between them: their trees need blocks of their own.
            let path = format!("/f{n}");
            machine.create(&path, 0o644).unwrap();
            let file = machine.open(&path, WRITE, 0).unwrap();
            let (mut at, mut all) = (0, Vec::new());
            for _ in 0..40 {
                let len = 1 + rng.below(6000) as usize;
                let bytes = rng.bytes(len);
                if write_all(&file, &bytes, at).is_err() {
                    break;
                }
                all.push((at, bytes));
                at += 16 * KIB;
            }
            let full = all.len() < 40;
            files.push((path, all));
            if full {
                break;
            }
        }
        assert!(files.len() > 3);
        machine.sync().unwrap();
        let machine = Machine::mount(&machine.unmount().unwrap()).unwrap();
        for (path, all) in files {
            let found = machine.read_file(&path).unwrap();
            for (at, bytes) in all {
                assert_eq!(found[at as usize..][..bytes.len()], bytes, "{path} at {at}");
            }
        }
        machine.unmount().unwrap().fsck().unwrap();
    }
}

#[test]
fn a_write_that_finds_no_space_says_so_at_once() {
    // With pointers nothing is kept for metadata: all of it can be had.
    let pointers = ["-b", "1024", "-m", "0", "-O", POINTERS];
    for (args, left) in [(&pointers[..4], u64::MAX), (&pointers, 3)] {
        let machine = Machine::mount(&disk(8, args)).unwrap();
        let room = machine.statfs().unwrap().blocks_available;
        machine.create("/f", 0o644).unwrap();
        let file = machine.open("/f", WRITE, 0).unwrap();
        let mut at = 0;
        let refused = loop {
            match write_all(&file, &[1; 4096], at) {
                Ok(()) => at += 4096,
                Err(error) => break error,
            }
        };
        assert_eq!(refused, Errno::ENOSPC);
        assert!(at / KIB <= room && at / KIB + 64 > room, "{args:?}: {} of {room}", at / KIB);
        let free = machine.statfs().unwrap().blocks_free;
        assert!(free <= left, "{args:?}: {free} left");
        drop(file);
        machine.fsync("/f").unwrap();
        machine.unmount().unwrap().fsck().unwrap();
    }
}

/// Block-mapped files on a disk that is nearly full, each byte in a row of its own, so that more blocks of pointers
/// are needed than blocks of data; some are cut and punched before they have a place.
#[test]
fn pointers_are_reserved_with_the_blocks() {
    for (seed, args) in
        [&["-b", "1024", "-m", "0", "-O", POINTERS][..], &["-b", "1024", "-t", "ext2", "-m", "0"]]
            .into_iter()
            .enumerate()
    {
        let machine = Machine::mount(&disk(8, args)).unwrap();
        let mut rng = Rng::new(seed as u64);
        for _ in 0..4 {
            let mut kept = Vec::new();
            for n in 0..3 {
                let path = format!("/f{n}");
                machine.create(&path, 0o644).unwrap();
                let file = machine.open(&path, WRITE, 0).unwrap();
                for _ in 0..1500 {
                    // Far apart, and often in the triple-indirect part.
                    let at = rng.below(1 << 20) << rng.below(13);
                    if write_all(&file, &[n as u8 + 1; 3], at).is_err() {
                        break;
                    }
                    match rng.below(40) {
                        0 => machine.truncate(&path, rng.below(1 << 30)).unwrap(),
                        1 => machine.fallocate(&path, 3, rng.below(1 << 24), 1 << 22).unwrap(),
                        2 => machine.fsync(&path).unwrap(),
                        _ => {}
                    }
                }
                kept.push(path);
            }
            machine.sync().unwrap();
            for path in kept {
                machine.unlink(&path).unwrap();
            }
        }
        machine.unmount().unwrap().fsck().unwrap();
    }
}

/// The inode on the disk does not speak of bytes that have no place.
#[test]
fn a_crash_does_not_show_a_size_without_bytes() {
    for args in [&["-b", "1024"][..], &["-b", "1024", "-O", POINTERS]] {
        let machine = Machine::mount(&disk(16, args)).unwrap();
        machine.write_file("/synced", &[1; 5000]).unwrap();
        machine.fsync("/synced").unwrap();
        machine.append("/synced", &[2; 9000]).unwrap();
        machine.write_file("/new", &[3; 29_000]).unwrap();
        let crashed = after_a_crash(&machine);
        let found = crashed.read_file("/synced").unwrap();
        // Its last block had a place: a size up to there would be right too.
        let whole = (5000..=5120).contains(&found.len()) && found[..5000].iter().all(|&b| b == 1);
        assert!(whole, "{args:?}: {}", found.len());
        assert_eq!(crashed.stat("/new").unwrap().size, 0);
        assert_eq!(machine.stat("/new").unwrap().size, 29_000);
        machine.fsync("/new").unwrap();
        assert_eq!(after_a_crash_again(&machine).read_file("/new").unwrap(), [3; 29_000]);
    }
}

fn after_a_crash_again(machine: &Machine) -> Machine {
    Machine::mount(&machine.snapshot()).unwrap()
}

/// A file that replaces another by rename, or by being cut and written anew, is there whole after a crash;
/// with `noauto_da_alloc` it is not.
#[test]
fn what_replaces_a_file_is_never_empty() {
    let (old, new) = (vec![1u8; 20_000], vec![2u8; 30_000]);
    for (options, whole) in [("", true), ("noauto_da_alloc", false)] {
        let machine = mount(&disk(16, &["-b", "1024"]), options);
        for path in ["/renamed", "/cut"] {
            machine.write_file(path, &old).unwrap();
        }
        machine.sync().unwrap();
        machine.write_file("/temporary", &new).unwrap();
        machine.rename("/temporary", "/renamed").unwrap();
        let file = machine.open("/cut", WRITE | OpenFlags::TRUNC, 0).unwrap();
        write_all(&file, &new, 0).unwrap();
        drop(file);
        let crashed = after_a_crash(&machine);
        for path in ["/renamed", "/cut"] {
            let found = crashed.read_file(path).unwrap();
            assert_eq!(found == new, whole, "{path}, {options}: {} bytes", found.len());
        }
    }
}

#[test]
fn seeks_find_bytes_that_have_no_place() {
    for (args, mapped) in [(&["-b", "1024"][..], 0), (&["-b", "1024", "-O", POINTERS], MERGED)] {
        let machine = Machine::mount(&disk(16, args)).unwrap();
        machine.create("/f", 0o644).unwrap();
        machine.pwrite("/f", 8 * KIB, &[1; 3000]).unwrap();
        machine.pwrite("/f", 40 * KIB, &[1; 10]).unwrap();
        let file = machine.open("/f", OpenFlags::empty(), 0).unwrap();
        let look = || {
            let seek = |at: u64, whence| vfs::lseek::lseek(&file, at as i64, whence);
            [seek(0, DATA), seek(8 * KIB, HOLE), seek(12 * KIB, DATA), seek(40 * KIB, HOLE), seek(0, HOLE)]
        };
        let found = look();
        assert_eq!(found, [8 * KIB, 11 * KIB, 40 * KIB, 40 * KIB + 10, 0].map(Ok));
        assert_eq!(fiemap(&machine, "/f", KIB), [(8, 3, DELAYED), (40, 1, DELAYED | LAST)]);
        machine.sync().unwrap();
        assert_eq!(look(), found);
        assert_eq!(fiemap(&machine, "/f", KIB), [(8, 3, mapped), (40, 1, mapped | LAST)]);
    }
}

#[test]
fn fallocate_over_bytes_that_have_no_place() {
    for args in [&["-b", "1024"][..], &["-b", "4096"]] {
        let machine = Machine::mount(&disk(16, args)).unwrap();
        machine.sync().unwrap();
        let (free, block) = machine.statfs().map(|s| (s.blocks_free, s.block_size)).unwrap();
        let bytes = Rng::new(5).bytes(40_960);
        machine.create("/f", 0o644).unwrap();
        machine.pwrite("/f", 16 * KIB, &bytes[..16 << 10]).unwrap();
        machine.fallocate("/f", 0, 0, 64 * KIB).unwrap();
        assert_eq!(machine.statfs().unwrap().blocks_free, free - 64 * KIB / block);
        assert_eq!(machine.stat("/f").unwrap().blocks, 128);
        let told = fiemap(&machine, "/f", block);
        assert!(told.iter().all(|extent| extent.2 & !LAST == UNWRITTEN), "{told:?}");
        // Into unwritten blocks: no more room is needed, and it is data at once.
        machine.pwrite("/f", 48 * KIB, &bytes[..4096]).unwrap();
        assert_eq!(machine.statfs().unwrap().blocks_free, free - 64 * KIB / block);
        let file = machine.open("/f", OpenFlags::empty(), 0).unwrap();
        assert_eq!(vfs::lseek::lseek(&file, 33 * 1024, DATA), Ok(48 * KIB));
        drop(file);
        let mut expected = vec![0; 64 << 10];
        expected[16 << 10..32 << 10].copy_from_slice(&bytes[..16 << 10]);
        expected[48 << 10..52 << 10].copy_from_slice(&bytes[..4096]);
        // Out of the middle, and zeros over an end.
        machine.pwrite("/f", 60 * KIB, &[9; 8192]).unwrap();
        expected.resize(68 << 10, 9);
        expected[60 << 10..].fill(9);
        machine.fallocate("/f", 3, 20 * KIB + 100, 4 * KIB).unwrap();
        expected[(20 << 10) + 100..][..4096].fill(0);
        machine.fallocate("/f", 0x10, 62 * KIB, 1000).unwrap();
        expected[62 << 10..][..1000].fill(0);
        assert!(machine.read_file("/f").unwrap() == expected);
        machine.sync().unwrap();
        let image = machine.unmount().unwrap();
        image.fsck().unwrap();
        let machine = Machine::mount(&image).unwrap();
        assert!(machine.read_file("/f").unwrap() == expected);
        machine.unlink("/f").unwrap();
        assert_eq!(machine.statfs().unwrap().blocks_free, free);
    }
}

/// EXT4_IOC_ALLOC_DA_BLOCKS as a user: 0, or what it is refused with.
fn alloc_da_blocks(machine: &Machine, path: &str, uid: u32, capable: bool) -> Result<u64, Errno> {
    let memory = FakeUser::new(0x1000, 8);
    let file = machine.open(path, OpenFlags::empty(), 0)?;
    file.ops().ioctl(&file, 0x660c, 0, &Caller { memory: &memory, capable, uid })
}

#[test]
fn a_program_asks_for_the_blocks_now() {
    let machine = Machine::mount(&disk(16, &["-b", "1024"])).unwrap();
    machine.mkdir("/d").unwrap();
    machine.write_file("/f", &[7; 64 << 10]).unwrap();
    machine.chown("/f", 5, 5).unwrap();
    assert_eq!(alloc_da_blocks(&machine, "/f", 6, false), Err(Errno::EACCES));
    assert_eq!(fiemap(&machine, "/f", KIB), [(0, 64, DELAYED | LAST)]);
    for (uid, capable) in [(5, false), (6, true)] {
        assert_eq!(alloc_da_blocks(&machine, "/f", uid, capable), Ok(0));
        let told = fiemap(&machine, "/f", KIB);
        assert!(told.len() == 1 && told[0].2 == LAST, "{told:?}");
    }
    assert_eq!(alloc_da_blocks(&machine, "/d", 0, true), Ok(0));
    machine.vfs_mount().superblock().remount(vfs::MountFlags::RDONLY, "").unwrap();
    assert_eq!(alloc_da_blocks(&machine, "/f", 0, true), Err(Errno::EROFS));
    machine.unmount().unwrap().fsck().unwrap();
}

#[test]
fn what_is_reserved_is_counted() {
    let machine = Machine::mount(&disk(16, &["-b", "1024"])).unwrap();
    // Other tests have their mounts beside this one, with other numbers of blocks.
    let seen = |blocks| {
        let counted =
            |(number, _)| ext4::counters(number).is_some_and(|c| c.delayed_allocation_blocks == blocks);
        ext4::mounted().into_iter().any(counted)
    };
    machine.write_file("/f", &[7; 2357 << 10]).unwrap();
    assert!(seen(2357));
    machine.truncate("/f", 1357 << 10).unwrap();
    assert!(seen(1357) && !seen(2357));
    machine.sync().unwrap();
    assert!(!seen(1357));
    machine.unmount().unwrap().fsck().unwrap();
}

#[test]
fn nodelalloc_and_older_types_allocate_at_once() {
    let row = |fs_type, options: &str| Options { fs_type, options: options.into(), ..Options::default() };
    for (args, options) in [
        (&["-b", "1024"][..], row("ext4", "nodelalloc")),
        (&["-b", "1024", "-t", "ext3"], row("ext3", "")),
        (&["-b", "1024", "-t", "ext2"], row("ext2", "")),
        (&["-b", "1024", "-O", POINTERS], row("ext4", "nodelalloc")),
    ] {
        let machine = Machine::mount_with(&disk(16, args), &options).unwrap();
        machine.write_file("/f", &[1; 8192]).unwrap();
        let told = fiemap(&machine, "/f", KIB);
        assert!(!told.is_empty() && told.iter().all(|extent| extent.2 & DELAYED == 0), "{args:?}: {told:?}");
        machine.unmount().unwrap().fsck().unwrap();
    }
}

/// A writer makes the file longer and stores that in a handle of its own; writeback that comes in between and
/// finds the blocks where they were has no handle, and nothing to store.
#[test]
fn writeback_stores_no_inode_outside_a_handle() {
    let machine = Machine::mount(&disk(16, &["-b", "1024"])).unwrap();
    let file = machine.open("/f", WRITE | OpenFlags::CREAT, 0o644).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            (0..40_000).for_each(|n| write_all(&file, &[1; 8], n * 8).unwrap());
            done.store(true, Ordering::Relaxed);
        });
        let pages = file.ops().pages().unwrap();
        while !done.load(Ordering::Relaxed) {
            pagecache::filemap_write_and_wait_range(pages.mapping, pages.ops, 0..u64::MAX).unwrap();
        }
    });
    let stray: u64 = jbd2::journals().iter().map(|(_, journal)| journal.stats().stray).sum();
    assert_eq!(stray, 0);
}

/// Blocks held for pointers that delayed blocks may need are given up for a new directory, too.
#[test]
fn a_new_name_gets_what_is_held_for_pointers() {
    for args in [&["-b", "1024", "-m", "0", "-O", POINTERS][..], &["-b", "1024", "-t", "ext2", "-m", "0"]] {
        let machine = Machine::mount(&disk(8, args)).unwrap();
        machine.create("/rows", 0o644).unwrap();
        let rows = machine.open("/rows", WRITE, 0).unwrap();
        let available = machine.statfs().unwrap().blocks_available;
        machine.write_file("/full", &vec![2; (available - 900) as usize * 1024]).unwrap();
        machine.sync().unwrap();
        // Each in a row of its own, and of more blocks above these than one is not needed.
        (1..100).for_each(|n| write_all(&rows, &[1; 1024], n * 512 * KIB).unwrap());
        let made = (0..2000).take_while(|n| machine.mkdir(format!("/new{n}")).is_ok()).count();
        machine.sync().unwrap();
        let left = machine.statfs().unwrap().blocks_free;
        assert!(made > 600 && left <= 1, "{args:?}: {left} blocks left beside {made} directories");
        drop(rows);
        machine.unmount().unwrap().fsck().unwrap();
    }
}

/// A disk that is full, and four threads that write, delete and sync: who was promised a block gets one, whoever
/// frees, keeps and looks for blocks meanwhile.
#[test]
fn a_full_disk_keeps_its_promises() {
    for args in [&["-b", "1024"][..], &["-b", "1024", "-O", "^has_journal"], &["-b", "1024", "-t", "ext3"]] {
        let machine = Machine::mount(&disk(12, args)).unwrap();
        let free = machine.statfs().unwrap().blocks_free;
        thread::scope(|scope| {
            for mine in 0..4u64 {
                let machine = &machine;
                scope.spawn(move || {
                    let mut rng = Rng::new(mine);
                    for round in 0..40 {
                        let path = format!("/f{mine}.{}", round % 5);
                        let _ = machine.unlink(&path);
                        let len = 1 + rng.below(1_200_000) as usize;
                        let bytes = rng.bytes(len);
                        if let Err(error) = machine.write_file(&path, &bytes) {
                            assert_eq!(error, Errno::ENOSPC, "{args:?}");
                        }
                        if rng.below(3) == 0 {
                            assert_eq!(machine.sync(), Ok(()), "{args:?} round {round}");
                        }
                    }
                    for n in 0..5 {
                        let _ = machine.unlink(format!("/f{mine}.{n}"));
                    }
                });
            }
        });
        machine.sync().unwrap();
        assert_eq!(machine.statfs().unwrap().blocks_free, free, "{args:?}");
        machine.unmount().unwrap().fsck().unwrap();
    }
}
