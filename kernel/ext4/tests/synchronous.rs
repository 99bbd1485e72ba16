//! `sync`, `dirsync`, chattr +S and +D: what was told is on the disk. `lazytime`: times that wait.

use base::Errno;
use base::user::FakeUser;
use sim::{Fault, Image, Machine, Options};
use vfs::attr_ops::TimeUpdate;
use vfs::{Caller, MountFlags, OpenFlags};

const SETFLAGS: u32 = 0x4008_6602;
const FS_SYNC_FL: u32 = 0x8;
const FS_DIRSYNC_FL: u32 = 0x1_0000;

fn mount(image: &Image, options: &str) -> Machine {
    let options = Options { options: options.into(), ..Options::default() };
    Machine::mount_with(image, &options).unwrap()
}

fn disk() -> Image {
    Image::mkfs(16 << 20, &["-b", "1024", "-O", "^has_journal"]).unwrap()
}

fn chattr(machine: &Machine, path: &str, flags: u32) {
    let user = FakeUser::new(0x1000, 4096);
    user.put(0x1000, &(flags | 0x8_0000).to_ne_bytes());
    let file = machine.open(path, OpenFlags::empty(), 0).unwrap();
    let caller = Caller { memory: &user, uid: 0, capable: true };
    file.ops().ioctl(&file, SETFLAGS, 0x1000, &caller).unwrap();
}

/// What the disk has of a directory now, without anybody asking for it.
fn on_disk(machine: &Machine, dir: &str) -> Vec<String> {
    let listing = machine.snapshot().debugfs(&format!("ls -p {dir}")).unwrap();
    let names = listing.lines().filter_map(|line| line.split('/').nth(5)).map(String::from);
    names.filter(|name| !name.is_empty() && !name.starts_with('.')).collect()
}

#[test]
fn names_are_durable_when_they_are_told() {
    for (options, flag) in [("dirsync", 0), ("sync", 0), ("", FS_DIRSYNC_FL), ("", FS_SYNC_FL)] {
        let machine = mount(&disk(), options);
        for dir in ["/d", "/e"] {
            machine.mkdir(dir).unwrap();
            chattr(&machine, dir, flag);
        }
        machine.sync().unwrap();
        let seen = |want: &[&str]| assert_eq!(on_disk(&machine, "/d"), want, "{options} {flag:#x}");
        machine.create("/d/file", 0o644).unwrap();
        seen(&["file"]);
        machine.mkdir("/d/sub").unwrap();
        seen(&["file", "sub"]);
        machine.symlink("t".repeat(200), "/d/link").unwrap();
        machine.link("/d/file", "/d/hard").unwrap();
        seen(&["file", "sub", "link", "hard"]);
        machine.unlink("/d/file").unwrap();
        machine.rmdir("/d/sub").unwrap();
        seen(&["link", "hard"]);
        machine.rename("/d/hard", "/e/there").unwrap();
        seen(&["link"]);
        assert_eq!(on_disk(&machine, "/e"), ["there"]);
        assert!(machine.tracer().take().iter().any(|t| t.op == block::BioOp::Flush));
        machine.unmount().unwrap().fsck().unwrap();
    }
}

#[test]
fn without_it_they_are_not() {
    let machine = mount(&disk(), "");
    machine.mkdir("/d").unwrap();
    machine.sync().unwrap();
    machine.create("/d/file", 0o644).unwrap();
    assert!(on_disk(&machine, "/d").is_empty());
    machine.unmount().unwrap().fsck().unwrap();
}

