//! Operations through mappings.

use user::sys;

use crate::model::{MOST, PAGE, RW, Run};
use crate::trouble::{Step, Trouble};

const READ: i32 = 1;
const SHARED: i32 = 1;

impl Run {
    /// Maps the file anew, all that it may become.
    pub fn map(&mut self) {
        if self.mapped != 0 {
            sys::munmap(self.mapped, MOST);
        }
        self.mapped = sys::mmap(0, MOST, RW, SHARED, self.fd, 0) as usize;
    }

    /// Bytes of the file through the long mapping, or through one made for it alone. Within the pages that
    /// the file has.
    fn with_mapping(
        &mut self,
        at: usize,
        len: usize,
        write: bool,
        f: impl FnOnce(&mut Run, &mut [u8]),
    ) -> Step {
        let first = at / PAGE * PAGE;
        let span = at + len - first;
        let short = self.below(3) == 0;
        let base = if short {
            let prot = if write { RW } else { READ };
            let base = sys::mmap(0, span, prot, SHARED, self.fd, first as i64);
            if base < 0 {
                return Err(Trouble::Call { name: "mmap", answer: base, want: 0 });
            }
            base as usize
        } else {
            self.mapped + first
        };
        self.history.add(if write { "store" } else { "load" }, at, len);
        // SAFETY: mapped, within the file's pages, and referred to by nobody else meanwhile.
        let bytes = unsafe { core::slice::from_raw_parts_mut((base + at - first) as *mut u8, len) };
        f(self, bytes);
        if short { self.call("munmap", sys::munmap(base, span)) } else { Ok(()) }
    }

    pub fn load(&mut self) -> Step {
        let (at, len) = self.range(self.size);
        if len == 0 {
            return Ok(());
        }
        let mut done = Ok(());
        self.with_mapping(at, len, false, |run, bytes| done = run.compare("load", at, bytes))?;
        done
    }

    pub fn store(&mut self) -> Step {
        let limit = if self.below(8) == 0 { MOST } else { self.size };
        let (at, len) = self.range(limit);
        if len == 0 {
            return Ok(());
        }
        if at + len > self.size {
            let done = sys::ftruncate(self.fd, (at + len) as i64);
            self.expect("ftruncate for a store", done, 0, at + len, 0)?;
        }
        self.fill(at, len);
        self.with_mapping(at, len, true, |run, bytes| bytes.copy_from_slice(&run.part[..len]))?;
        // Behind the end nothing is kept; it must not be seen later.
        let tail = self.size % PAGE;
        if self.below(3) == 0 && self.zeros && tail != 0 {
            let end = self.size;
            self.with_mapping(end, PAGE - tail, true, |_, bytes| bytes.fill(0xee))?;
        }
        Ok(())
    }

    pub fn sync_mapping(&mut self) -> Step {
        const MS_ASYNC: i32 = 1;
        const MS_SYNC: i32 = 4;
        let flags = if self.below(3) == 0 { MS_ASYNC } else { MS_SYNC };
        let at = self.below(MOST / PAGE) * PAGE;
        let done = sys::msync(self.mapped + at, MOST - at, flags);
        self.expect("msync", done, 0, at, MOST - at)
    }

    /// Pages out of the page table, or out of the cache, or into it, or the mapping made anew.
    pub fn advise(&mut self) -> Step {
        let at = self.below(MOST / PAGE) * PAGE;
        let len = MOST - at;
        let choice = self.below(8);
        let advise = |number| sys::madvise(self.mapped + at, len, number);
        let (name, done) = match choice {
            0 | 1 => {
                self.history.add("mmap", 0, MOST);
                self.map();
                return Ok(());
            }
            2 | 3 => ("fadvise DONTNEED", sys::fadvise64(self.fd, at as i64, len as i64, 4)),
            4 => ("fadvise WILLNEED", sys::fadvise64(self.fd, at as i64, len as i64, 3)),
            5 => ("madvise DONTNEED", advise(4)),
            6 => ("madvise WILLNEED", advise(3)),
            _ => ("madvise PAGEOUT", advise(21)),
        };
        self.expect(name, done, 0, at, len)
    }

    /// write(2) whose source is the mapping, of the same page or of another.
    pub fn copy_from_mapping(&mut self) -> Step {
        let (from, len) = self.range(self.size);
        if len == 0 {
            return Ok(());
        }
        let to = if self.below(3) == 0 { from } else { self.below(MOST - len) };
        if from < to + len && to < from + len && from != to {
            // What an overlapping copy leaves is nobody's to say.
            return Ok(());
        }
        self.history.add("pwrite from here", from, len);
        let done = sys::pwrite_raw(self.fd, self.mapped + from, len, to as i64);
        self.expect("pwrite from the mapping", done, len, to, len)?;
        self.good.copy_within(from..from + len, to);
        self.size = self.size.max(to + len);
        Ok(())
    }
}
