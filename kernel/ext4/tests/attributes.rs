//! Access control lists, chattr's flags, projects, times, capabilities, and inodes that grow.

use base::user::FakeUser;
use base::{Errno, Timespec};
use sim::{Image, Machine, Options};
use vfs::attr_ops::{self, TimeUpdate};
use vfs::{Caller, Cred, OpenFlags, Want, namei};

const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";

fn image(args: &[&str]) -> Image {
    Image::mkfs(8 << 20, args).unwrap()
}

fn machine() -> Machine {
    Machine::mount(&image(&[])).unwrap()
}

/// The attribute of a list; ids are given for named users (2) and groups (8).
fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut value = 2u32.to_le_bytes().to_vec();
    for (tag, perm, id) in entries {
        value.extend(tag.to_le_bytes().into_iter().chain(perm.to_le_bytes()).chain(id.to_le_bytes()));
    }
    value
}

const NONE: u32 = u32::MAX;

/// `user::rw- user:7:rw- group::r-- mask::rw- other::---`
fn example() -> Vec<u8> {
    acl(&[(1, 6, NONE), (2, 6, 7), (4, 4, NONE), (16, 6, NONE), (32, 0, NONE)])
}

fn may(machine: &Machine, path: &str, want: Want, cred: &Cred) -> Result<(), Errno> {
    namei::permission(&**machine.place(path)?.inode()?, want, cred)
}

fn mode(machine: &Machine, path: &str) -> u32 {
    machine.stat(path).unwrap().mode & 0o7777
}

#[test]
fn a_list_is_kept_enforced_and_followed_by_the_mode() {
    let m = machine();
    m.create("/f", 0o600).unwrap();
    m.set_xattr("/f", ACCESS, &example(), 0).unwrap();
    assert_eq!(mode(&m, "/f"), 0o660);
    let (seven, eight) = (Cred::user(7, 7), Cred::user(8, 8));
    assert_eq!(may(&m, "/f", Want::WRITE, &seven), Ok(()));
    assert_eq!(may(&m, "/f", Want::READ, &eight), Err(Errno::EACCES));
    m.chmod("/f", 0o640).unwrap();
    assert_eq!(may(&m, "/f", Want::READ, &seven), Ok(()));
    assert_eq!(may(&m, "/f", Want::WRITE, &seven), Err(Errno::EACCES));
    let written = m.unmount().unwrap();
    written.fsck().unwrap();
    let m = Machine::mount(&written).unwrap();
    let masked = acl(&[(1, 6, NONE), (2, 6, 7), (4, 4, NONE), (16, 4, NONE), (32, 0, NONE)]);
    assert_eq!(m.get_xattr("/f", ACCESS).unwrap(), masked);
    assert_eq!(m.list_xattrs("/f").unwrap(), [ACCESS]);
    assert_eq!(may(&m, "/f", Want::WRITE, &seven), Err(Errno::EACCES));
    // A list that bits can say is no list.
    m.set_xattr("/f", ACCESS, &acl(&[(1, 7, NONE), (4, 5, NONE), (32, 1, NONE)]), 0).unwrap();
    assert_eq!(mode(&m, "/f"), 0o751);
    assert_eq!(m.get_xattr("/f", ACCESS), Err(Errno::ENODATA));
    assert_eq!(m.remove_xattr("/f", ACCESS), Ok(()));
    m.unmount().unwrap().fsck().unwrap();
}

