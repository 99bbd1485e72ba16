//! What is negotiated with a virtio block device, and what its configuration space says.
//!
//! A value that makes no sense is not believed: the device then gets the default, and the log says so.
//!
//! Source: VirtIO 1.2, 5.2.3 Feature bits, 5.2.4 Device configuration layout, 6 Reserved feature bits.

use base::PAGE_SIZE;
use bitflags::bitflags;
use block::{DEFAULT_MAX_SECTORS, Geometry, Limits};
use virtio_drivers::transport::Transport;
use zerocopy::{FromBytes, IntoBytes};

use super::slots;

const SECTORS_PER_PAGE: u32 = (PAGE_SIZE / 512) as u32;

bitflags! {
    /// The features this driver knows what to do with.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Features: u64 {
        /// Pieces of data have a greatest size.
        const SIZE_MAX = 1 << 1;
        /// A request has a greatest number of pieces.
        const SEG_MAX = 1 << 2;
        /// Cylinders, heads and sectors are told.
        const GEOMETRY = 1 << 4;
        /// The disk is read-only.
        const RO = 1 << 5;
        /// The disk has a block size of its own.
        const BLK_SIZE = 1 << 6;
        /// There is a flush.
        const FLUSH = 1 << 9;
        /// The physical block is told.
        const TOPOLOGY = 1 << 10;
        /// Whether the write cache is on is told, and can be changed.
        const CONFIG_WCE = 1 << 11;
        /// There are several queues.
        const MQ = 1 << 12;
        /// There is a discard.
        const DISCARD = 1 << 13;
        /// There is a write-zeroes.
        const WRITE_ZEROES = 1 << 14;
        /// A request may be a table of descriptors.
        const INDIRECT_DESC = 1 << 28;
        /// Each side says when it wants to be told.
        const EVENT_IDX = 1 << 29;
        /// Not a legacy device.
        const VERSION_1 = 1 << 32;
    }
}

/// Offsets in the configuration space. `max_discard_seg` (40) and `max_write_zeroes_seg` (52) are not of
/// interest: a request has one range.
pub mod at {
    const CAPACITY: usize = 0;
    pub const CAPACITY_LOW: usize = CAPACITY;
    pub const CAPACITY_HIGH: usize = CAPACITY + 4;
    pub const SIZE_MAX: usize = 8;
    pub const SEG_MAX: usize = 12;
    pub const CYLINDERS: usize = 16;
    pub const HEADS: usize = 18;
    pub const SECTORS: usize = 19;
    pub const BLK_SIZE: usize = 20;
    pub const PHYSICAL_BLOCK_EXP: usize = 24;
    pub const MIN_IO_SIZE: usize = 26;
    pub const OPT_IO_SIZE: usize = 28;
    pub const WRITEBACK: usize = 32;
    pub const NUM_QUEUES: usize = 34;
    pub const MAX_DISCARD_SECTORS: usize = 36;
    pub const DISCARD_SECTOR_ALIGNMENT: usize = 44;
    pub const MAX_WRITE_ZEROES_SECTORS: usize = 48;
    pub const WRITE_ZEROES_MAY_UNMAP: usize = 56;
}

/// The configuration space, as far as it is of interest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Config {
    /// Sectors of 512 bytes.
    pub capacity: u64,
    /// Longest piece.
    pub size_max: Option<u32>,
    /// Most pieces.
    pub seg_max: Option<u32>,
    /// What HDIO_GETGEO tells.
    pub cylinders: Option<u16>,
    /// Of the same.
    pub heads: Option<u8>,
    /// Of the same.
    pub sectors: Option<u8>,
    /// Bytes of a logical block.
    pub blk_size: Option<u32>,
    /// log2 of logical blocks in a physical one.
    pub physical_block_exp: Option<u8>,
    /// Logical blocks of the shortest transfer that is not slow.
    pub min_io_size: Option<u16>,
    /// Logical blocks of the best transfer.
    pub opt_io_size: Option<u32>,
    /// Whether completed writes may be in a volatile cache.
    pub writeback: Option<u8>,
    /// Queues.
    pub num_queues: Option<u16>,
    /// Most sectors of a discard.
    pub max_discard_sectors: Option<u32>,
    /// Sectors that are discarded at once.
    pub discard_sector_alignment: Option<u32>,
    /// Most sectors of a write-zeroes.
    pub max_write_zeroes_sectors: Option<u32>,
    /// Whether a write-zeroes can give the room back.
    pub write_zeroes_may_unmap: Option<u8>,
}

