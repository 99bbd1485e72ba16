//! read, write, lseek and their relatives on a file of ramfs.

use core::sync::atomic::Ordering;
use std::boxed::Box;
use std::vec::Vec;

use base::user::TASK_SIZE;
use base::{Errno, UserAddr};

use super::{BUF, OK, World, err};
use crate::lseek::lseek;
use crate::read_write::{self as rw, MAX_RW_COUNT, UserVec};
use crate::{Cred, File, OpenFlags, answers};

const RDWR: OpenFlags = OpenFlags::RDWR.union(OpenFlags::CREAT);

fn vec(w: &World, parts: &[(u64, u64)]) -> UserVec {
    let at = BUF + 0x8000;
    for (i, (base, len)) in parts.iter().enumerate() {
        w.user.put(at + 16 * i as u64, &base.to_le_bytes());
        w.user.put(at + 16 * i as u64 + 8, &len.to_le_bytes());
    }
    UserVec { base: UserAddr(at), len: parts.len() }
}

#[test]
fn the_order_of_checks() {
    let w = World::new();
    w.mkdir("d").unwrap();
    w.put("f", "content");
    let (rd, wr, d) = (
        w.open("f", OpenFlags::empty()).unwrap(),
        w.open("f", OpenFlags::WRONLY).unwrap(),
        w.open("d", OpenFlags::empty()).unwrap(),
    );
    let neither = w.open("f", OpenFlags::WRONLY | OpenFlags::RDWR).unwrap();
    let io = w.io();
    let (good, kernel, bad) = (UserAddr(BUF), UserAddr(TASK_SIZE), UserAddr(0x10));
    answers! {
        rw::write(&io, &rd, good, 1) => Err(Errno::EBADF),
        rw::write(&io, &rd, kernel, 1) => Err(Errno::EBADF),
        rw::write(&io, &neither, good, 1) => Err(Errno::EBADF),
        rw::read(&io, &neither, good, 1) => Err(Errno::EBADF),
        rw::read(&io, &wr, good, 1) => Err(Errno::EBADF),
        rw::write(&io, &wr, kernel, 1) => Err(Errno::EFAULT),
        rw::write(&io, &wr, kernel, 0) => Ok(0),
        rw::write(&io, &wr, UserAddr(u64::MAX), 1) => Err(Errno::EFAULT),
        rw::write(&io, &wr, UserAddr(TASK_SIZE - 4), 5) => Err(Errno::EFAULT),
        rw::write(&io, &wr, good, usize::MAX) => Err(Errno::EFAULT),
        rw::write(&io, &wr, bad, 1) => Err(Errno::EFAULT),
        rw::read(&io, &rd, bad, 1) => Err(Errno::EFAULT),
        rw::read(&io, &rd, bad, 0) => Ok(0),
        rw::pwrite(&io, &wr, good, 1, -1) => Err(Errno::EINVAL),
        rw::pwrite(&io, &wr, good, 1, i64::MAX) => Err(Errno::EINVAL),
        rw::pwrite(&io, &wr, good, 10, i64::MAX - 9) => Err(Errno::EINVAL),
        rw::pwrite(&io, &wr, good, 10, i64::MAX - 10) => Err(Errno::EFBIG),
        rw::pwrite(&io, &wr, kernel, 10, i64::MAX) => Err(Errno::EFAULT),
        rw::pread(&io, &rd, good, 10, i64::MAX - 10) => Ok(0),
        rw::pread(&io, &rd, good, 10, i64::MAX) => Err(Errno::EINVAL),
        rw::read(&io, &d, good, 1) => Err(Errno::EISDIR),
        rw::read(&io, &d, good, 0) => Err(Errno::EISDIR),
        rw::read(&io, &d, kernel, 1) => Err(Errno::EFAULT),
        rw::write(&io, &d, good, 1) => Err(Errno::EBADF),
    }
    assert_eq!(w.cat("f"), Ok("content".into()));
}

