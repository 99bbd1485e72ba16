//! What a driver of a disk implements, and what it says of its device.
//!
//! # The contract
//! * [`Driver::queue_request`] takes an [`InFlight`] and answers `Ok`: a completion will come, later
//!   and from elsewhere; or `Err` with the same request in it: no completion will come, offer it
//!   again after the next one. It never completes from inside `queue_request`.
//! * A driver may only be busy while it holds another request; otherwise nobody would ask again.
//! * [`Driver::commit`] ends a batch: the place for the one notify. A driver without a device (the
//!   RAM disk) may do the work and complete there; no lock of the queue is held around it.
//! * A driver completes each request once, by [`InFlight::complete`] or [`crate::complete_all`],
//!   holding none of its own locks that `queue_request` or `commit` take. A request that is dropped
//!   instead ends with EIO.
//!
//! # Locking
//! All methods may be called in an interrupt (a completion makes room, and the next request goes
//! out at once), so a driver uses `SpinLock`s only.

use alloc::string::String;

use base::units::SECTOR_SIZE;
use base::{Errno, Result, Sector};

use crate::in_flight::InFlight;

/// What a device can take in one request, and what it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Most pieces of memory in a request.
    pub max_segments: u32,
    /// Most bytes in a piece.
    pub max_segment_size: u32,
    /// Most sectors in a request that moves data.
    pub max_sectors: u32,
    /// A piece does not cross an address whose low bits are all these: `0xfff` keeps every piece within
    /// a page. All ones: there is no such boundary. One less than a power of two, at least 511.
    pub seg_boundary_mask: u64,
    /// Most sectors in a discard; 0: the device cannot discard.
    pub max_discard_sectors: u32,
    /// Runs of sectors that one discard may name; 1: no more than one.
    pub max_discard_segments: u32,
    /// Bytes that the device gives up together: a discard is cut at multiples of it. 0: it tells none.
    pub discard_granularity: u32,
    /// Bytes from the disk's begin to the first such multiple.
    pub discard_alignment: u32,
    /// Most sectors in a write-zeroes; 0: the device cannot.
    pub max_write_zeroes_sectors: u32,
    /// Bytes below which a transfer is slow; 0: not told.
    pub io_min: u32,
    /// Bytes that the device would like a transfer to have; 0: not told.
    pub io_opt: u32,
    /// The unit of addressing in bytes; transfers are multiples of it.
    pub logical_block_size: u32,
    /// The unit the device works in without reading first.
    pub physical_block_size: u32,
    /// Requests the device works on at once.
    pub queue_depth: u32,
    /// Completed writes may sit in a volatile cache until a flush.
    pub write_cache: bool,
    /// The device writes through its cache when a write asks for it.
    pub fua: bool,
    /// Seeking costs time, as far as is known; elevators wait for neighbours only then.
    pub rotational: bool,
}

/// 1280 KiB: Linux's BLK_DEF_MAX_SECTORS, a compromise between throughput and latency.
pub const DEFAULT_MAX_SECTORS: u32 = 2560;

impl Default for Limits {
    fn default() -> Limits {
        Limits::DEFAULT
    }
}

impl Limits {
    /// Of a device about which nothing is known: one that any driver can serve.
    pub const DEFAULT: Limits = Limits {
        max_segments: 128,
        max_segment_size: 65536,
        max_sectors: DEFAULT_MAX_SECTORS,
        seg_boundary_mask: u64::MAX,
        max_discard_sectors: 0,
        max_discard_segments: 1,
        discard_granularity: 0,
        discard_alignment: 0,
        max_write_zeroes_sectors: 0,
        io_min: 0,
        io_opt: 0,
        logical_block_size: SECTOR_SIZE as u32,
        physical_block_size: SECTOR_SIZE as u32,
        queue_depth: 64,
        write_cache: false,
        fua: false,
        rotational: true,
    };

    /// Refuses limits under which not even one logical block could travel, or whose block size is
    /// no power of two from 512 to 64 KiB. EINVAL.
    pub(crate) fn check(&self) -> Result<()> {
        let block = self.logical_block_size;
        let sane = block.is_power_of_two()
            && (512..=65536).contains(&block)
            && self.physical_block_size.is_power_of_two()
            && self.physical_block_size >= block
            && self.max_segments >= 1
            && self.max_segment_size >= 512
            && self.seg_boundary_mask >= 511
            && (self.seg_boundary_mask == u64::MAX || (self.seg_boundary_mask + 1).is_power_of_two())
            && self.queue_depth >= 1
            && self.max_discard_segments >= 1
            && u64::from(self.max_sectors) * SECTOR_SIZE as u64 >= u64::from(block)
            && u64::from(self.max_segments) * u64::from(self.max_segment_size) >= u64::from(block);
        if sane { Ok(()) } else { Err(Errno::EINVAL) }
    }
}

/// What a driver says of a device that has not answered for too long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimedOut {
    /// The device was done, only its interrupt got lost: the driver has just completed this many
    /// requests.
    Found(usize),
    /// The device was beyond help: it was reset, and its requests have ended with EIO.
    Reset,
    /// The device still has the request, and may still write to its memory: it stays in flight, and
    /// its time begins anew (Linux: BLK_EH_RESET_TIMER).
    Waiting,
}

/// What disks looked like once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Geometry {
    /// Tracks of a surface.
    pub cylinders: u16,
    /// Surfaces.
    pub heads: u8,
    /// Sectors of a track.
    pub sectors: u8,
}

/// A device that works on requests. See the module's manual for the contract.
pub trait Driver: Send + Sync {
    /// What the device takes; asked once, when the disk is made.
    fn limits(&self) -> Limits;
    /// Its size now; asked for each bio, so it only looks at a number.
    fn capacity(&self) -> Sector;
    /// Whether it refuses writes.
    fn read_only(&self) -> bool {
        false
    }
    /// Cylinders, heads and sectors, for who asks for them (HDIO_GETGEO); None: it never had any.
    fn geometry(&self) -> Option<Geometry> {
        None
    }
    /// Its serial number, or nothing as long as it is not known.
    fn serial(&self) -> String {
        String::new()
    }
    /// Turns the device's volatile write cache on or off. What was completed before may still be in
    /// the cache: who turns it off sends a flush afterwards. EOPNOTSUPP: there is no such switch; EIO:
    /// the device did not obey.
    fn set_write_cache(&self, _on: bool) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }
    /// Requests have been in flight for longer than the queue's `io_timeout`: looks for completions that
    /// nobody was told of, before the log names what is still in flight then. Called by kblockd, without locks, and again
    /// after each further `io_timeout`. A request that ends here is completed as in an interrupt.
    fn timed_out(&self) -> TimedOut {
        TimedOut::Waiting
    }
    /// Begins a request, or gives it back because there is no room now.
    fn queue_request(&self, request: InFlight) -> core::result::Result<(), InFlight>;
    /// Ends a batch of `queue_request`s.
    fn commit(&self);
}
