//! Walking, making and removing names.

use alloc::format;
use alloc::string::String;
use std::vec;

use base::{DevId, Errno};

use super::{OK, World, err};
use crate::namei::{self, LookupFlags};
use crate::{Cred, Want, answers};

fn tree() -> World {
    let w = World::new();
    w.mkdir("d").unwrap();
    w.mkdir("d/e").unwrap();
    w.put("f", "content");
    w.put("d/g", "g");
    w.symlink("f", "to_f").unwrap();
    w.symlink("d", "to_d").unwrap();
    w.symlink("nowhere", "dangling").unwrap();
    w.symlink("/d/e", "absolute").unwrap();
    w.symlink("loop", "loop").unwrap();
    w
}

fn exists(w: &World, path: &str, flags: LookupFlags) -> Result<(), Errno> {
    w.lookup(path, flags).map(|_| ())
}

#[test]
fn lookups() {
    let w = tree();
    let (no, follow) = (LookupFlags::empty(), LookupFlags::FOLLOW);
    let dir = LookupFlags::FOLLOW | LookupFlags::DIRECTORY;
    answers! {
        exists(&w, "", follow) => err(Errno::ENOENT),
        exists(&w, "", LookupFlags::EMPTY) => OK,
        exists(&w, "/", follow) => OK,
        exists(&w, "//", follow) => OK,
        exists(&w, ".", follow) => OK,
        exists(&w, "..", follow) => OK,
        exists(&w, "/..", follow) => OK,
        exists(&w, "/../../d/..//./d/e/", follow) => OK,
        exists(&w, "f", follow) => OK,
        exists(&w, "f/", follow) => err(Errno::ENOTDIR),
        exists(&w, "f/.", follow) => err(Errno::ENOTDIR),
        exists(&w, "f/..", follow) => err(Errno::ENOTDIR),
        exists(&w, "f/x", follow) => err(Errno::ENOTDIR),
        exists(&w, "d/", follow) => OK,
        exists(&w, "d/./e/../g", follow) => OK,
        exists(&w, "nowhere", follow) => err(Errno::ENOENT),
        exists(&w, "nowhere/", follow) => err(Errno::ENOENT),
        exists(&w, "nowhere/x", follow) => err(Errno::ENOENT),
        exists(&w, "nowhere/..", follow) => err(Errno::ENOENT),
        exists(&w, "f", dir) => err(Errno::ENOTDIR),
        exists(&w, "d", dir) => OK,
        exists(&w, "to_d", dir) => OK,
        exists(&w, "to_d", no | LookupFlags::DIRECTORY) => err(Errno::ENOTDIR),
        exists(&w, "dangling", no) => OK,
        exists(&w, "dangling", follow) => err(Errno::ENOENT),
        exists(&w, "dangling/", no) => err(Errno::ENOENT),
        exists(&w, "to_f/", no) => err(Errno::ENOTDIR),
        exists(&w, "to_d/g", no) => OK,
        exists(&w, "absolute/../g", no) => OK,
        exists(&w, "loop", no) => OK,
        exists(&w, "loop", follow) => err(Errno::ELOOP),
        exists(&w, "loop/x", no) => err(Errno::ELOOP),
    }
    assert_eq!(w.lstat("to_d").unwrap().attr.mode, 0o120777);
    assert_eq!(w.lstat("to_d/").unwrap().attr.mode, 0o040755);
    assert_eq!(w.cat("to_d/g"), Ok("g".into()));
}

