//! A disk for the flusher, in memory, and files on it.
mod file;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use base::{DevId, Errno, Result, Sector};
use block::{BioOp, Disk, Driver, InFlight, Limits};
use pagecache::BlockDevice;

pub use file::{FILE_BLOCKS, File};

/// Memory as a disk that fails on demand and completes on another thread.
pub struct TestDisk {
    pub bytes: Mutex<Vec<u8>>,
    waiting: Mutex<Vec<InFlight>>,
    pub failing: AtomicBool,
}

impl Driver for TestDisk {
    fn limits(&self) -> Limits {
        Limits::default()
    }

    fn capacity(&self) -> Sector {
        Sector(self.bytes.lock().unwrap().len() as u64 / 512)
    }

    fn queue_request(&self, request: InFlight) -> core::result::Result<(), InFlight> {
        self.waiting.lock().unwrap().push(request);
        Ok(())
    }

    fn commit(&self) {
        let batch = std::mem::take(&mut *self.waiting.lock().unwrap());
        let done: Vec<_> = batch.into_iter().map(|r| (self.work(&r), r)).collect();
        if !done.is_empty() {
            std::thread::spawn(move || done.into_iter().for_each(|(result, r)| r.complete(result)));
        }
    }
}

impl TestDisk {
    fn work(&self, request: &block::Request) -> Result<()> {
        if self.failing.load(Ordering::Relaxed) {
            return Err(Errno::EIO);
        }
        let mut bytes = self.bytes.lock().unwrap();
        let mut at = request.sector().0 as usize * 512;
        for vec in request.vecs() {
            let range = at..at + vec.len as usize;
            match request.op() {
                BioOp::Read => vec.frame.write(vec.offset as usize, &bytes[range]),
                _ => vec.frame.read(vec.offset as usize, &mut bytes[range]),
            }
            at += vec.len as usize;
        }
        Ok(())
    }
}

pub fn disk(files: u64) -> (Arc<TestDisk>, Arc<BlockDevice>) {
    let driver = Arc::new(TestDisk {
        bytes: Mutex::new(vec![0; (files * FILE_BLOCKS * 4096) as usize]),
        waiting: Mutex::default(),
        failing: AtomicBool::new(false),
    });
    let disk = Disk::new("test", DevId::new(1, 0), driver.clone(), "noop").unwrap();
    (driver, BlockDevice::of(&disk))
}

impl File {
    /// Byte `pos` of the file as the disk has it.
    pub fn on_disk(&self, driver: &TestDisk, pos: u64) -> u8 {
        driver.bytes.lock().unwrap()[(self.number * FILE_BLOCKS * 4096 + pos) as usize]
    }
}
