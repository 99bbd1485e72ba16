//! Everything a program may do to a damaged disk; the answers do not matter.

use vfs::OpenFlags;

use crate::image::Image;
use crate::machine::{Machine, Options, write_all};

/// Names looked at, at most: a damaged directory may have very many.
const NAMES: usize = 2000;
/// Files that claim to be larger are not read.
const LARGEST: u64 = 4 << 20;

/// Mounts, reads, changes, syncs and unmounts. The image comes back if it could be mounted.
pub fn exercise(image: &Image) -> Option<Image> {
    let options = Options { options: "errors=continue".into(), ..Options::default() };
    let m = Machine::mount_with(image, &options).ok()?;
    walk(&m);
    reserve(&m);
    write(&m);
    attributes(&m);
    change_names(&m);
    remove(&m);
    let _ = m.sync();
    let _ = m.statfs();
    // What is in memory is forgotten: the rest is read as it lies on the disk now.
    vfs::dentry::shrink(usize::MAX);
    walk(&m);
    Some(m.give_up())
}

fn walk(m: &Machine) {
    let mut todo = vec!["/".to_string()];
    let mut seen = 0;
    while let Some(dir) = todo.pop() {
        for (name, ..) in m.read_dir(&dir).unwrap_or_default() {
            seen += 1;
            if name == b"." || name == b".." || seen > NAMES {
                continue;
            }
            let path = format!("{}/{}", dir.trim_end_matches('/'), String::from_utf8_lossy(&name));
            let Ok(attr) = m.stat(&path) else { continue };
            if attr.mode & 0o170000 == 0o040000 && path.len() < 300 {
                todo.push(path.clone());
            }
            let _ = m.readlink(&path);
            let _ = m.count_extents(&path, false);
            let _ = m.count_extents(&path, true);
            for name in m.list_xattrs(&path).unwrap_or_default() {
                let _ = m.get_xattr(&path, &name);
            }
            // What is no link: that may lead to any size.
            if attr.mode & 0o170000 == 0o100000 && attr.size < LARGEST {
                let _ = m.read_file(&path);
            }
        }
    }
}

/// fallocate(2) in all its modes.
fn reserve(m: &Machine) {
    const KEEP_SIZE: u32 = 0x01;
    const PUNCH_HOLE: u32 = 0x02;
    const COLLAPSE_RANGE: u32 = 0x08;
    const ZERO_RANGE: u32 = 0x10;
    const INSERT_RANGE: u32 = 0x20;
    for path in ["/holes", "/reserved", "/d/sub/f", "/tiny"] {
        let _ = m.fallocate(path, KEEP_SIZE, 200 << 10, 10 << 10);
        let _ = m.fallocate(path, 0, 1000, 9000);
        let _ = m.fallocate(path, ZERO_RANGE, 500, 7000);
        let _ = m.fallocate(path, PUNCH_HOLE | KEEP_SIZE, 2000, 5000);
        let _ = m.fallocate(path, COLLAPSE_RANGE, 2048, 3072);
        let _ = m.fallocate(path, INSERT_RANGE, 1024, 2048);
    }
    let _ = m.pwrite("/reserved", 3000, &[6; 20_000]);
}

/// chattr(1), projects, access control lists.
fn attributes(m: &Machine) {
    for path in ["/", "/d/sub", "/d/sub/f", "/tiny", "/small"] {
        let flags = m.flags(path).unwrap_or(0);
        let _ = m.set_flags(path, flags | 0xc8);
        let _ = m.set_flags(path, flags);
        let _ = m.set_project(path, 77);
        let _ = m.set_xattr(path, ACCESS, &list(), 0);
        let _ = m.set_xattr(path, DEFAULT, &list(), 0);
        let _ = m.chmod(path, 0o750);
    }
    let _ = m.remove_xattr("/d/sub/f", "user.huge");
    let _ = m.set_xattr("/tiny", "user.s", &[b'x'; 90], 0);
}

const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";

/// `user::rwx user:1000:r-x group::r-x mask::rwx other::---` as the attribute has it.
fn list() -> Vec<u8> {
    let none = u32::MAX;
    let entries = [(1u16, 7u16, none), (2, 5, 1000), (4, 5, none), (0x10, 7, none), (0x20, 0, none)];
    let entry = |(tag, perm, id): (u16, u16, u32)| {
        [tag.to_le_bytes().to_vec(), perm.to_le_bytes().to_vec(), id.to_le_bytes().to_vec()].concat()
    };
    [2u32.to_le_bytes().to_vec(), entries.map(entry).concat()].concat()
}

fn write(m: &Machine) {
    let _ = m.pwrite("/holes", 1024, &[9; 3000]);
    let _ = m.pwrite("/holes", 60_001, &[9; 9000]);
    let _ = m.pwrite("/d/sub/f", 7000, &[9; 3000]);
    let _ = m.write_file("/d/new", &[1; 2000]);
    let _ = m.append("/d/name 7 of the many that an index wants", &[2; 5000]);
    for (name, len) in [("user.short", 10), ("user.long", 3), ("user.new", 100), ("trusted.new", 400)] {
        let _ = m.set_xattr("/d/sub/f", name, &vec![b'w'; len], 0);
        let _ = m.set_xattr("/d/sub", name, &vec![b'w'; len], 0);
    }
    let _ = m.remove_xattr("/d/sub/f", "user.longer");
    let _ = m.write_file("/small/new", &[4; 200]);
    let _ = m.pwrite("/tiny", 60, &[4; 60]);
    let _ = m.pwrite("/small/tiny", 10, &[4; 2000]);
    let _ = m.remove_xattr("/d/sub", "trusted.of_a_directory");
    let _ = m.truncate("/d/sub/f", 1 << 40);
    let _ = m.truncate("/d/sub/f", 3000);
}

fn change_names(m: &Machine) {
    let _ = m.mkdir("/d/newdir");
    for i in 0..10 {
        let _ = m.create(format!("/d/another name that needs a place {i}"), 0o644);
    }
    for i in 0..4 {
        let _ = m.create(format!("/small/{i} is a name of an inline directory"), 0o644);
    }
    let _ = m.rename("/small/tiny", "/small/0 is a name of an inline directory");
    if let Ok(file) = m.tmpfile("/d", 0o600) {
        let _ = write_all(&file, &[8; 3000], 0);
        let _ = m.link_file(&file, "/d/kept");
    }
    drop(m.tmpfile("/", 0o600));
    let _ = m.link("/d/sub/f", "/second");
    let _ = m.rename("/d/sub", "/moved");
    let _ = m.rename("/moved", "/d/newdir");
    let _ = m.rename_flags("/d", "/holes", 2);
    let _ = m.rename_flags("/d", "/holes", 2);
    let _ = m.symlink("y".repeat(100), "/d/link");
    let _ = m.chown("/slow", 1 << 20, 1 << 20);
}

fn remove(m: &Machine) {
    let _ = m.truncate("/holes", 20_000);
    // Open while it goes: the orphans take it in.
    let open = m.open("/d/sub/f", OpenFlags::RDWR, 0);
    for path in
        ["/d/sub/f", "/second", "/holes", "/reserved", "/tiny", "/small/tiny", "/slow", "/fast", "/d/link"]
    {
        let _ = m.unlink(path);
    }
    for i in (0..60).step_by(7) {
        let _ = m.unlink(format!("/d/name {i} of the many that an index wants"));
    }
    drop(open);
    let _ = m.rmdir("/d/sub");
    let _ = m.rmdir("/d/newdir");
}
