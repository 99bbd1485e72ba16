//! How the files are read, sought and written.

use super::*;
use vfs::lseek::lseek;

#[test]
fn reads_in_small_steps_see_one_moment() {
    let world = World::new();
    let file = world.open("/proc/self/comm", RDONLY).unwrap();
    assert_eq!(world.read(&file, 2).as_deref(), Ok(&b"pr"[..]));
    *world.process().comm.lock().unwrap() = b"changed".to_vec();
    assert_eq!(world.read(&file, 100).as_deref(), Ok(&b"og\n"[..]));
    assert_eq!(world.read(&file, 100).as_deref(), Ok(&b""[..]));
    assert_eq!(lseek(&file, 0, 0), Ok(0));
    assert_eq!(world.read(&file, 100).as_deref(), Ok(&b"changed\n"[..]));
}

#[test]
fn pread_and_lseek() {
    let world = World::new();
    let file = world.open("/proc/sys/kernel/ostype", RDONLY).unwrap();
    let pread = |count, pos| {
        let n = read_write::pread(&world.io(), &file, UserAddr(BUF), count, pos)?;
        Ok(world.memory.get(BUF, n))
    };
    assert_eq!(pread(3, 2).as_deref(), Ok(&b"nux"[..]));
    assert_eq!(pread(9, 0).as_deref(), Ok(&b"Linux\n"[..]));
    assert_eq!(pread(9, 6).as_deref(), Ok(&b""[..]));
    assert_eq!(pread(9, i64::MAX - 9).as_deref(), Ok(&b""[..]));
    assert_eq!(pread(9, -1), Err(Errno::EINVAL));
    assert_eq!((lseek(&file, 4, 0), lseek(&file, -1, 1)), (Ok(4 as _), Ok(3)));
    assert_eq!(world.read(&file, 9).as_deref(), Ok(&b"ux\n"[..]));
    for whence in [2, 3, 4] {
        assert_eq!(lseek(&file, 0, whence), Err(Errno::EINVAL));
    }
    assert_eq!(lseek(&file, -7, 1), Err(Errno::EINVAL));
}

#[test]
fn a_bad_buffer_is_efault() {
    let world = World::new();
    let file = world.open("/proc/version", RDONLY).unwrap();
    assert_eq!(read_write::read(&world.io(), &file, UserAddr(8), 10), Err(Errno::EFAULT));
    // Half of it good: as much as there was room for.
    let edge = UserAddr(BUF + 0x4000 - 5);
    assert_eq!(read_write::read(&world.io(), &file, edge, 10), Ok(5));
}

#[test]
fn who_may_open_what() {
    let mut world = World::new();
    let write = |world: &World, path: &str| world.try_open(path, OpenFlags::WRONLY);
    // Not even the superuser below /proc/sys.
    assert_eq!(write(&world, "/proc/sys/vm/overcommit_memory"), err(Errno::EACCES));
    assert_eq!(write(&world, "/proc/sys/kernel/ostype"), err(Errno::EACCES));
    assert_eq!(write(&world, "/proc/meminfo"), Ok(()));
    assert_eq!(write(&world, "/proc"), err(Errno::EISDIR));
    world.cred = Cred::user(7, 7);
    assert_eq!(write(&world, "/proc/meminfo"), err(Errno::EACCES));
    assert_eq!(world.try_open("/proc/meminfo", RDONLY), Ok(()));
    assert_eq!(world.try_open("/proc/1/environ", RDONLY), err(Errno::EACCES));
    assert_eq!(world.try_open("/proc/1/fd", OpenFlags::DIRECTORY), err(Errno::EACCES));
    assert_eq!(world.try_open("/proc/1/fd/0", RDONLY), err(Errno::EACCES));
}

#[test]
fn writing_what_takes_nothing() {
    let world = World::new();
    let file = world.open("/proc/meminfo", OpenFlags::RDWR | OpenFlags::TRUNC).unwrap();
    assert_eq!(world.write(&file, b"x"), Err(Errno::EIO));
    let file = world.open("/proc/1/stat", OpenFlags::RDWR).unwrap();
    assert_eq!(world.write(&file, b"x"), Err(Errno::EINVAL));
}

#[test]
fn comm_can_be_written() {
    let world = World::new();
    let write = |bytes: &[u8]| {
        let file = world.open("/proc/self/comm", OpenFlags::WRONLY | OpenFlags::TRUNC).unwrap();
        assert_eq!(world.write(&file, bytes), Ok(bytes.len()));
        world.cat("/proc/self/comm")
    };
    assert_eq!(write(b"new"), "new\n");
    assert_eq!(write(b"0123456789abcdefgh"), "0123456789abcde\n");
    assert_eq!(write(b"a\0b"), "a\n");
    assert_eq!(write(&[b'x'; 5000]), "xxxxxxxxxxxxxxx\n");
}
