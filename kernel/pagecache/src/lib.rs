//! The page cache.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
#[cfg(not(target_os = "none"))]
extern crate std;

pub mod bdev;
pub mod errseq;
pub mod filemap;
pub mod mapping;
pub mod ops;
pub mod page;
pub mod read;
pub mod reclaim;
pub mod stats;
pub mod write;
pub mod writepages;

pub use bdev::{BlockDevice, Buffer, BufferRead, BufferWrite};
pub use errseq::{ErrSeq, ErrSeqCursor, ErrSeqMark};
pub use filemap::*;
pub use mapping::AddressSpace;
pub use ops::{AddressSpaceOperations, Extent, ExtentKind, MapMode, SyncMode, WritebackControl};
pub use page::{LockedPage, Page};
pub use read::{generic_file_read, read_mapping_page};
pub use reclaim::{alloc_page, reclaim};
pub use write::{block_truncate_page, block_write_begin, block_write_end, generic_perform_write};
pub use writepages::mpage_writepages;
