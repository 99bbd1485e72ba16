//! The journal's blocks, byte by byte. All numbers are big-endian, unlike the file system's.
//!
//! A transaction in the log:
//! ```text
//!   descriptor │ block │ block │ … │ descriptor │ block │ … │ revoke │ … │ commit
//!      └ tags: where each of the blocks that follow belongs
//! ```
//! Descriptor, revoke and commit blocks begin with a [`Header`] that bears the transaction's number. A
//! logged block whose first four bytes happen to be the magic number is *escaped* ([`escape`]): they are
//! zeroed in the log, and its tag says so. So a block of the log that begins with the magic number is
//! never one of the file system's, and a scan cannot mistake one for the other.
//!
//! How tags, checksums and block numbers are laid out depends on the journal's features; a [`Format`]
//! says it all and is what every reader and writer here wants.
//!
//! Source: the kernel's ext4 documentation, "Journal (jbd2)".

mod commit;
mod descriptor;
mod feature;
mod format;
mod header;
mod revoke;
mod superblock;
#[cfg(test)]
mod tests;

pub use commit::{CommitBlock, CommitSum};
pub use descriptor::{DescriptorWriter, Tag, TagFlags, Tags};
pub(crate) use feature::Names;
pub use feature::{Compat, Incompat};
pub use format::{Checksums, Format};
pub use header::{BlockType, Header, MAGIC, escape, unescape};
pub use revoke::{RevokeError, RevokeWriter, Revokes};
pub(crate) use superblock::{CHECKSUM_AT, CHECKSUM_CRC32C};
pub use superblock::{RawSuperblock, SUPERBLOCK_SIZE};