#[test]
fn lengths() {
    let w = tree();
    let name = |n| "x".repeat(n);
    answers! {
        w.touch(&name(255)) => OK,
        w.touch(&name(256)) => err(Errno::ENAMETOOLONG),
        exists(&w, &name(256), LookupFlags::FOLLOW) => err(Errno::ENAMETOOLONG),
        exists(&w, &format!("{}/y", name(256)), LookupFlags::FOLLOW) => err(Errno::ENAMETOOLONG),
        exists(&w, &"/".repeat(4095), LookupFlags::FOLLOW) => OK,
        exists(&w, &"/".repeat(4096), LookupFlags::FOLLOW) => err(Errno::ENAMETOOLONG),
        exists(&w, &format!("{}d", "./".repeat(2047)), LookupFlags::FOLLOW) => OK,
        w.symlink(&name(4095), "long") => OK,
        w.symlink(&name(4096), "longer") => err(Errno::ENAMETOOLONG),
        w.symlink("", "empty") => err(Errno::ENOENT),
    }
}

#[test]
fn forty_links_and_no_more() {
    let w = tree();
    w.symlink("f", "l1").unwrap();
    for i in 2..=41 {
        w.symlink(&format!("l{}", i - 1), &format!("l{i}")).unwrap();
    }
    answers! {
        exists(&w, "l40", LookupFlags::FOLLOW) => OK,
        exists(&w, "l41", LookupFlags::FOLLOW) => err(Errno::ELOOP),
        exists(&w, "l41", LookupFlags::empty()) => OK,
    }
    // Links on the way count together, however the path goes.
    let through = |n: usize| format!("{}f", "to_d/../".repeat(n));
    answers! {
        exists(&w, &through(40), LookupFlags::FOLLOW) => OK,
        exists(&w, &through(41), LookupFlags::FOLLOW) => err(Errno::ELOOP),
    }
}

#[test]
fn mkdir_and_its_slashes() {
    let w = tree();
    answers! {
        w.mkdir("n/") => OK,
        w.mkdir("n//x///") => OK,
        w.mkdir("n") => err(Errno::EEXIST),
        w.mkdir("n/") => err(Errno::EEXIST),
        w.mkdir("f") => err(Errno::EEXIST),
        w.mkdir("f/") => err(Errno::EEXIST),
        w.mkdir("/") => err(Errno::EEXIST),
        w.mkdir("n/.") => err(Errno::EEXIST),
        w.mkdir("n/..") => err(Errno::EEXIST),
        w.mkdir("nowhere/.") => err(Errno::ENOENT),
        w.mkdir("nowhere/x") => err(Errno::ENOENT),
        w.mkdir("f/x") => err(Errno::ENOTDIR),
        w.mkdir("dangling") => err(Errno::EEXIST),
        w.mkdir("dangling/") => err(Errno::EEXIST),
        w.mkdir("") => err(Errno::ENOENT),
    }
    assert_eq!(w.stat("n").unwrap().attr.nlink, 3);
    assert_eq!(w.mode("n"), 0o755);
    namei::mkdir(&w.at(), b"sticky", 0o7777).unwrap();
    assert_eq!(w.mode("sticky"), 0o1755);
}

#[test]
fn nodes() {
    let w = tree();
    let mknod = |path: &str, mode| namei::mknod(&w.at(), path.as_bytes(), mode, DevId::new(1, 3));
    answers! {
        mknod("null", 0o020666) => OK,
        mknod("null", 0o020666) => err(Errno::EEXIST),
        mknod("fifo", 0o010644) => OK,
        mknod("sock", 0o140644) => OK,
        mknod("plain", 0o644) => OK,
        mknod("plain2/", 0o644) => err(Errno::ENOENT),
        mknod("dir", 0o040755) => err(Errno::EPERM),
        mknod("link", 0o120777) => err(Errno::EINVAL),
        mknod("what", 0o170644) => err(Errno::EINVAL),
    }
    let null = w.stat("null").unwrap().attr;
    assert_eq!((null.mode, null.rdev), (0o020644, DevId::new(1, 3)));
    assert_eq!(w.stat("plain").unwrap().attr.mode, 0o100644);
    assert_eq!(w.stat("fifo").unwrap().attr.rdev, DevId::default());
    let user = w.as_user(5);
    crate::attr_ops::chmod(&w.root, 0o777, &Cred::ROOT).unwrap();
    assert_eq!(namei::mknod(&user.at(), b"mine", 0o020666, DevId::new(1, 3)), err(Errno::EPERM));
    assert_eq!(namei::mknod(&user.at(), b"myfifo", 0o010666, DevId::default()), OK);
}

