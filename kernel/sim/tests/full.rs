//! Disks that run out of blocks or inodes, and files that need many extents.

use base::Errno;
use sim::{Image, Machine, Rng, write_all};
use vfs::OpenFlags;

const MIB: u64 = 1 << 20;

fn image(mib: u64, args: &[&str]) -> Image {
    Image::mkfs(mib * MIB, args).unwrap()
}

fn done(m: Machine) -> Image {
    let image = m.unmount().unwrap();
    image.fsck().unwrap();
    image
}

#[test]
fn full_and_empty_again() {
    for args in [&["-b", "1024"][..], &["-b", "4096", "-O", "^has_journal"]] {
        let m = Machine::mount(&image(6, args)).unwrap();
        let free = m.statfs().unwrap().blocks_free;
        for round in 0..3 {
            let bytes = Rng::new(round).bytes(200_000);
            let mut made = 0;
            let error = loop {
                match m.write_file(format!("/f{made}"), &bytes) {
                    Ok(()) => made += 1,
                    Err(e) => break e,
                }
            };
            assert_eq!(error, Errno::ENOSPC);
            assert!(made > 3, "{made}");
            // Directories need blocks, names may not.
            let mut dirs = 0;
            while m.mkdir(format!("/d{dirs}")).is_ok() {
                dirs += 1;
            }
            m.sync().unwrap();
            m.snapshot().fsck().unwrap();
            for i in 0..made {
                assert_eq!(m.read_file(format!("/f{i}")).unwrap(), bytes);
            }
            for i in 0..=made {
                m.unlink(format!("/f{i}")).unwrap();
            }
            for i in 0..dirs {
                m.rmdir(format!("/d{i}")).unwrap();
            }
        }
        // The root directory may have grown by the names.
        assert!(free - m.statfs().unwrap().blocks_free < 16);
        done(m);
    }
}

#[test]
fn inodes_run_out() {
    let m = Machine::mount(&image(6, &["-b", "1024", "-N", "32"])).unwrap();
    let mut made = 0;
    let error = loop {
        match m.create(format!("/f{made}"), 0o644) {
            Ok(()) => made += 1,
            Err(e) => break e,
        }
    };
    assert_eq!(error, Errno::ENOSPC);
    assert_eq!(m.statfs().unwrap().files_free, 0);
    assert_eq!(m.mkdir("/d"), Err(Errno::ENOSPC));
    m.unlink("/f0").unwrap();
    m.mkdir("/d").unwrap();
    done(m);
}

/// Operations on a disk that is nearly full: they may fail with ENOSPC, and nothing else goes wrong.
#[test]
fn a_crowded_disk() {
    for (seed, args) in [
        (1, &["-b", "1024", "-N", "200"][..]),
        (2, &["-b", "1024", "-O", "^has_journal,^metadata_csum", "-m", "0"]),
        (3, &["-b", "2048", "-O", "^dir_index", "-N", "150"]),
        (4, &["-b", "4096", "-O", "^has_journal", "-m", "0"]),
    ] {
        let mut image = image(if args.contains(&"^has_journal") { 3 } else { 6 }, args);
        let mut rng = Rng::new(seed);
        let mut full = 0;
        for _ in 0..6 {
            let m = Machine::mount(&image).unwrap();
            for _ in 0..150 {
                let dir = *rng.pick(&["", "/d0", "/d1", "/d0/d2"]);
                let path = format!("{dir}/{:x>1$}", rng.below(30), 1 + rng.below(3) as usize * 70);
                let other = format!("{dir}/{}", rng.below(30));
                let len = rng.length(400_000);
                let answer = match rng.below(12) {
                    0..=4 => m.write_file(&path, &vec![len as u8; len as usize]),
                    5 => m.append(&path, &vec![1; len as usize / 4]),
                    6 => m.truncate(&path, len),
                    7 => m.mkdir(["/d0", "/d1", "/d0/d2"][rng.below(3) as usize]),
                    8 => m.symlink("t".repeat(1 + len as usize % 900), &path),
                    9 => m.rename(&path, &other),
                    10 => m.link(&path, &other),
                    _ if rng.one_in(3) => m.unlink(&path),
                    _ => m.fsync(&path),
                };
                full += usize::from(answer == Err(Errno::ENOSPC));
                // The last comes from links that are followed to their long target.
                let fine = [
                    Errno::ENOSPC,
                    Errno::ENOENT,
                    Errno::EEXIST,
                    Errno::EINVAL,
                    Errno::ELOOP,
                    Errno::ENAMETOOLONG,
                ];
                assert!(answer.is_ok() || answer.is_err_and(|e| fine.contains(&e)), "{answer:?}");
            }
            image = done(m);
        }
        assert!(full > 10, "the disk was full {full} times");
    }
}

