//! Pipes, what moves bytes between them and files, and copy_file_range.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::vec;

use base::{IovIter, PAGE_SIZE};
use proptest::prelude::*;

use super::*;
use crate::copy_range::{Spot, copy_file_range};
use crate::d_path;
use crate::file_ops::Kiocb;
use crate::pipe::{self, Wait, pipe};
use crate::share_range::{clone_range, dedupe_range};

type Ends = (Arc<File>, Arc<File>);

fn make(flags: OpenFlags) -> Ends {
    pipe(flags, &Cred::ROOT).unwrap()
}

fn put(end: &File, bytes: &[u8]) -> Result<usize> {
    let mut iocb = Kiocb { flags: end.kiocb_flags(), ..Kiocb::at(0) };
    end.ops().write_iter(end, &mut iocb, &mut IovIter::from_kernel(bytes))
}

fn get(end: &File, len: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    let mut iocb = Kiocb { flags: end.kiocb_flags(), ..Kiocb::at(0) };
    let n = end.ops().read_iter(end, &mut iocb, &mut IovIter::to_kernel(&mut bytes))?;
    bytes.truncate(n);
    Ok(bytes)
}

fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|i| (i / 7) as u8 ^ seed).collect()
}

#[test]
fn what_is_written_is_read() {
    let (reader, writer) = make(OpenFlags::NONBLOCK);
    assert_eq!(get(&reader, 10), Err(Errno::EAGAIN));
    assert_eq!((put(&writer, b"one"), put(&writer, b"two")), (Ok(3), Ok(3)));
    assert_eq!(get(&reader, 4).unwrap(), b"onet");
    assert_eq!(get(&reader, 4).unwrap(), b"wo");
    assert_eq!((put(&reader, b""), get(&writer, 0)), (Ok(0), Ok(vec![])));
    drop(writer);
    assert_eq!(get(&reader, 4).unwrap(), b"");
}

#[test]
fn a_pipe_holds_64_kib_and_a_write_fills_it() {
    let (reader, writer) = make(OpenFlags::NONBLOCK);
    let all = pattern(70_000, 1);
    assert_eq!(put(&writer, &all), Ok(65536));
    assert_eq!((put(&writer, b"x"), writer.ops().poll(&writer)), (Err(Errno::EAGAIN), 0));
    assert_eq!(get(&reader, 100).unwrap(), all[..100]);
    // Room is given back by the page.
    assert_eq!(put(&writer, b"x"), Err(Errno::EAGAIN));
    assert_eq!(get(&reader, 3996).unwrap(), all[100..4096]);
    assert_eq!((writer.ops().poll(&writer), put(&writer, b"x")), (0x104, Ok(1)));
}

#[test]
fn small_writes_share_a_page_and_large_ones_fill_whole_ones() {
    let (reader, writer) = make(OpenFlags::NONBLOCK);
    let pipe = pipe::of(&reader).unwrap();
    for _ in 0..65536 / 16 {
        assert_eq!(put(&writer, &[7; 16]), Ok(16));
    }
    assert_eq!(put(&writer, &[7; 16]), Err(Errno::EAGAIN));
    assert_eq!(get(&reader, 65536).unwrap().len(), 65536);
    // 5000 bytes after 3000: the odd 904 go behind them, the rest is a page.
    assert_eq!((put(&writer, &[1; 3000]), put(&writer, &[2; 5000])), (Ok(3000), Ok(5000)));
    assert_eq!(pipe.set_size(2 * PAGE_SIZE as u64, false), Ok(2 * PAGE_SIZE));
    assert_eq!(get(&reader, 9000).unwrap().len(), 8000);
}

