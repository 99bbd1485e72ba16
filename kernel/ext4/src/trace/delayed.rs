//! Delayed allocation: what is reserved and given back, and what gets its place.
//!
//! A write call reserves and updates under the lock of [`crate::delayed`]; its events come right after it. As on
//! Linux a reservation is told with the number of blocks that the file has reserved then, one that ends with the
//! number before.

use base::trace::Event;
use pagecache::{SyncMode, WritebackControl};

use super::{Of, event, found, of};
use crate::inode::Node;

event!(
    pub(super) RESERVE_SPACE,
    "ext4_da_reserve_space",
    ["__u64 i_blocks", "int reserved_data_blocks", "__u16 mode"],
    |r, out| {
        write!(out, "{} mode 0{:o} i_blocks {}", Of(r), r.arg(4), r.arg(2))?;
        write!(out, " reserved_data_blocks {}", r.signed(3))
    }
);
event!(
    pub(super) RELEASE_SPACE,
    "ext4_da_release_space",
    ["__u64 i_blocks", "int freed_blocks", "int reserved_data_blocks", "__u16 mode"],
    |r, out| {
        write!(out, "{} mode 0{:o} i_blocks {}", Of(r), r.arg(5), r.arg(2))?;
        write!(out, " freed_blocks {} reserved_data_blocks {}", r.signed(3), r.signed(4))
    }
);
event!(
    pub(super) UPDATE_RESERVE_SPACE,
    "ext4_da_update_reserve_space",
    ["__u64 i_blocks", "int used_blocks", "int reserved_data_blocks", "int quota_claim", "__u16 mode"],
    |r, out| {
        write!(out, "{} mode 0{:o} i_blocks {} used_blocks {}", Of(r), r.arg(6), r.arg(2), r.signed(3))?;
        write!(out, " reserved_data_blocks {} quota_claim {}", r.signed(4), r.signed(5))
    }
);
event!(
    pub(super) WRITE_PAGES,
    "ext4_da_write_pages",
    ["unsigned long first_page", "long nr_to_write", "int sync_mode"],
    |r, out| {
        write!(out, "{} first_page {} nr_to_write {}", Of(r), r.arg(2), r.signed(3))?;
        write!(out, " sync_mode {}", r.signed(4))
    }
);
event!(
    pub(super) WRITE_PAGES_EXTENT,
    "ext4_da_write_pages_extent",
    ["__u64 lblk", "__u32 len", "__u32 flags"],
    |r, out| write!(out, "{} lblk {} len {} flags {}", Of(r), r.arg(2), r.arg(3), found(r.arg(4)))
);
event!(
    pub(super) ALLOC_DA_BLOCKS,
    "ext4_alloc_da_blocks",
    ["unsigned int data_blocks"],
    |r, out| write!(out, "{} reserved_data_blocks {}", Of(r), r.arg(2))
);

/// i_blocks, without what is reserved, and i_mode.
fn state(node: &Node) -> (u64, u64) {
    node.with_meta(|m| (m.blocks, m.mode.into()))
}

/// Blocks were reserved.
#[inline(always)]
pub(crate) fn da_reserve_space(node: &Node) {
    RESERVE_SPACE.emit(move || {
        let ([dev, ino], (blocks, mode)) = (of(node), state(node));
        [dev, ino, blocks, node.delayed.reserved().into(), mode]
    });
}

/// So many that were reserved are not any more.
#[inline(always)]
pub(crate) fn da_release_space(node: &Node, freed: u32) {
    RELEASE_SPACE.emit(move || {
        let ([dev, ino], (blocks, mode)) = (of(node), state(node));
        let before = u64::from(node.delayed.reserved()) + u64::from(freed);
        [dev, ino, blocks, freed.into(), before, mode]
    });
}

/// So many that were reserved have blocks: the reserved ones, or others.
#[inline(always)]
pub(crate) fn da_update_reserve_space(node: &Node, used: u32, claimed: bool) {
    UPDATE_RESERVE_SPACE.emit(move || {
        let ([dev, ino], (blocks, mode)) = (of(node), state(node));
        let before = u64::from(node.delayed.reserved()) + u64::from(used);
        [dev, ino, blocks, used.into(), before, claimed.into(), mode]
    });
}

/// A sweep begins that gives pages a place.
#[inline(always)]
pub(crate) fn da_write_pages(node: &Node, control: &WritebackControl) {
    WRITE_PAGES.emit(move || {
        let [dev, ino] = of(node);
        let first = match control.range_cyclic {
            true => node.mapping().writeback_cursor(),
            false => control.range.start / base::PAGE_SIZE as u64,
        };
        let sync = u64::from(control.sync_mode == SyncMode::All);
        [dev, ino, first, control.nr_to_write.min(i64::MAX as u64), sync]
    });
}

/// These blocks are about to get a place, or lie in an unwritten one.
#[inline(always)]
pub(crate) fn da_write_pages_extent(node: &Node, block: u32, len: u64, unwritten: bool) {
    WRITE_PAGES_EXTENT.emit(move || {
        let [dev, ino] = of(node);
        [dev, ino, block.into(), len, if unwritten { 4 } else { 0 }]
    });
}

/// Somebody wants the blocks now.
#[inline(always)]
pub(crate) fn alloc_da_blocks(node: &Node) {
    ALLOC_DA_BLOCKS.emit(move || {
        let [dev, ino] = of(node);
        [dev, ino, node.delayed.reserved().into()]
    });
}
