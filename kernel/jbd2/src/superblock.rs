//! The journal's superblock, checked: where the log begins, and what kind of log it is.
//!
//! [`LogSuperblock::load`] is the one door. What comes out of it is trusted: the log and the area of fast
//! commits lie within the journal, the features are known, and the start of the log is one of its blocks.
//!
//! ```text
//!   0    first                          last = maxlen - fc         maxlen
//!   | sb | log, a ring of last - first blocks |    | fast commits |
//!           ^ start: the oldest transaction that is not at home   (0: there is none)
//! ```
//! The log's block `last` itself is nobody's when there are fast commits: Linux begins them one further.
//!
//! # How it is written
//! The setters change the copy in memory; [`LogSuperblock::block`] is what must be written to the disk,
//! whole, with a checksum if there is one. Who writes it makes sure of the order: what the new start no
//! longer covers must be at home on stable storage before (see `checkpoint`).
//!
//! Source: the kernel's ext4 documentation, "Journal (jbd2)", super block.

use alloc::boxed::Box;
use core::fmt;
use core::ops::Range;

use base::Errno;
use zerocopy::FromBytes;

use crate::checksum::Crc32c;
use crate::disk::{BlockType, Checksums, Compat, Format, Header, Incompat, RawSuperblock, SUPERBLOCK_SIZE};
use crate::disk::{CHECKSUM_AT, CHECKSUM_CRC32C, Names};
use crate::units::{LogBlock, Tid};

/// Linux uses no journal with a shorter one (`JBD2_MIN_JOURNAL_BLOCKS`); a file system should not either. All
/// blocks before the area of fast commits count.
pub const MIN_LOG_BLOCKS: u32 = 1024;
/// Blocks of the area of fast commits when the superblock says 0.
const DEFAULT_FAST_COMMIT_BLOCKS: u32 = 256;

/// Why a journal's superblock is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SuperblockError {
    /// No journal begins here.
    Magic,
    /// `s_blocksize` is not the file system's (the second).
    BlockSize(u32, usize),
    /// `s_maxlen` says more blocks than the journal has (the second).
    Length(u32, u32),
    /// `s_first` is no block of the log, or leaves no room for one.
    First(u32),
    /// `s_start` is no block of the log.
    Start(u32),
    /// Incompatible features that are not known.
    Incompat(u32),
    /// Read-only compatible features that are not known.
    RoCompat(u32),
    /// Two kinds of checksums at once.
    TwoChecksums,
    /// `s_checksum_type` is none that is known.
    ChecksumType(u8),
    /// `s_checksum`, and what the superblock adds up to.
    Checksum(u32, u32),
    /// The area of fast commits leaves no room for the log.
    FastCommitBlocks(u32),
}

impl fmt::Display for SuperblockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            SuperblockError::Magic => f.write_str("no journal superblock found"),
            SuperblockError::BlockSize(disk, fs) => {
                write!(f, "journal blocks of {disk} bytes, file system blocks of {fs}")
            }
            SuperblockError::Length(says, has) => {
                write!(f, "journal file too short: {says} blocks expected, there are {has}")
            }
            SuperblockError::First(first) => write!(f, "invalid first block of the log: {first}"),
            SuperblockError::Start(start) => write!(f, "invalid start block of the log: {start}"),
            SuperblockError::Incompat(bits) => write!(f, "unknown incompat features: {}", Names(bits)),
            SuperblockError::RoCompat(bits) => write!(f, "unknown ro_compat features: {bits:#x}"),
            SuperblockError::TwoChecksums => f.write_str("checksums of two kinds at the same time"),
            SuperblockError::ChecksumType(kind) => write!(f, "unknown type of checksum: {kind}"),
            SuperblockError::Checksum(disk, calc) => {
                write!(f, "bad superblock checksum {disk:#010x}, the block gives {calc:#010x}")
            }
            SuperblockError::FastCommitBlocks(blocks) => {
                write!(f, "no room for {blocks} blocks of fast commits")
            }
        }
    }
}

