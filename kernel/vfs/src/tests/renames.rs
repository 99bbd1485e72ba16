//! renameat2(2): every pair of kinds, slashes, loops, and what open files see.

use std::vec;

use base::Errno;

use super::{OK, World, err};
use crate::attr_ops::chmod;
use crate::{Cred, OpenFlags, answers, d_path};

const NOREPLACE: u32 = 1;
const EXCHANGE: u32 = 2;

fn tree() -> World {
    let w = World::new();
    for d in ["d", "d/sub", "d/sub/deep", "empty", "full"] {
        w.mkdir(d).unwrap();
    }
    w.put("full/x", "x");
    w.put("f", "f");
    w.put("g", "g");
    w.symlink("f", "l").unwrap();
    w
}

#[test]
fn files() {
    let w = tree();
    answers! {
        w.rename("f", "h") => OK,
        w.cat("h") => Ok("f".into()),
        w.cat("f") => Err(Errno::ENOENT),
        w.rename("h", "g") => OK,
        w.cat("g") => Ok("f".into()),
        w.rename("h", "x") => err(Errno::ENOENT),
        w.rename("g", "d/sub/k") => OK,
        w.cat("d/sub/k") => Ok("f".into()),
        w.rename("d/sub/k", "empty") => err(Errno::EISDIR),
        w.rename("d/sub/k", "nowhere/k") => err(Errno::ENOENT),
        w.rename("d/sub/k", "new/") => err(Errno::ENOTDIR),
        w.rename("d/sub/k/", "new") => err(Errno::ENOTDIR),
        w.rename("l", "m") => OK,
        w.lstat("m").unwrap().attr.mode => 0o120777,
        w.rename("d/sub/k", "d/sub/k") => OK,
    }
}

#[test]
fn directories() {
    let w = tree();
    answers! {
        w.rename("d", "f") => err(Errno::ENOTDIR),
        w.rename("d", "full") => err(Errno::ENOTEMPTY),
        w.rename("empty", "new/") => OK,
        w.rename("new/", "empty") => OK,
        w.rename("d", "empty") => OK,
        w.ls("empty") => Ok(vec![".".into(), "..".into(), "sub".into()]),
        w.stat("d").is_err() => true,
        w.rename("empty/sub", "full/moved") => OK,
        w.stat("empty").unwrap().attr.nlink => 2,
        w.stat("full").unwrap().attr.nlink => 3,
        w.ls("full/moved") => Ok(vec![".".into(), "..".into(), "deep".into()]),
    }
}

#[test]
fn dots_and_roots() {
    let w = tree();
    answers! {
        w.rename("d/.", "x") => err(Errno::EBUSY),
        w.rename("d/..", "x") => err(Errno::EBUSY),
        w.rename("/", "x") => err(Errno::EBUSY),
        w.rename("f", ".") => err(Errno::EBUSY),
        w.rename("f", "/") => err(Errno::EBUSY),
        w.rename("f", "d/..") => err(Errno::EBUSY),
        w.rename2("f", ".", NOREPLACE) => err(Errno::EEXIST),
        w.rename2("f", "h", 4) => err(Errno::EINVAL),
        w.rename2("f", "h", NOREPLACE | EXCHANGE) => err(Errno::EINVAL),
        w.rename2("f", "h", 8) => err(Errno::EINVAL),
        w.rename("", "h") => err(Errno::ENOENT),
        w.rename("f", "") => err(Errno::ENOENT),
    }
}

#[test]
fn not_below_itself() {
    let w = tree();
    answers! {
        w.rename("d", "d/x") => err(Errno::EINVAL),
        w.rename("d", "d/sub/deep/x") => err(Errno::EINVAL),
        w.rename("d/sub", "d/sub/x") => err(Errno::EINVAL),
        w.rename("d/sub/deep", "d") => err(Errno::ENOTEMPTY),
        w.rename("d/sub/deep", "d/sub") => err(Errno::ENOTEMPTY),
        w.rename("d/sub", "d") => err(Errno::ENOTEMPTY),
        w.rename2("d", "d/sub", EXCHANGE) => err(Errno::EINVAL),
        w.rename2("d/sub/deep", "d", EXCHANGE) => err(Errno::EINVAL),
        w.rename("d/sub/deep", "d/deep") => OK,
        w.rename("d/deep", "d/sub/deep") => OK,
    }
}

#[test]
fn noreplace() {
    let w = tree();
    answers! {
        w.rename2("f", "g", NOREPLACE) => err(Errno::EEXIST),
        w.rename2("f", "l", NOREPLACE) => err(Errno::EEXIST),
        w.rename2("f", "new", NOREPLACE) => OK,
        w.cat("new") => Ok("f".into()),
    }
}

#[test]
fn exchange() {
    let w = tree();
    answers! {
        w.rename2("f", "nowhere", EXCHANGE) => err(Errno::ENOENT),
        w.rename2("f", "g", EXCHANGE) => OK,
        w.cat("f") => Ok("g".into()),
        w.cat("g") => Ok("f".into()),
        w.rename2("f", "d/sub", EXCHANGE) => OK,
        w.cat("d/sub") => Ok("g".into()),
        w.ls("f") => Ok(vec![".".into(), "..".into(), "deep".into()]),
        w.stat("/").unwrap().attr.nlink => 6,
        w.stat("d").unwrap().attr.nlink => 2,
        w.rename2("d", "g/", EXCHANGE) => err(Errno::ENOTDIR),
        w.rename2("full", "empty/", EXCHANGE) => OK,
        w.cat("empty/x") => Ok("x".into()),
    }
}

#[test]
fn hard_links_of_one_file() {
    let w = tree();
    w.link("f", "f2").unwrap();
    answers! {
        w.rename("f", "f2") => OK,
        w.cat("f") => Ok("f".into()),
        w.cat("f2") => Ok("f".into()),
        w.stat("f").unwrap().attr.nlink => 2,
    }
}

#[test]
fn a_directory_that_may_not_be_written_keeps_its_parent() {
    let w = tree();
    chmod(&w.root, 0o777, &Cred::ROOT).unwrap();
    let user = w.as_user(5);
    user.mkdir("mine").unwrap();
    user.mkdir("mine2").unwrap();
    chmod(&w.place("mine"), 0o555, &Cred::ROOT).unwrap();
    answers! {
        user.rename("mine", "other") => OK,
        user.rename("other", "mine2/x") => err(Errno::EACCES),
    }
}

#[test]
fn open_files_move_along() {
    let mut w = tree();
    let f = w.open("f", OpenFlags::RDWR).unwrap();
    let g = w.open("g", OpenFlags::RDWR).unwrap();
    let path = |file: &crate::File, w: &World| d_path(file.path(), &w.root);
    w.rename("f", "g").unwrap();
    assert_eq!(path(&f, &w), b"/g");
    assert_eq!(path(&g, &w), b"/g (deleted)");
    assert_eq!(w.read(&g, 10), Ok(b"g".to_vec()));
    assert_eq!(g.inode().attr().nlink, 0);
    w.chdir("d/sub/deep").unwrap();
    w.rename("/d", "/full/e").unwrap();
    assert_eq!(w.getcwd(), Ok("/full/e/sub/deep".into()));
    assert!(w.stat("../../../x").is_ok());
    w.rename2("/full", "/empty", EXCHANGE).unwrap();
    assert_eq!(w.getcwd(), Ok("/empty/e/sub/deep".into()));
}
