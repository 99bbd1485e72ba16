//! The door of attributes: bytes to a checked list of entries, and a list to bytes.
//!
//! # How to use it
//! ```text
//!   let list = List::parse(Place::Block, bytes)?;      // borrows names and values from the bytes
//!   list.find(index, name); list.set(entry); list.remove(index, name);
//!   list.write(&mut new_bytes)?;                        // the whole area anew, ENOSPC when it does not fit
//! ```
//! What is written is always the whole area: entries in order, values packed against the end. So a
//! hostile area whose values overlap is readable, and leaves as a sound one when it is changed.
//!
//! Source: ext4 documentation, "Extended Attributes".

use alloc::vec::Vec;
use core::fmt;
use core::result::Result as CoreResult;

use base::{Errno, Result};
use zerocopy::{FromBytes, IntoBytes};

use super::hash;
use crate::disk::xattr::{BLOCK_HEADER, BODY_HEADER, ENTRY, PAD, RawEntry, SIZE_MAX};

/// Why attributes are refused: one variant per check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum XattrError {
    /// `h_magic` of a block.
    Magic(u32),
    /// `h_blocks` is not 1.
    Blocks(u32),
    /// `h_refcount` is 0 or more than an implementation makes.
    Refcount(u32),
    /// `h_checksum`: on disk, computed.
    Checksum(u32, u32),
    /// `i_file_acl` names a block that belongs to no file.
    Place,
    /// An entry at this byte reaches past the end, or none says "last".
    Unterminated(usize),
    /// The name of the entry at this byte has a NUL in it.
    Name(usize),
    /// The value of the entry at this byte lies among the entries or past the end.
    Value(usize),
    /// `e_value_size` of the entry at this byte is impossible.
    Size(usize, u32),
    /// `e_value_inum` of the entry at this byte without the ea_inode feature.
    ValueInode(usize, u32),
}

impl fmt::Display for XattrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            XattrError::Magic(v) => write!(f, "h_magic of the attribute block is {v:#010x}"),
            XattrError::Blocks(v) => write!(f, "h_blocks of the attribute block is {v}, not 1"),
            XattrError::Refcount(v) => write!(f, "h_refcount of the attribute block is {v}"),
            XattrError::Checksum(disk, calc) => {
                write!(f, "h_checksum of the attribute block is {disk:#010x}, its bytes give {calc:#010x}")
            }
            XattrError::Place => f.write_str("i_file_acl cannot belong to a file"),
            XattrError::Unterminated(at) => write!(f, "attribute entry at {at} reaches past the end"),
            XattrError::Name(at) => write!(f, "e_name of the attribute entry at {at} has a NUL in it"),
            XattrError::Value(at) => {
                write!(f, "e_value_offs of the attribute entry at {at} is out of range")
            }
            XattrError::Size(at, v) => write!(f, "e_value_size {v} of the attribute entry at {at}"),
            XattrError::ValueInode(at, v) => {
                write!(f, "e_value_inum {v} of the attribute entry at {at} needs the ea_inode feature")
            }
        }
    }
}

/// Where the attributes lie: what comes before the entries, and from where offsets count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// In the inode, from the magic on.
    Body,
    /// In a block of their own.
    Block,
}

impl Place {
    /// Bytes before the first entry.
    fn first(self) -> usize {
        match self {
            Place::Body => BODY_HEADER,
            Place::Block => BLOCK_HEADER,
        }
    }

    /// What `e_value_offs` counts from.
    fn base(self) -> usize {
        match self {
            Place::Body => BODY_HEADER,
            Place::Block => 0,
        }
    }
}

/// A value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value<'a> {
    /// Beside the entries.
    Here(&'a [u8]),
    /// In an inode of its own (ea_inode).
    Inode {
        /// Its number.
        ino: u32,
        /// Bytes.
        size: u32,
        /// `e_hash`, which covers name and value.
        hash: u32,
    },
}

/// An attribute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry<'a> {
    /// The namespace ([`super::name`]).
    pub index: u8,
    /// The rest of the name.
    pub name: &'a [u8],
    /// The value.
    pub value: Value<'a>,
}

fn pad(len: usize) -> usize {
    len.next_multiple_of(PAD)
}

impl Entry<'_> {
    fn is(&self, index: u8, name: &[u8]) -> bool {
        self.index == index && self.name == name
    }

    /// Bytes of entry and name.
    fn head_len(&self) -> usize {
        ENTRY + pad(self.name.len())
    }

    /// Bytes of the value beside the entries.
    fn value_len(&self) -> usize {
        match self.value {
            Value::Here(value) => pad(value.len()),
            Value::Inode { .. } => 0,
        }
    }

    /// Bytes that it takes of an area.
    pub(super) fn len(&self) -> usize {
        self.head_len() + self.value_len()
    }

    /// A block's order: by namespace, length of the name, name.
    fn order(&self) -> (u8, usize, &[u8]) {
        (self.index, self.name.len(), self.name)
    }
}

/// The attributes of one place, checked.
pub struct List<'a> {
    place: Place,
    entries: Vec<Entry<'a>>,
}

