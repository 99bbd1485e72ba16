//! Disks that fail: the program is told, nothing panics, and what is left can be repaired.

use base::Errno;
use block::BioOp;
use sim::{Fault, Image, Machine, Rng, Trace};
use vfs::OpenFlags;

fn image() -> Image {
    Image::mkfs(8 << 20, &["-b", "1024"]).unwrap()
}

#[test]
fn a_failed_write_is_told_by_fsync_once() {
    let m = Machine::mount(&image()).unwrap();
    m.write_file("/f", b"first").unwrap();
    m.sync().unwrap();
    let file = m.open("/f", OpenFlags::RDWR, 0).unwrap();
    sim::write_all(&file, &[1; 9000], 0).unwrap();
    m.faults().inject(Fault::every(BioOp::Write));
    assert_eq!(vfs::fsync::fsync(&file, false), Err(Errno::EIO));
    assert!(m.faults().failed() > 0);
    m.faults().heal();
    // What could not be written is still there, and goes the second time.
    sim::write_all(&file, &[2; 9000], 0).unwrap();
    vfs::fsync::fsync(&file, false).unwrap();
    assert_eq!(m.snapshot().replayed().unwrap().cat("/f").unwrap(), [2; 9000]);
    drop(file);
    m.unmount().unwrap();
}

#[test]
fn a_failed_flush_ends_the_journal() {
    let m = Machine::mount(&image()).unwrap();
    m.write_file("/old", b"old").unwrap();
    m.sync().unwrap();
    m.write_file("/f", b"x").unwrap();
    m.faults().inject(Fault::every(BioOp::Flush));
    assert_eq!(m.fsync("/f"), Err(Errno::EIO));
    m.faults().heal();
    assert_eq!(m.write_file("/f", b"y"), Err(Errno::EROFS));
    assert_eq!(m.fsync("/f"), Err(Errno::EROFS));
    assert_eq!(m.read_file("/f").unwrap(), b"x");
    // What was committed is there at the next mount, which knows of the error.
    let after = Machine::mount(&m.give_up()).unwrap();
    assert_eq!(after.read_file("/old").unwrap(), b"old");
    let image = after.unmount().unwrap();
    assert!(image.stat_field("Filesystem state").unwrap().contains("error"));
    image.repaired().unwrap().fsck().unwrap();
}

#[test]
fn a_failed_flush_fails_fsync() {
    let image = sim::Image::mkfs(16 << 20, &["-b", "1024", "-O", "^has_journal"]).unwrap();
    let m = Machine::mount(&image).unwrap();
    m.write_file("/f", b"x").unwrap();
    m.faults().inject(Fault::every(BioOp::Flush));
    assert_eq!(m.fsync("/f"), Err(Errno::EIO));
    m.faults().heal();
    m.write_file("/f", b"y").unwrap();
    m.fsync("/f").unwrap();
    m.unmount().unwrap().fsck().unwrap();
}

#[test]
fn fsync_ends_with_a_flush() {
    let m = Machine::mount(&image()).unwrap();
    m.write_file("/f", &[7; 100_000]).unwrap();
    m.tracer().take();
    m.fsync("/f").unwrap();
    let trace: Vec<Trace> = m.tracer().take();
    assert_eq!(trace.last().map(|t| t.op), Some(BioOp::Flush), "{trace:?}");
    assert!(
        trace.iter().any(|t| t.op == BioOp::Write && t.sectors >= 64),
        "data goes in large pieces: {trace:?}"
    );
    m.unmount().unwrap();
}

#[test]
fn a_failed_read_is_eio_and_passes() {
    let m = Machine::mount(&image()).unwrap();
    let bytes = Rng::new(5).bytes(60_000);
    m.write_file("/f", &bytes).unwrap();
    let image = m.unmount().unwrap();
    let m = Machine::mount(&image).unwrap();
    m.stat("/f").unwrap();
    m.faults().inject(Fault::every(BioOp::Read));
    assert_eq!(m.read_file("/f"), Err(Errno::EIO));
    m.faults().heal();
    assert_eq!(m.read_file("/f").unwrap(), bytes);
    m.unmount().unwrap().fsck().unwrap();
}

/// One request fails, somewhere: whatever the operations answer, there is no panic and no hang, and
/// e2fsck can repair what is left.
#[test]
fn any_single_request_may_fail() {
    let image = image();
    for (op, limit) in [(BioOp::Read, 60), (BioOp::Write, 120), (BioOp::Flush, 8)] {
        for n in (0..limit).step_by(3) {
            let m = Machine::mount(&image).unwrap();
            m.faults().inject(Fault::nth(op, n));
            let _ = m.mkdir("/d");
            for i in 0..60 {
                let _ = m.write_file(format!("/d/a rather long name {i}"), &[i as u8; 700]);
            }
            let _ = m.fsync("/d/a rather long name 3");
            let _ = m.rename("/d/a rather long name 4", "/moved");
            let _ = m.write_file("/large", &[3; 200_000]);
            let _ = m.sync();
            let _ = m.truncate("/large", 5000);
            let _ = m.unlink("/d/a rather long name 5");
            let _ = m.read_file("/large");
            let _ = m.read_dir("/d");
            m.give_up().repaired().unwrap();
        }
    }
}

