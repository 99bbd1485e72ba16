//! What goes between memory and disks, and how much of it the program caused: `/proc/vmstat`'s pgpgin
//! and pgpgout, and the byte counters of `/proc/self/io`.
//!
//! As in Linux the counters are of causes, not of transfers: a read counts for the thread that sends
//! the bio, a write for the thread that makes a page dirty (or sends a direct write), and a page that
//! is thrown away dirty takes its write back. What the flusher and the journal do is nobody's.
//!
//! Source: Linux, Documentation/filesystems/proc.rst (3.3), include/linux/task_io_accounting_ops.h.
//!
//! # Locking
//! Atomics. There is one program, so one set of counters; a thread is the program's when
//! [`sync::thread::is_task`] says so. Callable with any lock held, not in interrupts.

use core::sync::atomic::{AtomicU64, Ordering};

use base::units::SECTOR_SHIFT;

use crate::bio::{Bio, BioOp};

/// The program's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TaskIo {
    /// Fetched from disks for it.
    pub read_bytes: u64,
    /// Made dirty by it, or written directly.
    pub write_bytes: u64,
    /// Made dirty, and thrown away by it before they were written.
    pub cancelled_write_bytes: u64,
}

static READ: AtomicU64 = AtomicU64::new(0);
static WRITTEN: AtomicU64 = AtomicU64::new(0);
static CANCELLED: AtomicU64 = AtomicU64::new(0);
static SECTORS_IN: AtomicU64 = AtomicU64::new(0);
static SECTORS_OUT: AtomicU64 = AtomicU64::new(0);

/// The counters of the program.
pub fn task_io() -> TaskIo {
    TaskIo {
        read_bytes: READ.load(Ordering::Relaxed),
        write_bytes: WRITTEN.load(Ordering::Relaxed),
        cancelled_write_bytes: CANCELLED.load(Ordering::Relaxed),
    }
}

/// Sectors that anybody ever asked to read from a disk, and to write to one.
pub fn sectors_moved() -> (u64, u64) {
    (SECTORS_IN.load(Ordering::Relaxed), SECTORS_OUT.load(Ordering::Relaxed))
}

/// This thread makes so many bytes dirty, or writes them directly.
#[inline]
pub fn account_write(bytes: u64) {
    account(&WRITTEN, bytes);
}

/// This thread throws away so many bytes that were dirty.
#[inline]
pub fn account_cancelled_write(bytes: u64) {
    account(&CANCELLED, bytes);
}

/// A bio is sent.
pub(crate) fn account_bio(bio: &Bio) {
    match bio.op() {
        BioOp::Read => {
            SECTORS_IN.fetch_add(bio.len() >> SECTOR_SHIFT, Ordering::Relaxed);
            account(&READ, bio.len());
        }
        BioOp::Write => _ = SECTORS_OUT.fetch_add(bio.len() >> SECTOR_SHIFT, Ordering::Relaxed),
        _ => {}
    }
}

#[inline]
fn account(counter: &AtomicU64, bytes: u64) {
    if sync::thread::is_task() {
        counter.fetch_add(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use base::{DevId, Sector};

    /// The counters are everybody's, but only this test's thread is a program's.
    #[test]
    fn only_the_program_s_threads_count() {
        let disk = crate::Disk::new("ram7", DevId::new(1, 7), crate::RamDisk::new(vec![0; 65536]), "noop");
        let disk = disk.expect("a disk");
        let frame = base::frame::alloc_zeroed().expect("a frame");
        let transfer = |op| {
            let mut bio = Bio::new(op, Sector(8));
            bio.add(&frame, 0, 2048);
            disk.submit_and_wait(bio).expect("done");
        };
        transfer(BioOp::Read);
        assert_eq!(task_io(), TaskIo::default());
        sync::thread::set_task(1, b"prog");
        let before = sectors_moved();
        transfer(BioOp::Read);
        transfer(BioOp::Write);
        account_write(4096);
        account_cancelled_write(4096);
        let expected = TaskIo { read_bytes: 2048, write_bytes: 4096, cancelled_write_bytes: 4096 };
        assert_eq!(task_io(), expected);
        let after = sectors_moved();
        // Other tests move sectors too.
        assert!(after.0 >= before.0 + 4 && after.1 >= before.1 + 4);
        sync::thread::set_task(0, b"");
        transfer(BioOp::Read);
        assert_eq!(task_io(), expected);
    }
}
