//! Where blocks go: growing files, full disks, and what is counted.

use base::Errno;
use sim::{Image, Machine, Rng, write_all};
use vfs::OpenFlags;

const MIB: u64 = 1 << 20;

fn disk(mib: u64, args: &[&str]) -> Image {
    Image::mkfs(mib * MIB, args).unwrap()
}

fn extents(image: &Image, path: &str) -> usize {
    let text = image.debugfs(&format!("dump_extents -l \"{path}\"")).unwrap();
    text.lines().skip(1).count()
}

/// Appends `step` bytes to each of the files by turns until each has `size`.
fn grow(machine: &Machine, paths: &[&str], step: usize, size: u64) {
    let flags = OpenFlags::CREAT | OpenFlags::WRONLY;
    let files: Vec<_> = paths.iter().map(|p| machine.open(p, flags, 0o644).unwrap()).collect();
    for at in (0..size).step_by(step) {
        for (n, file) in (1..).zip(&files) {
            write_all(file, &vec![n; step], at).unwrap();
        }
    }
}

#[test]
fn eight_mebibytes_are_three_extents() {
    for step in [4096, 20_480, 65_536] {
        let machine = Machine::mount(&disk(128, &["-b", "4096"])).unwrap();
        grow(&machine, &["/alone"], step, 8 * MIB);
        grow(&machine, &["/a", "/b"], step, 8 * MIB);
        let image = machine.unmount().unwrap();
        image.fsck().unwrap();
        for path in ["/alone", "/a", "/b"] {
            assert!(extents(&image, path) <= 3, "{path}: {}", image.debugfs("dump_extents /a").unwrap());
        }
    }
}

/// What is kept for a growing file is nobody's: stat and statfs do not show it, a crash forgets it,
/// and who needs it gets it.
#[test]
fn windows_are_soft() {
    let machine = Machine::mount(&disk(8, &["-b", "1024", "-O", "^has_journal", "-m", "0"])).unwrap();
    let flags = OpenFlags::CREAT | OpenFlags::WRONLY;
    let free = machine.statfs().unwrap().blocks_free;
    let growing = machine.open("/growing", flags, 0o644).unwrap();
    write_all(&growing, &[1; 1024], 0).unwrap();
    write_all(&growing, &[1; 1024], 1024).unwrap();
    assert_eq!(machine.stat("/growing").unwrap().blocks, 4);
    assert_eq!(machine.statfs().unwrap().blocks_free, free - 2);
    machine.sync().unwrap();
    machine.snapshot().fsck().unwrap();
    let available = machine.statfs().unwrap().blocks_available;
    let full = machine.open("/full", flags, 0o644).unwrap();
    write_all(&full, &vec![2; available as usize * 1024], 0).unwrap();
    assert_eq!(machine.statfs().unwrap().blocks_available, 0);
    assert_eq!(write_all(&growing, &[1; 1024], 2048), Err(Errno::ENOSPC));
    drop((growing, full));
    machine.unlink("/full").unwrap();
    machine.unlink("/growing").unwrap();
    assert_eq!(machine.statfs().unwrap().blocks_free, free);
    machine.unmount().unwrap().fsck().unwrap();
}

/// Every second block of a disk is free, and then a file takes them all.
#[test]
fn a_shredded_disk() {
    let machine = Machine::mount(&disk(24, &["-b", "1024", "-O", "^has_journal"])).unwrap();
    let free = machine.statfs().unwrap().blocks_free;
    let flags = OpenFlags::CREAT | OpenFlags::WRONLY;
    let (a, b) = (machine.open("/a", flags, 0o644).unwrap(), machine.open("/b", flags, 0o644).unwrap());
    // Neither is appended to: no windows, and their blocks alternate.
    for n in (0..8000u64).rev() {
        write_all(&a, &[1; 1024], n * 1024).unwrap();
        write_all(&b, &[2; 1024], n * 1024).unwrap();
    }
    drop((a, b));
    machine.unlink("/a").unwrap();
    let bytes = Rng::new(4).bytes(12_000_000);
    machine.write_file("/c", &bytes).unwrap();
    assert_eq!(machine.read_file("/c").unwrap(), bytes);
    machine.sync().unwrap();
    machine.snapshot().fsck().unwrap();
    machine.unlink("/b").unwrap();
    machine.unlink("/c").unwrap();
    assert_eq!(machine.statfs().unwrap().blocks_free, free);
    machine.unmount().unwrap().fsck().unwrap();
}

/// Ten times full to the last block and empty again: the same number of blocks is free each time, on
/// every kind of disk.
#[test]
fn full_to_the_last_block_ten_times() {
    let rows: [&[&str]; 9] = [
        &["-b", "1024"],
        &["-b", "2048", "-O", "^flex_bg"],
        &["-b", "4096", "-O", "^has_journal"],
        &["-b", "1024", "-O", "^metadata_csum,uninit_bg,^has_journal"],
        &["-b", "1024", "-O", "^metadata_csum,^uninit_bg,^has_journal"],
        &["-b", "1024", "-O", "^64bit,^resize_inode,meta_bg,^has_journal"],
        &["-b", "1024", "-O", "sparse_super2,^resize_inode,^has_journal"],
        &["-b", "1024", "-I", "128", "-O", "^has_journal"],
        &["-b", "1024", "-g", "1024", "-O", "^has_journal"],
    ];
    for args in rows {
        let machine = Machine::mount(&disk(12, args)).unwrap();
        let free = machine.statfs().unwrap().blocks_free;
        let mut rng = Rng::new(9);
        for round in 0..10 {
            fill_and_empty(&machine, &mut rng);
            assert_eq!(machine.statfs().unwrap().blocks_free, free, "{args:?} round {round}");
        }
        let image = machine.unmount().unwrap();
        image.fsck().unwrap();
        let again = Machine::mount(&image).unwrap();
        assert_eq!(again.statfs().unwrap().blocks_free, free, "{args:?}");
        again.unmount().unwrap();
    }
}

