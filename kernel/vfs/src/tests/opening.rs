//! open(2), flag by flag.

use alloc::sync::Arc;

use base::Errno;

use super::{OK, World, err};
use crate::attr_ops::{chmod, truncate};
use crate::namei::{self, At};
use crate::{Cred, FMode, MountFlags, OpenFlags, Running, answers};

const RD: OpenFlags = OpenFlags::empty();
const WR: OpenFlags = OpenFlags::WRONLY;
const CREAT: OpenFlags = OpenFlags::CREAT;

fn tree() -> World {
    let w = World::new();
    w.mkdir("d").unwrap();
    w.put("f", "content");
    w.symlink("f", "to_f").unwrap();
    w.symlink("d", "to_d").unwrap();
    w.symlink("new", "dangling").unwrap();
    w.symlink("new/", "dangling_slash").unwrap();
    w.symlink("loop", "loop").unwrap();
    w
}

#[test]
fn without_creating() {
    let w = tree();
    answers! {
        w.try_open("f", RD) => OK,
        w.try_open("f/", RD) => err(Errno::ENOTDIR),
        w.try_open("d", RD) => OK,
        w.try_open("d/", RD) => OK,
        w.try_open("d", WR) => err(Errno::EISDIR),
        w.try_open("d", OpenFlags::RDWR) => err(Errno::EISDIR),
        w.try_open("d", RD | OpenFlags::TRUNC) => err(Errno::EISDIR),
        w.try_open(".", RD) => OK,
        w.try_open("..", RD) => OK,
        w.try_open("/", RD) => OK,
        w.try_open("", RD) => err(Errno::ENOENT),
        w.try_open("nowhere", RD) => err(Errno::ENOENT),
        w.try_open("dangling", RD) => err(Errno::ENOENT),
        w.try_open("loop", RD) => err(Errno::ELOOP),
        w.try_open("f", OpenFlags::DIRECTORY) => err(Errno::ENOTDIR),
        w.try_open("to_f", OpenFlags::DIRECTORY) => err(Errno::ENOTDIR),
        w.try_open("to_d", OpenFlags::DIRECTORY) => OK,
        w.try_open("to_d", OpenFlags::NOFOLLOW) => err(Errno::ELOOP),
        w.try_open("to_d", OpenFlags::NOFOLLOW | OpenFlags::DIRECTORY) => err(Errno::ENOTDIR),
        w.try_open("to_d/", OpenFlags::NOFOLLOW) => OK,
        w.try_open("to_f/", OpenFlags::NOFOLLOW) => err(Errno::ENOTDIR),
        w.try_open("f", OpenFlags::NOFOLLOW) => OK,
        w.try_open("f", OpenFlags::DIRECT) => err(Errno::EINVAL),
    }
}

#[test]
fn creating() {
    let w = tree();
    answers! {
        w.try_open("a", CREAT | WR) => OK,
        w.try_open("a", CREAT | WR) => OK,
        w.try_open("a", CREAT | OpenFlags::EXCL) => err(Errno::EEXIST),
        w.try_open("b", CREAT | OpenFlags::EXCL) => OK,
        w.try_open("f/", CREAT) => err(Errno::EISDIR),
        w.try_open("fresh/", CREAT) => err(Errno::EISDIR),
        w.try_open("d/", CREAT) => err(Errno::EISDIR),
        w.try_open("d", CREAT) => err(Errno::EISDIR),
        w.try_open("d", CREAT | OpenFlags::EXCL) => err(Errno::EEXIST),
        w.try_open(".", CREAT) => err(Errno::EISDIR),
        w.try_open("..", CREAT | OpenFlags::EXCL) => err(Errno::EEXIST),
        w.try_open("/", CREAT) => err(Errno::EISDIR),
        w.try_open("nowhere/x", CREAT) => err(Errno::ENOENT),
        w.try_open("f/x", CREAT) => err(Errno::ENOTDIR),
        w.try_open("x", CREAT | OpenFlags::DIRECTORY) => err(Errno::EINVAL),
        w.try_open("dangling", CREAT | OpenFlags::EXCL) => err(Errno::EEXIST),
        w.try_open("dangling", CREAT | OpenFlags::NOFOLLOW) => err(Errno::ELOOP),
        w.try_open("dangling_slash", CREAT) => err(Errno::EISDIR),
        w.stat("new").is_err() => true,
        w.try_open("dangling", CREAT | WR) => OK,
        w.stat("new").is_ok() => true,
        w.try_open("to_d", CREAT) => err(Errno::EISDIR),
        w.try_open("loop", CREAT) => err(Errno::ELOOP),
    }
}

