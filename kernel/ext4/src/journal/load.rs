//! The journal found, recovered, begun and ended.
//!
//! # At mount
//! ```text
//!   needs_recovery?   a scout of the file system as it is on the disk finds the journal and replays it;
//!                     then all is read again, from the superblock on             recover
//!   fast commits?     the same once more, with what those say                   recover_fast_commits
//!   attach            the journal is loaded: nothing is written yet               also read-only
//!   begin             needs_recovery is set on the disk; then the journal takes handles
//! ```
//! # At unmount, and when it becomes read-only
//! The journal commits and takes everything home, its log is empty and says so, and only then the
//! superblock loses needs_recovery and is written past the journal.
//!
//! # Where it lies
//! In inode 8 (`s_journal_inum`), whose blocks are read once into a [`LogMap`]; or on a device of its own,
//! which `s_journal_dev` or the option `journal_dev=` names and whose UUID is `s_journal_uuid`.
//!
//! Source: the kernel's ext4 documentation, "Journal (jbd2)"; `ext4_load_journal`.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use base::{DevId, Errno, FileBlock, FsBlock, Ino, Result};
use jbd2::disk::Checksums;
use jbd2::log::{LogMap, MapError};
use jbd2::superblock::MIN_LOG_BLOCKS;
use jbd2::{Journal, Setup};
use pagecache::{BlockDevice, ExtentKind, MapMode};
use vfs::FileType;
use zerocopy::FromBytes;

use crate::checksum::crc32c;
use crate::disk::fast_commit::Change;
use crate::disk::feature::{Compat, Incompat};
use crate::disk::superblock::{MAGIC, OFFSET, SIZE, STATE_ERROR, Superblock};
use crate::fs::Ext4Fs;
use crate::geometry::Geometry;
use crate::inode::cache::InodeCache;
use crate::journal::fast_commit;
use crate::options::{DataMode, Flag, Options};

/// Why there is no journal to be had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum LoadError {
    /// The superblock names neither an inode nor a device.
    None,
    /// It names both.
    Both(u32, u32),
    /// The inode is no regular file.
    Kind,
    /// Its size is no whole number of blocks, or too many.
    Size(u64),
    /// A block of it is not there.
    Hole(FileBlock),
    /// Its runs make no log.
    Map(MapError),
    /// There is no such device.
    NoDevice(DevId),
    /// The device's superblock is none of an external journal.
    NotJournalDevice,
    /// It has another UUID than the file system expects.
    Uuid,
    /// Its blocks have another size.
    BlockSize(u32),
    /// It is that of so many file systems.
    Users(u32),
    /// Its log has so few blocks.
    Short(u32),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::None => f.write_str("no journal found"),
            LoadError::Both(ino, dev) => {
                write!(f, "the superblock has both a journal inode ({ino}) and a journal device ({dev:#x})")
            }
            LoadError::Kind => f.write_str("invalid journal inode: no regular file"),
            LoadError::Size(size) => write!(f, "invalid journal inode: {size} bytes"),
            LoadError::Hole(block) => write!(f, "invalid journal inode: no block at {block}"),
            LoadError::Map(error) => error.fmt(f),
            LoadError::NoDevice(dev) => {
                write!(f, "there is no device {}:{} for the external journal", dev.major, dev.minor)
            }
            LoadError::NotJournalDevice => f.write_str("the external journal has a bad superblock"),
            LoadError::Uuid => f.write_str("the journal's UUID does not match"),
            LoadError::BlockSize(log) => {
                write!(f, "the external journal has blocks of {} bytes", 1u64 << (10 + log))
            }
            LoadError::Users(users) => {
                write!(f, "the external journal has {users} users, and must have one")
            }
            LoadError::Short(blocks) => {
                write!(f, "journal too short: {blocks} blocks, {MIN_LOG_BLOCKS} are the least")
            }
        }
    }
}

impl From<LoadError> for Errno {
    fn from(error: LoadError) -> Errno {
        match error {
            LoadError::NoDevice(_) => Errno::ENODEV,
            LoadError::Kind | LoadError::Size(_) | LoadError::Hole(_) | LoadError::Map(_) => Errno::EUCLEAN,
            _ => Errno::EINVAL,
        }
    }
}

