//! The queues of a device: one for each CPU that runs threads, as far as the device has them.
//!
//! A request goes into the queue of the CPU that submits it, so CPUs do not meet on one lock. Each
//! queue has its own doorbell. There is one interrupt for all of them (MMIO has one line, and so has
//! INTx), so completions are looked for in each.
//!
//! Source: VirtIO 1.2, 5.2.5: `num_queues` of VIRTIO_BLK_F_MQ.

use alloc::string::String;
use alloc::vec::Vec;

use base::Result;
use block::InFlight;

use super::engine::Engine;
use super::ring::BadRing;

/// How a device is told that a queue has work.
pub trait Bell: Send + Sync {
    /// Tells it. What it shall see was published before, behind a full barrier.
    fn ring(&self, queue: u16);
}

/// All queues of a device.
pub struct Queues<B> {
    engines: Vec<Engine>,
    bell: B,
}

impl<B: Bell> Queues<B> {
    /// Of at least one engine; the index is the queue's number.
    pub fn new(engines: Vec<Engine>, bell: B) -> Queues<B> {
        assert!(!engines.is_empty());
        Queues { engines, bell }
    }

    /// Puts a request into the queue of a CPU; see [`Engine::queue_request`].
    pub fn queue_request(&self, cpu: usize, request: InFlight) -> core::result::Result<(), InFlight> {
        // `new` saw one engine at least.
        self.engines[cpu % self.engines.len()].queue_request(request)
    }

    /// Shows the device what was put in, and tells it of each queue where it wants to be told.
    pub fn commit(&self) {
        self.announce(|engine| engine.commit());
    }

    /// Tells the device of every queue, whether it asked for that or not.
    pub fn ring_all(&self) {
        self.announce(|engine| {
            engine.commit();
            true
        });
    }

    fn announce(&self, wanted: impl Fn(&Engine) -> bool) {
        // There are at most 2^16 queues.
        for (queue, _) in self.engines.iter().enumerate().filter(|(_, engine)| wanted(engine)) {
            self.bell.ring(queue as u16);
        }
    }

    /// Completes all that the device has given back; how many. Err: it broke the rules of one ring, and
    /// must be reset.
    pub fn reap(&self) -> core::result::Result<usize, BadRing> {
        let mut count = 0;
        for engine in &self.engines {
            count += engine.reap()?;
        }
        Ok(count)
    }

    /// Ends everything with EIO, after the device was reset; how many requests.
    pub fn fail_all(&self) -> usize {
        self.engines.iter().map(Engine::fail_all).sum()
    }

    /// Asks for the serial number. ENOMEM.
    pub fn ask_serial(&self) -> Result<()> {
        self.engines[0].ask_serial()?;
        self.commit();
        Ok(())
    }

    /// The serial number, if the device has told it.
    pub fn serial(&self) -> String {
        self.engines[0].serial()
    }

    /// One of the queues.
    #[cfg(test)]
    pub fn engine(&self, queue: usize) -> &Engine {
        &self.engines[queue]
    }
}
