//! What a system call works on: the process that called, its registers, and the system around it.

use alloc::sync::Arc;

use base::arch::UserRegs;
use base::{Errno, Result, UserMemory};
use process::Process;
use process::limits::INFINITY;
use process::signal::{SigInfo, Signal};
use vfs::read_write::Io;

use crate::run::End;

/// Bytes of memory, in all and not in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemoryInfo {
    /// In all.
    pub total: u64,
    /// Free.
    pub free: u64,
}

/// What system calls ask of the rest of the kernel; `boot` implements it.
pub trait System: Send + Sync {
    /// The machine's memory.
    fn memory(&self) -> MemoryInfo;
    /// Unpredictable bytes.
    fn random(&self, out: &mut [u8]);
}

/// The caller of a system call.
pub struct Cx<'a> {
    /// The process.
    pub process: &'a Arc<Process>,
    /// Its registers as they were at the `svc`; x0 takes the answer when the call returns.
    pub regs: &'a mut UserRegs,
    /// Set by exit(2), exit_group(2) and reboot(2): the program does not go on.
    pub end: Option<End>,
    /// Set by rt_sigreturn(2): x0 is the program's, not an answer's.
    pub keep_registers: bool,
    system: &'a dyn System,
}

impl<'a> Cx<'a> {
    /// For one call.
    pub fn new(process: &'a Arc<Process>, regs: &'a mut UserRegs, system: &'a dyn System) -> Cx<'a> {
        Cx { process, regs, end: None, keep_registers: false, system }
    }

    /// The program's memory.
    #[inline]
    pub fn memory(&self) -> &'a dyn UserMemory {
        self.process.memory()
    }

    /// The rest of the kernel.
    pub fn system(&self) -> &'a dyn System {
        self.system
    }

    /// For whom reads and writes are done.
    #[inline]
    pub fn io(&self) -> Io<'a> {
        self.process.io()
    }

    /// A write met RLIMIT_FSIZE: SIGXFSZ. Without such a limit it met the file system's, which has
    /// no signal.
    pub fn file_too_big(&self) {
        if self.process.file_size_limit() != INFINITY {
            self.process.signals().send(SigInfo::kernel(Signal::XFSZ));
        }
    }

    /// Nanoseconds since the program started.
    pub fn run_time_ns(&self) -> u64 {
        base::time::monotonic_ns().saturating_sub(self.process.start_ns())
    }

    /// A pid argument that may only mean the caller: 0 or its own. ESRCH for any other.
    pub fn only_self(&self, pid: i32) -> Result<()> {
        if pid == 0 || pid == self.process.pid() { Ok(()) } else { Err(Errno::ESRCH) }
    }
}