#[test]
fn symlinks() {
    let w = tree();
    let readlink =
        |path: &str| namei::readlink(&w.at(), path.as_bytes()).map(|t| String::from_utf8(t).unwrap());
    answers! {
        w.symlink("x", "f") => err(Errno::EEXIST),
        w.symlink("x", "new/") => err(Errno::ENOENT),
        w.symlink("x", "dangling") => err(Errno::EEXIST),
        w.symlink("x", "d/l") => OK,
        readlink("d/l") => Ok("x".into()),
        readlink("to_d") => Ok("d".into()),
        readlink("to_d/") => Err(Errno::EINVAL),
        readlink("f") => Err(Errno::EINVAL),
        readlink("nowhere") => Err(Errno::ENOENT),
        readlink("") => Err(Errno::ENOENT),
    }
    assert_eq!(w.lstat("to_d").unwrap().attr.size, 1);
}

#[test]
fn unlink() {
    let w = tree();
    answers! {
        w.unlink("f/") => err(Errno::ENOTDIR),
        w.unlink("d") => err(Errno::EISDIR),
        w.unlink("d/") => err(Errno::EISDIR),
        w.unlink("nowhere") => err(Errno::ENOENT),
        w.unlink("nowhere/") => err(Errno::ENOENT),
        w.unlink("/") => err(Errno::EISDIR),
        w.unlink(".") => err(Errno::EISDIR),
        w.unlink("d/..") => err(Errno::EISDIR),
        w.unlink("to_d/") => err(Errno::ENOTDIR),
        w.unlink("to_d") => OK,
        w.unlink("dangling") => OK,
        w.unlink("loop") => OK,
        w.unlink("f") => OK,
        w.unlink("f") => err(Errno::ENOENT),
        w.ls("d") => Ok(vec![".".into(), "..".into(), "e".into(), "g".into()]),
    }
}

#[test]
fn rmdir() {
    let mut w = tree();
    answers! {
        w.rmdir("d") => err(Errno::ENOTEMPTY),
        w.rmdir("f") => err(Errno::ENOTDIR),
        w.rmdir("f/") => err(Errno::ENOTDIR),
        w.rmdir("to_d") => err(Errno::ENOTDIR),
        w.rmdir("/") => err(Errno::EBUSY),
        w.rmdir("d/e/.") => err(Errno::EINVAL),
        w.rmdir("d/e/..") => err(Errno::ENOTEMPTY),
        w.rmdir("nowhere") => err(Errno::ENOENT),
    }
    w.chdir("d/e").unwrap();
    answers! {
        w.rmdir("/d/e/") => OK,
        w.stat("/d").unwrap().attr.nlink => 2,
        // A removed working directory: nothing is in it and nothing can be made, but it has a parent.
        w.getcwd() => Err(Errno::ENOENT),
        exists(&w, ".", LookupFlags::FOLLOW) => OK,
        exists(&w, "../g", LookupFlags::FOLLOW) => OK,
        exists(&w, "x", LookupFlags::FOLLOW) => err(Errno::ENOENT),
        w.mkdir("x") => err(Errno::ENOENT),
        w.touch("x") => err(Errno::ENOENT),
        w.ls(".") => Err(Errno::ENOENT),
        w.rename("/f", "x") => err(Errno::ENOENT),
        w.link("/f", "x") => err(Errno::ENOENT),
    }
}

