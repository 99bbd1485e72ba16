//! A machine in memory for tests: a page table that is a map, and copies that go through it.

use super::*;
use base::arch::{Protection, UserCopy, UserCpu, UserPageTable, UserRegs};
use base::{Frame, PAGE_SIZE};
use pagecache::{AddressSpace, Pattern};
use std::boxed::Box;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex as StdMutex;

type Pages = Arc<StdMutex<BTreeMap<u64, (Frame, Protection)>>>;

/// The machine. One table is active: the last one that was activated, or the only one there is.
#[derive(Default)]
pub struct FakeMachine {
    active: Arc<StdMutex<Option<Pages>>>,
}

pub struct FakeTable {
    pages: Pages,
    active: Arc<StdMutex<Option<Pages>>>,
}

impl FakeMachine {
    pub fn leak() -> &'static FakeMachine {
        std::boxed::Box::leak(std::boxed::Box::default())
    }

    /// The page of an address with its protection, as the program has it.
    pub fn page(&self, addr: u64) -> Option<(Frame, Protection)> {
        let active = self.active.lock().unwrap();
        active.as_ref()?.lock().unwrap().get(&layout::page_down(addr)).cloned()
    }

    /// Every page that is mapped.
    pub fn pages(&self) -> Vec<u64> {
        let active = self.active.lock().unwrap();
        active.as_ref().map_or(Vec::new(), |p| p.lock().unwrap().keys().copied().collect())
    }

    /// Calls `f(done, frame, offset, n)` for each piece that may be reached.
    fn walk(
        &self,
        at: UserAddr,
        len: usize,
        write: bool,
        mut f: impl FnMut(usize, &Frame, usize, usize),
    ) -> usize {
        let mut done = 0;
        while done < len {
            let at = at.add(done as u64);
            let allowed = |p: &Protection| p.read && (p.write || !write);
            let Some((frame, _)) = self.page(at.0).filter(|(_, p)| at.access_ok(1) && allowed(p)) else {
                break;
            };
            let n = at.to_page_end().min(len - done);
            f(done, &frame, PAGE_SIZE - at.to_page_end(), n);
            done += n;
        }
        done
    }
}

impl UserCopy for FakeMachine {
    fn copy_from_user(&self, dst: &mut [u8], src: UserAddr) -> usize {
        self.walk(src, dst.len(), false, |done, frame, offset, n| {
            frame.read(offset, &mut dst[done..done + n])
        })
    }
    fn copy_to_user(&self, dst: UserAddr, src: &[u8]) -> usize {
        self.walk(dst, src.len(), true, |done, frame, offset, n| frame.write(offset, &src[done..done + n]))
    }
    fn copy_to_frame(&self, to: &Frame, at: usize, src: UserAddr, len: usize) -> usize {
        let mut bytes = std::vec![0; len];
        let n = self.copy_from_user(&mut bytes, src);
        to.write(at, &bytes[..n]);
        n
    }
    fn copy_from_frame(&self, dst: UserAddr, from: &Frame, at: usize, len: usize) -> usize {
        let mut bytes = std::vec![0; len];
        from.read(at, &mut bytes);
        self.copy_to_user(dst, &bytes)
    }
    fn clear_user(&self, dst: UserAddr, len: usize) -> usize {
        self.walk(dst, len, true, |_, frame, offset, n| frame.fill(offset, n, 0))
    }
}

impl Machine for FakeMachine {
    fn new_page_table(&self) -> Result<Box<dyn UserPageTable>> {
        let pages = Pages::default();
        *self.active.lock().unwrap() = Some(pages.clone());
        Ok(Box::new(FakeTable { pages, active: self.active.clone() }))
    }
    fn new_user_cpu(&self, regs: UserRegs) -> Box<dyn UserCpu> {
        Box::new(FakeCpu(regs))
    }
    fn hwcap(&self) -> u64 {
        0b11
    }
    fn hwcap2(&self) -> u64 {
        0
    }
    fn entropy(&self, out: &mut [u8]) {
        out.iter_mut().zip(1u8..).for_each(|(byte, i)| *byte = i);
    }
    fn sync_instructions(&self, _frame: &Frame) {}
}

