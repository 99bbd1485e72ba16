//! A commit block: the transaction before it is whole.
//!
//! ```text
//!   0        12     13     16             48          56
//!   | header | type | size | checksums    | seconds   | nanoseconds | zeros …
//! ```
//! With checksums v1, `type` and `size` say crc32 of 4 bytes, and the first checksum is the transaction's.
//! With v2 and v3 they are 0, and the first checksum is the commit block's own.
//!
//! Source: the kernel's ext4 documentation, "Journal (jbd2)", commit block.

use alloc::vec;

use base::Timespec;
use base::units::SECTOR_SIZE;
use zerocopy::big_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::checksum::TransactionSum;
use crate::disk::format::{Checksums, Format};
use crate::disk::header::{BlockType, Header, RawHeader};
use crate::units::Tid;

/// `JBD2_CRC32_CHKSUM`, and its size.
const CRC32: u8 = 1;
const CRC32_SIZE: u8 = 4;
/// Where the first checksum lies.
const CHECKSUM_AT: usize = 16;

/// `struct commit_header`.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawCommit {
    header: RawHeader,
    h_chksum_type: u8,
    h_chksum_size: u8,
    h_padding: [u8; 2],
    h_chksum: [U32; 8],
    h_commit_sec: U64,
    h_commit_nsec: U32,
}

const _: () = {
    use core::mem::offset_of;
    assert!(offset_of!(RawCommit, h_chksum) == CHECKSUM_AT);
    assert!(offset_of!(RawCommit, h_commit_sec) == 0x30);
};

/// What a commit block says of its transaction's content, beside its own checksum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CommitSum {
    /// Nothing.
    None,
    /// v1: what the transaction adds up to.
    Crc32(u32),
    /// v1: something that nobody can check.
    Unknown,
}

/// A commit block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommitBlock {
    /// Of which transaction.
    pub tid: Tid,
    /// Seconds and nanoseconds since 1970.
    pub seconds: u64,
    pub nanoseconds: u32,
    /// What v1 says.
    pub sum: CommitSum,
}

impl CommitBlock {
    /// Of a transaction that ends now. `sum` is for a journal with checksums v1, else it is left out.
    pub fn new(tid: Tid, now: Timespec, sum: TransactionSum, format: &Format) -> CommitBlock {
        let sum = match format.checksums {
            Checksums::V1 => CommitSum::Crc32(sum.value()),
            _ => CommitSum::None,
        };
        // Before 1970 counts as 1970; nanoseconds are below 10^9.
        let (seconds, nanoseconds) = (u64::try_from(now.sec).unwrap_or(0), now.nsec);
        CommitBlock { tid, seconds, nanoseconds, sum }
    }

    /// Of a block with the header of a commit block.
    pub fn read(block: &[u8]) -> Option<CommitBlock> {
        let (raw, _) = RawCommit::ref_from_prefix(block).ok()?;
        let sum = match (raw.h_chksum_type, raw.h_chksum_size, raw.h_chksum[0].get()) {
            (0, 0, 0) => CommitSum::None,
            (CRC32, CRC32_SIZE, sum) => CommitSum::Crc32(sum),
            _ => CommitSum::Unknown,
        };
        Some(CommitBlock {
            tid: Tid(raw.header.h_sequence.get()),
            seconds: raw.h_commit_sec.get(),
            nanoseconds: raw.h_commit_nsec.get(),
            sum,
        })
    }

    /// Whether a commit block's own checksum fits it, or there is none. It may be torn: all that it says is in its first
    /// sector, and behind that there may be what the log had there before, where zeros were written. (Newer Linux
    /// forgives that too, `jbd2_commit_block_csum_verify_partial`; 6.1 does not mount such a disk.)
    pub fn checksum_fits(format: &Format, block: &[u8]) -> bool {
        let own = &block[CHECKSUM_AT..CHECKSUM_AT + 4];
        let fits = |block: &[u8]| own == format.checksum_without(block, CHECKSUM_AT).to_be_bytes();
        if !format.checksums.per_block() || fits(block) {
            return true;
        }
        let mut whole = vec![0; block.len()];
        let sector = block.len().min(SECTOR_SIZE);
        whole[..sector].copy_from_slice(&block[..sector]);
        fits(&whole)
    }

    /// Makes the whole block.
    pub fn write(&self, format: &Format, block: &mut [u8]) {
        block.fill(0);
        Header { kind: BlockType::Commit, tid: self.tid }.write(block);
        if let CommitSum::Crc32(sum) = self.sum {
            (block[12], block[13]) = (CRC32, CRC32_SIZE);
            block[CHECKSUM_AT..CHECKSUM_AT + 4].copy_from_slice(&sum.to_be_bytes());
        }
        block[0x30..0x38].copy_from_slice(&self.seconds.to_be_bytes());
        block[0x38..0x3c].copy_from_slice(&self.nanoseconds.to_be_bytes());
        if format.checksums.per_block() {
            let sum = format.checksum_without(block, CHECKSUM_AT);
            block[CHECKSUM_AT..CHECKSUM_AT + 4].copy_from_slice(&sum.to_be_bytes());
        }
    }
}
