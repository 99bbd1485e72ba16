//! From reset to rings: what is agreed with a device before it is in use.
//!
//! Source: VirtIO 1.2, 3.1 Device Initialization, 5.2.5.

use alloc::vec::Vec;
use core::fmt;

use base::PAGE_SIZE;
use block::Limits;
use virtio_drivers::transport::{DeviceStatus, SomeTransport, Transport};

use super::config::{Config, Features};
use super::engine::{Engine, Rules};
use super::ring::Ring;
use crate::cpu;
use crate::memory::dma::DmaPages;

/// Descriptors of a ring, and so requests in flight, at most: as many as QEMU has.
const MOST_DESCRIPTORS: u32 = 1024;
/// A ring below that has no room for header, data and status.
const FEWEST_DESCRIPTORS: u32 = 4;

/// Why a device could not be taken into use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StartError {
    /// It refuses the features.
    Features(Features),
    /// Its configuration space cannot be read.
    Config,
    /// Its queue has too few descriptors.
    Queue(u32),
    /// No memory for the ring.
    Memory,
    /// Its interrupt line is not one the controller has.
    Interrupt,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Features(features) => write!(f, "it refuses the features {features:?}"),
            StartError::Config => f.write_str("its configuration space cannot be read"),
            StartError::Queue(size) => write!(f, "its queue has {size} descriptors"),
            StartError::Memory => f.write_str("no memory for its ring"),
            StartError::Interrupt => f.write_str("its interrupt line does not exist"),
        }
    }
}

/// What was agreed.
pub struct Agreed {
    /// What both sides know.
    pub features: Features,
    /// What the device is.
    pub config: Config,
    /// What the block layer may ask for.
    pub limits: Limits,
    /// Its queues.
    pub engines: Vec<Engine>,
    /// The rings' memory.
    pub pages: Vec<DmaPages>,
}

/// Resets the device, agrees on features, and sets up as many queues as the CPUs use, `most` at most.
pub fn agree(transport: &mut SomeTransport<'static>, most: usize) -> Result<Agreed, StartError> {
    let (features, config) = negotiate(transport)?;
    let queues = config.queues(cpu::IN_USE.min(most));
    let size = ring_size(transport.max_queue_size(0))?;
    let limits = config.limits(features, size);
    let rules = Rules {
        indirect: features.contains(Features::INDIRECT_DESC),
        exact_length: features.contains(Features::VERSION_1),
        may_unmap: config.write_zeroes_may_unmap == Some(1),
        max_segments: limits.max_segments,
        max_segment_size: limits.max_segment_size,
    };
    let mut agreed = Agreed { features, config, limits, engines: Vec::new(), pages: Vec::new() };
    for queue in 0..queues {
        let (ring, pages) = set_up_ring(transport, queue, size, features)?;
        agreed.pages.push(pages);
        agreed.engines.push(Engine::new(ring, size, rules).map_err(|_| StartError::Memory)?);
    }
    agreed.limits.queue_depth *= u32::from(queues);
    Ok(agreed)
}

fn negotiate(transport: &mut SomeTransport<'static>) -> Result<(Features, Config), StartError> {
    let features = transport.begin_init(Features::all());
    let modern = !transport.requires_legacy_layout();
    let accepted = transport.get_status().contains(DeviceStatus::FEATURES_OK);
    if modern && !(accepted && features.contains(Features::VERSION_1)) {
        transport.set_status(DeviceStatus::FAILED);
        return Err(StartError::Features(features));
    }
    let config = Config::read(transport, features).map_err(|_| StartError::Config)?;
    Ok((features, config))
}

/// The greatest power of two that both sides bear.
fn ring_size(device_most: u32) -> Result<u16, StartError> {
    let most = device_most.min(MOST_DESCRIPTORS);
    if most < FEWEST_DESCRIPTORS {
        return Err(StartError::Queue(device_most));
    }
    // At most MOST_DESCRIPTORS.
    Ok(1 << most.ilog2())
}

fn set_up_ring(
    transport: &mut SomeTransport<'static>,
    queue: u16,
    size: u16,
    features: Features,
) -> Result<(Ring, DmaPages), StartError> {
    let device_most = transport.max_queue_size(queue);
    if device_most < size.into() {
        return Err(StartError::Queue(device_most));
    }
    let pages = DmaPages::new(Ring::bytes(size).div_ceil(PAGE_SIZE)).ok_or(StartError::Memory)?;
    // SAFETY: fresh zeroed pages, as many as the ring needs. The device, which has them for this queue
    // only, and the ring are alone with them; they live as long as the VirtioBlk that owns both.
    let ring = unsafe { Ring::new(pages.as_non_null(), size, features.contains(Features::EVENT_IDX)) };
    let parts = Ring::parts(size, pages.phys());
    transport.queue_set(queue, size.into(), parts.descriptors.0, parts.available.0, parts.used.0);
    Ok((ring, pages))
}
