//! A disk that takes nothing any more, and a writer who does not stop: he is told, and memory stays.
mod support;

use std::sync::atomic::Ordering;

use base::Errno;
use support::{FILE_BLOCKS, File, disk};
use writeback::{Bdi, DirtyInode};

/// Pages; a fifth of them may be dirty.
const MEMORY: usize = 500;

#[test]
fn a_writer_is_turned_away_until_the_disk_takes_something() {
    writeback::set_memory(MEMORY);
    let (driver, device) = disk(1);
    let bdi = Bdi::start(&device).unwrap();
    let file = File::new(&bdi, 0);
    driver.failing.store(true, Ordering::Relaxed);
    let page = [7; 4096];
    let written = (0..FILE_BLOCKS).map(|n| file.write(n * 4096, &page)).take_while(Result::is_ok).count();
    assert!(written < MEMORY / 2, "{written} pages");
    assert_eq!(file.write(written as u64 * 4096, &page), Err(Errno::EIO));
    // What is cached already may change: that takes no memory.
    assert_eq!(file.write(0, &page), Ok(4096));
    assert_eq!(file.fsync(false), Err(Errno::EIO));

    driver.failing.store(false, Ordering::Relaxed);
    assert_eq!(file.fsync(false), Ok(()));
    assert!(!file.mapping().has_dirty());
    assert_eq!(file.write(written as u64 * 4096, &page), Ok(4096));
    assert_eq!(bdi.stop(), Ok(()));
    assert_eq!(file.on_disk(&driver, written as u64 * 4096), 7);
    assert_eq!(file.read(4095, 2), Ok(vec![7; 2]));
}
