//! What a program's thread causes is counted once: when a page becomes dirty, and when it is thrown away.
use std::thread;

use base::PAGE_SIZE;
use block::task_io::task_io;

use super::support::*;

const PAGE: u64 = PAGE_SIZE as u64;

/// The counters are everybody's, but in these tests only this one's threads are a program's.
#[test]
fn pages_made_dirty_and_thrown_away() {
    let counted = |work: &dyn Fn()| {
        let before = task_io();
        sync::thread::set_task(1, b"prog");
        work();
        sync::thread::set_task(0, b"");
        let now = task_io();
        [
            now.read_bytes - before.read_bytes,
            now.write_bytes - before.write_bytes,
            now.cancelled_write_bytes - before.cancelled_write_bytes,
        ]
    };
    let fs = TestFs::new(12, false);
    let write = |pos: u64, len| _ = fs.write(pos, &pattern(len, 1)).unwrap();
    assert_eq!(counted(&|| write(0, 10 * PAGE_SIZE)), [0, 10 * PAGE, 0]);
    // Dirty already; and once more after they were written.
    assert_eq!(counted(&|| write(100, 5 * PAGE_SIZE)), [0, 0, 0]);
    assert_eq!(counted(&|| fs.fsync().unwrap()), [0, 0, 0]);
    assert_eq!(counted(&|| write(0, 3)), [0, PAGE, 0]);
    assert_eq!(counted(&|| fs.truncate(0).unwrap()), [0, 0, PAGE]);
    // A thread that is not the program's.
    thread::scope(|scope| _ = scope.spawn(|| write(0, PAGE_SIZE)));
    assert_eq!(counted(&|| fs.truncate(0).unwrap()), [0, 0, PAGE]);
    write(0, 4 * PAGE_SIZE);
    fs.fsync().unwrap();
    fs.drop_cache();
    assert_eq!(counted(&|| _ = fs.read(0, 4 * PAGE_SIZE).unwrap()), [4 * PAGE, 0, 0]);
    assert_eq!(counted(&|| _ = fs.read(0, 4 * PAGE_SIZE).unwrap()), [0, 0, 0]);
}
