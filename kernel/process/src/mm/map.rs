//! mmap(2), munmap(2), mprotect(2).

use alloc::sync::Arc;

use base::user::TASK_SIZE;
use base::{Errno, PAGE_SHIFT, PageIndex, Result, UserAddr};
use bitflags::bitflags;

use super::layout::{MAX_MAP_COUNT, MIN_ADDR, PAGE, Span, is_aligned, page_down, page_up};
use super::vma::{Backing, PageSource, VmFlags, Vma, check_mprotect_bits, prot_from_user};
use super::{Areas, Mm};
use crate::limits::{INFINITY, Resource};

bitflags! {
    /// `flags` of mmap(2), arm64's numbers. The two lowest bits are a number, the type.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct MapFlags: u32 {
        /// MAP_SHARED; with MAP_PRIVATE, MAP_SHARED_VALIDATE.
        const SHARED = 1;
        /// MAP_PRIVATE.
        const PRIVATE = 2;
        /// Exactly there, over whatever is there.
        const FIXED = 0x10;
        /// Zeros, no file.
        const ANONYMOUS = 0x20;
        /// A stack of the program's own.
        const GROWSDOWN = 0x100;
        /// Ignored, as in Linux.
        const DENYWRITE = 0x800;
        /// Ignored, as in Linux.
        const EXECUTABLE = 0x1000;
        /// In memory at once, counted as by mlock(2).
        const LOCKED = 0x2000;
        /// Not counted against memory.
        const NORESERVE = 0x4000;
        /// In memory at once.
        const POPULATE = 0x8000;
        /// Meaningless without POPULATE.
        const NONBLOCK = 0x1_0000;
        /// Ignored, as in Linux.
        const STACK = 0x2_0000;
        /// Huge pages: there are none.
        const HUGETLB = 0x4_0000;
        /// Persistent memory: there is none.
        const SYNC = 0x8_0000;
        /// Exactly there, but not over something.
        const FIXED_NOREPLACE = 0x10_0000;
    }
}

const TYPE_MASK: u32 = 0xf;
/// The size of huge pages, which only MAP_HUGETLB looks at.
const HUGE_SIZES: u32 = 0x3f << 26;

/// A file as mmap sees it.
#[derive(Clone)]
pub struct MapFile {
    /// Its pages; None maps zeros, as /dev/zero does. An error where it cannot be mapped: mmap(2) has better
    /// reasons to refuse, which come first.
    pub source: Result<Option<Arc<dyn PageSource>>>,
    /// Where no file has bytes, whatever its file system: what lies behind is not mapped (`file_mmap_ok`).
    pub max_bytes: u64,
    /// Open for reading.
    pub readable: bool,
    /// Open for writing.
    pub writable: bool,
    /// Only to be added to.
    pub append_only: bool,
    /// On a mount that forbids execution.
    pub noexec: bool,
}

/// The arguments of mmap(2), the file descriptor already looked up.
#[derive(Clone, Default)]
pub struct MapRequest {
    /// Where, or where about, or 0.
    pub addr: u64,
    /// How many bytes.
    pub len: u64,
    /// PROT_*.
    pub prot: u32,
    /// MAP_*.
    pub flags: u32,
    /// The file; None with MAP_ANONYMOUS.
    pub file: Option<MapFile>,
    /// The file's byte at the start.
    pub offset: u64,
}

/// What a request asks for, once it makes sense.
struct Plan {
    flags: VmFlags,
    backing: Backing,
    len: u64,
}

impl Mm {
    /// mmap(2). EINVAL, EACCES, EPERM, ENODEV, ENOMEM, EEXIST, EOVERFLOW, EOPNOTSUPP as the man page
    /// says; ENODEV also for a shared writable mapping of a disk (see `file`).
    pub fn mmap(&self, request: &MapRequest) -> Result<UserAddr> {
        let flags = MapFlags::from_bits_retain(request.flags);
        self.check_free(request, flags)?;
        let plan = plan(request, flags)?;
        if flags.contains(MapFlags::LOCKED) {
            self.check_may_lock()?;
        }
        let (span, locked) = self.enter(request.addr, flags, plan)?;
        let populate = flags.contains(MapFlags::POPULATE) && !flags.contains(MapFlags::NONBLOCK);
        if populate || locked {
            // Errors are met by who touches the pages.
            let _ = self.populate(span, None);
        }
        Ok(UserAddr(span.start))
    }