#[test]
fn a_default_list_is_inherited() {
    let mut m = machine();
    m.mkdir("/d").unwrap();
    m.create("/f", 0o644).unwrap();
    assert_eq!(m.set_xattr("/f", DEFAULT, &example(), 0), Err(Errno::EACCES));
    assert_eq!(m.set_xattr("/d", DEFAULT, &example()[..20], 0), Err(Errno::EINVAL));
    m.set_xattr("/d", DEFAULT, &example(), 0).unwrap();
    m.create("/d/f", 0o666).unwrap();
    m.mkdir_mode("/d/sub", 0o777).unwrap();
    m.symlink("x", "/d/l").unwrap();
    assert_eq!(mode(&m, "/d/f"), 0o660);
    assert_eq!(m.get_xattr("/d/f", ACCESS).unwrap(), example());
    assert_eq!(m.get_xattr("/d/f", DEFAULT), Err(Errno::ENODATA));
    assert_eq!(m.get_xattr("/d/sub", DEFAULT).unwrap(), example());
    assert_eq!(m.get_xattr("/d/sub", ACCESS).unwrap(), example());
    assert_eq!(m.get_xattr("/d/l", ACCESS), Err(Errno::EOPNOTSUPP));
    m.chmod("/d", 0o777).unwrap();
    m.set_cred(Cred::user(5, 5));
    assert_eq!(m.set_xattr("/d/f", ACCESS, &example(), 0), Err(Errno::EPERM));
    m.create("/d/mine", 0o640).unwrap();
    assert_eq!(mode(&m, "/d/mine"), 0o640);
    m.unmount().unwrap().fsck().unwrap();
}

#[test]
fn noacl() {
    let made = {
        let m = machine();
        m.create("/f", 0o600).unwrap();
        m.set_xattr("/f", ACCESS, &example(), 0).unwrap();
        m.unmount().unwrap()
    };
    let m = Machine::mount_with(&made, &Options { options: "noacl".into(), ..Options::default() }).unwrap();
    assert_eq!(m.get_xattr("/f", ACCESS), Err(Errno::EOPNOTSUPP));
    assert_eq!(m.list_xattrs("/f").unwrap(), Vec::<String>::new());
    assert_eq!(may(&m, "/f", Want::READ, &Cred::user(7, 7)), Err(Errno::EACCES));
    m.unmount().unwrap();
}

/// An ioctl whose argument is so many bytes.
fn ioctl(m: &Machine, path: &str, cmd: u32, bytes: &[u8], uid: u32) -> Result<Vec<u8>, Errno> {
    let file = m.open(path, OpenFlags::empty(), 0)?;
    let memory = FakeUser::new(0x1000, 0x1000);
    memory.put(0x1000, bytes);
    let caller = Caller { memory: &memory, capable: uid == 0, uid };
    file.ops().ioctl(&file, cmd, 0x1000, &caller)?;
    Ok(memory.get(0x1000, bytes.len()))
}

const GETFLAGS: u32 = 0x8008_6601;
const SETFLAGS: u32 = 0x4008_6602;
const FSGETXATTR: u32 = 0x801c_581f;
const FSSETXATTR: u32 = 0x401c_5820;
const IMMUTABLE: u32 = 0x10;
const APPEND: u32 = 0x20;
const EXTENTS: u32 = 0x8_0000;

fn flags(m: &Machine, path: &str) -> u32 {
    let word = ioctl(m, path, GETFLAGS, &[0; 4], 0).unwrap();
    u32::from_ne_bytes(word.try_into().unwrap())
}

fn set_flags(m: &Machine, path: &str, flags: u32, uid: u32) -> Result<(), Errno> {
    ioctl(m, path, SETFLAGS, &flags.to_ne_bytes(), uid).map(drop)
}

#[test]
fn flags_are_set_by_whom_and_on_what_they_may() {
    let m = machine();
    m.create("/f", 0o644).unwrap();
    m.mkdir("/d").unwrap();
    m.chown("/f", 5, 5).unwrap();
    assert_eq!(flags(&m, "/f"), EXTENTS);
    assert_eq!(set_flags(&m, "/f", EXTENTS | 0x40, 6), Err(Errno::EPERM));
    assert_eq!(set_flags(&m, "/f", EXTENTS | 0x40, 5), Ok(()));
    assert_eq!(set_flags(&m, "/f", EXTENTS | IMMUTABLE, 5), Err(Errno::EPERM));
    assert_eq!(set_flags(&m, "/f", EXTENTS | 0x4000, 5), Err(Errno::EPERM));
    assert_eq!(set_flags(&m, "/f", EXTENTS | 0x1_0000, 0), Err(Errno::EOPNOTSUPP));
    assert_eq!(set_flags(&m, "/f", 0, 0), Err(Errno::EOPNOTSUPP));
    assert_eq!(set_flags(&m, "/f", EXTENTS | 0x4_0000, 0), Err(Errno::EOPNOTSUPP));
    assert_eq!(flags(&m, "/f"), EXTENTS | 0x40);
    assert_eq!(set_flags(&m, "/d", EXTENTS | 0x1_0080, 0), Ok(()));
    m.create("/d/f", 0o644).unwrap();
    assert_eq!(flags(&m, "/d/f"), EXTENTS | 0x80);
    assert_eq!(m.stat("/f").unwrap().attributes & 0x40, 0x40);
    let written = m.unmount().unwrap();
    written.fsck().unwrap();
    assert_eq!(flags(&Machine::mount(&written).unwrap(), "/d"), EXTENTS | 0x1_0080);
}

