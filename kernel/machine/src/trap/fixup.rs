//! Instructions that may fault, and where to go on when they do.
//!
//! Assembly adds a pair of 32-bit offsets per instruction to the section `.extable`:
//! ```asm
//! 1:  ldrb w2, [x1]
//! .pushsection .extable, "a"; .long 1b - ., fixup - .; .popsection
//! ```
//! each relative to its own place, as in Linux.

unsafe extern "C" {
    static __extable_start: [i32; 2];
    static __extable_end: [i32; 2];
}

/// Where to go on after a fault at `pc`. None when none was expected there.
pub fn find(pc: u64) -> Option<u64> {
    let (start, end) = (&raw const __extable_start, &raw const __extable_end);
    let mut entry = start;
    while entry < end {
        // SAFETY: the linker script puts whole pairs between the two symbols.
        let [at, to] = unsafe { entry.read() };
        let here = entry as u64;
        if here.wrapping_add_signed(at.into()) == pc {
            return Some((here + 4).wrapping_add_signed(to.into()));
        }
        entry = entry.wrapping_add(1);
    }
    None
}