#[test]
fn a_write_stops_where_memory_does() {
    let w = World::new();
    let f = w.open("f", RDWR).unwrap();
    let end = UserAddr(BUF + 0x10000 - 5);
    w.user.put(end.0, b"tail!");
    assert_eq!(rw::write(&w.io(), &f, end, 100), Ok(5));
    assert_eq!(rw::write(&w.io(), &f, end, 0x7fff_ffff), Ok(5));
    assert_eq!(w.cat("f"), Ok("tail!tail!".into()));
    // Reading into memory that ends.
    assert_eq!(rw::pread(&w.io(), &f, UserAddr(end.0 + 2), 10, 0), Ok(3));
    assert_eq!(w.user.get(end.0, 5), b"tatai");
}

#[test]
fn positions() {
    let w = World::new();
    let f = w.open("f", RDWR).unwrap();
    answers! {
        w.write(&f, b"0123456789") => Ok(10),
        lseek(&f, 0, 1) => Ok(10),
        lseek(&f, -4, 2) => Ok(6),
        w.read(&f, 3) => Ok(b"678".to_vec()),
        lseek(&f, -20, 1) => Err(Errno::EINVAL),
        lseek(&f, 0, 1) => Ok(9),
        lseek(&f, 0, 7) => Err(Errno::EINVAL),
        lseek(&f, 20, 0) => Ok(20),
        w.read(&f, 3) => Ok(Vec::new()),
        w.write(&f, b"x") => Ok(1),
        lseek(&f, 0, 3) => Ok(0),
        lseek(&f, 5, 4) => Ok(21),
        lseek(&f, 21, 3) => Err(Errno::ENXIO),
        w.stat("f").unwrap().attr.size => 21,
    }
    // pread and pwrite leave the position alone.
    lseek(&f, 2, 0).unwrap();
    w.user.put(BUF, b"AB");
    answers! {
        rw::pwrite(&w.io(), &f, UserAddr(BUF), 2, 5) => Ok(2),
        rw::pread(&w.io(), &f, UserAddr(BUF), 4, 4) => Ok(4),
        w.user.get(BUF, 4) => b"4AB7".to_vec(),
        lseek(&f, 0, 1) => Ok(2),
    }
}

#[test]
fn appending() {
    let w = World::new();
    w.put("f", "start ");
    let (a, b) = (
        w.open("f", OpenFlags::WRONLY | OpenFlags::APPEND).unwrap(),
        w.open("f", OpenFlags::WRONLY | OpenFlags::APPEND).unwrap(),
    );
    w.write(&a, b"a").unwrap();
    w.write(&b, b"b").unwrap();
    assert_eq!(lseek(&a, 0, 1), Ok(7));
    w.user.put(BUF, b"p");
    rw::pwrite(&w.io(), &a, UserAddr(BUF), 1, 0).unwrap();
    assert_eq!(w.cat("f"), Ok("start abp".into()));
    a.set_flags(OpenFlags::empty()).unwrap();
    w.user.put(BUF, b"p");
    rw::pwrite(&w.io(), &a, UserAddr(BUF), 1, 0).unwrap();
    assert_eq!(w.cat("f"), Ok("ptart abp".into()));
}

