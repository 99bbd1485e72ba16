//! Zeros over a range of a disk, for devices that cannot make them themselves.
//!
//! Source: the kernel's `blkdev_issue_zeroout`, whose long way this is.

use base::{PAGE_SIZE, Result, Sector, frame};

use crate::bio::{Bio, BioOp};
use crate::disk::Disk;
use crate::wait::Completion;

/// Bytes of one bio.
const ZEROS: u64 = 1 << 20;

impl Disk {
    /// Writes zeros over `sectors` sectors from `start` on, and waits: one page, sent again and again. No FLUSH.
    /// EIO, ENOMEM.
    pub fn write_zeros(&self, start: Sector, sectors: u64) -> Result<()> {
        let zeros = frame::alloc_zeroed()?;
        let done = Completion::new();
        let _plug = self.plug();
        let (mut at, end) = (start.0, start.0 + sectors);
        while at < end {
            let mut bio = Bio::new(BioOp::Write, Sector(at));
            let mut left = ((end - at) << 9).min(ZEROS);
            at += left >> 9;
            while left > 0 {
                // At most a page: fits.
                let part = left.min(PAGE_SIZE as u64) as u32;
                bio.add(&zeros, 0, part);
                left -= u64::from(part);
            }
            self.submit_bio(done.track(bio));
        }
        done.wait()
    }
}