#[test]
fn sizes_are_powers_of_two() {
    let (reader, writer) = make(OpenFlags::NONBLOCK);
    let pipe = pipe::of(&writer).unwrap();
    assert_eq!(pipe.size(), 65536);
    assert_eq!((pipe.set_size(0, false), pipe.set_size(5000, false)), (Ok(4096), Ok(8192)));
    assert_eq!(pipe.set_size((1 << 20) + 1, false), Err(Errno::EPERM));
    assert_eq!(pipe.set_size((1 << 20) + 1, true), Ok(2 << 20));
    assert_eq!(pipe.set_size((1 << 31) + 1, true), Err(Errno::EINVAL));
    assert_eq!(pipe.set_size((256 << 20) + 1, true), Err(Errno::ENOMEM));
    put(&writer, &[0; 8192]).unwrap();
    assert_eq!(pipe.set_size(4096, true), Err(Errno::EBUSY));
    get(&reader, 8192).unwrap();
    assert_eq!(pipe.set_size(4096, true), Ok(4096));
}

#[test]
fn ends_that_are_gone() {
    let (reader, writer) = make(OpenFlags::empty());
    assert_eq!((reader.ops().poll(&reader), writer.ops().poll(&writer)), (0, 0x104));
    put(&writer, b"left").unwrap();
    drop(writer);
    assert_eq!(reader.ops().poll(&reader), 0x41 | 0x10);
    assert_eq!(get(&reader, 10).unwrap(), b"left");
    assert_eq!((get(&reader, 10).unwrap().len(), reader.ops().poll(&reader)), (0, 0x10));
    let (reader, writer) = make(OpenFlags::empty());
    drop(reader);
    assert_eq!((put(&writer, b"x"), put(&writer, b"")), (Err(Errno::EPIPE), Ok(0)));
    assert_eq!(writer.ops().poll(&writer), 0x104 | 0x8);
}

#[test]
fn packets_are_read_one_by_one() {
    let (reader, writer) = make(OpenFlags::DIRECT | OpenFlags::NONBLOCK);
    put(&writer, b"first").unwrap();
    put(&writer, b"second").unwrap();
    put(&writer, &[9; 5000]).unwrap();
    assert_eq!(get(&reader, 3).unwrap(), b"fir");
    assert_eq!(get(&reader, 100).unwrap(), b"second");
    assert_eq!((get(&reader, 9000).unwrap().len(), get(&reader, 9000).unwrap().len()), (4096, 904));
}

#[test]
fn what_fstat_and_proc_tell() {
    let (reader, writer) = make(OpenFlags::NONBLOCK);
    let attr = reader.inode().attr();
    assert_eq!((attr.mode, attr.nlink, attr.size, attr.blksize), (0o010600, 1, 0, 4096));
    assert_eq!(attr.ino, writer.inode().attr().ino);
    let world = World::new();
    let name = std::format!("pipe:[{}]", attr.ino);
    assert_eq!(d_path(reader.path(), &world.root), name.as_bytes());
    let (buf, io) = (UserAddr(BUF), world.io());
    assert_eq!(read_write::pread(&io, &reader, buf, 1, 0), Err(Errno::ESPIPE));
    assert_eq!(read_write::write(&io, &reader, buf, 1), Err(Errno::EBADF));
    assert_eq!(read_write::read(&io, &writer, buf, 1), Err(Errno::EBADF));
    assert_eq!(read_write::write(&io, &writer, UserAddr(8), 1), Err(Errno::EFAULT));
    assert_eq!(crate::lseek::lseek(&reader, 0, 0), Err(Errno::ESPIPE));
}

#[test]
fn a_reader_waits_for_a_writer_and_the_other_way() {
    let (reader, writer) = make(OpenFlags::empty());
    let all = pattern(300_000, 3);
    let sent = all.clone();
    let t = sync::thread::spawn("writer", move || assert_eq!(put(&writer, &sent), Ok(300_000))).unwrap();
    let mut got = Vec::new();
    loop {
        let some = get(&reader, 7777).unwrap();
        if some.is_empty() {
            break;
        }
        got.extend(some);
    }
    t.join();
    assert!(got == all);
}

