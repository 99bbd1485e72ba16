//! The elevators: in which order waiting requests go to the driver.
//!
//! | name       | order                                                          | for                       |
//! |------------|----------------------------------------------------------------|---------------------------|
//! | `noop`     | as they came                                                   | disks that seek for free  |
//! | `deadline` | sector order in batches, none waits beyond its deadline        | everything else           |
//!
//! An elevator keeps ids; the requests themselves are in the `Pool`, whose sorted tree it may use.
//! It is called with the queue's lock held, so it neither sleeps nor logs.
//!
//! # The contract
//! 1. After `Elevator::add` an id comes out of `Elevator::dispatch` exactly once, unless
//!    `Elevator::joining` named it as the one that goes.
//! 2. `dispatch` answers None only when nothing was added that has not come out.

mod deadline;
mod noop;

use alloc::boxed::Box;

use crate::pool::{Pool, RequestId};

/// The elevator of a disk when nobody names one.
pub const DEFAULT: &str = "deadline";

/// The names that [`crate::Disk::new`] and [`crate::RequestQueue::switch_elevator`] know.
pub const NAMES: [&str; 2] = ["noop", "deadline"];

/// An order of requests.
pub(crate) trait Elevator: Send {
    /// One of [`NAMES`].
    fn name(&self) -> &'static str;

    /// The request is in the pool and waits from `now` on, in nanoseconds.
    fn add(&mut self, pool: &mut Pool, id: RequestId, now: u64);

    /// `gone` is about to become the end of `kept`; both are still in the pool.
    fn joining(&mut self, pool: &mut Pool, kept: RequestId, gone: RequestId);

    /// Which request goes next; the queue takes it out of the pool.
    fn dispatch(&mut self, pool: &Pool, now: u64) -> Option<RequestId>;

    /// Whether a bio may be put in front of a request.
    fn front_merges(&self) -> bool {
        true
    }
}

/// A fresh elevator of that name.
pub(crate) fn by_name(name: &str) -> Option<Box<dyn Elevator>> {
    match name {
        "noop" => Some(Box::<noop::Noop>::default()),
        "deadline" => Some(Box::<deadline::Deadline>::default()),
        _ => None,
    }
}
