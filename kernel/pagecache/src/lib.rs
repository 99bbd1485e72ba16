//! The page cache: files in memory, page by page, and how they come from and go to the disk.
//!
//! * [`AddressSpace`]: the pages of one file, a radix tree with tags.
//! * [`AddressSpaceOperations`]: what the cache asks of a file system: above all, where a range lies.
//! * [`generic_file_read`], [`generic_perform_write`], [`mpage_writepages`]: in, out, and to the disk.
//! * [`generic_file_direct_read`], [`generic_file_direct_write`]: around the cache, coherent with it.
//! * [`BlockDevice`], [`Buffer`]: the disk's own pages, for metadata and `/dev/vda`.
//! * [`MappedBy`], [`generic_page_mkwrite`]: pages that programs have mapped, and their stores.
//! * [`MetadataJournal`]: what is told of a change of metadata before it is made.
//! * [`alloc_page`], [`reclaim`]: where pages come from and who gives one back.
//! * [`FileRa`]: what an open file knows of its reading, for readahead and posix_fadvise(2).
//! * [`ErrSeq`]: a write error is told once to every open file.
//!
//! ```text
//!   generic_perform_write ─ ops.write_begin ─ copy ─ ops.write_end      (write.rs)
//!            |                                          |
//!        grab_page                               DIRTY, tag DIRTY       (mapping.rs, tree.rs)
//!            |                                          |
//!        alloc_page ── reclaim                   ops.writepages ─ ops.map ─ BioBuilder ─ block
//!                                                (writepages.rs)            (io.rs)
//! ```
//!
//! # Locking
//! ```text
//!   i_rwsem (file system) → invalidate_lock (faults; who takes pages away) →
//!   page lock → i_mmap → the program's page table
//!   page lock → the file system's map lock → page lock of the disk's own pages → byte lock (metadata) →
//!   SpinLocks: mapping.tree | readahead | reclaim's lists    (leaves: none is taken under another)
//! ```
//! The inode lock is the file system's; the cache never takes it.
//!
//! What orders two operations on the same page or range:
//!
//! | | read | write | writeback | truncate | invalidate | reclaim | mmap fault |
//! |---|---|---|---|---|---|---|---|
//! | **read** | page lock while it is filled | UPTODATE, then nothing: bytes may mix | nothing | page lock + i_size asked under it | page lock | handle count under the tree lock | page lock while it is filled |
//! | **write** | | inode lock | page lock to start; then both go on | inode lock | page lock | handle count | page lock |
//! | **writeback** | | | page lock, WRITEBACK | page lock, WRITEBACK waited for | the same | DIRTY, WRITEBACK, LOCKED are passed over | page lock: write-protected first; a store waits for WRITEBACK |
//! | **truncate** | | | | inode lock | page lock | page lock / handle count | invalidate_lock; unmapped with the page locked |
//! | **invalidate** | | | | | page lock | handle count | page lock: unmapped with it |
//! | **metadata guard** | byte lock | byte lock | byte lock, WRITING | mount time only | – | a `Buffer` is a handle | – |
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(not(target_os = "none"))]
extern crate std;

mod bdev;
mod buffer;
mod direct;
mod errseq;
mod filemap;
pub mod head;
mod inline;
mod invalidate;
mod io;
mod journal;
mod journal_data;
mod lru;
mod mapped;
mod mapping;
mod mkwrite;
mod nowait;
mod ops;
mod page;
mod read;
mod readahead;
mod reclaim;
pub mod stats;
pub mod trace;
mod tree;
mod unwritten;
mod workingset;
mod write;
mod writepages;

pub use bdev::{BlockDevice, Claim, nr_blockdev_pages};
pub use buffer::{Buffer, BufferRead, BufferWrite};
pub use direct::{
    DirectIo, DirectWrite, MEMORY_ALIGN, Submitted, begin_direct_read, begin_direct_write, end_direct_write,
    generic_file_direct_read, generic_file_direct_write, is_aligned, make_room,
};
pub use errseq::{ErrSeq, ErrSeqCursor, ErrSeqMark};
pub use filemap::{
    filemap_fdatawait_range, filemap_fdatawrite_range, filemap_flush, filemap_write_and_wait_range,
};
pub use inline::{leave_inline_page, update_inline_page};
pub use journal::MetadataJournal;
pub use journal_data::{forget_unfilled, journal_cached, journal_page_range, write_home};
pub use mapped::MappedBy;
pub use mapping::AddressSpace;
pub use mkwrite::{generic_page_mkwrite, lock_mapped_page};
pub use nowait::truncate_to_cached;
pub use ops::{AddressSpaceOperations, Extent, ExtentKind, MapMode, SyncMode, WritebackControl};
pub use page::{LockedPage, Page};
pub use read::{filemap_fault, filemap_splice_read, force_readahead, generic_file_read, read_mapping_page};
pub use readahead::{FileRa, Pattern};
pub use reclaim::{
    alloc_page, deactivate_page, drop_caches, pageout, reclaim, set_pressure_hook, set_shrinker,
    start_kswapd, stop_kswapd,
};
pub use unwritten::{UnwrittenIo, Written};
pub use workingset::remember_evictions;
pub use write::{
    Zeroing, block_truncate_page, block_write_begin, block_write_end, block_zero_begin, block_zero_range,
    generic_perform_write, set_fatal_signal_hook,
};
pub use writepages::{mpage_writepages, mpage_writepages_with};

#[cfg(test)]
mod tests;