#[test]
fn vectors() {
    let w = World::new();
    let f = w.open("f", RDWR).unwrap();
    let rd = w.open("f", OpenFlags::empty()).unwrap();
    w.user.put(BUF, b"hello world");
    let io = w.io();
    let hello = |w: &World| vec(w, &[(BUF, 5), (0, 0), (BUF + 5, 6)]);
    answers! {
        rw::writev(&io, &f, hello(&w)) => Ok(11),
        lseek(&f, 0, 1) => Ok(11),
        rw::pwritev(&io, &f, vec(&w, &[(BUF, 1)]), 20) => Ok(1),
        rw::pwritev(&io, &f, vec(&w, &[(BUF, 1)]), -1) => Err(Errno::EINVAL),
        rw::preadv(&io, &f, vec(&w, &[(BUF, 1)]), -1) => Err(Errno::EINVAL),
        rw::pwritev2(&io, &f, vec(&w, &[(BUF, 1)]), -1, 0) => Ok(1),
        lseek(&f, 0, 1) => Ok(12),
        rw::pwritev2(&io, &f, vec(&w, &[(BUF + 1, 1)]), 0, 16) => Ok(1),
        w.cat("f") => Ok("hello worldh\0\0\0\0\0\0\0\0he".into()),
        rw::pwritev2(&io, &f, vec(&w, &[(BUF, 1)]), 0, 8) => Err(Errno::EOPNOTSUPP),
        rw::pwritev2(&io, &f, vec(&w, &[(BUF, 1)]), 0, 1 << 20) => Err(Errno::EOPNOTSUPP),
        rw::writev(&io, &rd, hello(&w)) => Err(Errno::EBADF),
        rw::writev(&io, &rd, UserVec { base: UserAddr(0), len: 1 }) => Err(Errno::EFAULT),
        rw::writev(&io, &rd, UserVec { base: UserAddr(0), len: 1025 }) => Err(Errno::EINVAL),
        rw::writev(&io, &f, UserVec { base: UserAddr(0), len: 0 }) => Ok(0),
        rw::writev(&io, &f, vec(&w, &[(TASK_SIZE, 1)])) => Err(Errno::EFAULT),
        rw::writev(&io, &f, vec(&w, &[(0, 1 << 63)])) => Err(Errno::EINVAL),
        rw::preadv(&io, &f, vec(&w, &[(BUF + 100, 3), (BUF + 200, 100)]), 0) => Ok(22),
        w.user.get(BUF + 100, 3) => b"hel".to_vec(),
        w.user.get(BUF + 200, 8) => b"lo world".to_vec(),
        // A bad segment ends the write where it stands.
        rw::pwritev(&io, &f, vec(&w, &[(BUF, 2), (0x10, 5), (BUF, 2)]), 0) => Ok(2),
        rw::pwritev(&io, &f, vec(&w, &[(0x10, 5), (BUF, 2)]), 0) => Err(Errno::EFAULT),
    }
}

#[test]
fn limits_of_length() {
    let w = World::new();
    let f = w.open("f", RDWR).unwrap();
    let limited = rw::Io { fsize_limit: 10, ..w.io() };
    let buf = UserAddr(BUF);
    answers! {
        rw::write(&limited, &f, buf, 20) => Ok(10),
        rw::write(&limited, &f, buf, 1) => Err(Errno::EFBIG),
        rw::write(&limited, &f, buf, 0) => Ok(0),
        rw::pwrite(&limited, &f, buf, 20, 5) => Ok(5),
        rw::write(&w.io(), &f, buf, 1) => Ok(1),
    }
    assert_eq!(MAX_RW_COUNT, 0x7fff_f000);
}

#[test]
fn accounting() {
    let w = World::new();
    let f = w.open("f", RDWR).unwrap();
    w.write(&f, b"12345").unwrap();
    rw::pread(&w.io(), &f, UserAddr(BUF), 100, 1).unwrap();
    // A call that reached the file system counts even when it failed; one that was refused does not.
    rw::pwrite(&w.io(), &f, UserAddr(0x10), 1, 0).unwrap_err();
    rw::pwrite(&w.io(), &f, UserAddr(TASK_SIZE), 1, 0).unwrap_err();
    let get = |n: &core::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
    let a = &w.account;
    assert_eq!((get(&a.rchar), get(&a.wchar), get(&a.syscr), get(&a.syscw)), (4, 5, 1, 2));
}

#[test]
fn a_file_without_names_lives_while_it_is_open() {
    let w = World::new();
    w.put("f", "content");
    let f = w.open("f", OpenFlags::RDWR).unwrap();
    w.unlink("f").unwrap();
    w.touch("f").unwrap();
    assert_eq!(w.read(&f, 100), Ok(b"content".to_vec()));
    assert_eq!(w.write(&f, b"!"), Ok(1));
    assert_eq!(f.inode().attr().nlink, 0);
    assert_eq!(w.cat("f"), Ok("".into()));
    assert_eq!(crate::d_path(f.path(), &w.root), b"/f (deleted)");
    assert_eq!(crate::fsync::fsync(&f, false), OK);
}

#[test]
fn big_and_sparse() {
    let w = World::new();
    let f = w.open("f", RDWR).unwrap();
    let data: Vec<u8> = (0..0x8000u32).map(|i| (i * 7) as u8).collect();
    assert_eq!(w.write(&f, &data), Ok(data.len()));
    assert_eq!(rw::pwrite(&w.io(), &f, UserAddr(BUF), 1, 1 << 40), Ok(1));
    let attr = f.inode().attr();
    assert_eq!((attr.size, attr.blocks), ((1 << 40) + 1, 9 * 8));
    lseek(&f, 100, 0).unwrap();
    assert_eq!(w.read(&f, 0x8000), Ok([&data[100..], &[0; 100]].concat()));
}

