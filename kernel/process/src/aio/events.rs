//! io_getevents(2): events from the ring to the program.

use base::time::monotonic_ns;
use base::{Errno, Result, UserAddr, UserMemory};

use super::Context;

/// `struct io_event`.
const EVENT: u64 = 32;

impl Context {
    /// Up to `most` events to `at`; waits until there are `least`, for at most `timeout` nanoseconds. How many
    /// there were. EFAULT; EINTR when there was none and a signal came; EINVAL when the context goes.
    pub fn read_events(
        &self,
        memory: &dyn UserMemory,
        least: u32,
        most: u32,
        at: UserAddr,
        timeout: Option<u64>,
    ) -> Result<u32> {
        let deadline = timeout.map(|ns| monotonic_ns().saturating_add(ns));
        let mut done = 0;
        loop {
            match self.take(memory, most - done, at.add(u64::from(done) * EVENT)) {
                Ok(n) => done += n,
                Err(error) => return if done > 0 { Ok(done) } else { Err(error) },
            }
            if done >= least || timeout == Some(0) {
                break;
            }
            if self.state.lock().dead {
                return if done > 0 { Ok(done) } else { Err(Errno::EINVAL) };
            }
            let left = deadline.map(|at| at.saturating_sub(monotonic_ns()));
            if !self.changed.wait_interruptible(left, || self.has_news()) {
                break;
            }
        }
        if done == 0 && sync::thread::signal_pending() { Err(Errno::EINTR) } else { Ok(done) }
    }

    /// Whether a reader should look.
    fn has_news(&self) -> bool {
        let state = self.state.lock();
        state.dead || self.ring.waiting(state.tail) > 0
    }

    /// Events that are there, at most `most`.
    fn take(&self, memory: &dyn UserMemory, most: u32, at: UserAddr) -> Result<u32> {
        let _alone = self.reading.lock();
        let tail = self.state.lock().tail;
        let mut head = self.ring.head();
        let mut done = 0;
        while done < most && head != tail {
            memory.write_all(at.add(u64::from(done) * EVENT), &self.ring.get(head))?;
            head = (head + 1) % self.ring.slots();
            done += 1;
        }
        self.ring.set_head(head);
        Ok(done)
    }
}