#[test]
fn a_signal_ends_a_wait() {
    let (reader, writer) = make(OpenFlags::empty());
    static BEGUN: AtomicBool = AtomicBool::new(false);
    let (sender, receivers) = std::sync::mpsc::channel();
    let t = sync::thread::spawn("reader", move || {
        sender.send(sync::thread::receiver()).unwrap();
        BEGUN.store(true, Ordering::Release);
        assert_eq!(get(&reader, 1), Err(Errno::EINTR));
        sync::thread::receiver().set_signalled(false);
        assert_eq!(get(&reader, 1).unwrap(), b"x");
    })
    .unwrap();
    receivers.recv().unwrap().set_signalled(true);
    std::thread::sleep(std::time::Duration::from_millis(20));
    put(&writer, b"x").unwrap();
    t.join();
    assert!(BEGUN.load(Ordering::Acquire));
}

fn file(world: &World, name: &str, content: &[u8]) -> Arc<File> {
    let file = world.open(name, OpenFlags::CREAT | OpenFlags::RDWR).unwrap();
    assert_eq!(read_write::kernel_write(&file, content, 0), Ok(content.len()));
    file
}

fn content(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; file.inode().size() as usize];
    assert_eq!(read_write::kernel_read(file, &mut bytes, 0), Ok(bytes.len()));
    bytes
}

#[test]
fn from_a_file_through_a_pipe_into_a_file() {
    let world = World::new();
    let all = pattern(200_000, 5);
    let (from, to) = (file(&world, "/from", &all), file(&world, "/to", b""));
    let (reader, writer) = make(OpenFlags::empty());
    let (source, target) = (pipe::of(&reader).unwrap(), pipe::of(&writer).unwrap());
    let (mut read_at, mut write_at) = (1000, 10);
    loop {
        let io = world.io();
        let got = pipe::splice_to_pipe(&io, &from, &mut read_at, target, 50_000, Wait::No).unwrap();
        if got == 0 {
            break;
        }
        let put = pipe::splice_from_pipe(&io, source, &to, &mut write_at, 1 << 20, Wait::No).unwrap();
        assert_eq!(put, got);
    }
    assert_eq!((read_at, write_at), (200_000, 199_010));
    assert!(content(&to)[10..] == all[1000..]);
    drop(reader);
    let io = world.io();
    assert_eq!(pipe::splice_to_pipe(&io, &from, &mut 0, target, 1, Wait::No), Err(Errno::EPIPE));
}

#[test]
fn sendfile_into_a_pipe_takes_what_fits() {
    let world = World::new();
    let from = file(&world, "/from", &pattern(200_000, 5));
    let (reader, writer) = make(OpenFlags::NONBLOCK);
    let send = || crate::sendfile::sendfile(&world.io(), &writer, &from, None, 1 << 20);
    assert_eq!(send(), Ok((65536, 65536)));
    assert_eq!(send(), Err(Errno::EAGAIN));
    assert!(get(&reader, 1 << 20).unwrap() == pattern(200_000, 5)[..65536]);
    assert_eq!(send(), Ok((65536, 131_072)));
}

#[test]
fn between_pipes() {
    let (a_out, a_in) = make(OpenFlags::NONBLOCK);
    let (b_out, b_in) = make(OpenFlags::NONBLOCK);
    let (a, b) = (pipe::of(&a_out).unwrap(), pipe::of(&b_in).unwrap());
    assert_eq!(pipe::tee(a, b, 10, Wait::No), Err(Errno::EAGAIN));
    assert_eq!(pipe::tee(a, a, 10, Wait::No), Err(Errno::EINVAL));
    put(&a_in, &pattern(6000, 1)).unwrap();
    assert_eq!(pipe::tee(a, b, 5000, Wait::No), Ok(5000));
    // What is written behind the bytes that are shared is not seen.
    put(&a_in, b"more").unwrap();
    put(&b_in, b"other").unwrap();
    assert_eq!(pipe::splice_between(a, b, 100_000, Wait::No), Ok(6004));
    let expected = [&pattern(6000, 1)[..5000], b"other", &pattern(6000, 1), b"more"].concat();
    assert!(get(&b_out, 100_000).unwrap() == expected);
    assert_eq!(get(&a_out, 1), Err(Errno::EAGAIN));
    drop(a_in);
    assert_eq!(pipe::splice_between(a, b, 1, Wait::No), Ok(0));
}