/// Whether a mount uses the disk's journal.
pub(crate) fn is_wanted(geometry: &Geometry, options: &Options) -> bool {
    geometry.has_compat(Compat::HAS_JOURNAL) && !options.is_on(Flag::NORECOVERY, Flag::empty())
}

/// Replays the journal of a file system that was put together for that alone. Afterwards the disk is
/// another: nothing that was read of it counts any more. What there is of fast commits is left for
/// [`recover_fast_commits`].
pub(crate) fn recover(scout: &Arc<Ext4Fs>) -> Result<Vec<Change>> {
    let before = scout.superblock();
    let journal = open(scout)?;
    let complain = |e: jbd2::RecoveryError| {
        log::error!("EXT4-fs ({}): error loading journal: {e}", scout.disk_name());
        Errno::from(e)
    };
    let report = journal.recover().map_err(complain)?;
    scout.with_superblock(|sb| keep_errors(sb, &before));
    scout.device().sync()?;
    scout.device().flush()?;
    let changes = fast_commit::told(scout, &journal, report.end.0)?;
    if changes.is_empty() {
        journal.finish_recovery(&report).map_err(complain)?;
        scout.say(format_args!("recovery complete"));
    } else {
        journal.keep_fast_commits(&report).map_err(complain)?;
    }
    Ok(changes)
}

/// Replays fast commits on a second such file system, that sees what the first has replayed. All of them, or
/// nothing is changed.
pub(crate) fn recover_fast_commits(scout: &Arc<Ext4Fs>, changes: Vec<Change>) -> Result<()> {
    let journal = open(scout)?;
    journal.begin_with_fast_commits()?;
    scout.set_journal(journal.clone());
    let one = scout.start(journal.max_credits());
    let replayed = one.and_then(|_handle| fast_commit::replay(scout, changes));
    let done = replayed.and_then(|()| journal.force_commit());
    if let Err(error) = done {
        log::error!("EXT4-fs ({}): error replaying fast commits: {error}", scout.disk_name());
        journal.abort(Errno::ESHUTDOWN);
    }
    let ended = journal.end();
    done.and(ended)?;
    scout.say(format_args!("recovery complete"));
    Ok(())
}

/// Errors are noted past the journal, so a replay may have brought back a superblock without them.
fn keep_errors(sb: &mut Superblock, before: &Superblock) {
    sb.s_state = (sb.s_state.get() | before.s_state.get() & STATE_ERROR).into();
    if before.s_error_count.get() <= sb.s_error_count.get() {
        return;
    }
    let old = before;
    sb.s_error_count = old.s_error_count;
    sb.s_first_error_time = old.s_first_error_time;
    sb.s_first_error_time_hi = old.s_first_error_time_hi;
    sb.s_first_error_ino = old.s_first_error_ino;
    sb.s_first_error_block = old.s_first_error_block;
    sb.s_first_error_func = old.s_first_error_func;
    sb.s_first_error_line = old.s_first_error_line;
    sb.s_first_error_errcode = old.s_first_error_errcode;
    sb.s_last_error_time = old.s_last_error_time;
    sb.s_last_error_time_hi = old.s_last_error_time_hi;
    sb.s_last_error_ino = old.s_last_error_ino;
    sb.s_last_error_block = old.s_last_error_block;
    sb.s_last_error_func = old.s_last_error_func;
    sb.s_last_error_line = old.s_last_error_line;
    sb.s_last_error_errcode = old.s_last_error_errcode;
}

/// Loads the journal of a file system that is being mounted and needs no recovery (any more). What an
/// earlier mount gave up with is taken over into the superblock.
pub(crate) fn attach(fs: &Arc<Ext4Fs>) -> Result<()> {
    let journal = open(fs)?;
    let may_write = !fs.device().disk().read_only();
    if journal.needs_recovery() && may_write {
        // The superblock says that nothing is to be replayed: as with Linux, what the log has is passed over.
        log::warn!("EXT4-fs ({}): the journal has transactions that nobody asks for", fs.disk_name());
        journal.wipe().map_err(Errno::from)?;
    }
    let recorded = journal.recorded_errno();
    if recorded != 0 {
        log::warn!(
            "EXT4-fs ({}): file system error recorded from a previous mount: {recorded}",
            fs.disk_name()
        );
        if may_write {
            fs.with_superblock(|sb| sb.s_state = (sb.s_state.get() | STATE_ERROR).into());
            fs.superblock_buffer().sync()?;
            fs.device().flush()?;
            journal.clear_errno()?;
        }
    }
    fs.set_journal(journal);
    Ok(())
}

