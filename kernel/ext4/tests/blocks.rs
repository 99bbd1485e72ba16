//! Where a file's blocks lie: extent trees of every depth, unwritten extents, holes, block-mapped files.

use base::Errno;
use sim::{Image, Machine, Rng};
use vfs::OpenFlags;

/// The level of the extent tree, as debugfs tells it.
fn depth(image: &Image, path: &str) -> usize {
    let text = image.debugfs(&format!("dump_extents -n \"{path}\"")).unwrap();
    let line = text.lines().nth(1).unwrap();
    line.split('/').nth(1).and_then(|s| s.split_whitespace().next()).map_or(0, |d| d.parse().unwrap())
}

fn leaf_count(image: &Image, path: &str) -> usize {
    let text = image.debugfs(&format!("dump_extents -l \"{path}\"")).unwrap();
    text.lines().skip(1).count()
}

#[test]
fn one_large_write_is_one_extent() {
    for size in ["1024", "2048", "4096"] {
        let machine = Machine::mount(&Image::mkfs(32 << 20, &["-b", size]).unwrap()).unwrap();
        let bytes = Rng::new(5).bytes(3_000_001);
        machine.write_file("/f", &bytes).unwrap();
        assert_eq!(machine.read_file("/f").unwrap(), bytes);
        let image = machine.unmount().unwrap();
        image.fsck().unwrap();
        assert!(leaf_count(&image, "/f") <= 2, "{}", image.debugfs("dump_extents /f").unwrap());
        assert_eq!(image.cat("/f").unwrap(), bytes);
    }
}

#[test]
fn a_file_grown_bit_by_bit_is_few_extents() {
    let machine = Machine::mount(&Image::mkfs(32 << 20, &["-b", "4096"]).unwrap()).unwrap();
    machine.create("/f", 0o644).unwrap();
    for i in 0..1000u32 {
        machine.append("/f", &i.to_le_bytes().repeat(500)).unwrap();
    }
    let image = machine.unmount().unwrap();
    image.fsck().unwrap();
    assert!(leaf_count(&image, "/f") <= 2);
}

/// Two files that grow by turns, and what is taken ahead for them: given back at close, harmless in a
/// crash before that.
#[test]
fn files_that_grow_by_turns() {
    let machine = Machine::mount(&Image::mkfs(32 << 20, &["-b", "1024"]).unwrap()).unwrap();
    let flags = OpenFlags::CREAT | OpenFlags::WRONLY;
    let a = machine.open("/a", flags, 0o644).unwrap();
    let b = machine.open("/b", flags, 0o644).unwrap();
    for i in 0..2000u64 {
        sim::write_all(&a, &[1; 1024], i * 1024).unwrap();
        sim::write_all(&b, &[2; 1024], i * 1024).unwrap();
    }
    machine.sync().unwrap();
    let crashed = machine.snapshot();
    crashed.fsck().unwrap();
    assert!(leaf_count(&crashed, "/a") < 40, "{}", crashed.debugfs("dump_extents /a").unwrap());
    drop((a, b));
    for path in ["/a", "/b"] {
        let blocks = machine.stat(path).unwrap().blocks;
        assert!((4000..4000 + 20).contains(&blocks), "{path}: {blocks}");
    }
    machine.unmount().unwrap().fsck().unwrap();
}

/// Every second block, written in a random order: the tree grows to three levels of 1 KiB nodes, and
/// goes again.
#[test]
fn deep_trees_grow_and_shrink() {
    let machine = Machine::mount(&Image::mkfs(64 << 20, &["-b", "1024"]).unwrap()).unwrap();
    let free = machine.statfs().unwrap().blocks_free;
    machine.create("/f", 0o644).unwrap();
    let mut rng = Rng::new(77);
    let mut order: Vec<u64> = (0..12_000).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, rng.below(i as u64 + 1) as usize);
    }
    let file = machine.open("/f", OpenFlags::RDWR, 0).unwrap();
    for &n in &order {
        sim::write_all(&file, &n.to_le_bytes(), n * 2048 + 5).unwrap();
    }
    machine.sync().unwrap();
    let snapshot = machine.snapshot().replayed().unwrap();
    snapshot.fsck().unwrap();
    assert!(depth(&snapshot, "/f") >= 2);
    assert_eq!(sim::read_all(&file).unwrap(), expected(12_000));
    drop(file);
    // Cut in the middle of a block, then grown again: what was cut reads as zeros.
    machine.truncate("/f", 6_000 * 2048 + 8).unwrap();
    machine.truncate("/f", 7_000 * 2048).unwrap();
    let mut want = expected(6_001);
    want.truncate(6_000 * 2048 + 8);
    want.resize(7_000 * 2048, 0);
    assert_eq!(machine.read_file("/f").unwrap(), want);
    let image = machine.unmount().unwrap();
    image.fsck().unwrap();
    assert_eq!(image.cat("/f").unwrap(), want);
    let machine = Machine::mount(&image).unwrap();
    assert_eq!(machine.read_file("/f").unwrap(), want);
    machine.truncate("/f", 0).unwrap();
    assert_eq!(machine.stat("/f").unwrap().blocks, 0);
    assert_eq!(machine.statfs().unwrap().blocks_free, free);
    machine.unmount().unwrap().fsck().unwrap();
}

