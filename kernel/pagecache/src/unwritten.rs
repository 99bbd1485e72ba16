//! Blocks that are unwritten on the disk until their bytes are there (`ext4_io_end_t`): so that no crash, and no reader
//! past the cache, ever sees what such a block held before.
//!
//! ```text
//!   sweep            begin_unwritten ─▶ map ─▶ bios, each with a handle to the UnwrittenIo
//!   end of a bio     its pages are kept (or, when it failed, are dirty again and have no place)
//!   the last handle  the file system is given all of them: Written
//!   its thread       converts the blocks, then Written::finish: the pages' writeback ends
//! ```
//! So a page stays under writeback until the file's map says that the block has its bytes. Who waits for that
//! waits for the file system's thread too.
//!
//! # Locking
//! A spin lock, also in an interrupt. Who holds a handle to an `UnwrittenIo` holds pages under writeback: he must
//! not sleep for what may wait for those.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use base::{Errno, FileBlock, Result};
use sync::SpinLock;

use crate::io::Piece;

/// Called at the end, once, perhaps in an interrupt.
type End = Box<dyn FnOnce(Written) + Send>;

/// A run of blocks whose bytes are on their way; see the module.
pub struct UnwrittenIo {
    state: SpinLock<State>,
}

struct State {
    /// The blocks that `map` gave.
    run: Range<u64>,
    /// The pages of each bio that has ended well.
    parts: Vec<Vec<Piece>>,
    end: Option<End>,
}

impl UnwrittenIo {
    /// Calls `end` when all that is sent with it has ended, or nothing is going to be.
    pub fn new(end: impl FnOnce(Written) + Send + 'static) -> Arc<UnwrittenIo> {
        let state = State { run: 0..0, parts: Vec::new(), end: Some(Box::new(end)) };
        Arc::new(UnwrittenIo { state: SpinLock::new(state) })
    }

    /// `map` has given it these blocks, which are unwritten.
    pub(crate) fn place(&self, first: FileBlock, len: u64) {
        self.state.lock().run = first.0..first.0.saturating_add(len);
    }

    /// One more bio; its end needs no memory.
    pub(crate) fn expect_part(self: &Arc<Self>) {
        // Each handle but the sweep's may be a bio's.
        self.state.lock().parts.reserve(Arc::strong_count(self));
    }

    /// A bio has ended well.
    pub(crate) fn add_part(&self, pieces: Vec<Piece>) {
        self.state.lock().parts.push(pieces);
    }
}

impl Drop for UnwrittenIo {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        let (run, parts) = (state.run.clone(), core::mem::take(&mut state.parts));
        let end = state.end.take();
        drop(state);
        if let Some(end) = end {
            end(Written { run, parts });
        }
    }
}

/// Blocks that are unwritten in the file's map and whose bytes are on the disk. Their pages are under writeback until
/// [`Written::finish`]; dropped without, they are dirty again.
pub struct Written {
    run: Range<u64>,
    parts: Vec<Vec<Piece>>,
}

impl Written {
    /// The blocks that `map` gave, whether they were sent or not; empty when it gave none.
    pub fn run(&self) -> Range<u64> {
        self.run.clone()
    }

    /// Those that are there, in ascending order, neighbours as one.
    pub fn blocks(&self) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        // Those of a bio come in order, the bios do not.
        self.parts.iter().flatten().flat_map(Piece::blocks).for_each(|range| join(&mut ranges, range));
        base::sort::by_key(&mut ranges, |range| range.start);
        let mut joined = Vec::with_capacity(ranges.len());
        ranges.into_iter().for_each(|range| join(&mut joined, range));
        joined
    }

    /// The map says so now: their pages' writeback ends. Or it could not be told: they are dirty again, and so
    /// given a place anew.
    pub fn finish(mut self, done: Result<()>) {
        self.end(done);
    }

    fn end(&mut self, done: Result<()>) {
        for pieces in self.parts.drain(..) {
            crate::io::end_writing(pieces, done);
        }
    }
}

/// One range more, behind all others.
#[inline]
fn join(ranges: &mut Vec<Range<u64>>, range: Range<u64>) {
    match ranges.last_mut().filter(|last| last.end == range.start) {
        Some(last) => last.end = range.end,
        None => ranges.push(range),
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        self.end(Err(Errno::EIO));
    }
}