impl From<SuperblockError> for Errno {
    fn from(error: SuperblockError) -> Errno {
        match error {
            SuperblockError::Checksum(..) => Errno::EBADMSG,
            SuperblockError::Length(..) | SuperblockError::First(_) | SuperblockError::Start(_) => {
                Errno::EUCLEAN
            }
            _ => Errno::EINVAL,
        }
    }
}

/// A checked superblock.
#[derive(Clone)]
pub struct LogSuperblock {
    /// The whole block as it lies on the disk, at least [`SUPERBLOCK_SIZE`] bytes.
    block: Box<[u8]>,
    crc32c: Crc32c,
    checksums: Checksums,
}

impl LogSuperblock {
    /// Checks the journal's first block; its length is the file system's block size. `blocks`: how many
    /// the journal's file or device has.
    pub fn load(block: &[u8], blocks: u32, crc32c: Crc32c) -> Result<LogSuperblock, SuperblockError> {
        let (raw, _) = RawSuperblock::ref_from_prefix(block).map_err(|_| SuperblockError::Magic)?;
        let v2 = match Header::read(block).map(|h| h.kind) {
            Some(BlockType::SuperblockV1) => false,
            Some(BlockType::SuperblockV2) => true,
            _ => return Err(SuperblockError::Magic),
        };
        if usize::try_from(raw.s_blocksize.get()) != Ok(block.len()) {
            return Err(SuperblockError::BlockSize(raw.s_blocksize.get(), block.len()));
        }
        if raw.s_maxlen.get() > blocks {
            return Err(SuperblockError::Length(raw.s_maxlen.get(), blocks));
        }
        let checksums = if v2 { check_features(raw, crc32c)? } else { Checksums::None };
        let sb = LogSuperblock { block: block.into(), crc32c, checksums };
        sb.check_places()?;
        Ok(sb)
    }

    fn check_places(&self) -> Result<(), SuperblockError> {
        let raw = self.raw();
        let (first, last) = (raw.s_first.get(), self.last().0);
        if self.incompat().contains(Incompat::FAST_COMMIT) && self.fast_commit_blocks() >= raw.s_maxlen.get()
        {
            return Err(SuperblockError::FastCommitBlocks(self.fast_commit_blocks()));
        }
        if first == 0 || first >= last {
            return Err(SuperblockError::First(first));
        }
        let start = raw.s_start.get();
        if start != 0 && !(first..last).contains(&start) {
            return Err(SuperblockError::Start(start));
        }
        Ok(())
    }

    fn raw(&self) -> &RawSuperblock {
        // The block was at least this long when it was checked; no alignment is asked for.
        match RawSuperblock::ref_from_prefix(&self.block) {
            Ok((raw, _)) => raw,
            Err(_) => unreachable!("a superblock of {} bytes", self.block.len()),
        }
    }

    fn change(&mut self, with: impl FnOnce(&mut RawSuperblock)) {
        if let Ok((raw, _)) = RawSuperblock::mut_from_prefix(&mut self.block) {
            with(raw);
        }
        if self.checksums.per_block() {
            let sum = checksum(&self.block[..SUPERBLOCK_SIZE], self.crc32c);
            self.block[CHECKSUM_AT..CHECKSUM_AT + 4].copy_from_slice(&sum.to_be_bytes());
        }
    }

    /// The block to write, whole.
    pub fn block(&self) -> &[u8] {
        &self.block
    }

    /// How the log's blocks are laid out.
    pub fn format(&self) -> Format {
        let wide = self.incompat().contains(Incompat::BIT64);
        Format::new(self.block.len(), self.checksums, wide, self.uuid(), self.crc32c)
    }

    /// The log's blocks, a ring.
    pub fn ring(&self) -> Ring {
        Ring { first: self.first(), last: self.last() }
    }

    /// The log's first block.
    pub fn first(&self) -> LogBlock {
        LogBlock(self.raw().s_first.get())
    }

