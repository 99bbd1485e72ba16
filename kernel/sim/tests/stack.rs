//! The whole stack, one story a test; e2fsck and debugfs have the last word.

use base::{DevId, Errno};
use sim::{Image, Machine, Rng, read_all, write_all};
use vfs::{Cred, OpenFlags};

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
fn a_file_reaches_the_disk() {
    for block in ["1024", "2048", "4096"] {
        let m = Machine::mount(&image(16, &["-b", block])).unwrap();
        m.mkdir("/d").unwrap();
        m.write_file("/d/f", b"hello, disk").unwrap();
        let big = Rng::new(1).bytes(300_000);
        m.write_file("/d/big", &big).unwrap();
        assert_eq!(m.read_file("/d/f").unwrap(), b"hello, disk");
        let image = done(m);
        assert_eq!(image.cat("/d/f").unwrap(), b"hello, disk");
        assert_eq!(image.cat("/d/big").unwrap(), big);
    }
}

#[test]
fn fsync_alone_brings_a_file_to_the_disk() {
    let m = Machine::mount(&image(16, &["-b", "1024"])).unwrap();
    m.write_file("/f", b"durable").unwrap();
    m.fsync("/f").unwrap();
    assert_eq!(m.snapshot().replayed().unwrap().cat("/f").unwrap(), b"durable");
    done(m);
}

#[test]
fn deep_directories_and_long_names() {
    let m = Machine::mount(&image(16, &["-b", "1024"])).unwrap();
    let mut path = String::new();
    while path.len() < 3500 {
        path += &format!("/{:d>255}", "x");
        m.mkdir(&path).unwrap();
    }
    m.write_file(format!("{path}/f"), b"deep").unwrap();
    assert_eq!(m.create(format!("/{:d>256}", "x"), 0o644), Err(Errno::ENAMETOOLONG));
    let mut short = String::new();
    for _ in 0..200 {
        short += "/d";
        m.mkdir(&short).unwrap();
    }
    let image = done(m);
    let m = Machine::mount(&image).unwrap();
    assert_eq!(m.read_file(format!("{path}/f")).unwrap(), b"deep");
    assert_eq!(m.stat(&short).unwrap().nlink, 2);
    done(m);
}

#[test]
fn renames() {
    let m = Machine::mount(&image(16, &["-b", "1024"])).unwrap();
    for dir in ["/a", "/b", "/a/sub", "/a/sub/deeper", "/empty"] {
        m.mkdir(dir).unwrap();
    }
    m.write_file("/a/f", b"f").unwrap();
    m.write_file("/b/g", b"g").unwrap();
    // Across directories: `..` and both counts move.
    m.rename("/a/sub", "/b/moved").unwrap();
    assert_eq!((m.stat("/a").unwrap().nlink, m.stat("/b").unwrap().nlink), (2, 3));
    assert_eq!(m.rename("/b", "/b/moved/deeper/no"), Err(Errno::EINVAL));
    assert_eq!(m.rename("/b/moved/deeper", "/b"), Err(Errno::ENOTEMPTY));
    assert_eq!(m.rename("/a", "/b/g"), Err(Errno::ENOTDIR));
    assert_eq!(m.rename("/b/g", "/a"), Err(Errno::EISDIR));
    m.rename("/b/moved", "/empty").unwrap();
    m.rename("/a/f", "/b/g").unwrap();
    assert_eq!(m.read_file("/b/g").unwrap(), b"f");
    assert_eq!(m.rename_flags("/b/g", "/a", 1), Err(Errno::EEXIST));
    m.rename_flags("/b/g", "/empty/deeper", 2).unwrap();
    assert_eq!(m.read_file("/empty/deeper").unwrap(), b"f");
    assert_eq!((m.stat("/b").unwrap().nlink, m.stat("/empty").unwrap().nlink), (3, 2));
    // Within one directory, so that the new name may move the old one: fill it first.
    for i in 0..200 {
        m.create(format!("/a/many names so that blocks split {i}"), 0o644).unwrap();
    }
    for i in 0..200 {
        m.rename(format!("/a/many names so that blocks split {i}"), format!("/a/{i:z>200}")).unwrap();
    }
    assert_eq!(m.read_dir("/a").unwrap().len(), 202);
    done(m);
}

