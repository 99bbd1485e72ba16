//! Corners of the journal that no random workload comes by: a retry after a commit, a shutdown between a write
//! and its data.

use base::Errno;
use base::user::FakeUser;
use ext4::Ext4Inode;
use sim::{Image, Machine, Options, write_all};
use vfs::attr_ops::ftruncate;
use vfs::{Caller, Cred, OpenFlags};

const SHUTDOWN: u32 = 0x8004_587d;
const LOGFLUSH: u32 = 1;

fn disk() -> Image {
    Image::mkfs(8 << 20, &["-b", "1024", "-O", "^orphan_file"]).unwrap()
}

/// The head of the orphan list.
fn last_orphan(image: &Image) -> [u8; 4] {
    image.bytes[1024 + 0xe8..1024 + 0xec].try_into().unwrap()
}

/// A write that found room only after a commit leaves nothing behind.
#[test]
fn a_write_that_waited_for_freed_blocks_is_no_orphan() {
    let machine = Machine::mount(&disk()).unwrap();
    let large = vec![1; 16 << 20];
    let full = machine.open("/full", OpenFlags::CREAT | OpenFlags::WRONLY, 0o644).unwrap();
    let error = write_all(&full, &large, 0).unwrap_err();
    assert_eq!(error, Errno::ENOSPC);
    drop(full);
    machine.create("/new", 0o644).unwrap();
    machine.sync().unwrap();
    machine.unlink("/full").unwrap();
    machine.write_file("/new", &large[..1 << 20]).unwrap();
    machine.sync().unwrap();
    assert_eq!(machine.stat("/new").unwrap().size, 1 << 20);
    let image = machine.unmount().unwrap();
    assert_eq!(last_orphan(&image), [0; 4]);
    image.fsck().unwrap();
}

/// EXT4_IOC_SHUTDOWN commits, and in ordered mode that means: what the new blocks hold first.
#[test]
fn a_shutdown_shows_nobody_what_blocks_held_before() {
    let machine = Machine::mount_with(&disk(), &Options::default()).unwrap();
    machine.write_file("/old", &vec![0xaa; 6 << 20]).unwrap();
    machine.sync().unwrap();
    machine.unlink("/old").unwrap();
    machine.sync().unwrap();
    machine.write_file("/new", &vec![0xbb; 3 << 20]).unwrap();
    let user = FakeUser::new(0x1000, 4096);
    user.put(0x1000, &LOGFLUSH.to_ne_bytes());
    let file = machine.open("/new", OpenFlags::empty(), 0).unwrap();
    let caller = Caller { memory: &user, uid: 0, capable: true };
    file.ops().ioctl(&file, SHUTDOWN, 0x1000, &caller).unwrap();
    drop(file);
    let image = machine.give_up();
    let machine = Machine::mount(&image).unwrap();
    let bytes = machine.read_file("/new").unwrap();
    assert!(bytes.iter().all(|&b| b == 0xbb), "{} bytes, some of them not the file's", bytes.len());
    machine.unmount().unwrap().fsck().unwrap();
}

/// A file without a name that is cut stays on the list of those that a crash leaves behind.
#[test]
fn a_file_without_a_name_stays_an_orphan_when_it_is_cut() {
    for args in [["-b", "1024", "-O", "^orphan_file"], ["-b", "1024", "-O", "orphan_file"]] {
        let machine = Machine::mount(&Image::mkfs(8 << 20, &args).unwrap()).unwrap();
        machine.write_file("/f", &[1; 30_000]).unwrap();
        let file = machine.open("/f", OpenFlags::WRONLY, 0).unwrap();
        machine.unlink("/f").unwrap();
        ftruncate(&file, 5000, u64::MAX, &Cred::ROOT).unwrap();
        machine.sync().unwrap();
        let crashed = Machine::mount(&machine.snapshot()).unwrap();
        crashed.unmount().unwrap().fsck().unwrap();
        drop(file);
        machine.unmount().unwrap().fsck().unwrap();
    }
}

/// The flusher found a file stale, and before it comes to store it the file is deleted and its number another's.
#[test]
fn who_stores_a_deleted_inode_late_does_not_meet_the_one_with_its_number() {
    let machine = Machine::mount(&disk()).unwrap();
    machine.write_file("/old", b"gone").unwrap();
    let late = {
        let old = machine.open("/old", OpenFlags::empty(), 0).unwrap();
        let inode = old.path().inode().unwrap();
        inode.as_any().downcast_ref::<Ext4Inode>().unwrap().arc().unwrap()
    };
    machine.unlink("/old").unwrap();
    machine.write_file("/new", b"here").unwrap();
    machine.fsync("/new").unwrap();
    assert_eq!(machine.stat("/new").unwrap().ino, late.ino());
    late.mark_dirty();
    drop(late);
    let image = machine.unmount().unwrap();
    image.fsck().unwrap();
    assert_eq!(Machine::mount(&image).unwrap().read_file("/new").unwrap(), b"here");
}
