//! Inside one block of entries: search, insert, delete.
//!
//! Pure functions over bytes. Each walks the block through [`entries`], so a damaged chain is found
//! before anything is written.
//!
//! Worked example, 1 KiB without checksums, after `add("a")` and `add("bb")` to a new directory:
//!
//! ```text
//! 0 "." 12   12 ".." 12   24 "a" 12   36 "bb" 988
//! remove("a"):   12 ".." grows to 24          add("c"): 12 ".." shrinks to 12, 24 "c" 12
//! ```

use super::NewEntry;
use crate::disk::dir::{DirError, Entries, Entry, Layout, entries, entry_len, put_entry, set_rec_len};

/// The name's offset, inode and type.
pub(super) fn find(entries: Entries<'_>, name: &[u8]) -> Result<Option<(usize, u32, u8)>, DirError> {
    for entry in entries {
        let entry = entry?;
        if entry.ino != 0 && entry.name == name {
            return Ok(Some((entry.offset, entry.ino, entry.file_type)));
        }
    }
    Ok(None)
}

/// Where a name could go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// It is there already.
    Taken,
    /// No entry has the room.
    Full,
    /// Into the room of the entry at this offset.
    At { offset: usize },
}

/// Looks for a place, walking up to it.
pub(super) fn place(layout: &Layout, block: &[u8], name: &[u8]) -> Result<Place, DirError> {
    let need = entry_len(name.len());
    for entry in entries(layout, block) {
        let entry = entry?;
        if entry.ino != 0 && entry.name == name {
            return Ok(Place::Taken);
        }
        if entry.rec_len - entry.used() >= need {
            return Ok(Place::At { offset: entry.offset });
        }
    }
    Ok(Place::Full)
}

/// Puts a name into the room of the entry at `offset`.
pub(super) fn add_at(
    layout: &Layout,
    block: &mut [u8],
    offset: usize,
    new: &NewEntry<'_>,
) -> Result<(), DirError> {
    let host = at(layout, block, offset)?;
    let (used, rec_len) = (host.used(), host.rec_len);
    if rec_len - used < entry_len(new.name.len()) {
        return Err(DirError::EntryMoved);
    }
    if used > 0 {
        set_rec_len(block, offset, used);
    }
    put_entry(block, offset + used, rec_len - used, new.ino, new.file_type, new.name);
    Ok(())
}

/// Adds a name to a block that has the room; says whether it had.
pub(super) fn add(layout: &Layout, block: &mut [u8], new: &NewEntry<'_>) -> Result<bool, DirError> {
    match place(layout, block, new.name)? {
        Place::At { offset } => add_at(layout, block, offset, new).map(|()| true),
        Place::Taken | Place::Full => Ok(false),
    }
}

/// Takes the entry at `offset` away: the one before it gets its room; the first of a block becomes
/// unused.
pub(super) fn remove(layout: &Layout, block: &mut [u8], offset: usize, ino: u32) -> Result<(), DirError> {
    let mut before: Option<(usize, usize)> = None;
    let mut gone = None;
    let mut used = 0;
    for entry in entries(layout, block) {
        let entry = entry?;
        if entry.offset == offset {
            gone = (entry.ino == ino).then_some(entry.rec_len);
            used = entry.used();
            break;
        }
        before = Some((entry.offset, entry.rec_len));
    }
    let rec_len = gone.ok_or(DirError::EntryMoved)?;
    // Deleted names do not stay on the disk.
    block[offset..offset + used].fill(0);
    match before {
        Some((at, len)) => set_rec_len(block, at, len + rec_len),
        None => set_rec_len(block, offset, rec_len),
    }
    Ok(())
}

/// Whether a block holds a name other than `.` and `..`.
pub(super) fn has_names(layout: &Layout, block: &[u8]) -> Result<bool, DirError> {
    for entry in entries(layout, block) {
        let entry = entry?;
        if entry.ino != 0 && entry.name != b"." && entry.name != b".." {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The checked entry that starts at `offset`.
fn at<'a>(layout: &Layout, block: &'a [u8], offset: usize) -> Result<Entry<'a>, DirError> {
    for entry in entries(layout, block) {
        let entry = entry?;
        if entry.offset >= offset {
            return if entry.offset == offset { Ok(entry) } else { Err(DirError::EntryMoved) };
        }
    }
    Err(DirError::EntryMoved)
}
