//! An area of the address space: some pages with one protection and one source.

use alloc::sync::Arc;
use core::fmt;

use base::arch::{Access, Protection};
use base::{Errno, Frame, PAGE_SHIFT, PageIndex, Result, UserAddr};
use bitflags::bitflags;
use pagecache::{AddressSpace, LockedPage, Pattern};
use vfs::File;

use super::layout::Span;

bitflags! {
    /// What a program may do with an area, and how it is kept. READ, WRITE and EXEC are PROT_*'s bits.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct VmFlags: u32 {
        /// PROT_READ.
        const READ = 1;
        /// PROT_WRITE.
        const WRITE = 2;
        /// PROT_EXEC.
        const EXEC = 4;
        /// MAP_SHARED.
        const SHARED = 8;
        /// Grows downward at a fault below it: a stack.
        const GROWSDOWN = 16;
        /// MAP_NORESERVE: not counted against memory.
        const NORESERVE = 32;
        /// mprotect may add PROT_WRITE.
        const MAY_WRITE = 64;
        /// mlock: counted, and not thrown away.
        const LOCKED = 128;
        /// MADV_SEQUENTIAL: will be read from front to back.
        const SEQUENTIAL = 256;
        /// MADV_RANDOM: will be read here and there.
        const RANDOM = 512;
        /// MLOCK_ONFAULT: locked, and brought in by who touches it alone.
        const ON_FAULT = 1024;
    }
}

impl VmFlags {
    /// The three that mprotect changes.
    pub const PROT: VmFlags = VmFlags::READ.union(VmFlags::WRITE).union(VmFlags::EXEC);

    /// Whether an access is allowed. As on arm64 without EPAN: what may be written or executed may be
    /// read.
    pub fn allow(self, access: Access) -> bool {
        match access {
            Access::Read => self.intersects(VmFlags::PROT),
            Access::Write => self.contains(VmFlags::WRITE),
            Access::Execute => self.contains(VmFlags::EXEC),
        }
    }

    /// What the page table is to say of a page that belongs to the area alone.
    pub fn protection(self) -> Protection {
        Protection {
            read: self.intersects(VmFlags::PROT),
            write: self.contains(VmFlags::WRITE),
            execute: self.contains(VmFlags::EXEC),
        }
    }

    /// What mlock changes.
    pub const LOCK: VmFlags = VmFlags::LOCKED.union(VmFlags::ON_FAULT);

    /// What madvise changes.
    pub const ADVICE: VmFlags = VmFlags::SEQUENTIAL.union(VmFlags::RANDOM);

    /// How the area will be read, as far as madvise(2) has said.
    pub fn pattern(self) -> Pattern {
        match () {
            () if self.contains(VmFlags::RANDOM) => Pattern::Random,
            () if self.contains(VmFlags::SEQUENTIAL) => Pattern::Sequential,
            () => Pattern::Normal,
        }
    }

    /// Whether RLIMIT_DATA counts it: private, writable, no stack.
    pub fn is_data(self) -> bool {
        self.contains(VmFlags::WRITE) && !self.intersects(VmFlags::SHARED | VmFlags::GROWSDOWN)
    }
}

/// A file's page on its way into a page table: nobody takes it away from the file until this is dropped.
pub struct SourcePage {
    frame: Frame,
    _locked: Option<LockedPage>,
    /// It was not in memory: a major fault.
    pub major: bool,
}

impl SourcePage {
    /// A page, and the lock on it where there is one.
    pub fn held(frame: Frame, locked: Option<LockedPage>) -> SourcePage {
        SourcePage { frame, _locked: locked, major: false }
    }

    /// The same, and whether it had to be read in.
    pub fn by_reading(mut self, major: bool) -> SourcePage {
        self.major = major;
        self
    }

    /// Its bytes.
    pub fn frame(&self) -> &Frame {
        &self.frame
    }
}

/// Where the pages of a file area come from.
pub trait PageSource: Send + Sync {
    /// The file's page, shared with the page cache: to be mapped read-only, or copied. What is read with it
    /// goes by the pattern. Any error ends in SIGBUS, ENOMEM in SIGKILL.
    fn page(&self, index: PageIndex, pattern: Pattern) -> Result<SourcePage>;

    /// Whether a shared mapping of it may be written.
    fn may_map_writable(&self) -> bool {
        false
    }

    /// The same page, dirty from now on: to be mapped writable. Errors as of [`PageSource::page`].
    fn page_mkwrite(&self, _index: PageIndex, _pattern: Pattern) -> Result<SourcePage> {
        Err(Errno::EACCES)
    }

    /// A page became dirty by a store: a chance to hold the program back. No lock is held.
    fn balance_dirty(&self) {}

    /// The page cache's side of it, which wants to know where it is mapped.
    fn mapping(&self) -> Option<&Arc<AddressSpace>> {
        None
    }

    /// The open file.
    fn file(&self) -> Option<&Arc<File>> {
        None
    }

