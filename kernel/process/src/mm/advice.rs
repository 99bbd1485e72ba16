//! madvise(2), mincore(2).

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::arch::Access;
use base::{Errno, PageIndex, Result, UserAddr};
use vfs::{File, Want};

use super::Mm;
use super::layout::{MAX_MAP_COUNT, PAGE, Span};
use super::vma::{Backing, PageSource, VmFlags, Vma};

mod madv {
    pub const RANDOM: u32 = 1;
    pub const SEQUENTIAL: u32 = 2;
    pub const WILLNEED: u32 = 3;
    pub const DONTNEED: u32 = 4;
    pub const FREE: u32 = 8;
    pub const REMOVE: u32 = 9;
    pub const WIPEONFORK: u32 = 18;
    pub const COLD: u32 = 20;
    pub const PAGEOUT: u32 = 21;
    pub const POPULATE_READ: u32 = 22;
    pub const POPULATE_WRITE: u32 = 23;
    pub const DONTNEED_LOCKED: u32 = 24;
    pub const COLLAPSE: u32 = 25;
}

/// Pages of a file: the first, and how many.
type Pages = (Arc<dyn PageSource>, PageIndex, u64);

impl Mm {
    /// madvise(2). DONTNEED and FREE take the pages away, REMOVE punches a hole into the file, WILLNEED reads
    /// it ahead, RANDOM, SEQUENTIAL and NORMAL say how faults read, COLD and PAGEOUT give up pages of files; what is
    /// only a hint is accepted. EINVAL
    /// for an address off a page boundary, advice that is none, locked memory that is to go, or memory that the
    /// advice is not for; EAGAIN when it would make too many areas; ENOMEM when part of the range is not
    /// mapped, after the rest was done.
    pub fn madvise(&self, addr: UserAddr, len: u64, advice: u32) -> Result<()> {
        // 5 to 7 and 26 on are none; 10 to 17 and 19 are about forking, merging, dumping, huge pages.
        if !matches!(advice, 0..=4 | 8..=25) {
            return Err(Errno::EINVAL);
        }
        let span = Span::new(addr.0, len, Errno::EINVAL)?;
        if span.is_empty() {
            return Ok(());
        }
        match advice {
            0 => self.set_pattern(span, VmFlags::empty())?,
            madv::RANDOM => self.set_pattern(span, VmFlags::RANDOM)?,
            madv::SEQUENTIAL => self.set_pattern(span, VmFlags::SEQUENTIAL)?,
            madv::DONTNEED | madv::FREE | madv::DONTNEED_LOCKED => self.drop_contents(span, advice)?,
            madv::COLD | madv::PAGEOUT => self.give_up_pages(span, advice)?,
            madv::WIPEONFORK => self.check_all(span, is_own)?,
            // There are no huge pages.
            madv::COLLAPSE => self.check_all(span, |_| false)?,
            madv::REMOVE => self.punch(span)?,
            madv::WILLNEED => self.will_need(span),
            madv::POPULATE_READ => self.populate(span, Some(Access::Read))?,
            madv::POPULATE_WRITE => self.populate(span, Some(Access::Write))?,
            _ => {}
        }
        if self.areas.read().set.covered_until(span) < span.end { Err(Errno::ENOMEM) } else { Ok(()) }
    }

    /// How faults shall read from now on.
    fn set_pattern(&self, span: Span, pattern: VmFlags) -> Result<()> {
        let mut areas = self.areas.write();
        if areas.set.len() + areas.set.splits(span) >= MAX_MAP_COUNT {
            return Err(Errno::EAGAIN);
        }
        areas.set.change(span, VmFlags::ADVICE, pattern);
        Ok(())
    }

