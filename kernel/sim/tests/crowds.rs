//! Directories with very many names: 100,000 files, more subdirectories than a link count counts, an
//! index with every level that `large_dir` allows. e2fsck has the last word, full and empty.

use std::collections::BTreeSet;

use base::Errno;
use sim::{Image, Machine};

const MIB: u64 = 1 << 20;
const EXCHANGE: u32 = 2;

fn image(mib: u64, args: &[&str]) -> Image {
    Image::mkfs(mib * MIB, args).unwrap()
}

fn done(m: Machine) -> Image {
    let image = m.unmount().unwrap();
    image.fsck().unwrap();
    image
}

/// Fills a directory, has it checked, lists it and looks names up after a mount, and empties it.
/// `QUILL_FILES` says how many files; 100,000 unless it does.
fn fill_and_empty(more: &[&str]) {
    let count: usize = std::env::var("QUILL_FILES").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000);
    let inodes = (count + 1000).to_string();
    let args = [more, &["-N", &inodes]].concat();
    let m = Machine::mount(&image(20 + count as u64 / 1000, &args)).unwrap();
    m.mkdir("/d").unwrap();
    let free = m.statfs().unwrap();
    let name = |i: usize| format!("/d/a file with number {i}");
    for i in 0..count {
        m.create(name(i), 0o644).unwrap();
    }
    assert_eq!(m.create(name(77), 0o644), Err(Errno::EEXIST));
    let image = done(m);
    assert!(image.debugfs("htree_dump /d").unwrap().contains("Indirect levels"));
    let m = Machine::mount(&image).unwrap();
    let names: BTreeSet<_> = m.read_dir_by("/d", 7).unwrap().into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names.len(), count + 2);
    for i in (0..count).step_by(61) {
        assert_eq!(m.stat(name(i)).unwrap().size, 0);
    }
    assert_eq!(m.stat(name(count)).map(|_| ()), Err(Errno::ENOENT));
    for i in 0..count {
        m.unlink(name(i)).unwrap();
    }
    assert_eq!(m.read_dir("/d").unwrap().len(), 2);
    let image = done(m);
    let m = Machine::mount(&image).unwrap();
    assert_eq!(m.statfs().unwrap().files_free, free.files_free);
    m.rmdir("/d").unwrap();
    done(m);
}

#[test]
fn a_hundred_thousand_files_on_blocks_of_1k() {
    fill_and_empty(&["-b", "1024"]);
}

#[test]
fn a_hundred_thousand_files_on_blocks_of_4k() {
    fill_and_empty(&["-b", "4096"]);
}

#[test]
fn a_hundred_thousand_files_without_checksums() {
    fill_and_empty(&["-b", "1024", "-O", "^metadata_csum"]);
}

/// Past 65,000 links the count is 1, "too many to count", and stays so when directories go.
#[test]
fn more_subdirectories_than_a_link_count_counts() {
    const LINK_MAX: usize = 65_000;
    const COUNT: usize = LINK_MAX + 50;
    let name = |i: usize| format!("/d/{i}");
    let m = Machine::mount(&image(120, &["-b", "1024", "-N", "66000"])).unwrap();
    m.mkdir("/d").unwrap();
    for i in 0..COUNT {
        m.mkdir(name(i)).unwrap();
        if i == LINK_MAX - 3 {
            assert_eq!(m.stat("/d").unwrap().nlink, LINK_MAX as u32);
        }
    }
    assert_eq!(m.stat("/d").unwrap().nlink, 1);
    let m = Machine::mount(&done(m)).unwrap();
    assert_eq!(m.stat("/d").unwrap().nlink, 1);
    assert_eq!(m.rmdir("/d"), Err(Errno::ENOTEMPTY));
    m.mkdir("/e").unwrap();
    m.rename(name(0), "/e/moved").unwrap();
    m.rename("/e/moved", name(0)).unwrap();
    assert_eq!(m.stat("/e").unwrap().nlink, 2);
    for i in 0..COUNT {
        m.rmdir(name(i)).unwrap();
    }
    assert_eq!(m.stat("/d").unwrap().nlink, 1);
    let m = Machine::mount(&done(m)).unwrap();
    m.rmdir("/d").unwrap();
    done(m);
}

