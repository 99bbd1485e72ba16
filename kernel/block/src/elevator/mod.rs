//! The elevators: in which order waiting requests go to the driver.
//!
//! | name           | order                                                      | for                       |
//! |----------------|------------------------------------------------------------|---------------------------|
//! | `noop`         | as they came                                               | disks that seek for free  |
//! | `deadline`     | sector order in batches, none waits beyond its deadline    | everything else           |
//! | `cfq`          | time slices for each thread, by I/O priority               | several threads, one disk |
//! | `anticipatory` | deadline's, and after a read a wait for the thread's next   | one arm, several readers  |
//!
//! An elevator keeps ids; the requests themselves are in the `Pool`, whose sorted tree it may use.
//! It is called with the queue's lock held, so it neither sleeps nor logs.
//!
//! # The contract
//! 1. After `Elevator::add` an id comes out of `Elevator::dispatch` exactly once, unless
//!    `Elevator::joining` named it as the one that goes.
//! 2. `dispatch` answers None only when nothing was added that has not come out, or when the elevator
//!    waits on purpose for something better; then [`Elevator::wake_at`] says until when, and the queue
//!    asks again at that time, at the next `add` and at the next `completed`. `u64::MAX` says: until
//!    something that is in flight has completed.
//! 3. `Elevator::completed` is called once for each request that came out of `dispatch` or that
//!    `Elevator::pass` let past, unless the elevator was replaced meanwhile.
//! 4. Time is what the caller says it is, in nanoseconds, and never goes back.

mod anticipatory;
mod cfq;
#[cfg(test)]
mod comparison;
#[cfg(test)]
mod contract_tests;
mod deadline;
mod lane;
mod noop;
#[cfg(test)]
mod simulation;
mod tunable;

use alloc::boxed::Box;
use alloc::vec::Vec;

use base::{Errno, Result};
use sync::thread::ThreadId;

use crate::pool::{Pool, RequestId};
use crate::request::{Origin, Request};

/// The elevator of a disk when nobody names one.
pub const DEFAULT: &str = "cfq";

/// The names that [`crate::Disk::new`] and [`crate::RequestQueue::switch_elevator`] know.
pub const NAMES: [&str; 4] = ["noop", "deadline", "cfq", "anticipatory"];

/// An order of requests.
pub(crate) trait Elevator: Send {
    /// One of [`NAMES`].
    fn name(&self) -> &'static str;

    /// The request is in the pool and waits from `now` on.
    fn add(&mut self, pool: &mut Pool, id: RequestId, now: u64);

    /// `gone` is about to become the end of `kept`; both are still in the pool.
    fn joining(&mut self, pool: &mut Pool, kept: RequestId, gone: RequestId);

    /// A bio was put in front of the request, which began at sector `was` before.
    fn front_merged(&mut self, _pool: &Pool, _id: RequestId, _was: u64) {}

    /// Which request goes next; the queue takes it out of the pool. None: see the contract, 2.
    fn dispatch(&mut self, pool: &Pool, now: u64) -> Option<RequestId>;

    /// Until when it waits on purpose. None: it does not.
    fn wake_at(&self) -> Option<u64> {
        None
    }

    /// The device is done with a request that this elevator dispatched.
    fn completed(&mut self, _request: &Request, _now: u64) {}

    /// Whether the disk is known to seek: told once before the first `add`, and again when somebody sets
    /// it (`queue/rotational`).
    fn set_rotational(&mut self, _rotational: bool) {}

    /// A request that meets an empty pool and a driver with room: may it go out at once, without `add` and
    /// `dispatch`? After true it counts as both, so `completed` follows. It must not be answered
    /// true by an elevator that waits on purpose for another one.
    fn pass(&mut self, _request: &Request, _now: u64) -> bool {
        false
    }

    /// Whether a bio of that origin may become part of a request, which it fits. Asked for the joining
    /// of two requests too, with the origin of the one that would go.
    fn may_merge(&self, _request: &Request, _origin: &Origin) -> bool {
        true
    }

    /// Whether a bio may be put in front of a request.
    fn front_merges(&self) -> bool {
        true
    }

    /// That thread has ended: it will not submit anything more.
    fn thread_ended(&mut self, _thread: ThreadId) {}

    /// The names of what may be set.
    fn tunables(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// The value of that name.
    fn tunable(&self, _name: &str) -> Option<u64> {
        None
    }

    /// Sets the value of that name; out of range it is moved to the nearer end. ENOENT.
    fn set_tunable(&mut self, _name: &str, _value: u64) -> Result<()> {
        Err(Errno::ENOENT)
    }
}

/// What `elevator=` on the kernel's command line means, where `as` is an old name of `anticipatory`.
pub fn by_boot_name(name: &str) -> Option<&'static str> {
    let name = if name == "as" { "anticipatory" } else { name };
    NAMES.into_iter().find(|known| *known == name)
}

/// A fresh elevator of that name.
pub(crate) fn by_name(name: &str) -> Option<Box<dyn Elevator>> {
    match name {
        "noop" => Some(Box::<noop::Noop>::default()),
        "deadline" => Some(Box::<deadline::Deadline>::default()),
        "cfq" => Some(Box::<cfq::Cfq>::default()),
        "anticipatory" => Some(Box::<anticipatory::Anticipatory>::default()),
        _ => None,
    }
}
