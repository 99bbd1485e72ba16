//! User memory as an allegation.
//!
//! A pointer from the program proves nothing. A [`UserAddr`] is only a number; [`UserMemory`] turns
//! it into bytes, and says how far it came. One implementation (the process layer's, over the
//! machine's copy routine with its fault fix-up) serves the kernel; tests use [`FakeUser`].

use alloc::vec::Vec;

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
pub use fake::FakeUser;

#[cfg(not(target_os = "none"))]
mod fake {
    //! User memory for tests: one mapped range, with pages that can be "not present yet".
    use super::*;
    use std::collections::BTreeSet;
    use std::sync::Mutex;
    use std::vec;

    /// One mapped range of user memory. Pages in `absent` are reached only by the calls that may
    /// bring pages in, as a demand-paged mapping would.
    pub struct FakeUser {
        base: u64,
        bytes: Mutex<Vec<u8>>,
        absent: Mutex<BTreeSet<u64>>,
    }

    impl FakeUser {
        /// `len` zero bytes mapped at `base`.
        pub fn new(base: u64, len: usize) -> FakeUser {
            FakeUser { base, bytes: Mutex::new(vec![0; len]), absent: Mutex::default() }
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
                absent.insert(at / PAGE_SIZE as u64);
            }
        }

        fn reach(&self, at: UserAddr, len: usize, bring_in: bool) -> usize {
            let mapped = self.bytes.lock().map_or(0, |b| b.len()) as u64;
            let Some(start) = at.0.checked_sub(self.base).filter(|&s| s <= mapped) else { return 0 };
            let n = (len as u64).min(mapped - start);
            let Ok(mut absent) = self.absent.lock() else { return 0 };
            let pages = at.0 / PAGE_SIZE as u64..=(at.0 + n.max(1) - 1) / PAGE_SIZE as u64;
            for page in pages {
                if bring_in {
                    absent.remove(&page);
                } else if absent.contains(&page) {
                    return (page * PAGE_SIZE as u64).saturating_sub(at.0) as usize;
                }
            }
            n as usize
        }

        fn with(&self, at: UserAddr, n: usize, f: impl FnOnce(&mut [u8])) -> usize {
            if n > 0
                && let Ok(mut bytes) = self.bytes.lock()
            {
                let start = (at.0 - self.base) as usize;
                f(&mut bytes[start..start + n]);
            }
            n
        }
    }

    impl UserMemory for FakeUser {
        fn read(&self, src: UserAddr, dst: &mut [u8]) -> usize {
            let n = self.reach(src, dst.len(), true);
            self.with(src, n, |b| dst[..n].copy_from_slice(b))
        }

        fn write(&self, dst: UserAddr, src: &[u8]) -> usize {
            let n = self.reach(dst, src.len(), true);
            self.with(dst, n, |b| b.copy_from_slice(&src[..n]))
        }

        fn zero(&self, dst: UserAddr, len: usize) -> usize {
            let n = self.reach(dst, len, true);
            self.with(dst, n, |b| b.fill(0))
        }

        fn read_into_frame(&self, src: UserAddr, frame: &Frame, offset: usize, len: usize) -> usize {
            let n = self.reach(src, len, false);
            self.with(src, n, |b| frame.write(offset, b))
        }

        fn write_from_frame(&self, dst: UserAddr, frame: &Frame, offset: usize, len: usize) -> usize {
            let n = self.reach(dst, len, true);
            self.with(dst, n, |b| frame.read(offset, b))
        }

        fn fault_in_readable(&self, src: UserAddr, len: usize) -> usize {
            self.reach(src, len, true)
        }
    }
}

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
    fn absent_pages_stop_the_atomic_copy_only() {
        let user = FakeUser::new(0x1000, 0x2000);
        user.page_out(0x2000);
        let frame = crate::frame::alloc_zeroed().unwrap();
        assert_eq!(user.read_into_frame(UserAddr(0x1ff0), &frame, 0, 64), 16);
        assert_eq!(user.fault_in_readable(UserAddr(0x1ff0), 64), 64);
        assert_eq!(user.read_into_frame(UserAddr(0x1ff0), &frame, 0, 64), 64);
    }
}
