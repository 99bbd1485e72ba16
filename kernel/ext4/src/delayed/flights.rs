//! Unwritten blocks whose bytes are on their way, in the order in which they were given their place.
//!
//! The bytes of a file that grows reach the disk in any order. What *lands*, its bytes being there, is converted at
//! once, and the size on the disk goes over it: but not before what was given its place earlier, lies before it, and
//! is behind that size as well. So a crash leaves a file that grew shorter, and not with zeros in it. The size
//! alone cannot be held back: written blocks behind it are damage to e2fsck.
//!
//! ```text
//!   begin(0..8) begin(8..16)
//!   8..16 lands                waits
//!   0..8 lands                 is converted: the size is 8 blocks; then 8..16
//! ```
//! What comes later holds nothing back: who syncs has waited for all that he must wait for when his pages are done.
//!
//! # Invariants
//! 1. What waits is under way still, and waits for something before it in the list that has not ended: so the end of
//!    that is when to look again.

use alloc::vec::Vec;
use core::ops::Range;

/// See the module. `T` is what has landed.
pub struct Flights<T> {
    /// In the order in which they began. Few at a time: each is a run of up to 8 MiB.
    under_way: Vec<Range<u64>>,
    waiting: Vec<(Range<u64>, T)>,
}

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Flights { under_way: Vec::new(), waiting: Vec::new() }
    }
}

impl<T> Flights<T> {
    /// Whether none is under way.
    pub fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// The blocks have an unwritten place, and are about to be sent.
    pub fn begin(&mut self, blocks: Range<u64>) {
        self.under_way.push(blocks);
    }

    /// Whether earlier ones come first, the file having so many blocks on the disk.
    fn is_held(&self, blocks: &Range<u64>, on_disk: u64) -> bool {
        let before = self.under_way.iter().take_while(|other| *other != blocks);
        let mut grows = before.filter(|other| other.end > on_disk);
        blocks.end > on_disk && grows.any(|other| other.start < blocks.start)
    }

    /// Their bytes are there, or will not be. Given back if it can be converted now; else an [`Flights::end`] does.
    pub fn land(&mut self, blocks: Range<u64>, on_disk: u64, landed: T) -> Option<T> {
        if !self.is_held(&blocks, on_disk) {
            return Some(landed);
        }
        self.waiting.push((blocks, landed));
        None
    }

    /// These are converted, or never will be. What has waited for them and need not wait any more.
    pub fn end(&mut self, blocks: &Range<u64>, on_disk: u64) -> Vec<T> {
        if let Some(at) = self.under_way.iter().position(|other| other == blocks) {
            self.under_way.remove(at);
        }
        let (held, free) = core::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|(blocks, _)| self.is_held(blocks, on_disk));
        self.waiting = held;
        free.into_iter().map(|(_, landed)| landed).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_grows_in_the_order_in_which_it_was_sent() {
        let mut flights = Flights::default();
        [0..8, 8..16, 16..24].into_iter().for_each(|blocks| flights.begin(blocks));
        assert_eq!(flights.land(16..24, 0, 'c'), None);
        assert_eq!(flights.land(8..16, 0, 'b'), None);
        assert_eq!(flights.land(0..8, 0, 'a'), Some('a'));
        assert_eq!(flights.end(&(0..8), 8), ['b']);
        assert!(flights.end(&(8..16), 16) == ['c'] && !flights.is_empty());
        assert!(flights.end(&(16..24), 24).is_empty() && flights.is_empty());
    }

    #[test]
    fn what_comes_later_or_grows_nothing_holds_nothing_back() {
        let mut flights = Flights::default();
        [8..16, 0..8, 20..24].into_iter().for_each(|blocks| flights.begin(blocks));
        // It was sent after that.
        assert_eq!(flights.land(8..16, 0, 'b'), Some('b'));
        // Within the file as the disk has it, both or one.
        assert_eq!(flights.land(0..8, 8, 'a'), Some('a'));
        assert_eq!(flights.land(20..24, 16, 'c'), Some('c'));
        assert_eq!(flights.land(20..24, 15, 'c'), None);
        // One that failed leaves the way free.
        assert_eq!(flights.end(&(8..16), 8), ['c']);
    }
}
