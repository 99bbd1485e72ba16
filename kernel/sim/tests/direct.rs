//! O_DIRECT on files: around the cache and coherent with it, on every kind of blocks.

use base::Errno;
use sim::{Image, Machine, Started, copy_range, read_all, read_direct, write_all, write_direct};
use vfs::{KiocbFlags, OpenFlags};

const BLOCKS: [&[&str]; 3] = [&["-b", "1024"], &["-b", "4096"], &["-b", "1024", "-O", "^extents,^64bit"]];

fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|i| (i / 7) as u8 ^ seed.wrapping_mul(31) ^ (i as u8)).collect()
}

/// On each kind of disk; e2fsck at the end.
fn on_each(work: impl Fn(&Machine)) {
    for args in BLOCKS {
        let m = Machine::mount(&Image::mkfs(16 << 20, args).unwrap()).unwrap();
        work(&m);
        let image = m.unmount().unwrap();
        image.fsck().unwrap();
    }
}

fn open(m: &Machine, path: &str) -> std::sync::Arc<vfs::File> {
    m.open(path, OpenFlags::RDWR | OpenFlags::CREAT | OpenFlags::DIRECT, 0o600).unwrap()
}

#[test]
fn a_file_grows_and_reads_back() {
    on_each(|m| {
        let file = open(m, "/f");
        let bytes = pattern(70_000, 1);
        assert_eq!(write_direct(&file, &bytes[..65536], 0), Ok(65536));
        assert_eq!(m.stat("/f").unwrap().size, 65536);
        // The rest ends within a block.
        assert_eq!(write_direct(&file, &bytes[65536..69_632 - 512], 65536), Ok(3584));
        assert_eq!(read_direct(&file, 0, 1 << 17).unwrap(), bytes[..69_120]);
        assert_eq!(read_all(&file).unwrap(), bytes[..69_120]);
        // The last block is whole on the disk, its rest zeros: a hole follows, then data.
        assert_eq!(write_direct(&file, &bytes[..4096], 81_920), Ok(4096));
        let mut want = bytes[..69_120].to_vec();
        want.resize(81_920, 0);
        want.extend_from_slice(&bytes[..4096]);
        assert_eq!(read_direct(&file, 0, 1 << 17).unwrap(), want);
        assert_eq!(read_all(&file).unwrap(), want);
    });
}

#[test]
fn alignment() {
    on_each(|m| {
        let file = open(m, "/f");
        write_all(&file, &pattern(10_000, 2), 0).unwrap();
        assert_eq!(write_direct(&file, &[1; 100], 0), Err(Errno::EINVAL));
        assert_eq!(write_direct(&file, &[1; 512], 100), Err(Errno::EINVAL));
        assert_eq!(read_direct(&file, 0, 100), Err(Errno::EINVAL));
        assert_eq!(read_direct(&file, 1, 512), Err(Errno::EINVAL));
        // At the end nothing is looked at, and the last part of a sector is read.
        assert_eq!(read_direct(&file, 10_001, 5), Ok(vec![]));
        assert_eq!(read_direct(&file, 9728, 512).unwrap(), pattern(10_000, 2)[9728..]);
        assert_eq!(write_direct(&file, &[], 77), Ok(0));
        assert_eq!(read_all(&file).unwrap(), pattern(10_000, 2));
    });
}

/// Blocks of pointers have no unwritten ones: what fills a hole there goes through the cache, before its alignment is
/// looked at.
#[test]
fn an_unaligned_write_into_a_hole() {
    on_each(|m| {
        let file = open(m, "/f");
        write_all(&file, &pattern(4096, 3), 0).unwrap();
        m.truncate("/f", 20_000).unwrap();
        let bytes = pattern(5000, 4);
        match write_direct(&file, &bytes, 10_001) {
            Ok(done) => {
                assert_eq!(done, 5000);
                let mut want = pattern(4096, 3);
                want.resize(20_000, 0);
                want[10_001..15_001].copy_from_slice(&bytes);
                assert_eq!(read_direct(&file, 0, 1 << 16).unwrap(), want);
                assert_eq!(read_all(&file).unwrap(), want);
            }
            Err(error) => {
                assert_eq!(error, Errno::EINVAL);
                assert_eq!(read_direct(&file, 8192, 1 << 16).unwrap(), vec![0; 20_000 - 8192]);
            }
        }
        let bare = write_direct(&file, &bytes, 17_001).is_ok();
        assert_eq!(m.fallocate("/f", 0, 0, 1), if bare { Err(Errno::EOPNOTSUPP) } else { Ok(()) });
        assert_eq!(write_direct(&file, &bytes, 1), Err(Errno::EINVAL), "there is data");
        let end = m.stat("/f").unwrap().size;
        assert_eq!(write_direct(&file, &bytes, end + 3000), Err(Errno::EINVAL), "nor behind the end");
    });
}

