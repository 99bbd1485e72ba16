//! Fast commits written: what an fsync of a small change costs, and what a crash after it leaves, by this mount
//! and by e2fsck.

use block::{BioOp, Limits};
use sim::{Image, Machine, Options, Tree};
use vfs::{OpenFlags, RenameFlags, fsync};

/// A disk with room for fast commits in its journal.
fn fresh(more: &[&str]) -> Image {
    let mut all = vec!["-b", "1024", "-J", "size=4,fast_commit_size=64", "-O", "fast_commit"];
    all.extend(["-E", "lazy_itable_init=0,nodiscard"]);
    all.extend(more);
    Image::mkfs(32 << 20, &all).unwrap()
}

/// Mounted on a disk that knows FUA, so that nothing commits but who is asked to.
fn machine(image: &Image) -> Machine {
    let limits = Limits { fua: true, ..Limits::default() };
    let options = "commit=600".into();
    Machine::mount_with(image, &Options { limits, options, ..Options::default() }).unwrap()
}

/// A mount of a disk with some files and an empty log.
fn running(image: &Image) -> Machine {
    let machine = machine(image);
    machine.mkdir("/d").unwrap();
    machine.write_file("/d/old", &[1; 5000]).unwrap();
    machine.write_file("/d/log", b"").unwrap();
    let machine = self::machine(&machine.unmount().unwrap());
    machine.tracer().take();
    machine
}

fn write(machine: &Machine, path: &str, pos: u64, bytes: &[u8]) {
    let file = machine.open(path, OpenFlags::CREAT | OpenFlags::WRONLY, 0o644).unwrap();
    sim::write_all(&file, bytes, pos).unwrap();
}

/// Makes it durable, with the one flush that comes before the last write: how many writes the disk got.
fn synced(machine: &Machine, path: &str) -> usize {
    machine.fsync(path).unwrap();
    let ops = machine.tracer().take();
    let ops: Vec<BioOp> = ops.iter().map(|t| t.op).filter(|&op| op != BioOp::Read).collect();
    assert_eq!(ops.iter().filter(|&&op| op != BioOp::Write).count(), 1, "{ops:?}");
    ops.len() - 1
}

/// What the power left is what the machine shows, by a mount and, where that is fit to judge, by e2fsck.
fn judged(machine: &Machine, what: &str) {
    let left = machine.snapshot().without_old_fast_commits();
    let wanted = Tree::of_machine(machine).unwrap().contents_only();
    let check = |image: &Image, judge| {
        let again = Machine::mount(image).unwrap_or_else(|e| panic!("{what}: {judge}: {e}"));
        let found = Tree::of_machine(&again).unwrap().contents_only();
        assert!(found.difference(&wanted).is_none(), "{what}: {judge}: {:?}", found.difference(&wanted));
        again.unmount().unwrap().fsck().unwrap_or_else(|e| panic!("{what}: {judge}: {e}"));
    };
    check(&left, "a mount");
    if !left.has_fast_commits_behind_the_log() {
        let repaired = left.repaired().unwrap();
        repaired.fsck().unwrap_or_else(|e| panic!("{what}: after e2fsck: {e}"));
        check(&repaired, "e2fsck");
    }
}

/// Changes that are told: data, where there are any, and one write.
#[test]
fn a_small_change_is_one_write() {
    let machine = running(&fresh(&[]));
    for round in 0..5u8 {
        machine.append("/d/log", &[round; 1024]).unwrap();
        // The first finds the log empty, and says in its superblock that it is not.
        let more = usize::from(round == 0);
        assert_eq!(synced(&machine, "/d/log"), 2 + more, "an append, round {round}");
    }
    judged(&machine, "appends");
    machine.tracer().take();
    write(&machine, "/d/new", 0, &[3; 3000]);
    assert_eq!(synced(&machine, "/d/new"), 2, "a new file");
    judged(&machine, "a new file");
    machine.tracer().take();
    machine.link("/d/new", "/d/second").unwrap();
    machine.unlink("/d/new").unwrap();
    machine.rename("/d/second", "/third").unwrap();
    assert_eq!(synced(&machine, "/third"), 1, "names");
    judged(&machine, "names");
    machine.tracer().take();
    machine.fallocate("/d/log", 1, 100 << 10, 50 << 10).unwrap();
    assert_eq!(synced(&machine, "/d/log"), 1, "blocks taken ahead");
    write(&machine, "/d/log", 120 << 10, &[9; 5000]);
    assert_eq!(synced(&machine, "/d/log"), 2, "and written");
    machine.chmod("/d/log", 0o600).unwrap();
    machine.truncate("/d/old", 1 << 20).unwrap();
    assert_eq!(synced(&machine, "/d/log"), 1, "attributes");
    judged(&machine, "blocks and attributes");
    machine.unmount().unwrap().fsck().unwrap();
}

/// What goes is told too: names with the inodes behind them, the ends of files, holes.
#[test]
fn what_goes_is_one_write() {
    let machine = running(&fresh(&[]));
    let told = |what: &str| {
        assert_eq!(synced(&machine, "/d"), 1, "{what}");
        judged(&machine, what);
        machine.tracer().take();
    };
    for round in 0..3u8 {
        write(&machine, "/d/temp", 0, &[round; 3000]);
        machine.fsync("/d/temp").unwrap();
        machine.tracer().take();
        machine.rename("/d/temp", "/d/log").unwrap();
        told("rename over");
    }
    machine.truncate("/d/old", 2500).unwrap();
    machine.fsync("/d/old").unwrap();
    machine.tracer().take();
    machine.chmod("/d/old", 0o600).unwrap();
    told("shrink");
    machine.fallocate("/d/old", 3, 0, 2048).unwrap();
    told("punch");
    machine.unlink("/d/old").unwrap();
    told("unlink");
    machine.truncate("/d/log", 0).unwrap();
    told("cut to nothing");
    // Another of the same number, and one that has come and gone unseen.
    write(&machine, "/d/again", 0, &[7; 1500]);
    machine.link("/d/again", "/d/twice").unwrap();
    machine.unlink("/d/again").unwrap();
    write(&machine, "/d/unseen", 0, &[8; 1500]);
    machine.unlink("/d/unseen").unwrap();
    machine.unlink("/d/log").unwrap();
    assert_eq!(synced(&machine, "/d/twice"), 2);
    judged(&machine, "a number again");
    machine.unmount().unwrap().fsck().unwrap();
}