#[test]
fn immutable_and_append_only() {
    let m = machine();
    m.write_file("/f", b"content").unwrap();
    m.mkdir("/d").unwrap();
    m.create("/d/f", 0o644).unwrap();
    let open = m.open("/f", OpenFlags::WRONLY, 0).unwrap();
    set_flags(&m, "/f", EXTENTS | IMMUTABLE, 0).unwrap();
    set_flags(&m, "/d", EXTENTS | APPEND, 0).unwrap();
    let no = Err(Errno::EPERM);
    assert_eq!(sim::write_all(&open, b"x", 0), no);
    drop(open);
    assert_eq!(m.open("/f", OpenFlags::WRONLY, 0).err(), Some(Errno::EPERM));
    assert_eq!(m.truncate("/f", 0), no);
    assert_eq!(m.chmod("/f", 0o600), no);
    assert_eq!(m.link("/f", "/g"), no);
    assert_eq!(m.unlink("/f"), no);
    assert_eq!(m.rename("/f", "/g"), no);
    assert_eq!(m.set_xattr("/f", "user.a", b"", 0), no);
    assert_eq!(attr_ops::utimens(&m.place("/f").unwrap(), None, &Cred::ROOT), no);
    assert_eq!(set_flags(&m, "/f", EXTENTS | IMMUTABLE | 0x40, 0), no);
    assert_eq!(m.read_file("/f").unwrap(), b"content");
    // An append-only directory takes names, and gives none away.
    m.create("/d/new", 0o644).unwrap();
    assert_eq!(m.unlink("/d/new"), no);
    assert_eq!(m.rename("/d/new", "/new"), no);
    set_flags(&m, "/d", EXTENTS, 0).unwrap();
    set_flags(&m, "/d/f", EXTENTS | APPEND, 0).unwrap();
    assert_eq!(m.append("/d/f", b"more"), Ok(()));
    assert_eq!(m.pwrite("/d/f", 0, b"x"), no);
    assert_eq!(m.truncate("/d/f", 0), no);
    assert_eq!(m.open("/d/f", OpenFlags::APPEND | OpenFlags::WRONLY | OpenFlags::TRUNC, 0).err(), no.err());
    let touched = attr_ops::utimens(&m.place("/d/f").unwrap(), None, &Cred::ROOT);
    assert_eq!(touched, Ok(()));
    let appending = m.open("/d/f", OpenFlags::APPEND | OpenFlags::WRONLY, 0).unwrap();
    assert_eq!(appending.set_flags(OpenFlags::WRONLY), no);
    drop(appending);
    set_flags(&m, "/f", EXTENTS, 0).unwrap();
    m.unlink("/f").unwrap();
    m.unmount().unwrap().fsck().unwrap();
}

#[test]
fn xfs_words_and_projects() {
    let m = machine();
    m.create("/f", 0o644).unwrap();
    let mut fsx = [0u8; 28];
    fsx[0] = 0x80;
    ioctl(&m, "/f", FSSETXATTR, &fsx, 0).unwrap();
    assert_eq!(flags(&m, "/f"), EXTENTS | 0x40);
    assert_eq!(ioctl(&m, "/f", FSGETXATTR, &[0; 28], 0).unwrap(), fsx);
    fsx[12] = 9;
    assert_eq!(ioctl(&m, "/f", FSSETXATTR, &fsx, 0), Err(Errno::EOPNOTSUPP));
    fsx = [0; 28];
    fsx[1] = 0x10;
    assert_eq!(ioctl(&m, "/f", FSSETXATTR, &fsx, 0), Err(Errno::EINVAL));
    m.unmount().unwrap().fsck().unwrap();
}

