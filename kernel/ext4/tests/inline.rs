//! inline_data: files and directories in the inode, as mke2fs and debugfs make them and read them back.

use base::Errno;
use sim::{Image, Machine, Options, Rng};

fn image(args: &[&str]) -> Image {
    let mut all = vec!["-O", "inline_data"];
    all.extend(args);
    Image::mkfs(16 << 20, &all).unwrap()
}

fn is_inline(image: &Image, path: &str) -> bool {
    let stat = image.debugfs(&format!("stat {path}")).unwrap();
    let flags = stat.split("Flags: 0x").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    u32::from_str_radix(&flags, 16).unwrap() & 0x1000_0000 != 0
}

/// A file's content by debugfs, which of an inline file tells 60 bytes at least, whatever its size.
fn cat(image: &Image, path: &str) -> Vec<u8> {
    let stat = image.debugfs(&format!("stat {path}")).unwrap();
    let size = stat.split("Size: ").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    let mut bytes = image.cat(path).unwrap();
    assert!(bytes.len() >= size);
    bytes.truncate(size);
    bytes
}

const SIZES: [(&str, &[&str]); 5] = [
    ("1k", &["-b", "1024"]),
    ("4k", &["-b", "4096"]),
    ("512-byte inodes", &["-b", "1024", "-I", "512"]),
    ("inodes as large as blocks", &["-b", "1024", "-I", "1024"]),
    ("no checksums", &["-b", "2048", "-O", "inline_data,^metadata_csum"]),
];

#[test]
fn files_of_all_small_sizes() {
    for (name, args) in SIZES {
        let machine = Machine::mount(&image(args)).unwrap();
        let bytes: Vec<u8> = (0..1100u32).map(|i| (i % 250) as u8 + 1).collect();
        let sizes = (0..200)
            .step_by(7)
            .chain([59, 60, 61, 127, 128, 129, 155, 156, 157, 160, 161, 163, 164, 400, 1000, 1100]);
        let sizes: std::collections::BTreeSet<usize> = sizes.collect();
        for &n in &sizes {
            machine.write_file(format!("/f{n}"), &bytes[..n]).unwrap();
            assert_eq!(machine.read_file(format!("/f{n}")).unwrap(), &bytes[..n], "{name} {n}");
        }
        let after = machine.unmount().unwrap();
        after.fsck().unwrap_or_else(|e| panic!("{name}: {e:?}"));
        for &n in &sizes {
            assert_eq!(cat(&after, &format!("/f{n}")), &bytes[..n], "{name} {n}");
        }
        assert!(
            is_inline(&after, "/f7") && is_inline(&after, "/f60") && is_inline(&after, "/f126"),
            "{name}"
        );
        assert!(!is_inline(&after, "/f1100"), "{name}");
        let machine = Machine::mount(&after).unwrap();
        for &n in &sizes {
            assert_eq!(machine.read_file(format!("/f{n}")).unwrap(), &bytes[..n], "{name} {n}, again");
            machine.unlink(format!("/f{n}")).unwrap();
        }
        machine.unmount().unwrap().fsck().unwrap();
    }
}

#[test]
fn growth_out_of_the_inode_and_truncation() {
    for (name, args) in SIZES {
        let machine = Machine::mount(&image(args)).unwrap();
        // Appended byte by byte, across the border.
        let mut want = Vec::new();
        machine.create("/log", 0o644).unwrap();
        for i in 0..300u32 {
            machine.append("/log", &[i as u8; 5]).unwrap();
            want.extend([i as u8; 5]);
            if i % 25 == 0 {
                assert_eq!(machine.read_file("/log").unwrap(), want, "{name} {i}");
            }
        }
        // Inside: over, behind, with a gap.
        machine.write_file("/f", b"hello").unwrap();
        machine.pwrite("/f", 100, b"there").unwrap();
        let mut gap = vec![0; 105];
        gap[..5].copy_from_slice(b"hello");
        gap[100..].copy_from_slice(b"there");
        assert_eq!(machine.read_file("/f").unwrap(), gap);
        machine.truncate("/f", 3).unwrap();
        assert_eq!(machine.read_file("/f").unwrap(), b"hel");
        machine.truncate("/f", 130).unwrap();
        gap.truncate(3);
        gap.resize(130, 0);
        assert_eq!(machine.read_file("/f").unwrap(), gap, "{name}");
        machine.truncate("/f", 70_000).unwrap();
        gap.resize(70_000, 0);
        assert_eq!(machine.read_file("/f").unwrap(), gap, "{name}");
        machine.write_file("/far", b"near").unwrap();
        machine.pwrite("/far", 100_000, b"far").unwrap();
        machine.write_file("/cut", &[7; 90]).unwrap();
        machine.truncate("/cut", 0).unwrap();
        machine.create("/empty", 0o600).unwrap();
        machine.truncate("/empty", 1 << 30).unwrap();
        machine.write_file("/grown", &[1; 20]).unwrap();
        machine.write_file("/grown", &[2; 20_000]).unwrap();
        let after = machine.unmount().unwrap();
        after.fsck().unwrap_or_else(|e| panic!("{name}: {e:?}"));
        assert_eq!(cat(&after, "/log"), want);
        assert_eq!(cat(&after, "/f"), gap);
        assert_eq!(cat(&after, "/grown"), [2; 20_000]);
        assert_eq!(cat(&after, "/cut"), []);
        assert!(cat(&after, "/far").starts_with(b"near\0"));
        assert!(!is_inline(&after, "/log"));
    }
}

