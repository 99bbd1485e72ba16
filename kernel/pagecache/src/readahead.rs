//! How far to read ahead: a window that grows while reading is sequential.
//!
//! ```text
//!        |<----- async_size ---->|
//!   |----#-----------------------|      start … start + size
//!        ^ the page marked READAHEAD: a read that reaches it starts the next window
//! ```
//! The first miss of a sequential reader reads a few pages more than asked; each time the marked
//! page is reached, the next window is begun, twice or four times as large, up to the disk's limit. So
//! the disk works ahead of the reader. A miss anywhere else is a random read and reads what was asked,
//! unless the pages before it are cached: then somebody else's reading may be going on there.
//!
//! Each open file has a state of its own ([`FileRa`]), so two readers of one file do not take each
//! other for random ones. posix_fadvise(2) changes its [`Pattern`]: SEQUENTIAL doubles the limit, RANDOM
//! reads what is asked and nothing else. A mapping has one more, for pages that no open file asks for.
//!
//! | who reads | the window's limit |
//! |---|---|
//! | one after the other | read_ahead_kb; twice that after FADV_SEQUENTIAL |
//! | more than that in one call | what the disk takes in one request (max_sectors_kb), if that is more |
//! | in advance (readahead(2), WILLNEED) | the larger of the two |
//!
//! Source: the description at the head of Linux's mm/readahead.c; posix_fadvise(2).
//!
//! # Locking
//! The window is behind a SpinLock, a leaf. It is looked at on a miss or at a mark, never for a page
//! that is simply there.

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use base::PAGE_SHIFT;
use base::units::SECTOR_SHIFT;
use block::Disk;
use sync::SpinLock;

/// How a file will be read, as far as its reader has said (POSIX_FADV_*, MADV_*).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub enum Pattern {
    /// Nothing is known.
    #[default]
    Normal,
    /// From front to back: twice as far ahead.
    Sequential,
    /// Here and there: not ahead at all.
    Random,
}

/// After so many misses of page faults more than hits, reading around them is of no use.
const LOTS_OF_MISSES: u32 = 100;

/// What is known of one reader of a file (`file_ra_state`); see the module.
pub struct FileRa {
    window: SpinLock<Readahead>,
    /// The page that the last read ended in.
    last: AtomicU64,
    pattern: AtomicU8,
    /// Page faults that missed, less those that hit.
    misses: AtomicU32,
}

impl FileRa {
    /// Of a file that nobody has read yet.
    pub const fn new() -> FileRa {
        FileRa {
            window: SpinLock::new(Readahead::new()),
            last: AtomicU64::new(u64::MAX),
            pattern: AtomicU8::new(Pattern::Normal as u8),
            misses: AtomicU32::new(0),
        }
    }

    /// How it will be read from now on.
    pub fn advise(&self, pattern: Pattern) {
        self.pattern.store(pattern as u8, Ordering::Relaxed);
    }

    /// What was said last.
    pub fn pattern(&self) -> Pattern {
        match self.pattern.load(Ordering::Relaxed) {
            1 => Pattern::Sequential,
            2 => Pattern::Random,
            _ => Pattern::Normal,
        }
    }

    /// The page that the last read ended in; `u64::MAX` before the first.
    #[inline]
    pub(crate) fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn set_last(&self, page: u64) {
        self.last.store(page, Ordering::Relaxed);
    }

    fn limits(&self, disk: &Disk) -> Limits {
        let factor = if self.pattern() == Pattern::Sequential { 2 } else { 1 };
        let limits = Limits::of(disk);
        Limits { ahead: limits.ahead.saturating_mul(factor), ..limits }
    }

    /// Page `index` is not there, and `want` pages from it on will be read: what to read. `history`
    /// counts the pages in a row before `index` that are cached, at most so many.
    pub(crate) fn on_miss(
        &self,
        index: u64,
        want: u64,
        disk: &Disk,
        history: impl FnOnce(u64) -> u64,
    ) -> Window {
        let limits = self.limits(disk);
        if self.pattern() == Pattern::Random || limits.ahead == 0 {
            return Window { start: index, count: want.clamp(1, limits.once()), mark: None };
        }
        let mut window = self.window.lock();
        match window.on_miss(index, want, self.last(), limits) {
            Some(found) => found,
            None => {
                drop(window);
                let before = history(limits.ahead);
                self.window.lock().on_history(index, want, before, limits)
            }
        }
    }

    /// The marked page `index` was reached, of a read of `want` pages from there on: what to read.
    /// `next_miss` is the first page behind it that is not cached, looked for in so many.
    pub(crate) fn on_mark(
        &self,
        index: u64,
        want: u64,
        disk: &Disk,
        next_miss: impl FnOnce(u64) -> Option<u64>,
    ) -> Option<Window> {
        let limits = self.limits(disk);
        if limits.ahead == 0 {
            return None;
        }
        if let Some(found) = self.window.lock().on_expected(index, want, limits) {
            return Some(found);
        }
        let miss = next_miss(limits.ahead)?;
        self.window.lock().on_strange_mark(index, miss, want, limits)
    }

