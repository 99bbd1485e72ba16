//! What is negotiated with a virtio block device, and what its configuration space says.
//!
//! A value that makes no sense is not believed: the device then gets the default, and the log says so.
//!
//! Source: VirtIO 1.2, 5.2.3 Feature bits, 5.2.4 Device configuration layout, 6 Reserved feature bits.

use bitflags::bitflags;
use block::{DEFAULT_MAX_SECTORS, Limits};
use virtio_drivers::transport::Transport;

use super::slots;

bitflags! {
    /// The features this driver knows what to do with.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Features: u64 {
        /// Pieces of data have a greatest size.
        const SIZE_MAX = 1 << 1;
        /// A request has a greatest number of pieces.
        const SEG_MAX = 1 << 2;
        /// The disk is read-only.
        const RO = 1 << 5;
        /// The disk has a block size of its own.
        const BLK_SIZE = 1 << 6;
        /// There is a flush.
        const FLUSH = 1 << 9;
        /// The physical block is told.
        const TOPOLOGY = 1 << 10;
        /// Whether the write cache is on is told.
        const CONFIG_WCE = 1 << 11;
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

/// Offsets in the configuration space.
mod at {
    pub const CAPACITY: usize = 0;
    pub const SIZE_MAX: usize = 8;
    pub const SEG_MAX: usize = 12;
    pub const BLK_SIZE: usize = 20;
    pub const PHYSICAL_BLOCK_EXP: usize = 24;
    pub const WRITEBACK: usize = 32;
    pub const MAX_DISCARD_SECTORS: usize = 36;
    pub const MAX_WRITE_ZEROES_SECTORS: usize = 48;
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
    /// Bytes of a logical block.
    pub blk_size: Option<u32>,
    /// log2 of logical blocks in a physical one.
    pub physical_block_exp: Option<u8>,
    /// Whether completed writes may be in a volatile cache.
    pub writeback: Option<u8>,
    /// Most sectors of a discard.
    pub max_discard_sectors: Option<u32>,
    /// Most sectors of a write-zeroes.
    pub max_write_zeroes_sectors: Option<u32>,
}

impl Config {
    /// Reads what the negotiated features say is there.
    pub fn read(transport: &impl Transport, features: Features) -> virtio_drivers::Result<Config> {
        let word = |feature: Features, offset: usize| {
            features.contains(feature).then(|| transport.read_config_space::<u32>(offset)).transpose()
        };
        let byte = |feature: Features, offset: usize| {
            features.contains(feature).then(|| transport.read_config_space::<u8>(offset)).transpose()
        };
        transport.read_consistent(|| {
            let low: u32 = transport.read_config_space(at::CAPACITY)?;
            let high: u32 = transport.read_config_space(at::CAPACITY + 4)?;
            Ok(Config {
                capacity: u64::from(high) << 32 | u64::from(low),
                size_max: word(Features::SIZE_MAX, at::SIZE_MAX)?,
                seg_max: word(Features::SEG_MAX, at::SEG_MAX)?,
                blk_size: word(Features::BLK_SIZE, at::BLK_SIZE)?,
                physical_block_exp: byte(Features::TOPOLOGY, at::PHYSICAL_BLOCK_EXP)?,
                writeback: byte(Features::CONFIG_WCE, at::WRITEBACK)?,
                max_discard_sectors: word(Features::DISCARD, at::MAX_DISCARD_SECTORS)?,
                max_write_zeroes_sectors: word(Features::WRITE_ZEROES, at::MAX_WRITE_ZEROES_SECTORS)?,
            })
        })
    }

    /// What the block layer may ask for, on a ring of `ring` descriptors.
    pub fn limits(&self, features: Features, ring: u16) -> Limits {
        let logical = self.logical_block();
        let direct = u32::from(ring).saturating_sub(2).max(1);
        let most = if features.contains(Features::INDIRECT_DESC) {
            slots::MAX_DATA
        } else {
            direct.min(slots::MAX_DATA)
        };
        // A device that does not say takes one piece at a time (5.2.5).
        let told = if features.contains(Features::SEG_MAX) { self.seg_max.unwrap_or(1) } else { 1 };
        Limits {
            max_segments: told.clamp(1, most),
            max_segment_size: self.size_max.filter(|size| *size >= 512).unwrap_or(u32::MAX),
            max_sectors: DEFAULT_MAX_SECTORS,
            max_discard_sectors: self.max_discard_sectors.unwrap_or(0),
            max_write_zeroes_sectors: self.max_write_zeroes_sectors.unwrap_or(0),
            logical_block_size: logical,
            physical_block_size: logical << self.physical_block_exp.filter(|exp| *exp <= 10).unwrap_or(0),
            queue_depth: u32::from(ring),
            // A device with a flush has a cache, unless it says otherwise (5.2.6.2).
            write_cache: features.contains(Features::FLUSH) && self.writeback != Some(0),
            ..Limits::DEFAULT
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
        assert_eq!(limits.max_segments, slots::MAX_DATA);
        assert_eq!((limits.logical_block_size, limits.physical_block_size), (4096, 8192));
        assert!(limits.write_cache);
        let direct = config.limits(Features::all() - Features::INDIRECT_DESC, 64);
        assert_eq!(direct.max_segments, 62);
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