#[test]
fn directories() {
    for (name, args) in SIZES {
        let machine = Machine::mount(&image(args)).unwrap();
        for d in 0..6 {
            machine.mkdir(format!("/d{d}")).unwrap();
            for f in 0..d * 4 {
                machine.create(format!("/d{d}/file{f}"), 0o644).unwrap();
            }
            assert_eq!(machine.read_dir(format!("/d{d}")).unwrap().len(), d * 4 + 2, "{name} {d}");
        }
        machine.mkdir("/d1/sub").unwrap();
        assert_eq!(machine.rmdir("/d1"), Err(Errno::ENOTEMPTY));
        machine.rename("/d1/sub", "/d0/moved").unwrap();
        machine.rename("/d1/file0", "/d1/a name for the second part").unwrap();
        machine.unlink("/d1/file3").unwrap();
        assert_eq!(machine.create("/d1/file2", 0o644), Err(Errno::EEXIST));
        machine.rename("/d1/file1", "/d1/file5").unwrap();
        machine.mkdir("/gone").unwrap();
        machine.rmdir("/gone").unwrap();
        let after = machine.unmount().unwrap();
        after.fsck().unwrap_or_else(|e| panic!("{name}: {e:?}"));
        assert!(is_inline(&after, "/d0") && is_inline(&after, "/d1"), "{name}");
        if !args.contains(&"1024") || !args.contains(&"-I") {
            assert!(!is_inline(&after, "/d5"), "{name}");
        }
        let listing = after.debugfs("ls /d1").unwrap();
        assert!(listing.contains("a name for the second part") && !listing.contains("file3"), "{listing}");
        let machine = Machine::mount(&after).unwrap();
        for d in 0..6 {
            let all = machine.read_dir(format!("/d{d}")).unwrap();
            for (name, _, _) in all.iter().filter(|n| n.0 != b"." && n.0 != b"..") {
                let path = [format!("/d{d}/").as_bytes(), name].concat();
                machine.stat(&path).unwrap();
                machine.unlink(&path).or_else(|_| machine.rmdir(&path)).unwrap();
            }
            machine.rmdir(format!("/d{d}")).unwrap();
        }
        machine.unmount().unwrap().fsck().unwrap();
    }
}

/// Other attributes and inline bytes share the inode; neither loses.
#[test]
fn beside_extended_attributes() {
    let machine = Machine::mount(&image(&["-b", "1024"])).unwrap();
    machine.write_file("/f", &[5; 60]).unwrap();
    machine.set_xattr("/f", "user.one", &[1; 40], 0).unwrap();
    machine.pwrite("/f", 60, &[6; 30]).unwrap();
    machine.set_xattr("/f", "user.two", &[2; 300], 0).unwrap();
    machine.pwrite("/f", 90, &[7; 90]).unwrap();
    machine.set_xattr("/f", "user.three", &[3; 60], 0).unwrap();
    let want = [vec![5; 60], vec![6; 30], vec![7; 90]].concat();
    assert_eq!(machine.read_file("/f").unwrap(), want);
    let after = machine.unmount().unwrap();
    after.fsck().unwrap();
    assert_eq!(cat(&after, "/f"), want);
    let machine = Machine::mount(&after).unwrap();
    assert_eq!(machine.get_xattr("/f", "user.one").unwrap(), [1; 40]);
    assert_eq!(machine.get_xattr("/f", "user.three").unwrap(), [3; 60]);
}

