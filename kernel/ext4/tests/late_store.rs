//! An inode is stored by another thread while writeback gives its bytes a place: what was changed after that store is
//! in the same transaction all the same.

use std::sync::Mutex;

use base::trace::{self, Context};
use ext4::Ext4Inode;
use sim::{Image, Machine};
use vfs::OpenFlags;

type Store = Box<dyn FnOnce() + Send>;

/// What the other thread does, when a place is asked for.
static OTHER: Mutex<Option<Store>> = Mutex::new(None);

/// Asked at each event who is at work.
fn at_an_event() -> Context {
    let other = OTHER.lock().unwrap().take();
    if let Some(store) = other {
        store();
    }
    Context::default()
}

#[test]
fn a_store_meets_a_place_that_is_being_given() {
    trace::set_context(at_an_event);
    trace::set_on(true);
    trace::register(&ext4::trace::EVENTS);
    trace::set_events("ext4_request_blocks", true).unwrap();
    let machine = Machine::mount(&Image::mkfs(8 << 20, &["-b", "1024"]).unwrap()).unwrap();
    machine.create("/other", 0o644).unwrap();
    machine.sync().unwrap();
    machine.write_file("/file", &[7; 3000]).unwrap();
    let node = {
        let file = machine.open("/file", OpenFlags::empty(), 0).unwrap();
        let inode = file.path().inode().unwrap();
        inode.as_any().downcast_ref::<Ext4Inode>().unwrap().arc().unwrap()
    };
    *OTHER.lock().unwrap() = Some(Box::new(move || node.mark_dirty()));
    // The bytes get their place, and the transaction commits for another file's sake.
    machine.vfs_mount().superblock().sync(false).unwrap();
    assert!(OTHER.lock().unwrap().is_none());
    machine.chmod("/other", 0o600).unwrap();
    machine.fsync("/other").unwrap();
    machine.snapshot().replayed().unwrap().fsck().unwrap();
}
