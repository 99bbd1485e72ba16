//! Readers, writers, a flusher and a truncater on one file at the same time.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::vec::Vec;

use super::support::*;
use crate::*;

/// Each writer owns every fourth kilobyte and fills it with its letter and a round number.
fn write_rounds(fs: &TestFs, who: u8) {
    for round in 0..30u8 {
        for slot in 0..64u64 {
            fs.write((slot * 4 + u64::from(who)) * 1024, &[who * 64 + round; 1024]).unwrap();
        }
    }
}

#[test]
fn everybody_at_once() {
    for bits in [10, 12] {
        let fs = Arc::new(TestFs::new(bits, true));
        fs.truncate(256 * 1024).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let helpers: Vec<_> = (0..3)
            .map(|kind| {
                let (fs, stop) = (fs.clone(), stop.clone());
                thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        match kind {
                            0 => check_letters(&fs.read(0, 256 * 1024).unwrap()),
                            1 => {
                                filemap_flush(&fs.mapping, &*fs).unwrap();
                                fs.mapping.drop_unused();
                            }
                            _ => fs.fsync().unwrap(),
                        }
                    }
                })
            })
            .collect();
        let writers: Vec<_> = (0..4u8)
            .map(|who| {
                let fs = fs.clone();
                thread::spawn(move || write_rounds(&fs, who))
            })
            .collect();
        writers.into_iter().for_each(|t| t.join().unwrap());
        stop.store(true, Ordering::Relaxed);
        helpers.into_iter().for_each(|t| t.join().unwrap());
        fs.fsync().unwrap();
        let disk = fs.on_disk();
        for (i, kilobyte) in disk.chunks(1024).enumerate() {
            let last = (i % 4) as u8 * 64 + 29;
            assert!(kilobyte.iter().all(|&b| b == last), "kilobyte {i}");
        }
    }
}

/// Whatever was read is zero or its writer's letter.
fn check_letters(bytes: &[u8]) {
    for (i, kilobyte) in bytes.chunks(1024).enumerate() {
        let writer = (i % 4) as u8;
        assert!(kilobyte.iter().all(|&b| b == 0 || b / 64 == writer), "kilobyte {i}");
    }
}

#[test]
fn truncating_under_readers_and_flushers() {
    let fs = Arc::new(TestFs::new(10, true));
    let stop = Arc::new(AtomicBool::new(false));
    let helpers: Vec<_> = (0..2)
        .map(|kind| {
            let (fs, stop) = (fs.clone(), stop.clone());
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    if kind == 0 {
                        let bytes = fs.read(0, 1 << 20).unwrap();
                        assert!(bytes.iter().all(|&b| b != GARBAGE));
                    } else {
                        filemap_flush(&fs.mapping, &*fs).unwrap();
                        fs.mapping.drop_unused();
                    }
                }
            })
        })
        .collect();
    for round in 0..150u64 {
        fs.write(round * 37 % 5000, &[1 + (round % 200) as u8; 60_000]).unwrap();
        fs.truncate(round * 7919 % 60_000).unwrap();
        fs.truncate(70_000).unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    helpers.into_iter().for_each(|t| t.join().unwrap());
    fs.fsync().unwrap();
    let cached = fs.read(0, 1 << 20).unwrap();
    assert!(fs.on_disk()[..70_000] == cached[..]);
    assert!(cached.iter().all(|&b| b != GARBAGE));
}
