//! Fast commits: what changed, in the journal's own area, instead of the blocks that changed.
//!
//! ```text
//!   block 0                                        block 1
//!   | HEAD tid | INODE | CREAT | … | TAIL tid crc …| DEL | ADD | … | PAD …| …
//!   '-------------- first fast commit -------------''- the second, over two blocks
//! ```
//! A tag is two bytes of what and two of how long, and then its value. No tag crosses a block's end: what is
//! left of a block is padding. A fast commit begins with a block (the first of all with HEAD) and ends with
//! TAIL, whose length is the rest of its block. The checksum in it is a raw crc32c from 0 over all of the fast
//! commit before the checksum itself.
//!
//! They are changes of one transaction (`tid`) that is not in the log: when it is, they are of no use, and the
//! next transaction's begin at block 0 again. So what lies behind the last TAIL that fits is of old, or was
//! cut off.
//!
//! # How to use it
//! [`read`] gives all changes of all whole fast commits; a [`Writer`] makes the blocks of one.
//!
//! Source: the kernel's ext4 documentation, "Journal (jbd2)", fast commits.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use base::Errno;
use zerocopy::FromBytes;
use zerocopy::byteorder::little_endian::{U16, U32};
use zerocopy::{Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::checksum::crc32c;
use crate::disk::extent::{Extent, MAX_WRITTEN};
use crate::extent::node::Entry;

const ADD_RANGE: u16 = 1;
const DEL_RANGE: u16 = 2;
const CREAT: u16 = 3;
const LINK: u16 = 4;
const UNLINK: u16 = 5;
const INODE: u16 = 6;
const PAD: u16 = 7;
const TAIL: u16 = 8;
const HEAD: u16 = 9;

/// Bytes of a tag before its value.
const TAG: usize = 4;
/// Bytes of TAIL's value that mean something, and of those before the checksum.
const TAIL_SIZE: usize = 8;
const TAIL_SUMMED: usize = 4;
/// The longest name.
const NAME_LEN: usize = 255;
/// The least bytes of an inode.
const INODE_LEAST: usize = 128;

pub(crate) use writer::Writer;

/// `struct ext4_fc_head`.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawHead {
    fc_features: U32,
    fc_tid: U32,
}

/// `struct ext4_fc_add_range`.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawAdd {
    fc_ino: U32,
    fc_ex: Extent,
}

/// `struct ext4_fc_del_range`.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawDel {
    fc_ino: U32,
    fc_lblk: U32,
    fc_len: U32,
}

/// `struct ext4_fc_dentry_info`, without the name behind it.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawEntry {
    fc_parent_ino: U32,
    fc_ino: U32,
}

/// What became of a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NameChange {
    /// It is the first of a new inode.
    Create,
    /// It is another of its inode.
    Link,
    /// It is gone.
    Unlink,
}

/// One change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    /// The inode has these blocks there.
    Add { ino: u32, entry: Entry },
    /// The inode has no blocks there.
    Del { ino: u32, first: u32, len: u32 },
    /// A name of a directory.
    Name { what: NameChange, parent: u32, ino: u32, name: Box<[u8]> },
    /// The inode's bytes, those of `i_block` and behind the fixed fields not to be relied on.
    Inode { ino: u32, raw: Box<[u8]> },
}

/// Why fast commits cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FastCommitError {
    /// The first block asks for what nobody knows.
    Features(u32),
    /// The device failed.
    Io(Errno),
    Memory,
}

impl fmt::Display for FastCommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FastCommitError::Features(bits) => write!(f, "fast commits with unknown features {bits:#x}"),
            FastCommitError::Io(errno) => write!(f, "{errno} while fast commits were read"),
            FastCommitError::Memory => f.write_str("no memory for the fast commits"),
        }
    }
}

impl From<FastCommitError> for Errno {
    fn from(error: FastCommitError) -> Errno {
        match error {
            FastCommitError::Features(_) => Errno::EOPNOTSUPP,
            FastCommitError::Io(errno) => errno,
            FastCommitError::Memory => Errno::ENOMEM,
        }
    }
}

/// What a block of the area had to say.
enum Went {
    On,
    /// Nothing behind it counts.
    Ended,
}

struct Reading {
    tid: u32,
    inode_size: usize,
    crc: u32,
    /// Changes of whole fast commits, then those of the one that is being read.
    changes: Vec<Change>,
    whole: usize,
}

