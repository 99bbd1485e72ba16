//! Waiting for bios: the one place where this crate turns a completion into a sleep.

use alloc::sync::Arc;

use base::Result;
use sync::{SpinLock, WaitQueue};

use crate::bio::{Bio, EndIo};

/// Counts bios down and wakes who waits for the last one.
///
/// ```
/// # use base::Sector;
/// # use block::{Bio, BioOp, Completion, Disk, RamDisk};
/// # let disk = Disk::new("ram9", base::DevId::new(1, 9), RamDisk::new(vec![0; 8192]), "noop").unwrap();
/// # let (first, second) = (Bio::new(BioOp::Flush, Sector(0)), Bio::new(BioOp::Flush, Sector(0)));
/// let done = Completion::new();
/// disk.submit_bio(done.track(first));
/// disk.submit_bio(done.track(second));
/// assert_eq!(done.wait(), Ok(()));    // or the first error
/// ```
#[derive(Clone)]
pub struct Completion(Arc<Shared>);

struct Shared {
    state: SpinLock<State>,
    queue: WaitQueue,
}

struct State {
    left: usize,
    result: Result<()>,
}

impl Completion {
    /// With nothing to wait for yet.
    pub fn new() -> Completion {
        let state = SpinLock::new(State { left: 0, result: Ok(()) });
        Completion(Arc::new(Shared { state, queue: WaitQueue::new() }))
    }

    /// Makes the bio's end count here. Replaces its `end_io`.
    pub fn track(&self, bio: Bio) -> Bio {
        self.0.state.lock().left += 1;
        bio.end_at(EndIo::Count(Counter(self.0.clone())))
    }

    /// Sleeps until every tracked bio has ended. The first error, if there was one. Afterwards the
    /// same value may be used anew.
    pub fn wait(&self) -> Result<()> {
        self.0.queue.wait_until(|| self.0.state.lock().left == 0);
        core::mem::replace(&mut self.0.state.lock().result, Ok(()))
    }
}

impl Default for Completion {
    fn default() -> Completion {
        Completion::new()
    }
}

/// The end of one tracked bio.
pub(crate) struct Counter(Arc<Shared>);

impl Counter {
    pub(crate) fn ended(self, result: Result<()>) {
        self.0.ended(result);
    }
}

impl Shared {
    fn ended(&self, result: Result<()>) {
        let last = {
            let mut state = self.state.lock();
            state.left -= 1;
            if state.result.is_ok() {
                state.result = result;
            }
            state.left == 0
        };
        if last {
            self.queue.wake_all();
        }
    }
}
