//! renameat2(2) with RENAME_WHITEOUT: the old name leads to a character device 0:0.

use base::{DevId, Errno};
use sim::{Image, Machine};
use vfs::Cred;

const NOREPLACE: u32 = 1;
const EXCHANGE: u32 = 2;
const WHITEOUT: u32 = 4;

fn is_whiteout(machine: &Machine, path: &str) -> bool {
    let attr = machine.stat(path).unwrap();
    (attr.mode, attr.rdev, attr.nlink, attr.size) == (0o020000, DevId::default(), 1, 0)
}

#[test]
fn flags_that_go_together() {
    let machine = Machine::mount(&Image::mkfs(8 << 20, &[]).unwrap()).unwrap();
    machine.write_file("/f", b"f").unwrap();
    machine.write_file("/g", b"g").unwrap();
    let rename = |flags| machine.rename_flags("/f", "/g", flags);
    assert_eq!(rename(WHITEOUT | EXCHANGE), Err(Errno::EINVAL));
    assert_eq!(rename(WHITEOUT | NOREPLACE), Err(Errno::EEXIST));
    assert_eq!(rename(8), Err(Errno::EINVAL));
    assert_eq!(machine.read_file("/f"), Ok(b"f".to_vec()), "nothing was left behind");
    // Two names of one inode: nothing to do, and so no whiteout.
    machine.link("/f", "/h").unwrap();
    machine.rename_flags("/f", "/h", WHITEOUT).unwrap();
    assert_eq!(machine.stat("/f").unwrap().nlink, 2);
    machine.unmount().unwrap().fsck().unwrap();
}

/// Linear, inline and indexed directories; files and directories; a new name, and one that was there.
#[test]
fn a_whiteout_stays_behind() {
    for (args, names) in [
        (&["-b", "1024"][..], 5),
        (&["-b", "1024"], 600),
        (&["-b", "1024", "-O", "inline_data"], 3),
        (&["-b", "1024", "-O", "^filetype,^dir_index"], 60),
        (&["-b", "1024", "-O", "^extent,^64bit,^metadata_csum"], 60),
    ] {
        let machine = Machine::mount(&Image::mkfs(16 << 20, args).unwrap()).unwrap();
        machine.mkdir("/d").unwrap();
        machine.mkdir("/e").unwrap();
        for n in 0..names {
            machine.create(format!("/d/name {n}"), 0o644).unwrap();
        }
        machine.mkdir("/d/sub").unwrap();
        machine.write_file("/e/there", b"there").unwrap();
        machine.rename_flags("/d/name 0", "/d/elsewhere", WHITEOUT).unwrap();
        machine.rename_flags("/d/name 1", "/e/there", WHITEOUT).unwrap();
        machine.rename_flags("/d/sub", "/e/sub", WHITEOUT | NOREPLACE).unwrap();
        for gone in ["/d/name 0", "/d/name 1", "/d/sub"] {
            assert!(is_whiteout(&machine, gone), "{args:?} {gone}");
        }
        assert_eq!(machine.stat("/e/there").unwrap().size, 0);
        assert_eq!([machine.stat("/d").unwrap().nlink, machine.stat("/e").unwrap().nlink], [2, 3]);
        // A whiteout is a name like others.
        machine.rename("/d/elsewhere", "/d/name 0").unwrap();
        machine.unlink("/d/sub").unwrap();
        machine.unmount().unwrap().fsck().unwrap();
    }
}

/// A whiteout opens nothing, so anybody may make one; other devices are root's.
#[test]
fn whoever_may_rename_may_leave_one() {
    let mut machine = Machine::mount(&Image::mkfs(8 << 20, &[]).unwrap()).unwrap();
    machine.chmod("/", 0o777).unwrap();
    machine.set_cred(Cred::user(7, 8));
    machine.create("/f", 0o644).unwrap();
    machine.rename_flags("/f", "/g", WHITEOUT).unwrap();
    let left = machine.stat("/f").unwrap();
    assert_eq!((left.uid, left.gid), (7, 8));
    machine.mknod("/w", 0o020644, DevId::default()).unwrap();
    assert_eq!(machine.mknod("/b", 0o060644, DevId::default()), Err(Errno::EPERM));
    assert_eq!(machine.mknod("/c", 0o020644, DevId::new(1, 3)), Err(Errno::EPERM));
    machine.unmount().unwrap().fsck().unwrap();
}

#[test]
fn without_an_inode_nothing_happens() {
    let machine = Machine::mount(&Image::mkfs(8 << 20, &["-N", "32"]).unwrap()).unwrap();
    while machine.statfs().unwrap().files_free > 0 {
        let left = machine.statfs().unwrap().files_free;
        machine.write_file(format!("/f{left}"), b"x").unwrap();
    }
    assert_eq!(machine.rename_flags("/f1", "/g", WHITEOUT), Err(Errno::ENOSPC));
    assert_eq!(machine.read_file("/f1"), Ok(b"x".to_vec()));
    machine.rename("/f1", "/g").unwrap();
    machine.unmount().unwrap().fsck().unwrap();
}
