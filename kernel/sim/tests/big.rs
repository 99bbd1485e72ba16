//! What is large: a file beyond 4 GiB, a disk whose free space is in a million pieces. The disks are
//! files with holes; e2fsck has the last word on each.

use std::sync::Arc;
use std::time::Instant;

use sim::{FileDisk, Machine, Rng, write_all};
use vfs::OpenFlags;

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;
const KEEP_SIZE: u32 = 1;
const PUNCH_HOLE: u32 = 2;

fn mount(disk: &Arc<FileDisk>) -> Machine {
    Machine::mount_file(disk).unwrap()
}

fn done(m: Machine, disk: &FileDisk) {
    m.unmount().unwrap();
    disk.fsck().unwrap();
}

fn read_at(m: &Machine, path: &str, pos: u64, len: usize) -> Vec<u8> {
    let file = m.open(path, OpenFlags::empty(), 0).unwrap();
    let mut bytes = vec![0; len];
    let got = vfs::read_write::kernel_read(&file, &mut bytes, pos).unwrap();
    bytes.truncate(got);
    bytes
}

/// All blocks of 4 GiB and more belong to it; content lies at its ends, around 2 and 4 GiB, and at a
/// thousand other places, is there after a mount, and the places between are zeros.
#[test]
fn a_file_beyond_4_gib() {
    const SIZE: u64 = 4 * GIB + 300 * MIB + 77;
    let disk = FileDisk::mkfs(5 * GIB, &["-b", "4096"]).unwrap();
    let m = mount(&disk);
    let free = m.statfs().unwrap().blocks_free;
    m.create("/f", 0o644).unwrap();
    m.fallocate("/f", 0, 0, SIZE).unwrap();
    let mut rng = Rng::new(4);
    let mut places = vec![0, 2 * GIB - 3000, 4 * GIB - 5000, 4 * GIB, SIZE - 9000];
    places.extend((0..1000).map(|i| 5 * MIB + i * 4 * MIB + rng.below(3 * MIB)).filter(|p| p % GIB > MIB));
    let content = |place: u64| Rng::new(place).bytes(9000);
    let file = m.open("/f", OpenFlags::RDWR, 0).unwrap();
    for &place in &places {
        write_all(&file, &content(place), place).unwrap();
    }
    drop(file);
    let stat = m.stat("/f").unwrap();
    assert_eq!(stat.size, SIZE);
    assert!(stat.blocks * 512 >= SIZE, "{} sectors", stat.blocks);
    done(m, &disk);
    let m = mount(&disk);
    // The later of two that overlap has won.
    for &place in &places {
        let whole = places.iter().all(|&p| p == place || p.abs_diff(place) >= 9000);
        if whole {
            assert_eq!(read_at(&m, "/f", place, 9000), content(place), "{place}");
            assert!(read_at(&m, "/f", place + 9000, 1000).iter().all(|&b| b == 0), "behind {place}");
        }
    }
    assert_eq!(read_at(&m, "/f", SIZE - 10, 100), content(SIZE - 9000)[8990..]);
    m.truncate("/f", 4 * GIB + 1).unwrap();
    assert_eq!(read_at(&m, "/f", 4 * GIB - 1, 10).len(), 2);
    m.unlink("/f").unwrap();
    assert_eq!(m.statfs().unwrap().blocks_free, free);
    done(m, &disk);
}

/// Every second block of the disk is free, a million of them. Files are allocated out of that, freed and
/// allocated again; the last ones to fit get what is left and not more.
#[test]
fn a_million_pieces_of_free_space() {
    const RUNS: u64 = 1_000_000;
    let begin = Instant::now();
    let told = |what: &str| println!("{:6.2} s: {what}", begin.elapsed().as_secs_f64());
    let disk =
        FileDisk::mkfs(2_200 * MIB, &["-b", "1024", "-m", "0", "-N", "1024", "-O", "^has_journal"]).unwrap();
    let m = mount(&disk);
    let empty = m.statfs().unwrap().blocks_free;
    m.create("/comb", 0o644).unwrap();
    m.fallocate("/comb", 0, 0, 2 * RUNS * 1024).unwrap();
    // What is free beside it goes to a file of its own.
    m.create("/rest", 0o644).unwrap();
    let mut rest = 0;
    for size in [64 * MIB, MIB, 64 << 10, 4 << 10] {
        while m.fallocate("/rest", 0, rest, size).is_ok() {
            rest += size;
        }
    }
    told("the disk is full");
    let file = m.open("/comb", OpenFlags::RDWR, 0).unwrap();
    for run in 0..RUNS {
        let at = i64::try_from(run * 2048 + 1024).unwrap();
        vfs::attr_ops::fallocate(&file, PUNCH_HOLE | KEEP_SIZE, at, 1024, u64::MAX, &vfs::Cred::ROOT)
            .unwrap();
    }
    drop(file);
    told("a million holes");
    let combed = m.statfs().unwrap().blocks_free;
    assert!(combed > RUNS * 9 / 10, "{combed} blocks are free");
    m.sync().unwrap();
    disk.fsck().unwrap();
    told("e2fsck");
    let m = {
        m.unmount().unwrap();
        mount(&disk)
    };
    for round in 0..2 {
        let sizes = [300 * MIB, 100 * MIB, 50 * MIB, MIB];
        for (i, size) in sizes.into_iter().enumerate() {
            let path = format!("/f{i}");
            m.create(&path, 0o644).unwrap();
            m.fallocate(&path, 0, 0, size).unwrap();
            let blocks = m.stat(&path).unwrap().blocks;
            assert!(blocks * 512 >= size, "{blocks}");
        }
        m.write_file("/w", &Rng::new(round).bytes(10 << 20)).unwrap();
        m.sync().unwrap();
        told("files in the pieces");
        assert_eq!(m.read_file("/w").unwrap(), Rng::new(round).bytes(10 << 20));
        for i in 0..sizes.len() {
            m.unlink(format!("/f{i}")).unwrap();
        }
        m.unlink("/w").unwrap();
        assert_eq!(m.statfs().unwrap().blocks_free, combed);
        told("freed");
    }
    done(m, &disk);
    let m = mount(&disk);
    m.unlink("/comb").unwrap();
    m.unlink("/rest").unwrap();
    assert_eq!(m.statfs().unwrap().blocks_free, empty);
    done(m, &disk);
    told("all freed");
}