impl Config {
    /// Reads what the negotiated features say is there.
    pub fn read(transport: &impl Transport, features: Features) -> virtio_drivers::Result<Config> {
        transport.read_consistent(|| {
            let space = Space { transport, features };
            let (low, high) = (space.word(at::CAPACITY_LOW)?, space.word(at::CAPACITY_HIGH)?);
            Ok(Config {
                capacity: u64::from(high) << 32 | u64::from(low),
                size_max: space.field(Features::SIZE_MAX, at::SIZE_MAX)?,
                seg_max: space.field(Features::SEG_MAX, at::SEG_MAX)?,
                cylinders: space.field(Features::GEOMETRY, at::CYLINDERS)?,
                heads: space.field(Features::GEOMETRY, at::HEADS)?,
                sectors: space.field(Features::GEOMETRY, at::SECTORS)?,
                blk_size: space.field(Features::BLK_SIZE, at::BLK_SIZE)?,
                physical_block_exp: space.field(Features::TOPOLOGY, at::PHYSICAL_BLOCK_EXP)?,
                min_io_size: space.field(Features::TOPOLOGY, at::MIN_IO_SIZE)?,
                opt_io_size: space.field(Features::TOPOLOGY, at::OPT_IO_SIZE)?,
                writeback: space.field(Features::CONFIG_WCE, at::WRITEBACK)?,
                num_queues: space.field(Features::MQ, at::NUM_QUEUES)?,
                max_discard_sectors: space.field(Features::DISCARD, at::MAX_DISCARD_SECTORS)?,
                discard_sector_alignment: space.field(Features::DISCARD, at::DISCARD_SECTOR_ALIGNMENT)?,
                max_write_zeroes_sectors: space
                    .field(Features::WRITE_ZEROES, at::MAX_WRITE_ZEROES_SECTORS)?,
                write_zeroes_may_unmap: space.field(Features::WRITE_ZEROES, at::WRITE_ZEROES_MAY_UNMAP)?,
            })
        })
    }

    /// What the device tells, or what Linux makes up: cylinders of 1 MiB.
    pub fn geometry(&self) -> Geometry {
        match (self.cylinders, self.heads, self.sectors) {
            (Some(cylinders), Some(heads), Some(sectors)) => Geometry { cylinders, heads, sectors },
            // As Linux, which keeps the low bits.
            _ => Geometry { cylinders: (self.capacity >> 11) as u16, heads: 64, sectors: 32 },
        }
    }

    /// How many queues to use where so many CPUs run threads: one each, as far as there are.
    pub fn queues(&self, cpus: usize) -> u16 {
        let there_are = self.num_queues.unwrap_or(1).max(1);
        there_are.min(u16::try_from(cpus).unwrap_or(u16::MAX)).max(1)
    }

    /// What the block layer may ask for, on a ring of `ring` descriptors.
    pub fn limits(&self, features: Features, ring: u16) -> Limits {
        let logical = self.logical_block();
        // No chain is longer than the ring, also in a table (2.7.5.3.1).
        let most = u32::from(ring).saturating_sub(slots::FRAME as u32).max(1);
        // A device that does not say takes one piece at a time (5.2.5).
        let told = if features.contains(Features::SEG_MAX) { self.seg_max.unwrap_or(1) } else { 1 };
        let max_segments = told.clamp(1, most);
        let blocks = |count: u32| count.checked_mul(logical).unwrap_or(0);
        Limits {
            max_segments,
            max_segment_size: self.size_max.filter(|size| *size >= 512).unwrap_or(u32::MAX),
            // What the pieces hold at a page each, and not less than Linux's default.
            max_sectors: DEFAULT_MAX_SECTORS.max(max_segments * SECTORS_PER_PAGE),
            max_discard_sectors: self.max_discard_sectors.unwrap_or(0),
            max_write_zeroes_sectors: self.max_write_zeroes_sectors.unwrap_or(0),
            discard_granularity: self.discard_granularity(logical),
            logical_block_size: logical,
            physical_block_size: logical << self.physical_block_exp.filter(|exp| *exp <= 10).unwrap_or(0),
            io_min: blocks(self.min_io_size.unwrap_or(0).into()),
            io_opt: blocks(self.opt_io_size.unwrap_or(0)),
            queue_depth: u32::from(ring),
            // A device with a flush has a cache, unless it says otherwise (5.2.6.2).
            write_cache: features.contains(Features::FLUSH) && self.writeback != Some(0),
            ..Limits::DEFAULT
        }
    }