/// A request that fails once costs its operation, not the file system: when what is dirty has gone
/// the second time, e2fsck finds nothing.
#[test]
fn one_failure_leaves_no_damage() {
    let fresh = image();
    let m = Machine::mount(&fresh).unwrap();
    m.mkdir("/old").unwrap();
    for i in 0..120 {
        m.write_file(format!("/old/a rather long name {i}"), &[i as u8; 1500]).unwrap();
    }
    m.write_file("/old/large", &[1; 300_000]).unwrap();
    let image = m.unmount().unwrap();
    let depth = std::env::var("QUILL_DEPTH").ok().and_then(|d| d.parse().ok()).unwrap_or(1);
    let mut hit = 0;
    for (op, limit) in [(BioOp::Read, 40), (BioOp::Write, 60), (BioOp::Flush, 4)] {
        for n in 0..limit * depth {
            let m = Machine::mount(&image).unwrap();
            m.faults().inject(Fault::nth(op, n));
            let _ = m.mkdir("/d");
            for i in 0..40 {
                let _ = m.write_file(format!("/d/another long name {i}"), &[i as u8; 700]);
                let _ = m.rename(format!("/old/a rather long name {i}"), format!("/d/moved {i}"));
                let _ = m.link(format!("/old/a rather long name {}", i + 40), format!("/d/linked {i}"));
                let _ = m.unlink(format!("/old/a rather long name {}", i + 80));
                if i % 10 == 9 {
                    let _ = m.sync();
                    vfs::dentry::shrink(usize::MAX);
                    pagecache::drop_caches();
                }
            }
            let _ = m.rename("/d", "/old/d");
            let _ = m.symlink("s".repeat(100), "/link");
            let _ = m.truncate("/old/large", 100_000);
            let _ = m.fsync("/old/large");
            let _ = m.unlink("/old/large");
            let failed = m.faults().failed();
            hit += failed;
            m.faults().heal();
            let _ = m.sync();
            let left = m.unmount().unwrap();
            if let Err(trouble) = left.fsck() {
                panic!("{op:?} {n} ({failed} failed): {trouble}\n{}", sim::take_log().join("\n"));
            }
        }
    }
    assert!(hit >= 90, "only {hit} faults were met");
}

/// From some request on everything fails.
#[test]
fn the_disk_may_die() {
    let image = image();
    for after in (0..100).step_by(7) {
        let m = Machine::mount(&image).unwrap();
        for op in [BioOp::Read, BioOp::Write, BioOp::Flush] {
            m.faults().inject(Fault { after, ..Fault::every(op) });
        }
        for i in 0..40 {
            let _ = m.write_file(format!("/name {i}"), &[i as u8; 3000]);
            let _ = m.fsync(format!("/name {i}"));
        }
        let _ = m.sync();
        m.give_up().repaired().unwrap();
    }
}

/// A directory that cannot be read is an error of the file system, which the superblock keeps.
#[test]
fn an_unreadable_directory_is_noted() {
    let m = Machine::mount(&image()).unwrap();
    m.mkdir("/d").unwrap();
    m.write_file("/d/f", b"x").unwrap();
    let image = m.unmount().unwrap();
    let m = Machine::mount(&image).unwrap();
    m.stat("/d").unwrap();
    m.faults().inject(Fault::every(BioOp::Read));
    assert_eq!(m.read_dir("/d"), Err(Errno::EIO));
    assert_eq!(m.stat("/d/f").err(), Some(Errno::EIO));
    m.faults().heal();
    assert_eq!(m.read_file("/d/f").unwrap(), b"x");
    let image = m.unmount().unwrap();
    assert!(image.stat_field("FS Error count").unwrap().contains('2'));
    assert!(image.stat_field("Last error function").unwrap().contains("error reading directory block"));
}

/// A bitmap that cannot be read is one line of the log, not one for each page that is written.
#[test]
fn an_unreadable_bitmap_is_told_once() {
    let image = Image::mkfs(8 << 20, &["-b", "1024"]).unwrap();
    let m = Machine::mount(&image).unwrap();
    m.write_file("/f", b"there").unwrap();
    m.sync().unwrap();
    let m = Machine::mount(&m.unmount().unwrap()).unwrap();
    // The tables are read; nothing else is from here on.
    m.read_file("/f").unwrap();
    sim::take_log();
    m.faults().inject(Fault::every(BioOp::Read));
    for n in 0..8 {
        let file = m.open("/f", OpenFlags::RDWR, 0).unwrap();
        sim::write_all(&file, &[1; 1024], (n + 2) * 8192).unwrap();
        drop(file);
        assert!(m.fsync("/f").is_err());
    }
    let told = sim::take_log();
    assert_eq!(told.iter().filter(|line| line.contains("a bitmap cannot be read")).count(), 1, "{told:#?}");
    m.faults().heal();
    m.fsync("/f").unwrap();
    assert_eq!(m.read_file("/f").unwrap().len(), 9 * 8192 + 1024);
    m.unmount().unwrap();
}
