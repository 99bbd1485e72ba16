//! Mounts: crossing both ways, covering, what is busy, paths through them.

use std::vec;

use base::Errno;

use super::{OK, World, err};
use crate::ramfs::{RamFs, RamFsType};
use crate::{
    FileSystemType, Mount, MountFlags, answers, d_path, filesystems, find_filesystem, mount_at,
    register_filesystem, unmount, unmount_all,
};

fn two() -> (World, std::sync::Arc<Mount>) {
    let w = World::new();
    w.mkdir("mnt").unwrap();
    w.put("mnt/covered", "x");
    w.put("f", "f");
    let mount = mount_at(&w.place("mnt"), RamFs::new(), MountFlags::NOSUID, "other").unwrap();
    (w, mount)
}

#[test]
fn crossing() {
    let (mut w, mount) = two();
    answers! {
        w.ls("mnt") => Ok(vec![".".into(), "..".into()]),
        w.stat("mnt/covered").is_err() => true,
        w.mkdir("mnt/a") => OK,
        w.mkdir("mnt/a/b") => OK,
        w.cat("mnt/../f") => Ok("f".into()),
        w.cat("mnt/a/b/../../../f") => Ok("f".into()),
        w.stat("mnt").unwrap().attr.ino => base::Ino(1),
    }
    assert_ne!(w.stat("mnt").unwrap().dev, w.stat("/").unwrap().dev);
    w.chdir("mnt/a/b").unwrap();
    assert_eq!(w.getcwd(), Ok("/mnt/a/b".into()));
    w.chdir("../..").unwrap();
    assert_eq!(w.getcwd(), Ok("/mnt".into()));
    w.chdir("..").unwrap();
    assert_eq!(w.getcwd(), Ok("/".into()));
    assert!(mount.mountpoint().is_some());
    assert_eq!(w.root.mount.tree().len(), 2);
}

#[test]
fn what_a_mount_forbids() {
    let (w, _mount) = two();
    w.put("mnt/g", "g");
    answers! {
        w.rename("f", "mnt/f") => err(Errno::EXDEV),
        w.rename("mnt/g", "g") => err(Errno::EXDEV),
        w.link("f", "mnt/f") => err(Errno::EXDEV),
        w.link("mnt/g", "g") => err(Errno::EXDEV),
        w.rmdir("mnt") => err(Errno::EBUSY),
        w.rename("mnt", "other") => err(Errno::EBUSY),
        w.unlink("mnt") => err(Errno::EISDIR),
        w.mkdir("mnt") => err(Errno::EEXIST),
        w.rmdir("mnt/..") => err(Errno::ENOTEMPTY),
    }
}

#[test]
fn mounting_on_top_and_taking_off() {
    let (w, first) = two();
    w.put("mnt/first", "1");
    let second = mount_at(&w.place("mnt"), RamFs::new(), MountFlags::empty(), "third").unwrap();
    w.put("mnt/second", "2");
    answers! {
        w.stat("mnt/first").is_err() => true,
        w.cat("mnt/../f") => Ok("f".into()),
        unmount(&first) => err(Errno::EBUSY),
        unmount(&second) => OK,
        w.cat("mnt/first") => Ok("1".into()),
    }
    let open = w.open("mnt/first", crate::OpenFlags::WRONLY).unwrap();
    assert_eq!(unmount(&first), err(Errno::EBUSY));
    assert_eq!(d_path(open.path(), &w.root), b"/mnt/first");
    drop(open);
    answers! {
        unmount(&first) => OK,
        w.cat("mnt/covered") => Ok("x".into()),
        w.rename("mnt", "other") => OK,
        mount_at(&w.place("f"), RamFs::new(), MountFlags::empty(), "x").err() => Some(Errno::ENOTDIR),
    }
}

#[test]
fn a_root_of_ones_own() {
    let (w, _mount) = two();
    w.mkdir("jail").unwrap();
    w.mkdir("jail/in").unwrap();
    w.put("jail/f", "inner");
    let jailed = World { root: w.place("jail"), cwd: w.place("jail/in"), ..World::new() };
    answers! {
        jailed.cat("/f") => Ok("inner".into()),
        jailed.cat("../../../f") => Ok("inner".into()),
        jailed.getcwd() => Ok("/in".into()),
    }
    let outside = World { root: jailed.root.clone(), cwd: w.place("mnt"), ..World::new() };
    assert_eq!(outside.getcwd(), Ok("(unreachable)/mnt".into()));
}

#[test]
fn everything_goes_at_the_end() {
    let (w, _mount) = two();
    let open = w.open("mnt/x", crate::OpenFlags::WRONLY | crate::OpenFlags::CREAT).unwrap();
    crate::fsync::sync_all(&w.root.mount);
    assert_eq!(unmount_all(&w.root.mount), OK);
    assert_eq!(w.root.mount.tree().len(), 1);
    drop(open);
}

#[test]
fn types_are_known_by_name() {
    static RAMFS: RamFsType = RamFsType;
    register_filesystem(&RAMFS);
    register_filesystem(&RAMFS);
    assert_eq!(filesystems().iter().filter(|t| t.name() == "ramfs").count(), 1);
    assert!(find_filesystem("nothing").is_none());
    let kind = find_filesystem("ramfs").unwrap();
    assert!(!kind.requires_dev());
    assert!(kind.mount(None, MountFlags::RDONLY, "").unwrap().read_only());
    assert_eq!(RAMFS.mount(None, MountFlags::empty(), "size=1").err(), Some(Errno::EINVAL));
}
