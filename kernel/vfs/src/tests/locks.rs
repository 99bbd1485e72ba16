//! flock(2). One test, since one list has the locks of all files.

use super::*;
use crate::flock::Kind::{self, Exclusive, Shared};
use crate::flock::{lock, unlock};

const BUSY: Result<()> = Err(Errno::EAGAIN);

#[test]
fn a_lock_is_an_open_files_and_waits_for_others() {
    let world = World::new();
    world.touch("/a").unwrap();
    world.touch("/b").unwrap();
    let open = |path: &str| world.open(path, OpenFlags::empty()).unwrap();
    let now = |file: &File, kind: Kind| lock(file, kind, false);
    let files = [open("/a"), open("/a"), open("/a")];
    let [a, b, c] = &files;
    // Shared with whoever shares.
    assert_eq!([now(a, Shared), now(b, Shared), now(c, Exclusive)], [Ok(()), Ok(()), BUSY]);
    assert_eq!(now(&open("/b"), Exclusive), Ok(()));
    // Two that want it alone: each loses what it had at once.
    assert_eq!(now(a, Exclusive), BUSY);
    assert_eq!(now(b, Exclusive), Ok(()));
    assert_eq!(now(a, Shared), BUSY);
    unlock(a);
    assert_eq!(now(a, Shared), BUSY);
    assert_eq!(now(b, Shared), Ok(()));
    assert_eq!(now(a, Shared), Ok(()));
    unlock(a);
    unlock(b);
    // Whoever waits gets it when the last open file with a lock goes, or when it changes.
    assert_eq!(now(a, Exclusive), Ok(()));
    let [a, b, c] = files;
    let waits = |file: Arc<File>, kind| {
        sync::thread::spawn("waits", move || assert_eq!(lock(&file, kind, true), Ok(()))).unwrap()
    };
    let waiter = waits(b.clone(), Shared);
    let twin = a.clone();
    drop(a);
    assert_eq!(now(&c, Shared), BUSY);
    assert_eq!(now(&twin, Shared), Ok(()));
    waiter.join();
    let waiter = waits(c, Exclusive);
    drop(twin);
    unlock(&b);
    waiter.join();
}
