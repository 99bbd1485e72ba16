//! What system calls ask of the machine.

use machine::entropy;
use machine::memory::frames;
use syscall::{MemoryInfo, System};

/// The machine under the system calls.
pub struct KernelSystem;

impl System for KernelSystem {
    fn memory(&self) -> MemoryInfo {
        let stats = frames::stats();
        let bytes = |pages: u64| pages * base::PAGE_SIZE as u64;
        MemoryInfo { total: bytes(stats.total), free: bytes(stats.free) }
    }

    fn random(&self, out: &mut [u8]) {
        entropy::fill(out);
    }
}