impl Ext4Fs {
    /// The disk says that the journal is in use, and then it is.
    pub(crate) fn begin_journal(&self) -> Result<()> {
        let Some(journal) = self.journal() else { return Ok(()) };
        journal.begin()?;
        self.tracker.set(journal.has_fast_commits());
        Ok(())
    }

    /// Everything is at home and the log is empty. EIO after an abort; then the log is left as it is.
    pub(crate) fn end_journal(&self) -> Result<()> {
        self.journal().map_or(Ok(()), |journal| journal.end())
    }

    /// The options that a remount may change, told to the journal.
    pub(crate) fn tune_journal(&self) {
        if let Some(journal) = self.journal() {
            journal.tune((&options(self)).into());
        }
    }

    /// The journal has given itself up.
    fn journal_gave_up(&self, errno: Errno) {
        if errno != Errno::ESHUTDOWN {
            self.note_abort(errno);
        }
    }
}

/// Finds the journal and reads its superblock.
fn open(fs: &Arc<Ext4Fs>) -> Result<Arc<Journal>> {
    let complain = |e: &dyn fmt::Display| {
        log::error!("EXT4-fs ({}): {e}", fs.disk_name());
    };
    let (device, map) = find(fs, &complain)?;
    let ino = fs.superblock().s_journal_inum.get();
    let geometry = fs.geometry();
    let weak = Arc::downgrade(fs);
    let setup = Setup {
        device,
        fs_device: fs.device().clone(),
        map,
        inode: (ino != 0).then_some(Ino(u64::from(ino))),
        block_bits: geometry.block_bits,
        uuid: geometry.uuid,
        crc32c,
        options: options(fs),
        on_abort: Box::new(move |errno| {
            if let Some(fs) = weak.upgrade() {
                fs.journal_gave_up(errno);
            }
        }),
    };
    let external = !Arc::ptr_eq(&setup.device, fs.device());
    let journal = Journal::load(setup).map_err(|e| {
        complain(&e);
        Errno::from(e)
    })?;
    if external && journal.users() != 1 {
        let e = LoadError::Users(journal.users());
        complain(&e);
        return Err(e.into());
    }
    if journal.log_len() < MIN_LOG_BLOCKS {
        let e = LoadError::Short(journal.log_len());
        complain(&e);
        return Err(e.into());
    }
    if !external {
        // Its own inode was read before: no other may have these blocks.
        let runs = journal.setup().map.runs().map(|(first, len)| (first.0, u64::from(len)));
        fs.zones.protect_journal(runs.collect());
    }
    Ok(journal)
}

/// The mount's options, as the journal has them.
fn options(fs: &Ext4Fs) -> jbd2::Options {
    let options = fs.options();
    let (seconds, micros) = (1_000_000_000, 1000);
    let (min, max) = options.batch_time;
    let checksums = if fs.geometry().metadata_csum() {
        Checksums::V3
    } else if fs.is_on(Flag::JOURNAL_CHECKSUM) {
        Checksums::V1
    } else {
        Checksums::None
    };
    jbd2::Options {
        commit_interval_ns: u64::from(options.commit.unwrap_or(5)) * seconds,
        min_batch_ns: u64::from(min.unwrap_or(0)) * micros,
        max_batch_ns: u64::from(max.unwrap_or(15_000)) * micros,
        barrier: fs.is_on(Flag::BARRIER),
        async_commit: fs.is_on(Flag::ASYNC_COMMIT),
        checksums: Some(checksums),
        wide: fs.geometry().has_incompat(Incompat::BIT64),
        abort_on_data_error: fs.is_on(Flag::DATA_ERR_ABORT),
        ioprio: options.journal_ioprio.unwrap_or(jbd2::priority::DEFAULT),
        // Data that go through the journal are told by nothing else.
        fast_commit: fs.geometry().has_compat(Compat::FAST_COMMIT) && fs.data_mode() != DataMode::Journal,
        thread: true,
    }
}

