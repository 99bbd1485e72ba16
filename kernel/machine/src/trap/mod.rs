//! Exceptions: from the program ([`user`]) and of the kernel itself ([`kernel`]).
//!
//! `vectors.S` has the 16 entries. An exception from EL0 ends the call that entered it
//! (`UserCpu::run`); an interrupt of the kernel is dispatched and returns; a fault of the kernel goes
//! to the fix-up table (`fixup`) or is a panic with all registers.

pub mod esr;
#[cfg(target_os = "none")]
mod fixup;
#[cfg(target_os = "none")]
pub mod fp;
#[cfg(target_os = "none")]
mod id_registers;
#[cfg(target_os = "none")]
pub mod kernel;
#[cfg(target_os = "none")]
pub mod user;

#[cfg(target_os = "none")]
pub use kernel::init;