#[test]
fn the_mode_of_a_new_file() {
    let w = tree();
    let made = |name: &str, mode, umask, flags| {
        let at = At { umask, ..w.at() };
        namei::open(&at, name.as_bytes(), CREAT | flags, mode).map(|f| f.inode().attr().mode & 0o7777)
    };
    answers! {
        made("m1", 0o666, 0o022, WR) => Ok(0o644),
        made("m2", 0o7777, 0, WR) => Ok(0o7777),
        // What it may not do later, the opener may do with the file he made.
        made("m3", 0o000, 0, OpenFlags::RDWR) => Ok(0),
    }
    let user = w.as_user(5);
    chmod(&w.root, 0o777, &Cred::ROOT).unwrap();
    let file = namei::open(&user.at(), b"m4", CREAT | OpenFlags::RDWR, 0o444).unwrap();
    assert_eq!(user.write(&file, b"x"), Ok(1));
    assert_eq!(user.try_open("m4", WR), err(Errno::EACCES));
    assert_eq!(user.stat("m4").unwrap().attr.uid, 5);
}

#[test]
fn truncating() {
    let w = tree();
    answers! {
        w.try_open("f", WR | OpenFlags::TRUNC | CREAT | OpenFlags::EXCL) => err(Errno::EEXIST),
        w.cat("f") => Ok("content".into()),
        w.try_open("f", RD | OpenFlags::TRUNC) => OK,
        w.cat("f") => Ok("".into()),
    }
    w.put("f", "again");
    chmod(&w.place("f"), 0o4755, &Cred::ROOT).unwrap();
    chmod(&w.place("f"), 0o4444, &Cred::ROOT).unwrap();
    let user = w.as_user(5);
    assert_eq!(user.try_open("f", OpenFlags::TRUNC), err(Errno::EACCES));
    assert_eq!(w.cat("f"), Ok("again".into()));
    chmod(&w.place("f"), 0o4666, &Cred::ROOT).unwrap();
    assert_eq!(user.try_open("f", OpenFlags::TRUNC), OK);
    assert_eq!(w.mode("f"), 0o666);
}

#[test]
fn by_path_only() {
    let w = tree();
    let path = OpenFlags::PATH;
    let f = w.open("f", path | OpenFlags::RDWR | OpenFlags::TRUNC | CREAT).unwrap();
    assert_eq!(f.mode(), FMode::PATH);
    assert_eq!(f.flags(), path);
    assert_eq!(w.cat("f"), Ok("content".into()));
    answers! {
        w.read(&f, 1) => Err(Errno::EBADF),
        f.check_open_for_io() => err(Errno::EBADF),
        crate::lseek::lseek(&f, 0, 0) => Err(Errno::EBADF),
        crate::fsync::fsync(&f, false) => err(Errno::EBADF),
        w.try_open("nowhere", path | CREAT) => err(Errno::ENOENT),
        w.try_open("f", path | OpenFlags::DIRECTORY) => err(Errno::ENOTDIR),
        w.try_open("d", path | OpenFlags::DIRECTORY) => OK,
        w.try_open("loop", path) => err(Errno::ELOOP),
    }
    let link = w.open("to_f", path | OpenFlags::NOFOLLOW).unwrap();
    let at = At { base: link.path(), ..w.at() };
    assert_eq!(namei::readlink(&at, b""), Ok(b"f".to_vec()));
    let at = At { base: f.path(), ..w.at() };
    assert_eq!(namei::readlink(&at, b""), Err(Errno::ENOENT));
    assert_eq!(namei::lookup(&at, b"x", Default::default()).err(), Some(Errno::ENOTDIR));
    assert!(namei::lookup(&at, b"/f", Default::default()).is_ok());
}

#[test]
fn files_without_a_name() {
    let w = tree();
    let tmp = OpenFlags::TMPFILE;
    answers! {
        w.try_open("d", tmp | WR) => OK,
        w.try_open("d", tmp) => err(Errno::EINVAL),
        w.try_open("d", tmp | WR | CREAT) => err(Errno::EINVAL),
        w.try_open("d", OpenFlags::TMPFILE_BIT | WR) => err(Errno::EINVAL),
        w.try_open("nowhere", tmp | WR) => err(Errno::ENOENT),
        w.try_open("f", tmp | WR) => err(Errno::ENOTDIR),
    }
}

#[test]
fn permissions() {
    let w = tree();
    chmod(&w.place("f"), 0o640, &Cred::ROOT).unwrap();
    let user = w.as_user(5);
    answers! {
        user.try_open("f", RD) => err(Errno::EACCES),
        user.try_open("f", CREAT) => err(Errno::EACCES),
        user.try_open("f", OpenFlags::PATH) => OK,
        user.try_open("nowhere", RD) => err(Errno::ENOENT),
        user.try_open("nowhere", CREAT) => err(Errno::EACCES),
        user.try_open("d", WR) => err(Errno::EISDIR),
        user.try_open("d", OpenFlags::NOATIME) => err(Errno::EPERM),
        w.try_open("f", OpenFlags::NOATIME) => OK,
    }
}

