//! Page lock, DIRTY, WRITEBACK, errors, reclaim.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::Errno;
use pagecache::{ErrSeq, ErrSeqCursor};
use sync::thread;

use crate::support::*;

/// Enough to find each of the mistakes that were tried; see `EXPLORE_TIMES`.
const TIMES: usize = 100;

#[test]
fn what_fsync_has_answered_is_on_the_disk() {
    explore::check(TIMES, || {
        let file = File::new();
        let flusher = again(&file, |file| file.flush());
        let neighbour = beside(&file, |file| (1..4).for_each(|byte| file.write(1, byte)));
        for byte in 1..4 {
            file.write(0, byte);
            assert_eq!(file.fsync(), Ok(()));
            assert_eq!(file.on_disk(0), byte);
        }
        file.over(&[flusher]);
        neighbour.join();
        assert_eq!(file.fsync(), Ok(()));
        assert_eq!(file.on_disk(1), 3);
        assert!(!file.mapping.has_dirty() && !file.mapping.has_writeback());
        file.end();
    });
}

#[test]
fn two_syncs_of_one_page_both_wait() {
    explore::check(TIMES, || {
        let file = File::new();
        file.write(0, 1);
        let other = beside(&file, |file| {
            assert_eq!(file.fsync(), Ok(()));
            assert_eq!(file.on_disk(0), 1);
        });
        assert_eq!(file.fsync(), Ok(()));
        assert_eq!(file.on_disk(0), 1);
        other.join();
        file.end();
    });
}

#[test]
fn a_page_that_failed_is_dirty_again_and_everybody_hears_of_it_once() {
    explore::check(TIMES, || {
        let file = File::new();
        let cursors = [0; 2].map(|_| ErrSeqCursor::of(file.mapping.wb_err()));
        file.driver.bad_writes.store(1, Ordering::Relaxed);
        file.write(0, 1);
        let flusher = beside(&file, |file| file.flush());
        let heard = cursors.map(|cursor| {
            beside(&file, move |file| {
                let told = |cursor: &ErrSeqCursor| {
                    let _ = file.fsync();
                    usize::from(file.mapping.wb_err().check_and_advance(cursor).is_err())
                };
                assert_eq!((0..3).map(|_| told(&cursor)).sum::<usize>(), 1);
            })
        });
        heard.iter().for_each(|t| t.join());
        flusher.join();
        assert_eq!(file.fsync(), Ok(()));
        assert_eq!(file.on_disk(0), 1, "it was tried again");
        file.end();
    });
}

#[test]
fn threads_of_one_open_file_hear_of_an_error_once_together() {
    explore::check(TIMES, || {
        let seq = Arc::new(ErrSeq::new());
        let cursor = Arc::new(ErrSeqCursor::of(&seq));
        let other = Arc::new(ErrSeqCursor::of(&seq));
        let heard = Arc::new(sync::Mutex::new((0, 0)));
        let listeners: Vec<_> = (0..2)
            .map(|_| {
                let (seq, cursor, other, heard) = (seq.clone(), cursor.clone(), other.clone(), heard.clone());
                let listen = move || {
                    let mine = seq.check_and_advance(&cursor).is_err();
                    let others = seq.check_and_advance(&other).is_err();
                    let mut heard = heard.lock();
                    *heard = (heard.0 + u32::from(mine), heard.1 + u32::from(others));
                };
                thread::spawn("listener", listen).unwrap()
            })
            .collect();
        seq.set(Errno::EIO);
        listeners.iter().for_each(|t| t.join());
        let late = u32::from(seq.check_and_advance(&cursor).is_err());
        let others_late = u32::from(seq.check_and_advance(&other).is_err());
        let (mine, others) = *heard.lock();
        assert_eq!((mine + late, others + others_late), (1, 1));
    });
}

#[test]
fn reclaim_takes_nothing_that_anybody_needs() {
    explore::check(TIMES, || {
        let file = File::new();
        let reclaim = again(&file, |_| shrink());
        let reader = beside(&file, |file| {
            let mut seen = 0;
            for _ in 0..3 {
                let (first, _) = file.read(0);
                assert!(first >= seen, "an older byte came back");
                seen = first;
            }
        });
        for byte in 1..3 {
            file.write(0, byte);
            file.flush();
        }
        assert_eq!(file.read(0), (2, 2));
        file.over(&[reclaim]);
        reader.join();
        assert_eq!(file.fsync(), Ok(()));
        assert_eq!(file.on_disk(0), 2);
        file.end();
    });
}

#[test]
fn a_direct_write_and_a_cached_read_agree_in_the_end() {
    explore::check(TIMES, || {
        let file = File::new();
        file.write(0, 1);
        let reader = beside(&file, |file| (0..2).for_each(|_| read_any(file)));
        let flusher = beside(&file, |file| file.flush());
        assert!(file.write_direct(0, 2));
        assert_eq!(file.read(0), (2, 2), "the writer reads what it wrote");
        reader.join();
        flusher.join();
        assert_eq!(file.read(0), (2, 2));
        assert_eq!(file.on_disk(0), 2);
        file.end();
    });
}

#[test]
fn a_truncate_waits_for_what_is_on_its_way() {
    explore::check(TIMES, || {
        let file = File::new();
        file.write(1, 1);
        let flusher = beside(&file, |file| file.flush());
        let reader = beside(&file, read_any);
        {
            let _inode = file.inode.lock();
            file.size.store(4096, Ordering::Release);
            file.mapping.truncate_pagecache(4096);
        }
        // The block is another's from here on.
        let after = file.on_disk(1);
        flusher.join();
        assert_eq!(file.fsync(), Ok(()));
        assert_eq!(file.on_disk(1), after);
        reader.join();
        assert!(!file.mapping.has_dirty() && !file.mapping.has_writeback());
        file.end();
    });
}