    /// The first block behind the log.
    fn last(&self) -> LogBlock {
        let maxlen = self.raw().s_maxlen.get();
        LogBlock(match self.incompat().contains(Incompat::FAST_COMMIT) {
            true => maxlen.saturating_sub(self.fast_commit_blocks()),
            false => maxlen,
        })
    }

    /// The area of fast commits; empty without the feature.
    pub fn fast_commits(&self) -> Range<u32> {
        if !self.incompat().contains(Incompat::FAST_COMMIT) {
            return 0..0;
        }
        self.last().0 + 1..self.raw().s_maxlen.get()
    }

    fn fast_commit_blocks(&self) -> u32 {
        match self.raw().s_num_fc_blocks.get() {
            0 => DEFAULT_FAST_COMMIT_BLOCKS,
            blocks => blocks,
        }
    }

    /// Blocks of the journal, the superblock and all areas counted.
    pub fn max_len(&self) -> u32 {
        self.raw().s_maxlen.get()
    }

    /// Number of the first transaction of the log, or of the next one when there is none.
    pub fn sequence(&self) -> Tid {
        Tid(self.raw().s_sequence.get())
    }

    /// Where the log begins; None when everything is at home.
    pub fn start(&self) -> Option<LogBlock> {
        match self.raw().s_start.get() {
            0 => None,
            start => Some(LogBlock(start)),
        }
    }

    /// The error that made an earlier user give up, as a negative errno; 0: none.
    pub fn errno(&self) -> i32 {
        self.raw().s_errno.get().cast_signed()
    }

    /// The journal's own UUID (that of the device, when it has one to itself).
    pub fn uuid(&self) -> [u8; 16] {
        if self.is_v2() { self.raw().s_uuid } else { [0; 16] }
    }

    /// File systems that use the journal.
    pub fn users(&self) -> u32 {
        self.raw().s_nr_users.get()
    }

    /// Whether the superblock has features.
    pub fn is_v2(&self) -> bool {
        Header::read(&self.block).is_some_and(|h| h.kind == BlockType::SuperblockV2)
    }

    /// Which checksums.
    pub fn checksums(&self) -> Checksums {
        self.checksums
    }

    /// Features that not every reader must know.
    pub fn compat(&self) -> Compat {
        if self.is_v2() {
            Compat::from_bits_truncate(self.raw().s_feature_compat.get())
        } else {
            Compat::empty()
        }
    }

    /// Features that every reader must know.
    pub fn incompat(&self) -> Incompat {
        let bits = if self.is_v2() { self.raw().s_feature_incompat.get() } else { 0 };
        Incompat::from_bits_truncate(bits)
    }

    /// The log begins at `start` with transaction `sequence`; or it is empty and `sequence` comes next.
    pub fn set_tail(&mut self, sequence: Tid, start: Option<LogBlock>) {
        self.change(|raw| {
            raw.s_sequence = sequence.0.into();
            raw.s_start = start.map_or(0, |block| block.0).into();
            // Where the next transaction would go, known to be right only when a newer Linux wrote it.
            raw.s_head = 0.into();
        });
    }

    /// Why nobody may go on with this journal: a negative errno; or 0 when that is settled.
    pub fn set_errno(&mut self, errno: i32) {
        self.change(|raw| raw.s_errno = errno.cast_unsigned().into());
    }

    /// Sets features, and with them the kind of checksums and the area of fast commits, for an empty log.
    /// False, and nothing changed, when they exclude each other or leave no room for the log. A version 1
    /// superblock has no features.
    pub fn set_features(&mut self, compat: Compat, incompat: Incompat) -> bool {
        let Ok(checksums) = kind_of_checksums(compat, incompat) else { return false };
        if !self.is_v2() {
            return compat.is_empty() && incompat.is_empty();
        }
        let mut new = LogSuperblock { checksums, ..self.clone() };
        new.change(|raw| {
            raw.s_feature_compat = compat.bits().into();
            raw.s_feature_incompat = incompat.bits().into();
            raw.s_checksum_type = if checksums.per_block() { CHECKSUM_CRC32C } else { 0 };
            raw.s_checksum = 0.into();
        });
        let fits = new.check_places().is_ok();
        if fits {
            *self = new;
        }
        fits
    }
}