#[test]
fn a_read_only_mount() {
    let w = tree();
    let open = w.open("f", WR).unwrap();
    assert_eq!(w.root.mount.remount(MountFlags::RDONLY, ""), err(Errno::EBUSY));
    drop(open);
    w.root.mount.remount(MountFlags::RDONLY, "").unwrap();
    answers! {
        w.try_open("f", RD) => OK,
        w.try_open("f", RD | CREAT) => OK,
        w.try_open("f", WR) => err(Errno::EROFS),
        w.try_open("f", RD | OpenFlags::TRUNC) => err(Errno::EROFS),
        w.try_open("nowhere", CREAT) => err(Errno::EROFS),
        w.try_open("nowhere", RD) => err(Errno::ENOENT),
        w.mkdir("d") => err(Errno::EEXIST),
        w.mkdir("n") => err(Errno::EROFS),
        w.unlink("nowhere") => err(Errno::EROFS),
        w.rmdir("d") => err(Errno::EROFS),
        w.rename("f", "g") => err(Errno::EROFS),
        w.link("f", "g") => err(Errno::EROFS),
        chmod(&w.place("f"), 0, &Cred::ROOT) => err(Errno::EROFS),
        namei::access(&w.at(), b"f", crate::Want::WRITE, Default::default()) => err(Errno::EROFS),
    }
    w.root.mount.remount(MountFlags::empty(), "").unwrap();
    assert_eq!(w.try_open("f", WR), OK);
}

#[test]
fn flags_that_stay_and_flags_that_change() {
    let w = tree();
    let all = CREAT | OpenFlags::EXCL | OpenFlags::TRUNC | OpenFlags::APPEND | OpenFlags::RDWR;
    let file = w.open("new", all | OpenFlags::NONBLOCK).unwrap();
    assert_eq!(file.flags(), OpenFlags::RDWR | OpenFlags::APPEND | OpenFlags::NONBLOCK);
    assert!(file.mode().contains(FMode::CREATED | FMode::READ | FMode::WRITE));
    file.set_flags(OpenFlags::CREAT | OpenFlags::WRONLY | OpenFlags::NOATIME).unwrap();
    assert_eq!(file.flags(), OpenFlags::RDWR | OpenFlags::NOATIME);
    assert_eq!(file.set_flags(OpenFlags::DIRECT), err(Errno::EINVAL));
    assert_eq!((file.set_flags(OpenFlags::ASYNC), file.flags()), (OK, OpenFlags::RDWR));
    // Somebody else's may be read without a trace only by who opened it so.
    crate::current::set_current(Arc::new(Cred::user(5, 5)));
    assert_eq!(file.set_flags(OpenFlags::NOATIME), err(Errno::EPERM));
    crate::current::set_current(Arc::new(Cred::ROOT));
    assert_eq!((file.set_flags(OpenFlags::NOATIME), file.set_flags(OpenFlags::NOATIME)), (OK, OK));
    let sync = w.open("f", WR | OpenFlags::SYNC).unwrap();
    assert!(sync.kiocb_flags().contains(crate::KiocbFlags::SYNC | crate::KiocbFlags::DSYNC));
}

#[test]
fn special_files() {
    let w = tree();
    for (name, mode) in [("fifo", 0o010644), ("sock", 0o140644), ("dev", 0o020644)] {
        namei::mknod(&w.at(), name.as_bytes(), mode, base::DevId::new(4000, 1)).unwrap();
        assert_eq!(w.try_open(name, RD), err(Errno::ENXIO), "{name}");
        assert_eq!(w.try_open(name, OpenFlags::PATH), OK, "{name}");
    }
}

/// ETXTBSY: a file is written or run, not both.
#[test]
fn a_program_that_runs() {
    let w = tree();
    let inode = w.place("f").inode().unwrap().clone();
    let running = Running::begin(&inode).unwrap();
    answers! {
        w.try_open("f", RD) => OK,
        w.try_open("f", WR) => err(Errno::ETXTBSY),
        w.try_open("f", OpenFlags::RDWR) => err(Errno::ETXTBSY),
        w.try_open("f", RD | OpenFlags::TRUNC) => err(Errno::ETXTBSY),
        w.try_open("f", CREAT | WR) => err(Errno::ETXTBSY),
        truncate(&w.place("f"), 1, u64::MAX, &w.cred) => err(Errno::ETXTBSY),
        w.as_user(7).try_open("f", WR) => err(Errno::EACCES),
        w.unlink("f") => OK,
    }
    assert_eq!(Running::begin(&inode).map(drop), OK, "more than one may run it");
    drop(running);
    w.put("g", "content");
    let file = w.open("g", OpenFlags::RDWR).unwrap();
    assert_eq!(Running::begin(file.inode()).map(drop), err(Errno::ETXTBSY));
    let inode = file.inode().clone();
    drop(file);
    assert_eq!(Running::begin(&inode).map(drop), OK);
    // What failed to open has left nothing behind.
    let running = Running::begin(&inode).unwrap();
    assert_eq!(w.try_open("g", WR), err(Errno::ETXTBSY));
    drop(running);
    answers! { w.try_open("g", WR) => OK }
    assert_eq!(Running::begin(&inode).map(drop), OK);
}
