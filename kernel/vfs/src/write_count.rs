//! Who writes to a file, and who runs it: never both (`i_writecount`, ETXTBSY).
//!
//! # What it is
//! A [`WriteCount`] belongs to an inode: above 0 so many have it open for writing or cut it just now,
//! below 0 so many programs are run from it.
//!
//! ```text
//!   let _writing = Writing::begin(&inode)?;   // as long as it lives, nobody starts the file
//!   let _running = Running::begin(&inode)?;   // as long as it lives, nobody opens it for writing
//! ```
//! An inode whose file system keeps no count (`Inode::write_count` is None) allows both at once: none of
//! those can be run.
//!
//! # Locking
//! None: one atomic, changed by compare and exchange.
//!
//! Source: open(2) and execve(2), ETXTBSY; `get_write_access`, `deny_write_access`.

use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicI32, Ordering};

use base::{Errno, Result};

use crate::inode::Inode;

/// An inode's count.
#[derive(Debug, Default)]
pub struct WriteCount(AtomicI32);

impl WriteCount {
    /// One more on this side of 0. ETXTBSY when it is on the other.
    fn enter(&self, step: i32) -> Result<()> {
        let next = |count: i32| if count.signum() == -step { None } else { count.checked_add(step) };
        self.0.fetch_update(Ordering::AcqRel, Ordering::Relaxed, next).map_err(|_| Errno::ETXTBSY)?;
        Ok(())
    }

    fn leave(&self, step: i32) {
        self.0.fetch_sub(step, Ordering::AcqRel);
    }
}

/// A hold on an inode's count; `STEP` says which side.
pub struct Hold<const STEP: i32> {
    inode: Arc<dyn Inode>,
}

/// The file is being written.
pub type Writing = Hold<1>;
/// A program is run from the file.
pub type Running = Hold<-1>;

impl<const STEP: i32> Hold<STEP> {
    /// Begins. ETXTBSY when the other has begun.
    pub fn begin(inode: &Arc<dyn Inode>) -> Result<Hold<STEP>> {
        if let Some(count) = inode.write_count() {
            count.enter(STEP)?;
        }
        Ok(Hold { inode: inode.clone() })
    }
}

impl<const STEP: i32> Drop for Hold<STEP> {
    fn drop(&mut self) {
        if let Some(count) = self.inode.write_count() {
            count.leave(STEP);
        }
    }
}

impl<const STEP: i32> fmt::Debug for Hold<STEP> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hold<{STEP}> of inode {}", self.inode.ino())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_side_at_a_time() {
        let count = WriteCount::default();
        assert_eq!([count.enter(1), count.enter(1)], [Ok(()), Ok(())]);
        assert_eq!(count.enter(-1), Err(Errno::ETXTBSY));
        count.leave(1);
        assert_eq!(count.enter(-1), Err(Errno::ETXTBSY));
        count.leave(1);
        assert_eq!([count.enter(-1), count.enter(-1)], [Ok(()), Ok(())]);
        assert_eq!(count.enter(1), Err(Errno::ETXTBSY));
        count.leave(-1);
        count.leave(-1);
        assert_eq!(count.enter(1), Ok(()));
    }
}
