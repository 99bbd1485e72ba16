//! The process: everything that belongs to the one running program.
//!
//! # Locking
//! Each part has its own: the address space (`mm`), the descriptors (`vfs::FdTable`), the places
//! (`fs`), the signals. Credentials are an `Arc` that is replaced whole: who holds the old one acts as
//! the old user to the end of its call.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use base::arch::{UserCpu, UserRegs};
use base::{Result, UserMemory};
use sync::SpinLock;
use vfs::read_write::{Io, IoAccounting};
use vfs::{Cred, FdTable, Mount, Path, Running};

use crate::aio::Contexts;
use crate::alarm::{Alarm, Timer};
use crate::fs::FsContext;
use crate::limits::{Limit, Limits, Resource};
use crate::mm::Mm;
use crate::signal::{self, SigInfo, Signals};

/// The most bytes of a thread's name.
pub const COMM_LEN: usize = 15;

/// A running program.
pub struct Process {
    mm: Mm,
    files: FdTable,
    fs: FsContext,
    root_mount: Arc<Mount>,
    cred: SpinLock<Arc<Cred>>,
    /// Whether `cred` passes every check, for the hot path.
    capable: AtomicBool,
    limits: Arc<Limits>,
    signals: Signals,
    account: IoAccounting,
    comm: SpinLock<Vec<u8>>,
    exe: Path,
    /// Nobody opens the program's file for writing.
    _running: Option<Running>,
    start_ns: u64,
    restorer: u64,
    nice: AtomicI32,
    alarm: Alarm,
    aio: Contexts,
}

/// What a process is made of.
pub(crate) struct Parts {
    pub mm: Mm,
    pub limits: Arc<Limits>,
    pub cred: Cred,
    pub root: Path,
    pub exe: Path,
    pub running: Option<Running>,
    pub comm: Vec<u8>,
    /// The instructions a signal handler returns to.
    pub restorer: u64,
}

impl Process {
    pub(crate) fn new(parts: Parts) -> Process {
        let process = Process {
            mm: parts.mm,
            files: FdTable::default(),
            root_mount: parts.root.mount.clone(),
            fs: FsContext::new(parts.root),
            capable: AtomicBool::new(parts.cred.capable()),
            cred: SpinLock::new(Arc::new(parts.cred)),
            limits: parts.limits,
            signals: Signals::default(),
            account: IoAccounting::new(),
            comm: SpinLock::new(Vec::new()),
            exe: parts.exe,
            _running: parts.running,
            start_ns: base::time::monotonic_ns(),
            restorer: parts.restorer,
            nice: AtomicI32::new(0),
            alarm: Alarm::default(),
            aio: Contexts::default(),
        };
        process.set_comm(&parts.comm);
        process
    }

    /// getpid(2): the only one.
    #[inline]
    pub fn pid(&self) -> i32 {
        1
    }

    /// Its address space.
    #[inline]
    pub fn mm(&self) -> &Mm {
        &self.mm
    }

    /// The kernel's access to its memory.
    #[inline]
    pub fn memory(&self) -> &dyn UserMemory {
        &self.mm
    }

    /// Its descriptors.
    #[inline]
    pub fn files(&self) -> &FdTable {
        &self.files
    }

    /// Its root, working directory and umask.
    #[inline]
    pub fn fs(&self) -> &FsContext {
        &self.fs
    }

    /// The mount that its first root is on: where `/proc/mounts` begins.
    pub fn root_mount(&self) -> &Arc<Mount> {
        &self.root_mount
    }

    /// Who it acts as.
    pub fn cred(&self) -> Arc<Cred> {
        self.cred.lock().clone()
    }

    /// Acts as somebody else from the next call on, the change already checked. The thread that asks is the
    /// process's own.
    pub fn set_cred(&self, cred: Cred) {
        self.capable.store(cred.capable(), Ordering::Relaxed);
        self.mm().set_may_lock_all(cred.capable());
        let cred = Arc::new(cred);
        vfs::current::set_current(cred.clone());
        let old = core::mem::replace(&mut *self.cred.lock(), cred);
        drop(old);
    }

    /// Its limits.
    #[inline]
    pub fn rlimits(&self) -> &Limits {
        &self.limits
    }

