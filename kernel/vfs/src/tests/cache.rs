//! The dentry cache: what it keeps, what it lets go, and what it never gets wrong.

use alloc::format;
use alloc::sync::Arc;
use std::vec::Vec;

use base::Errno;

use super::{OK, World, err};
use crate::{DirEntry, OpenFlags, answers, dentry, iterate_dir};

#[test]
fn a_missing_name_is_remembered_and_forgotten() {
    let w = World::new();
    w.mkdir("d").unwrap();
    answers! {
        w.cat("d/x") => Err(Errno::ENOENT),
        w.cat("d/x") => Err(Errno::ENOENT),
    }
    let d = w.place("d").dentry;
    assert!(d.cached(b"x").is_some_and(|n| n.inode().is_none()));
    w.put("d/x", "now");
    assert_eq!(w.cat("d/x"), Ok("now".into()));
    w.unlink("d/x").unwrap();
    assert_eq!(w.cat("d/x"), Err(Errno::ENOENT));
}

#[test]
fn a_removed_directory_takes_its_negative_entries_along() {
    let w = World::new();
    w.mkdir("d").unwrap();
    for i in 0..10 {
        assert!(w.stat(&format!("d/{i}")).is_err());
    }
    let inode = Arc::downgrade(w.place("d").inode().unwrap());
    w.rmdir("d").unwrap();
    assert!(inode.upgrade().is_none());
    assert_eq!(w.mkdir("d"), OK);
}

#[test]
fn an_unlinked_file_goes_at_the_last_close() {
    let w = World::new();
    w.put("f", "x");
    let file = w.open("f", OpenFlags::empty()).unwrap();
    let inode = Arc::downgrade(file.inode());
    w.unlink("f").unwrap();
    assert!(inode.upgrade().is_some());
    drop(file);
    assert!(inode.upgrade().is_none());
}

#[test]
fn a_replaced_file_goes_too() {
    let w = World::new();
    w.put("a", "a");
    w.put("b", "b");
    let inode = Arc::downgrade(w.place("b").inode().unwrap());
    w.rename("a", "b").unwrap();
    assert!(inode.upgrade().is_none());
}

#[test]
fn shrinking_lets_go_of_what_nobody_uses() {
    let w = World::new();
    w.mkdir("d").unwrap();
    for i in 0..50 {
        w.touch(&format!("d/{i}")).unwrap();
    }
    let d = w.place("d").dentry;
    let kept = w.open("d/7", OpenFlags::empty()).unwrap();
    // Each call goes round twice: the first time only takes away the mark of having been used.
    // (Not until nothing goes any more: other tests make entries meanwhile.)
    for _ in 0..3 {
        dentry::shrink(usize::MAX);
    }
    assert!(d.cached(b"8").is_none());
    assert!(d.cached(b"7").is_some_and(|e| Arc::ptr_eq(&e, &kept.path().dentry)));
    for i in 0..50 {
        answers!(w.stat(&format!("d/{i}")).is_ok() => true);
    }
}

#[test]
fn a_very_deep_tree_is_dropped_without_recursion() {
    let mut w = World::new();
    for _ in 0..20_000 {
        w.mkdir("d").unwrap();
        w.chdir("d").unwrap();
    }
    for _ in 0..10_000 {
        let here = w.cwd.clone();
        w.chdir("..").unwrap();
        w.rmdir("d").unwrap();
        // Hold the removed one so that the chain hangs on it alone.
        w.cwd = here;
        w.chdir("..").unwrap();
    }
    let stack = std::thread::Builder::new().stack_size(64 << 10);
    stack.spawn(move || drop(w)).unwrap().join().unwrap();
}

fn positions(w: &World, room: usize) -> Vec<(Vec<u8>, u64)> {
    let dir = w.open("/", OpenFlags::DIRECTORY).unwrap();
    let mut all = Vec::new();
    loop {
        let before = all.len();
        let mut sink = |e: &DirEntry<'_>| {
            if all.len() - before == room {
                return false;
            }
            all.push((e.name.to_vec(), e.next));
            true
        };
        iterate_dir(&dir, &mut sink).unwrap();
        if all.len() == before {
            return all;
        }
    }
}

#[test]
fn directories_are_read_in_any_pieces() {
    let w = World::new();
    for i in 0..20 {
        w.touch(&format!("n{i}")).unwrap();
    }
    let whole = positions(&w, 1000);
    assert_eq!(whole.len(), 22);
    for room in [1, 2, 3, 7, 22] {
        assert_eq!(positions(&w, room), whole);
    }
    // seekdir: from any entry's position the rest follows; and an entry removed meanwhile is not
    // missed by the others.
    let dir = w.open("/", OpenFlags::DIRECTORY).unwrap();
    crate::lseek::lseek(&dir, whole[9].1 as i64, 0).unwrap();
    w.unlink("n9").unwrap();
    let mut rest = Vec::new();
    let mut sink = |e: &DirEntry<'_>| {
        rest.push(e.name.to_vec());
        true
    };
    iterate_dir(&dir, &mut sink).unwrap();
    let expected: Vec<_> = whole[10..].iter().map(|(n, _)| n.clone()).filter(|n| n != b"n9").collect();
    assert_eq!(rest, expected);
    let file = w.open("n1", OpenFlags::empty()).unwrap();
    assert_eq!(iterate_dir(&file, &mut |_: &DirEntry<'_>| true), err(Errno::ENOTDIR));
}

#[test]
fn threads_on_one_tree() {
    let w = Arc::new(World::new());
    for d in ["a", "b", "a/x", "b/y"] {
        w.mkdir(d).unwrap();
    }
    let threads: Vec<_> = (0..4)
        .map(|i| {
            let w = w.clone();
            std::thread::spawn(move || {
                for n in 0..300 {
                    let (from, to) = if (i + n) % 2 == 0 { ("a", "b") } else { ("b", "a") };
                    let name = format!("{from}/f{}", n % 5);
                    let _ = w.touch(&name);
                    let _ = w.rename(&name, &format!("{to}/g{}", n % 3));
                    let _ = w.rename(&format!("{from}/x"), &format!("{to}/y/x"));
                    let _ = w.rename(&format!("{to}/y/x"), &format!("{from}/x"));
                    let _ = w.rename2("a/x", "b/y", 2);
                    let _ = w.unlink(&format!("{to}/g{}", n % 3));
                    let _ = w.ls(from);
                    let _ = w.mkdir(&format!("{to}/m"));
                    let _ = w.rmdir(&format!("{from}/m"));
                }
            })
        })
        .collect();
    for t in threads {
        t.join().unwrap();
    }
    // Whatever happened, the tree is one: every name that is listed can be looked up.
    for d in ["/", "a", "b"] {
        for name in w.ls(d).unwrap() {
            assert!(w.lstat(&format!("{d}/{name}")).is_ok(), "{d}/{name}");
        }
    }
}
