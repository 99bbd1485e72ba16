//! The iovec array of a vectored call, brought in and checked (`import_iovec`).
//!
//! EINVAL: more than 1024 elements, or a length above i64::MAX. EFAULT: the array or a segment lies
//! outside the program's addresses. The lengths are cut so that their sum is at most
//! [`MAX_RW_COUNT`]. Up to eight elements need no allocation.

use alloc::vec::Vec;

use base::{Errno, IoVec, Result, UserAddr, UserMemory};

use crate::read_write::{MAX_RW_COUNT, UserVec};

/// UIO_MAXIOV.
const MAX: usize = 1024;
/// UIO_FASTIOV.
const FAST: usize = 8;
/// `struct iovec` on a 64-bit machine: address and length.
const SIZE: usize = 16;

const EMPTY: IoVec = IoVec { base: UserAddr(0), len: 0 };

/// An iovec array that the kernel holds.
pub struct Segments {
    few: [IoVec; FAST],
    many: Vec<IoVec>,
    len: usize,
    total: usize,
}

impl Segments {
    /// Brings an array in.
    pub fn import(memory: &dyn UserMemory, vec: UserVec) -> Result<Segments> {
        if vec.len > MAX {
            return Err(Errno::EINVAL);
        }
        let mut out = Segments { few: [EMPTY; FAST], many: Vec::new(), len: vec.len, total: 0 };
        if vec.len > FAST {
            out.many.resize(vec.len, EMPTY);
        }
        read_array(memory, vec.base, out.as_mut_slice())?;
        // A length that fits no ssize_t is refused before any address is looked at.
        if out.as_slice().iter().any(|s| s.len > isize::MAX as usize) {
            return Err(Errno::EINVAL);
        }
        let mut total = 0;
        for segment in out.as_mut_slice() {
            if !segment.base.access_ok(segment.len as u64) {
                return Err(Errno::EFAULT);
            }
            segment.len = segment.len.min(MAX_RW_COUNT - total);
            total += segment.len;
        }
        out.total = total;
        Ok(out)
    }

    /// The segments.
    pub fn as_slice(&self) -> &[IoVec] {
        if self.len <= FAST { &self.few[..self.len] } else { &self.many }
    }

    fn as_mut_slice(&mut self) -> &mut [IoVec] {
        if self.len <= FAST { &mut self.few[..self.len] } else { &mut self.many }
    }

    /// The sum of their lengths.
    pub fn total(&self) -> usize {
        self.total
    }
}

fn read_array(memory: &dyn UserMemory, base: UserAddr, out: &mut [IoVec]) -> Result<()> {
    let mut bytes = [0u8; FAST * SIZE];
    let mut at = base;
    for group in out.chunks_mut(FAST) {
        let bytes = &mut bytes[..group.len() * SIZE];
        if !at.access_ok(bytes.len() as u64) {
            return Err(Errno::EFAULT);
        }
        memory.read_exact(at, bytes)?;
        for (segment, raw) in group.iter_mut().zip(bytes.chunks_exact(SIZE)) {
            let (base, len) = (word(&raw[..8]), word(&raw[8..]));
            *segment = IoVec { base: UserAddr(base), len: usize::try_from(len).map_err(|_| Errno::EINVAL)? };
        }
        at = at.add(bytes.len() as u64);
    }
    Ok(())
}

fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::user::FakeUser;

    fn put(user: &FakeUser, at: u64, segments: &[(u64, u64)]) -> UserVec {
        for (i, (base, len)) in segments.iter().enumerate() {
            user.put(at + 16 * i as u64, &base.to_le_bytes());
            user.put(at + 16 * i as u64 + 8, &len.to_le_bytes());
        }
        UserVec { base: UserAddr(at), len: segments.len() }
    }

    #[test]
    fn few_and_many() {
        let user = FakeUser::new(0x1000, 0x10000);
        for n in [0usize, 1, 8, 9, 100, 1024] {
            let all: Vec<_> = (0..n as u64).map(|i| (0x1000 + i, i)).collect();
            let got = Segments::import(&user, put(&user, 0x2000, &all)).unwrap();
            assert_eq!(got.as_slice().len(), n);
            assert_eq!(got.total(), (0..n).sum());
            assert!(got.as_slice().iter().zip(&all).all(|(s, (b, l))| (s.base.0, s.len as u64) == (*b, *l)));
        }
    }

    #[test]
    fn what_is_refused() {
        let user = FakeUser::new(0x1000, 0x1000);
        let import = |vec| Segments::import(&user, vec).err();
        assert_eq!(import(UserVec { base: UserAddr(0x1000), len: 1025 }), Some(Errno::EINVAL));
        assert_eq!(import(UserVec { base: UserAddr(0), len: 1 }), Some(Errno::EFAULT));
        assert_eq!(import(UserVec { base: UserAddr(0x1ff8), len: 1 }), Some(Errno::EFAULT));
        assert_eq!(import(UserVec { base: UserAddr(u64::MAX), len: 1 }), Some(Errno::EFAULT));
        assert_eq!(import(put(&user, 0x1000, &[(u64::MAX, 1)])), Some(Errno::EFAULT));
        // EINVAL for a length even when an earlier address is bad.
        assert_eq!(import(put(&user, 0x1000, &[(u64::MAX, 1), (0, 1 << 63)])), Some(Errno::EINVAL));
        assert_eq!(import(UserVec { base: UserAddr(0), len: 0 }), None);
    }

    #[test]
    fn the_sum_is_cut() {
        let user = FakeUser::new(0x1000, 0x1000);
        let big = 0x7fff_0000;
        let got = Segments::import(&user, put(&user, 0x1000, &[(0, big), (0, big), (0, 5)])).unwrap();
        assert_eq!(got.total(), MAX_RW_COUNT);
        assert_eq!(got.as_slice()[1].len as u64, 0x7fff_f000 - big);
        assert_eq!(got.as_slice()[2].len, 0);
    }
}