    /// prlimit(2): soft and hard. EINVAL, EPERM.
    pub fn set_rlimit(&self, resource: u32, (soft, hard): (u64, u64)) -> Result<()> {
        let resource = Resource::from_user(resource)?;
        self.limits.set(resource, Limit { soft, hard }, self.capable.load(Ordering::Relaxed))
    }

    /// RLIMIT_NOFILE.
    #[inline]
    pub fn files_limit(&self) -> u64 {
        self.limits.soft(Resource::OpenFiles)
    }

    /// RLIMIT_FSIZE.
    #[inline]
    pub fn file_size_limit(&self) -> u64 {
        self.limits.soft(Resource::FileSize)
    }

    /// For whom reads and writes are done.
    #[inline]
    pub fn io(&self) -> Io<'_> {
        Io {
            memory: &self.mm,
            account: &self.account,
            fsize_limit: self.file_size_limit(),
            capable: self.capable.load(Ordering::Relaxed),
        }
    }

    /// What it has read and written.
    #[inline]
    pub fn io_accounting(&self) -> &IoAccounting {
        &self.account
    }

    /// Its signals.
    #[inline]
    pub fn signals(&self) -> &Signals {
        &self.signals
    }

    /// To be called before it goes on, when [`Signals::attention`] says so. Some is the signal that ends
    /// it.
    pub fn deliver_signals(
        &self,
        cpu: &mut dyn UserCpu,
        interrupted: signal::Interrupted,
    ) -> Option<SigInfo> {
        signal::deliver(&self.signals, &self.mm, cpu, self.restorer, interrupted)
    }

    /// rt_sigreturn(2). A bad frame raises SIGSEGV, which the next delivery finds.
    pub fn sigreturn(&self, regs: &mut UserRegs) {
        if let Err(info) = signal::sigreturn(&self.signals, &self.mm, regs) {
            self.signals.force(info);
        }
    }

    /// Its name, as PR_GET_NAME tells it, at most [`COMM_LEN`] bytes.
    pub fn comm(&self) -> Vec<u8> {
        self.comm.lock().clone()
    }

    /// Gives it a name, cut at [`COMM_LEN`] bytes.
    pub fn set_comm(&self, name: &[u8]) {
        let name = Vec::from(&name[..name.len().min(COMM_LEN)]);
        let old = core::mem::replace(&mut *self.comm.lock(), name);
        drop(old);
    }

    /// The program's file (`/proc/self/exe`).
    pub fn exe(&self) -> &Path {
        &self.exe
    }

    /// CLOCK_MONOTONIC when it started.
    pub fn start_ns(&self) -> u64 {
        self.start_ns
    }

    /// Its nice value, -20 to 19.
    pub fn nice(&self) -> i32 {
        self.nice.load(Ordering::Relaxed)
    }

    /// Changes it, within its bounds.
    pub fn set_nice(&self, nice: i32) {
        self.nice.store(nice.clamp(-20, 19), Ordering::Relaxed);
    }

    /// Its contexts of asynchronous I/O.
    pub fn aio(&self) -> &Contexts {
        &self.aio
    }

    /// The timer of setitimer(2).
    pub fn alarm(&self) -> Timer {
        self.alarm.get()
    }

    /// Sets it: what was set before. ENOMEM.
    pub fn set_alarm(self: &Arc<Self>, timer: Timer) -> Result<Timer> {
        self.alarm.set(self, timer)
    }

    /// The arguments as the program has them now, each with its NUL (`/proc/self/cmdline`).
    pub fn cmdline(&self) -> Vec<u8> {
        let (from, to) = self.mm.strings().args;
        self.bytes(from, to)
    }

    /// The environment, as [`Process::cmdline`] (`/proc/self/environ`).
    pub fn environ(&self) -> Vec<u8> {
        let (from, to) = self.mm.strings().env;
        self.bytes(from, to)
    }

    /// The auxiliary vector (`/proc/self/auxv`).
    pub fn auxv(&self) -> Vec<u8> {
        let (from, to) = self.mm.strings().auxv;
        self.bytes(from, to)
    }

    fn bytes(&self, from: base::UserAddr, to: base::UserAddr) -> Vec<u8> {
        let mut out = alloc::vec![0; to.0.saturating_sub(from.0) as usize];
        let n = self.mm.read(from, &mut out);
        out.truncate(n);
        out
    }
}