    /// What MAP_FIXED_NOREPLACE would replace is told before what else is wrong with a file.
    fn check_free(&self, request: &MapRequest, flags: MapFlags) -> Result<()> {
        if !flags.contains(MapFlags::FIXED_NOREPLACE) {
            return Ok(());
        }
        // A place that is none is met again.
        let Ok(span) = Span::new(request.addr, request.len, Errno::ENOMEM) else { return Ok(()) };
        if self.areas.read().set.overlaps(span) { Err(Errno::EEXIST) } else { Ok(()) }
    }

    /// Where it is now, and whether it is locked.
    fn enter(&self, addr: u64, flags: MapFlags, plan: Plan) -> Result<(Span, bool)> {
        let mut areas = self.areas.write();
        let start = areas.choose_for(addr, flags, &plan)?;
        let span = Span::new(start, plan.len, Errno::ENOMEM)?;
        if flags.contains(MapFlags::FIXED_NOREPLACE) && areas.set.overlaps(span) {
            return Err(Errno::EEXIST);
        }
        if areas.set.len() + areas.set.splits(span) >= MAX_MAP_COUNT {
            return Err(Errno::ENOMEM);
        }
        let flags = plan.flags | areas.locked_by_default();
        let area = Vma { span, flags, backing: plan.backing };
        self.check_locked(&areas, &area)?;
        self.check_room(&areas, &area)?;
        let removed = self.clear(&mut areas, span);
        self.insert(&mut areas, area);
        drop(areas);
        drop(removed);
        Ok((span, flags.contains(VmFlags::LOCKED)))
    }

    /// munmap(2). EINVAL for an address off a page boundary, an empty range, or one that leaves user
    /// addresses; ENOMEM when it would make too many areas.
    pub fn munmap(&self, addr: UserAddr, len: u64) -> Result<()> {
        let span = Span::new(addr.0, len, Errno::EINVAL)?;
        if span.is_empty() {
            return Err(Errno::EINVAL);
        }
        let mut areas = self.areas.write();
        if areas.set.len() >= MAX_MAP_COUNT && areas.set.splits(span) == 2 {
            return Err(Errno::ENOMEM);
        }
        let removed = self.clear(&mut areas, span);
        drop(areas);
        drop(removed);
        Ok(())
    }

    /// mprotect(2). EINVAL; ENOMEM at a hole, after the part before it was changed, or at what would be more data
    /// than RLIMIT_DATA; EACCES for writing to a shared mapping of a file that is not open for it.
    pub fn mprotect(&self, addr: UserAddr, len: u64, prot: u32) -> Result<()> {
        const GROWS: u32 = 0x0300_0000;
        if prot & GROWS == GROWS {
            return Err(Errno::EINVAL);
        }
        let mut span = Span::new(addr.0, len, Errno::ENOMEM)?;
        if span.is_empty() {
            return Ok(());
        }
        check_mprotect_bits(prot & !GROWS)?;
        let mut areas = self.areas.write();
        if prot & GROWS != 0 {
            span = areas.grows_span(span, prot & GROWS)?;
        }
        self.protect(&mut areas, span, prot_from_user(prot))
    }

    fn protect(&self, areas: &mut Areas, span: Span, prot: VmFlags) -> Result<()> {
        // Up to the first hole, or the first area that refuses, it takes effect.
        let covered = areas.set.covered_until(span);
        let refused = self.refuses(areas, span, prot);
        let end = refused.map_or(covered, |(at, _)| at.min(covered));
        let part = Span { start: span.start, end };
        if areas.set.len() + areas.set.splits(part) >= MAX_MAP_COUNT {
            return Err(Errno::ENOMEM);
        }
        if !part.is_empty() {
            for area in areas.set.protect(part, prot) {
                self.protect_pages(&area);
            }
        }
        match refused {
            Some((at, error)) if at < covered => Err(error),
            _ if covered < span.end => Err(Errno::ENOMEM),
            _ => Ok(()),
        }
    }