#[test]
fn what_a_full_file_system_leaves_stays_in_the_pipe() {
    let world = World::new();
    let to = file(&world, "/to", b"");
    let (reader, writer) = make(OpenFlags::NONBLOCK);
    put(&writer, &pattern(10_000, 2)).unwrap();
    let source = pipe::of(&reader).unwrap();
    let io = Io { fsize_limit: 5000, ..world.io() };
    let mut pos = 0;
    assert_eq!(pipe::splice_from_pipe(&io, source, &to, &mut pos, 10_000, Wait::No), Ok(5000));
    assert_eq!(pipe::splice_from_pipe(&io, source, &to, &mut pos, 10_000, Wait::No), Err(Errno::EFBIG));
    assert!(get(&reader, 10_000).unwrap() == pattern(10_000, 2)[5000..]);
}

#[test]
fn copies_within_a_file_system() {
    let world = World::new();
    let all = pattern(150_000, 9);
    let (from, to) = (file(&world, "/from", &all), file(&world, "/to", b"0123"));
    let io = world.io();
    let copy = |from: &Arc<File>, a: i64, to: &Arc<File>, b: i64, len: usize| {
        copy_file_range(&io, Spot { file: from, pos: a }, Spot { file: to, pos: b }, len)
    };
    assert_eq!(copy(&from, 10, &to, 2, 1 << 20), Ok(149_990));
    assert!(content(&to)[..2] == b"01"[..] && content(&to)[2..] == all[10..]);
    assert_eq!(copy(&from, 150_000, &to, 0, 10), Ok(0));
    assert_eq!(copy(&from, 0, &from, 100, 101), Err(Errno::EINVAL));
    assert_eq!(copy(&from, 0, &from, 200_000, 150_000), Ok(150_000));
    assert_eq!(copy(&from, i64::MAX, &to, 0, 10), Ok(0));
    assert_eq!(copy(&from, -1, &to, 0, 10), Err(Errno::EOVERFLOW));
    assert_eq!(copy(&from, -20, &to, 0, 10), Err(Errno::EINVAL));
    assert_eq!(copy(&from, 0, &to, i64::MAX, 1), Err(Errno::EFBIG));
    let open = |path: &str, flags| world.open(path, flags).unwrap();
    let dir = open("/", OpenFlags::empty());
    assert_eq!(copy(&dir, 0, &to, 0, 1), Err(Errno::EISDIR));
    let (reader, writer) = make(OpenFlags::empty());
    assert_eq!(copy(&reader, 0, &to, 0, 1), Err(Errno::EINVAL));
    assert_eq!(copy(&from, 0, &writer, 0, 1), Err(Errno::EINVAL));
    for flags in [OpenFlags::empty(), OpenFlags::WRONLY | OpenFlags::APPEND] {
        assert_eq!(copy(&from, 0, &open("/to", flags), 0, 1), Err(Errno::EBADF));
    }
    let other = World::new();
    let far = file(&other, "/x", b"");
    assert_eq!(copy(&from, 0, &far, 0, 1), Err(Errno::EXDEV));
    // Sharing instead of copying: the same checks, and then nobody can.
    for (from, to, why) in [
        (&from, &to, Errno::EOPNOTSUPP),
        (&from, &far, Errno::EXDEV),
        (&dir, &to, Errno::EISDIR),
        (&from, &dir, Errno::EISDIR),
        (&from, &open("/to", OpenFlags::empty()), Errno::EBADF),
    ] {
        assert_eq!(clone_range(from, to), why);
    }
    assert_eq!(dedupe_range(&from, false), Errno::EOPNOTSUPP);
    assert_eq!(dedupe_range(&from, true), Errno::EINVAL);
    assert_eq!(dedupe_range(&dir, false), Errno::EISDIR);
    assert_eq!(dedupe_range(&reader, false), Errno::EINVAL);
    assert_eq!(dedupe_range(&open("/to", OpenFlags::WRONLY), false), Errno::EINVAL);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Against a queue of bytes: nothing is lost, made up or out of order, whatever the sizes.
    #[test]
    fn a_pipe_is_a_queue(steps in proptest::collection::vec((any::<bool>(), 1usize..9000), 1..200)) {
        let (reader, writer) = make(OpenFlags::NONBLOCK);
        let (mut model, mut next) = (VecDeque::new(), 0u8);
        for (writes, len) in steps {
            if writes {
                let bytes: Vec<u8> = (0..len).map(|i| next.wrapping_add((i % 251) as u8)).collect();
                match put(&writer, &bytes) {
                    Ok(n) => {
                        prop_assert!(n == len || len > PAGE_SIZE, "a write of a page or less is whole");
                        model.extend(&bytes[..n]);
                    }
                    Err(error) => prop_assert_eq!(error, Errno::EAGAIN),
                }
                next = next.wrapping_add(1);
            } else {
                let want = len.min(model.len());
                let expected: Vec<u8> = model.drain(..want).collect();
                match get(&reader, len) {
                    Ok(bytes) => prop_assert_eq!(bytes, expected),
                    Err(error) => prop_assert_eq!((error, want), (Errno::EAGAIN, 0)),
                }
            }
            prop_assert!(model.len() <= 65536);
        }
    }
}

