//! The flusher without its thread, under a clock that the test moves.
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use base::{Clock, Errno, FsBlock};
use support::{File, disk};
use writeback::{Bdi, DirtyFlags, DirtyInode};

/// Stands still until a test that has the disk to itself moves it; all tests may see it move.
struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn monotonic_ns(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
    fn realtime_ns(&self) -> u64 {
        self.monotonic_ns()
    }
}

#[test]
fn sync_writes_everything_and_the_lists_let_go() {
    let (driver, device) = disk(4);
    let bdi = Bdi::new(&device);
    let files: Vec<_> = (0..3).map(|n| File::new(&bdi, n)).collect();
    for file in &files {
        file.write(5, &[7; 10_000]).unwrap();
    }
    device.bread(FsBlock(3 * support::FILE_BLOCKS)).unwrap().write()[0] = 9;
    assert!(!bdi.is_clean());
    bdi.sync(true).unwrap();
    for file in &files {
        assert_eq!((file.on_disk(&driver, 5), file.on_disk(&driver, 10_004)), (7, 7));
        assert_eq!(file.read(10_003, 9).unwrap(), [7, 7]);
        assert_eq!(file.inode_writes.load(Ordering::Relaxed), 1);
        assert_eq!(Arc::strong_count(file), 1);
    }
    assert!(bdi.is_clean() && !device.mapping().has_dirty());
}

#[test]
fn a_dirty_inode_lives_until_it_is_clean() {
    let (driver, device) = disk(1);
    let bdi = Bdi::new(&device);
    let file = File::new(&bdi, 0);
    file.write(0, b"last words").unwrap();
    let weak = Arc::downgrade(&file);
    drop(file);
    assert!(weak.upgrade().is_some());
    bdi.sync(true).unwrap();
    assert!(weak.upgrade().is_none());
    assert_eq!(driver.bytes.lock().unwrap()[..10], *b"last words");
}

#[test]
fn fsync_and_fdatasync_write_what_they_must() {
    let (_driver, device) = disk(1);
    let bdi = Bdi::new(&device);
    let file = File::new(&bdi, 0);
    file.write(0, b"grows").unwrap();
    assert_eq!(file.fsync(true), Ok(()));
    assert_eq!(file.inode_writes.load(Ordering::Relaxed), 1);
    file.write(0, b"stays").unwrap();
    assert_eq!(file.fsync(true), Ok(()));
    assert_eq!(file.inode_writes.load(Ordering::Relaxed), 1);
    assert_eq!(file.dirty_state().flags(), DirtyFlags::INODE);
    assert!(!bdi.is_clean());
    assert_eq!(file.fsync(false), Ok(()));
    assert_eq!(file.inode_writes.load(Ordering::Relaxed), 2);
    assert!(bdi.is_clean());
    assert_eq!(file.fsync(false), Ok(()));
    assert_eq!(file.inode_writes.load(Ordering::Relaxed), 2);
}

#[test]
fn what_failed_stays_listed() {
    let (driver, device) = disk(1);
    let bdi = Bdi::new(&device);
    let file = File::new(&bdi, 0);
    file.write(0, &[1; 5000]).unwrap();
    driver.failing.store(true, Ordering::Relaxed);
    assert_eq!(bdi.sync(true), Err(Errno::EIO));
    assert!(!bdi.is_clean() && file.mapping().has_dirty());
    driver.failing.store(false, Ordering::Relaxed);
    assert_eq!(bdi.sync(true), Ok(()));
    assert!(bdi.is_clean());
    assert_eq!(file.on_disk(&driver, 4999), 1);
}

#[test]
fn a_forgotten_inode_is_let_go_unwritten() {
    let (driver, device) = disk(1);
    let bdi = Bdi::new(&device);
    let file = File::new(&bdi, 0);
    file.write(0, &[1; 5000]).unwrap();
    file.mapping().truncate_pagecache(0);
    bdi.forget(file.dirty_state());
    assert!(bdi.is_clean());
    assert_eq!(Arc::strong_count(&file), 1);
    bdi.sync(true).unwrap();
    assert_eq!(file.on_disk(&driver, 0), 0);
    // It may become dirty again.
    file.write(0, &[2; 10]).unwrap();
    bdi.sync(true).unwrap();
    assert_eq!(file.on_disk(&driver, 0), 2);
}

