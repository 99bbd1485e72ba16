//! self, cwd, root, exe and the links of the descriptors.

use super::*;

#[test]
fn where_links_lead() {
    let world = World::new();
    for (path, text) in [
        ("/proc/self", "1"),
        ("/proc/thread-self", "1/task/1"),
        ("/proc/mounts", "self/mounts"),
        ("/proc/self/cwd", "/home"),
        ("/proc/self/root", "/"),
        ("/proc/self/exe", "/bin/prog"),
        ("/proc/thread-self/exe", "/bin/prog"),
    ] {
        assert_eq!(world.readlink(path).as_deref(), Ok(text), "{path}");
    }
    let follow = |path: &str| world.lookup(path, LookupFlags::FOLLOW).unwrap();
    assert!(follow("/proc/self/exe").same(&follow("/bin/prog")));
    assert!(follow("/proc/self/cwd/../bin/prog").same(&follow("/bin/prog")));
    assert!(follow("/proc/self/root/home").same(&follow("/home")));
}

#[test]
fn descriptors_come_and_go() {
    let world = World::new();
    let files = &world.process().files;
    assert_eq!(world.ls("/proc/self/fd").unwrap(), [".", ".."]);
    let put = |flags| files.install(world.open("/bin/prog", flags).unwrap(), false, 100).unwrap();
    for flags in [RDONLY, OpenFlags::WRONLY, OpenFlags::RDWR, OpenFlags::PATH] {
        put(flags);
    }
    assert_eq!(world.ls("/proc/self/fd").unwrap(), [".", "..", "0", "1", "2", "3"]);
    for (fd, mode) in [("0", 0o120500), ("1", 0o120300), ("2", 0o120700), ("3", 0o120000)] {
        let attr = world.lstat(&std::format!("/proc/self/fd/{fd}")).unwrap().attr;
        assert_eq!((attr.mode, attr.size), (mode, 64), "{fd}");
    }
    assert_eq!(world.readlink("/proc/thread-self/fd/2").as_deref(), Ok("/bin/prog"));
    files.close(1).unwrap();
    assert_eq!(world.ls("/proc/self/fd").unwrap(), [".", "..", "0", "2", "3"]);
    for name in ["1", "00", "+0", "-1", "x", "2147483648", "0 "] {
        let answer = world.lstat(&std::format!("/proc/self/fd/{name}")).map(|_| ());
        assert_eq!(answer, err(Errno::ENOENT), "{name}");
    }
}

#[test]
fn a_descriptor_s_link_opens_a_file_whose_name_is_gone() {
    let world = World::new();
    let flags = OpenFlags::CREAT | OpenFlags::RDWR;
    let file = world.open("/home/tmp", flags).unwrap();
    world.write(&file, b"content").unwrap();
    world.process().files.install(file, false, 100).unwrap();
    namei::unlink(&world.at(), b"/home/tmp").unwrap();
    assert_eq!(world.readlink("/proc/self/fd/0").as_deref(), Ok("/home/tmp (deleted)"));
    assert_eq!(world.cat("/proc/self/fd/0"), "content");
    let link = world.lookup("/proc/self/fd/0", LookupFlags::empty()).unwrap();
    world.process().files.close(0).unwrap();
    assert_eq!(namei::readlink_at(&link), Err(Errno::ENOENT));
}

#[test]
fn reading_the_descriptors_goes_on_where_it_was() {
    let world = World::new();
    let files = &world.process().files;
    for _ in 0..10 {
        files.install(world.open("/bin/prog", RDONLY).unwrap(), false, 100).unwrap();
    }
    let dir = world.open("/proc/self/fd", OpenFlags::DIRECTORY).unwrap();
    let mut seen = Vec::new();
    for _ in 0..4 {
        let mut room = 4;
        iterate_dir(&dir, &mut |e: &DirEntry<'_>| {
            room -= 1;
            if room >= 0 {
                seen.push(String::from_utf8(e.name.to_vec()).unwrap());
            }
            room >= 0
        })
        .unwrap();
        // What was seen may go; what comes next is still there.
        let _ = files.close(1);
    }
    assert_eq!(seen, [".", "..", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
}