#[test]
fn links() {
    let w = tree();
    let at = w.at();
    answers! {
        w.link("f", "f2") => OK,
        w.link("f", "f2") => err(Errno::EEXIST),
        w.link("f", "f3/") => err(Errno::ENOENT),
        w.link("d", "d2") => err(Errno::EPERM),
        w.link("nowhere", "x") => err(Errno::ENOENT),
        w.link("f", "nowhere/x") => err(Errno::ENOENT),
        w.link("to_f", "to_f2") => OK,
        namei::link(&at, b"to_f", LookupFlags::FOLLOW, &at, b"f4") => OK,
    }
    assert_eq!(w.stat("f").unwrap().attr.nlink, 3);
    assert_eq!(w.lstat("to_f2").unwrap().attr.mode, 0o120777);
    w.unlink("f").unwrap();
    assert_eq!(w.cat("f2"), Ok("content".into()));
    // An open file whose last name is gone cannot get one again through /proc or AT_EMPTY_PATH.
    let open = w.open("f4", crate::OpenFlags::empty()).unwrap();
    w.unlink("f2").unwrap();
    w.unlink("f4").unwrap();
    let from = namei::At { base: open.path(), ..at };
    assert_eq!(namei::link(&from, b"", LookupFlags::EMPTY, &at, b"back"), err(Errno::ENOENT));
}

#[test]
fn permissions_of_directories() {
    let w = tree();
    let user = w.as_user(5);
    crate::attr_ops::chmod(&w.place("d"), 0o700, &Cred::ROOT).unwrap();
    answers! {
        exists(&user, "d", LookupFlags::FOLLOW) => OK,
        exists(&user, "d/", LookupFlags::FOLLOW) => OK,
        exists(&user, "d/.", LookupFlags::FOLLOW) => err(Errno::EACCES),
        exists(&user, "d/nowhere", LookupFlags::FOLLOW) => err(Errno::EACCES),
        exists(&user, "to_d/g", LookupFlags::FOLLOW) => err(Errno::EACCES),
        user.mkdir("x") => err(Errno::EACCES),
        user.mkdir("d") => err(Errno::EEXIST),
        user.touch("x") => err(Errno::EACCES),
        user.unlink("f") => err(Errno::EACCES),
        user.unlink("nowhere") => err(Errno::ENOENT),
        user.rmdir("d") => err(Errno::EACCES),
        user.rename("f", "x") => err(Errno::EACCES),
        user.link("f", "x") => err(Errno::EACCES),
        user.symlink("f", "x") => err(Errno::EACCES),
    }
}

#[test]
fn the_sticky_bit() {
    let w = tree();
    namei::mkdir(&crate::namei::At { umask: 0, ..w.at() }, b"tmp", 0o1777).unwrap();
    let (a, b) = (w.as_user(5), w.as_user(6));
    a.touch("tmp/a").unwrap();
    b.touch("tmp/b").unwrap();
    answers! {
        b.unlink("tmp/a") => err(Errno::EPERM),
        b.rename("tmp/a", "tmp/c") => err(Errno::EPERM),
        b.rename("tmp/b", "tmp/a") => err(Errno::EPERM),
        b.rename2("tmp/b", "tmp/a", 2) => err(Errno::EPERM),
        b.rename("tmp/b", "tmp/c") => OK,
        a.unlink("tmp/a") => OK,
        w.unlink("tmp/c") => OK,
    }
}

#[test]
fn access() {
    let w = tree();
    crate::attr_ops::chmod(&w.place("f"), 0o640, &Cred::ROOT).unwrap();
    let user = w.as_user(5);
    let check = |w: &World, path: &str, bits| {
        namei::access(&w.at(), path.as_bytes(), Want::from_bits(bits), LookupFlags::FOLLOW)
    };
    answers! {
        check(&w, "f", 6) => OK,
        check(&w, "f", 1) => err(Errno::EACCES),
        check(&w, "d", 7) => OK,
        check(&w, "nowhere", 0) => err(Errno::ENOENT),
        check(&user, "f", 0) => OK,
        check(&user, "f", 4) => err(Errno::EACCES),
        check(&user, "d", 5) => OK,
        check(&user, "d", 2) => err(Errno::EACCES),
    }
}