    /// Where the first area lies that may not become what `prot` says, and why.
    fn refuses(&self, areas: &Areas, span: Span, prot: VmFlags) -> Option<(u64, Errno)> {
        if !prot.contains(VmFlags::WRITE) {
            return None;
        }
        let limit = self.limits.soft(Resource::Data);
        let mut data = if limit == INFINITY { 0 } else { areas.set.totals().1 };
        areas.set.overlapping(span).find_map(|area| {
            let part = area.span.intersect(span);
            if !area.flags.contains(VmFlags::MAY_WRITE) {
                return Some((part.start, Errno::EACCES));
            }
            if !area.flags.is_data() && (area.flags | prot).is_data() {
                data += part.len();
            }
            (data > limit && !area.flags.is_data()).then_some((part.start, Errno::ENOMEM))
        })
    }

    /// Tells the page table what an area now allows.
    fn protect_pages(&self, area: &Vma) {
        self.pages.protect(area.span, area.protection_of_present());
    }
}

impl Areas {
    /// Where a new mapping goes. Two megabytes of a file and more lie, where they may, so that a block of the
    /// page table could map them (`thp_get_unmapped_area`): programs that come back to an address (LMDB's
    /// MDB_FIXEDMAP) find what is small not in its way.
    fn choose_for(&self, addr: u64, flags: MapFlags, plan: &Plan) -> Result<u64> {
        let aligned = match &plan.backing {
            Backing::File { first, .. } if !flags.intersects(MapFlags::FIXED | MapFlags::FIXED_NOREPLACE) => {
                self.choose_aligned(addr, plan.len, first.0 << PAGE_SHIFT)
            }
            _ => None,
        };
        aligned.map_or_else(|| self.choose(addr, plan.len, flags), Ok)
    }

    /// An address that is `offset` modulo a block, if there is a whole block in the range and so much room.
    fn choose_aligned(&self, addr: u64, len: u64, offset: u64) -> Option<u64> {
        const BLOCK: u64 = 2 << 20;
        let end = offset.checked_add(len)?;
        if offset.checked_next_multiple_of(BLOCK)?.checked_add(BLOCK)? > end {
            return None;
        }
        let at = self.choose(addr, len.checked_add(BLOCK)?, MapFlags::empty()).ok()?;
        Some(if at == addr { at } else { at + (offset.wrapping_sub(at) & (BLOCK - 1)) })
    }

    /// Where there is room (`get_unmapped_area`).
    pub(super) fn choose(&self, addr: u64, len: u64, flags: MapFlags) -> Result<u64> {
        check_fixed(addr, len, flags)?;
        if flags.intersects(MapFlags::FIXED | MapFlags::FIXED_NOREPLACE) {
            return Ok(addr);
        }
        let hint = page_down(addr).max(MIN_ADDR);
        if addr != 0 && hint <= TASK_SIZE - len {
            let span = Span { start: hint, end: hint + len };
            if self.set.find_gap_down(len, span).is_some() {
                return Ok(hint);
            }
        }
        let below = Span { start: MIN_ADDR, end: self.mmap_base };
        // When all below is full, what lies between the base and the stack.
        let above = Span { start: self.mmap_base, end: TASK_SIZE - PAGE };
        let gap = self.set.find_gap_down(len, below).or_else(|| self.set.find_gap_down(len, above));
        gap.ok_or(Errno::ENOMEM)
    }

    /// PROT_GROWSDOWN and PROT_GROWSUP: the range reaches to the end of the stack it lies in.
    fn grows_span(&self, span: Span, grows: u32) -> Result<Span> {
        const PROT_GROWSDOWN: u32 = 0x0100_0000;
        let area = self.set.find(span.start).ok_or(Errno::ENOMEM)?;
        if grows != PROT_GROWSDOWN || !area.flags.contains(VmFlags::GROWSDOWN) {
            return Err(Errno::EINVAL);
        }
        Ok(Span { start: area.span.start, end: span.end })
    }
}

