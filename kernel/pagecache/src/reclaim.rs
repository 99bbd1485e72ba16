//! Interface first; the body follows.
use base::{Frame, Result};
/// Frees up to `n` clean, unused pages; returns how many.
pub fn reclaim(_n: usize) -> usize { unimplemented!() }
/// A frame with unspecified contents for anything that may sleep: reclaims, and waits for writeback, before ENOMEM.
pub fn alloc_page() -> Result<Frame> { unimplemented!() }
