//! Reading a directory while others change it.
//!
//! # The order
//! POSIX wants every name that is there from the first to the last getdents exactly once. Positions
//! in the file cannot give that in a hashed directory: a split moves names to a later block, where
//! they would be seen again, and the conversion of a linear block moves all of them. So the order is
//! that of the hashes, as in Linux, and the position *is* the hash:
//!
//! ```text
//! position   0  "."     1  ".."     major / 2 * 2^32 + minor  (at least 2)  the names      i64::MAX  end
//! ```
//!
//! A directory of one linear block is read the same way when `dir_index` is on, since it may become
//! hashed between two calls. Without `dir_index`, names never move (insertion uses room, deletion
//! gives room to the entry before), and the position is the byte offset.
//!
//! # Names of one hash
//! Names whose hashes are wholly equal share a position. A [`Cursor`], one per open file, remembers
//! which of them were given out, so that a small buffer between them loses and repeats none.
//!
//! # Termination
//! Positions only grow; a leaf that starts at or below the one before it is damage.

use alloc::vec::Vec;
use core::ops::Range;

use base::{Errno, Result};

use super::hash::{Hasher, NameHash};
use super::htree::{Path, next_leaf, probe};
use super::{DirBlocks, is_dots, lost_index, uses_index};
use crate::disk::dir::{DirError, entries};

/// The offset of nothing in the first block, behind that of `..`.
const BEHIND_DOTS: u64 = 13;
/// Where a hashed directory ends.
const END: u64 = i64::MAX as u64;
/// The first position of a name.
const FIRST: u64 = 2;
/// Leaves that one hash may fill. A crafted image could otherwise ask for any amount of memory.
const MAX_CONTINUED: usize = 64;

/// What an open directory remembers between two readings.
#[derive(Default, Debug)]
pub(crate) struct Cursor {
    pos: u64,
    /// Names at `pos` that were given out.
    seen: Vec<Vec<u8>>,
}

/// One entry, on its way out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Visit<'a> {
    pub name: &'a [u8],
    pub ino: u32,
    pub file_type: u8,
    /// The position of the one behind it.
    pub next: u64,
}

