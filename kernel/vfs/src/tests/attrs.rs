//! chmod, chown, utimensat, truncate.

use alloc::sync::Arc;

use base::{Errno, Timespec};

use super::{OK, World, err};
use crate::attr_ops::{TimeUpdate, chmod, chown, fallocate, ftruncate, truncate, utimens};
use crate::{Cred, OpenFlags, answers};

fn tree() -> World {
    let w = World::new();
    w.mkdir("d").unwrap();
    w.put("f", "content");
    w.symlink("f", "l").unwrap();
    w
}

#[test]
fn modes() {
    let w = tree();
    let (owner, other) = (Cred::user(5, 5), Cred::user(6, 6));
    chown(&w.place("f"), Some(5), Some(7), &Cred::ROOT).unwrap();
    let change = |mode, cred: &Cred| chmod(&w.place("f"), mode, cred).map(|()| w.mode("f"));
    answers! {
        change(0o640, &owner) => Ok(0o640),
        change(0o640, &other) => Err(Errno::EPERM),
        change(0o4755, &owner) => Ok(0o4755),
        change(0o2755, &owner) => Ok(0o0755),
        change(0o2755, &Cred { groups: [7].to_vec(), ..owner }) => Ok(0o2755),
        change(0o177_7777, &Cred::ROOT) => Ok(0o7777),
    }
    assert_eq!(w.stat("f").unwrap().attr.mode, 0o107777);
    let link = w.lookup("l", Default::default()).unwrap();
    assert_eq!(chmod(&link, 0o600, &Cred::ROOT), err(Errno::EOPNOTSUPP));
}

#[test]
fn owners() {
    let w = tree();
    let f = w.place("f");
    let owner = Cred { groups: [8].to_vec(), ..Cred::user(5, 5) };
    let ids = || w.stat("f").map(|s| (s.attr.uid, s.attr.gid)).unwrap();
    chown(&f, Some(5), Some(5), &Cred::ROOT).unwrap();
    answers! {
        chown(&f, Some(6), None, &owner) => err(Errno::EPERM),
        chown(&f, Some(5), None, &owner) => OK,
        chown(&f, None, Some(8), &owner) => OK,
        ids() => (5, 8),
        chown(&f, None, Some(9), &owner) => err(Errno::EPERM),
        chown(&f, None, Some(8), &Cred::user(6, 8)) => err(Errno::EPERM),
        chown(&f, None, None, &Cred::user(6, 8)) => OK,
        chown(&f, Some(1), Some(2), &Cred::ROOT) => OK,
        ids() => (1, 2),
    }
}

#[test]
fn chown_takes_the_set_id_bits() {
    let w = tree();
    let after = |path: &str, mode, cred: &Cred| {
        chmod(&w.place(path), mode, &Cred::ROOT).unwrap();
        chown(&w.place(path), None, None, cred).unwrap();
        w.mode(path)
    };
    answers! {
        after("f", 0o6755, &Cred::ROOT) => 0o755,
        after("f", 0o2644, &Cred::ROOT) => 0o2644,
        after("f", 0o2644, &Cred::user(5, 5)) => 0o644,
        after("d", 0o6755, &Cred::ROOT) => 0o6755,
    }
}

#[test]
fn times() {
    let w = tree();
    let f = w.place("f");
    let at = |sec| TimeUpdate::To(Timespec { sec, nsec: 7 });
    let get = || w.stat("f").map(|s| (s.attr.atime.sec, s.attr.mtime.sec)).unwrap();
    let (owner, other, writer) = (Cred::user(5, 5), Cred::user(6, 6), Cred::user(7, 9));
    chown(&f, Some(5), Some(9), &Cred::ROOT).unwrap();
    chmod(&f, 0o664, &Cred::ROOT).unwrap();
    let both = |a, m| Some([a, m]);
    answers! {
        utimens(&f, both(at(10), at(20)), &owner) => OK,
        get() => (10, 20),
        utimens(&f, both(TimeUpdate::Omit, at(-5)), &owner) => OK,
        get() => (10, -5),
        utimens(&f, both(at(1), at(2)), &other) => err(Errno::EPERM),
        utimens(&f, both(at(1), at(2)), &writer) => err(Errno::EPERM),
        utimens(&f, both(TimeUpdate::Now, TimeUpdate::Omit), &writer) => err(Errno::EPERM),
        utimens(&f, None, &other) => err(Errno::EACCES),
        get() => (10, -5),
        utimens(&f, None, &writer) => OK,
        get().0 > 1_000_000 => true,
        utimens(&f, both(at(10), at(20)), &Cred::ROOT) => OK,
        utimens(&f, both(TimeUpdate::Now, TimeUpdate::Now), &writer) => OK,
        get().1 > 1_000_000 => true,
        TimeUpdate::from_user(5, 1_000_000_000) => Err(Errno::EINVAL),
        TimeUpdate::from_user(5, -1) => Err(Errno::EINVAL),
        TimeUpdate::from_user(5, 0x3fff_ffff) => Ok(TimeUpdate::Now),
        TimeUpdate::from_user(5, 0x3fff_fffe) => Ok(TimeUpdate::Omit),
    }
}