#[test]
fn the_kernel_reads_and_copies() {
    let w = World::new();
    w.put("f", "0123456789");
    let f = w.open("f", OpenFlags::empty()).unwrap();
    let mut buf = [0; 4];
    assert_eq!(rw::kernel_read(&f, &mut buf, 8), Ok(2));
    assert_eq!(&buf[..2], b"89");
    assert_eq!(rw::kernel_write(&f, b"x", 0), Err(Errno::EBADF));
    let to = w.open("to", RDWR).unwrap();
    assert_eq!(crate::sendfile::sendfile(&w.io(), &to, &f, None, 4), Ok((4, 4)));
    assert_eq!(crate::sendfile::sendfile(&w.io(), &to, &f, Some(7), 100), Ok((3, 10)));
    assert_eq!(w.cat("to"), Ok("0123789".into()));
    assert_eq!(w.read(&f, 1), Ok(b"4".to_vec()));
    assert_eq!(crate::sendfile::sendfile(&w.io(), &f, &to, None, 1), Err(Errno::EBADF));
}

#[test]
fn threads_share_a_position_without_losing_a_byte() {
    let w = std::sync::Arc::new(World::new());
    let f: std::sync::Arc<File> = w.open("f", RDWR).unwrap();
    let threads: Vec<_> = (0..4)
        .map(|i| {
            let (w, f) = (w.clone(), f.clone());
            std::thread::spawn(move || {
                for _ in 0..200 {
                    let at = BUF + i * 0x100;
                    w.user.put(at, &[b'a' + i as u8; 10]);
                    assert_eq!(rw::write(&w.io(), &f, UserAddr(at), 10), Ok(10));
                }
            })
        })
        .collect();
    for t in threads {
        t.join().unwrap();
    }
    let text = w.cat("f").unwrap();
    assert_eq!(w.stat("f").unwrap().attr.size, 8000);
    assert!(text.as_bytes().chunks(10).all(|c| c.iter().all(|b| *b == c[0])));
}

#[test]
fn freezing_waits_and_holds_back() {
    let w = std::sync::Arc::new(World::new());
    let f = w.open("f", RDWR).unwrap();
    let mount = w.root.mount.clone();
    mount.freeze();
    let writer = {
        let (w, f) = (w.clone(), f.clone());
        std::thread::spawn(move || w.write(&f, b"late"))
    };
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert_eq!(f.inode().size(), 0);
    mount.thaw();
    assert_eq!(writer.join().unwrap(), Ok(4));
    assert_eq!(err(Errno::EPERM), crate::attr_ops::chmod(f.path(), 0, &Cred::user(5, 5)));
}

/// A file whose writes end when the test says so.
#[derive(Default)]
struct Late(std::sync::Mutex<Option<crate::IoEnd>>);

impl crate::FileOperations for Late {
    fn can_write(&self) -> bool {
        true
    }

    fn start_write(
        &self,
        _file: &std::sync::Arc<crate::File>,
        _iocb: &mut crate::Kiocb,
        _from: &mut base::IovIter<'_>,
        end: crate::IoEnd,
    ) {
        *self.0.lock().unwrap() = Some(end);
    }
}

#[test]
fn freezing_waits_for_writes_that_nobody_waits_for() {
    let w = World::new();
    let path = w.open("f", RDWR).unwrap().path().clone();
    let late = std::sync::Arc::new(Late::default());
    let f = crate::File::new(path, late.clone(), RDWR, false).unwrap();
    let memory = crate::aio::Memory::One(base::UserAddr(super::BUF), 4);
    let request = crate::aio::Request { memory, pos: 0, rwf: 0 };
    crate::aio::start_write(&w.io(), &f, &request, Box::new(|done| assert_eq!(done, Ok(4)))).unwrap();
    let mount = w.root.mount.clone();
    let freezer = std::thread::spawn(move || mount.freeze());
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert!(!freezer.is_finished());
    let end = late.0.lock().unwrap().take().unwrap();
    end(Ok(4));
    freezer.join().unwrap();
    w.root.mount.thaw();
}
