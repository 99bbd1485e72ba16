//! A virtio block device as a driver of the block layer.
//!
//! ```text
//!   queue_request ─▶ Engine ─▶ ring         commit ─▶ publish ─▶ doorbell (if the device wants it)
//!   interrupt     ─▶ acknowledge ─▶ reap ─▶ each request completes ─▶ the next ones go out
//! ```
//!
//! # Life of a device
//! reset → ACKNOWLEDGE, DRIVER → features → FEATURES_OK → configuration and queue → interrupt handler
//! → DRIVER_OK → in use. A device that breaks the rules of the ring is reset; from then on every
//! request ends with EIO.
//!
//! # Locking
//! The engine's lock and the transport's, never both, neither while a request completes.
//!
//! Source: VirtIO 1.2, 3.1 Device Initialization, 5.2.5.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::ptr::NonNull;

use base::{PAGE_SIZE, Sector};
use block::{Driver, InFlight, Limits};
use sync::SpinLock;
use virtio_drivers::transport::{DeviceStatus, InterruptStatus, SomeTransport, Transport};

use super::config::{Config, Features};
use super::doorbell::Doorbell;
use super::engine::{Engine, Rules};
use super::ring::{BadRing, Ring};
use crate::devicetree::Interrupt;
use crate::irq;
use crate::memory::dma::DmaPages;

/// The only queue that is used.
const QUEUE: u16 = 0;
/// Descriptors of the ring, and so requests in flight, at most.
const MOST_DESCRIPTORS: u32 = 256;
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

/// A device in use.
pub struct VirtioBlk {
    engine: Engine,
    doorbell: Doorbell,
    transport: SpinLock<SomeTransport<'static>>,
    limits: Limits,
    capacity: Sector,
    read_only: bool,
    /// The ring's memory; freed after the transport, whose drop resets the device.
    _pages: DmaPages,
}

impl VirtioBlk {
    /// Takes a block device into use.
    pub fn start(
        mut transport: SomeTransport<'static>,
        doorbell: Doorbell,
        interrupt: Interrupt,
    ) -> Result<Arc<VirtioBlk>, StartError> {
        let (features, config) = negotiate(&mut transport)?;
        let size = ring_size(transport.max_queue_size(QUEUE))?;
        let (ring, pages) = set_up_ring(&mut transport, size, features)?;
        let limits = config.limits(features, size);
        let rules = Rules {
            indirect: features.contains(Features::INDIRECT_DESC),
            exact_length: features.contains(Features::VERSION_1),
            max_segment_size: limits.max_segment_size,
        };
        let device = Arc::new(VirtioBlk {
            engine: Engine::new(ring, size, rules).map_err(|_| StartError::Memory)?,
            doorbell,
            transport: SpinLock::new(transport),
            limits,
            capacity: Sector(config.capacity),
            read_only: features.contains(Features::RO),
            _pages: pages,
        });
        let handler = device.clone();
        irq::register(interrupt, Box::new(move || handler.interrupt())).map_err(|_| StartError::Interrupt)?;
        device.transport.lock().finish_init();
        if device.engine.ask_serial().is_ok() {
            device.commit();
        }
        Ok(device)
    }

    /// The device has something to say. Also called when another device on the same line has.
    fn interrupt(&self) {
        // Acknowledged before looking: what comes after that raises the line again.
        let status = self.transport.lock().ack_interrupt();
        if !status.contains(InterruptStatus::QUEUE_INTERRUPT) {
            return;
        }
        if let Err(bad) = self.engine.reap() {
            self.put_out_of_use(bad);
        }
    }

    fn put_out_of_use(&self, bad: BadRing) {
        log::error!(
            "virtio-blk: the device broke the rules of its ring, {bad:?}; it is reset and out of use"
        );
        {
            let mut transport = self.transport.lock();
            transport.set_status(DeviceStatus::empty());
            // Reading back makes sure that the reset has happened (4.1.4.3.2).
            _ = transport.get_status();
        }
        self.engine.fail_all();
    }
}

impl Driver for VirtioBlk {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn capacity(&self) -> Sector {
        self.capacity
    }

    fn read_only(&self) -> bool {
        self.read_only
    }

    fn serial(&self) -> String {
        self.engine.serial()
    }

    fn queue_request(&self, request: InFlight) -> Result<(), InFlight> {
        self.engine.queue_request(request)
    }

    fn commit(&self) {
        if self.engine.commit() {
            self.doorbell.ring();
        }
    }
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
    log::debug!("virtio-blk: {features:?}, {config:?}");
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
    size: u16,
    features: Features,
) -> Result<(Ring, DmaPages), StartError> {
    let pages = DmaPages::new(Ring::bytes(size).div_ceil(PAGE_SIZE)).ok_or(StartError::Memory)?;
    let base = NonNull::new(pages.as_ptr()).ok_or(StartError::Memory)?;
    // SAFETY: fresh zeroed pages, as many as the ring needs. The device, which has no other queue,
    // and the ring are alone with them; they live as long as the VirtioBlk that owns both.
    let ring = unsafe { Ring::new(base, size, features.contains(Features::EVENT_IDX)) };
    let parts = Ring::parts(size, pages.phys());
    transport.queue_set(QUEUE, size.into(), parts.descriptors.0, parts.available.0, parts.used.0);
    Ok((ring, pages))
}
