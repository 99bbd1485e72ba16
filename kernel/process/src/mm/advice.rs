//! madvise(2), mincore(2), msync(2), mlock(2).

use alloc::vec::Vec;

use base::{Errno, Result, UserAddr};

use super::Mm;
use super::layout::{Span, page_down};
use super::vma::{Backing, VmFlags};

mod madv {
    pub const WILLNEED: u32 = 3;
    pub const DONTNEED: u32 = 4;
    pub const FREE: u32 = 8;
    pub const REMOVE: u32 = 9;
    pub const POPULATE_READ: u32 = 22;
    pub const POPULATE_WRITE: u32 = 23;
}

const MS_ASYNC: u32 = 1;
const MS_INVALIDATE: u32 = 2;
const MS_SYNC: u32 = 4;

impl Mm {
    /// madvise(2). DONTNEED and FREE take the pages away; what is only a hint is accepted. EINVAL for
    /// an address off a page boundary or advice that is none; ENOMEM when part of the range is not
    /// mapped, after the rest was done.
    pub fn madvise(&self, addr: UserAddr, len: u64, advice: u32) -> Result<()> {
        // NORMAL to SEQUENTIAL, DONTFORK to PAGEOUT: hints about paging, forking and dumping.
        let hint = matches!(advice, 0..=3 | 10..=21);
        let drops = matches!(advice, madv::DONTNEED | madv::FREE);
        let populates = matches!(advice, madv::POPULATE_READ | madv::POPULATE_WRITE);
        if !(hint || drops || populates || advice == madv::REMOVE) {
            return Err(Errno::EINVAL);
        }
        let span = Span::new(addr.0, len, Errno::EINVAL)?;
        if span.is_empty() {
            return Ok(());
        }
        // Punching a hole wants a shared writable file, which nothing here is.
        if advice == madv::REMOVE {
            return Err(Errno::EINVAL);
        }
        if drops {
            self.drop_contents(span, advice == madv::FREE)?;
        }
        if populates || advice == madv::WILLNEED {
            self.populate(span);
        }
        if self.areas.read().set.covered_until(span) < span.end { Err(Errno::ENOMEM) } else { Ok(()) }
    }

    /// FREE is for private anonymous memory only. Writers wait: no fault brings a page back meanwhile.
    fn drop_contents(&self, span: Span, only_anonymous: bool) -> Result<()> {
        let areas = self.areas.write();
        let file = |b: &Backing| matches!(b, Backing::File { .. });
        if only_anonymous && areas.set.overlapping(span).any(|v| file(&v.backing)) {
            return Err(Errno::EINVAL);
        }
        for area in areas.set.overlapping(span) {
            // A shared anonymous page has no file to come back from: it stays.
            if !area.flags.contains(VmFlags::SHARED) || file(&area.backing) {
                self.drop_pages(area.span.intersect(span));
            }
        }
        Ok(())
    }

    /// mincore(2): a byte for each page, 1 where it is in memory. EINVAL; ENOMEM for what is not mapped.
    pub fn mincore(&self, addr: UserAddr, len: u64) -> Result<Vec<u8>> {
        let span = Span::new(addr.0, len, Errno::ENOMEM)?;
        let areas = self.areas.read();
        if areas.set.covered_until(span) < span.end {
            return Err(Errno::ENOMEM);
        }
        Ok(span.pages().map(|page| u8::from(self.resident.contains(page))).collect())
    }

    /// mlock(2) and munlock(2): there is no swap, so a page that is in stays in, and locking only means
    /// to bring it in now. ENOMEM for what is not mapped.
    pub fn lock(&self, addr: UserAddr, len: u64, bring_in: bool) -> Result<()> {
        let start = page_down(addr.0);
        let len = len.checked_add(addr.0 - start).ok_or(Errno::EINVAL)?;
        let span = Span::new(start, len, Errno::ENOMEM)?;
        if self.areas.read().set.covered_until(span) < span.end {
            return Err(Errno::ENOMEM);
        }
        if bring_in {
            self.populate(span);
        }
        Ok(())
    }

    /// msync(2). No mapping is written back, since none of a file is shared and writable; so only the
    /// arguments matter. EINVAL, ENOMEM.
    pub fn msync(&self, addr: UserAddr, len: u64, flags: u32) -> Result<()> {
        if flags & !(MS_ASYNC | MS_INVALIDATE | MS_SYNC) != 0 || flags & MS_ASYNC != 0 && flags & MS_SYNC != 0
        {
            return Err(Errno::EINVAL);
        }
        let span = Span::new(addr.0, len, Errno::ENOMEM)?;
        if self.areas.read().set.covered_until(span) < span.end { Err(Errno::ENOMEM) } else { Ok(()) }
    }
}
