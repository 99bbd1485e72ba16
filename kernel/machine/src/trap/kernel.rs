//! Exceptions of the kernel: interrupts, expected faults, and the rest, which is a panic.

use core::arch::global_asm;
use core::fmt;

use crate::irq;
use crate::trap::esr::Class;
use crate::trap::fixup;

/// The interrupted kernel's registers, as `vectors.S` saves them.
#[derive(Debug)]
#[repr(C)]
pub struct KernelFrame {
    /// x0 to x30.
    pub x: [u64; 31],
    /// SP as it was.
    pub sp: u64,
    /// ELR_EL1.
    pub pc: u64,
    /// SPSR_EL1.
    pub pstate: u64,
    /// ESR_EL1.
    pub esr: u64,
    /// FAR_EL1.
    pub far: u64,
    /// x29 and pc again: the frame record that links the handler to what it interrupted.
    record: [u64; 2],
}

const _: () = assert!(size_of::<KernelFrame>() == 304 && core::mem::offset_of!(KernelFrame, far) == 280);

global_asm!(
    include_str!("vectors.S"),
    kernel_sync = sym kernel_sync,
    kernel_irq = sym kernel_irq,
    bad_exception = sym bad_exception,
    stack_overflow = sym stack_overflow,
);

unsafe extern "C" {
    static quill_vectors: u8;
}

/// From here on exceptions are handled.
pub fn init() {
    // SAFETY: the table is complete, 2 KiB aligned, and its handlers need nothing but a stack.
    unsafe {
        core::arch::asm!("msr vbar_el1, {0}", "isb", in(reg) &raw const quill_vectors, options(nostack));
    }
}

extern "C" fn kernel_irq() {
    irq::dispatch();
}

extern "C" fn kernel_sync(frame: &mut KernelFrame) {
    match fixup::find(frame.pc) {
        Some(pc) => frame.pc = pc,
        None => panic!("{}", Fault { what: Class::of(frame.esr).name(), frame }),
    }
}

extern "C" fn bad_exception(frame: &KernelFrame, slot: usize) -> ! {
    let what = match slot % 4 {
        0 => "exception in a state that is never entered",
        1 => "interrupt in a state that is never entered",
        2 => "FIQ",
        _ => "SError: a device or memory reports an error",
    };
    panic!("{}", Fault { what, frame })
}

extern "C" fn stack_overflow(frame: &KernelFrame) -> ! {
    panic!("{}", Fault { what: "kernel stack overflow", frame })
}

/// Prints a fault with all registers, four to a line.
struct Fault<'a> {
    what: &'static str,
    frame: &'a KernelFrame,
}

impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let KernelFrame { x, sp, pc, pstate, esr, far, .. } = self.frame;
        writeln!(f, "{} in the kernel", self.what)?;
        writeln!(f, "  pc {pc:016x}  sp {sp:016x}  pstate {pstate:08x}  esr {esr:08x}  far {far:016x}")?;
        for (i, value) in x.iter().enumerate() {
            let end = if i % 4 == 3 || i == 30 { "\n" } else { "" };
            write!(f, "  x{i:<2} {value:016x}{end}")?;
        }
        Ok(())
    }
}
