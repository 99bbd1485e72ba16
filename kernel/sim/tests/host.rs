//! Trees that the host's tools put on a disk, and trees that they take from one.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use sim::{Image, Machine, Options, Rng, Tree};

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
fn an_index_of_the_hosts_tools_is_read_and_grown() {
    let host = tempfile::tempdir().unwrap();
    fs::create_dir(host.path().join("d")).unwrap();
    for i in 0..600 {
        fs::write(host.path().join(format!("d/a name from the host {i}")), []).unwrap();
    }
    let made = Image::mkfs_with(16 * MIB, &["-b", "1024", "-N", "4000"], host.path()).unwrap();
    // mke2fs -d writes linear directories; e2fsck -D builds the index.
    let indexed = made.optimized().unwrap();
    assert!(indexed.debugfs("htree_dump /d").unwrap().contains("Indirect levels"));
    for image in [made, indexed] {
        let m = Machine::mount(&image).unwrap();
        assert_eq!(m.read_dir("/d").unwrap().len(), 602);
        for i in 0..600 {
            m.stat(format!("/d/a name from the host {i}")).unwrap();
        }
        for i in 0..1000 {
            m.create(format!("/d/a name of our own {i}"), 0o600).unwrap();
        }
        assert_eq!(m.read_dir("/d").unwrap().len(), 1602);
        done(m);
    }
}

/// A tree of the host goes onto the disk with mke2fs -d; Quill must see the same.
#[test]
fn a_tree_made_by_the_host() {
    let host = tempfile::tempdir().unwrap();
    let root = host.path();
    fs::create_dir_all(root.join("a/b/c")).unwrap();
    let mut rng = Rng::new(9);
    for len in [0usize, 1, 1023, 1024, 1025, 4095, 4096, 4097, 70_000, 1_500_000] {
        let path = root.join(format!("a/b/file-{len}"));
        fs::write(&path, rng.bytes(len)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400 + len as u32 % 0o377)).unwrap();
    }
    let sparse = fs::File::create(root.join("a/sparse")).unwrap();
    std::os::unix::fs::FileExt::write_at(&sparse, b"far", 3_000_000).unwrap();
    symlink("b/file-1", root.join("a/fast")).unwrap();
    symlink("x/".repeat(100), root.join("a/slow")).unwrap();
    fs::hard_link(root.join("a/b/file-1024"), root.join("a/b/c/again")).unwrap();
    fs::write(root.join("n".repeat(255)), b"long name").unwrap();
    let theirs = Tree::of_host(root).unwrap();
    for args in [
        &["-b", "1024"][..],
        &["-b", "4096"],
        &["-b", "2048", "-O", "^metadata_csum,^64bit", "-I", "128"],
        &["-b", "1024", "-O", "^extent,^64bit,^has_journal,^metadata_csum"],
        &["-b", "4096", "-O", "^extent,^64bit,^dir_index,^filetype"],
    ] {
        let image = Image::mkfs_with(24 * MIB, args, root).unwrap();
        let m = Machine::mount_with(&image, &Options { read_only: true, ..Options::default() }).unwrap();
        let mut ours = Tree::of_machine(&m).unwrap();
        let mut theirs = theirs.clone();
        // 128-byte inodes have no nanoseconds, and mke2fs 1.47 copies none, and of the times only this.
        for tree in [&mut ours, &mut theirs] {
            for entry in tree.0.values_mut() {
                entry.times = entry.times.map(|[_, (sec, _), _]| [(0, 0), (sec, 0), (0, 0)]);
                (entry.flags, entry.project) = (None, None);
            }
        }
        if let Some(text) = ours.difference(&theirs) {
            panic!("{args:?}\n{text}");
        }
        m.unmount().unwrap();
    }
}

/// The reverse: a tree that Quill wrote comes back to the host through debugfs.
#[test]
fn a_tree_for_the_host() {
    let m = Machine::mount(&image(24, &["-b", "1024"])).unwrap();
    let mut rng = Rng::new(10);
    m.mkdir("/a").unwrap();
    m.mkdir("/a/b").unwrap();
    for len in [0usize, 1, 1023, 1024, 1025, 4096, 70_000, 1_500_000] {
        m.write_file(format!("/a/b/file-{len}"), &rng.bytes(len)).unwrap();
    }
    m.create("/a/sparse", 0o600).unwrap();
    m.pwrite("/a/sparse", 3_000_000, b"far").unwrap();
    m.symlink("b/file-1", "/a/fast").unwrap();
    m.symlink("x/".repeat(100), "/a/slow").unwrap();
    let ours = Tree::of_machine(&m).unwrap().contents_only();
    let image = done(m);
    let host = tempfile::tempdir().unwrap();
    image.dump_to(host.path()).unwrap();
    let theirs = Tree::of_host(host.path()).unwrap().contents_only();
    if let Some(text) = ours.difference(&theirs) {
        panic!("{text}");
    }
}

/// A disk without extents is read and written.
#[test]
fn a_block_mapped_file_system() {
    let host = tempfile::tempdir().unwrap();
    fs::write(host.path().join("f"), Rng::new(2).bytes(400_000)).unwrap();
    for args in [&["-t", "ext2"][..], &["-t", "ext3", "-b", "1024"]] {
        let m = Machine::mount(&Image::mkfs_with(16 * MIB, args, host.path()).unwrap()).unwrap();
        assert_eq!(m.read_file("/f").unwrap(), Rng::new(2).bytes(400_000));
        m.write_file("/new", b"new").unwrap();
        m.mkdir("/d").unwrap();
        m.pwrite("/f", 100, b"inside").unwrap();
        m.pwrite("/f", 500_000, b"behind").unwrap();
        m.symlink("x".repeat(100).as_bytes(), "/slow").unwrap();
        m.truncate("/f", 100_000).unwrap();
        m.unlink("/f").unwrap();
        m.sync().unwrap();
        m.unmount().unwrap().fsck().unwrap();
    }
}