/// What e2fsprogs made: files, directories and symbolic links of every small size.
#[test]
fn what_mke2fs_made() {
    let host = tempfile::tempdir().unwrap();
    for n in [0, 1, 59, 60, 61, 100, 156, 200, 5000] {
        std::fs::write(host.path().join(format!("f{n}")), vec![b'x'; n]).unwrap();
    }
    for n in [1, 3, 8, 40] {
        let dir = host.path().join(format!("d{n}"));
        std::fs::create_dir(&dir).unwrap();
        (0..n).for_each(|i| std::fs::write(dir.join(format!("entry{i}")), b"y").unwrap());
    }
    for n in [10, 59, 60, 100, 150, 300] {
        std::os::unix::fs::symlink("t".repeat(n), host.path().join(format!("l{n}"))).unwrap();
    }
    let made = Image::mkfs_with(16 << 20, &["-O", "inline_data", "-b", "1024"], host.path()).unwrap();
    assert!(is_inline(&made, "/f100") && is_inline(&made, "/d3") && is_inline(&made, "/l100"));
    let machine = Machine::mount(&made).unwrap();
    for n in [0, 1, 59, 60, 61, 100, 156, 200, 5000] {
        assert_eq!(machine.read_file(format!("/f{n}")).unwrap(), vec![b'x'; n], "{n}");
        machine.append(format!("/f{n}"), b"more").unwrap();
    }
    for n in [1, 3, 8, 40] {
        assert_eq!(machine.read_dir(format!("/d{n}")).unwrap().len(), n + 2);
        assert_eq!(machine.read_file(format!("/d{n}/entry0")).unwrap(), b"y");
        machine.create(format!("/d{n}/another"), 0o644).unwrap();
    }
    for n in [10, 59, 60, 100, 150, 300] {
        assert_eq!(machine.readlink(format!("/l{n}")).unwrap(), vec![b't'; n], "{n}");
    }
    for n in [60, 100, 300] {
        machine.unlink(format!("/l{n}")).unwrap();
    }
    machine.unmount().unwrap().fsck().unwrap();
}

/// A disk without a free block: what is in the inode stays as it was.
#[test]
fn no_space_to_grow() {
    let machine =
        Machine::mount(&Image::mkfs(2 << 20, &["-O", "inline_data,^has_journal", "-b", "1024"]).unwrap())
            .unwrap();
    machine.mkdir("/d").unwrap();
    machine.write_file("/f", &[1; 100]).unwrap();
    let mut size = 1 << 20;
    let mut n = 0;
    while size > 0 {
        if machine.write_file(format!("/fill{n}"), &vec![9; size]).is_err() {
            size /= 2;
        }
        n += 1;
    }
    assert_eq!(machine.append("/f", &[2; 500]), Err(Errno::ENOSPC));
    assert_eq!(machine.read_file("/f").unwrap(), [1; 100]);
    let end = (0..100).find_map(|i| machine.create(format!("/d/a long name, number {i}"), 0o644).err());
    assert_eq!(end, Some(Errno::ENOSPC));
    machine.read_dir("/d").unwrap();
    let after = machine.unmount().unwrap();
    after.fsck().unwrap();
    assert_eq!(cat(&after, "/f"), [1; 100]);
}

/// The inode is nearly as large as the block: its directory leaves it for a name that the block, with
/// the entries so far, has no room for either. The disk may have too few blocks for that, or just enough.
#[test]
fn a_name_that_needs_a_second_block_at_once() {
    let long = format!("/d/{}", "x".repeat(255));
    let old = |i: u32| format!("/d/{i}{}", "n".repeat(199));
    for features in ["", ",^metadata_csum", ",^dir_index", ",^dir_index,^metadata_csum", ",^extent,^64bit"] {
        let features = format!("inline_data,^has_journal{features}");
        let made = Image::mkfs(2 << 20, &["-b", "1024", "-I", "1024", "-O", &features]).unwrap();
        let machine = Machine::mount(&made).unwrap();
        machine.mkdir("/d").unwrap();
        (0..4).for_each(|i| machine.create(old(i), 0o644).unwrap());
        let before = machine.unmount().unwrap();
        assert!(is_inline(&before, "/d"), "{features}");
        let machine = Machine::mount(&before).unwrap();
        let spare = |n: u32| format!("/spare{n}");
        let refill = |n: u32| format!("/refill{n}");
        // Of these only a file's tree gets any.
        let kept = if features.contains("^extent") { 0 } else { (2 << 10) / 50 };
        // An index has its root beside the two leaves.
        let need = if features.contains("^dir_index") { 2 } else { 3 };
        (0..need).for_each(|n| machine.write_file(spare(n), &[9; 1024]).unwrap());
        (0..8).for_each(|n| machine.write_file(refill(n), &[9; 1024]).unwrap());
        let (mut size, mut n) = (1 << 20, 0);
        while size >= 1024 {
            if machine.write_file(format!("/fill{n}"), &vec![9; size]).is_err() {
                size /= 2;
                // What pointers to delayed blocks might have needed is free again when those have their place.
                machine.sync().unwrap();
            }
            n += 1;
        }
        // The trees of the files that fill the disk may have got some.
        let mut refills = (0..8).map(refill);
        while machine.statfs().unwrap().blocks_free < kept {
            machine.unlink(refills.next().unwrap()).unwrap();
        }
        assert_eq!(machine.statfs().unwrap().blocks_free, kept, "{features}");
        for free in 0..need {
            let told = machine.create(&long, 0o644);
            assert_eq!(told, Err(Errno::ENOSPC), "{features}: {free} blocks");
            assert_eq!(machine.read_dir("/d").unwrap().len(), 6, "{features}: {free} blocks");
            (0..4).for_each(|i| assert!(machine.stat(old(i)).is_ok()));
            machine.unlink(spare(free)).unwrap();
        }
        machine.create(&long, 0o644).unwrap_or_else(|e| panic!("{features}: {e:?}"));
        let after = machine.unmount().unwrap();
        after.fsck().unwrap_or_else(|e| panic!("{features}: {e:?}"));
        assert!(!is_inline(&after, "/d"), "{features}");
        let machine = Machine::mount(&after).unwrap();
        assert_eq!(machine.read_dir("/d").unwrap().len(), 7, "{features}");
        (0..4).for_each(|i| machine.unlink(old(i)).unwrap());
        machine.unlink(&long).unwrap();
        machine.rmdir("/d").unwrap();
        machine.unmount().unwrap().fsck().unwrap_or_else(|e| panic!("{features}: {e:?}"));
    }
}

