//! How far to read ahead: a window that grows while reading is sequential.
//!
//! ```text
//!        |<----- async_size ---->|
//!   |----#-----------------------|      start … start + size
//!        ^ the page marked READAHEAD: a read that reaches it starts the next window
//! ```
//! The first miss of a sequential reader reads a few pages more than asked; each time the marked
//! page is reached, the next window is begun, twice or four times as large, up to the
//! disk's limit ([`limit`]). So the
//! disk works ahead of the reader. A miss anywhere else is a random read and reads what was asked.
//!
//! # Locking
//! Data only; the mapping keeps it behind a SpinLock. It is looked at on a miss or at a mark, never
//! for a page that is simply there.

use base::PAGE_SHIFT;

/// The window's limit, in pages, for a disk that may be read `bytes` ahead.
pub(crate) fn limit(bytes: u32) -> u64 {
    u64::from(bytes >> PAGE_SHIFT).max(1)
}

/// The window of one file; see the module.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Readahead {
    start: u64,
    size: u64,
    async_size: u64,
}

/// What to read: pages, and which of them gets the mark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Window {
    pub start: u64,
    pub count: u64,
    pub mark: Option<u64>,
}

impl Readahead {
    pub(crate) const fn new() -> Readahead {
        Readahead { start: 0, size: 0, async_size: 0 }
    }

    /// Page `index` is not there; the read wants `want` pages from it on, and the last read ended in
    /// page `last`.
    pub(crate) fn on_miss(&mut self, index: u64, want: u64, last: u64, max: u64) -> Window {
        let want = want.clamp(1, max);
        let expected = self.size != 0 && index == self.start.saturating_add(self.size);
        if expected {
            return self.advance(max);
        }
        let sequential = index == 0 || index == last || Some(index) == last.checked_add(1);
        if !sequential {
            return Window { start: index, count: want, mark: None };
        }
        self.start = index;
        self.size = initial(want, max);
        self.async_size = if self.size > want { self.size - want } else { self.size };
        self.window()
    }

    /// The marked page `index` was reached.
    pub(crate) fn on_mark(&mut self, index: u64, want: u64, max: u64) -> Window {
        let end = self.start.saturating_add(self.size);
        if index == end.saturating_sub(self.async_size) {
            return self.advance(max);
        }
        // A mark of an earlier window: begin anew behind it.
        self.start = index.saturating_add(1);
        self.size = initial(want.clamp(1, max), max);
        self.async_size = self.size;
        self.window()
    }

    fn advance(&mut self, max: u64) -> Window {
        self.start = self.start.saturating_add(self.size);
        self.size = if self.size < max / 16 { self.size * 4 } else { self.size * 2 }.min(max);
        self.async_size = self.size;
        self.window()
    }

    fn window(&self) -> Window {
        let mark = self.start.saturating_add(self.size - self.async_size);
        Window { start: self.start, count: self.size, mark: Some(mark) }
    }
}

/// The first window of a sequential reader who asks for `want` pages.
fn initial(want: u64, max: u64) -> u64 {
    let size = want.next_power_of_two();
    let size = if size <= max / 32 {
        size * 4
    } else if size <= max / 4 {
        size * 2
    } else {
        max
    };
    size.min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: u64 = 128;

    #[test]
    fn the_window_grows_and_marks_the_next() {
        let mut ra = Readahead::new();
        assert_eq!(ra.on_miss(0, 1, u64::MAX, MAX), Window { start: 0, count: 4, mark: Some(1) });
        assert_eq!(ra.on_mark(1, 1, MAX), Window { start: 4, count: 16, mark: Some(4) });
        assert_eq!(ra.on_mark(4, 1, MAX), Window { start: 20, count: 32, mark: Some(20) });
        let mut last = ra.on_mark(20, 1, MAX);
        for _ in 0..5 {
            last = ra.on_mark(last.start, 1, MAX);
        }
        assert_eq!(last.count, MAX);
    }

    #[test]
    fn a_random_read_reads_what_it_wants() {
        let mut ra = Readahead::new();
        assert_eq!(ra.on_miss(1000, 3, 7, MAX), Window { start: 1000, count: 3, mark: None });
        assert_eq!(ra.on_miss(50, 1, 1002, MAX), Window { start: 50, count: 1, mark: None });
        assert_eq!(ra.on_miss(51, 1, 50, MAX).count, 4);
    }

    #[test]
    fn a_large_read_is_cut_at_the_maximum() {
        assert_eq!(Readahead::new().on_miss(0, 100_000, u64::MAX, MAX).count, MAX);
        assert_eq!(Readahead::new().on_miss(u64::MAX, 5, u64::MAX - 1, MAX).start, u64::MAX);
    }
}
