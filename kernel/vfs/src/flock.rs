//! flock(2): locks on whole files, each held by an open file.
//!
//! A lock belongs to the open file: dup(2) shares it, a second open(2) of the same file does not and can conflict
//! with it, also within one process. It goes when the open file does. Changing its kind gives the old one up first,
//! so a change that finds a conflict and may not wait ends without any lock, as on Linux.
//!
//! ```text
//!              asked   shared     exclusive
//!   held
//!   shared             both       waits
//!   exclusive          waits      waits
//! ```
//!
//! # Locking
//! `HELD` is a `SpinLock` and the last one taken. Few locks are held at a time: one list for all files. `COUNT` is
//! its length, so that closing a file when there is none costs a look.
//!
//! Source: flock(2), Linux's `flock_lock_inode`.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use base::{Errno, Result};
use sync::{SpinLock, WaitQueue};

use crate::file::File;

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// LOCK_SH.
    Shared,
    /// LOCK_EX.
    Exclusive,
}

struct Held {
    inode: usize,
    file: usize,
    kind: Kind,
}

static HELD: SpinLock<Vec<Held>> = SpinLock::new(Vec::new());
static COUNT: AtomicUsize = AtomicUsize::new(0);
/// A lock was given up.
static RELEASED: WaitQueue = WaitQueue::new();

/// Locks the file. With a conflict EAGAIN, or, when it may sleep, waits: EINTR. ENOLCK without memory.
pub fn lock(file: &File, kind: Kind, sleep: bool) -> Result<()> {
    let mut done = try_lock(file, kind);
    if sleep && done == Err(Errno::EAGAIN) {
        let told = RELEASED.wait_interruptible(None, || {
            done = try_lock(file, kind);
            done != Err(Errno::EAGAIN)
        });
        if !told {
            return Err(Errno::EINTR);
        }
    }
    done
}

/// Gives the file's lock up, if it has one.
pub fn unlock(file: &File) {
    if COUNT.load(Ordering::Relaxed) == 0 {
        return;
    }
    if take(&mut HELD.lock(), file).is_some() {
        RELEASED.wake_all();
    }
}

fn try_lock(file: &File, kind: Kind) -> Result<()> {
    let (inode, own) = (inode_of(file), name_of(file));
    let mut held = HELD.lock();
    if held.iter().any(|lock| lock.file == own && lock.kind == kind) {
        return Ok(());
    }
    let old = take(&mut held, file);
    let in_the_way = |lock: &Held| lock.inode == inode && (kind, lock.kind) != (Kind::Shared, Kind::Shared);
    let done = if held.iter().any(in_the_way) {
        Err(Errno::EAGAIN)
    } else {
        held.try_reserve(1).map_err(|_| Errno::ENOLCK).map(|()| {
            held.push(Held { inode, file: own, kind });
            COUNT.store(held.len(), Ordering::Relaxed);
        })
    };
    drop(held);
    if old.is_some() {
        RELEASED.wake_all();
    }
    done
}

fn take(held: &mut Vec<Held>, file: &File) -> Option<Held> {
    let own = name_of(file);
    let at = held.iter().position(|lock| lock.file == own)?;
    let lock = held.swap_remove(at);
    COUNT.store(held.len(), Ordering::Relaxed);
    Some(lock)
}

/// No other open file has it as long as this one is there.
fn name_of(file: &File) -> usize {
    core::ptr::from_ref(file).addr()
}

/// The open file keeps the inode where it is.
fn inode_of(file: &File) -> usize {
    alloc::sync::Arc::as_ptr(file.inode()).addr()
}