/// A file of which every second block is there: an index of extents two levels deep, built up,
/// read back, filled in and cut down.
#[test]
fn a_file_of_many_extents() {
    for args in [&["-b", "1024"][..], &["-b", "1024", "-O", "^metadata_csum"]] {
        let m = Machine::mount(&image(32, args)).unwrap();
        let free = m.statfs().unwrap().blocks_free;
        m.create("/f", 0o644).unwrap();
        let file = m.open("/f", OpenFlags::RDWR, 0).unwrap();
        const COUNT: u64 = 8000;
        for i in 0..COUNT {
            // From both ends, so that entries are put in everywhere.
            let at = if i % 2 == 0 { i } else { 2 * COUNT - i };
            write_all(&file, &(at as u32).to_le_bytes(), at * 2048).unwrap();
            if i % 1000 == 0 {
                m.sync().unwrap();
            }
        }
        drop(file);
        let image = done(m);
        assert!(image.debugfs("ex /f").unwrap().contains("1/ 2"), "two levels of index");
        let m = Machine::mount(&image).unwrap();
        let bytes = m.read_file("/f").unwrap();
        for i in 0..COUNT {
            let at = if i % 2 == 0 { i } else { 2 * COUNT - i };
            assert_eq!(bytes[at as usize * 2048..][..4], (at as u32).to_le_bytes());
        }
        for i in (0..COUNT).step_by(3) {
            m.pwrite("/f", i * 2048 + 1024, b"between").unwrap();
        }
        m.truncate("/f", 3_000_001).unwrap();
        m.sync().unwrap();
        m.snapshot().fsck().unwrap();
        assert_eq!(&m.read_file("/f").unwrap()[3072..3079], &b"\0\0\0\0\0\0\0"[..]);
        m.truncate("/f", 0).unwrap();
        m.unlink("/f").unwrap();
        assert_eq!(m.statfs().unwrap().blocks_free, free);
        done(m);
    }
}

/// A write that finds no block has moved the times before: also of a file that lives in its inode and
/// stays there.
#[test]
fn times_of_a_write_without_room() {
    let m = Machine::mount(&image(4, &["-b", "1024", "-O", "inline_data,^has_journal", "-m", "0"])).unwrap();
    m.write_file("/tiny", b"inline").unwrap();
    m.create("/big", 0o600).unwrap();
    let old = base::Timespec { sec: 1000, nsec: 0 };
    let past = vfs::attr_ops::TimeUpdate::To(old);
    m.utimens("/tiny", past, past).unwrap();
    let mut len = 0;
    for step in [100_000, 1024] {
        while m.pwrite("/big", len, &vec![1; step as usize]).is_ok() {
            len += step;
        }
        len = m.stat("/big").unwrap().size;
    }
    assert_eq!(m.pwrite("/tiny", 0, &[2; 3000]), Err(Errno::ENOSPC));
    // Out of memory, and back from the disk.
    vfs::dentry::shrink(usize::MAX);
    assert_ne!(m.stat("/tiny").unwrap().mtime, old);
    assert_eq!(m.read_file("/tiny").unwrap(), b"inline");
    done(m);
}
