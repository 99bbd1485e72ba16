//! User memory as an allegation.
//!
//! A pointer from the program proves nothing. A [`UserAddr`] is only a number; [`UserMemory`] turns
//! it into bytes, and says how far it came. One implementation (the process layer's, over the
//! machine's copy routine with its fault fix-up) serves the kernel; tests use [`FakeUser`].

use alloc::vec::Vec;

use crate::arch::Access;
use crate::errno::{Errno, Result};
use crate::frame::Frame;
use crate::units::PAGE_SIZE;

/// The first address that can never be the program's: TTBR0 maps 48 bits.
pub const TASK_SIZE: u64 = 1 << 48;

/// An address the program claims to own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(transparent)]
pub struct UserAddr(pub u64);

impl UserAddr {
    /// Whether `len` bytes from here could be user memory at all (`access_ok`). An empty range at
    /// any address up to TASK_SIZE can. A top byte (TBI tag) is not stripped: as in Linux, tagged
    /// pointers to system calls need `PR_SET_TAGGED_ADDR_CTRL`, which Quill does not offer.
    pub const fn access_ok(self, len: u64) -> bool {
        len <= TASK_SIZE && self.0 <= TASK_SIZE - len
    }

    /// `self + n`, wrapping: the sum is checked where it is used.
    pub const fn add(self, n: u64) -> UserAddr {
        UserAddr(self.0.wrapping_add(n))
    }

    /// Bytes from here to the end of its page, 1 to 4096.
    pub const fn to_page_end(self) -> usize {
        PAGE_SIZE - (self.0 as usize & (PAGE_SIZE - 1))
    }
}

/// Copies between the kernel and the program.
///
/// Every method that returns `usize` returns the bytes done, from the front, and is short exactly
/// when the next byte cannot be reached. None of them panics on any address.
pub trait UserMemory: Send + Sync {
    /// Copies in, bringing pages in as needed. May sleep.
    fn read(&self, src: UserAddr, dst: &mut [u8]) -> usize;

    /// Copies out, bringing pages in as needed. May sleep.
    fn write(&self, dst: UserAddr, src: &[u8]) -> usize;

    /// Writes zeros, bringing pages in as needed. May sleep.
    fn zero(&self, dst: UserAddr, len: usize) -> usize;

    /// Copies into a frame without bringing anything in: for a caller that holds a page lock
    /// (`copy_page_from_iter_atomic`). Never sleeps; short at the first page that is not present.
    fn read_into_frame(&self, src: UserAddr, frame: &Frame, offset: usize, len: usize) -> usize;

    /// Copies from a frame, bringing pages in as needed. May sleep.
    fn write_from_frame(&self, dst: UserAddr, frame: &Frame, offset: usize, len: usize) -> usize;

    /// Brings in the pages of a range that is about to be read with
    /// [`UserMemory::read_into_frame`]; returns how many bytes from the front are readable.
    fn fault_in_readable(&self, src: UserAddr, len: usize) -> usize;

    /// Copies from a frame without bringing anything in: for a caller that holds what a fault may want.
    /// Never sleeps; short at the first page that is not present.
    fn write_from_frame_atomic(&self, dst: UserAddr, frame: &Frame, offset: usize, len: usize) -> usize;

    /// Finds the pages of a range, bringing them in for `access`, so that a device may reach them
    /// (`get_user_pages`). Calls `each(frame, offset, len)` from the front, a page at a time; who
    /// clones the handle keeps the bytes alive, whatever the program unmaps meanwhile. With
    /// [`Access::Write`] a private page has been copied before and is the program's own, and a page that is a
    /// file's is refused: the bytes come there by a copy, which makes it dirty. Returns the
    /// bytes covered, short at the first page that cannot be reached this way. May sleep.
    fn pin(
        &self,
        at: UserAddr,
        len: usize,
        access: Access,
        each: &mut dyn FnMut(&Frame, usize, usize),
    ) -> usize;

    /// Fills `dst` or fails with EFAULT.
    fn read_exact(&self, src: UserAddr, dst: &mut [u8]) -> Result<()> {
        if self.read(src, dst) == dst.len() { Ok(()) } else { Err(Errno::EFAULT) }
    }

