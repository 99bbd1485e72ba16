//! The program's address space: what is mapped, and how a page comes to be there.
//!
//! * `layout`: where things lie; `vma`, `vma_set`: areas, data only; `resident`: which pages are there.
//! * `map` (mmap, munmap, mprotect), `remap` (mremap), `heap` (brk), `advice` (madvise, mincore),
//!   `sync_file` (msync), `lock` (mlock).
//! * `fault`: a page on demand, copy on write, stack growth. `access`: [`base::UserMemory`].
//! * `file`: pages of a file through the page cache. `pages`: what is in the page table. `maps`: `/proc/self/maps` and the sizes.
//!
//! ```text
//! let mm = Mm::new(machine, limits, memory_pages)?;
//! let at = mm.mmap(&MapRequest { len: 4096, prot: 3, flags: 0x22, ..Default::default() })?;
//! match mm.fault(at, Access::Write) { Ok(()) => run_again(), Err(signal) => deliver(signal) }
//! ```
//!
//! # How a page comes
//! ```text
//!   area                access           page table afterwards
//!   anonymous           any              a zero page, with the area's protection
//!   file                read, execute    the cache's page, not writable
//!   file, shared        write            the cache's page, dirty, with the area's protection
//!   file, private       write            a copy of it, with the area's protection
//! ```
//! A private copy is recognised by its frame having no other owner: then it is written in place. So
//! nothing need be kept for each page, and a page that the cache has let go of is not copied again.
//!
//! # Locking
//! `areas` (Linux's mmap_lock) is held shared by a fault from the look at the area until its page is in
//! the table, also over the read from disk; exclusively by whoever changes areas. Below it come the file's
//! `invalidate_lock`, handles and page locks, and at the end the lock in `pages`, which orders all who change
//! the table: the page cache takes pages out of it and the right to write away without `areas`. What a change removes is dropped after `areas` is free again: it
//! may close a file. A thread that holds a page lock or an inode's lock may fault, so nothing under
//! `areas` takes an inode's lock.
//!
//! # Invariants
//! 1. The table holds pages only within areas, none with more rights than its area gives.
//! 2. A page of the cache is mapped writable only through a shared area, and while it is dirty.
//! 3. A file knows of every area that has pages of it in the table ([`pagecache::MappedBy`]).

mod access;
mod advice;
mod fault;
mod file;
mod heap;
pub mod layout;
mod lock;
mod map;
mod maps;
mod pages;
mod remap;
mod resident;
mod sync_file;
pub mod vma;
pub mod vma_set;

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64};

use base::arch::Machine;
use base::{Errno, Result, UserAddr};
use pagecache::MappedBy;
use sync::RwLock;

pub use map::{MapFile, MapFlags, MapRequest};
pub use maps::Sizes;

use crate::limits::{INFINITY, Limits, Resource};
use layout::{MAX_MAP_COUNT, PAGE, Span};
use pages::Pages;
use vma::{VmFlags, Vma};
use vma_set::VmaSet;

/// The address space of a program.
pub struct Mm {
    machine: &'static dyn Machine,
    /// Files know it: they take pages out of it.
    pages: Arc<Pages>,
    areas: RwLock<Areas>,
    limits: Arc<Limits>,
    memory_pages: u64,
    /// CAP_IPC_LOCK: RLIMIT_MEMLOCK is not for this program.
    may_lock_all: AtomicBool,
    minor_faults: AtomicU64,
    major_faults: AtomicU64,
}

/// What changes under the exclusive lock.
struct Areas {
    set: VmaSet,
    /// The first address of the heap.
    heap_start: u64,
    /// Where the heap ends now, to the byte.
    heap_end: u64,
    /// mmap looks downward from here.
    mmap_base: u64,
    image: ImageLayout,
    /// Where the arguments and the environment lie, for `/proc/self`.
    strings: Strings,
    /// mlockall(MCL_FUTURE): how what comes is locked.
    lock_future: VmFlags,
}

/// What exec placed, for `/proc/self/stat` and RLIMIT_DATA.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ImageLayout {
    /// The executable segments, from and to.
    pub code: (u64, u64),
    /// The writable segments, from and to.
    pub data: (u64, u64),
    /// Bytes of the writable segments that come from the file, which RLIMIT_DATA counts with the heap.
    pub data_size: u64,
    /// The first stack pointer.
    pub stack: u64,
    /// Where the heap begins: behind the image, on a page boundary.
    pub heap: u64,
}

/// Where exec put the strings.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Strings {
    /// The arguments, each with its NUL.
    pub args: (UserAddr, UserAddr),
    /// The environment, each with its NUL.
    pub env: (UserAddr, UserAddr),
    /// The auxiliary vector.
    pub auxv: (UserAddr, UserAddr),
}