#[test]
fn an_open_file_outlives_its_name() {
    let m = Machine::mount(&image(16, &["-b", "1024"])).unwrap();
    let free = m.statfs().unwrap().blocks_free;
    let bytes = Rng::new(3).bytes(100_000);
    m.write_file("/f", &bytes).unwrap();
    let file = m.open("/f", OpenFlags::RDWR, 0).unwrap();
    m.unlink("/f").unwrap();
    assert_eq!(m.stat("/f").map(|a| a.ino), Err(Errno::ENOENT));
    assert_eq!(read_all(&file).unwrap(), bytes);
    write_all(&file, b"still here", 50_000).unwrap();
    assert_eq!(&read_all(&file).unwrap()[50_000..50_010], b"still here");
    assert_eq!(file.inode().attr().nlink, 0);
    drop(file);
    assert_eq!(m.statfs().unwrap().blocks_free, free);
    done(m);
}

#[test]
fn an_orphan_is_deleted_by_the_next_mount() {
    let m = Machine::mount(&image(16, &["-b", "1024", "-O", "^has_journal"])).unwrap();
    let free = m.statfs().unwrap().blocks_free;
    let mut held = Vec::new();
    for name in ["/a", "/b", "/c"] {
        m.write_file(name, &[7; 50_000]).unwrap();
        held.push(m.open(name, OpenFlags::RDWR, 0).unwrap());
        m.unlink(name).unwrap();
    }
    m.sync().unwrap();
    // The power goes.
    let lost = m.snapshot();
    let m2 = Machine::mount(&lost).unwrap();
    assert_eq!(m2.statfs().unwrap().blocks_free, free);
    done(m2);
    drop(held);
    done(m);
}

