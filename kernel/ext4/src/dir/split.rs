//! Growing an index: a leaf in two, a node in two, a level on top, a linear block into an index.
//!
//! Each function appends one finished block and then links it in, and leaves a tree that is whole.
//! The caller ([`super::htree::add`]) descends again and takes the next step if one is needed, which
//! keeps every step simple; splits are rare enough for that.
//!
//! When a leaf is split, the half with the higher hashes (by bytes, not by number) goes to the new
//! block, and the new slot starts at the lowest of them. If names of that same hash stay behind, the
//! slot carries the continuation bit.

use alloc::vec;
use alloc::vec::Vec;

use base::{Errno, Result};
use log::warn;

use super::DirBlocks;
use super::hash::Hasher;
use super::htree::{Frame, Path};
use crate::disk::dir::{self, DirError, Layout, entries, entry_len};
use crate::disk::dx::{Index, IndexKind, IndexMut, RootInfo, Slot};

/// One step towards room in the leaf of `path`. ENOSPC when the index cannot grow.
pub(super) fn make_room(dir: &impl DirBlocks, path: &Path) -> Result<()> {
    let Some(last) = path.frames.last() else { return Err(Errno::EUCLEAN) };
    if !last.full {
        return split_leaf(dir, last, path.leaf, &path.hasher);
    }
    // Of the full frames at the bottom, the topmost: its parent has room, or it is the root.
    let full = path.frames.iter().rev().take_while(|frame| frame.full).count();
    let level = path.frames.len() - full;
    match level.checked_sub(1) {
        Some(parent) => split_node(dir, &path.frames[parent], &path.frames[level]),
        None => add_level(dir, path),
    }
}

/// Turns the single linear block of a directory into a root over one leaf.
pub(super) fn make_indexed(dir: &impl DirBlocks) -> Result<()> {
    let shape = dir.shape();
    let layout = &shape.layout;
    let (dots, bytes) = dir
        .read(0, |bytes| {
            bytes.check_tail(layout)?;
            let dots = dir::dots(entries(layout, bytes))?;
            let names = used_entries(layout, bytes, dots.rest, &shape.hasher)?;
            Ok((dots, packed(layout, bytes, &names)))
        })?
        .map_err(|e| dir.corrupt(0, e))?;
    let leaf = dir.append(&bytes)?;
    dir.modify(0, |bytes| IndexMut::new_root(layout, bytes, &dots, shape.hasher.kind, leaf))?;
    dir.set_indexed(true);
    Ok(())
}

/// What a look at a block's bytes gives.
type Checked<T> = core::result::Result<T, DirError>;

/// An entry of a leaf that is being divided.
#[derive(Clone, Copy)]
struct Item {
    hash: u32,
    offset: usize,
    used: usize,
}

fn split_leaf(dir: &impl DirBlocks, parent: &Frame, leaf: u32, hasher: &Hasher) -> Result<()> {
    let layout = &dir.shape().layout;
    let halves = dir
        .read(leaf, |bytes| {
            bytes.check_tail(layout)?;
            let mut items = used_entries(layout, bytes, 0, hasher)?;
            items.sort_by_key(|item| item.hash);
            let at = middle(layout, &items);
            let (lower, upper) = items.split_at(at);
            let slot = upper.first().map(|first| {
                let goes_on = lower.last().is_some_and(|last| last.hash == first.hash);
                first.hash | u32::from(goes_on)
            });
            Ok((packed(layout, bytes, lower), packed(layout, bytes, upper), slot))
        })?
        .map_err(|e| dir.corrupt(leaf, e))?;
    let (lower, upper, slot) = halves;
    if let Some(hash) = slot {
        let block = dir.append(&upper)?;
        // The slot first: should the last step fail, names are there twice rather than not at all.
        insert_slot(dir, parent, Slot { hash, block })?;
    }
    dir.modify(leaf, |bytes| bytes.copy_from_slice(&lower))
}

/// How many of the sorted items stay: those that fill about half of the block. With fewer than two
/// items all stay, and only packing is gained.
fn middle(layout: &Layout, items: &[Item]) -> usize {
    if items.len() < 2 {
        return items.len();
    }
    let mut moved = 0;
    let mut at = items.len();
    while at > 1 && moved + items[at - 1].used / 2 <= layout.block_size / 2 {
        at -= 1;
        moved += items[at].used;
    }
    if at == items.len() { items.len() / 2 } else { at }
}