    /// A page fault did not find page `index`: what to read, around it.
    pub(crate) fn on_fault(&self, index: u64, pattern: Pattern, disk: &Disk) -> Option<Window> {
        let limits = self.limits(disk);
        let misses = self.misses.load(Ordering::Relaxed);
        if pattern == Pattern::Random || limits.ahead == 0 {
            return None;
        }
        self.misses.store(misses.saturating_add(1).min(LOTS_OF_MISSES * 10), Ordering::Relaxed);
        if misses > LOTS_OF_MISSES {
            return None;
        }
        let start = index.saturating_sub(limits.ahead / 2);
        let mut window = self.window.lock();
        *window = Readahead { start, size: limits.ahead, async_size: limits.ahead / 4 };
        Some(window.window())
    }

    /// A page fault found its page.
    pub(crate) fn fault_hit(&self) {
        let misses = self.misses.load(Ordering::Relaxed);
        if misses > 0 {
            self.misses.store(misses - 1, Ordering::Relaxed);
        }
    }
}

impl Default for FileRa {
    fn default() -> FileRa {
        FileRa::new()
    }
}

/// In pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Limits {
    /// So far may be read ahead; 0: not at all.
    pub ahead: u64,
    /// So much the disk takes in one request.
    pub io: u64,
}

impl Limits {
    pub fn of(disk: &Disk) -> Limits {
        Limits {
            ahead: u64::from(disk.queue().readahead_bytes() >> PAGE_SHIFT),
            io: u64::from(disk.limits().max_sectors >> (PAGE_SHIFT - SECTOR_SHIFT)),
        }
    }

    /// The most that is read in advance at once.
    pub fn once(self) -> u64 {
        self.ahead.max(self.io).max(1)
    }

    /// The window's limit for a read of `want` pages.
    fn window(self, want: u64) -> u64 {
        if want > self.ahead { self.ahead.max(want.min(self.io)) } else { self.ahead }
    }
}

/// The window of one reader; see the module.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Readahead {
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
    const fn new() -> Readahead {
        Readahead { start: 0, size: 0, async_size: 0 }
    }

    /// Page `index` is not there; the read wants `want` pages from it on, and the last read ended in
    /// page `last`. None: it looks random.
    fn on_miss(&mut self, index: u64, want: u64, last: u64, limits: Limits) -> Option<Window> {
        let sequential = index == 0 || index == last || Some(index) == last.checked_add(1);
        if index != 0
            && let Some(window) = self.on_expected(index, want, limits)
        {
            return Some(window);
        }
        (sequential || want > limits.window(want)).then(|| self.begin(index, want, limits))
    }

    /// Page `index` is where the next window is expected to be asked for.
    fn on_expected(&mut self, index: u64, want: u64, limits: Limits) -> Option<Window> {
        let end = self.start.saturating_add(self.size);
        if self.size == 0 || (index != end && index != end - self.async_size) {
            return None;
        }
        let max = limits.window(want);
        self.start = end;
        self.size = next_size(self.size, max);
        self.async_size = self.size;
        Some(self.answer(index, max))
    }

    /// A mark of somebody else's window, whose pages go on to `miss`.
    fn on_strange_mark(&mut self, index: u64, miss: u64, want: u64, limits: Limits) -> Option<Window> {
        let max = limits.window(want);
        let there = miss.checked_sub(index).filter(|&there| there <= max)?;
        self.start = miss;
        self.size = next_size(there.saturating_add(want), max);
        self.async_size = self.size;
        Some(self.answer(index, max))
    }

    /// A miss that looks random, with `before` cached pages in a row before it.
    fn on_history(&mut self, index: u64, want: u64, before: u64, limits: Limits) -> Window {
        let max = limits.window(want);
        if before <= want {
            return Window { start: index, count: want.clamp(1, max), mark: None };
        }
        // All from the start of the file on: a long stream, probably.
        let size = if before >= index { before.saturating_mul(2) } else { before };
        *self = Readahead { start: index, size: size.saturating_add(want).min(max), async_size: 1 };
        self.answer(index, max)
    }

    /// The first window of a sequential reader.
    fn begin(&mut self, index: u64, want: u64, limits: Limits) -> Window {
        let max = limits.window(want);
        let size = initial(want.clamp(1, max), max);
        let async_size = if size > want { size - want } else { size };
        *self = Readahead { start: index, size, async_size };
        self.answer(index, max)
    }

    /// A window that begins with the very page that is asked for would be marked there, and the next one
    /// asked for at once: both are one.
    fn answer(&mut self, index: u64, max: u64) -> Window {
        if index == self.start && self.size == self.async_size {
            let more = next_size(self.size, max);
            if self.size + more <= max {
                self.size += more;
                self.async_size = more;
            } else {
                self.size = max;
                self.async_size = max / 2;
            }
        }
        self.window()
    }

    fn window(&self) -> Window {
        let mark = self.start.saturating_add(self.size - self.async_size);
        Window { start: self.start, count: self.size, mark: (self.async_size > 0).then_some(mark) }
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

/// The window after one of `size` pages.
fn next_size(size: u64, max: u64) -> u64 {
    if size < max / 16 { size * 4 } else { size.saturating_mul(2).min(max) }
}

#[cfg(test)]
#[path = "readahead_tests.rs"]
mod tests;
