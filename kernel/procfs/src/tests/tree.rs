//! What is there, and what stat says of it.

use super::*;
use kernfs::testing::Found;
use vfs::{FileType, attr_ops, same_inode};

#[test]
fn the_whole_tree_can_be_walked_and_agrees_with_stat() {
    let world = World::new();
    let file = world.open("/bin/prog", RDONLY).unwrap();
    world.process().files.install(file, false, 100).unwrap();
    let all = world.check_tree("/proc");
    assert!(all.len() > 60, "{}", all.len());
    for Found { path, kind, .. } in &all {
        let attr = world.lstat(path).unwrap().attr;
        assert_eq!((attr.blocks, attr.blksize), (0, 1024), "{path}");
        match kind {
            FileType::Regular => {
                assert_eq!(attr.size, 0, "{path}");
                let readable = attr.mode & 0o444 != 0;
                assert!(!readable || !world.bytes(path).unwrap().is_empty(), "{path}");
            }
            FileType::Symlink => assert!(!world.readlink(path).unwrap().is_empty(), "{path}"),
            _ => assert_eq!(attr.size, 0, "{path}"),
        }
    }
}

#[test]
fn modes_links_and_sizes_are_linux_s() {
    let world = World::new();
    for (path, mode, nlink, size) in [
        ("/proc", 0o040555, 5, 0),
        ("/proc/self", 0o120777, 1, 0),
        ("/proc/thread-self", 0o120777, 1, 0),
        ("/proc/mounts", 0o120777, 1, 11),
        ("/proc/meminfo", 0o100444, 1, 0),
        ("/proc/1", 0o040555, 4, 0),
        ("/proc/1/environ", 0o100400, 1, 0),
        ("/proc/1/comm", 0o100644, 1, 0),
        ("/proc/1/exe", 0o120777, 1, 0),
        ("/proc/1/fd", 0o040500, 2, 0),
        ("/proc/1/task", 0o040555, 3, 0),
        ("/proc/1/task/1", 0o040555, 3, 0),
        ("/proc/fs", 0o040555, 4, 0),
        ("/proc/fs/ext4", 0o040555, 3, 0),
        ("/proc/fs/ext4/vda", 0o040555, 2, 0),
        ("/proc/fs/ext4/vda/fc_info", 0o100444, 1, 0),
        ("/proc/fs/jbd2", 0o040555, 4, 0),
        ("/proc/fs/jbd2/vda-8", 0o040555, 2, 0),
        ("/proc/fs/jbd2/vda-8/info", 0o100444, 1, 0),
        ("/proc/sys", 0o040555, 1, 0),
        ("/proc/sys/kernel", 0o040555, 1, 0),
    ] {
        let attr = world.lstat(path).unwrap().attr;
        assert_eq!((attr.mode, attr.nlink, attr.size), (mode, nlink, size), "{path}");
    }
}

#[test]
fn the_program_s_files_are_its_user_s() {
    let world = World::new();
    *world.process().cred.lock().unwrap() = Cred::user(7, 8);
    let owner = |path: &str| {
        let attr = world.lstat(path).unwrap().attr;
        (attr.uid, attr.gid)
    };
    assert_eq!(owner("/proc/1"), (7, 8));
    assert_eq!(owner("/proc/1/task/1/stat"), (7, 8));
    assert_eq!(owner("/proc/stat"), (0, 0));
}

#[test]
fn inodes_stay_the_same_while_held() {
    let world = World::new();
    let look = |path: &str| world.lookup(path, LookupFlags::FOLLOW).unwrap().inode().unwrap().clone();
    let held = look("/proc/1/stat");
    assert!(same_inode(&held, &look("/proc/self/stat")));
    assert!(!same_inode(&held, &look("/proc/thread-self/stat")));
    assert_eq!(held.ino(), look("/proc/1/stat").ino());
}

#[test]
fn nothing_can_be_made_or_changed() {
    let world = World::new();
    let at = world.at();
    let (missing, refused) = (err(Errno::ENOENT), err(Errno::EPERM));
    assert_eq!(world.try_open("/proc/new", OpenFlags::CREAT | OpenFlags::WRONLY), missing);
    assert_eq!(namei::mkdir(&at, b"/proc/new", 0o777), missing);
    assert_eq!(namei::mkdir(&at, b"/proc/1/new", 0o777), missing);
    assert_eq!(namei::symlink(&at, b"x", b"/proc/sys/new"), missing);
    assert_eq!(namei::rename(&at, b"/proc/stat", &at, b"/proc/new", 0), missing);
    assert_eq!(namei::rename(&at, b"/proc/stat", &at, b"/proc/version", 0), refused);
    assert_eq!(namei::unlink(&at, b"/proc/version"), refused);
    assert_eq!(namei::unlink(&at, b"/proc/1/stat"), refused);
    assert_eq!(namei::rmdir(&at, b"/proc/1/task"), refused);
    let place = world.lookup("/proc/1/stat", LookupFlags::empty()).unwrap();
    assert_eq!(attr_ops::chmod(&place, 0o777, &Cred::ROOT), err(Errno::EPERM));
    assert_eq!(world.try_open("/proc/nothing", RDONLY), err(Errno::ENOENT));
    assert_eq!(world.try_open("/proc/sys/vm/nothing", RDONLY), err(Errno::ENOENT));
    assert_eq!(world.try_open("/proc/version/x", RDONLY), err(Errno::ENOTDIR));
}

#[test]
fn before_there_is_a_program_the_system_s_files_are_there() {
    let world = World::new();
    let kept = world.open("/proc/1/stat", RDONLY).unwrap();
    let process = world.source.process.lock().unwrap().take();
    assert!(process.is_some());
    assert_eq!(world.try_open("/proc/1/stat", RDONLY), err(Errno::ENOENT));
    assert!(!world.ls("/proc").unwrap().contains(&"1".into()));
    assert_eq!(world.read(&kept, 10), Err(Errno::ESRCH));
    assert!(world.cat("/proc/version").starts_with("Linux version 6.1"));
}

#[test]
fn statfs_and_mounting() {
    let world = World::new();
    let sb = world.proc.superblock();
    assert_eq!((sb.statfs().unwrap().magic, sb.fs_type()), (0x9fa0, "proc"));
    let kind = fs_type(world.source.clone());
    assert!(kind.mount(None, MountFlags::empty(), "what=ever").is_err());
    let second = kind.mount(None, MountFlags::empty(), "").unwrap();
    assert_ne!(second.dev(), sb.dev());
    assert_eq!(vfs::unmount(&world.proc), Ok(()));
    assert_eq!(world.ls("/proc").unwrap(), [".", ".."]);
}