#[test]
fn vmsplice_takes_a_slot_for_each_page() {
    let world = World::new();
    let (reader, writer) = make(OpenFlags::NONBLOCK);
    let pipe = pipe::of(&writer).unwrap();
    let bytes = pattern(0x10000, 9);
    world.user.put(BUF, &bytes);
    // From the middle of a page on: 15 pages and a piece, and 3 slots are left.
    assert_eq!(put(&writer, &[1; 13 * PAGE_SIZE]), Ok(13 * PAGE_SIZE));
    let mut from = IovIter::user(&world.user, UserAddr(BUF + 1000), 0x10000 - 1000);
    assert_eq!(pipe::vmsplice_in(pipe, &mut from, Wait::No), Ok(3 * PAGE_SIZE - 1000));
    assert_eq!(pipe::vmsplice_in(pipe, &mut from, Wait::No), Err(Errno::EAGAIN));
    assert_eq!(get(&reader, 13 * PAGE_SIZE).unwrap().len(), 13 * PAGE_SIZE);
    assert_eq!(get(&reader, 1 << 20).unwrap(), bytes[1000..3 * PAGE_SIZE]);
    // Behind the memory there is none.
    let mut from = IovIter::user(&world.user, UserAddr(BUF + 0xf800), 0x1000);
    assert_eq!(pipe::vmsplice_in(pipe, &mut from, Wait::No), Ok(0x800));
    assert_eq!(pipe::vmsplice_in(pipe, &mut from, Wait::No), Err(Errno::EFAULT));
}

#[test]
fn a_page_that_cannot_be_read_to_its_end_is_not_written() {
    let world = World::new();
    let (reader, writer) = make(OpenFlags::NONBLOCK);
    let write = |at: u64, len| read_write::write(&world.io(), &writer, UserAddr(BUF + at), len);
    assert_eq!(write(0xff00, 0x200), Err(Errno::EFAULT));
    assert_eq!(write(0xe800, 0x2000), Ok(0x1000));
    assert_eq!((write(0, 10), write(0xfff8, 16)), (Ok(10), Err(Errno::EFAULT)));
    assert_eq!(get(&reader, 1 << 20).unwrap().len(), 0x100a);
}

