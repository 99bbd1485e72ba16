//! Which names are forgotten when there are too many: a ring of all, and a hand that goes round.
//!
//! Second chance: what was looked up since the hand came by goes round once more. The hand holds the entry that it
//! looks at, and with it the inode; when everybody else lets go meanwhile, the hand's is the last use, and it
//! deletes a file that has no name. So who unmounts waits for the hands ([`wait_for_hands`]).
//!
//! # Locking
//! The ring's lock for a push or a pop. Entries are dropped with no lock held.
//!
//! Source: `shrink_dcache_sb`, `generic_shutdown_super` (Linux: reclaim holds `s_umount` instead).

use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};

use sync::atomic::{AtomicUsize, Ordering};
use sync::{SpinLock, WaitQueue};

use super::{Dentry, REFERENCED};

static LRU: SpinLock<VecDeque<Weak<Dentry>>> = SpinLock::new(VecDeque::new());
static LIMIT: AtomicUsize = AtomicUsize::new(4096);
static HANDS: Hands = Hands::new();

/// How many the hand passes for one new dentry: enough to keep up, not enough to be felt.
const EFFORT: usize = 8;

/// Sets how many dentries are kept. Those in use are not counted against it.
pub fn set_limit(entries: usize) {
    LIMIT.store(entries, Ordering::Relaxed);
}

/// Evicts up to `count` dentries nobody uses; says how many went. For a machine short of memory.
pub fn shrink(count: usize) -> usize {
    let passes = LRU.lock().len().saturating_mul(2);
    let mut gone = 0;
    for _ in 0..passes {
        if gone >= count {
            break;
        }
        gone += usize::from(turn());
    }
    gone
}

/// Waits until no hand holds an entry that it held at the call. No entry of what is unmounted comes back to the
/// ring, so that none of its inodes is in use by a hand any more.
pub fn wait_for_hands() {
    HANDS.wait();
}

/// Enters a new dentry into the ring and makes room for it.
pub(super) fn note(dentry: &Arc<Dentry>) {
    let len = {
        let mut lru = LRU.lock();
        lru.push_back(Arc::downgrade(dentry));
        lru.len()
    };
    if len > LIMIT.load(Ordering::Relaxed) {
        for _ in 0..EFFORT {
            if turn() {
                break;
            }
        }
    }
}

/// Looks at the oldest entry of the ring; true when it is gone from it.
fn turn() -> bool {
    let Some(_hand) = HANDS.raise() else { return false };
    let Some(oldest) = LRU.lock().pop_front() else { return false };
    let Some(dentry) = oldest.upgrade() else { return true };
    let referenced = dentry.state.fetch_and(!REFERENCED, Ordering::Relaxed) & REFERENCED != 0;
    // One that nobody will find again leaves the ring for good.
    let deleted = dentry.is_deleted();
    if deleted || (!referenced && evict_up(dentry)) {
        return true;
    }
    LRU.lock().push_back(oldest);
    false
}

/// Evicts an entry, then its directory if nothing holds that any more, and so on: a deep chain goes
/// at once and not one entry a round. False when not even the first could go.
fn evict_up(first: Arc<Dentry>) -> bool {
    let mut any = false;
    let mut at = Some(first);
    while let Some(dentry) = at {
        let parent = dentry.parent();
        if dentry.state.load(Ordering::Relaxed) & REFERENCED != 0 || !dentry.evict() {
            break;
        }
        any = true;
        // Its hold on the directory must be gone before the directory is looked at.
        drop(dentry);
        at = parent;
    }
    any
}

/// How many hands are up, and how many threads wait until none is: while any does, none goes up.
struct Hands {
    up: AtomicUsize,
    waiting: AtomicUsize,
    none: WaitQueue,
}

impl Hands {
    const fn new() -> Hands {
        Hands { up: AtomicUsize::new(0), waiting: AtomicUsize::new(0), none: WaitQueue::new() }
    }

    /// None: somebody waits.
    fn raise(&self) -> Option<Hand<'_>> {
        self.up.fetch_add(1, Ordering::SeqCst);
        let hand = Hand(self);
        // Either it is seen here, or the hand by who waits.
        (self.waiting.load(Ordering::SeqCst) == 0).then_some(hand)
    }

    fn wait(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.none.wait_until(|| self.up.load(Ordering::SeqCst) == 0);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One that is up; down when dropped.
struct Hand<'a>(&'a Hands);

impl Drop for Hand<'_> {
    fn drop(&mut self) {
        if self.0.up.fetch_sub(1, Ordering::SeqCst) == 1 && self.0.waiting.load(Ordering::SeqCst) > 0 {
            self.0.none.wake_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_unmounts_waits_for_the_hands() {
        let hands = Hands::new();
        let (first, second) = (hands.raise(), hands.raise());
        assert!(first.is_some() && second.is_some());
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| hands.wait());
            while hands.waiting.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
            assert!(hands.raise().is_none(), "nobody makes it longer");
            drop(first);
            assert!(!waits.is_finished());
            drop(second);
            waits.join().unwrap();
        });
        assert!(hands.raise().is_some());
        hands.wait();
    }
}
