//! Numbers for address spaces, 1 to 255: what every CPU has. 0 belongs to nobody.

use sync::SpinLock;

use super::tlb::{self, Asid};

static USED: SpinLock<[u64; 4]> = SpinLock::new([1, 0, 0, 0]);

/// A number that no other address space has. None when all are taken.
pub fn alloc() -> Option<Asid> {
    let mut used = USED.lock();
    let word = used.iter().position(|&w| w != u64::MAX)?;
    let bit = used[word].trailing_ones();
    used[word] |= 1 << bit;
    Some(Asid(word as u16 * 64 + bit as u16))
}

/// Gives a number back; nothing of it is left in the TLB.
pub fn free(asid: Asid) {
    tlb::flush_asid(asid);
    USED.lock()[usize::from(asid.0 / 64)] &= !(1 << (asid.0 % 64));
}