#[test]
fn an_unaligned_read_of_a_hole_and_data_is_refused_as_a_whole() {
    on_each(|m| {
        let file = open(m, "/f");
        m.truncate("/f", 20_000).unwrap();
        assert_eq!(read_direct(&file, 3, 10_000).unwrap(), vec![0; 10_000]);
        write_all(&file, &[7; 4096], 8192).unwrap();
        assert_eq!(read_direct(&file, 3, 10_000), Err(Errno::EINVAL));
        assert_eq!(read_direct(&file, 3, 8000).unwrap(), vec![0; 8000]);
    });
}

/// sendfile, copy_file_range and splice are refused what the program's own memory would be.
#[test]
fn the_kernels_copies_are_aligned_too() {
    on_each(|m| {
        let (file, cached) =
            (open(m, "/f"), m.open("/g", OpenFlags::RDWR | OpenFlags::CREAT, 0o600).unwrap());
        write_all(&cached, &pattern(12_000, 3), 0).unwrap();
        m.truncate("/f", 50_000).unwrap();
        assert_eq!(write_direct(&file, &[0; 4096], 4096), Ok(4096), "no hole");
        let io = |at, len| copy_range((&cached, at), (&file, 4096), len);
        assert_eq!(io(0, 100), Err(Errno::EINVAL));
        assert_eq!((io(100, 512), io(100, 0)), (Err(Errno::EINVAL), Ok(0)));
        assert_eq!(io(512, 1024), Ok(1024));
        assert_eq!(copy_range((&file, 4096), (&cached, 0), 100), Err(Errno::EINVAL));
        assert_eq!(copy_range((&file, 20_001), (&cached, 20_000), 100), Ok(100));
        assert_eq!(copy_range((&file, 4096), (&cached, 30_000), 1024), Ok(1024));
        assert_eq!(read_all(&cached).unwrap()[30_000..], pattern(12_000, 3)[512..1536]);
    });
}

#[test]
fn holes_are_filled_and_what_is_left_of_their_blocks_is_zeros() {
    on_each(|m| {
        let file = open(m, "/f");
        m.truncate("/f", 100_000).unwrap();
        let mut want = vec![0; 100_000];
        for (at, len) in [(512, 512), (20_480 + 1536, 8192), (40_960, 4096), (98_304, 1536)] {
            let bytes = pattern(len, at as u8);
            assert_eq!(write_direct(&file, &bytes, at as u64), Ok(len));
            want[at..at + len].copy_from_slice(&bytes);
            assert_eq!(read_direct(&file, 0, 1 << 17).unwrap(), want, "{at} {len}");
        }
        assert_eq!(read_all(&file).unwrap(), want);
        pagecache::drop_caches();
        assert_eq!(read_all(&file).unwrap(), want);
    });
}

#[test]
fn reserved_blocks_become_written_where_they_were() {
    for args in &BLOCKS[..2] {
        let m = Machine::mount(&Image::mkfs(16 << 20, args).unwrap()).unwrap();
        let file = open(&m, "/f");
        m.fallocate("/f", 0, 0, 65_536).unwrap();
        let blocks = m.stat("/f").unwrap().blocks;
        let mut want = vec![0; 65_536];
        for at in [8192, 16_384 + 512, 61_440] {
            let bytes = pattern(2048, at as u8);
            assert_eq!(write_direct(&file, &bytes, at as u64), Ok(2048));
            want[at..at + 2048].copy_from_slice(&bytes);
        }
        // But for a block of the tree.
        assert!(m.stat("/f").unwrap().blocks <= blocks + 8);
        assert_eq!(read_direct(&file, 0, 65_536).unwrap(), want);
        // Behind the end, too.
        m.fallocate("/f", 1, 65_536, 65_536).unwrap();
        assert_eq!(write_direct(&file, &want[..4096], 65_536), Ok(4096));
        assert_eq!(m.stat("/f").unwrap().size, 69_632);
        drop(file);
        let image = m.unmount().unwrap();
        image.fsck().unwrap();
        want.extend_from_within(..4096);
        assert!(image.cat("/f").unwrap() == want);
    }
}