#[test]
fn truncating_by_path() {
    let w = tree();
    let cut = |path: &str, len, cred: &Cred| truncate(&w.place(path), len, 1000, cred);
    let user = Cred::user(5, 5);
    answers! {
        cut("f", 3, &Cred::ROOT) => OK,
        w.cat("f") => Ok("con".into()),
        cut("f", 5, &Cred::ROOT) => OK,
        w.cat("f") => Ok("con\0\0".into()),
        cut("f", -1, &Cred::ROOT) => err(Errno::EINVAL),
        cut("d", 0, &Cred::ROOT) => err(Errno::EISDIR),
        cut("f", 0, &user) => err(Errno::EACCES),
        cut("f", 1001, &Cred::ROOT) => err(Errno::EFBIG),
        cut("f", 1000, &Cred::ROOT) => OK,
        truncate(&w.place("f"), 10_000, u64::MAX, &Cred::ROOT) => OK,
        // Already past the limit: it may shrink.
        cut("f", 5000, &Cred::ROOT) => OK,
        truncate(&w.place("f"), i64::MAX, u64::MAX, &Cred::ROOT) => err(Errno::EFBIG),
    }
    crate::namei::mknod(&w.at(), b"fifo", 0o010644, base::DevId::default()).unwrap();
    assert_eq!(cut("fifo", 0, &Cred::ROOT), err(Errno::EINVAL));
}

#[test]
fn truncating_by_descriptor() {
    let w = tree();
    let (rw, rd) = (w.open("f", OpenFlags::RDWR).unwrap(), w.open("f", OpenFlags::empty()).unwrap());
    let cut = |f: &crate::File, len| ftruncate(f, len, 1000, &Cred::ROOT);
    answers! {
        cut(&rw, 2) => OK,
        w.cat("f") => Ok("co".into()),
        cut(&rw, -1) => err(Errno::EINVAL),
        cut(&rd, 2) => err(Errno::EINVAL),
        cut(&rw, 1001) => err(Errno::EFBIG),
        cut(&w.open("d", OpenFlags::empty()).unwrap(), 0) => err(Errno::EINVAL),
        cut(&w.open("f", OpenFlags::PATH).unwrap(), 0) => err(Errno::EBADF),
    }
    // A write at the old position leaves a hole of zeros.
    assert_eq!(w.read(&rw, 100), Ok(b"co".to_vec()));
    cut(&rw, 0).unwrap();
    w.write(&rw, b"x").unwrap();
    assert_eq!(w.cat("f"), Ok("\0\0x".into()));
}

#[test]
fn set_id_bits_go_with_the_content() {
    let w = tree();
    let user = w.as_user(5);
    let set = |mode| chmod(&w.place("f"), mode, &Cred::ROOT).unwrap();
    set(0o6777);
    truncate(&w.place("f"), 100, u64::MAX, &user.cred).unwrap();
    assert_eq!(w.mode("f"), 0o777);
    set(0o6777);
    truncate(&w.place("f"), 50, u64::MAX, &Cred::ROOT).unwrap();
    assert_eq!(w.mode("f"), 0o6777);
    let file = w.open("f", OpenFlags::WRONLY).unwrap();
    w.write(&file, b"root").unwrap();
    assert_eq!(w.mode("f"), 0o6777);
    user.write(&file, b"user").unwrap();
    assert_eq!(w.mode("f"), 0o777);
    set(0o2767);
    user.write(&file, b"user").unwrap();
    assert_eq!(w.mode("f"), 0o2767);
    // Outside the group it goes, too.
    truncate(&w.place("f"), 100, u64::MAX, &user.cred).unwrap();
    assert_eq!(w.mode("f"), 0o767);
    set(0o2767);
    crate::current::set_current(Arc::new(user.cred.clone()));
    user.write(&file, b"user").unwrap();
    crate::current::set_current(Arc::new(Cred::ROOT));
    assert_eq!(w.mode("f"), 0o767);
}

#[test]
fn fallocate_checks() {
    let w = tree();
    let (rw, rd) = (w.open("f", OpenFlags::RDWR).unwrap(), w.open("f", OpenFlags::empty()).unwrap());
    let root = Cred::ROOT;
    let fallocate = |file: &_, mode, offset, len| fallocate(file, mode, offset, len, 1 << 20, &root);
    answers! {
        fallocate(&rw, 0, 0, 0) => err(Errno::EINVAL),
        fallocate(&rw, 0, -1, 10) => err(Errno::EINVAL),
        fallocate(&rd, 0, 0, 10) => err(Errno::EBADF),
        fallocate(&rw, 2, 0, 10) => err(Errno::EOPNOTSUPP),
        fallocate(&rw, 0x100, 0, 10) => err(Errno::EOPNOTSUPP),
        fallocate(&rw, 0x12, 0, 10) => err(Errno::EOPNOTSUPP),
        fallocate(&rw, 0x13, 0, 10) => err(Errno::EOPNOTSUPP),
        fallocate(&rw, 0x09, 0, 10) => err(Errno::EINVAL),
        fallocate(&rw, 0x21, 0, 10) => err(Errno::EINVAL),
        fallocate(&rw, 0x48, 0, 10) => err(Errno::EINVAL),
        fallocate(&rw, 0, 1 << 20, 10) => err(Errno::EFBIG),
        fallocate(&rw, 0, i64::MAX, 10) => err(Errno::EFBIG),
        fallocate(&rw, 0, 0, 10) => err(Errno::EOPNOTSUPP),
    }
}