#[test]
fn writes_and_attributes_under_sync() {
    let machine = mount(&disk(), "sync");
    assert_eq!(machine.vfs_mount().superblock().flags(), MountFlags::SYNCHRONOUS);
    machine.write_file("/f", &[7; 5000]).unwrap();
    assert_eq!(machine.snapshot().cat("/f").unwrap(), [7; 5000]);
    machine.truncate("/f", 100).unwrap();
    assert_eq!(machine.snapshot().cat("/f").unwrap(), [7; 100]);
    machine.chmod("/f", 0o600).unwrap();
    machine.set_xattr("/f", "user.a", b"value", 0).unwrap();
    let now = machine.snapshot();
    assert!(now.debugfs("stat /f").unwrap().contains("Mode:  0600"));
    assert!(now.debugfs("ea_list /f").unwrap().contains("value"));
    machine.unmount().unwrap().fsck().unwrap();
}

/// A disk that fails afterwards: the name is there, the error is the file system's.
#[test]
fn an_error_is_noted_and_not_answered() {
    let machine = mount(&disk(), "dirsync,errors=continue");
    machine.mkdir("/d").unwrap();
    machine.faults().inject(Fault::every(block::BioOp::Flush));
    assert_eq!(machine.create("/d/file", 0o644), Ok(()));
    machine.faults().heal();
    assert_eq!(machine.create("/d/file", 0o644), Err(Errno::EEXIST));
    let image = machine.give_up();
    assert!(image.stat_field("FS Error count").is_ok());
}

/// The access time in the inode table, as debugfs tells it.
fn atime_on_disk(machine: &Machine, path: &str) -> String {
    let text = machine.snapshot().debugfs(&format!("stat {path}")).unwrap();
    text.lines().find(|line| line.contains("atime:")).unwrap().into()
}

type Reason = fn(&Machine);

#[test]
fn lazy_times_wait_for_a_reason() {
    let machine = mount(&disk(), "lazytime");
    assert_eq!(machine.vfs_mount().superblock().flags(), MountFlags::LAZYTIME);
    let reasons: [(&str, Reason); 4] = [
        ("fsync", |m| m.fsync("/f").unwrap()),
        ("sync", |m| m.sync().unwrap()),
        ("chmod", |m| m.chmod("/f", 0o640).unwrap()),
        ("last use", |_| ()),
    ];
    for (name, reason) in reasons {
        machine.write_file("/f", &[1; 3000]).unwrap();
        // Far back, so that reading moves it.
        let old = TimeUpdate::To(base::Timespec { sec: 1000, nsec: 0 });
        machine.utimens("/f", old, old).unwrap();
        machine.sync().unwrap();
        let before = atime_on_disk(&machine, "/f");
        let file = machine.open("/f", OpenFlags::empty(), 0).unwrap();
        sim::read_all(&file).unwrap();
        assert!(machine.stat("/f").unwrap().atime.sec > 1000, "known at once");
        reason(&machine);
        drop(file);
        if name == "last use" {
            // The names that the cache holds are uses.
            machine.vfs_mount().root().dentry.prune();
        }
        machine.fsync("/").unwrap();
        assert_ne!(atime_on_disk(&machine, "/f"), before, "{name}");
    }
    machine.unmount().unwrap().fsck().unwrap();
}

/// A metadata block that is written anyway does not take the times of its neighbours along.
#[test]
fn lazy_times_stay_in_memory() {
    let machine = mount(&disk(), "lazytime");
    machine.write_file("/f", &[1; 3000]).unwrap();
    let old = TimeUpdate::To(base::Timespec { sec: 1000, nsec: 0 });
    machine.utimens("/f", old, old).unwrap();
    machine.create("/g", 0o644).unwrap();
    machine.sync().unwrap();
    let before = atime_on_disk(&machine, "/f");
    let file = machine.open("/f", OpenFlags::empty(), 0).unwrap();
    sim::read_all(&file).unwrap();
    machine.fsync("/g").unwrap();
    assert_eq!(atime_on_disk(&machine, "/f"), before);
    drop(file);
    // At unmount all is stored.
    let image = machine.unmount().unwrap();
    let machine = Machine::mount(&image).unwrap();
    assert_ne!(atime_on_disk(&machine, "/f"), before);
    machine.unmount().unwrap().fsck().unwrap();
}