#[test]
fn what_an_eventfd_is_not() {
    let world = World::new();
    let event = crate::eventfd::eventfd(0, false, OpenFlags::NONBLOCK).unwrap();
    let (reader, writer) = make(OpenFlags::NONBLOCK);
    let (source, io) = (pipe::of(&reader).unwrap(), world.io());
    // It has no write_iter, and that is known before the pipe is looked at.
    assert_eq!(pipe::splice_from_pipe(&io, source, &event, &mut 0, 8, Wait::No), Err(Errno::EINVAL));
    let from = file(&world, "/f", &[1; 16]);
    assert_eq!(crate::sendfile::sendfile(&io, &from, &event, None, 8), Err(Errno::EINVAL));
    let target = pipe::of(&writer).unwrap();
    assert_eq!(pipe::splice_to_pipe(&io, &event, &mut 0, target, 8, Wait::No), Err(Errno::EINVAL));
    assert_eq!(crate::sendfile::sendfile(&io, &event, &from, None, 8), Err(Errno::EINVAL));
    assert_eq!(crate::sendfile::sendfile(&io, &event, &from, Some(16), 8), Ok((0, 16)));
    let vec = crate::read_write::UserVec { base: UserAddr(BUF), len: 2 };
    // Each part of a vector is a write of its own.
    let parts = [BUF + 64, 8, BUF + 64, 8];
    world.user.put(BUF, &parts.map(u64::to_ne_bytes).concat());
    world.user.put(BUF + 64, &5u64.to_ne_bytes());
    assert_eq!(read_write::pwritev2(&io, &event, vec, -1, 4), Err(Errno::EOPNOTSUPP));
    assert_eq!(read_write::writev(&io, &event, vec), Ok(16));
    assert_eq!(get(&event, 8).unwrap(), 10u64.to_ne_bytes());
    // A seek leads nowhere, and is allowed.
    assert_eq!(crate::lseek::lseek(&event, 77, 0), Ok(0));
    assert_eq!(read_write::pread(&io, &event, UserAddr(BUF), 8, 0), Err(Errno::ESPIPE));
    assert_eq!(crate::fadvise::fadvise(&event, 0, 0, 4), Ok(()));
    assert_eq!(crate::fadvise::fadvise(&writer, 0, 0, 4), Err(Errno::ESPIPE));
    let allocate = |file| crate::attr_ops::fallocate(file, 0, 0, 1, u64::MAX, &Cred::ROOT);
    assert_eq!((allocate(&event), allocate(&writer)), (Err(Errno::ENODEV), Err(Errno::ESPIPE)));
}

#[test]
fn what_sendfile_looks_at_first() {
    use crate::sendfile::{check as check_sendfile, sendfile};
    let world = World::new();
    let (reader, writer) = make(OpenFlags::NONBLOCK);
    let (from, io) = (file(&world, "/from", b"0123456789"), world.io());
    assert_eq!(check_sendfile(&writer, Some(-1), 1), Err(Errno::EBADF));
    assert_eq!(check_sendfile(&reader, Some(-1), 1), Err(Errno::ESPIPE));
    assert_eq!(check_sendfile(&from, Some(-1), 1), Err(Errno::EINVAL));
    assert_eq!(check_sendfile(&from, Some(i64::MAX), 1), Err(Errno::EINVAL));
    assert_eq!(check_sendfile(&from, Some(3), 1), Ok(Some(3)));
    // From a pipe nothing is sent, not even nothing.
    assert_eq!(sendfile(&io, &from, &reader, None, 0), Err(Errno::EINVAL));
    let most = from.max_bytes();
    assert_eq!(sendfile(&io, &writer, &from, Some(most), 1), Err(Errno::EOVERFLOW));
    let folder = world.open("/", OpenFlags::empty()).unwrap();
    assert_eq!(sendfile(&io, &writer, &folder, Some(0), 1), Err(Errno::EINVAL));
    assert_eq!(sendfile(&io, &writer, &folder, Some(folder.max_bytes() + 1), 0), Err(Errno::EOVERFLOW));
    assert_eq!(sendfile(&io, &writer, &from, Some(most - 1), 9), Ok((0, most - 1)));
    // Where the bytes go is known to be wrong before there are any.
    let source = pipe::of(&reader).unwrap();
    let mut far = i64::MAX as u64;
    assert_eq!(pipe::splice_from_pipe(&io, source, &from, &mut far, 1, Wait::No), Err(Errno::EINVAL));
}
