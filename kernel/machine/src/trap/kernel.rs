//! Exceptions of the kernel: interrupts, expected faults, and the rest, which is a panic.

use core::arch::global_asm;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

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

/// Whether a panic's message held the registers of an exception.
static SHOWN: AtomicBool = AtomicBool::new(false);

/// Prints the registers as they are here, unless those of an exception, which tell more, were
/// printed: for a panic that the kernel's own code called.
#[inline(always)]
pub fn write_registers(out: &mut dyn fmt::Write) -> fmt::Result {
    let mut x = [0u64; 31];
    let sp: u64;
    // SAFETY: stores every register but the one it addresses with into an array of their number.
    unsafe {
        core::arch::asm!(
            "stp x0, x1, [{x}]", "stp x2, x3, [{x}, #16]", "stp x4, x5, [{x}, #32]",
            "stp x6, x7, [{x}, #48]", "stp x8, x9, [{x}, #64]", "stp x10, x11, [{x}, #80]",
            "stp x12, x13, [{x}, #96]", "stp x14, x15, [{x}, #112]", "stp x16, x17, [{x}, #128]",
            "stp x18, x19, [{x}, #144]", "stp x20, x21, [{x}, #160]", "stp x22, x23, [{x}, #176]",
            "stp x24, x25, [{x}, #192]", "stp x26, x27, [{x}, #208]", "stp x28, x29, [{x}, #224]",
            "str x30, [{x}, #240]", "mov {sp}, sp",
            x = in(reg) x.as_mut_ptr(), sp = lateout(reg) sp, options(nostack),
        );
    }
    if SHOWN.load(Ordering::Relaxed) {
        return Ok(());
    }
    writeln!(out, "  sp {sp:016x}")?;
    write_general(out, &x)
}

/// x0 to x30, four to a line.
fn write_general(out: &mut dyn fmt::Write, x: &[u64; 31]) -> fmt::Result {
    for (i, value) in x.iter().enumerate() {
        let end = if i % 4 == 3 || i == 30 { "\n" } else { "" };
        write!(out, "  x{i:<2} {value:016x}{end}")?;
    }
    Ok(())
}

impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SHOWN.store(true, Ordering::Relaxed);
        let KernelFrame { x, sp, pc, pstate, esr, far, .. } = self.frame;
        writeln!(f, "{} in the kernel", self.what)?;
        writeln!(f, "  pc {pc:016x}  sp {sp:016x}  pstate {pstate:08x}  esr {esr:08x}  far {far:016x}")?;
        write_general(f, x)
    }
}