impl UserPageTable for FakeTable {
    fn map(&self, addr: UserAddr, frame: Frame, protection: Protection) -> Result<()> {
        assert!(layout::is_aligned(addr.0) && addr.access_ok(1));
        self.pages.lock().unwrap().insert(addr.0, (frame, protection));
        Ok(())
    }
    fn unmap(&self, addr: UserAddr, len: u64) {
        self.pages.lock().unwrap().retain(|&at, _| at < addr.0 || at >= addr.0 + len);
    }
    fn protect(&self, addr: UserAddr, len: u64, protection: Protection) {
        let mut pages = self.pages.lock().unwrap();
        pages.range_mut(addr.0..addr.0 + len).for_each(|(_, page)| page.1 = protection);
    }
    fn lookup(&self, addr: UserAddr) -> Option<(Frame, Protection)> {
        self.pages.lock().unwrap().get(&addr.0).cloned()
    }
    fn activate(&self) {
        *self.active.lock().unwrap() = Some(self.pages.clone());
    }
}

pub struct FakeCpu(pub UserRegs);

impl UserCpu for FakeCpu {
    fn regs(&mut self) -> &mut UserRegs {
        &mut self.0
    }
    fn run(&mut self) -> base::arch::Trap {
        base::arch::Trap::Interrupt
    }
}

/// A file whose page n is full of the byte n, but its last page, which is `pages`, does not exist.
pub struct FakeFile {
    pub cache: StdMutex<BTreeMap<u64, Frame>>,
    /// Pages that were to be written.
    pub dirty: StdMutex<BTreeSet<u64>>,
    pub pages: StdMutex<u64>,
    /// Pages that must be read in once.
    pub cold: StdMutex<BTreeSet<u64>>,
    /// How its pages were asked for.
    pub patterns: StdMutex<Vec<Pattern>>,
    mapping: Arc<AddressSpace>,
}

impl FakeFile {
    pub fn new(pages: u64) -> Arc<FakeFile> {
        Arc::new(FakeFile {
            cache: StdMutex::default(),
            dirty: StdMutex::default(),
            pages: StdMutex::new(pages),
            cold: StdMutex::default(),
            patterns: StdMutex::default(),
            mapping: AddressSpace::new(),
        })
    }

    /// As a file system does it.
    pub fn truncate(&self, pages: u64) {
        let _alone = self.mapping.invalidate_lock();
        *self.pages.lock().unwrap() = pages;
        self.mapping.truncate_pagecache(pages * PAGE);
        self.cache.lock().unwrap().retain(|&index, _| index < pages);
    }

    /// As mmap gets it, open for reading and writing.
    pub fn map_file(self: &Arc<Self>) -> MapFile {
        MapFile {
            source: Ok(Some(self.clone())),
            max_bytes: u64::MAX,
            readable: true,
            writable: true,
            append_only: false,
            noexec: false,
        }
    }
}

impl vma::PageSource for FakeFile {
    fn page(&self, index: base::PageIndex, pattern: Pattern) -> Result<vma::SourcePage> {
        self.patterns.lock().unwrap().push(pattern);
        if index.0 >= *self.pages.lock().unwrap() {
            return Err(Errno::EINVAL);
        }
        let mut cache = self.cache.lock().unwrap();
        let frame = cache.entry(index.0).or_insert_with(|| {
            let frame = base::frame::alloc().unwrap();
            frame.fill(0, PAGE_SIZE, index.0 as u8);
            frame
        });
        let cold = self.cold.lock().unwrap().remove(&index.0);
        Ok(vma::SourcePage::held(frame.clone(), None).by_reading(cold))
    }

    fn may_map_writable(&self) -> bool {
        true
    }

    fn page_mkwrite(&self, index: base::PageIndex, pattern: Pattern) -> Result<vma::SourcePage> {
        let page = self.page(index, pattern)?;
        self.dirty.lock().unwrap().insert(index.0);
        Ok(page)
    }

    fn mapping(&self) -> Option<&Arc<AddressSpace>> {
        Some(&self.mapping)
    }

    fn describe(&self, out: &mut dyn core::fmt::Write) -> core::fmt::Result {
        out.write_str("/fake")
    }

    fn identity(&self) -> (u32, u32, u64) {
        (254, 0, 12)
    }
}
