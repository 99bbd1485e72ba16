//! What unmounting waits for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use sim::{Image, Machine};
use vfs::OpenFlags;

const MIB: u64 = 1 << 20;

/// Says so when dropped, also by a panic.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Reclaim looks at names of files that are open and deleted, and so may be the last to use one: its inode is gone
/// before the disk is clean all the same.
#[test]
fn no_inode_is_left_in_the_hands_of_reclaim() {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            vfs::current::set_current(std::sync::Arc::new(vfs::Cred::ROOT));
            while !done.load(Ordering::Relaxed) {
                vfs::dentry::shrink(usize::MAX);
            }
        });
        let _done = Done(&done);
        for round in 0..60 {
            let args: &[&str] = if round % 2 == 0 { &["-O", "^has_journal"] } else { &[] };
            let machine =
                Machine::mount(&Image::mkfs(4 * MIB, &[&["-b", "1024"], args].concat()).unwrap()).unwrap();
            let open = |n| {
                let name = format!("/{n}");
                let file = machine.open(&name, OpenFlags::CREAT, 0o644).unwrap();
                machine.unlink(&name).unwrap();
                file
            };
            let files: Vec<_> = (0..200).map(open).collect();
            drop(files);
            machine.unmount().unwrap().fsck().unwrap();
        }
    });
}
