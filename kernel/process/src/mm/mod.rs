//! The program's address space: what is mapped, and how a page comes to be there.
//!
//! * `layout`: where things lie; `vma`, `vma_set`: areas, data only; `resident`: which pages are there.
//! * `map` (mmap, munmap, mprotect), `remap` (mremap), `heap` (brk), `advice` (madvise, mincore, msync).
//! * `fault`: a page on demand, copy on write, stack growth. `access`: [`base::UserMemory`].
//! * `file`: pages of a file through the page cache. `maps`: `/proc/self/maps` and the sizes.
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
//!   file                read, execute    the cache's page, never writable
//!   file, private       write            a copy of it, with the area's protection
//! ```
//! A private copy is recognised by its frame having no other owner: then it is written in place. So
//! nothing need be kept for each page, and a page that the cache has let go of is not copied again.
//!
//! # Locking
//! `areas` (Linux's mmap_lock) is held shared by a fault from the look at the area until its page is in
//! the table, also over the read from disk; exclusively by whoever changes areas. Below it `install`
//! orders two faults of the same page. What a change removes is dropped after `areas` is free again: it
//! may close a file. A thread that holds a page lock or an inode's lock may fault, so nothing under
//! `areas` takes an inode's lock.
//!
//! # Invariants
//! 1. The table holds pages only within areas, none with more rights than its area gives.
//! 2. A page of the cache is never mapped writable.
//! 3. `resident` has the pages that the table holds.

mod access;
mod advice;
mod fault;
mod file;
mod heap;
pub mod layout;
mod map;
mod maps;
mod remap;
mod resident;
pub mod vma;
pub mod vma_set;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::AtomicU64;

use base::arch::{Machine, UserPageTable};
use base::{Errno, Result, UserAddr};
use sync::{Mutex, RwLock};

pub use map::{MapFile, MapFlags, MapRequest};
pub use maps::Sizes;

use crate::limits::{INFINITY, Limits, Resource};
use layout::{MAX_MAP_COUNT, PAGE, Span};
use resident::Resident;
use vma::Vma;
use vma_set::VmaSet;

/// The address space of a program.
pub struct Mm {
    machine: &'static dyn Machine,
    table: Box<dyn UserPageTable>,
    areas: RwLock<Areas>,
    install: Mutex<()>,
    resident: Resident,
    limits: Arc<Limits>,
    memory_pages: u64,
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
            table: machine.new_page_table()?,
            areas: RwLock::new(Areas {
                set: VmaSet::new(),
                heap_start: 0,
                heap_end: 0,
                mmap_base,
                image: ImageLayout::default(),
                strings: Strings::default(),
            }),
            install: Mutex::new(()),
            resident: Resident::default(),
            limits,
            memory_pages,
            minor_faults: AtomicU64::new(0),
            major_faults: AtomicU64::new(0),
        })
    }

    /// Makes this the address space that EL0 sees on this CPU.
    pub fn activate(&self) {
        self.table.activate();
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
        areas.set.insert(area);
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
        let backed = area.flags.is_data() && !area.flags.contains(vma::VmFlags::NORESERVE);
        if (backed && len / PAGE > self.memory_pages) || areas.set.len() >= MAX_MAP_COUNT {
            return Err(Errno::ENOMEM);
        }
        Ok(())
    }

    /// Takes away what lies in `span`: areas and pages. The areas come back to be dropped once the lock
    /// is free.
    fn clear(&self, areas: &mut Areas, span: Span) -> Vec<Vma> {
        let removed = areas.set.remove(span);
        self.drop_pages(span);
        removed
    }

    /// Takes pages out of the table; areas stay.
    fn drop_pages(&self, span: Span) {
        if self.resident.remove(span) {
            self.table.unmap(UserAddr(span.start), span.len());
        }
    }
}

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod pin_tests;
#[cfg(test)]
mod tests;
