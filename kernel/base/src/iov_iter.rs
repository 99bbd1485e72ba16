//! `IovIter`: where the bytes of a read or write come from or go to, and how far it has come.
//!
//! The caller of a read or write builds one; the layers below move it forward as they copy. It
//! stands for the program's memory (one range, or an iovec array that the kernel has already copied
//! in and checked) or for a buffer of the kernel.
//!
//! ```
//! use base::{IovIter, frame};
//! let page = frame::alloc_zeroed().unwrap();
//! let mut from = IovIter::from_kernel(b"hello");
//! assert_eq!(from.copy_to_frame(&page, 0, 3), 3);   // "hel" is in the page
//! assert_eq!(from.count(), 2);                      // "lo" is left
//! ```

use crate::arch::Access;
use crate::errno::{Errno, Result};
use crate::frame::Frame;
use crate::user::{UserAddr, UserMemory};

/// One element of an iovec array, lengths already limited so that their sum fits a `usize`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IoVec {
    /// Its first byte.
    pub base: UserAddr,
    /// Its length in bytes.
    pub len: usize,
}

enum Memory<'a> {
    One(&'a dyn UserMemory, IoVec),
    Many(&'a dyn UserMemory, &'a [IoVec]),
    /// The kernel's bytes, to be read (the source of a write).
    Source(&'a [u8]),
    /// The kernel's bytes, to be filled (the target of a read).
    Target(&'a mut [u8]),
}

/// A position in the memory of a read or write.
pub struct IovIter<'a> {
    memory: Memory<'a>,
    /// Which segment of `Many`.
    segment: usize,
    /// How far into that segment (or into the only one).
    offset: usize,
    /// Bytes left.
    count: usize,
}

impl<'a> IovIter<'a> {
    /// One range of the program's memory.
    pub fn user(memory: &'a dyn UserMemory, base: UserAddr, len: usize) -> Self {
        Self::with(Memory::One(memory, IoVec { base, len }), len)
    }

    /// Several ranges of the program's memory. The lengths' sum must fit a `usize`
    /// (`import_iovec` sees to that); what does not is left out.
    pub fn user_vec(memory: &'a dyn UserMemory, segments: &'a [IoVec]) -> Self {
        let count = segments.iter().fold(0usize, |sum, s| sum.saturating_add(s.len));
        Self::with(Memory::Many(memory, segments), count)
    }

    /// The kernel's bytes as the source of a write.
    pub fn from_kernel(bytes: &'a [u8]) -> Self {
        let count = bytes.len();
        Self::with(Memory::Source(bytes), count)
    }

    /// The kernel's bytes as the target of a read.
    pub fn to_kernel(bytes: &'a mut [u8]) -> Self {
        let count = bytes.len();
        Self::with(Memory::Target(bytes), count)
    }

    fn with(memory: Memory<'a>, count: usize) -> Self {
        IovIter { memory, segment: 0, offset: 0, count }
    }

    /// Bytes left.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Bytes left in the segment the position is in: what one retry of a short copy tries.
    pub fn segment_count(&self) -> usize {
        match &self.memory {
            Memory::Many(_, segments) => segments[self.segment..]
                .iter()
                .enumerate()
                .map(|(i, s)| if i == 0 { s.len - self.offset } else { s.len })
                .find(|&n| n > 0)
                .unwrap_or(0)
                .min(self.count),
            _ => self.count,
        }
    }

    /// Drops what lies past the next `count` bytes (`iov_iter_truncate`).
    pub fn truncate(&mut self, count: usize) {
        self.count = self.count.min(count);
    }

    /// Moves on by `n` bytes, at most to the end.
    pub fn advance(&mut self, n: usize) {
        let mut n = n.min(self.count);
        self.count -= n;
        let Memory::Many(_, segments) = &self.memory else {
            self.offset += n;
            return;
        };
        while let Some(s) = segments.get(self.segment) {
            let left = s.len - self.offset;
            if n < left {
                break;
            }
            n -= left;
            self.segment += 1;
            self.offset = 0;
        }
        self.offset += n;
    }

    /// Moves back by `n` bytes that were copied but did not count (`iov_iter_revert`), at most to
    /// the start.
    pub fn revert(&mut self, n: usize) {
        let mut back = n;
        if let Memory::Many(_, segments) = &self.memory {
            while back > self.offset && self.segment > 0 {
                back -= self.offset;
                self.segment -= 1;
                self.offset = segments[self.segment].len;
            }
        }
        let last = back.min(self.offset);
        self.offset -= last;
        self.count += n - (back - last);
    }

    /// Makes sure the next `len` bytes can be read without a fault, or at least the first of them.
    /// EFAULT when not even that one can (`iov_iter_fault_in_readable`).
    pub fn fault_in_readable(&self, len: usize) -> Result<()> {
        let len = len.min(self.count);
        if len == 0 {
            return Ok(());
        }
        match self.current() {
            Some((memory, at)) => {
                let first = len.min(at.len);
                if memory.fault_in_readable(at.base, first) == 0 { Err(Errno::EFAULT) } else { Ok(()) }
            }
            None => Ok(()),
        }
    }

    /// Copies up to `len` bytes into a frame and moves on by what was copied. Never sleeps: short
    /// where the program's page is not present.
    #[inline]
    pub fn copy_to_frame(&mut self, frame: &Frame, offset: usize, len: usize) -> usize {
        // The common case without the walk: a write of one range is counted in instructions.
        if let Memory::One(memory, whole) = &self.memory {
            let from = whole.base.add(self.offset as u64);
            let done = memory.read_into_frame(from, frame, offset, len.min(self.count));
            return self.moved(done);
        }
        self.walk_to_frame(frame, offset, len)
    }

    #[inline(never)]
    fn walk_to_frame(&mut self, frame: &Frame, offset: usize, len: usize) -> usize {
        self.each(len, |part, done| match part {
            Part::User(memory, at) => memory.read_into_frame(at.base, frame, offset + done, at.len),
            Part::Source(bytes) => {
                frame.write(offset + done, bytes);
                bytes.len()
            }
            Part::Target(_) => 0,
        })
    }

    /// Copies up to `len` bytes from a frame and moves on by what was copied. May sleep.
    #[inline]
    pub fn copy_from_frame(&mut self, frame: &Frame, offset: usize, len: usize) -> usize {
        if let Memory::One(memory, whole) = &self.memory {
            let to = whole.base.add(self.offset as u64);
            let done = memory.write_from_frame(to, frame, offset, len.min(self.count));
            return self.moved(done);
        }
        self.walk_from_frame(frame, offset, len)
    }

    #[inline(never)]
    fn walk_from_frame(&mut self, frame: &Frame, offset: usize, len: usize) -> usize {
        self.each(len, |part, done| match part {
            Part::User(memory, at) => memory.write_from_frame(at.base, frame, offset + done, at.len),
            Part::Target(bytes) => {
                frame.read(offset + done, bytes);
                bytes.len()
            }
            Part::Source(_) => 0,
        })
    }

    /// The same without bringing anything in: never sleeps, short where the program's page is not
    /// present.
    pub fn copy_from_frame_atomic(&mut self, frame: &Frame, offset: usize, len: usize) -> usize {
        self.each(len, |part, done| match part {
            Part::User(memory, at) => memory.write_from_frame_atomic(at.base, frame, offset + done, at.len),
            Part::Target(bytes) => {
                frame.read(offset + done, bytes);
                bytes.len()
            }
            Part::Source(_) => 0,
        })
    }

    /// Whether the bytes are the program's, so that they can be pinned.
    pub fn is_user(&self) -> bool {
        matches!(self.memory, Memory::One(..) | Memory::Many(..))
    }

    /// Whether what is left begins, in each segment, at an address with none of the bits of `address`
    /// and has a length with none of the bits of `length` (`iov_iter_is_aligned`). Where the kernel's memory
    /// lies is the kernel's affair.
    pub fn is_aligned(&self, address: u64, length: usize) -> bool {
        let aligned = |s: IoVec| s.base.0 & address == 0 && s.len & length == 0;
        match &self.memory {
            Memory::One(_, s) => aligned(IoVec { base: s.base.add(self.offset as u64), len: self.count }),
            Memory::Many(_, segments) => {
                let (mut left, mut offset) = (self.count, self.offset);
                segments.get(self.segment..).unwrap_or(&[]).iter().all(|s| {
                    let len = (s.len - offset).min(left);
                    let at = IoVec { base: s.base.add(offset as u64), len };
                    // An empty segment counts, as in Linux; one behind the last byte does not.
                    let behind = left == 0;
                    (left, offset) = (left - len, 0);
                    behind || aligned(at)
                })
            }
            Memory::Source(_) | Memory::Target(_) => self.count & length == 0,
        }
    }

    /// Pins up to `len` bytes of the program's memory ([`UserMemory::pin`]) and moves on by what
    /// could be had. The kernel's own memory cannot be pinned: 0.
    pub fn pin(&mut self, len: usize, access: Access, each: &mut dyn FnMut(&Frame, usize, usize)) -> usize {
        self.each(len, |part, _| match part {
            Part::User(memory, at) => memory.pin(at.base, at.len, access, &mut *each),
            Part::Source(_) | Part::Target(_) => 0,
        })
    }

    /// Copies kernel bytes to the target and moves on (`copy_to_iter`). May sleep.
    pub fn copy_from_slice(&mut self, src: &[u8]) -> usize {
        self.each(src.len(), |part, done| match part {
            Part::User(memory, at) => memory.write(at.base, &src[done..done + at.len]),
            Part::Target(bytes) => {
                bytes.copy_from_slice(&src[done..done + bytes.len()]);
                bytes.len()
            }
            Part::Source(_) => 0,
        })
    }

    /// Copies from the source into kernel bytes and moves on (`copy_from_iter`). May sleep.
    pub fn copy_to_slice(&mut self, dst: &mut [u8]) -> usize {
        self.each(dst.len(), |part, done| match part {
            Part::User(memory, at) => memory.read(at.base, &mut dst[done..done + at.len]),
            Part::Source(bytes) => {
                dst[done..done + bytes.len()].copy_from_slice(bytes);
                bytes.len()
            }
            Part::Target(_) => 0,
        })
    }

    /// Writes up to `len` zeros to the target and moves on (`iov_iter_zero`). May sleep.
    pub fn zero(&mut self, len: usize) -> usize {
        self.each(len, |part, _| match part {
            Part::User(memory, at) => memory.zero(at.base, at.len),
            Part::Target(bytes) => {
                bytes.fill(0);
                bytes.len()
            }
            Part::Source(_) => 0,
        })
    }

    /// Moves on within the only segment.
    fn moved(&mut self, done: usize) -> usize {
        self.offset += done;
        self.count -= done;
        done
    }

    /// The segment at the position, what is left of it, if it is the program's.
    fn current(&self) -> Option<(&'a dyn UserMemory, IoVec)> {
        let rest = |s: &IoVec, offset: usize| IoVec { base: s.base.add(offset as u64), len: s.len - offset };
        match &self.memory {
            Memory::One(memory, s) => Some((*memory, rest(s, self.offset))),
            Memory::Many(memory, segments) => {
                let mut offset = self.offset;
                for s in segments.get(self.segment..)? {
                    if s.len > offset {
                        return Some((*memory, rest(s, offset)));
                    }
                    offset = 0;
                }
                None
            }
            Memory::Source(_) | Memory::Target(_) => None,
        }
    }

    /// Walks up to `len` bytes, a contiguous part at a time; stops at the first short copy.
    fn each(&mut self, len: usize, mut copy: impl FnMut(Part<'_>, usize) -> usize) -> usize {
        let len = len.min(self.count);
        let mut done = 0;
        while done < len {
            let want = len - done;
            let (want, got) = match self.current() {
                Some((memory, mut at)) => {
                    at.len = at.len.min(want);
                    (at.len, copy(Part::User(memory, at), done))
                }
                None => {
                    let range = self.offset..self.offset + want;
                    let part = match &mut self.memory {
                        Memory::Source(bytes) => Part::Source(&bytes[range]),
                        Memory::Target(bytes) => Part::Target(&mut bytes[range]),
                        _ => break,
                    };
                    (want, copy(part, done))
                }
            };
            self.advance(got);
            done += got;
            if got < want {
                break;
            }
        }
        done
    }
}

enum Part<'b> {
    User(&'b dyn UserMemory, IoVec),
    Source(&'b [u8]),
    Target(&'b mut [u8]),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame;
    use crate::user::FakeUser;

    fn vec(base: u64, len: usize) -> IoVec {
        IoVec { base: UserAddr(base), len }
    }

    #[test]
    fn segments_are_walked_across_empty_ones() {
        let user = FakeUser::new(0x1000, 0x1000);
        user.put(0x1000, b"abcdefghij");
        let segments = [vec(0x1000, 0), vec(0x1000, 3), vec(0, 0), vec(0x1005, 4)];
        let mut iter = IovIter::user_vec(&user, &segments);
        assert_eq!(iter.count(), 7);
        assert_eq!(iter.segment_count(), 3);
        let mut out = [0; 7];
        assert_eq!(iter.copy_to_slice(&mut out[..4]), 4);
        assert_eq!(iter.segment_count(), 3);
        assert_eq!(iter.copy_to_slice(&mut out[4..]), 3);
        assert_eq!(&out, b"abcfghi");
        assert_eq!(iter.count(), 0);
    }

    #[test]
    fn revert_goes_back_over_segments() {
        let user = FakeUser::new(0x1000, 0x1000);
        user.put(0x1000, b"abcdefghij");
        let segments = [vec(0x1000, 3), vec(0, 0), vec(0x1005, 4)];
        let mut iter = IovIter::user_vec(&user, &segments);
        let mut out = [0; 7];
        assert_eq!(iter.copy_to_slice(&mut out), 7);
        iter.revert(5);
        assert_eq!(iter.count(), 5);
        assert_eq!(iter.copy_to_slice(&mut out[..5]), 5);
        assert_eq!(&out[..5], b"cfghi");
        iter.revert(99);
        assert_eq!(iter.count(), 7);
    }

    #[test]
    fn a_bad_segment_makes_a_short_copy() {
        let user = FakeUser::new(0x1000, 0x1000);
        let segments = [vec(0x1000, 8), vec(0x5000, 8), vec(0x1000, 8)];
        let mut iter = IovIter::user_vec(&user, &segments);
        assert_eq!(iter.copy_from_slice(&[1; 24]), 8);
        assert_eq!(iter.count(), 16);
        assert_eq!(iter.fault_in_readable(4), Err(Errno::EFAULT));
    }

    #[test]
    fn frames_both_ways() {
        let user = FakeUser::new(0, 0x1000);
        user.put(0, b"0123456789");
        let page = frame::alloc_zeroed().unwrap();
        let mut from = IovIter::user(&user, UserAddr(2), 5);
        assert_eq!(from.copy_to_frame(&page, 100, 99), 5);
        let mut out = [0; 5];
        let mut to = IovIter::to_kernel(&mut out);
        assert_eq!(to.copy_from_frame(&page, 100, 5), 5);
        assert_eq!(&out, b"23456");
    }

    #[test]
    fn odd_segments_are_pinned_one_after_the_other() {
        let user = FakeUser::new(0x1000, 0x3000);
        let segments = [vec(0x1200, 0x200), vec(0, 0), vec(0x1e00, 0x400), vec(0x9000, 0x200), vec(1, 0)];
        let mut iter = IovIter::user_vec(&user, &segments);
        assert!(iter.is_aligned(0x1ff, 0x1ff));
        assert!(!iter.is_aligned(0x3ff, 0x1ff));
        assert!(!iter.is_aligned(0x1ff, 0x3ff));
        let mut pieces = std::vec::Vec::new();
        let mut each = |_: &Frame, offset: usize, len: usize| pieces.push((offset, len));
        assert_eq!(iter.pin(usize::MAX, Access::Read, &mut each), 0x600);
        assert_eq!(pieces, [(0x200, 0x200), (0xe00, 0x200), (0, 0x200)]);
        assert_eq!(iter.count(), 0x200);
        let mut rest = IovIter::user(&user, UserAddr(0x1001), 0x200);
        rest.advance(0x1ff);
        assert!(rest.is_aligned(0x1ff, 0));
        rest.truncate(0);
        assert!(rest.is_aligned(0x1ff, 0x1ff));
        assert_eq!(IovIter::from_kernel(b"k").pin(1, Access::Read, &mut |_, _, _| ()), 0);
    }

    #[test]
    fn truncate_and_zero() {
        let mut out = [9; 8];
        let mut to = IovIter::to_kernel(&mut out);
        to.truncate(5);
        to.advance(1);
        assert_eq!(to.zero(100), 4);
        assert_eq!(out, [9, 0, 0, 0, 0, 9, 9, 9]);
    }
}
