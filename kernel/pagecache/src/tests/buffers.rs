//! Metadata: one I/O for one block, guards and writeback, blocks that are freed.
use std::sync::atomic::Ordering;
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::vec::Vec;

use base::{Errno, FsBlock, IovIter};

use super::support::*;
use crate::*;

fn device(bits: u32, late: bool) -> (Arc<TestDisk>, Arc<BlockDevice>) {
    let (driver, disk) = TestDisk::new(1 << 20, late);
    let device = BlockDevice::of(&disk);
    device.set_block_size(bits).unwrap();
    (driver, device)
}

#[test]
fn what_a_guard_changes_is_on_the_disk_after_sync() {
    for bits in 10..13 {
        let (driver, device) = device(bits, true);
        assert!(device.bread(FsBlock(3)).unwrap().read().iter().all(|&b| b == GARBAGE));
        device.bread(FsBlock(3)).unwrap().write()[5] = 1;
        device.getblk(FsBlock(6)).unwrap().write()[0] = 2;
        device.sync().unwrap();
        let bytes = driver.bytes.lock().unwrap();
        assert_eq!(bytes[(3 << bits) + 5], 1);
        assert_eq!(bytes[(3 << bits) + 4], GARBAGE);
        assert_eq!(bytes[6 << bits..][..3], [2, 0, 0]);
        assert_eq!(bytes[7 << bits], GARBAGE);
        assert_eq!(bytes[(6 << bits) - 1], GARBAGE);
    }
}

#[test]
fn the_device_is_one_per_disk() {
    let (_, disk) = TestDisk::new(65536, false);
    let a = BlockDevice::of(&disk);
    assert!(Arc::ptr_eq(&a, &BlockDevice::of(&disk)));
    assert_eq!(a.set_block_size(8), Err(Errno::EINVAL));
    assert_eq!(a.bread(FsBlock(16)).err(), Some(Errno::EIO));
    assert!(a.bread(FsBlock(15)).is_ok());
    assert_eq!(a.getblk(FsBlock(u64::MAX)).err(), Some(Errno::EIO));
}

