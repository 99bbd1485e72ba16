//! What the process layer asks of a machine. The `machine` crate implements it for real hardware,
//! tests implement it in memory, `boot` joins the two.

use alloc::boxed::Box;

use crate::errno::Result;
use crate::frame::Frame;
use crate::user::UserAddr;

/// The program's registers, as `machine/trap` saves and loads them. The assembly knows the layout.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct UserRegs {
    /// x0 to x30.
    pub x: [u64; 31],
    /// SP_EL0.
    pub sp: u64,
    /// ELR_EL1: where the program goes on.
    pub pc: u64,
    /// SPSR_EL1: condition flags and mode.
    pub pstate: u64,
    /// TPIDR_EL0, the thread pointer.
    pub tpidr: u64,
}

impl UserRegs {
    /// A fresh program: all registers zero but pc and sp; EL0t, interrupts on.
    pub const fn start(pc: u64, sp: u64) -> UserRegs {
        UserRegs { x: [0; 31], sp, pc, pstate: 0, tpidr: 0 }
    }
}

/// The program's floating-point and SIMD registers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FpRegs {
    /// v0 to v31.
    pub v: [u128; 32],
    /// FPSR, status.
    pub fpsr: u32,
    /// FPCR, control.
    pub fpcr: u32,
}

/// What kind of access a fault was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// A load.
    Read,
    /// A store.
    Write,
    /// An instruction fetch.
    Execute,
}

/// Why `run` came back. Source: Arm ARM D24.2.40, ESR_EL1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trap {
    /// `svc #0`: the number is in x8, the arguments in x0 to x5.
    Syscall,
    /// An interrupt was taken and handled; somebody else may want the CPU.
    Interrupt,
    /// A data or instruction abort at `addr`: translation or permission.
    PageFault {
        /// The address, FAR_EL1.
        addr: UserAddr,
        /// What was tried.
        access: Access,
        /// Whether a page was there and forbade it (else none was there).
        permission: bool,
    },
    /// The program did what ends in a signal: the number (SIGILL 4, SIGTRAP 5, SIGBUS 7, SIGFPE 8,
    /// SIGSEGV 11), the code for `si_code`, and words for the log.
    Exception {
        /// Signal number.
        signal: u8,
        /// `si_code`.
        code: i32,
        /// FAR_EL1 or the pc.
        addr: UserAddr,
        /// For the log, "undefined instruction".
        what: &'static str,
        /// ESR_EL1 as it was.
        esr: u64,
    },
}

/// A thread of the program, as the CPU holds it.
pub trait UserCpu: Send {
    /// The registers: the machine's own copy, valid between two runs.
    fn regs(&mut self) -> &mut UserRegs;
    /// Enters EL0 and returns at the next svc, fault or interrupt. FP and SIMD registers stay the
    /// program's.
    fn run(&mut self) -> Trap;
    /// The floating-point and SIMD registers, for a signal handler's frame; None where there are none.
    fn fp(&mut self) -> Option<FpRegs> {
        None
    }
    /// Puts back what [`UserCpu::fp`] gave. A CPU that has none has nothing to put back.
    fn set_fp(&mut self, _regs: &FpRegs) {}
}

/// What a mapping allows at EL0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Protection {
    /// Loads and stores may happen. Without it nothing may, PROT_NONE.
    pub read: bool,
    /// Stores may happen.
    pub write: bool,
    /// Instructions may be fetched.
    pub execute: bool,
}

/// The program's translation table (TTBR0). Pages stay alive as long as they are mapped.
pub trait UserPageTable: Send + Sync {
    /// Maps the page at `addr` (page-aligned, below TASK_SIZE), replacing what was there. When
    /// `execute` is set the caches are made coherent for instruction fetch first. ENOMEM.
    fn map(&self, addr: UserAddr, frame: Frame, protection: Protection) -> Result<()>;
    /// Takes away every page of `[addr, addr + len)`.
    fn unmap(&self, addr: UserAddr, len: u64);
    /// Changes the protection of every page that is there in `[addr, addr + len)`. When `execute` is
    /// set the caches are made coherent for instruction fetch first.
    fn protect(&self, addr: UserAddr, len: u64, protection: Protection);
    /// The page at `addr`, if one is mapped.
    fn lookup(&self, addr: UserAddr) -> Option<(Frame, Protection)>;
    /// Makes this the table EL0 uses on this CPU.
    fn activate(&self);
}

/// Raw copies through the active table with a fault fix-up. All return the bytes done and never
/// bring a page in. Addresses at or above TASK_SIZE copy nothing.
pub trait UserCopy: Send + Sync {
    /// From the program.
    fn copy_from_user(&self, dst: &mut [u8], src: UserAddr) -> usize;
    /// To the program.
    fn copy_to_user(&self, dst: UserAddr, src: &[u8]) -> usize;
    /// From the program into a frame.
    fn copy_to_frame(&self, frame: &Frame, offset: usize, src: UserAddr, len: usize) -> usize;
    /// From a frame to the program.
    fn copy_from_frame(&self, dst: UserAddr, frame: &Frame, offset: usize, len: usize) -> usize;
    /// Zeros to the program.
    fn clear_user(&self, dst: UserAddr, len: usize) -> usize;
}

/// A machine that can run a program.
pub trait Machine: UserCopy {
    /// An empty translation table. ENOMEM.
    fn new_page_table(&self) -> Result<Box<dyn UserPageTable>>;
    /// A thread that starts with these registers.
    fn new_user_cpu(&self, regs: UserRegs) -> Box<dyn UserCpu>;
    /// AT_HWCAP: what EL0 may use of the CPU, as Linux numbers it.
    fn hwcap(&self) -> u64;
    /// AT_HWCAP2.
    fn hwcap2(&self) -> u64;
    /// `len` unpredictable bytes for seeding, as good as the machine has.
    fn entropy(&self, out: &mut [u8]);
    /// Makes instructions that were written to a frame visible to fetch.
    fn sync_instructions(&self, frame: &Frame);
}
