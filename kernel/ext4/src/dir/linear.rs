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

use super::Found;
use super::NewEntry;
use crate::disk::dir::{
    self as disk, DirError, HEADER, Layout, entries, entry_at, entry_len, put_entry, set_rec_len,
};
use crate::disk::dir_view::{Needle, View};

/// The name's entry; the caller knows which block this is.
pub(super) fn find(layout: &Layout, view: &View<'_>, name: &[u8]) -> Result<Option<Found>, DirError> {
    let needle = Needle::of(name);
    let (mut chain, mut before) = (view.chain(layout), None);
    while let Some(link) = chain.next() {
        let link = link?;
        if let Some(entry) = chain.names(&link, &needle)? {
            let (ino, file_type, offset) = (entry.ino, entry.file_type, entry.offset);
            return Ok(Some(Found { ino, file_type, block: 0, offset, before }));
        }
        before = Some(link.offset);
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
pub(super) fn place(layout: &Layout, view: &View<'_>, name: &[u8]) -> Result<Place, DirError> {
    let (need, needle) = (entry_len(name.len()), Needle::of(name));
    let mut chain = view.chain(layout);
    while let Some(link) = chain.next() {
        let link = link?;
        if chain.names(&link, &needle)?.is_some() {
            return Ok(Place::Taken);
        }
        let Some(room) = link.rec_len.checked_sub(link.used()) else {
            return Err(DirError::RecLenShorterThanName);
        };
        if room >= need {
            return Ok(Place::At { offset: link.offset });
        }
    }
    Ok(Place::Full)
}

/// Puts a name into the room of the entry at `offset` of a sealed block.
pub(super) fn add_at(
    layout: &Layout,
    block: &mut [u8],
    offset: usize,
    new: &NewEntry<'_>,
) -> Result<(), DirError> {
    let host = entry_at(layout, block, offset)?;
    let (used, rec_len) = (host.used(), host.rec_len);
    let need = entry_len(new.name.len());
    if rec_len - used < need {
        return Err(DirError::EntryMoved);
    }
    disk::change(layout, block, offset..offset + used + need, |bytes| {
        if used > 0 {
            set_rec_len(bytes, 0, used);
        }
        put_entry(bytes, used, rec_len - used, new.ino, new.file_type, new.name);
    })
}

/// Adds a name to a block that has the room; says whether it had.
pub(super) fn add(layout: &Layout, block: &mut [u8], new: &NewEntry<'_>) -> Result<bool, DirError> {
    match place(layout, &View::new(block, true), new.name)? {
        Place::At { offset } => add_at(layout, block, offset, new).map(|()| true),
        Place::Taken | Place::Full => Ok(false),
    }
}

/// Takes an entry of a sealed block away: the one before it gets its room; the first of a block becomes unused.
pub(super) fn remove(layout: &Layout, block: &mut [u8], found: &Found) -> Result<(), DirError> {
    let offset = found.offset;
    let gone = entry_at(layout, block, offset)?;
    let (rec_len, used) = (gone.rec_len, gone.used());
    if gone.ino != found.ino {
        return Err(DirError::EntryMoved);
    }
    let host = match found.before {
        Some(at) => {
            let host = entry_at(layout, block, at)?;
            if at + host.rec_len != offset {
                return Err(DirError::EntryMoved);
            }
            Some((at, host.rec_len))
        }
        None if offset != 0 => return Err(DirError::EntryMoved),
        None => None,
    };
    // Deleted names do not stay on the disk.
    disk::change(layout, block, offset..offset + used, |entry| {
        entry.fill(0);
        if host.is_none() {
            set_rec_len(entry, 0, rec_len);
        }
    })?;
    match host {
        Some((at, len)) => {
            disk::change(layout, block, at..at + HEADER, |entry| set_rec_len(entry, 0, len + rec_len))
        }
        None => Ok(()),
    }
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