fn expected(n: u64) -> Vec<u8> {
    let mut all = vec![0; (n as usize - 1) * 2048 + 13];
    for i in 0..n {
        all[i as usize * 2048 + 5..][..8].copy_from_slice(&i.to_le_bytes());
    }
    all
}

#[test]
fn sizes_far_beyond_the_disk() {
    let machine = Machine::mount(&Image::mkfs(16 << 20, &["-b", "4096"]).unwrap()).unwrap();
    let max = (1u64 << 44) - 4096;
    machine.create("/f", 0o644).unwrap();
    machine.pwrite("/f", max - 10, &[9; 10]).unwrap();
    assert_eq!(machine.stat("/f").unwrap().size, max);
    assert_eq!(machine.truncate("/f", max + 1), Err(Errno::EFBIG));
    let file = machine.open("/f", OpenFlags::RDWR, 0).unwrap();
    assert_eq!(vfs::read_write::kernel_write(&file, b"x", max), Err(Errno::EFBIG));
    assert_eq!(vfs::read_write::kernel_write(&file, b"xy", max - 1), Ok(1));
    let mut buffer = [1; 4096];
    assert_eq!(vfs::read_write::kernel_read(&file, &mut buffer, 1 << 40), Ok(4096));
    assert_eq!(buffer, [0; 4096]);
    drop(file);
    machine.unmount().unwrap().fsck().unwrap();
}

#[test]
fn data_and_holes() {
    let machine = Machine::mount(&Image::mkfs(16 << 20, &["-b", "1024"]).unwrap()).unwrap();
    machine.create("/f", 0o644).unwrap();
    machine.pwrite("/f", 10 * 1024, &[1; 2048]).unwrap();
    machine.pwrite("/f", 100 * 1024, &[1; 10]).unwrap();
    machine.truncate("/f", 200 * 1024).unwrap();
    let file = machine.open("/f", OpenFlags::empty(), 0).unwrap();
    let seek = |at: i64, whence: u32| vfs::lseek::lseek(&file, at, whence);
    const DATA: u32 = 3;
    const HOLE: u32 = 4;
    assert_eq!(seek(0, DATA), Ok(10 * 1024));
    assert_eq!(seek(11 * 1024, DATA), Ok(11 * 1024));
    assert_eq!(seek(12 * 1024, DATA), Ok(100 * 1024));
    assert_eq!(seek(102 * 1024, DATA), Err(Errno::ENXIO));
    assert_eq!(seek(0, HOLE), Ok(0));
    assert_eq!(seek(10 * 1024, HOLE), Ok(12 * 1024));
    assert_eq!(seek(100 * 1024 + 5, HOLE), Ok(101 * 1024));
    assert_eq!(seek(200 * 1024, HOLE), Err(Errno::ENXIO));
}

/// What `fallocate` of debugfs leaves: allocated, and zeros until it is written.
#[test]
fn unwritten_extents() {
    let machine = Machine::mount(&Image::mkfs(16 << 20, &["-b", "1024"]).unwrap()).unwrap();
    machine.write_file("/junk", &[0xee; 6 << 20]).unwrap();
    machine.sync().unwrap();
    machine.unlink("/junk").unwrap();
    machine.create("/f", 0o644).unwrap();
    machine.truncate("/f", 4000 * 1024).unwrap();
    let image = machine.unmount().unwrap().changed("fallocate /f 0 3999").unwrap();
    image.fsck().unwrap();
    let machine = Machine::mount(&image).unwrap();
    let mut want = vec![0; 4000 * 1024];
    assert_eq!(machine.read_file("/f").unwrap(), want);
    let mut rng = Rng::new(3);
    for _ in 0..300 {
        let len = 1 + rng.below(5000) as usize;
        let at = rng.below(4000 * 1024 - len as u64);
        let byte = 1 + rng.below(255) as u8;
        machine.pwrite("/f", at, &vec![byte; len]).unwrap();
        want[at as usize..at as usize + len].fill(byte);
    }
    assert_eq!(machine.read_file("/f").unwrap(), want);
    let image = machine.unmount().unwrap();
    image.fsck().unwrap();
    assert_eq!(image.cat("/f").unwrap(), want);
    let machine = Machine::mount(&image).unwrap();
    assert_eq!(machine.read_file("/f").unwrap(), want);
    machine.unlink("/f").unwrap();
    machine.unmount().unwrap().fsck().unwrap();
}