/// The changes of all whole fast commits of transaction `tid`. `block` gives block n of the area's `blocks`.
pub(crate) fn read(
    blocks: u32,
    tid: u32,
    inode_size: usize,
    mut block: impl FnMut(u32, &mut Vec<u8>) -> Result<(), Errno>,
) -> Result<Vec<Change>, FastCommitError> {
    let mut reading = Reading { tid, inode_size, crc: 0, changes: Vec::new(), whole: 0 };
    let mut bytes = Vec::new();
    for n in 0..blocks {
        block(n, &mut bytes).map_err(FastCommitError::Io)?;
        if n == 0 && tag(&bytes).is_none_or(|(kind, _)| kind != HEAD) {
            break;
        }
        if let Went::Ended = reading.block(&bytes)? {
            break;
        }
    }
    reading.changes.truncate(reading.whole);
    Ok(reading.changes)
}

/// The first tag and its value, when all of it is there.
fn tag(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (head, rest) = <[U16; 2]>::read_from_prefix(bytes).ok()?;
    Some((head[0].get(), rest.get(..usize::from(head[1].get()))?))
}

impl Reading {
    fn block(&mut self, bytes: &[u8]) -> Result<Went, FastCommitError> {
        let mut rest = bytes;
        while rest.len() >= TAG {
            let Some((kind, value)) = tag(rest) else { return Ok(Went::Ended) };
            let (whole, behind) = rest.split_at(TAG + value.len());
            match kind {
                HEAD => {
                    let Ok(head) = RawHead::read_from_bytes(value) else { return Ok(Went::Ended) };
                    if head.fc_tid.get() != self.tid {
                        return Ok(Went::Ended);
                    }
                    if head.fc_features.get() != 0 {
                        return Err(FastCommitError::Features(head.fc_features.get()));
                    }
                }
                PAD => {}
                TAIL => return Ok(self.tail(whole)),
                _ => {
                    let Some(change) = change(kind, value, self.inode_size) else { return Ok(Went::Ended) };
                    self.changes.try_reserve(1).map_err(|_| FastCommitError::Memory)?;
                    self.changes.push(change);
                }
            }
            self.crc = crc32c(self.crc, whole);
            rest = behind;
        }
        Ok(Went::On)
    }

    /// Whether the fast commit before it is whole.
    fn tail(&mut self, whole: &[u8]) -> Went {
        let Some(words) = whole.get(TAG..TAG + TAIL_SIZE) else { return Went::Ended };
        let Ok([tid, crc]) = <[U32; 2]>::read_from_bytes(words) else { return Went::Ended };
        let sum = crc32c(self.crc, &whole[..TAG + TAIL_SUMMED]);
        if tid.get() != self.tid || crc.get() != sum {
            return Went::Ended;
        }
        self.whole = self.changes.len();
        self.crc = 0;
        Went::On
    }
}

fn change(kind: u16, value: &[u8], inode_size: usize) -> Option<Change> {
    let what = match kind {
        ADD_RANGE => {
            let raw = RawAdd::read_from_bytes(value).ok()?;
            return Some(Change::Add { ino: raw.fc_ino.get(), entry: entry(&raw.fc_ex)? });
        }
        DEL_RANGE => {
            let raw = RawDel::read_from_bytes(value).ok()?;
            let (first, len) = (raw.fc_lblk.get(), raw.fc_len.get());
            return Some(Change::Del { ino: raw.fc_ino.get(), first, len });
        }
        INODE => {
            let (ino, raw) = U32::read_from_prefix(value).ok()?;
            let fits = (INODE_LEAST..=inode_size).contains(&raw.len());
            return fits.then(|| Change::Inode { ino: ino.get(), raw: raw.into() });
        }
        CREAT => NameChange::Create,
        LINK => NameChange::Link,
        UNLINK => NameChange::Unlink,
        _ => return None,
    };
    let (raw, name) = RawEntry::read_from_prefix(value).ok()?;
    let fits = (1..=NAME_LEN).contains(&name.len());
    let (parent, ino) = (raw.fc_parent_ino.get(), raw.fc_ino.get());
    fits.then(|| Change::Name { what, parent, ino, name: name.into() })
}

fn entry(raw: &Extent) -> Option<Entry> {
    let len = u32::from(raw.ee_len.get());
    let unwritten = len > MAX_WRITTEN;
    let len = if unwritten { len - MAX_WRITTEN } else { len };
    let start = u64::from(raw.ee_start_hi.get()) << 32 | u64::from(raw.ee_start_lo.get());
    (len > 0).then_some(Entry { block: raw.ee_block.get(), len, start, unwritten })
}

#[path = "fast_commit_writer.rs"]
mod writer;

#[cfg(test)]
#[path = "fast_commit_tests.rs"]
mod tests;