/// Checks what does not depend on the address space, in the order in which Linux's do_mmap does.
fn plan(request: &MapRequest, flags: MapFlags) -> Result<Plan> {
    if !is_aligned(request.offset) || request.len == 0 {
        return Err(Errno::EINVAL);
    }
    let len = page_up(request.len).ok_or(Errno::ENOMEM)?;
    check_fixed(request.addr, len, flags)?;
    if flags.contains(MapFlags::HUGETLB) {
        return Err(if request.file.is_some() { Errno::EINVAL } else { Errno::ENOMEM });
    }
    let file = if flags.contains(MapFlags::ANONYMOUS) { None } else { request.file.as_ref() };
    let fits = |file: &MapFile| len <= file.max_bytes && request.offset <= file.max_bytes - len;
    if !file.is_none_or(fits) {
        return Err(Errno::EOVERFLOW);
    }
    let shared = match flags.bits() & TYPE_MASK {
        1 => true,
        2 => false,
        // MAP_SHARED_VALIDATE is MAP_SHARED that refuses what it does not know.
        3 if file.is_none() => return Err(Errno::EINVAL),
        3 if validates(flags, file) => true,
        3 => return Err(Errno::EOPNOTSUPP),
        _ => return Err(Errno::EINVAL),
    };
    let mut vm = prot_from_user(request.prot) | VmFlags::MAY_WRITE;
    vm.set(VmFlags::SHARED, shared);
    vm.set(VmFlags::LOCKED, flags.contains(MapFlags::LOCKED));
    vm.set(VmFlags::NORESERVE, flags.contains(MapFlags::NORESERVE));
    let backing = match file {
        None if flags.contains(MapFlags::ANONYMOUS) => Backing::Anonymous,
        None => return Err(Errno::EBADF),
        Some(file) => file_backing(file, &mut vm, flags, request.offset)?,
    };
    if flags.contains(MapFlags::GROWSDOWN) {
        if shared {
            return Err(Errno::EINVAL);
        }
        vm |= VmFlags::GROWSDOWN;
    }
    Ok(Plan { flags: vm, backing, len })
}

/// Whether MAP_SHARED_VALIDATE takes the flags: those that were there before it (`LEGACY_MAP_MASK`), and MAP_SYNC
/// where the file can say itself that it cannot.
fn validates(flags: MapFlags, file: Option<&MapFile>) -> bool {
    let mut known = MapFlags::all() - MapFlags::FIXED_NOREPLACE;
    known.set(MapFlags::SYNC, matches!(file, Some(MapFile { source: Ok(Some(_)), .. })));
    flags.bits() & !(known.bits() | HUGE_SIZES) == 0
}

/// A place that is no place, however free it is.
fn check_fixed(addr: u64, len: u64, flags: MapFlags) -> Result<()> {
    if len > TASK_SIZE {
        return Err(Errno::ENOMEM);
    }
    if !flags.intersects(MapFlags::FIXED | MapFlags::FIXED_NOREPLACE) {
        return Ok(());
    }
    match addr {
        _ if addr > TASK_SIZE - len => Err(Errno::ENOMEM),
        _ if !is_aligned(addr) => Err(Errno::EINVAL),
        // Linux asks for CAP_SYS_RAWIO below; a null pointer stays a fault here for all.
        _ if addr < MIN_ADDR => Err(Errno::EPERM),
        _ => Ok(()),
    }
}

fn file_backing(file: &MapFile, vm: &mut VmFlags, flags: MapFlags, offset: u64) -> Result<Backing> {
    let shared = vm.contains(VmFlags::SHARED);
    if shared && vm.contains(VmFlags::WRITE) && !file.writable {
        return Err(Errno::EACCES);
    }
    if !file.readable || (shared && file.append_only && file.writable) {
        return Err(Errno::EACCES);
    }
    if file.noexec && vm.contains(VmFlags::EXEC) {
        return Err(Errno::EPERM);
    }
    let source = file.source.as_ref().map_err(|&error| error)?;
    if flags.contains(MapFlags::GROWSDOWN) {
        return Err(Errno::EINVAL);
    }
    let Some(source) = source else { return Ok(Backing::Anonymous) };
    // Memory that is the disk itself is all that could keep that promise.
    if flags.contains(MapFlags::SYNC) {
        return Err(Errno::EOPNOTSUPP);
    }
    if shared {
        let may_write = file.writable && source.may_map_writable();
        if vm.contains(VmFlags::WRITE) && !may_write {
            return Err(Errno::ENODEV);
        }
        vm.set(VmFlags::MAY_WRITE, may_write);
    }
    Ok(Backing::File { source: source.clone(), first: PageIndex(offset >> PAGE_SHIFT) })
}