#[test]
fn a_project_is_inherited_and_bounds_names() {
    let m = Machine::mount(&image(&["-O", "project,^quota"])).unwrap();
    assert!(!m.vfs_mount().superblock().read_only());
    m.mkdir("/p").unwrap();
    m.create("/other", 0o644).unwrap();
    let mut fsx = [0u8; 28];
    (fsx[1], fsx[12]) = (2, 42);
    ioctl(&m, "/p", FSSETXATTR, &fsx, 0).unwrap();
    m.create("/p/f", 0o644).unwrap();
    m.mkdir("/p/d").unwrap();
    let told = ioctl(&m, "/p/f", FSGETXATTR, &[0; 28], 0).unwrap();
    assert_eq!((told[12], told[1]), (42, 0));
    assert_eq!(ioctl(&m, "/p/d", FSGETXATTR, &[0; 28], 0).unwrap(), fsx);
    assert_eq!(m.link("/other", "/p/l"), Err(Errno::EXDEV));
    assert_eq!(m.rename("/other", "/p/other"), Err(Errno::EXDEV));
    assert_eq!(m.rename("/p/f", "/f"), Ok(()));
    let written = m.unmount().unwrap();
    written.fsck().unwrap();
    assert!(written.debugfs("stat /f").unwrap().contains("Project:    42"));
}

#[test]
fn capabilities_and_set_id_bits_go_with_a_write() {
    let mut m = machine();
    let caps = [&[1, 0, 0, 2][..], &[0; 16]].concat();
    m.create("/f", 0o777).unwrap();
    m.set_xattr("/f", "security.capability", &caps, 0).unwrap();
    m.pwrite("/f", 0, b"").unwrap();
    assert_eq!(m.get_xattr("/f", "security.capability").unwrap(), caps);
    m.pwrite("/f", 0, b"x").unwrap();
    assert_eq!(m.get_xattr("/f", "security.capability"), Err(Errno::ENODATA));
    m.set_xattr("/f", "security.capability", &caps, 0).unwrap();
    m.chmod("/f", 0o6777).unwrap();
    m.set_cred(Cred::user(5, 5));
    m.truncate("/f", 0).unwrap();
    assert_eq!(mode(&m, "/f"), 0o777);
    assert_eq!(m.get_xattr("/f", "security.capability"), Err(Errno::ENODATA));
    m.unmount().unwrap().fsck().unwrap();
}

fn set_mtime(m: &Machine, path: &str, sec: i64, nsec: u32) -> Timespec {
    let when = TimeUpdate::To(Timespec { sec, nsec });
    attr_ops::utimens(&m.place(path).unwrap(), Some([when, when]), &Cred::ROOT).unwrap();
    m.stat(path).unwrap().mtime
}

#[test]
fn times_from_1901_to_2446() {
    const MOMENTS: [i64; 7] =
        [-(1 << 31) + 1, -1, 0, (1 << 31) - 1, 1 << 31, 1 << 33, (3 << 32) + (1 << 31) - 2];
    let m = machine();
    for (number, sec) in MOMENTS.into_iter().enumerate() {
        let path = format!("/f{number}");
        m.create(&path, 0o644).unwrap();
        assert_eq!(set_mtime(&m, &path, sec, 999_999_999), Timespec { sec, nsec: 999_999_999 });
    }
    m.create("/late", 0o644).unwrap();
    assert_eq!(set_mtime(&m, "/late", 1 << 40, 5), Timespec { sec: (3 << 32) + (1 << 31) - 1, nsec: 0 });
    let written = m.unmount().unwrap();
    written.fsck().unwrap();
    let m = Machine::mount(&written).unwrap();
    for (number, sec) in MOMENTS.into_iter().enumerate() {
        assert_eq!(m.stat(format!("/f{number}")).unwrap().mtime, Timespec { sec, nsec: 999_999_999 });
    }
    let told = written.debugfs("stat /f4").unwrap();
    assert!(told.contains("2038"), "{told}");
    // Small inodes have whole seconds, up to 2038.
    let m = Machine::mount(&image(&["-I", "128"])).unwrap();
    m.create("/f", 0o644).unwrap();
    assert_eq!(set_mtime(&m, "/f", 1 << 33, 7), Timespec { sec: i64::from(i32::MAX), nsec: 0 });
    assert_eq!(set_mtime(&m, "/f", -7, 7), Timespec { sec: -7, nsec: 0 });
    assert_eq!(m.stat("/f").unwrap().btime, None);
    m.unmount().unwrap().fsck().unwrap();
}

