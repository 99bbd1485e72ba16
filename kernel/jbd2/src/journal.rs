//! `Journal`: one log and the file system it belongs to.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use base::{Errno, Frame, Ino, Result, time::NSEC_PER_SEC};
use block::ioprio::IoPrio;
use pagecache::{BlockDevice, Buffer, MetadataJournal};
use sync::atomic::{AtomicBool, Ordering};
use sync::thread::Thread;
use sync::{Mutex, SpinLock, WaitQueue};

use crate::checksum::Crc32c;
use crate::disk::Checksums;
use crate::fast_commit::FastArea;
use crate::handle::Spent;
use crate::log::{Log, LogMap};
use crate::priority;
use crate::registry;
use crate::state::{Limits, State};
use crate::stats::{Counters, Stats};
use crate::superblock::{LogSuperblock, SuperblockError};
use crate::tail::Tail;
use crate::thread::Bell;
use crate::transaction::Lists;
use crate::units::Tid;

/// Called once, with the reason, when the journal is given up.
pub type OnAbort = Box<dyn Fn(Errno) + Send + Sync>;

/// How the journal is to work.
#[derive(Clone, Debug)]
pub struct Options {
    /// A transaction is committed when it is so old (`commit=`).
    pub commit_interval_ns: u64,
    /// How long a synchronous handle waits for others to join its transaction, at least and at most.
    pub min_batch_ns: u64,
    pub max_batch_ns: u64,
    /// Whether the devices' caches are flushed where it matters (`barrier`).
    pub barrier: bool,
    /// The commit block does not wait for the blocks it commits (`journal_async_commit`).
    pub async_commit: bool,
    /// Which checksums the log shall have; None: as it has.
    pub checksums: Option<Checksums>,
    /// The file system's block numbers may need 64 bits.
    pub wide: bool,
    /// A failed write of ordered data gives the journal up (`data_err=abort`).
    pub abort_on_data_error: bool,
    /// With which I/O priority transactions are committed (`journal_ioprio`).
    pub ioprio: IoPrio,
    /// The log gets an area of fast commits, if that leaves room enough, and they are written there.
    pub fast_commit: bool,
    /// Whether a thread (`jbd2`) commits what grows old. Without it a test decides itself.
    pub thread: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            commit_interval_ns: 5 * NSEC_PER_SEC,
            min_batch_ns: 0,
            max_batch_ns: 15_000_000,
            barrier: true,
            async_commit: false,
            checksums: None,
            wide: false,
            abort_on_data_error: false,
            ioprio: priority::DEFAULT,
            fast_commit: false,
            thread: true,
        }
    }
}

/// What makes a journal.
pub struct Setup {
    /// Where the log lies: the file system's device, or one of its own.
    pub device: Arc<BlockDevice>,
    /// The file system's device.
    pub fs_device: Arc<BlockDevice>,
    /// Where the log's blocks lie.
    pub map: LogMap,
    /// The file that the log is, if it has no device to itself.
    pub inode: Option<Ino>,
    /// log2 of the block size, of both.
    pub block_bits: u32,
    /// The file system's UUID.
    pub uuid: [u8; 16],
    /// Continues a raw crc32c.
    pub crc32c: Crc32c,
    pub options: Options,
    pub on_abort: OnAbort,
}

/// Why there is no journal to be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JournalError {
    /// The log cannot be read.
    Io(Errno),
    /// Its superblock.
    Superblock(SuperblockError),
}

/// A journal; see the module.
pub struct Journal {
    setup: Setup,
    log: Log,
    limits: Limits,
    state: SpinLock<State>,
    lists: Mutex<Lists>,
    tail: Mutex<Tail>,
    fast: SpinLock<FastArea>,
    /// Pages for copies of blocks.
    pages: Mutex<Vec<Frame>>,
    /// Whether `state.aborted` is: asked at each handle's start.
    dead: AtomicBool,
    thread: Mutex<Option<Thread>>,
    bell: Arc<Bell>,
    counters: Counters,
    /// Who waits for the last handle of a transaction.
    pub(crate) drained: WaitQueue,
    /// Who waits for a commit to come on, or for handles to be let in again.
    pub(crate) moved: WaitQueue,
}

impl Journal {
    /// Reads the journal's superblock and checks it. Nothing is written, and no handle can start, before
    /// [`Journal::begin`].
    pub fn load(setup: Setup) -> core::result::Result<Arc<Journal>, JournalError> {
        let log = Log::new(setup.device.disk(), setup.map.clone(), setup.block_bits)?;
        let block = log.read_superblock()?;
        let superblock = LogSuperblock::load(&block, setup.map.blocks(), setup.crc32c)?;
        // As the log will be when it begins.
        let planned = if setup.options.fast_commit { superblock.with_fast_commits() } else { None };
        let limits = Limits::of(planned.as_ref().unwrap_or(&superblock));
        let state = State::new(superblock.sequence(), superblock.ring().blocks(), (&setup.options).into());
        let tail = Tail::new(superblock);
        let journal = Arc::new(Journal {
            setup,
            log,
            limits,
            state: SpinLock::new(state),
            lists: Mutex::default(),
            tail: Mutex::new(tail),
            fast: SpinLock::default(),
            pages: Mutex::default(),
            dead: AtomicBool::new(false),
            thread: Mutex::default(),
            bell: Arc::default(),
            counters: Counters::default(),
            drained: WaitQueue::new(),
            moved: WaitQueue::new(),
        });
        registry::add(&journal);
        Ok(journal)
    }

