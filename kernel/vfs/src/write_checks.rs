//! `generic_write_checks`: where a write begins and how much of it may go.
//!
//! For a file system's `write_iter`, with the inode held: only then does O_APPEND know the end.

use base::{Errno, Result};

use crate::file_ops::{Kiocb, KiocbFlags};

/// Moves `iocb.pos` to the end for an appending write, and tells how many of `count` bytes may be
/// written to a file of `size` bytes that can grow to `max_bytes`. 0: nothing to do. EFBIG at or past
/// RLIMIT_FSIZE or `max_bytes`; a write that only crosses one is cut there.
///
/// Example: size 100, RLIMIT_FSIZE 110, an appending write of 20 bytes: pos becomes 100, 10 bytes go.
pub fn generic_write_checks(iocb: &mut Kiocb, count: usize, size: u64, max_bytes: u64) -> Result<usize> {
    if count == 0 {
        return Ok(0);
    }
    if iocb.flags.contains(KiocbFlags::APPEND) {
        iocb.pos = size;
    }
    let room = iocb.fsize_limit.min(max_bytes).saturating_sub(iocb.pos);
    if room == 0 {
        return Err(Errno::EFBIG);
    }
    Ok(usize::try_from(room).map_or(count, |room| count.min(room)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        let check = |pos, flags, limit, count| {
            let mut iocb = Kiocb { pos, flags, fsize_limit: limit };
            generic_write_checks(&mut iocb, count, 100, 1000).map(|n| (iocb.pos, n))
        };
        let (plain, append) = (KiocbFlags::empty(), KiocbFlags::APPEND);
        assert_eq!(check(5, plain, u64::MAX, 7), Ok((5, 7)));
        assert_eq!(check(5, append, u64::MAX, 7), Ok((100, 7)));
        assert_eq!(check(5, append, 110, 20), Ok((100, 10)));
        assert_eq!(check(5, append, 100, 20), Err(Errno::EFBIG));
        assert_eq!(check(5, append, 50, 0), Ok((5, 0)));
        assert_eq!(check(990, plain, u64::MAX, 20), Ok((990, 10)));
        assert_eq!(check(1000, plain, u64::MAX, 1), Err(Errno::EFBIG));
        assert_eq!(check(u64::MAX, plain, u64::MAX, 1), Err(Errno::EFBIG));
    }
}