    /// Writes all of `src` or fails with EFAULT.
    fn write_all(&self, dst: UserAddr, src: &[u8]) -> Result<()> {
        if self.write(dst, src) == src.len() { Ok(()) } else { Err(Errno::EFAULT) }
    }

    /// A NUL-terminated string of at most `max` bytes without the NUL (`strncpy_from_user`).
    /// ENAMETOOLONG when no NUL comes within `max + 1` bytes, EFAULT at a bad address.
    fn read_cstr(&self, src: UserAddr, max: usize) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        let mut at = src;
        let mut chunk = [0u8; 256];
        loop {
            // Never past a page end: the string may stop right before an unmapped page.
            let want = chunk.len().min(at.to_page_end());
            let got = self.read(at, &mut chunk[..want]);
            if let Some(nul) = chunk[..got].iter().position(|&b| b == 0) {
                out.extend_from_slice(&chunk[..nul]);
                return if out.len() <= max { Ok(out) } else { Err(Errno::ENAMETOOLONG) };
            }
            out.extend_from_slice(&chunk[..got]);
            if out.len() > max {
                return Err(Errno::ENAMETOOLONG);
            }
            if got < want {
                return Err(Errno::EFAULT);
            }
            at = at.add(got as u64);
        }
    }
}

#[cfg(not(target_os = "none"))]
mod fake;
#[cfg(not(target_os = "none"))]
pub use fake::FakeUser;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_ok_is_exact_at_the_top() {
        assert!(UserAddr(TASK_SIZE).access_ok(0));
        assert!(UserAddr(TASK_SIZE - 1).access_ok(1));
        assert!(!UserAddr(TASK_SIZE - 1).access_ok(2));
        assert!(!UserAddr(u64::MAX).access_ok(1));
        assert!(!UserAddr(0).access_ok(u64::MAX));
    }

    #[test]
    fn a_string_may_end_at_the_last_mapped_byte() {
        let user = FakeUser::new(0x1000, 0x1000);
        user.put(0x1ffc, b"abc\0");
        assert_eq!(user.read_cstr(UserAddr(0x1ffc), 255), Ok(b"abc".to_vec()));
        user.put(0x1ffc, b"abcd");
        assert_eq!(user.read_cstr(UserAddr(0x1ffc), 255), Err(Errno::EFAULT));
    }

    #[test]
    fn a_long_string_is_refused_at_its_limit() {
        let user = FakeUser::new(0, 0x2000);
        user.put(0, &[b'x'; 300]);
        assert_eq!(user.read_cstr(UserAddr(0), 300).map(|s| s.len()), Ok(300));
        assert_eq!(user.read_cstr(UserAddr(0), 299), Err(Errno::ENAMETOOLONG));
    }

    #[test]
    fn a_pin_reaches_the_bytes_themselves() {
        let user = FakeUser::new(0x1000, 0x1800);
        user.page_out(0x2000);
        let mut pieces = Vec::new();
        let mut each = |frame: &Frame, offset: usize, len: usize| pieces.push((frame.clone(), offset, len));
        assert_eq!(user.pin(UserAddr(0x1f00), 0x1000, Access::Write, &mut each), 0x900);
        let places: Vec<_> = pieces.iter().map(|p| (p.1, p.2)).collect();
        assert_eq!(places, [(0xf00, 0x100), (0, 0x800)]);
        pieces[1].0.write(0, b"by the device");
        assert_eq!(user.get(0x2000, 13), b"by the device");
        assert_eq!(user.pin(UserAddr(0), 1, Access::Read, &mut |_, _, _| ()), 0);
    }

    #[test]
    fn absent_pages_stop_the_atomic_copy_only() {
        let user = FakeUser::new(0x1000, 0x2000);
        user.page_out(0x2000);
        let frame = crate::frame::alloc_zeroed().unwrap();
        assert_eq!(user.read_into_frame(UserAddr(0x1ff0), &frame, 0, 64), 16);
        assert_eq!(user.fault_in_readable(UserAddr(0x1ff0), 64), 64);
        assert_eq!(user.read_into_frame(UserAddr(0x1ff0), &frame, 0, 64), 64);
    }
}
