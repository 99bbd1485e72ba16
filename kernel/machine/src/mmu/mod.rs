//! Translation tables: the kernel's (TTBR1, [`kernel`]) and the program's (TTBR0, [`user`]).

#[cfg(target_os = "none")]
mod asid;
#[cfg(target_os = "none")]
pub mod cache;
pub mod descriptor;
#[cfg(target_os = "none")]
pub mod kernel;
#[cfg(target_os = "none")]
pub mod tlb;
#[cfg(target_os = "none")]
pub mod user;

#[cfg(target_os = "none")]
pub use kernel::map_device;