impl<'a> List<'a> {
    /// No attributes.
    pub fn empty(place: Place) -> List<'a> {
        List { place, entries: Vec::new() }
    }

    /// Checks every entry of an area. `ea_inode`: whether values may lie in inodes.
    pub fn parse(place: Place, bytes: &'a [u8], ea_inode: bool) -> CoreResult<List<'a>, XattrError> {
        let mut raw: Vec<(usize, RawEntry, &[u8])> = Vec::new();
        let mut at = place.first();
        // Each turn goes at least ENTRY bytes on.
        let end = loop {
            let rest = bytes.get(at..).filter(|r| r.len() >= PAD).ok_or(XattrError::Unterminated(at))?;
            if rest[..PAD] == [0; PAD] {
                break at + PAD;
            }
            let (entry, names) =
                RawEntry::read_from_prefix(rest).map_err(|_| XattrError::Unterminated(at))?;
            let name = names.get(..usize::from(entry.e_name_len)).ok_or(XattrError::Unterminated(at))?;
            if name.contains(&0) {
                return Err(XattrError::Name(at));
            }
            raw.push((at, entry, name));
            at += ENTRY + pad(name.len());
        };
        let value = |(at, entry, name)| check_value(place, bytes, end, ea_inode, at, entry, name);
        let entries = raw.into_iter().map(value).collect::<CoreResult<Vec<_>, _>>()?;
        Ok(List { place, entries })
    }

    /// The entries.
    pub fn entries(&self) -> &[Entry<'a>] {
        &self.entries
    }

    /// The value of a name.
    pub fn find(&self, index: u8, name: &[u8]) -> Option<Value<'a>> {
        self.entries.iter().find(|e| e.is(index, name)).map(|e| e.value)
    }

    /// Adds an entry or replaces the one of its name.
    pub fn set(&mut self, new: Entry<'a>) {
        match self.entries.iter_mut().find(|e| e.is(new.index, new.name)) {
            Some(old) => *old = new,
            None => {
                let at = match self.place {
                    Place::Block => self.entries.partition_point(|e| e.order() < new.order()),
                    Place::Body => self.entries.len(),
                };
                self.entries.insert(at, new);
            }
        }
    }

    /// Takes the entry of a name away.
    pub fn remove(&mut self, index: u8, name: &[u8]) {
        self.entries.retain(|e| !e.is(index, name));
    }

    /// Whether a value lies in an inode of its own.
    pub fn has_value_inodes(&self) -> bool {
        self.entries.iter().any(|e| matches!(e.value, Value::Inode { .. }))
    }

    /// Bytes that entries, their end and values need behind the header.
    fn needed(&self) -> usize {
        self.entries.iter().map(Entry::len).sum::<usize>() + PAD
    }

    /// Whether they fit an area of `len` bytes.
    pub fn fits(&self, len: usize) -> bool {
        self.place.first() + self.needed() <= len
    }

    /// Writes entries and values over all of an area but its header. ENOSPC when they do not fit.
    pub fn write(&self, area: &mut [u8]) -> Result<()> {
        if !self.fits(area.len()) {
            return Err(Errno::ENOSPC);
        }
        let (mut at, mut value_at) = (self.place.first(), area.len());
        area[at..].fill(0);
        for entry in &self.entries {
            let mut raw = RawEntry {
                // A name has at most 255 bytes: it was parsed, or checked by the vfs.
                e_name_len: entry.name.len() as u8,
                e_name_index: entry.index,
                e_value_offs: 0.into(),
                e_value_inum: 0.into(),
                e_value_size: 0.into(),
                e_hash: 0.into(),
            };
            match entry.value {
                Value::Here(value) => {
                    value_at -= pad(value.len());
                    area[value_at..value_at + value.len()].copy_from_slice(value);
                    // An area is at most 4096 bytes.
                    raw.e_value_offs =
                        if value.is_empty() { 0 } else { (value_at - self.place.base()) as u16 }.into();
                    raw.e_value_size = (value.len() as u32).into();
                    if self.place == Place::Block {
                        raw.e_hash =
                            hash::entry(entry.name, &area[value_at..value_at + pad(value.len())]).into();
                    }
                }
                Value::Inode { ino, size, hash } => {
                    raw.e_value_inum = ino.into();
                    raw.e_value_size = size.into();
                    raw.e_hash = hash.into();
                }
            }
            area[at..at + ENTRY].copy_from_slice(raw.as_bytes());
            area[at + ENTRY..at + ENTRY + entry.name.len()].copy_from_slice(entry.name);
            at += entry.head_len();
        }
        Ok(())
    }
}

fn check_value<'a>(
    place: Place,
    bytes: &'a [u8],
    entries_end: usize,
    ea_inode: bool,
    at: usize,
    raw: RawEntry,
    name: &'a [u8],
) -> CoreResult<Entry<'a>, XattrError> {
    let (size, ino) = (raw.e_value_size.get(), raw.e_value_inum.get());
    if size > SIZE_MAX {
        return Err(XattrError::Size(at, size));
    }
    let value = if ino != 0 {
        if !ea_inode {
            return Err(XattrError::ValueInode(at, ino));
        }
        Value::Inode { ino, size, hash: raw.e_hash.get() }
    } else if size == 0 {
        Value::Here(&[])
    } else {
        let start = place.base() + usize::from(raw.e_value_offs.get());
        // At most 2^24.
        let len = size as usize;
        if start < entries_end || start + pad(len) > bytes.len() {
            return Err(XattrError::Value(at));
        }
        Value::Here(&bytes[start..start + len])
    };
    Ok(Entry { index: raw.e_name_index, name, value })
}

#[cfg(test)]
#[path = "entries_tests.rs"]
mod tests;
