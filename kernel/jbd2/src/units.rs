//! What the journal counts: transactions, and blocks of its log.

use core::cmp::Ordering;
use core::fmt;

/// A transaction's number (Linux `tid_t`). Numbers wrap around, so one is *before* another when it is
/// less than 2^31 steps away: 0xffff_fffe is before 3.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(transparent)]
pub struct Tid(pub u32);

impl Tid {
    /// The transaction after this one.
    pub const fn next(self) -> Tid {
        Tid(self.0.wrapping_add(1))
    }

    /// Whether this one came before the other.
    pub const fn is_before(self, other: Tid) -> bool {
        // The distance's sign bit: a cast of the same width keeps it.
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// Whether this one came before the other, or is the other.
    pub const fn is_at_most(self, other: Tid) -> bool {
        !other.is_before(self)
    }

    /// Before, same or after. Not an order of all numbers, since they wrap around.
    pub const fn compare(self, other: Tid) -> Ordering {
        if self.0 == other.0 {
            Ordering::Equal
        } else if self.is_before(other) {
            Ordering::Less
        } else {
            Ordering::Greater
        }
    }
}

impl fmt::Display for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A block of the log, counted from the log's start: 0 is the journal's superblock (of a journal inside
/// the file system).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(transparent)]
pub struct LogBlock(pub u32);

impl fmt::Display for LogBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_transactions_wrap_around() {
        assert!(Tid(0xffff_fffe).is_before(Tid(3)));
        assert!(!Tid(3).is_before(Tid(0xffff_fffe)));
        assert!(!Tid(7).is_before(Tid(7)) && Tid(7).is_at_most(Tid(7)));
        assert_eq!(Tid(u32::MAX).next(), Tid(0));
        assert_eq!(Tid(1).compare(Tid(u32::MAX)), Ordering::Greater);
    }
}