#[test]
fn a_removed_directory_that_is_open_is_empty() {
    let m = Machine::mount(&image(16, &[])).unwrap();
    m.mkdir("/d").unwrap();
    let dir = m.open("/d", OpenFlags::DIRECTORY, 0).unwrap();
    m.rmdir("/d").unwrap();
    assert_eq!(vfs::iterate_dir(&dir, &mut |_: &vfs::DirEntry<'_>| true), Err(Errno::ENOENT));
    drop(dir);
    done(m);
}

#[test]
fn symbolic_links_fast_and_slow() {
    for args in [&["-b", "1024"][..], &["-b", "4096"]] {
        let m = Machine::mount(&image(16, args)).unwrap();
        for len in [1usize, 58, 59, 60, 61, 255, 1000, 1023] {
            let target = "t".repeat(len);
            m.symlink(&target, format!("/l{len}")).unwrap();
            assert_eq!(m.readlink(format!("/l{len}")).unwrap(), target.as_bytes());
            let attr = m.stat(format!("/l{len}")).unwrap();
            assert_eq!((attr.size, attr.blocks > 0), (len as u64, len > 59));
        }
        let too_long = m.symlink("t".repeat(1024), "/too-long");
        assert_eq!(too_long.is_err(), args.contains(&"1024"));
        m.mkdir("/d").unwrap();
        m.write_file("/d/f", b"through").unwrap();
        m.symlink("d", "/to-d").unwrap();
        assert_eq!(m.read_file("/to-d/f").unwrap(), b"through");
        m.unlink("/l60").unwrap();
        m.unlink("/l59").unwrap();
        let image = done(m);
        assert!(image.debugfs("stat /l58").unwrap().contains("Fast link dest"));
        let m = Machine::mount(&image).unwrap();
        assert_eq!(m.readlink("/l1023").unwrap().len(), 1023);
        assert_eq!(m.readlink("/l58").unwrap().len(), 58);
        done(m);
    }
}

#[test]
fn special_files() {
    let m = Machine::mount(&image(16, &[])).unwrap();
    m.mknod("/null", 0o020666, DevId::new(1, 3)).unwrap();
    m.mknod("/big", 0o060600, DevId::new(300, 70_000)).unwrap();
    m.mknod("/pipe", 0o010600, DevId::default()).unwrap();
    m.mknod("/sock", 0o140600, DevId::default()).unwrap();
    let image = done(m);
    assert!(
        image.debugfs("stat /null").unwrap().contains("(New-style) 01:03")
            || image.debugfs("stat /null").unwrap().contains("01:03")
    );
    let m = Machine::mount(&image).unwrap();
    assert_eq!(m.stat("/null").unwrap().rdev, DevId::new(1, 3));
    assert_eq!(m.stat("/big").unwrap().rdev, DevId::new(300, 70_000));
    done(m);
}

#[test]
fn link_counts_have_their_limits() {
    let m = Machine::mount(&image(16, &[])).unwrap();
    m.mkdir("/d").unwrap();
    m.create("/f", 0o644).unwrap();
    let image = done(m);
    let crowded = image.changed("set_inode_field /f links_count 64999").unwrap();
    let crowded = crowded.changed("set_inode_field /d links_count 64999").unwrap();
    let m = Machine::mount(&crowded).unwrap();
    m.link("/f", "/f2").unwrap();
    assert_eq!(m.link("/f", "/f3"), Err(Errno::EMLINK));
    m.mkdir("/d/1").unwrap();
    assert_eq!(m.stat("/d").unwrap().nlink, 65_000);
    // As on Linux, only a directory with an index goes on without counting.
    assert_eq!(m.mkdir("/d/2"), Err(Errno::EMLINK));
    assert_eq!(m.stat("/d").unwrap().nlink, 65_000);
    m.unmount().unwrap();

    let few = Image::mkfs(16 * MIB, &["-O", "^dir_nlink"]).unwrap();
    let m = Machine::mount(&few).unwrap();
    m.mkdir("/d").unwrap();
    let crowded = done(m).changed("set_inode_field /d links_count 65000").unwrap();
    let m = Machine::mount(&crowded).unwrap();
    assert_eq!(m.mkdir("/d/1"), Err(Errno::EMLINK));
    m.unmount().unwrap();
}

#[test]
fn owners_and_setgid_directories() {
    let mut m = Machine::mount(&image(16, &[])).unwrap();
    m.mkdir_mode("/open", 0o777).unwrap();
    m.chmod("/open", 0o777).unwrap();
    m.mkdir("/shared").unwrap();
    m.chown("/shared", 0, 50).unwrap();
    m.chmod("/shared", 0o2777).unwrap();
    m.set_cred(Cred::user(1000, 1001));
    m.create("/open/f", 0o644).unwrap();
    m.create("/shared/f", 0o644).unwrap();
    m.mkdir("/shared/d").unwrap();
    let owner = |path| {
        let a = m.stat(path).unwrap();
        (a.uid, a.gid, a.mode & 0o7777)
    };
    assert_eq!(owner("/open/f"), (1000, 1001, 0o644));
    assert_eq!(owner("/shared/f"), (1000, 50, 0o644));
    assert_eq!(owner("/shared/d"), (1000, 50, 0o2755));
    assert_eq!(m.create("/f", 0o644), Err(Errno::EACCES));
    done(m);
}

#[test]
fn times_of_directories_move() {
    let m = Machine::mount(&image(16, &[])).unwrap();
    let places = ["/d", "/e"];
    places.iter().for_each(|d| m.mkdir(d).unwrap());
    let old = base::Timespec { sec: 1000, nsec: 0 };
    let reset = |path: &str| {
        let place = m.place(path).unwrap();
        let times = Some([vfs::attr_ops::TimeUpdate::To(old); 2]);
        vfs::attr_ops::utimens(&place, times, &Cred::ROOT).unwrap();
    };
    let moved = |path: &str| m.stat(path).unwrap().mtime != old;
    let steps: [(&dyn Fn(), bool, bool); 7] = [
        (&|| m.create("/d/f", 0o644).unwrap(), true, false),
        (&|| m.link("/d/f", "/e/g").unwrap(), false, true),
        (&|| m.rename("/d/f", "/e/f").unwrap(), true, true),
        (&|| m.unlink("/e/f").unwrap(), false, true),
        (&|| m.symlink("x", "/d/l").unwrap(), true, false),
        (&|| m.mkdir("/e/sub").unwrap(), false, true),
        (&|| m.rmdir("/e/sub").unwrap(), false, true),
    ];
    for (number, (step, d, e)) in steps.iter().enumerate() {
        places.iter().for_each(|d| reset(d));
        step();
        assert_eq!((moved("/d"), moved("/e")), (*d, *e), "step {number}");
    }
    done(m);
}