    /// Whether the log has transactions that may not be at home.
    pub fn needs_recovery(&self) -> bool {
        self.tail.lock().superblock.start().is_some()
    }

    pub(crate) fn state(&self) -> &SpinLock<State> {
        &self.state
    }

    pub(crate) fn lists(&self) -> &Mutex<Lists> {
        &self.lists
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    pub(crate) fn tail(&self) -> &Mutex<Tail> {
        &self.tail
    }

    pub(crate) fn fast_area(&self) -> &SpinLock<FastArea> {
        &self.fast
    }

    pub(crate) fn pages(&self) -> &Mutex<Vec<Frame>> {
        &self.pages
    }

    /// What [`Journal::is_aborted`] answers from now on.
    pub(crate) fn set_dead(&self) {
        self.dead.store(true, Ordering::Release);
    }

    pub(crate) fn thread(&self) -> &Mutex<Option<Thread>> {
        &self.thread
    }

    pub(crate) fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }

    /// Whether the log has a device to itself.
    pub fn is_external(&self) -> bool {
        !Arc::ptr_eq(&self.setup.device, &self.setup.fs_device)
    }

    /// The error that an earlier user gave up with, as its superblock has it: a negative errno, or 0.
    pub fn recorded_errno(&self) -> i32 {
        self.tail.lock().superblock.errno()
    }

    /// That error has been dealt with.
    pub fn clear_errno(&self) -> Result<()> {
        if self.recorded_errno() == 0 { Ok(()) } else { self.record_errno(0) }
    }

    /// What it was made of.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// File systems that use it, as its superblock has it.
    pub fn users(&self) -> u32 {
        self.tail.lock().superblock.users()
    }

    /// Blocks before the area of fast commits, the superblock's among them.
    pub fn log_len(&self) -> u32 {
        self.tail.lock().superblock.ring().last.0
    }

    /// Freed blocks whose records fill one block of the log.
    pub fn revokes_per_block(&self) -> usize {
        self.limits.revokes_per_block
    }

    /// The most blocks that one handle may ask for.
    pub fn max_credits(&self) -> u32 {
        self.limits.max_credits
    }

    /// Its options when it was loaded; some may have changed since ([`Journal::tuning`]).
    pub fn options(&self) -> &Options {
        &self.setup.options
    }

    /// What it counted.
    pub fn stats(&self) -> Stats {
        self.counters.read()
    }

    /// The running transaction, if there is one.
    pub fn running_tid(&self) -> Option<Tid> {
        self.state.lock().running.as_ref().map(|running| running.tid)
    }

    /// The newest transaction there is: the running one, or the last that was. Inside a handle, its own.
    pub fn newest_tid(&self) -> Tid {
        Tid(self.state.lock().next.0.wrapping_sub(1))
    }

    /// Whether a transaction's commit is over.
    pub fn is_committed(&self, tid: Tid) -> bool {
        self.state.lock().is_committed(tid)
    }

    /// Whether it was given up.
    pub fn is_aborted(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }

    /// Why it was given up, if it was.
    pub fn errno(&self) -> Option<Errno> {
        self.state.lock().aborted
    }
}

impl MetadataJournal for Journal {
    fn get_write_access(&self, buffer: &Buffer, bytes: &[u8]) -> bool {
        if self.is_aborted() {
            // It goes nowhere, and this keeps it from doing so. A commit under way that has no copy of it yet
            // ends without its commit block.
            buffer.set_journalled();
            return true;
        }
        let spent = self.spend_credit();
        let mut lists = self.lists.lock();
        lists.enter(buffer, bytes);
        if spent != Spent::Credit {
            self.unasked(spent, buffer);
        }
        true
    }
}

impl Journal {
    /// A block came into the running transaction that nobody had asked room for. The lists are locked.
    #[cold]
    fn unasked(&self, spent: Spent, buffer: &Buffer) {
        let (counter, what) = match spent {
            Spent::Stray => (&self.counters.stray, "outside any operation"),
            _ => (&self.counters.overruns, "beyond its operation's credits"),
        };
        if counter.add(1) == 0 {
            log::warn!("{self}: {buffer:?} is changed {what}");
        }
        let mut state = self.state.lock();
        state.running_or_new(base::time::monotonic_ns).outstanding += 1;
    }
}

impl fmt::Display for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "jbd2 {}", self.setup.fs_device.disk().name())
    }
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JournalError::Io(errno) => write!(f, "the journal cannot be read: {errno}"),
            JournalError::Superblock(error) => error.fmt(f),
        }
    }
}

impl From<Errno> for JournalError {
    fn from(errno: Errno) -> JournalError {
        JournalError::Io(errno)
    }
}

impl From<SuperblockError> for JournalError {
    fn from(error: SuperblockError) -> JournalError {
        JournalError::Superblock(error)
    }
}

impl From<JournalError> for Errno {
    fn from(error: JournalError) -> Errno {
        match error {
            JournalError::Io(errno) => errno,
            JournalError::Superblock(error) => error.into(),
        }
    }
}
