//! User memory for tests: one mapped range of frames, with pages that can be "not present yet".

use alloc::vec::Vec;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::vec;

use super::{UserAddr, UserMemory};
use crate::arch::Access;
use crate::frame::{self, Frame};
use crate::units::PAGE_SIZE;

const PAGE: u64 = PAGE_SIZE as u64;

/// One mapped range of user memory. Pages in `absent` are reached only by the calls that may
/// bring pages in, as a demand-paged mapping would.
pub struct FakeUser {
    base: u64,
    len: u64,
    /// The pages from that of `base` on.
    frames: Vec<Frame>,
    absent: Mutex<BTreeSet<u64>>,
    read_only: Mutex<BTreeSet<u64>>,
}

impl FakeUser {
    /// `len` zero bytes mapped at `base`. Panics when the host's memory is full.
    pub fn new(base: u64, len: usize) -> FakeUser {
        let len = len as u64;
        let pages = (base + len).div_ceil(PAGE) - base / PAGE;
        let frames = (0..pages).map(|_| frame::alloc_zeroed().expect("a page of the host")).collect();
        FakeUser { base, len, frames, absent: Mutex::default(), read_only: Mutex::default() }
    }

    /// Puts bytes at an address, for a test to set up. Panics outside the range.
    pub fn put(&self, at: u64, src: &[u8]) {
        assert_eq!(self.write(UserAddr(at), src), src.len());
    }

    /// Takes bytes from an address. Panics outside the range.
    pub fn get(&self, at: u64, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        assert_eq!(self.read(UserAddr(at), &mut out), len);
        out
    }

    /// Marks the page of an address as not present until it is brought in.
    pub fn page_out(&self, at: u64) {
        if let Ok(mut absent) = self.absent.lock() {
            absent.insert(at / PAGE);
        }
    }

    /// From now on the page of an address cannot be pinned for writing.
    pub fn protect(&self, at: u64) {
        if let Ok(mut read_only) = self.read_only.lock() {
            read_only.insert(at / PAGE);
        }
    }

    fn reach(&self, at: UserAddr, len: usize, bring_in: bool) -> usize {
        let Some(start) = at.0.checked_sub(self.base).filter(|&s| s <= self.len) else { return 0 };
        let n = (len as u64).min(self.len - start);
        let Ok(mut absent) = self.absent.lock() else { return 0 };
        let pages = at.0 / PAGE..=(at.0 + n.max(1) - 1) / PAGE;
        for page in pages {
            if bring_in {
                absent.remove(&page);
            } else if absent.contains(&page) {
                return (page * PAGE).saturating_sub(at.0) as usize;
            }
        }
        n as usize
    }

    /// Calls `f(done, frame, offset, len)` for each page of `n` bytes that are known to be there.
    fn each(&self, at: UserAddr, n: usize, mut f: impl FnMut(usize, &Frame, usize, usize)) -> usize {
        let mut done = 0;
        while done < n {
            let here = at.add(done as u64);
            let len = here.to_page_end().min(n - done);
            let frame = &self.frames[(here.0 / PAGE - self.base / PAGE) as usize];
            f(done, frame, (here.0 % PAGE) as usize, len);
            done += len;
        }
        n
    }

    /// To a frame or from it, by way of a buffer: the pages may be the same.
    fn through(from: (&Frame, usize), to: (&Frame, usize), len: usize) {
        let mut bytes = vec![0; len];
        from.0.read(from.1, &mut bytes);
        to.0.write(to.1, &bytes);
    }
}

impl UserMemory for FakeUser {
    fn read(&self, src: UserAddr, dst: &mut [u8]) -> usize {
        let n = self.reach(src, dst.len(), true);
        self.each(src, n, |done, frame, at, len| frame.read(at, &mut dst[done..done + len]))
    }

    fn write(&self, dst: UserAddr, src: &[u8]) -> usize {
        let n = self.reach(dst, src.len(), true);
        self.each(dst, n, |done, frame, at, len| frame.write(at, &src[done..done + len]))
    }

    fn zero(&self, dst: UserAddr, len: usize) -> usize {
        let n = self.reach(dst, len, true);
        self.each(dst, n, |_, frame, at, len| frame.fill(at, len, 0))
    }

    fn read_into_frame(&self, src: UserAddr, frame: &Frame, offset: usize, len: usize) -> usize {
        let n = self.reach(src, len, false);
        self.each(src, n, |done, from, at, len| Self::through((from, at), (frame, offset + done), len))
    }

    fn write_from_frame(&self, dst: UserAddr, frame: &Frame, offset: usize, len: usize) -> usize {
        self.reach(dst, len, true);
        self.write_from_frame_atomic(dst, frame, offset, len)
    }

    fn fault_in_readable(&self, src: UserAddr, len: usize) -> usize {
        self.reach(src, len, true)
    }

    fn write_from_frame_atomic(&self, dst: UserAddr, frame: &Frame, offset: usize, len: usize) -> usize {
        let n = self.reach(dst, len, false);
        self.each(dst, n, |done, to, at, len| Self::through((frame, offset + done), (to, at), len))
    }

    fn pin(
        &self,
        at: UserAddr,
        len: usize,
        access: Access,
        each: &mut dyn FnMut(&Frame, usize, usize),
    ) -> usize {
        let mut n = self.reach(at, len, true);
        if access == Access::Write
            && let Ok(read_only) = self.read_only.lock()
            && let Some(&first) = read_only.range(at.0 / PAGE..).next()
        {
            n = n.min((first * PAGE).saturating_sub(at.0) as usize);
        }
        self.each(at, n, |_, frame, offset, len| each(frame, offset, len))
    }
}
