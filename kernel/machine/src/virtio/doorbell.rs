//! The register by which a device is told that there is work: one store, without a lock.
//!
//! The transports' own `notify` wants exclusive access and, on PCI, reads two registers first. Under a
//! hypervisor each of these is an exit of some microseconds; so the addresses are found once.
//!
//! Source: VirtIO 1.2, 4.1.4.4 (PCI: a 16-bit store of the queue's index), 4.2.2 (MMIO: a 32-bit one).

use alloc::vec::Vec;
use core::ptr::NonNull;

use super::queues::Bell;

/// QueueNotify of the MMIO transport.
const MMIO_NOTIFY: usize = 0x50;

/// Where the queues of a device are announced.
pub struct Doorbells(Registers);

enum Registers {
    /// One for all queues.
    Mmio(NonNull<u32>),
    /// By queue.
    Pci(Vec<NonNull<u16>>),
}

// SAFETY: a store to the register announces work; any thread may do that at any time.
unsafe impl Send for Doorbells {}
// SAFETY: as above.
unsafe impl Sync for Doorbells {}

impl Doorbells {
    /// Of an MMIO transport.
    ///
    /// # Safety
    /// `base` is the transport's first register, mapped for ever.
    pub unsafe fn mmio(base: NonNull<u8>) -> Doorbells {
        // SAFETY: the register file is longer than that.
        Doorbells(Registers::Mmio(unsafe { base.add(MMIO_NOTIFY) }.cast()))
    }

    /// Of a PCI transport.
    ///
    /// # Safety
    /// The addresses are where the queues are announced, from queue 0 on, aligned to 2, mapped for ever.
    pub unsafe fn pci(addresses: Vec<NonNull<u16>>) -> Doorbells {
        Doorbells(Registers::Pci(addresses))
    }

    /// How many queues can be announced.
    pub fn queues(&self) -> usize {
        match &self.0 {
            Registers::Mmio(_) => usize::from(u16::MAX),
            Registers::Pci(addresses) => addresses.len(),
        }
    }
}

impl Bell for Doorbells {
    fn ring(&self, queue: u16) {
        match &self.0 {
            // SAFETY: by the constructors' contracts.
            Registers::Mmio(register) => unsafe { register.write_volatile(queue.into()) },
            Registers::Pci(addresses) => {
                if let Some(register) = addresses.get(usize::from(queue)) {
                    // SAFETY: as above.
                    unsafe { register.write_volatile(queue) }
                }
            }
        }
    }
}
