//! The flusher's protocols in many orders of their steps (the crate `explore`): who marks an inode, who writes it, who
//! forgets it, who wakes the flusher and who ends it. A wake that got lost shows as time: the next
//! round is five seconds away.

#[path = "support/file.rs"]
mod file;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::time::{NSEC_PER_SEC, monotonic_ns};
use base::{DevId, Sector};
use block::{Disk, Driver, InFlight, Limits};
use file::{FILE_BLOCKS, File};
use pagecache::BlockDevice;
use sync::thread;
use writeback::{Bdi, DirtyFlags, DirtyInode, WritebackControl};

const TIMES: usize = 100;

/// A disk that has forgotten what it is given at once.
struct Forgets;

impl Driver for Forgets {
    fn limits(&self) -> Limits {
        Limits::default()
    }

    fn capacity(&self) -> Sector {
        Sector(2 * FILE_BLOCKS * 8)
    }

    fn queue_request(&self, request: InFlight) -> core::result::Result<(), InFlight> {
        request.complete(Ok(()));
        Ok(())
    }

    fn commit(&self) {}
}

fn device() -> Arc<BlockDevice> {
    BlockDevice::of(&Disk::new("test", DevId::new(1, 0), Arc::new(Forgets), "noop").unwrap())
}

fn beside(file: &Arc<File>, f: impl FnOnce(&File) + Send + 'static) -> thread::Thread {
    let file = file.clone();
    thread::spawn("beside", move || f(&file)).unwrap()
}

fn write(file: &File, page: u64) {
    assert_eq!(file.write(page * 4096, &[1; 100]), Ok(100));
}

/// What is dirty is listed, and what is not, is not: a sync finds everything, and nothing is kept.
fn settle(bdi: &Bdi, file: &Arc<File>) {
    let dirty = file.mapping().has_dirty() || !file.dirty_state().flags().is_empty();
    assert!(!(dirty && bdi.is_clean()), "dirty, but in no list");
    assert_eq!(bdi.sync(true), Ok(()));
    assert!(!file.mapping().has_dirty() && file.dirty_state().flags().is_empty());
    assert!(bdi.is_clean());
    assert_eq!(Arc::strong_count(file), 1);
}

#[test]
fn no_wake_is_lost_and_the_flusher_ends() {
    explore::check(TIMES, || {
        let begin = monotonic_ns();
        let bdi = Bdi::start(&device()).unwrap();
        let files = [File::new(&bdi, 0), File::new(&bdi, 1)];
        let wakers = files.each_ref().map(|file| {
            let bdi = bdi.clone();
            beside(file, move |file| {
                write(file, 0);
                bdi.start_inodes();
                // Only the flusher writes here.
                while file.mapping().has_dirty() {
                    thread::yield_now();
                }
            })
        });
        wakers.iter().for_each(thread::Thread::join);
        assert_eq!(bdi.stop(), Ok(()));
        assert!(bdi.is_clean());
        assert!(monotonic_ns() - begin < NSEC_PER_SEC, "a wake was lost");
    });
}

#[test]
fn the_end_comes_whatever_else_the_flusher_is_woken_for() {
    explore::check(TIMES, || {
        let begin = monotonic_ns();
        let bdi = Bdi::start(&device()).unwrap();
        let file = File::new(&bdi, 0);
        let same = bdi.clone();
        let waker = beside(&file, move |file| {
            write(file, 0);
            same.start_inodes();
            writeback::params::set_dirty_writeback_centisecs(500);
        });
        waker.join();
        assert_eq!(bdi.stop(), Ok(()));
        // Woken when nobody is there to hear it.
        bdi.start_inodes();
        settle(&bdi, &file);
        assert!(monotonic_ns() - begin < NSEC_PER_SEC);
    });
}

#[test]
fn a_dirty_inode_is_listed_whoever_writes_it_meanwhile() {
    explore::check(TIMES, || {
        let bdi = Bdi::start(&device()).unwrap();
        let file = File::new(&bdi, 0);
        let writer = beside(&file, |file| (0..3).for_each(|page| write(file, page)));
        let toucher = beside(&file, |file| file.mark(DirtyFlags::INODE));
        let syncer = beside(&file, |file| assert_eq!(file.fsync(false), Ok(())));
        bdi.start_inodes();
        assert_eq!(bdi.sync(false), Ok(()));
        [writer, toucher, syncer].iter().for_each(thread::Thread::join);
        assert_eq!(bdi.stop(), Ok(()));
        settle(&bdi, &file);
        assert!(file.inode_writes.load(Ordering::Relaxed) >= 1);
    });
}

#[test]
fn two_turns_and_an_fsync_of_one_inode() {
    explore::check(TIMES, || {
        let bdi = Bdi::new(&device());
        let file = File::new(&bdi, 0);
        write(&file, 0);
        let flushers = [(); 2].map(|()| {
            let bdi = bdi.clone();
            beside(&file, move |_| assert_eq!(bdi.sync(false), Ok(())))
        });
        let syncer = beside(&file, |file| {
            write(file, 1);
            assert_eq!(file.fsync(true), Ok(()));
            assert_eq!(file.read(4096, 1), Ok(vec![1]));
        });
        assert_eq!(file.writepages(&mut WritebackControl::background(1)), Ok(()));
        flushers.iter().chain([&syncer]).for_each(thread::Thread::join);
        settle(&bdi, &file);
    });
}

#[test]
fn nobody_writes_an_inode_that_is_forgotten() {
    explore::check(TIMES, || {
        let bdi = Bdi::start(&device()).unwrap();
        let file = File::new(&bdi, 0);
        write(&file, 0);
        bdi.start_inodes();
        let same = bdi.clone();
        let syncer = beside(&file, move |_| assert_eq!(same.sync(true), Ok(())));
        file.mapping().truncate_pagecache(0);
        bdi.forget(file.dirty_state());
        let written = file.inode_writes.load(Ordering::Relaxed);
        syncer.join();
        assert_eq!(bdi.stop(), Ok(()));
        assert_eq!(file.inode_writes.load(Ordering::Relaxed), written);
        settle(&bdi, &file);
    });
}