    /// Whether the page is in memory, mapped or not.
    fn is_cached(&self, _index: PageIndex) -> bool {
        false
    }

    /// Whether mremap(2) may make an area of it longer, or leave one behind (not VM_DONTEXPAND).
    fn may_grow(&self) -> bool {
        true
    }

    /// An area of it lies elsewhere since an mremap(2).
    fn moved(&self, _to: UserAddr) {}

    /// So many pages will be wanted soon.
    fn will_need(&self, _first: PageIndex, _pages: u64) {}

    /// What `/proc/self/maps` says of it.
    fn describe(&self, out: &mut dyn fmt::Write) -> fmt::Result;

    /// Device and inode for `/proc/self/maps`: major, minor, inode.
    fn identity(&self) -> (u32, u32, u64) {
        (0, 0, 0)
    }
}

/// What an area's pages are at first.
#[derive(Clone)]
pub enum Backing {
    /// Zeros.
    Anonymous,
    /// A file's, from this page on.
    File {
        /// The file.
        source: Arc<dyn PageSource>,
        /// Its page at the area's start.
        first: PageIndex,
    },
}

impl Backing {
    /// The same source, `bytes` further on.
    fn advanced(&self, bytes: u64) -> Backing {
        match self {
            Backing::Anonymous => Backing::Anonymous,
            Backing::File { source, first } => Backing::File {
                source: source.clone(),
                // A mapping's end was checked against 2^64 bytes when it was made.
                first: PageIndex(first.0.wrapping_add(bytes >> PAGE_SHIFT)),
            },
        }
    }

    fn same(&self, other: &Backing) -> bool {
        match (self, other) {
            (Backing::Anonymous, Backing::Anonymous) => true,
            (Backing::File { source: a, first: p }, Backing::File { source: b, first: q }) => {
                Arc::ptr_eq(a, b) && p == q
            }
            _ => false,
        }
    }
}

impl fmt::Debug for Backing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Backing::Anonymous => f.write_str("anonymous"),
            Backing::File { first, .. } => write!(f, "file page {first}"),
        }
    }
}

/// An area. Never empty.
#[derive(Clone, Debug)]
pub struct Vma {
    /// Where.
    pub span: Span,
    /// How.
    pub flags: VmFlags,
    /// What.
    pub backing: Backing,
}

impl Vma {
    /// The part of it that lies in `span`.
    pub fn part(&self, span: Span) -> Vma {
        let span = self.span.intersect(span);
        Vma { span, flags: self.flags, backing: self.backing.advanced(span.start - self.span.start) }
    }

    /// What comes after it at `span`, which begins where this ends.
    pub fn prolonged(&self, span: Span) -> Vma {
        Vma { span, flags: self.flags, backing: self.backing.advanced(self.span.len()) }
    }

    /// Whether `next`, which begins where this ends, is its continuation.
    pub fn continues_in(&self, next: &Vma) -> bool {
        self.span.end == next.span.start
            && self.flags == next.flags
            && !self.flags.contains(VmFlags::GROWSDOWN)
            && self.backing.advanced(self.span.len()).same(&next.backing)
    }

    /// The file's page at an address in the area.
    pub fn file_page(&self, addr: u64) -> Option<(&Arc<dyn PageSource>, PageIndex)> {
        match &self.backing {
            Backing::Anonymous => None,
            Backing::File { source, first } => {
                Some((source, PageIndex(first.0.wrapping_add((addr - self.span.start) >> PAGE_SHIFT))))
            }
        }
    }

    /// Whether stores to it may go to a file.
    pub fn is_shared_file(&self) -> bool {
        self.flags.contains(VmFlags::SHARED) && matches!(self.backing, Backing::File { .. })
    }

    /// Whether mremap(2) may prolong it, or leave it behind.
    pub fn may_grow(&self) -> bool {
        match &self.backing {
            Backing::Anonymous => true,
            Backing::File { source, .. } => source.may_grow(),
        }
    }

    /// What the page table may say of a page that was already there when the protection changed: a
    /// file's page may still be the cache's own, so writing waits for the fault that looks.
    pub fn protection_of_present(&self) -> Protection {
        let mut protection = self.flags.protection();
        protection.write &= matches!(self.backing, Backing::Anonymous);
        protection
    }
}

/// `prot` of mmap(2) and mprotect(2). Bits that are not protections are ignored, as mmap does.
pub fn prot_from_user(prot: u32) -> VmFlags {
    VmFlags::from_bits_truncate(prot) & VmFlags::PROT
}

/// EINVAL for bits that mprotect(2) does not know: beside the three, PROT_SEM and the two GROWS.
pub fn check_mprotect_bits(prot: u32) -> Result<()> {
    const PROT_SEM: u32 = 8;
    if prot & !(VmFlags::PROT.bits() | PROT_SEM) == 0 { Ok(()) } else { Err(Errno::EINVAL) }
}
