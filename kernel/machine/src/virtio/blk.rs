//! A virtio block device as a driver of the block layer.
//!
//! ```text
//!   queue_request ─▶ Engine ─▶ ring         commit ─▶ publish ─▶ doorbell (if the device wants it)
//!   interrupt     ─▶ acknowledge ─▶ reap ─▶ each request completes ─▶ the next ones go out
//! ```
//!
//! # Life of a device
//! reset → ACKNOWLEDGE, DRIVER → features → FEATURES_OK → configuration and queues → interrupt handler
//! → DRIVER_OK → in use. A device that breaks the rules of the ring, or says that it needs a reset, is
//! reset; from then on every request ends with EIO.
//!
//! # A device that does not answer
//! The queue asks [`Driver::timed_out`]. The device may have answered, and only the interrupt be lost:
//! so the used ring is looked at first. If there is nothing, the device is told of its work once more,
//! and the request goes on waiting: it cannot end while the device may still write to its pages, and a
//! reset would lose what the device has begun, for a disk that may only be slow.
//!
//! # Locking
//! The engines' locks and the transport's, never two, none while a request completes.
//!
//! # Cost
//! A batch is one store to the doorbell, or none while the device is at work. An interrupt is, on MMIO,
//! one read and one write of a register, on PCI one read.
//!
//! Source: VirtIO 1.2, 3.1 Device Initialization, 5.2.5, 2.1.2 Driver Requirements (NEEDS_RESET).

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Display;
use core::sync::atomic::{AtomicU64, Ordering};

use base::{Errno, Result, Sector};
use block::{Driver, Geometry, InFlight, Limits, TimedOut};
use sync::SpinLock;
use virtio_drivers::transport::{DeviceStatus, InterruptStatus, SomeTransport, Transport};

use super::config::{Config, Features, at};
use super::doorbell::Doorbells;
use super::queues::Queues;
use super::setup::{self, StartError};
use super::trace;
use crate::devicetree::Interrupt;
use crate::memory::dma::DmaPages;
use crate::{cpu, irq};

/// A device in use.
pub struct VirtioBlk {
    /// Where it is, for the log.
    name: String,
    queues: Queues<Doorbells>,
    transport: SpinLock<SomeTransport<'static>>,
    features: Features,
    limits: Limits,
    geometry: Geometry,
    /// Sectors; it may change while the device is in use.
    capacity: AtomicU64,
    /// The rings' memory; freed after the transport, whose drop resets the device.
    _pages: Vec<DmaPages>,
}

impl VirtioBlk {
    /// Takes a block device into use.
    pub fn start(
        name: &str,
        mut transport: SomeTransport<'static>,
        doorbells: Doorbells,
        interrupt: Interrupt,
    ) -> core::result::Result<Arc<VirtioBlk>, StartError> {
        let agreed = setup::agree(&mut transport, doorbells.queues())?;
        log::debug!("{name}: {:?}, {:?}, {:?}", agreed.features, agreed.config, agreed.limits);
        let device = Arc::new(VirtioBlk {
            name: name.to_string(),
            queues: Queues::new(agreed.engines, doorbells),
            transport: SpinLock::new(transport),
            features: agreed.features,
            limits: agreed.limits,
            geometry: agreed.config.geometry(),
            capacity: AtomicU64::new(agreed.config.capacity),
            _pages: agreed.pages,
        });
        let handler = device.clone();
        irq::register(interrupt, Box::new(move || handler.interrupt())).map_err(|_| StartError::Interrupt)?;
        device.transport.lock().finish_init();
        // A device that has no serial number says so later; it needs none.
        _ = device.queues.ask_serial();
        Ok(device)
    }

    /// The device has something to say. Also called when another device on the same line has.
    fn interrupt(&self) {
        let status = self.acknowledge();
        trace::interrupt(status.bits());
        if status.contains(InterruptStatus::QUEUE_INTERRUPT) {
            self.reap();
        }
    }

    /// Takes the interrupt back, before looking at the rings: what comes after that raises the line
    /// again.
    fn acknowledge(&self) -> InterruptStatus {
        let status = self.transport.lock().ack_interrupt();
        if status.contains(InterruptStatus::DEVICE_CONFIGURATION_INTERRUPT) {
            self.configuration_changed();
        }
        status
    }

    /// Completes what is done; how many requests.
    fn reap(&self) -> usize {
        self.queues.reap().unwrap_or_else(|bad| {
            self.put_out_of_use(format_args!("the device broke the rules of its ring, {bad:?}"));
            0
        })
    }

    fn needs_reset(&self) -> bool {
        self.transport.lock().get_status().contains(DeviceStatus::DEVICE_NEEDS_RESET)
    }

    /// The configuration has changed: another size, or a device that has given up.
    fn configuration_changed(&self) {
        if self.needs_reset() {
            return self.put_out_of_use("the device says that it needs a reset");
        }
        let now = Config::read(&*self.transport.lock(), self.features);
        match now {
            Ok(now) => self.resize(now.capacity),
            Err(error) => log::error!("{}: its changed configuration cannot be read: {error}", self.name),
        }
    }

    fn resize(&self, sectors: u64) {
        let before = self.capacity.swap(sectors, Ordering::Relaxed);
        if before != sectors {
            log::info!("{}: the disk has {sectors} sectors now, no longer {before}", self.name);
        }
    }

    fn put_out_of_use(&self, why: impl Display) {
        log::error!("{}: {why}; it is reset and out of use", self.name);
        {
            let mut transport = self.transport.lock();
            transport.set_status(DeviceStatus::empty());
            // Reading back makes sure that the reset has happened (4.1.4.3.2).
            _ = transport.get_status();
        }
        self.queues.fail_all();
    }
}

impl Driver for VirtioBlk {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn capacity(&self) -> Sector {
        Sector(self.capacity.load(Ordering::Relaxed))
    }

    fn read_only(&self) -> bool {
        self.features.contains(Features::RO)
    }

    fn geometry(&self) -> Option<Geometry> {
        Some(self.geometry)
    }

    fn serial(&self) -> String {
        self.queues.serial()
    }

    fn set_write_cache(&self, on: bool) -> Result<()> {
        if !self.features.contains(Features::CONFIG_WCE) {
            return Err(Errno::EOPNOTSUPP);
        }
        let mut transport = self.transport.lock();
        transport.write_config_space(at::WRITEBACK, u8::from(on)).map_err(|_| Errno::EIO)?;
        let now: u8 = transport.read_config_space(at::WRITEBACK).map_err(|_| Errno::EIO)?;
        if (now != 0) == on { Ok(()) } else { Err(Errno::EIO) }
    }

    fn timed_out(&self) -> TimedOut {
        if self.needs_reset() {
            self.put_out_of_use("the device says that it needs a reset");
            return TimedOut::Reset;
        }
        // As the lost interrupt would have: a line that is still up raises no other.
        self.acknowledge();
        match self.reap() {
            0 => {
                self.queues.ring_all();
                TimedOut::Waiting
            }
            found => TimedOut::Found(found),
        }
    }

    fn queue_request(&self, request: InFlight) -> core::result::Result<(), InFlight> {
        self.queues.queue_request(cpu::index(), request)
    }

    fn commit(&self) {
        self.queues.commit();
    }
}
