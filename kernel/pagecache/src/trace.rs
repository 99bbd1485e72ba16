//! The trace points of the page cache: a page comes, becomes dirty, goes. Docs: docs/tracing.md.
//!
//! A disk's own pages are of inode 0 of that disk; Linux shows an inode of its bdev file system.
//!
//! Source: Linux 6.1, include/trace/events/filemap.h and writeback.h.

use base::trace::{Dev, Event, Record};

use crate::mapping::AddressSpace;
use crate::page::Page;

/// The events of this layer.
pub static EVENTS: [&Event; 3] = [&ADD, &DELETE, &DIRTY];

const FIELDS: &[&str] = &["dev_t s_dev", "unsigned long i_ino", "unsigned long pfn", "unsigned long index"];

static ADD: Event = Event::new("filemap", "mm_filemap_add_to_page_cache", FIELDS, line);
static DELETE: Event = Event::new("filemap", "mm_filemap_delete_from_page_cache", FIELDS, line);
static DIRTY: Event = Event::new(
    "writeback",
    "writeback_dirty_folio",
    &["dev_t bdi", "ino_t ino", "unsigned long index"],
    |r, out| write!(out, "bdi {:#}: ino={} index={}", Dev(r.arg(0)), r.arg(1), r.arg(2)),
);

fn line(r: &Record, out: &mut dyn core::fmt::Write) -> core::fmt::Result {
    let (dev, offset) = (Dev(r.arg(0)), r.arg(3) << base::PAGE_SHIFT);
    write!(out, "dev {dev:#} ino {:x} pfn={:#x} ofs={offset} order=0", r.arg(1), r.arg(2))
}

fn place(mapping: &AddressSpace, page: &Page) -> [u64; 4] {
    let [dev, ino] = mapping.host();
    [dev, ino, page.frame().phys().0 >> base::PAGE_SHIFT, page.index().0]
}

/// A page is in the tree.
#[inline(always)]
pub(crate) fn add(mapping: &AddressSpace, page: &Page) {
    ADD.emit(move || place(mapping, page));
}

/// A page leaves the tree.
#[inline(always)]
pub(crate) fn delete(mapping: &AddressSpace, page: &Page) {
    DELETE.emit(move || place(mapping, page));
}

/// A page that was clean is dirty.
#[inline(always)]
pub(crate) fn dirtied(mapping: &AddressSpace, page: &Page) {
    DIRTY.emit(move || {
        let [dev, ino, _, index] = place(mapping, page);
        [dev, ino, index]
    });
}