/// Files as ext2 and ext3 map them: direct, indirect, double and triple.
#[test]
fn block_mapped_files_are_read() {
    for block in ["1024", "4096"] {
        let host = tempfile::tempdir().unwrap();
        let bytes = Rng::new(8).bytes(5_000_000);
        std::fs::write(host.path().join("f"), &bytes).unwrap();
        let args = ["-b", block, "-O", "^extent,^64bit,^has_journal"];
        let image = Image::mkfs_with(24 << 20, &args, host.path()).unwrap();
        let machine = Machine::mount(&image).unwrap();
        assert_eq!(machine.read_file("/f").unwrap(), bytes);
        machine.unmount().unwrap();
    }
}

/// The same files on a disk that has extents by now: overwritten, grown, cut and deleted.
#[test]
fn block_mapped_files_among_extents() {
    let host = tempfile::tempdir().unwrap();
    let mut bytes = Rng::new(8).bytes(5_000_000);
    std::fs::write(host.path().join("f"), &bytes).unwrap();
    std::fs::write(host.path().join("g"), &bytes).unwrap();
    let args = ["-b", "1024", "-O", "^extent,^64bit,^has_journal"];
    let image = Image::mkfs_with(24 << 20, &args, host.path()).unwrap();
    let image = image.changed("feature extents").unwrap();
    image.fsck().unwrap();
    let machine = Machine::mount(&image).unwrap();
    let free = machine.statfs().unwrap().blocks_free;
    machine.pwrite("/f", 2_000_000, &[5; 100_000]).unwrap();
    bytes[2_000_000..2_100_000].fill(5);
    machine.append("/f", &[1; 5000]).unwrap();
    bytes.extend([1; 5000]);
    assert_eq!(machine.read_file("/f").unwrap(), bytes);
    for size in [4_000_000, 300_000, 270_000, 12 * 1024 + 1, 12 * 1024, 5] {
        machine.truncate("/f", size).unwrap();
        bytes.truncate(size as usize);
        assert_eq!(machine.read_file("/f").unwrap(), bytes);
    }
    machine.unlink("/g").unwrap();
    assert!(machine.statfs().unwrap().blocks_free > free + 9000);
    machine.write_file("/new", &[1; 50_000]).unwrap();
    machine.unmount().unwrap().fsck().unwrap();
}

/// A byte behind each level of pointers, then cut away level by level: blocks of pointers in which
/// nothing is left go.
#[test]
fn pointers_of_three_levels() {
    let args = ["-t", "ext2", "-b", "1024", "-O", "large_file"];
    let machine = Machine::mount(&Image::mkfs(8 << 20, &args).unwrap()).unwrap();
    machine.create("/f", 0o644).unwrap();
    let sectors = || machine.stat("/f").unwrap().blocks / 2;
    let places = [0u64, 12, 12 + 256, 12 + 256 + 65_536, 12 + 256 + 65_536 + 16_777_215];
    for (n, want) in places.into_iter().zip([1, 3, 6, 10, 13]) {
        machine.pwrite("/f", n << 10, b"x").unwrap();
        machine.fsync("/f").unwrap();
        assert_eq!(sectors(), want, "block {n}");
    }
    let max = 17_247_252_480;
    machine.truncate("/f", max).unwrap();
    assert_eq!(machine.truncate("/f", max + 1), Err(Errno::EFBIG));
    let file = machine.open("/f", OpenFlags::RDWR, 0).unwrap();
    assert_eq!(vfs::read_write::kernel_write(&file, b"xy", max - 1), Ok(1));
    assert_eq!(vfs::read_write::kernel_write(&file, b"x", max), Err(Errno::EFBIG));
    drop(file);
    machine.snapshot().fsck().unwrap();
    for (n, left) in places.into_iter().zip([1, 3, 6, 10, 13]).rev() {
        machine.truncate("/f", (n << 10) + 1).unwrap();
        assert_eq!(sectors(), left, "block {n}");
        let image = machine.snapshot();
        image.fsck().unwrap();
    }
    machine.truncate("/f", 0).unwrap();
    assert_eq!(sectors(), 0);
    machine.unmount().unwrap().fsck().unwrap();
}

/// A disk of block-mapped files that becomes full keeps what was there and gives all of it back.
#[test]
fn a_full_disk_of_pointers() {
    for args in [["-t", "ext2", "-b", "1024"], ["-t", "ext3", "-b", "4096"]] {
        let machine = Machine::mount(&Image::mkfs(24 << 20, &args).unwrap()).unwrap();
        let free = machine.statfs().unwrap().blocks_free;
        machine.create("/f", 0o644).unwrap();
        let mut rng = Rng::new(5);
        let mut written = 0;
        // Here and there, so that the last blocks are wanted by all levels.
        while machine.pwrite("/f", rng.below(1 << 17) << 12, &[7; 4096]).is_ok() {
            written += 1;
            assert!(written < 10_000);
        }
        machine.sync().unwrap();
        machine.snapshot().fsck().unwrap();
        machine.unlink("/f").unwrap();
        assert_eq!(machine.statfs().unwrap().blocks_free, free);
        machine.unmount().unwrap().fsck().unwrap();
    }
}