/// Without dir_nlink there is no such count: EMLINK, in mkdir and in rename, until one goes.
#[test]
fn without_dir_nlink_directories_end_at_the_limit() {
    const FIT: usize = 65_000 - 2;
    let name = |i: usize| format!("/d/{i}");
    let m = Machine::mount(&image(120, &["-b", "1024", "-N", "66000", "-O", "^dir_nlink"])).unwrap();
    m.mkdir("/d").unwrap();
    m.mkdir("/other").unwrap();
    for i in 0..FIT {
        m.mkdir(name(i)).unwrap();
    }
    assert_eq!(m.mkdir("/d/more"), Err(Errno::EMLINK));
    assert_eq!(m.rename("/other", "/d/other"), Err(Errno::EMLINK));
    m.create("/d/file", 0o644).unwrap();
    m.rmdir(name(7)).unwrap();
    m.rename("/other", "/d/other").unwrap();
    assert_eq!(m.mkdir("/d/more"), Err(Errno::EMLINK));
    // Two directories that change places need no room; a directory in a file's place does.
    m.mkdir("/e").unwrap();
    m.mkdir("/e/1").unwrap();
    m.rename_flags("/e/1", name(1), EXCHANGE).unwrap();
    m.rename_flags(name(2), "/e/1", EXCHANGE).unwrap();
    assert_eq!(m.rename_flags("/e/1", "/d/file", EXCHANGE), Err(Errno::EMLINK));
    assert_eq!(m.stat("/d").unwrap().nlink, 65_000);
    assert_eq!(m.stat("/e").unwrap().nlink, 3);
    done(m);
}

/// Names of 255 bytes on blocks of 1 KiB: three to a leaf, so the root and both levels of nodes that
/// `large_dir` allows are in use. Hard links spare the inodes.
#[test]
fn a_large_directory_has_an_index_of_three_levels() {
    const COUNT: usize = 40_000;
    let name = |i: usize| format!("/d/{i:n>255}");
    let m = Machine::mount(&image(64, &["-b", "1024", "-O", "large_dir"])).unwrap();
    m.mkdir("/d").unwrap();
    m.create("/f", 0o644).unwrap();
    for i in 0..COUNT {
        m.link("/f", name(i)).unwrap();
    }
    let image = done(m);
    assert!(image.debugfs("htree_dump /d").unwrap().contains("Indirect levels: 2"));
    let m = Machine::mount(&image).unwrap();
    let names: BTreeSet<_> = m.read_dir_by("/d", 7).unwrap().into_iter().map(|(name, ..)| name).collect();
    assert_eq!(names.len(), COUNT + 2);
    for i in 0..COUNT {
        if i % 2 == 0 {
            m.unlink(name(i)).unwrap();
        } else {
            assert_eq!(m.link("/f", name(i)), Err(Errno::EEXIST));
        }
    }
    let m = Machine::mount(&done(m)).unwrap();
    for i in 0..COUNT {
        if i % 2 == 0 {
            m.link("/f", name(i)).unwrap();
        }
    }
    assert_eq!(usize::try_from(m.stat("/f").unwrap().nlink).unwrap(), COUNT + 1);
    done(m);
}

/// The same without `large_dir`: the index ends at two levels, and then the directory is full.
#[test]
fn without_large_dir_the_index_ends_at_two_levels() {
    let name = |i: usize| format!("/d/{i:n>255}");
    let m = Machine::mount(&image(64, &["-b", "1024", "-O", "^large_dir"])).unwrap();
    m.mkdir("/d").unwrap();
    m.create("/f", 0o644).unwrap();
    let full = (0..60_000).find(|&i| match m.link("/f", name(i)) {
        Ok(()) => false,
        Err(e) => {
            assert_eq!(e, Errno::ENOSPC);
            true
        }
    });
    let full = full.unwrap();
    assert_eq!(m.stat(name(full)).map(|_| ()), Err(Errno::ENOENT));
    for i in 0..full {
        assert_eq!(m.stat(name(i)).unwrap().nlink as usize, full + 1);
    }
    let image = done(m);
    assert!(image.debugfs("htree_dump /d").unwrap().contains("Indirect levels: 1"));
}