/// Offers the entries from `pos` on until `visit` says false, and moves `pos`.
pub(crate) fn iterate(
    dir: &impl DirBlocks,
    cursor: &mut Cursor,
    pos: &mut u64,
    visit: &mut dyn FnMut(&Visit<'_>) -> bool,
) -> Result<()> {
    if positions_are_hashes(dir) {
        let indexed = dir.is_indexed();
        let done = by_hash(dir, cursor, pos, visit);
        if !indexed || !lost_index(dir, &done) {
            return done;
        }
        // Positions were hashes: all but the dots begins again.
        if *pos >= FIRST {
            *pos = BEHIND_DOTS;
        }
    }
    by_offset(dir, pos, visit)
}

/// Whether a position says a hash and not a byte (`is_dx_dir`): then it has no end but the largest number.
pub(crate) fn positions_are_hashes(dir: &impl DirBlocks) -> bool {
    uses_index(dir) || (dir.shape().dir_index && dir.count() == 1)
}

fn by_offset(dir: &impl DirBlocks, pos: &mut u64, visit: &mut dyn FnMut(&Visit<'_>) -> bool) -> Result<()> {
    let size = dir.shape().layout.block_size as u64;
    while let Some(block) = u32::try_from(*pos / size).ok().filter(|&block| block < dir.count()) {
        let group = Group::read_block(dir, block, |_| 0)?;
        for item in &group.items {
            let at = u64::from(block) * size + item.offset as u64;
            if at >= *pos {
                let next = at + item.rec_len as u64;
                if !visit(&group.visit(item, next)) {
                    return Ok(());
                }
                *pos = next;
            }
        }
        // Unused room and a checksum at the end of a block are no entries.
        *pos = (u64::from(block) + 1) * size;
    }
    Ok(())
}

fn by_hash(
    dir: &impl DirBlocks,
    cursor: &mut Cursor,
    pos: &mut u64,
    visit: &mut dyn FnMut(&Visit<'_>) -> bool,
) -> Result<()> {
    if *pos < FIRST && !give_dots(dir, pos, visit)? {
        return Ok(());
    }
    if !uses_index(dir) {
        let hasher = dir.shape().hasher;
        let group = Group::read_block(dir, 0, |name| position(hasher.hash(name)))?;
        give(group, END, cursor, pos, visit);
        return Ok(());
    }
    if *pos >= END {
        return Ok(());
    }
    let start = NameHash { major: ((*pos >> 32) as u32) << 1, minor: 0 };
    let (mut path, _) = probe(dir, |_| start)?;
    loop {
        let group = read_leaves(dir, &mut path)?;
        let end = match next_leaf(dir, &mut path)? {
            Some(hash) => position(NameHash { major: hash & !1, minor: 0 }),
            None => END,
        };
        if end <= *pos {
            return Err(dir.corrupt(0, DirError::IndexOrder));
        }
        if !give(group, end, cursor, pos, visit) || end == END {
            return Ok(());
        }
    }
}

/// Gives out `.` and `..`; false when the sink is full.
fn give_dots(dir: &impl DirBlocks, pos: &mut u64, visit: &mut dyn FnMut(&Visit<'_>) -> bool) -> Result<bool> {
    let dots = super::first_dots(dir)?;
    for (at, name, ino) in [(0, &b"."[..], dots.own), (1, &b".."[..], dots.parent)] {
        if *pos == at {
            if !visit(&Visit { name, ino, file_type: dots.parent_type, next: at + 1 }) {
                return Ok(false);
            }
            *pos = at + 1;
        }
    }
    Ok(true)
}

/// Gives out the names of a group from `pos` on; behind the last stands `end`. False: sink full.
fn give(
    mut group: Group,
    end: u64,
    cursor: &mut Cursor,
    pos: &mut u64,
    visit: &mut dyn FnMut(&Visit<'_>) -> bool,
) -> bool {
    let first = *pos;
    group.items.retain(|item| item.key >= first && !is_dots(&group.names[item.name.clone()]));
    group.items.sort_by_key(|item| item.key);
    if cursor.pos != first {
        *cursor = Cursor { pos: first, seen: Vec::new() };
    }
    for (i, item) in group.items.iter().enumerate() {
        let name = &group.names[item.name.clone()];
        if item.key == cursor.pos && cursor.seen.iter().any(|seen| seen == name) {
            continue;
        }
        let next = group.items.get(i + 1).map_or(end.max(item.key + 1), |behind| behind.key);
        if !visit(&group.visit(item, next)) {
            return false;
        }
        if next == item.key {
            if cursor.pos != next {
                *cursor = Cursor { pos: next, seen: Vec::new() };
            }
            cursor.seen.push(name.to_vec());
        } else {
            *cursor = Cursor { pos: next, seen: Vec::new() };
        }
        *pos = next;
    }
    *pos = end.max(*pos);
    true
}

/// A name's position.
fn position(hash: NameHash) -> u64 {
    ((u64::from(hash.major >> 1) << 32) | u64::from(hash.minor)).clamp(FIRST, END - 1)
}

/// Reads the leaf of `path` and those that go on with its last hash; `path` ends at the last.
fn read_leaves(dir: &impl DirBlocks, path: &mut Path) -> Result<Group> {
    let hasher: Hasher = path.hasher;
    let key = |name: &[u8]| position(hasher.hash(name));
    let mut group = Group::read_block(dir, path.leaf, key)?;
    for _ in 0..MAX_CONTINUED {
        if !path.next_is_continuation() {
            return Ok(group);
        }
        next_leaf(dir, path)?;
        group.append(Group::read_block(dir, path.leaf, key)?);
    }
    Err(Errno::EOVERFLOW)
}

/// Entries copied out of their blocks, so that no lock is held while they are given out.
struct Group {
    items: Vec<Item>,
    names: Vec<u8>,
}

struct Item {
    key: u64,
    ino: u32,
    file_type: u8,
    offset: usize,
    rec_len: usize,
    name: Range<usize>,
}

impl Group {
    fn read_block(dir: &impl DirBlocks, block: u32, key: impl Fn(&[u8]) -> u64) -> Result<Group> {
        let layout = &dir.shape().layout;
        dir.read(block, |bytes| {
            bytes.check_tail(layout)?;
            let mut group = Group { items: Vec::new(), names: Vec::new() };
            for entry in entries(layout, bytes) {
                let entry = entry?;
                if entry.ino == 0 {
                    continue;
                }
                entry.check_name()?;
                let start = group.names.len();
                group.names.extend_from_slice(entry.name);
                group.items.push(Item {
                    key: key(entry.name),
                    ino: entry.ino,
                    file_type: entry.file_type,
                    offset: entry.offset,
                    rec_len: entry.rec_len,
                    name: start..group.names.len(),
                });
            }
            Ok(group)
        })?
        .map_err(|e| dir.corrupt(block, e))
    }

    fn append(&mut self, other: Group) {
        let base = self.names.len();
        self.names.extend_from_slice(&other.names);
        self.items.extend(
            other
                .items
                .into_iter()
                .map(|item| Item { name: item.name.start + base..item.name.end + base, ..item }),
        );
    }

    fn visit(&self, item: &Item, next: u64) -> Visit<'_> {
        let name = &self.names[item.name.clone()];
        Visit { name, ino: item.ino, file_type: item.file_type, next }
    }
}