#[test]
fn dirty_data_goes_when_it_is_old() {
    const SECOND: u64 = 1_000_000_000;
    static CLOCK: TestClock = TestClock(AtomicU64::new(SECOND));
    base::time::set_clock(&CLOCK);
    let (driver, device) = disk(3);
    let bdi = Bdi::new(&device);
    let (old, young) = (File::new(&bdi, 0), File::new(&bdi, 1));
    old.write(0, &[1; 100]).unwrap();
    device.bread(FsBlock(2 * support::FILE_BLOCKS)).unwrap().write()[0] = 3;
    bdi.periodic();
    CLOCK.0.fetch_add(20 * SECOND, Ordering::Relaxed);
    young.write(0, &[2; 100]).unwrap();
    bdi.periodic();
    assert!(old.mapping().has_dirty());
    CLOCK.0.fetch_add(15 * SECOND, Ordering::Relaxed);
    bdi.periodic();
    old.mapping().wait_writeback(0..u64::MAX);
    device.mapping().wait_writeback(0..u64::MAX);
    assert_eq!((old.on_disk(&driver, 0), young.on_disk(&driver, 0)), (1, 0));
    assert_eq!(driver.bytes.lock().unwrap()[2 * support::FILE_BLOCKS as usize * 4096], 3);
    // Its pages were on their way then; the next round finds it clean.
    bdi.periodic();
    assert_eq!((Arc::strong_count(&old), Arc::strong_count(&young)), (1, 2));
    bdi.sync(true).unwrap();
}

#[test]
fn a_sync_ends_while_a_writer_does_not() {
    let (driver, device) = disk(1);
    let bdi = Bdi::start(&device).unwrap();
    let file = File::new(&bdi, 0);
    file.write(0, &[1; 4096]).unwrap();
    let synced = AtomicBool::new(false);
    thread::scope(|s| {
        // Ahead of the sweep all the time, and behind it.
        s.spawn(|| {
            for i in 1.. {
                if synced.load(Ordering::Relaxed) {
                    break;
                }
                file.write(i * 7919 % 2000 * 4096, &[2; 4096]).unwrap();
            }
        });
        for _ in 0..10 {
            assert_eq!((bdi.sync(true), file.fsync(false)), (Ok(()), Ok(())));
        }
        synced.store(true, Ordering::Relaxed);
    });
    assert_ne!(file.on_disk(&driver, 0), 0);
    bdi.stop().unwrap();
}

#[test]
fn nothing_that_is_dirtied_during_a_sync_is_lost() {
    let (driver, device) = disk(2);
    let bdi = Bdi::start(&device).unwrap();
    let files: Vec<_> = (0..2).map(|n| File::new(&bdi, n)).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let syncers: Vec<_> = (0..2)
        .map(|_| {
            let (bdi, stop) = (bdi.clone(), stop.clone());
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    bdi.sync(true).unwrap();
                }
            })
        })
        .collect();
    let writers: Vec<_> = files
        .iter()
        .map(|file| {
            let file = file.clone();
            thread::spawn(move || {
                for i in 0..1500u64 {
                    file.write(i % 50 * 4096, &[(i % 251) as u8; 4096]).unwrap();
                    if i % 100 == 0 {
                        file.fsync(false).unwrap();
                    }
                }
            })
        })
        .collect();
    writers.into_iter().for_each(|t| t.join().unwrap());
    stop.store(true, Ordering::Relaxed);
    syncers.into_iter().for_each(|t| t.join().unwrap());
    bdi.stop().unwrap();
    assert!(bdi.is_clean());
    for file in &files {
        for i in 1450..1500u64 {
            assert_eq!(file.on_disk(&driver, i % 50 * 4096 + 4095), (i % 251) as u8);
        }
        assert_eq!(Arc::strong_count(file), 1);
    }
}
