//! A disk made of memory: the smallest driver there is. Each request is one memcpy per page piece.
//!
//! ```
//! use base::{DevId, Sector, frame};
//! use block::{Bio, BioOp, Disk, RamDisk};
//! let ram = RamDisk::new(vec![7; 4096]);
//! let disk = Disk::new("ram0", DevId::new(1, 0), ram.clone(), "noop").unwrap();
//! let page = frame::alloc_zeroed().unwrap();
//! let mut bio = Bio::new(BioOp::Write, Sector(2));
//! bio.add(&page, 0, 512);
//! disk.submit_and_wait(bio).unwrap();
//! assert_eq!(ram.bytes()[1023..1026], [7, 0, 0]);
//! ```
//!
//! Requests are gathered by `queue_request` and worked on in `commit`, on the submitter's own time,
//! with no lock of the queue held.
//!
//! # Locking
//! `waiting`, then nothing; `bytes`, then nothing. Both are `SpinLock`s. Neither is held while a
//! request completes.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use base::units::SECTOR_SIZE;
use base::{Errno, Result, Sector};
use sync::SpinLock;

use crate::bio::BioOp;
use crate::driver::{Driver, Limits};
use crate::request::{InFlight, Request};

/// Memory that serves as a disk.
pub struct RamDisk {
    bytes: SpinLock<Vec<u8>>,
    sectors: u64,
    limits: Limits,
    waiting: SpinLock<VecDeque<InFlight>>,
}

impl RamDisk {
    /// A disk with this content; a last part of a sector is out of reach.
    pub fn new(bytes: Vec<u8>) -> Arc<RamDisk> {
        let no_limit = u32::MAX;
        let limits = Limits {
            max_discard_sectors: no_limit,
            max_write_zeroes_sectors: no_limit,
            max_segment_size: no_limit,
            ..Limits::default()
        };
        RamDisk::with_limits(bytes, limits)
    }

    /// The same, pretending to be a device with these limits.
    pub fn with_limits(bytes: Vec<u8>, limits: Limits) -> Arc<RamDisk> {
        let sectors = (bytes.len() / SECTOR_SIZE) as u64;
        Arc::new(RamDisk {
            bytes: SpinLock::new(bytes),
            sectors,
            limits,
            waiting: SpinLock::new(VecDeque::new()),
        })
    }

    /// A copy of its content.
    pub fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().clone()
    }

    /// Its content itself; the disk has none afterwards, and every request fails with EIO.
    pub fn take_bytes(&self) -> Vec<u8> {
        core::mem::take(&mut *self.bytes.lock())
    }

    fn work(&self, request: &Request) -> Result<()> {
        let mut bytes = self.bytes.lock();
        let range = byte_range(request).and_then(|range| bytes.get_mut(range));
        let Some(mut disk) = range else { return Err(Errno::EIO) };
        match request.op() {
            BioOp::Flush => return Ok(()),
            BioOp::Discard | BioOp::WriteZeroes => disk.fill(0),
            BioOp::Read | BioOp::Write => {}
        }
        for vec in request.vecs() {
            let (offset, len) = (vec.offset as usize, vec.len as usize);
            let (piece, rest) = disk.split_at_mut_checked(len).ok_or(Errno::EIO)?;
            match request.op() {
                BioOp::Read => vec.frame.write(offset, piece),
                _ => vec.frame.read(offset, piece),
            }
            disk = rest;
        }
        Ok(())
    }
}

/// The bytes a request covers.
fn byte_range(request: &Request) -> Option<core::ops::Range<usize>> {
    let begin = usize::try_from(request.sector().byte()?).ok()?;
    let end = usize::try_from(request.end().byte()?).ok()?;
    Some(begin..end)
}

impl Driver for RamDisk {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn capacity(&self) -> Sector {
        Sector(self.sectors)
    }

    fn queue_request(&self, request: InFlight) -> core::result::Result<(), InFlight> {
        self.waiting.lock().push_back(request);
        Ok(())
    }

    fn commit(&self) {
        loop {
            // Not in the loop's head, where the lock would be held throughout the body.
            let next = self.waiting.lock().pop_front();
            let Some(request) = next else { return };
            let result = self.work(&request);
            request.complete(result);
        }
    }
}