impl Mm {
    /// An empty address space. `memory_pages` is the machine's memory, which no single mapping may
    /// exceed. ENOMEM.
    pub fn new(machine: &'static dyn Machine, limits: Arc<Limits>, memory_pages: u64) -> Result<Mm> {
        let mmap_base = layout::mmap_base(limits.soft(Resource::Stack));
        Ok(Mm {
            machine,
            pages: Arc::new(Pages::new(machine.new_page_table()?)),
            areas: RwLock::new(Areas {
                set: VmaSet::new(),
                heap_start: 0,
                heap_end: 0,
                mmap_base,
                image: ImageLayout::default(),
                strings: Strings::default(),
                lock_future: VmFlags::empty(),
            }),
            limits,
            memory_pages,
            may_lock_all: AtomicBool::new(true),
            minor_faults: AtomicU64::new(0),
            major_faults: AtomicU64::new(0),
        })
    }

    /// Makes this the address space that EL0 sees on this CPU.
    pub fn activate(&self) {
        self.pages.table().activate();
    }

    /// The machine under it.
    pub fn machine(&self) -> &'static dyn Machine {
        self.machine
    }

    /// What exec knows.
    pub(crate) fn set_image(&self, image: ImageLayout, strings: Strings) {
        let mut areas = self.areas.write();
        areas.heap_start = image.heap;
        areas.heap_end = image.heap;
        areas.image = image;
        areas.strings = strings;
    }

    /// Where exec put the image.
    pub fn image(&self) -> ImageLayout {
        self.areas.read().image
    }

    /// Where exec put the strings.
    pub fn strings(&self) -> Strings {
        self.areas.read().strings
    }

    /// Adds an area where exec wants it. ENOMEM when something is there or it leaves user addresses.
    pub(crate) fn place(&self, area: Vma) -> Result<()> {
        let mut areas = self.areas.write();
        if area.span.start < layout::MIN_ADDR || areas.set.overlaps(area.span) {
            return Err(Errno::ENOMEM);
        }
        self.check_room(&areas, &area)?;
        self.insert(&mut areas, area);
        Ok(())
    }

    /// Whether an area may be added beside what is there (`may_expand_vm`, overcommit, map count).
    fn check_room(&self, areas: &Areas, area: &Vma) -> Result<()> {
        let len = area.span.len();
        let (space, data) = (self.limits.soft(Resource::AddressSpace), self.limits.soft(Resource::Data));
        if space != INFINITY || data != INFINITY {
            let (all, of_data) = areas.set.totals();
            if all + len > space || (area.flags.is_data() && of_data + len > data) {
                return Err(Errno::ENOMEM);
            }
        }
        // Linux's heuristic overcommit: what can never be backed is refused.
        let backed = area.flags.is_data() && !area.flags.contains(VmFlags::NORESERVE);
        if (backed && len / PAGE > self.memory_pages) || areas.set.len() >= MAX_MAP_COUNT {
            return Err(Errno::ENOMEM);
        }
        Ok(())
    }

    /// Takes away what lies in `span`: areas and pages. The areas come back to be dropped once the lock
    /// is free.
    fn clear(&self, areas: &mut Areas, span: Span) -> Vec<Vma> {
        // The pages first: a file that does not know of an area has no page in it.
        self.pages.take_out(span);
        let removed = areas.set.remove(span);
        removed.iter().for_each(|area| self.forget(area));
        removed
    }

    /// Adds an area where none is, and tells its file.
    fn insert(&self, areas: &mut Areas, area: Vma) {
        if let Some((source, first)) = area.file_page(area.span.start)
            && let Some(mapping) = source.mapping()
        {
            let (at, shared) = (UserAddr(area.span.start), area.flags.contains(VmFlags::SHARED));
            mapping.map_range(self.weak_pages(), at, first.0, area.span.len() / PAGE, shared);
        }
        areas.set.insert(area);
    }

    /// Tells the file of an area that it is not mapped there any more.
    fn forget(&self, area: &Vma) {
        let source = area.file_page(area.span.start).map(|(source, _)| source);
        if let Some(mapping) = source.and_then(|source| source.mapping()) {
            mapping.unmap_range(&self.weak_pages(), UserAddr(area.span.start), area.span.len());
        }
    }

    fn weak_pages(&self) -> Weak<dyn MappedBy> {
        let weak: Weak<Pages> = Arc::downgrade(&self.pages);
        weak
    }
}

impl Drop for Mm {
    /// No fault comes any more; the pages go with the table.
    fn drop(&mut self) {
        let areas = self.areas.read();
        areas.set.iter().for_each(|area| self.forget(area));
    }
}

#[cfg(test)]
mod advice_tests;
#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod lock_tests;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod pin_tests;
#[cfg(test)]
mod shared_tests;
#[cfg(test)]
mod tests;
