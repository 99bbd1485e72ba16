//! What /proc shows: the machine, the kernel and the program, as plain data.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use base::PAGE_SIZE;
use machine::memory::frames;
use machine::{entropy, features, irq, platform, timer};
use process::Process;
use process::limits;
use process::signal::SigInfo;
use procfs::{
    Activity, Cpu, CpuTimes, Disk, Entry, IoCounters, Layout, Limit, Memory, Mounted, ProcSource,
    ProcessView, Setting, SignalSets, Sizes, Times, Uts, VmStat,
};
use sync::SpinLock;
use vfs::{Cred, File, Path};

use crate::settings;

static PROCESS: SpinLock<Option<Arc<Process>>> = SpinLock::new(None);

/// The program that /proc/self shows from now on.
pub fn set_process(process: &Arc<Process>) {
    *PROCESS.lock() = Some(process.clone());
}

/// The program that runs.
pub fn process() -> Option<Arc<Process>> {
    PROCESS.lock().clone()
}

/// Whether there is one.
pub fn program_runs() -> bool {
    PROCESS.lock().is_some()
}

/// Sends the program a signal, if it runs.
pub fn signal(info: SigInfo) {
    // Under the lock, so that no handle of ours can be the last: the program's end closes its files.
    if let Some(process) = PROCESS.lock().as_ref() {
        process.signals().send(info);
    }
}

/// The program has ended.
pub fn forget_process() {
    // Dropped without the lock: it may be the last handle.
    let process = PROCESS.lock().take();
    drop(process);
}

/// The kernel as /proc sees it.
pub struct KernelSource {
    /// As the boot loader gave it.
    pub command_line: Vec<u8>,
}

fn bytes(pages: u64) -> u64 {
    pages * PAGE_SIZE as u64
}

impl ProcSource for KernelSource {
    fn uts(&self) -> Uts {
        Uts {
            sysname: "Linux".into(),
            nodename: "quill".into(),
            release: syscall::system::RELEASE.into(),
            version: syscall::system::VERSION.into(),
            domainname: String::new(),
            built: "(quill) (rustc)".into(),
        }
    }

    fn command_line(&self) -> Vec<u8> {
        self.command_line.clone()
    }

    fn memory(&self) -> Memory {
        let stats = frames::stats();
        let file = pagecache::stats::nr_file_pages() as u64;
        // A page may come or go between the two looks.
        let buffers = (pagecache::nr_blockdev_pages() as u64).min(file);
        // Not under the lock: this one may sleep.
        let sizes = process().map(|process| process.mm().sizes()).unwrap_or_default();
        // A page that is mapped at two places counts twice.
        let mapped = sizes.resident_file.saturating_add(sizes.resident_shmem);
        Memory {
            total: bytes(stats.total),
            free: bytes(stats.free),
            available: bytes(stats.free + file),
            buffers: bytes(buffers),
            cached: bytes(file - buffers),
            active: bytes(pagecache::stats::nr_active() as u64),
            dirty: bytes(pagecache::stats::nr_dirty() as u64),
            writeback: bytes(pagecache::stats::nr_writeback() as u64),
            anonymous: sizes.resident.saturating_sub(mapped),
            shmem: sizes.resident_shmem,
            mapped,
            stacks: platform::stack_bytes(),
            ..Memory::default()
        }
    }

    fn cpus(&self) -> Vec<Cpu> {
        Vec::from([Cpu { midr: features::midr(), timer_hz: timer::frequency(), features: features::names() }])
    }

    /// Quill does not tell the program's time from the kernel's: all of it is the program's.
    fn activity(&self) -> Activity {
        let up = CpuTimes { user: base::time::monotonic_ns(), ..CpuTimes::default() };
        Activity {
            cpus: Vec::from([up]),
            interrupts: Vec::from([irq::taken()]),
            threads: 1,
            runnable: 1,
            started: 1,
            ..Activity::default()
        }
    }

    fn vm(&self) -> VmStat {
        settings::vmstat(process().map(|process| process.mm().sizes()))
    }

    fn setting(&self, which: Setting) -> i64 {
        settings::get(which)
    }

    fn set(&self, which: Setting, value: i64) {
        settings::set(which, value);
    }

    fn disks(&self) -> Vec<Disk> {
        block::devices().iter().map(|disk| Disk::of(disk)).collect()
    }

