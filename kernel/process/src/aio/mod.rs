//! Linux AIO: contexts, the requests in them, and the ring in which their ends are told.
//!
//! # What it is
//! ```text
//!   io_setup     a Context: room for requests, a ring mapped into the program       (this file, ring.rs)
//!   io_submit    submit.rs: an iocb is checked, a Request begun
//!                  O_DIRECT on a file or disk   bios on their way, back at once
//!                  FSYNC, FDSYNC                left to the thread `aio`
//!                  POLL                         poll.rs: told when the file is ready, or stopped by io_cancel
//!                  anything else                done before io_submit returns, as in Linux
//!   the end      Request::complete, perhaps in an interrupt: an event in the ring, the eventfd, waiters woken
//!   io_getevents events.rs: from the ring to the program, or the program reads the ring itself
//!   io_destroy   no more may begin; polls are stopped, what else has begun is waited for. So at the end of the process
//! ```
//!
//! # Room
//! A request takes a slot of the ring until its event was read. The program moves `head` when it reads by
//! itself, so how many were read is looked up when slots run short.
//!
//! # Locking
//! `state` of a context is a `SpinLock`: requests end in interrupts. `reading` orders readers of the ring. The
//! table is a `SpinLock` for a look-up. An open file whose last use is a request's is closed by the thread, for
//! an interrupt must not.
//!
//! Only a poll can be stopped: io_cancel says EINVAL to reads and writes, as in Linux.
//!
//! Source: io_setup(2), io_submit(2), io_getevents(2), Linux 6.1's order of checks.

mod events;
mod poll;
mod ring;
mod submit;

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::{Errno, Result};
use sync::{Mutex, SpinLock, WaitQueue, WorkQueue};
use vfs::aio::Share;

use crate::mm::Mm;
use poll::Poll;
use ring::Ring;
pub use submit::{Iocb, KEY};

/// Does what a request leaves to do that sleeps.
static WORK: WorkQueue = WorkQueue::new("aio");

/// The contexts of a process.
#[derive(Default)]
pub struct Contexts {
    list: SpinLock<Vec<Arc<Context>>>,
}

/// One context.
pub struct Context {
    ring: Ring,
    state: SpinLock<State>,
    /// Somebody waits for an event, or for the end.
    changed: WaitQueue,
    reading: Mutex<()>,
    _share: Share,
}

struct State {
    /// Where the next event goes; the ring's own word is the program's to change.
    tail: u32,
    /// Slots that no request has.
    available: u32,
    /// Events in the ring whose slots are not known to be free again.
    told: u32,
    /// Those of the requests that wait for a file to be ready.
    polls: Vec<Arc<Poll>>,
    /// Requests that have begun and not ended.
    active: u32,
    /// io_destroy was called.
    dead: bool,
    /// A write met RLIMIT_FSIZE.
    too_big: bool,
}

/// What an event tells, as it lies in the ring (`struct io_event`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// `aio_data` of the request.
    pub data: u64,
    /// Where its iocb was.
    pub obj: u64,
    /// Bytes, or an error's negative number.
    pub res: i64,
}

impl Contexts {
    /// io_setup(2): a new context's number, which is where its ring lies. EINVAL, EAGAIN, ENOMEM.
    pub fn setup(&self, mm: &Mm, requests: u32) -> Result<u64> {
        let slots = ring::slots(requests)?;
        let share = Share::take(requests.into())?;
        WORK.start()?;
        let index = self.list.lock().len();
        // There are fewer contexts than requests.
        let ring = Ring::map(mm, slots, u32::try_from(index).unwrap_or(u32::MAX))?;
        let state = State {
            tail: 0,
            available: ring.slots() - 1,
            told: 0,
            polls: Vec::new(),
            active: 0,
            dead: false,
            too_big: false,
        };
        let context = Context {
            state: SpinLock::new(state),
            changed: WaitQueue::new(),
            reading: Mutex::new(()),
            _share: share,
            ring,
        };
        let id = context.ring.address();
        self.list.lock().push(Arc::new(context));
        Ok(id)
    }

