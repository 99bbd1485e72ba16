//! virtio block devices: found on MMIO and PCI, driven through an own split ring.
//!
//! | file          | what                                                               | on a host  |
//! |---------------|--------------------------------------------------------------------|------------|
//! | `ring.rs`     | descriptors, available and used ring, when to tell                  | yes        |
//! | `slots.rs`    | header, status and descriptor table of a request                    | yes        |
//! | `engine.rs`   | one queue: requests into the ring, statuses out of it               | yes        |
//! | `queues.rs`   | all queues of a device, one for each CPU                            | yes        |
//! | `config.rs`   | features, configuration space, the limits that follow               | yes        |
//! | `setup.rs`    | from reset to rings: features, configuration, memory                |            |
//! | `blk.rs`      | the device in use: interrupt, `block::Driver`                       |            |
//! | `doorbell.rs` | one store that tells the device                                     |            |
//! | `pci.rs`      | from a PCI function to its registers                                |            |
//! | `probe.rs`    | where disks can be, and in which order they are named               |            |
//!
//! Registers, negotiation and configuration access are `virtio-drivers`' transports (legacy and modern
//! MMIO, modern and transitional PCI). Its `VirtQueue` is not used (docs/virtio.md): with EVENT_IDX it loses a
//! kick when the 16-bit index wraps, and it panics at an id that the device made up.
//!
//! # Which disk is vda
//! The first on QEMU's command line. QEMU fills its MMIO slots from the highest address down, so these
//! are taken in that order; PCI slots are filled from the lowest up. MMIO disks come before PCI disks.

#[cfg(target_os = "none")]
mod blk;
pub mod config;
#[cfg(target_os = "none")]
mod doorbell;
pub mod engine;
#[cfg(test)]
mod engine_tests;
#[cfg(test)]
mod fake;
#[cfg(target_os = "none")]
mod pci;
pub mod queues;
#[cfg(test)]
mod queues_tests;
pub mod ring;
#[cfg(test)]
mod ring_tests;
#[cfg(target_os = "none")]
mod setup;
pub mod slots;

pub mod trace;

#[cfg(target_os = "none")]
mod probe;
#[cfg(target_os = "none")]
pub use blk::VirtioBlk;
#[cfg(target_os = "none")]
pub use probe::disks;
