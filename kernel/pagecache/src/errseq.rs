//! `ErrSeq`: a write error is told once to every open file.
//!
//! Writeback fails long after `write(2)` returned, and the error belongs to everybody who has the
//! file open: each must hear of it once, at the next fsync. A flag that the first fsync clears would
//! keep it from the others. So an [`ErrSeq`] holds the last error and a counter that moves when an
//! error comes after somebody has looked; each open file keeps an [`ErrSeqCursor`] of what it has
//! heard.
//!
//! ```
//! use base::Errno;
//! use pagecache::{ErrSeq, ErrSeqCursor};
//! let wb_err = ErrSeq::new();
//! let (a, b) = (ErrSeqCursor::of(&wb_err), ErrSeqCursor::of(&wb_err));
//! wb_err.set(Errno::EIO);
//! assert_eq!(wb_err.check_and_advance(&a), Err(Errno::EIO));
//! assert_eq!(wb_err.check_and_advance(&a), Ok(()));
//! assert_eq!(wb_err.check_and_advance(&b), Err(Errno::EIO));
//! // Opened after an error that nobody has heard of: still told.
//! wb_err.set(Errno::ENOSPC);
//! let c = ErrSeqCursor::of(&wb_err);
//! assert_eq!(wb_err.check_and_advance(&c), Err(Errno::ENOSPC));
//! ```
//!
//! # Layout
//! Bits 0–11 the errno, bit 12 "somebody has looked" (SEEN), bits 13–31 the counter. Source: the
//! description of errseq_t in the kernel documentation (core-api/errseq).
//!
//! # Locking
//! None: one atomic word each. `set` may be called from an interrupt handler.

use base::{Errno, Result};
use sync::atomic::{AtomicU32, Ordering};

const ERRNO: u32 = 0xfff;
const SEEN: u32 = 1 << 12;
const ONE: u32 = 1 << 13;

/// The last write error of a mapping, with a counter.
#[derive(Debug, Default)]
pub struct ErrSeq {
    value: AtomicU32,
    /// Every error that ever came, looked at or not: for [`ErrSeq::peek`].
    sets: AtomicU32,
}

/// A moment in the life of an [`ErrSeq`]: [`ErrSeq::peek`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ErrSeqMark(u32);

/// What one open file has heard of an [`ErrSeq`].
#[derive(Debug, Default)]
pub struct ErrSeqCursor(AtomicU32);

impl ErrSeqCursor {
    /// The cursor of a file that is opened now (`errseq_sample`): an error that nobody has looked at
    /// yet will still be told to it.
    pub fn of(seq: &ErrSeq) -> ErrSeqCursor {
        let now = seq.value.load(Ordering::Acquire);
        ErrSeqCursor(AtomicU32::new(if now & SEEN == 0 { 0 } else { now }))
    }
}

impl ErrSeq {
    /// No error yet.
    pub const fn new() -> ErrSeq {
        ErrSeq { value: AtomicU32::new(0), sets: AtomicU32::new(0) }
    }

    /// Records an error.
    pub fn set(&self, error: Errno) {
        let next = |old: u32| {
            let counter =
                if old & SEEN != 0 { (old & !(ERRNO | SEEN)).wrapping_add(ONE) } else { old & !ERRNO };
            Some(counter | u32::from(error.number()))
        };
        // The closure always gives a value, so this cannot fail.
        let _ = self.value.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
        self.sets.fetch_add(1, Ordering::AcqRel);
    }

    /// The error that came since the cursor's file last heard, told to it now.
    pub fn check_and_advance(&self, cursor: &ErrSeqCursor) -> Result<()> {
        let now = self.value.load(Ordering::Acquire);
        if now == cursor.0.load(Ordering::Acquire) {
            return Ok(());
        }
        let seen = self.value.fetch_or(SEEN, Ordering::AcqRel) | SEEN;
        // Two threads of one file: the first to move the cursor tells it.
        if cursor.0.swap(seen, Ordering::AcqRel) == seen { Ok(()) } else { as_result(seen) }
    }

    /// Where the sequence stands, for a sweep that wants to know what fails while it runs.
    pub fn peek(&self) -> ErrSeqMark {
        ErrSeqMark(self.sets.load(Ordering::Acquire))
    }

    /// The error that came after `mark`. Takes it from nobody.
    pub fn since(&self, mark: ErrSeqMark) -> Result<()> {
        if self.peek() == mark { Ok(()) } else { as_result(self.value.load(Ordering::Acquire)) }
    }
}

fn as_result(value: u32) -> Result<()> {
    match Errno::from_number((value & ERRNO) as u16) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_sees_the_same_error_twice() {
        let seq = ErrSeq::new();
        for _ in 0..2 {
            let mark = seq.peek();
            assert_eq!(seq.since(mark), Ok(()));
            seq.set(Errno::EIO);
            assert_eq!(seq.since(mark), Err(Errno::EIO));
        }
    }

    #[test]
    fn an_error_somebody_heard_is_not_told_to_a_new_file() {
        let seq = ErrSeq::new();
        let old = ErrSeqCursor::of(&seq);
        seq.set(Errno::EIO);
        assert_eq!(seq.check_and_advance(&old), Err(Errno::EIO));
        let new = ErrSeqCursor::of(&seq);
        assert_eq!(seq.check_and_advance(&new), Ok(()));
        seq.set(Errno::EIO);
        assert_eq!(seq.check_and_advance(&new), Err(Errno::EIO));
        assert_eq!(seq.check_and_advance(&old), Err(Errno::EIO));
    }
}