    /// The context of this number. EINVAL.
    pub fn find(&self, id: u64) -> Result<Arc<Context>> {
        self.list.lock().iter().find(|c| c.ring.address() == id).cloned().ok_or(Errno::EINVAL)
    }

    /// io_destroy(2): waits for what has begun. EINVAL.
    pub fn destroy(&self, mm: &Mm, id: u64) -> Result<()> {
        let context = {
            let mut list = self.list.lock();
            let at = list.iter().position(|c| c.ring.address() == id).ok_or(Errno::EINVAL)?;
            list.swap_remove(at)
        };
        context.end();
        // The program may have unmapped it already.
        let _ = mm.munmap(base::UserAddr(context.ring.address()), context.ring.len());
        Ok(())
    }

    /// The process ends: what has begun is waited for.
    pub fn exit(&self) {
        let all = core::mem::take(&mut *self.list.lock());
        all.iter().for_each(|context| context.end());
    }
}

impl Context {
    /// Nothing begins any more; sleeps until all has ended.
    fn end(&self) {
        let polls = {
            let mut state = self.state.lock();
            state.dead = true;
            core::mem::take(&mut state.polls)
        };
        polls.iter().for_each(|poll| poll.cancel());
        self.changed.wake_all();
        self.changed.wait_until(|| self.state.lock().active == 0);
    }

    /// A poll that may be stopped from now on. EINVAL after io_destroy.
    fn add_poll(&self, poll: &Arc<Poll>) -> Result<()> {
        let mut state = self.state.lock();
        if state.dead {
            return Err(Errno::EINVAL);
        }
        state.polls.push(poll.clone());
        Ok(())
    }

    /// It has ended.
    fn remove_poll(&self, poll: &Poll) {
        let gone = {
            let mut state = self.state.lock();
            let found = state.polls.iter().position(|other| core::ptr::eq(Arc::as_ptr(other), poll));
            found.map(|at| state.polls.swap_remove(at))
        };
        drop(gone);
    }

    /// io_cancel(2): stops the request whose iocb is there. EINPROGRESS: it is, and its event tells so. EINVAL: it
    /// cannot be stopped, has ended, or never was.
    pub fn cancel(&self, obj: u64) -> Errno {
        let found = self.state.lock().polls.iter().find(|poll| poll.obj() == obj).cloned();
        match found {
            Some(poll) => {
                poll.cancel();
                Errno::EINPROGRESS
            }
            None => Errno::EINVAL,
        }
    }

    /// How many requests one io_submit may begin.
    pub fn slots(&self) -> u32 {
        self.ring.slots()
    }

    /// Whether a write has met RLIMIT_FSIZE since the last time.
    pub fn take_too_big(&self) -> bool {
        core::mem::take(&mut self.state.lock().too_big)
    }

    /// A slot for a request. EAGAIN; EINVAL after io_destroy.
    fn begin(&self) -> Result<()> {
        let mut state = self.state.lock();
        if state.dead {
            return Err(Errno::EINVAL);
        }
        if state.available == 0 {
            self.reclaim(&mut state);
        }
        state.available = state.available.checked_sub(1).ok_or(Errno::EAGAIN)?;
        state.active += 1;
        Ok(())
    }

    /// A request that never began gives its slot back.
    fn forget(&self) {
        let mut state = self.state.lock();
        state.available += 1;
        self.leave(state);
    }

    /// A request has ended. In an interrupt, perhaps.
    fn tell(&self, event: &Event) {
        let mut state = self.state.lock();
        self.ring.put(state.tail, event);
        state.tail = (state.tail + 1) % self.ring.slots();
        self.ring.set_tail(state.tail);
        state.told += 1;
        if event.res == Errno::EFBIG.as_return() as i64 {
            state.too_big = true;
        }
        self.leave(state);
    }

    fn leave(&self, mut state: sync::SpinGuard<'_, State>) {
        state.active -= 1;
        drop(state);
        self.changed.wake_all();
    }

    /// Slots whose events were read are free again.
    fn reclaim(&self, state: &mut State) {
        let read = state.told - self.ring.waiting(state.tail).min(state.told);
        state.told -= read;
        state.available += read;
    }
}

#[cfg(test)]
mod tests;