impl fmt::Debug for LogSuperblock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ring { first, last } = self.ring();
        write!(f, "log {first}..{last}, {:?}, start ", self.format())?;
        write!(f, "{} at {}", self.sequence(), self.raw().s_start)
    }
}

fn check_features(raw: &RawSuperblock, crc32c: Crc32c) -> Result<Checksums, SuperblockError> {
    let incompat = raw.s_feature_incompat.get();
    let incompat =
        Incompat::from_bits(incompat).ok_or(SuperblockError::Incompat(incompat & !Incompat::all().bits()))?;
    if raw.s_feature_ro_compat.get() != 0 {
        return Err(SuperblockError::RoCompat(raw.s_feature_ro_compat.get()));
    }
    let compat = Compat::from_bits_truncate(raw.s_feature_compat.get());
    let checksums = kind_of_checksums(compat, incompat)?;
    if checksums.per_block() {
        if raw.s_checksum_type != CHECKSUM_CRC32C {
            return Err(SuperblockError::ChecksumType(raw.s_checksum_type));
        }
        let calc = checksum(zerocopy::IntoBytes::as_bytes(raw), crc32c);
        if raw.s_checksum.get() != calc {
            return Err(SuperblockError::Checksum(raw.s_checksum.get(), calc));
        }
    }
    Ok(checksums)
}

fn kind_of_checksums(compat: Compat, incompat: Incompat) -> Result<Checksums, SuperblockError> {
    let v1 = compat.contains(Compat::CHECKSUM);
    let (v2, v3) = (incompat.contains(Incompat::CSUM_V2), incompat.contains(Incompat::CSUM_V3));
    match (v1, v2, v3) {
        (false, false, false) => Ok(Checksums::None),
        (true, false, false) => Ok(Checksums::V1),
        (false, true, false) => Ok(Checksums::V2),
        (false, false, true) => Ok(Checksums::V3),
        _ => Err(SuperblockError::TwoChecksums),
    }
}

/// Of the 1024 bytes, the checksum itself as zeros.
fn checksum(raw: &[u8], crc32c: Crc32c) -> u32 {
    crc32c(crc32c(crc32c(!0, &raw[..CHECKSUM_AT]), &[0; 4]), &raw[CHECKSUM_AT + 4..])
}

/// The blocks of the log, from the first to before the last, where it begins anew.
///
/// ```text
///   first 1, last 8:   1 2 3 4 5 6 7 1 2 …      advance(6, 3) = 2, distance(6, 2) = 3
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ring {
    /// The first.
    pub first: LogBlock,
    /// The first that no longer belongs to it; above `first`.
    pub last: LogBlock,
}

impl Ring {
    /// How many blocks.
    pub const fn blocks(&self) -> u32 {
        self.last.0 - self.first.0
    }

    /// Whether it has this block.
    pub const fn contains(&self, block: LogBlock) -> bool {
        block.0 >= self.first.0 && block.0 < self.last.0
    }

    /// The block after this one.
    pub const fn next(&self, block: LogBlock) -> LogBlock {
        self.advance(block, 1)
    }

    /// The block `n` steps after this one of the ring.
    pub const fn advance(&self, block: LogBlock, n: u32) -> LogBlock {
        let at = (block.0 - self.first.0) as u64 + n as u64;
        // Below the ring's length.
        LogBlock(self.first.0 + (at % self.blocks() as u64) as u32)
    }

    /// Steps from one block of the ring to another; 0 when they are the same.
    pub const fn distance(&self, from: LogBlock, to: LogBlock) -> u32 {
        if to.0 >= from.0 { to.0 - from.0 } else { self.blocks() - (from.0 - to.0) }
    }
}

#[cfg(test)]
#[path = "superblock_tests.rs"]
pub(crate) mod tests;