/// A file without a name that is open: told of as gone, and what is written to it not at all. It is on the list
/// of orphans when its transaction has committed, and leaves that by a commit.
#[test]
fn an_open_file_without_a_name() {
    let machine = running(&fresh(&["-O", "orphan_file"]));
    // The mount has changed the superblock.
    machine.sync().unwrap();
    machine.tracer().take();
    let file = machine.open("/d/old", OpenFlags::RDWR, 0).unwrap();
    machine.unlink("/d/old").unwrap();
    sim::write_all(&file, &[9; 9000], 3000).unwrap();
    assert_eq!(synced(&machine, "/d"), 1);
    fsync::fsync(&file, false).unwrap();
    judged(&machine, "while it is open");
    machine.mkdir("/commit").unwrap();
    machine.fsync("/").unwrap();
    machine.tracer().take();
    drop(file);
    write(&machine, "/new", 0, &[1; 100]);
    assert!(synced(&machine, "/new") > 2, "off the list by a commit");
    judged(&machine, "after it was closed");
    machine.unmount().unwrap().fsck().unwrap();
}

type Change = fn(&Machine);

/// What no fast commit tells is committed whole, and the next change is told again.
#[test]
fn other_changes_are_committed() {
    let disk = fresh(&[]);
    let changes: [(&str, Change); 8] = [
        ("chmod of a directory", |m| m.chmod("/d", 0o700).unwrap()),
        ("mkdir", |m| m.mkdir("/d/sub").unwrap()),
        ("symlink", |m| m.symlink("old", "/d/symlink").unwrap()),
        ("xattr", |m| m.set_xattr("/d/old", "user.a", b"1", 0).unwrap()),
        ("rmdir", |m| m.rmdir("/lost+found").unwrap()),
        ("rename of a directory", |m| m.rename("/d", "/e").unwrap()),
        ("collapse", |m| m.fallocate("/d/old", 8, 0, 2048).unwrap()),
        ("exchange", |m| m.rename_flags("/d/log", "/d/old", RenameFlags::EXCHANGE.bits()).unwrap()),
    ];
    for (what, change) in changes {
        let machine = running(&disk);
        write(&machine, "/told", 0, &[7; 2000]);
        assert_eq!(synced(&machine, "/told"), 3, "{what}");
        change(&machine);
        assert!(synced(&machine, "/") > 1, "{what}");
        judged(&machine, what);
        machine.tracer().take();
        machine.append("/told", &[8; 2000]).unwrap();
        assert_eq!(synced(&machine, "/told"), 2, "{what}: and then");
        judged(&machine, what);
        machine.unmount().unwrap().fsck().unwrap();
    }
}

/// The area is full after some: a commit, and it begins anew. A second mount goes on.
#[test]
fn the_area_begins_anew() {
    let mut image = fresh(&[]);
    for round in 0..2 {
        let machine = machine(&image);
        for i in 0..150u32 {
            let path = format!("/f{round}-{i}");
            write(&machine, &path, 0, &[i as u8; 700]);
            machine.fsync(&path).unwrap();
            if i % 30 == 29 {
                judged(&machine, &path);
            }
        }
        image = machine.unmount().unwrap();
        image.fsck().unwrap();
        assert!(!image.debugfs("logdump -S").unwrap().contains("fast_commit"), "not in a clean journal");
    }
}

/// An fsync of what was told already, with nothing new, is one flush.
#[test]
fn what_was_told_is_not_told_again() {
    let machine = running(&fresh(&[]));
    write(&machine, "/a", 0, &[1; 1000]);
    write(&machine, "/b", 0, &[2; 1000]);
    machine.fsync("/a").unwrap();
    let file = machine.open("/a", OpenFlags::RDWR, 0).unwrap();
    machine.tracer().take();
    fsync::fsync(&file, false).unwrap();
    let ops: Vec<BioOp> = machine.tracer().take().iter().map(|t| t.op).collect();
    assert_eq!(ops, [BioOp::Flush]);
    // The other's data had to be written before its size was told.
    machine.fsync("/b").unwrap();
    judged(&machine, "both");
    drop(file);
    machine.unmount().unwrap().fsck().unwrap();
}

/// Files that no fast commit tells of, and mounts and disks without.
#[test]
fn where_there_are_none() {
    for (features, options) in [
        (["-O", "^extents,^64bit"], ""),
        (["-O", "inline_data"], ""),
        (["-O", "^fast_commit"], ""),
        (["-J", "size=1"], ""),
        (["-O", "extents"], "nobarrier"),
        (["-O", "^metadata_csum"], "data=writeback,journal_async_commit"),
    ] {
        let options = Options { options: options.into(), ..Options::default() };
        let machine = Machine::mount_with(&fresh(&features), &options).unwrap();
        for i in 0..20u8 {
            let path = format!("/f{}", i % 7);
            write(&machine, &path, u64::from(i) * 500, &[i; 40]);
            machine.fsync(&path).unwrap();
        }
        judged(&machine, &format!("{features:?}"));
        machine.unmount().unwrap().fsck().unwrap();
    }
}