/// Divides a full node; its parent has room.
fn split_node(dir: &impl DirBlocks, parent: &Frame, node: &Frame) -> Result<()> {
    let layout = &dir.shape().layout;
    let stay = node.count / 2;
    let slots = read_slots(dir, node, stay)?;
    let Some(first) = slots.first().copied() else {
        return Err(dir.corrupt(node.block, DirError::IndexCount));
    };
    let block = append_node(dir, &slots)?;
    insert_slot(dir, parent, Slot { hash: first.hash, block })?;
    dir.modify(node.block, |bytes| IndexMut::of(layout, bytes, node.kind).truncate(stay))
}

/// Puts a node between a full root and what is below it.
fn add_level(dir: &impl DirBlocks, path: &Path) -> Result<()> {
    let shape = dir.shape();
    if path.info.levels >= shape.max_levels() {
        warn!(
            "ext4: directory index full{}",
            if shape.large_dir { "" } else { ", large_dir is not enabled" }
        );
        return Err(Errno::ENOSPC);
    }
    let Some(root) = path.frames.first() else { return Err(Errno::EUCLEAN) };
    let block = append_node(dir, &read_slots(dir, root, 0)?)?;
    dir.modify(0, |bytes| {
        let mut root = IndexMut::of(&shape.layout, bytes, IndexKind::Root);
        root.set_info(RootInfo { levels: path.info.levels + 1, ..path.info });
        root.set_slots(&[Slot { hash: 0, block }]);
    })
}

fn append_node(dir: &impl DirBlocks, slots: &[Slot]) -> Result<u32> {
    let layout = &dir.shape().layout;
    let mut bytes = vec![0; layout.block_size];
    IndexMut::new_node(layout, &mut bytes, slots);
    dir.append(&bytes)
}

fn read_slots(dir: &impl DirBlocks, frame: &Frame, from: usize) -> Result<Vec<Slot>> {
    let shape = dir.shape();
    dir.read(frame.block, |bytes| {
        let index = match frame.kind {
            IndexKind::Root => Index::root(&shape.layout, bytes, shape.max_levels())?.1,
            IndexKind::Node => Index::node(&shape.layout, bytes)?,
        };
        Ok(index.copy(from))
    })?
    .map_err(|e| dir.corrupt(frame.block, e))
}

/// Puts a slot behind the one the path took.
fn insert_slot(dir: &impl DirBlocks, frame: &Frame, slot: Slot) -> Result<()> {
    let layout = &dir.shape().layout;
    dir.modify(frame.block, |bytes| {
        IndexMut::of(layout, bytes, frame.kind).insert(frame.count, frame.at + 1, slot);
    })
}

/// The entries in use from byte `from` on, in block order.
fn used_entries(layout: &Layout, block: &[u8], from: usize, hasher: &Hasher) -> Checked<Vec<Item>> {
    let mut items = Vec::new();
    for entry in entries(layout, block) {
        let entry = entry?;
        if entry.ino != 0 && entry.offset >= from {
            let hash = hasher.hash(entry.name).major;
            items.push(Item { hash, offset: entry.offset, used: entry.used() });
        }
    }
    Ok(items)
}

/// A block of these entries of `from`, one behind the other, the room behind the last.
fn packed(layout: &Layout, from: &[u8], items: &[Item]) -> Vec<u8> {
    let mut block = vec![0; layout.block_size];
    let end = layout.entries_end();
    let mut at = 0;
    for (i, item) in items.iter().enumerate() {
        block[at..at + item.used].copy_from_slice(&from[item.offset..item.offset + item.used]);
        let rec_len = if i + 1 == items.len() { end - at } else { item.used };
        dir::set_rec_len(&mut block, at, rec_len);
        at += item.used;
    }
    if items.is_empty() {
        debug_assert!(end >= entry_len(1));
        dir::set_rec_len(&mut block, 0, end);
    }
    dir::seal(layout, &mut block);
    block
}