    fn mounted(&self, what: Mounted) -> Vec<Entry> {
        let journals =
            || jbd2::journals().into_iter().map(|(number, journal)| (number, journal.name())).collect();
        let all: Vec<_> = if what == Mounted::Journals { journals() } else { ext4::mounted() };
        all.into_iter().map(|(number, name)| Entry { number, name }).collect()
    }

    fn told(&self, what: Mounted, number: u32) -> Option<String> {
        match what {
            Mounted::Journals => jbd2::by_number(number).map(|journal| journal.info()),
            Mounted::Ext4 => ext4::fast_commit_info(number),
        }
    }

    fn random(&self, bytes: &mut [u8]) {
        entropy::fill(bytes);
    }

    fn process(&self) -> Option<Arc<dyn ProcessView>> {
        let process = PROCESS.lock().clone()?;
        Some(Arc::new(Program(process)))
    }
}

/// The running program.
struct Program(Arc<Process>);

impl ProcessView for Program {
    fn comm(&self) -> Vec<u8> {
        self.0.comm()
    }

    fn set_comm(&self, name: &[u8]) -> base::Result<()> {
        self.0.set_comm(name);
        Ok(())
    }

    fn cmdline(&self) -> Vec<u8> {
        self.0.cmdline()
    }

    fn environ(&self) -> Vec<u8> {
        self.0.environ()
    }

    fn auxv(&self) -> Vec<u8> {
        self.0.auxv()
    }

    fn exe(&self) -> Path {
        self.0.exe().clone()
    }

    fn cwd(&self) -> Path {
        self.0.fs().cwd()
    }

    fn root(&self) -> Path {
        self.0.fs().root()
    }

    fn files(&self) -> Vec<(i32, Arc<File>)> {
        self.0.files().list()
    }

    fn file(&self, fd: i32) -> Option<Arc<File>> {
        self.0.files().get(fd).ok()
    }

    fn fd_size(&self) -> usize {
        self.0.files().size()
    }

    fn maps(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.0.mm().write_maps(&mut text);
        text
    }

    fn sizes(&self) -> Sizes {
        let sizes = self.0.mm().sizes();
        Sizes {
            total: sizes.total,
            peak_total: sizes.total,
            resident: sizes.resident,
            locked: sizes.locked,
            peak_resident: sizes.peak_resident,
            resident_file: sizes.resident_file,
            resident_shmem: sizes.resident_shmem,
            data: sizes.data,
            stack: sizes.stack,
            text: sizes.text,
            minor_faults: sizes.minor_faults,
            major_faults: sizes.major_faults,
            ..Sizes::default()
        }
    }

    fn layout(&self) -> Layout {
        let strings = self.0.mm().strings();
        let span = |(from, to): (base::UserAddr, base::UserAddr)| (from.0, to.0);
        Layout { args: span(strings.args), env: span(strings.env), ..Layout::default() }
    }

    fn io(&self) -> IoCounters {
        let account = self.0.io_accounting();
        let disks = block::task_io::task_io();
        IoCounters {
            rchar: account.rchar.load(Ordering::Relaxed),
            wchar: account.wchar.load(Ordering::Relaxed),
            syscr: account.syscr.load(Ordering::Relaxed),
            syscw: account.syscw.load(Ordering::Relaxed),
            read_bytes: disks.read_bytes,
            write_bytes: disks.write_bytes,
            cancelled_write_bytes: disks.cancelled_write_bytes,
        }
    }

    fn limits(&self) -> [Limit; 16] {
        let limit = |number: usize| match self.0.rlimits().get(number as u32) {
            Ok((soft, hard)) => Limit { soft, hard },
            Err(_) => Limit { soft: limits::INFINITY, hard: limits::INFINITY },
        };
        core::array::from_fn(limit)
    }

    fn cred(&self) -> Arc<Cred> {
        self.0.cred()
    }

    fn umask(&self) -> u32 {
        self.0.fs().umask()
    }

    fn signals(&self) -> SignalSets {
        let signals = self.0.signals();
        let (ignored, caught) = signals.ignored_and_caught();
        SignalSets {
            pending: signals.pending().0,
            blocked: signals.blocked().0,
            ignored: ignored.0,
            caught: caught.0,
        }
    }

    fn times(&self) -> Times {
        let start = self.0.start_ns();
        Times { user: base::time::monotonic_ns().saturating_sub(start), start, ..Times::default() }
    }
}