/// The device of the log, and where on it the log lies.
fn find(fs: &Arc<Ext4Fs>, complain: &dyn Fn(&dyn fmt::Display)) -> Result<(Arc<BlockDevice>, LogMap)> {
    let refuse = |e: LoadError| {
        complain(&e);
        Errno::from(e)
    };
    let sb = fs.superblock();
    let (ino, dev) = (sb.s_journal_inum.get(), fs.options().journal_dev.unwrap_or(sb.s_journal_dev.get()));
    match (ino, dev) {
        (0, 0) => Err(refuse(LoadError::None)),
        (0, dev) => external(fs, &sb, dev)?.map_err(refuse),
        (_, 0) => Ok((fs.device().clone(), internal(fs, ino)?.map_err(refuse)?)),
        (ino, dev) => Err(refuse(LoadError::Both(ino, dev))),
    }
}

/// The blocks of the journal's inode.
fn internal(fs: &Arc<Ext4Fs>, ino: u32) -> Result<core::result::Result<LogMap, LoadError>> {
    let inode = InodeCache::get_special(fs, Ino(u64::from(ino)))?;
    let geometry = fs.geometry();
    if inode.kind() != FileType::Regular || inode.is_inline() {
        return Ok(Err(LoadError::Kind));
    }
    let size = inode.size();
    let blocks = size >> geometry.block_bits;
    if !size.is_multiple_of(geometry.block_size() as u64) || u32::try_from(blocks).is_err() {
        return Ok(Err(LoadError::Size(size)));
    }
    let mut runs = Vec::new();
    let mut at = 0;
    while at < blocks {
        let extent = inode.map_blocks(FileBlock(at), blocks - at, MapMode::Read)?;
        let ExtentKind::Mapped { block } = extent.kind else {
            return Ok(Err(LoadError::Hole(FileBlock(at))));
        };
        // At most `blocks`, which fits.
        let len = extent.len.min(blocks - at);
        runs.push((block, len as u32));
        at += len;
    }
    Ok(LogMap::from_runs(runs).map_err(LoadError::Map))
}

/// An external journal: a device whose superblock is ext4's, with the feature journal_dev, and the journal's
/// in the block behind it.
fn external(
    fs: &Ext4Fs,
    expected: &Superblock,
    dev: u32,
) -> Result<core::result::Result<(Arc<BlockDevice>, LogMap), LoadError>> {
    let id = DevId::new((dev >> 8) & 0xfff, (dev & 0xff) | ((dev >> 12) & 0xf_ff00));
    let Some(disk) = block::devices().into_iter().find(|disk| disk.dev() == id) else {
        return Ok(Err(LoadError::NoDevice(id)));
    };
    let device = BlockDevice::of(&disk);
    let claim = device.claim()?;
    let bits = fs.geometry().block_bits;
    device.set_block_size(bits)?;
    let sb = {
        let buffer = device.bread(FsBlock(OFFSET >> bits))?;
        let bytes = buffer.read();
        let from = OFFSET as usize % bytes.len();
        Superblock::read_from_bytes(bytes.get(from..from + SIZE).ok_or(Errno::EIO)?)
            .map_err(|_| Errno::EIO)?
    };
    if sb.s_magic.get() != MAGIC || sb.s_feature_incompat.get() & Incompat::JOURNAL_DEV.bits() == 0 {
        return Ok(Err(LoadError::NotJournalDevice));
    }
    if sb.s_uuid != expected.s_journal_uuid {
        return Ok(Err(LoadError::Uuid));
    }
    if sb.s_log_block_size.get() + 10 != bits {
        return Ok(Err(LoadError::BlockSize(sb.s_log_block_size.get())));
    }
    let blocks = sb.s_blocks_count_lo.get();
    fs.keep_log_claim(claim);
    let map = LogMap::device(FsBlock((OFFSET >> bits) + 1), blocks).map_err(LoadError::Map);
    Ok(map.map(|map| (device, map)))
}
