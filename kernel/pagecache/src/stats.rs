//! Interface first; the body follows.
/// Pages in the cache.
pub fn nr_file_pages() -> usize { unimplemented!() }
/// Dirty pages.
pub fn nr_dirty() -> usize { unimplemented!() }
/// Pages under writeback.
pub fn nr_writeback() -> usize { unimplemented!() }