fn fill_and_empty(machine: &Machine, rng: &mut Rng) {
    let mut made = 0;
    loop {
        let len = 1 + rng.below(600_000) as usize;
        let bytes = rng.bytes(len);
        let written = machine.write_file(format!("/f{made}"), &bytes);
        made += 1;
        match written {
            Ok(()) => {}
            Err(e) => {
                assert_eq!(e, Errno::ENOSPC);
                break;
            }
        }
    }
    // The last blocks, one by one.
    let file = machine.open("/last", OpenFlags::CREAT | OpenFlags::WRONLY, 0o644).unwrap();
    let mut at = 0;
    while write_all(&file, &[1; 512], at).is_ok() {
        at += 512;
    }
    drop(file);
    assert_eq!(machine.statfs().unwrap().blocks_available, 0);
    machine.sync().unwrap();
    // What lies in the log may not be at home yet: a thread may have gone on changing it.
    machine.snapshot().replayed().unwrap().fsck().unwrap();
    for n in 0..made {
        machine.unlink(format!("/f{n}")).unwrap();
    }
    machine.unlink("/last").unwrap();
}

/// More groups than summaries are kept of: they come and go, and nothing is given out twice.
#[test]
fn many_small_groups() {
    let args = ["-b", "1024", "-g", "256", "-N", "512", "-O", "^has_journal,^resize_inode", "-m", "0"];
    let machine = Machine::mount(&disk(100, &args)).unwrap();
    let free = machine.statfs().unwrap().blocks_free;
    for round in 0..2 {
        let bytes = Rng::new(round).bytes(40_000_000);
        grow(&machine, &["/a", "/b"], 65_536, 4 * MIB);
        machine.write_file("/big", &bytes).unwrap();
        assert_eq!(machine.read_file("/big").unwrap(), bytes);
        for path in ["/a", "/big", "/b"] {
            machine.unlink(path).unwrap();
        }
        assert_eq!(machine.statfs().unwrap().blocks_free, free);
    }
    // Eight inodes a group: the reserved ones reach into the second.
    (0..100).for_each(|n| machine.write_file(format!("/f{n}"), &[1; 1000]).unwrap());
    machine.unmount().unwrap().fsck().unwrap();
}

/// A disk with very few blocks left: whatever an operation lacks in its middle, what it leaves is
/// whole, and nothing is lost.
#[test]
fn out_of_space_at_every_step() {
    let rows: [&[&str]; 2] = [
        &["-b", "1024", "-O", "^has_journal", "-m", "0"],
        &["-b", "1024", "-O", "^has_journal,^dir_index", "-m", "0", "-I", "128"],
    ];
    for args in rows {
        let machine = Machine::mount(&disk(4, args)).unwrap();
        let free = machine.statfs().unwrap().blocks_free;
        // Spread over the file, so that its tree is as deep as it can be.
        machine.create("/holes", 0o644).unwrap();
        let full = machine.open("/full", OpenFlags::CREAT | OpenFlags::WRONLY, 0o644).unwrap();
        let mut at = 0;
        while write_all(&full, &[1; 1024], at).is_ok() {
            at += 1024;
        }
        drop(full);
        // Its bytes have their places, and its tree its nodes, before blocks are counted.
        machine.sync().unwrap();
        for left in 0..12u64 {
            machine.truncate("/full", at - left * 1024).unwrap();
            // A node of its tree may have come free with them.
            let before = machine.statfs().unwrap().blocks_free;
            assert!(before >= left, "{args:?} {left} blocks left");
            starve(&machine, before);
            assert_eq!(machine.statfs().unwrap().blocks_free, before, "{args:?} {left} blocks left");
            machine.sync().unwrap();
            machine.snapshot().fsck().unwrap();
        }
        machine.unlink("/full").unwrap();
        machine.unlink("/holes").unwrap();
        assert_eq!(machine.statfs().unwrap().blocks_free, free, "{args:?}");
        machine.unmount().unwrap().fsck().unwrap();
    }
}

/// Operations that want more than there may be; afterwards what they made goes again.
fn starve(machine: &Machine, left: u64) {
    for n in 0..20 {
        let _ = machine.pwrite("/holes", n * 7 * 4096 * 1024, &[3; 1024]);
    }
    machine.truncate("/holes", 0).unwrap();
    let made = (0..8).take_while(|n| machine.mkdir(format!("/dir{n}")).is_ok()).count();
    assert!(made as u64 <= left);
    for n in 0..made {
        machine.rmdir(format!("/dir{n}")).unwrap();
    }
    let target = vec![b'x'; 900];
    if machine.symlink(&target, "/link").is_ok() {
        assert_eq!(machine.readlink("/link").unwrap(), target);
        machine.unlink("/link").unwrap();
    }
    let _ = machine.write_file("/file", &[4; 6000]);
    let _ = machine.set_xattr("/full", "user.large", &[5; 600], 0);
    let _ = machine.remove_xattr("/full", "user.large");
    machine.unlink("/file").unwrap();
}