#[test]
fn with_the_cache() {
    on_each(|m| {
        let file = open(m, "/f");
        let old = pattern(40_960, 3);
        write_all(&file, &old, 0).unwrap();
        // Dirty, and read around the cache.
        assert_eq!(read_direct(&file, 4096, 8192).unwrap(), old[4096..12_288]);
        // Cached, and written around it.
        let new = pattern(8192, 4);
        assert_eq!(write_direct(&file, &new, 8192), Ok(8192));
        write_all(&file, b"dirty again", 8192 + 100).unwrap();
        let mut want = old;
        want[8192..16_384].copy_from_slice(&new);
        want[8292..8303].copy_from_slice(b"dirty again");
        assert_eq!(read_all(&file).unwrap(), want);
        assert_eq!(read_direct(&file, 0, 40_960).unwrap(), want);
    });
}

#[test]
fn a_full_disk_makes_it_short() {
    let m = Machine::mount(&Image::mkfs(4 << 20, &["-b", "1024", "-m", "0"]).unwrap()).unwrap();
    let file = open(&m, "/f");
    let bytes = pattern(8 << 20, 5);
    let mut done = 0;
    let error = loop {
        match write_direct(&file, &bytes[done..], done as u64) {
            Ok(n) => done += n,
            Err(error) => break error,
        }
    };
    assert_eq!(error, Errno::ENOSPC);
    assert!(done > 1 << 20 && m.stat("/f").unwrap().size == done as u64);
    drop(file);
    let image = m.unmount().unwrap();
    image.fsck().unwrap();
    assert!(image.cat("/f").unwrap() == bytes[..done]);
}

#[test]
fn nobody_waits() {
    on_each(|m| {
        let file = open(m, "/f");
        let mut want = pattern(1 << 20, 6);
        write_all(&file, &want, 0).unwrap();
        m.fsync("/f").unwrap();
        m.fallocate("/f", 3, 300_000, 200_000).ok();
        want = read_all(&file).unwrap();
        let mut started = Vec::new();
        for i in 0..32 {
            let (at, bytes) = (i * 32_768, pattern(16_384, i as u8));
            let flags = if i % 3 == 0 { KiocbFlags::DSYNC } else { KiocbFlags::empty() };
            started.push(Started::write(&file, &bytes, at as u64, flags));
            want[at..at + bytes.len()].copy_from_slice(&bytes);
        }
        // Waits for them, and so does what comes behind it.
        m.truncate("/f", 900_000).unwrap();
        want.truncate(900_000);
        assert!(started.iter().all(|one| one.wait() == Ok(16_384)));
        let reads: Vec<_> =
            (0..9).map(|i| (i * 102_400, Started::read(&file, i as u64 * 102_400, 102_400))).collect();
        for (at, read) in reads {
            assert!(read.bytes().unwrap() == want[at..want.len().min(at + 102_400)], "{at}");
        }
        assert_eq!(Started::read(&file, 900_000, 512).wait(), Ok(0));
        assert_eq!(Started::write(&file, &[0; 100], 0, KiocbFlags::empty()).wait(), Err(Errno::EINVAL));
        assert!(read_all(&file).unwrap() == want);
    });
}

#[test]
fn without_waiting() {
    on_each(|m| {
        let file = open(m, "/f");
        let bytes = pattern(40_960, 7);
        assert_eq!(write_direct(&file, &bytes, 0), Ok(40_960));
        let no_wait = |at, len: usize| Started::write(&file, &vec![9; len], at, KiocbFlags::NOWAIT).wait();
        assert_eq!(no_wait(4096, 8192), Ok(8192));
        // It would grow, have parts of blocks, or want room.
        assert_eq!(no_wait(40_960, 4096), Err(Errno::EAGAIN));
        assert_eq!(
            no_wait(512, 512),
            if m.statfs().unwrap().block_size == 512 { Ok(512) } else { Err(Errno::EAGAIN) }
        );
        m.truncate("/f", 1 << 20).unwrap();
        assert_eq!(no_wait(81_920, 4096), Err(Errno::EAGAIN));
    });
}