    fn discard_granularity(&self, logical: u32) -> u32 {
        let told = self.discard_sector_alignment.and_then(|sectors| sectors.checked_mul(512));
        match (self.max_discard_sectors, told) {
            (None | Some(0), _) => 0,
            (_, Some(bytes)) if bytes.is_multiple_of(logical) && bytes > 0 => bytes,
            _ => logical,
        }
    }

    fn logical_block(&self) -> u32 {
        match self.blk_size {
            Some(size) if size.is_power_of_two() && (512..=65536).contains(&size) => size,
            None => 512,
            Some(size) => {
                log::warn!("virtio-blk: a block size of {size} bytes is not believed; 512");
                512
            }
        }
    }
}

/// The configuration space of a device with these features.
struct Space<'a, T> {
    transport: &'a T,
    features: Features,
}

impl<T: Transport> Space<'_, T> {
    fn word(&self, offset: usize) -> virtio_drivers::Result<u32> {
        self.transport.read_config_space(offset)
    }

    /// A field that is there with a feature.
    fn field<V: FromBytes + IntoBytes>(
        &self,
        feature: Features,
        offset: usize,
    ) -> virtio_drivers::Result<Option<V>> {
        let there = self.features.contains(feature);
        there.then(|| self.transport.read_config_space::<V>(offset)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_tells_little_gets_careful_limits() {
        let limits = Config { capacity: 100, ..Config::default() }.limits(Features::VERSION_1, 128);
        assert_eq!((limits.max_segments, limits.logical_block_size, limits.write_cache), (1, 512, false));
        assert_eq!((limits.max_discard_sectors, limits.queue_depth), (0, 128));
    }

    #[test]
    fn what_qemu_tells_is_used() {
        let config = Config {
            capacity: 1 << 20,
            seg_max: Some(254),
            blk_size: Some(4096),
            physical_block_exp: Some(1),
            writeback: Some(1),
            max_discard_sectors: Some(4_194_303),
            ..Config::default()
        };
        let limits = config.limits(Features::all(), 256);
        assert_eq!((limits.max_segments, limits.max_sectors), (254, 2560));
        assert_eq!(limits.discard_granularity, 4096);
        assert_eq!((limits.logical_block_size, limits.physical_block_size), (4096, 8192));
        assert!(limits.write_cache);
        let direct = config.limits(Features::all() - Features::INDIRECT_DESC, 64);
        assert_eq!(direct.max_segments, 62);
    }

    #[test]
    fn a_deep_queue_takes_long_requests() {
        let config = Config { seg_max: Some(1022), ..Config::default() };
        let limits = config.limits(Features::all(), 1024);
        assert_eq!((limits.max_segments, limits.max_sectors, limits.queue_depth), (1022, 8176, 1024));
        assert_eq!(config.limits(Features::all(), 8).max_segments, 6);
    }

    #[test]
    fn a_queue_for_each_cpu() {
        let with = |num_queues| Config { num_queues, ..Config::default() };
        assert_eq!([1, 2, 9].map(|cpus| with(Some(4)).queues(cpus)), [1, 2, 4]);
        assert_eq!((with(None).queues(8), with(Some(0)).queues(8)), (1, 1));
    }

    #[test]
    fn discards_go_by_what_the_device_frees() {
        let with = |most, alignment| Config {
            max_discard_sectors: Some(most),
            discard_sector_alignment: Some(alignment),
            blk_size: Some(4096),
            ..Config::default()
        };
        let granularity = |config: Config| config.limits(Features::all(), 64).discard_granularity;
        assert_eq!(granularity(with(100, 128)), 65536);
        assert_eq!([granularity(with(100, 0)), granularity(with(100, 3))], [4096, 4096]);
        assert_eq!(granularity(with(100, u32::MAX)), 4096);
        assert_eq!((granularity(with(0, 8)), granularity(Config::default())), (0, 0));
    }

    #[test]
    fn nonsense_is_not_believed() {
        let config = Config {
            blk_size: Some(513),
            physical_block_exp: Some(200),
            size_max: Some(7),
            seg_max: Some(0),
            ..Config::default()
        };
        let limits = config.limits(Features::all(), 256);
        assert_eq!((limits.logical_block_size, limits.physical_block_size), (512, 512));
        assert_eq!((limits.max_segment_size, limits.max_segments), (u32::MAX, 1));
    }
}