/// The version of an inode as debugfs(8) tells it: `Generation: 1    Version: 0x00000000:00000002`.
fn version(image: &Image, path: &str) -> u64 {
    let told = image.debugfs(&format!("stat {path}")).unwrap();
    let (_, rest) = told.split_once("Version: 0x").unwrap();
    let digits: String = rest.chars().take_while(|c| !c.is_whitespace()).filter(|&c| c != ':').collect();
    u64::from_str_radix(&digits, 16).unwrap()
}

#[test]
fn the_version_counts_changes() {
    let changes: [fn(&Machine); 5] = [
        |m| m.write_file("/d/f", b"other").unwrap(),
        |m| m.chmod("/d/f", 0o600).unwrap(),
        |m| m.truncate("/d/f", 2).unwrap(),
        |m| m.set_xattr("/d/f", "user.a", b"1", 0).unwrap(),
        |m| m.link("/d/f", "/g").unwrap(),
    ];
    let m = machine();
    m.mkdir("/d").unwrap();
    m.write_file("/d/f", b"first").unwrap();
    let mut image = m.unmount().unwrap();
    for change in changes {
        let before = version(&image, "/d/f");
        let m = Machine::mount(&image).unwrap();
        change(&m);
        image = m.unmount().unwrap();
        assert!(version(&image, "/d/f") > before);
    }
    let before = (version(&image, "/d/f"), version(&image, "/d"));
    let m = Machine::mount(&image).unwrap();
    m.read_file("/d/f").unwrap();
    m.read_dir("/d").unwrap();
    m.create("/d/new", 0o644).unwrap();
    image = m.unmount().unwrap();
    assert_eq!(version(&image, "/d/f"), before.0);
    assert!(version(&image, "/d") > before.1);
    image.fsck().unwrap();
}

#[test]
fn small_extra_fields_grow_and_attributes_make_room() {
    for fill in [0, 20, 60, 92, 96, 100] {
        let small = image(&["-I", "256"])
            .changed("set_super_value want_extra_isize 4")
            .and_then(|i| i.changed("set_super_value min_extra_isize 4"))
            .unwrap();
        let m = Machine::mount(&small).unwrap();
        m.create("/f", 0o640).unwrap();
        assert_eq!(m.stat("/f").unwrap().btime, None);
        if fill > 0 {
            m.set_xattr("/f", "user.a", &vec![b'a'; fill / 2], 0).unwrap();
            m.set_xattr("/f", "user.b", &vec![b'b'; fill - fill / 2], 0).unwrap();
        }
        let written = m.unmount().unwrap();
        let wider = written.changed("set_super_value want_extra_isize 32").unwrap();
        let m = Machine::mount(&wider).unwrap();
        m.chmod("/f", 0o600).unwrap();
        assert_eq!(m.stat("/f").unwrap().btime, Some(Timespec::default()), "{fill}");
        assert_eq!(set_mtime(&m, "/f", 1 << 33, 7), Timespec { sec: 1 << 33, nsec: 7 });
        if fill > 0 {
            assert_eq!(m.get_xattr("/f", "user.a").unwrap(), vec![b'a'; fill / 2]);
            assert_eq!(m.get_xattr("/f", "user.b").unwrap(), vec![b'b'; fill - fill / 2]);
        }
        let grown = m.unmount().unwrap();
        grown.fsck().unwrap();
        let told = grown.debugfs("stat /f").unwrap();
        assert!(told.contains("Size of extra inode fields: 32"), "{told}");
        assert!(told.contains("Project:     0") || !told.contains("Project"), "{told}");
    }
}