/// Random small writes and cuts against a vector; the disk agrees at the end.
#[test]
fn random_writes_against_a_vector() {
    for seed in 0..12u64 {
        let mut rng = Rng::new(seed);
        let machine = Machine::mount(&image(SIZES[seed as usize % SIZES.len()].1)).unwrap();
        let mut files = vec![Vec::<u8>::new(); 6];
        for i in 0..files.len() {
            machine.create(format!("/f{i}"), 0o644).unwrap();
        }
        for _ in 0..150 {
            let i = rng.below(files.len() as u64) as usize;
            let path = format!("/f{i}");
            let file = &mut files[i];
            if rng.below(4) == 0 {
                let size = rng.below(220) as usize;
                machine.truncate(&path, size as u64).unwrap();
                file.resize(size, 0);
            } else {
                let at = rng.below(170) as usize;
                let len = rng.below(40) as usize + 1;
                let bytes = rng.bytes(len);
                machine.pwrite(&path, at as u64, &bytes).unwrap();
                file.resize(file.len().max(at + bytes.len()), 0);
                file[at..at + bytes.len()].copy_from_slice(&bytes);
            }
            assert_eq!(&machine.read_file(&path).unwrap(), file, "seed {seed}");
        }
        let after = machine.unmount().unwrap();
        after.fsck().unwrap();
        for (i, file) in files.iter().enumerate() {
            assert_eq!(&cat(&after, &format!("/f{i}")), file, "seed {seed}");
        }
    }
}

#[test]
fn hostile_inline_inodes() {
    let machine = Machine::mount(&image(&["-b", "1024", "-O", "inline_data,^metadata_csum"])).unwrap();
    machine.write_file("/f", &[1; 100]).unwrap();
    machine.mkdir("/d").unwrap();
    machine.create("/d/x", 0o644).unwrap();
    let made = machine.unmount().unwrap();
    // Both flags; a size no directory has; a file that says it is inline and has no attribute.
    for (change, path) in [
        ("sif /f flags 0x10080000", "/f"),
        ("sif /d size 10", "/d"),
        ("sif /f extra_isize 128", "/f"),
        ("sif /d block[0] 0xffffffff", "/d"),
        ("sif /d block[2] 0", "/d"),
    ] {
        let bad = made.changed(change).unwrap();
        let machine = Machine::mount_with(&bad, &Options { read_only: true, ..Options::default() }).unwrap();
        let looked = machine.read_file(path).map(drop).or_else(|e| match e {
            Errno::EISDIR => machine.read_dir(path).map(drop),
            e => Err(e),
        });
        assert_eq!(looked, Err(Errno::EUCLEAN), "{change}");
    }
}

/// The inode holds one block's entries, whatever its size says: a walk over millions of blocks, each of them
/// the same, would be endless.
#[test]
fn an_inline_directory_is_one_block() {
    let machine = Machine::mount(&image(&["-b", "1024", "-O", "inline_data,^metadata_csum"])).unwrap();
    machine.mkdir("/d").unwrap();
    machine.create("/d/x", 0o644).unwrap();
    let bad = machine.unmount().unwrap().changed("sif /d size 0xfffffc00").unwrap();
    let machine = Machine::mount(&bad).unwrap();
    assert_eq!(machine.read_dir("/d").unwrap().len(), 3);
    assert_eq!(machine.stat("/d/y").err(), Some(Errno::ENOENT));
    machine.create("/d/y", 0o644).unwrap();
    machine.unlink("/d/x").unwrap();
    machine.unmount().unwrap().fsck().unwrap();
}
