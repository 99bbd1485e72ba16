//! Operations on size and blocks.

use user::sys::{self, EOPNOTSUPP};

use crate::model::{MOST, PAGE, Run};
use crate::trouble::{Step, Trouble};

const KEEP_SIZE: i32 = 1;
const PUNCH_HOLE: i32 = 2;
const COLLAPSE: i32 = 8;
const ZERO_RANGE: i32 = 16;
const INSERT: i32 = 32;

impl Run {
    pub fn truncate(&mut self) -> Step {
        let size = self.below(MOST);
        let done = sys::ftruncate(self.fd, size as i64);
        self.expect("ftruncate", done, 0, size, 0)?;
        let (a, b) = (self.size.min(size), self.size.max(size));
        self.good[a..b].fill(0);
        self.size = size;
        Ok(())
    }

    pub fn punch(&mut self) -> Step {
        self.clear(PUNCH_HOLE | KEEP_SIZE, "punch")
    }

    pub fn zero(&mut self) -> Step {
        self.clear(ZERO_RANGE | KEEP_SIZE, "zero")
    }

    fn clear(&mut self, mode: i32, name: &'static str) -> Step {
        let (at, len) = self.range(self.size);
        if len == 0 {
            return Ok(());
        }
        if self.change(mode, name, at, len)? {
            self.good[at..at + len].fill(0);
        }
        Ok(())
    }

    /// fallocate. False where it is refused, as all but a punch is where block pointers map the file.
    fn change(&mut self, mode: i32, name: &'static str, at: usize, len: usize) -> Result<bool, Trouble> {
        let done = sys::fallocate(self.fd, mode, at as i64, len as i64);
        let refused = self.pointers && mode & PUNCH_HOLE == 0;
        self.expect(name, done, if refused { EOPNOTSUPP as usize } else { 0 }, at, len)?;
        Ok(!refused)
    }

    /// Whole pages of the file, where it has some to spare.
    fn pages(&mut self) -> Option<(usize, usize)> {
        let pages = self.size / PAGE;
        (pages >= 3).then(|| (self.below(pages - 1) * PAGE, (1 + self.below(4)) * PAGE))
    }

    pub fn collapse(&mut self) -> Step {
        let size = self.size;
        let Some((at, len)) = self.pages().filter(|(at, len)| at + len < size) else { return Ok(()) };
        if !self.change(COLLAPSE, "collapse", at, len)? {
            return Ok(());
        }
        self.good.copy_within(at + len..size, at);
        self.good[size - len..size].fill(0);
        self.size = size - len;
        Ok(())
    }

    pub fn insert(&mut self) -> Step {
        let size = self.size;
        let Some((at, len)) = self.pages().filter(|(_, len)| size + len <= MOST) else { return Ok(()) };
        if !self.change(INSERT, "insert", at, len)? {
            return Ok(());
        }
        self.good.copy_within(at..size, at + len);
        self.good[at..at + len].fill(0);
        self.size = size + len;
        Ok(())
    }

    pub fn allocate(&mut self) -> Step {
        let (at, len) = self.range(MOST);
        if len == 0 {
            return Ok(());
        }
        let (mode, name) = match self.below(2) {
            0 => (KEEP_SIZE, "fallocate, size kept"),
            _ => (0, "fallocate"),
        };
        if self.change(mode, name, at, len)? && mode == 0 {
            self.size = self.size.max(at + len);
        }
        Ok(())
    }
}
