//! mounts and mountinfo.

use super::*;

#[test]
fn mounts_in_the_order_they_were_made() {
    let world = World::new();
    let text = "/dev/vda / ramfs rw,relatime 0 0\nproc /proc proc rw,relatime 0 0\n";
    assert_eq!(world.cat("/proc/mounts"), text);
    let home = world.lookup("/home", LookupFlags::empty()).unwrap();
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount_at(&home, ramfs(), flags | MountFlags::NOATIME, "a b#\\").unwrap();
    let text = String::from(text) + "a\\040b\\043\\134 /home ramfs ro,nosuid,nodev,noexec,noatime 0 0\n";
    assert_eq!(world.cat("/proc/self/mounts"), text);
}

#[test]
fn mountinfo_tells_who_stands_on_whom() {
    let world = World::new();
    let (root, proc) = (world.root.mount.clone(), world.proc.clone());
    let (minor, proc_minor) = (root.superblock().dev().minor, proc.superblock().dev().minor);
    let expected = std::format!(
        "{id} {id} 0:{minor} / / rw,relatime - ramfs /dev/vda rw\n\
         {} {id} 0:{proc_minor} / /proc rw,relatime - proc proc rw\n",
        proc.id(),
        id = root.id(),
    );
    assert_eq!(world.cat("/proc/self/mountinfo"), expected);
}

#[test]
fn names_with_blanks_stay_one_word() {
    let world = World::new();
    namei::mkdir(&world.at(), b"/home/a b\n", 0o755).unwrap();
    let place = world.lookup("/home/a b\n", LookupFlags::empty()).unwrap();
    mount_at(&place, ramfs(), MountFlags::empty(), "none").unwrap();
    assert!(world.cat("/proc/mounts").ends_with("none /home/a\\040b\\012 ramfs rw 0 0\n"));
}

#[test]
fn a_changed_root_sees_what_is_below_it() {
    let world = World::new();
    let home = world.lookup("/home", LookupFlags::empty()).unwrap();
    let inner = mount_at(&home, ramfs(), MountFlags::empty(), "inner").unwrap();
    let old = world.process();
    *world.source.process.lock().unwrap() = Some(Arc::new(FakeProcess {
        root: inner.root(),
        cwd: old.cwd.clone(),
        exe: old.exe.clone(),
        files: FdTable::new(),
        comm: Mutex::new(Vec::new()),
        cred: Mutex::new(Cred::ROOT),
    }));
    assert_eq!(world.cat("/proc/mounts"), "inner / ramfs rw 0 0\n");
}
