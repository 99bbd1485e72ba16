//! Uses of inodes that were dropped inside a handle, kept until it has ended.
//!
//! The last use of an inode without a name deletes it, which takes handles of its own, and those must not be
//! parts of the one that is open: a large file would not fit its credits.
//!
//! # Locking
//! A spin lock for the length of a push or a take. The uses are dropped without it and outside any handle,
//! by whichever thread leaves its own next. So another thread may be at it when one's own handle has ended: who
//! unmounts waits ([`Later::wait`]).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use sync::{SpinLock, WaitQueue};

use crate::fs::Ext4Fs;
use crate::inode::Ext4Inode;

/// See the module.
#[derive(Default)]
pub(crate) struct Later {
    any: AtomicBool,
    inodes: SpinLock<Vec<Arc<Ext4Inode>>>,
    /// Threads that drop some.
    settling: AtomicUsize,
    settled: WaitQueue,
}

impl Later {
    /// Keeps a use until the present handle has ended.
    pub fn keep(&self, inode: Arc<Ext4Inode>) {
        self.inodes.lock().push(inode);
        self.any.store(true, Ordering::Release);
    }

    /// A handle has ended: drops what was kept, if the thread is in none any more.
    #[inline]
    pub fn settle(&self, fs: &Ext4Fs) {
        if self.any.load(Ordering::Acquire) && !fs.in_handle() {
            self.drop_all();
        }
    }

    #[cold]
    fn drop_all(&self) {
        // Before they are taken: who finds none under the lock sees that somebody has them.
        self.settling.fetch_add(1, Ordering::Relaxed);
        self.any.store(false, Ordering::Release);
        let inodes = core::mem::take(&mut *self.inodes.lock());
        drop(inodes);
        if self.settling.fetch_sub(1, Ordering::Release) == 1 {
            self.settled.wake_all();
        }
    }

    /// Waits until none is kept, nor on its way out. Outside any handle, when none can come any more.
    pub fn wait(&self) {
        loop {
            self.drop_all();
            self.settled.wait_until(|| self.settling.load(Ordering::Acquire) == 0);
            if self.inodes.lock().is_empty() {
                return;
            }
        }
    }
}