    /// EINVAL where an area is not what the advice is for.
    pub(super) fn check_all(&self, span: Span, fits: impl Fn(&Vma) -> bool) -> Result<()> {
        let areas = self.areas.read();
        if areas.set.overlapping(span).all(fits) { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// FREE is for private anonymous memory only. Writers wait: no fault brings a page back meanwhile. Up to
    /// the first area that it is not for.
    fn drop_contents(&self, span: Span, advice: u32) -> Result<()> {
        let areas = self.areas.write();
        for area in areas.set.overlapping(span) {
            let locked = advice != madv::DONTNEED_LOCKED && area.flags.contains(VmFlags::LOCKED);
            if locked || (advice == madv::FREE && !is_own(area)) {
                return Err(Errno::EINVAL);
            }
            // A shared anonymous page has no file to come back from: it stays.
            if !is_shmem(area) {
                self.pages.take_out(area.span.intersect(span));
            }
        }
        Ok(())
    }

    /// What `f` picks of the areas in `span`, upward; up to the first error.
    fn pick<T>(&self, span: Span, mut f: impl FnMut(&Vma) -> Result<Option<T>>) -> (Vec<T>, Result<()>) {
        let areas = self.areas.read();
        let mut picked = Vec::new();
        for area in areas.set.overlapping(span) {
            match f(&area.part(span)) {
                Ok(one) => picked.extend(one),
                Err(error) => return (picked, Err(error)),
            }
        }
        (picked, Ok(()))
    }

    /// REMOVE. The file's own operation takes the pages out of the page table; shared memory without a file is in
    /// the page table alone. EINVAL where there is neither or for locked memory; EACCES for what is not a shared
    /// mapping that may be written.
    fn punch(&self, span: Span) -> Result<()> {
        const PUNCH_HOLE_KEEP_SIZE: u32 = 3;
        let (parts, end) = self.pick(span, |part| {
            if is_shmem(part) && !part.flags.contains(VmFlags::LOCKED) {
                self.pages.take_out(part.span);
                return Ok(None);
            }
            let file = part.file_page(part.span.start).and_then(|(source, first)| {
                source.file().map(|file| (file.clone(), first.byte(), part.span.len()))
            });
            let file = file.filter(|_| !part.flags.contains(VmFlags::LOCKED)).ok_or(Errno::EINVAL)?;
            let may = VmFlags::SHARED | VmFlags::MAY_WRITE;
            if part.flags.contains(may) { Ok(Some(file)) } else { Err(Errno::EACCES) }
        });
        for (file, start, len) in parts {
            let (start, len) = (start.try_into(), len.try_into());
            let (Ok(start), Ok(len)) = (start, len) else { return Err(Errno::EINVAL) };
            let cred = vfs::current::current();
            vfs::attr_ops::fallocate(&file, PUNCH_HOLE_KEEP_SIZE, start, len, u64::MAX, &cred)?;
        }
        end
    }

    /// COLD and PAGEOUT: pages of files that are in the page table become inactive, or go if they can. Without swap
    /// no others can. PAGEOUT tells who reads a file what others have read of it (mincore), so it is for those who may
    /// write to it; for others it does nothing.
    fn give_up_pages(&self, span: Span, advice: u32) -> Result<()> {
        let (parts, end) = self.pick(span, |part| {
            if part.flags.contains(VmFlags::LOCKED) {
                return Err(Errno::EINVAL);
            }
            let shared = part.flags.contains(VmFlags::SHARED);
            let file = part.file_page(part.span.start).filter(|(source, _)| {
                advice == madv::COLD || !shared || source.file().is_some_and(|file| may_know_cached(file))
            });
            Ok(file.map(|(source, first)| (part.span, source.clone(), first)))
        });
        for (span, source, first) in parts {
            let Some(mapping) = source.mapping() else { continue };
            for (page, index) in span.pages().zip(first.0..) {
                if !self.pages.resident().contains(page) {
                    continue;
                }
                match advice {
                    madv::COLD => pagecache::deactivate_page(mapping, PageIndex(index)),
                    _ => pagecache::pageout(mapping, PageIndex(index)),
                }
            }
        }
        end
    }

    fn will_need(&self, span: Span) {
        let (parts, _) = self.pick(span, |part| {
            let file = part.file_page(part.span.start);
            Ok(file.map(|(source, first)| -> Pages { (source.clone(), first, part.span.len() / PAGE) }))
        });
        parts.into_iter().for_each(|(source, first, pages)| source.will_need(first, pages));
    }

    /// Brings in what a range maps, for `access`, or for the one that spares later faults: to be read, and
    /// private memory to be written. EFAULT where a page cannot be had; EINVAL where the access is not
    /// allowed; areas without any access are passed over unless one was asked for, and so is what is locked when it
    /// is touched.
    pub(super) fn populate(&self, span: Span, access: Option<Access>) -> Result<()> {
        let (parts, end) = self.pick(span, |part| {
            let own = part.flags.contains(VmFlags::WRITE) && !part.flags.contains(VmFlags::SHARED);
            let access = match access {
                Some(access) if !part.flags.allow(access) => return Err(Errno::EINVAL),
                Some(access) => access,
                None if part.flags.contains(VmFlags::ON_FAULT) => return Ok(None),
                None if own => Access::Write,
                None => Access::Read,
            };
            Ok(part.flags.allow(access).then_some((part.span, access)))
        });
        for (span, access) in parts {
            for page in span.pages() {
                self.fault(UserAddr(page), access).map_err(|_| Errno::EFAULT)?;
            }
        }
        end
    }

    /// mincore(2): a byte for each page up to the first that is not mapped, 1 where it is in memory; and
    /// ENOMEM when there is such a one. What others have read of a file is told to those who may write to it; for
    /// the rest all of it is there. EINVAL, ENOMEM.
    pub fn mincore(&self, addr: UserAddr, len: u64) -> Result<(Vec<u8>, Result<()>)> {
        let span = Span::new(addr.0, len, Errno::ENOMEM)?;
        let areas = self.areas.read();
        let covered = areas.set.covered_until(span);
        let end = if covered < span.end { Err(Errno::ENOMEM) } else { Ok(()) };
        let span = Span { end: covered, ..span };
        let mut out = Vec::new();
        for area in areas.set.overlapping(span) {
            let file = area.file_page(area.span.start).and_then(|(source, _)| source.file());
            let hidden = !file.is_none_or(|file| may_know_cached(file));
            out.extend(area.span.intersect(span).pages().map(|page| {
                let cached = || area.file_page(page).is_some_and(|(source, index)| source.is_cached(index));
                u8::from(hidden || self.pages.resident().contains(page) || cached())
            }));
        }
        Ok((out, end))
    }
}

/// Whether the program owns the file or may write to it (`can_do_file_pageout`, `can_do_mincore`).
fn may_know_cached(file: &File) -> bool {
    let cred = vfs::current::current();
    let inode = file.inode();
    cred.owns(&inode.ownership()) || vfs::namei::permission(&**inode, Want::WRITE, &cred).is_ok()
}

/// Shared, and no file's.
fn is_shmem(area: &Vma) -> bool {
    area.flags.contains(VmFlags::SHARED) && matches!(area.backing, Backing::Anonymous)
}

/// Private, and no file's.
fn is_own(area: &Vma) -> bool {
    !area.flags.contains(VmFlags::SHARED) && matches!(area.backing, Backing::Anonymous)
}
