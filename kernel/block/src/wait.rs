//! Waiting for bios: the one place where this crate turns a completion into a sleep.

use alloc::boxed::Box;
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
    /// Called by the last one to end, when nobody waits ([`Completion::then`]).
    then: Option<Then>,
}

/// What to do when all is over.
type Then = Box<dyn FnOnce(Result<()>) + Send>;

impl Completion {
    /// With nothing to wait for yet.
    pub fn new() -> Completion {
        let state = SpinLock::new(State { left: 0, result: Ok(()), then: None });
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

    /// Instead of waiting: `then` is called once with the first error, when every tracked bio has ended.
    /// At once if they have; else in an interrupt, perhaps, so the rules of [`Bio::end_io`] hold for it.
    pub fn then(self, then: impl FnOnce(Result<()>) + Send + 'static) {
        let mut state = self.0.state.lock();
        if state.left > 0 {
            state.then = Some(Box::new(then));
            return;
        }
        let result = state.result;
        drop(state);
        then(result);
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
        let (last, then, result) = {
            let mut state = self.state.lock();
            state.left -= 1;
            if state.result.is_ok() {
                state.result = result;
            }
            let last = state.left == 0;
            (last, if last { state.then.take() } else { None }, state.result)
        };
        if let Some(then) = then {
            then(result);
        } else if last {
            self.queue.wake_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{Errno, Sector};
    use std::sync::Mutex;

    use crate::bio::BioOp;

    #[test]
    fn the_last_one_calls() {
        let told: Arc<Mutex<Option<Result<()>>>> = Arc::default();
        let bios = || {
            let done = Completion::new();
            let [a, b] = [(); 2].map(|()| done.track(Bio::new(BioOp::Flush, Sector(0))));
            (done, a, b)
        };
        let tell = || {
            let told = told.clone();
            move |result| *told.lock().unwrap() = Some(result)
        };
        let (done, a, b) = bios();
        a.complete(Err(Errno::ENOSPC));
        done.then(tell());
        assert_eq!(*told.lock().unwrap(), None);
        b.complete(Err(Errno::EIO));
        assert_eq!(told.lock().unwrap().take(), Some(Err(Errno::ENOSPC)));
        let (done, a, b) = bios();
        a.complete(Ok(()));
        b.complete(Ok(()));
        done.then(tell());
        assert_eq!(*told.lock().unwrap(), Some(Ok(())));
    }
}
