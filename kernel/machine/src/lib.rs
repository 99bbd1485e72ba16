//! The hardware: the only crate that knows it.
//!
//! ```text
//!  layout  mmu  memory          where things are, translation tables, frames, heap
//!  trap  user_copy  features    the border to EL0: run, faults, copies, what the CPU can do
//!  devicetree                   what machine this is (pure)
//!  gic  irq  timer  clock       interrupts and time
//!  uart  console  klog  framing the serial line and what is said on it
//!  gpio                         the power key
//!  virtio                       disks
//!  platform  machine            the traits of `sync` and `base::arch`
//!  power  backtrace  symbols    the end, and what to say when it is a bad one
//!  cmdline                      the kernel's command line (pure)
//! ```
//! Modules without hardware in them are built and tested on the host too; the rest exists only for
//! the bare target. Every `unsafe` of the kernel is here, in `sync`, `boot` or `base::frame`.
#![no_std]

extern crate alloc;
#[cfg(test)]
#[macro_use]
extern crate std;

pub mod cmdline;
pub mod devicetree;
pub mod framing;
pub mod log_ring;
pub mod memory;
pub mod mmu;
pub mod symbols;
pub mod trap;
pub mod virtio;

#[cfg(target_os = "none")]
pub mod backtrace;
#[cfg(target_os = "none")]
pub mod clock;
#[cfg(target_os = "none")]
pub mod console;
#[cfg(target_os = "none")]
pub mod cpu;
#[cfg(target_os = "none")]
pub mod crc32c;
#[cfg(target_os = "none")]
pub mod entropy;
#[cfg(target_os = "none")]
pub mod features;
#[cfg(target_os = "none")]
pub mod gic;
#[cfg(target_os = "none")]
pub mod gpio;
#[cfg(target_os = "none")]
pub mod irq;
#[cfg(target_os = "none")]
pub mod klog;
#[cfg(target_os = "none")]
pub mod layout;
#[cfg(target_os = "none")]
pub mod machine;
#[cfg(target_os = "none")]
pub mod mmio;
#[cfg(target_os = "none")]
pub mod pci;
#[cfg(target_os = "none")]
pub mod platform;
#[cfg(target_os = "none")]
pub mod power;
#[cfg(target_os = "none")]
pub mod timer;
#[cfg(target_os = "none")]
pub mod uart;
#[cfg(target_os = "none")]
pub mod user_copy;
