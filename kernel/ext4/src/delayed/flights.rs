//! Unwritten blocks whose bytes are on their way, and how far i_disksize may go meanwhile.
//!
//! The bytes of a file that grows reach the disk in any order. The size on the disk goes no further than to the
//! first that are on their way still, so that a crash leaves the file shorter, and not with zeros in it.
//!
//! ```text
//!   begin(0..8) begin(8..16)
//!   end(8..16)                 up to block 0
//!   end(0..8)                  up to block 16
//! ```

use alloc::vec::Vec;
use core::ops::Range;

/// See the module. Few at a time: each is a run of up to 8 MiB.
#[derive(Default)]
pub struct Flights {
    under_way: Vec<Range<u64>>,
    /// Behind the last block whose bytes have a place.
    reached: u64,
}

impl Flights {
    /// Whether none is under way.
    pub fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// The blocks have an unwritten place, and are about to be sent.
    pub fn begin(&mut self, blocks: Range<u64>) {
        self.under_way.push(blocks);
    }

    /// That is over, and blocks of it are written now, the last of them before `reached`, if any is. The block
    /// up to which all have a place, as far as is known here.
    pub fn end(&mut self, blocks: &Range<u64>, reached: Option<u64>) -> u64 {
        if let Some(at) = self.under_way.iter().position(|other| other == blocks) {
            self.under_way.swap_remove(at);
        }
        self.reached = self.reached.max(reached.unwrap_or(0));
        self.under_way.iter().map(|blocks| blocks.start).fold(self.reached, u64::min)
    }

    /// The file has so many blocks now.
    pub fn cut(&mut self, blocks: u64) {
        self.reached = self.reached.min(blocks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_is_under_way_holds_the_size_back() {
        let mut flights = Flights::default();
        [0..8, 8..16, 16..24].into_iter().for_each(|blocks| flights.begin(blocks));
        assert_eq!(flights.end(&(8..16), Some(16)), 0);
        assert_eq!(flights.end(&(0..8), Some(8)), 16);
        // One that failed holds nothing back any more: its pages are dirty.
        assert_eq!(flights.end(&(16..24), None), 16);
        assert!(flights.is_empty());
        flights.cut(4);
        flights.begin(4..6);
        assert_eq!(flights.end(&(4..6), Some(6)), 6);
    }
}
