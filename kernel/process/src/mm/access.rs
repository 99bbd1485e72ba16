//! The kernel's access to the program's memory: raw copies that stop at a page that is not there, and
//! the fault that brings it in.
//!
//! The raw copies (`base::arch::UserCopy`) go through the table that is active on this CPU, so this
//! serves the program whose thread is calling.

use base::arch::Access;
use base::{Frame, PAGE_SIZE, UserAddr, UserMemory};

use super::Mm;
use super::layout::page_down;

/// How often a page is brought in that is taken away again at once, before the pin gives up.
const PIN_TRIES: usize = 16;

impl Mm {
    /// Copies `len` bytes at `addr` by `copy(done, part)`, which stops at a page that is not there.
    fn each(
        &self,
        addr: UserAddr,
        len: usize,
        access: Access,
        copy: impl FnMut(usize, usize) -> usize,
    ) -> usize {
        let mut copy = copy;
        let mut done = copy(0, len);
        while done < len {
            let at = addr.add(done as u64);
            if !at.access_ok(1) || self.fault(at, access).is_err() {
                break;
            }
            // To the end of the page that is there now; only then as far as it goes.
            let part = at.to_page_end().min(len - done);
            let n = copy(done, part);
            done += n;
            if n < part {
                break;
            }
            done += copy(done, len - done);
        }
        done
    }

    /// The page of `at`, brought in for `access`; None when the program may not do that there.
    fn pin_page(&self, at: UserAddr, access: Access) -> Option<Frame> {
        // A second look at least; more only when another thread unmaps what was just brought in.
        for _ in 0..PIN_TRIES {
            if !at.access_ok(1) {
                return None;
            }
            if let Some((frame, has)) = self.pages.lookup(page_down(at.0))
                && if access == Access::Write { has.write } else { has.read }
            {
                return Some(frame);
            }
            self.fault(at, access).ok()?;
        }
        None
    }

    /// Up to which address a device may write what is pinned from `at` on, as far as one area tells: not into a
    /// file's own pages. Such a page could be written back and be clean while the bytes are on their way, and nobody
    /// would say that it is dirty again.
    fn device_may_write(&self, at: u64) -> u64 {
        let areas = self.areas.read();
        areas.set.find(at).filter(|area| !area.is_shared_file()).map_or(at, |area| area.span.end)
    }
}

impl UserMemory for Mm {
    fn read(&self, src: UserAddr, dst: &mut [u8]) -> usize {
        self.each(src, dst.len(), Access::Read, |done, n| {
            self.machine.copy_from_user(&mut dst[done..done + n], src.add(done as u64))
        })
    }

    fn write(&self, dst: UserAddr, src: &[u8]) -> usize {
        self.each(dst, src.len(), Access::Write, |done, n| {
            self.machine.copy_to_user(dst.add(done as u64), &src[done..done + n])
        })
    }

    fn zero(&self, dst: UserAddr, len: usize) -> usize {
        self.each(dst, len, Access::Write, |done, n| self.machine.clear_user(dst.add(done as u64), n))
    }

    fn read_into_frame(&self, src: UserAddr, frame: &Frame, offset: usize, len: usize) -> usize {
        self.machine.copy_to_frame(frame, offset, src, len)
    }

    fn write_from_frame(&self, dst: UserAddr, frame: &Frame, offset: usize, len: usize) -> usize {
        self.each(dst, len, Access::Write, |done, n| {
            self.machine.copy_from_frame(dst.add(done as u64), frame, offset + done, n)
        })
    }

    fn fault_in_readable(&self, src: UserAddr, len: usize) -> usize {
        let mut done = 0;
        while done < len {
            let at = src.add(done as u64);
            let mut probe = [0];
            if self.machine.copy_from_user(&mut probe, at) == 0
                && (!at.access_ok(1) || self.fault(at, Access::Read).is_err())
            {
                break;
            }
            done += at.to_page_end().min(len - done);
        }
        done
    }

    fn write_from_frame_atomic(&self, dst: UserAddr, frame: &Frame, offset: usize, len: usize) -> usize {
        self.machine.copy_from_frame(dst, frame, offset, len)
    }

    fn pin(
        &self,
        at: UserAddr,
        len: usize,
        access: Access,
        each: &mut dyn FnMut(&Frame, usize, usize),
    ) -> usize {
        let mut done = 0;
        let mut allowed = if access == Access::Write { 0 } else { u64::MAX };
        while done < len {
            let here = at.add(done as u64);
            let Some(frame) = self.pin_page(here, access) else { break };
            if here.0 >= allowed {
                // Asked with the page in hand: what is mapped there later is not what was pinned.
                allowed = self.device_may_write(here.0);
            }
            if here.0 >= allowed {
                break;
            }
            let n = here.to_page_end().min(len - done);
            each(&frame, PAGE_SIZE - here.to_page_end(), n);
            done += n;
        }
        done
    }
}
