//! The descriptor table.

use std::vec::Vec;

use base::Errno;

use super::{OK, World, err};
use crate::{AT_FDCWD, FdTable, OpenFlags, answers, lseek::lseek};

fn world() -> (World, FdTable) {
    let w = World::new();
    w.mkdir("d").unwrap();
    w.put("f", "0123456789");
    (w, FdTable::new())
}

const LIMIT: u64 = 8;

#[test]
fn the_lowest_free_number() {
    let (w, t) = world();
    let open = || t.install(w.open("f", OpenFlags::empty()).unwrap(), false, LIMIT);
    for fd in 0..8 {
        assert_eq!(open(), Ok(fd));
    }
    answers! {
        open() => Err(Errno::EMFILE),
        t.close(3) => OK,
        t.close(1) => OK,
        t.close(3) => err(Errno::EBADF),
        open() => Ok(1),
        open() => Ok(3),
        open() => Err(Errno::EMFILE),
        t.close(-1) => err(Errno::EBADF),
        t.close(8) => err(Errno::EBADF),
        t.close(i32::MAX) => err(Errno::EBADF),
        t.get(-1).err() => Some(Errno::EBADF),
        t.get(i32::MIN).err() => Some(Errno::EBADF),
        t.get(8).err() => Some(Errno::EBADF),
    }
    t.close_all();
    assert_eq!(open(), Ok(0));
}

#[test]
fn duplicates() {
    let (w, t) = world();
    let fd = t.install(w.open("f", OpenFlags::empty()).unwrap(), true, LIMIT).unwrap();
    answers! {
        t.dup(fd, LIMIT) => Ok(1),
        t.cloexec(0) => Ok(true),
        t.cloexec(1) => Ok(false),
        t.dup_from(0, 4, true, LIMIT) => Ok(4),
        t.cloexec(4) => Ok(true),
        t.dup_from(0, 4, false, LIMIT) => Ok(5),
        t.dup_from(0, 8, false, LIMIT) => Err(Errno::EINVAL),
        t.dup_from(0, -1, false, LIMIT) => Err(Errno::EINVAL),
        t.dup_from(7, 0, false, LIMIT) => Err(Errno::EBADF),
        t.dup(0, LIMIT) => Ok(2),
        t.dup3(0, 0, 0, LIMIT) => Err(Errno::EINVAL),
        t.dup3(0, 6, 1, LIMIT) => Err(Errno::EINVAL),
        t.dup3(0, 8, 0, LIMIT) => Err(Errno::EBADF),
        t.dup3(0, -1, 0, LIMIT) => Err(Errno::EBADF),
        t.dup3(3, 6, 0, LIMIT) => Err(Errno::EBADF),
        t.dup3(0, 6, OpenFlags::CLOEXEC.bits(), LIMIT) => Ok(6),
        t.cloexec(6) => Ok(true),
        t.dup2(0, 0, LIMIT) => Ok(0),
        t.dup2(3, 3, LIMIT) => Err(Errno::EBADF),
        t.dup(0, LIMIT) => Ok(3),
    }
    // They share one position.
    lseek(&t.get(0).unwrap(), 4, 0).unwrap();
    assert_eq!(w.read(&t.get(6).unwrap(), 1), Ok(b"4".to_vec()));
}

#[test]
fn dup_over_an_open_file_closes_it() {
    let (w, t) = world();
    let a = w.open("f", OpenFlags::empty()).unwrap();
    let b = w.open("d", OpenFlags::empty()).unwrap();
    t.install(a.clone(), false, LIMIT).unwrap();
    t.install(b.clone(), false, LIMIT).unwrap();
    t.dup3(0, 1, 0, LIMIT).unwrap();
    assert_eq!(std::sync::Arc::strong_count(&b), 1);
    assert_eq!(std::sync::Arc::strong_count(&a), 3);
}

#[test]
fn a_reserved_number_is_taken_and_not_yet_open() {
    let (w, t) = world();
    let file = w.open("f", OpenFlags::empty()).unwrap();
    let r0 = t.reserve(LIMIT).unwrap();
    let r1 = t.reserve(LIMIT).unwrap();
    answers! {
        t.get(0).err() => Some(Errno::EBADF),
        t.close(0) => err(Errno::EBADF),
        t.cloexec(0) => Err(Errno::EBADF),
    }
    let fd = t.install(file.clone(), false, LIMIT).unwrap();
    assert_eq!(fd, 2);
    assert_eq!(t.dup3(fd, 0, 0, LIMIT), Err(Errno::EBUSY));
    assert_eq!(r1.install(file.clone(), true), 1);
    drop(r0);
    assert_eq!(t.install(file, false, LIMIT), Ok(0));
    assert_eq!(t.list().iter().map(|(fd, _)| *fd).collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn exec_and_ranges() {
    let (w, t) = world();
    let file = w.open("f", OpenFlags::empty()).unwrap();
    for i in 0..8 {
        t.install(file.clone(), i % 2 == 1, LIMIT).unwrap();
    }
    t.close_on_exec();
    let open = || t.list().into_iter().map(|(fd, _)| fd).collect::<Vec<_>>();
    assert_eq!(open(), [0, 2, 4, 6]);
    t.close_range(3, u32::MAX, true).unwrap();
    t.close_on_exec();
    assert_eq!(open(), [0, 2]);
    t.close_range(1, 2, false).unwrap();
    assert_eq!(open(), [0]);
    assert_eq!(t.close_range(2, 1, false), err(Errno::EINVAL));
    assert_eq!(std::sync::Arc::strong_count(&file), 2);
}

#[test]
fn bases_of_relative_paths() {
    let (w, t) = world();
    let d = t.install(w.open("d", OpenFlags::PATH).unwrap(), false, LIMIT).unwrap();
    let base = |fd, path: &str| t.base(fd, path.as_bytes(), &w.cwd);
    assert!(base(AT_FDCWD, "x").unwrap().same(&w.cwd));
    assert!(base(d, "x").unwrap().same(&w.place("d")));
    assert!(base(99, "/x").is_ok());
    assert_eq!(base(99, "x").err(), Some(Errno::EBADF));
    assert_eq!(t.get_io(d).err(), Some(Errno::EBADF));
}

#[test]
fn a_file_closed_in_use_stays_until_the_call_is_done() {
    let (w, t) = world();
    t.install(w.open("f", OpenFlags::WRONLY).unwrap(), false, LIMIT).unwrap();
    let in_use = t.get_io(0).unwrap();
    t.close(0).unwrap();
    assert_eq!(w.write(&in_use, b"still"), Ok(5));
    let mount = &w.root.mount;
    assert_eq!(mount.remount(crate::MountFlags::RDONLY, ""), err(Errno::EBUSY));
    drop(in_use);
    assert_eq!(mount.remount(crate::MountFlags::RDONLY, ""), OK);
}