#[test]
fn many_threads_that_want_one_block_make_one_io() {
    let (driver, device) = device(12, true);
    let start = Arc::new(Barrier::new(8));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let (device, start) = (device.clone(), start.clone());
            thread::spawn(move || {
                start.wait();
                assert_eq!(device.bread(FsBlock(9)).unwrap().read()[0], GARBAGE);
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    assert_eq!(driver.reads.load(Ordering::Relaxed), 1);
}

#[test]
fn a_bad_block_is_eio_and_its_neighbour_is_not() {
    let (driver, device) = device(10, false);
    driver.bad_reads.lock().unwrap().insert(4);
    assert_eq!(device.bread(FsBlock(2)).err(), Some(Errno::EIO));
    assert!(device.bread(FsBlock(3)).is_ok());
    driver.bad_reads.lock().unwrap().clear();
    assert!(device.bread(FsBlock(2)).is_ok());
}

#[test]
fn readahead_spares_the_reads() {
    let (driver, device) = device(10, false);
    device.readahead(FsBlock(8), 64);
    let before = driver.reads.load(Ordering::Relaxed);
    assert!(before <= 2);
    for block in 8..72 {
        device.bread(FsBlock(block)).unwrap();
    }
    assert_eq!(driver.reads.load(Ordering::Relaxed), before);
}

#[test]
fn a_forgotten_block_is_not_written() {
    let (driver, device) = device(10, false);
    device.bread(FsBlock(2)).unwrap().write().fill(1);
    device.bread(FsBlock(3)).unwrap().write().fill(1);
    device.forget(FsBlock(2));
    device.sync().unwrap();
    assert!(!device.mapping().has_dirty());
    let bytes = driver.bytes.lock().unwrap();
    assert_eq!(bytes[2048], GARBAGE);
    assert_eq!(bytes[3072], 1);
}

#[test]
fn a_failed_metadata_write_stays_dirty() {
    let (driver, device) = device(12, true);
    device.bread(FsBlock(1)).unwrap().write().fill(9);
    driver.bad_writes.lock().unwrap().insert(8);
    assert_eq!(device.sync(), Err(Errno::EIO));
    assert_eq!(device.bread(FsBlock(1)).unwrap().sync(), Err(Errno::EIO));
    driver.bad_writes.lock().unwrap().clear();
    assert_eq!(device.bread(FsBlock(1)).unwrap().sync(), Ok(()));
    assert_eq!(driver.bytes.lock().unwrap()[4096], 9);
}

#[test]
fn a_sweep_leaves_a_guarded_block_out_and_sync_waits_for_it() {
    let (driver, device) = device(10, true);
    let held = device.bread(FsBlock(1)).unwrap();
    let neighbour = device.bread(FsBlock(2)).unwrap();
    held.write().fill(1);
    neighbour.write().fill(2);
    let mut guard = held.write();
    guard.fill(3);
    filemap_flush(device.mapping(), device.ops()).unwrap();
    device.mapping().wait_writeback(0..u64::MAX);
    assert_eq!(driver.bytes.lock().unwrap()[2048], 2);
    assert_eq!(driver.bytes.lock().unwrap()[1024], GARBAGE);
    let (done, synced) = mpsc::channel();
    let other = device.clone();
    let sync = thread::spawn(move || done.send(other.sync()).unwrap());
    // While the guard is held, its holder may lock the page for another block of it.
    assert!(device.bread(FsBlock(3)).is_ok());
    device.forget(FsBlock(0));
    assert!(synced.try_recv().is_err());
    drop(guard);
    assert_eq!(synced.recv().unwrap(), Ok(()));
    sync.join().unwrap();
    assert_eq!(driver.bytes.lock().unwrap()[1024], 3);
}

#[test]
fn a_block_never_reaches_the_disk_half_changed() {
    let (driver, device) = device(10, true);
    for block in 0..8 {
        device.getblk(FsBlock(block)).unwrap();
    }
    let writers: Vec<_> = (0..2u64)
        .map(|t| {
            let device = device.clone();
            thread::spawn(move || {
                for i in 0..400u64 {
                    let buffer = device.bread(FsBlock((i * 3 + t) % 8)).unwrap();
                    let mut guard = buffer.write();
                    let next = guard[0].wrapping_add(1);
                    guard.iter_mut().for_each(|b| *b = next);
                }
            })
        })
        .collect();
    for _ in 0..60 {
        device.sync().unwrap();
        let bytes = driver.bytes.lock().unwrap();
        for block in bytes[..8192].chunks(1024) {
            assert!(block.iter().all(|b| *b == block[0]));
        }
    }
    writers.into_iter().for_each(|t| t.join().unwrap());
    device.sync().unwrap();
    for block in 0..8u64 {
        let cached = device.bread(FsBlock(block)).unwrap().read()[0];
        assert_eq!(driver.bytes.lock().unwrap()[block as usize * 1024], cached);
    }
}

#[test]
fn the_device_is_a_file_too() {
    let (driver, device) = device(10, false);
    let bytes = pattern(5000, 4);
    let n = generic_perform_write(device.mapping(), device.ops(), 700, &mut IovIter::from_kernel(&bytes));
    assert_eq!(n, Ok(5000));
    let mut back = std::vec![0; 5002];
    let mut iter = IovIter::to_kernel(&mut back);
    let n = generic_file_read(device.mapping(), device.ops(), &FileRa::new(), 699, &mut iter);
    assert_eq!(n, Ok(5002));
    assert_eq!((back[0], back[5001], &back[1..5001]), (GARBAGE, GARBAGE, &bytes[..]));
    assert_eq!(device.bread(FsBlock(1)).unwrap().read()[..], bytes[324..1348]);
    device.sync().unwrap();
    assert_eq!(driver.bytes.lock().unwrap()[700..5700], bytes);
}

#[test]
fn changing_the_block_size_writes_and_forgets() {
    let (driver, device) = device(10, false);
    device.bread(FsBlock(5)).unwrap().write().fill(5);
    device.set_block_size(12).unwrap();
    assert_eq!(device.mapping().nrpages(), 0);
    assert_eq!(driver.bytes.lock().unwrap()[5 * 1024], 5);
    assert_eq!(device.bread(FsBlock(1)).unwrap().read()[1024], 5);
}
