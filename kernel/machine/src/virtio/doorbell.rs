//! The register by which a device is told that there is work: one store, without a lock.
//!
//! The transports' own `notify` wants exclusive access and, on PCI, reads two registers first. Under a
//! hypervisor each of these is an exit of some microseconds; so the address is found once.
//!
//! Source: VirtIO 1.2, 4.1.4.4 (PCI: a 16-bit store of the queue's index), 4.2.2 (MMIO: a 32-bit one).

use core::ptr::NonNull;

/// QueueNotify of the MMIO transport.
const MMIO_NOTIFY: usize = 0x50;

/// Where queue 0 is announced.
pub struct Doorbell(Register);

enum Register {
    Mmio(NonNull<u32>),
    Pci(NonNull<u16>),
}

// SAFETY: a store to the register announces work; any thread may do that at any time.
unsafe impl Send for Doorbell {}
// SAFETY: as above.
unsafe impl Sync for Doorbell {}

impl Doorbell {
    /// Of an MMIO transport.
    ///
    /// # Safety
    /// `base` is the transport's first register, mapped for ever.
    pub unsafe fn mmio(base: NonNull<u8>) -> Doorbell {
        // SAFETY: the register file is longer than that.
        Doorbell(Register::Mmio(unsafe { base.add(MMIO_NOTIFY) }.cast()))
    }

    /// Of a PCI transport.
    ///
    /// # Safety
    /// `address` is where queue 0 is announced, aligned to 2, mapped for ever.
    pub unsafe fn pci(address: NonNull<u8>) -> Doorbell {
        Doorbell(Register::Pci(address.cast()))
    }

    /// Tells the device. What it shall see was published before, behind a full barrier.
    pub fn ring(&self) {
        match self.0 {
            // SAFETY: by the constructors' contracts.
            Register::Mmio(register) => unsafe { register.write_volatile(0) },
            // SAFETY: as above.
            Register::Pci(register) => unsafe { register.write_volatile(0) },
        }
    }
}
