//! The request in flight, which only the driver holds.
//!
//! # Invariant
//! It is completed exactly once; dropped, it completes with EIO.

use alloc::sync::Arc;
use core::fmt;
use core::ops::Deref;

use base::{DevId, Errno, Result};

use crate::queue::RequestQueue;
use crate::request::Request;

/// A request that the driver has begun, or is about to.
pub struct InFlight {
    /// None only while it is being taken apart.
    request: Option<Request>,
    queue: Arc<RequestQueue>,
}

impl InFlight {
    pub(crate) fn new(request: Request, queue: Arc<RequestQueue>) -> InFlight {
        InFlight { request: Some(request), queue }
    }

    /// The number of the disk it is for.
    pub fn dev(&self) -> DevId {
        self.queue.dev()
    }

    /// The device is done: ends every bio, and sends out what waited for the room. May be called in
    /// an interrupt. Several at once are cheaper by [`complete_all`].
    pub fn complete(self, result: Result<()>) {
        let queue = self.finish(result);
        queue.run();
    }

    /// Ends every bio and leaves the queue standing.
    fn finish(mut self, result: Result<()>) -> Arc<RequestQueue> {
        self.end(result);
        self.queue.clone()
    }

    fn end(&mut self, result: Result<()>) {
        if let Some(request) = self.request.take() {
            self.queue.finished(request, result);
        }
    }

    /// The driver had no room.
    pub(crate) fn take_back(mut self) -> Option<Request> {
        self.request.take()
    }
}

impl Deref for InFlight {
    type Target = Request;

    fn deref(&self) -> &Request {
        match &self.request {
            Some(request) => request,
            // It is None only between a `take` and the end of the function that took it, all of
            // which own or are dropping the InFlight.
            None => unreachable!("a request in flight is whole as long as it can be borrowed"),
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.request.is_some() {
            log::error!("the driver lost a request: {:?}", **self);
            self.end(Err(Errno::EIO));
            self.queue.run();
        }
    }
}

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.request, f)
    }
}

/// Completes several requests, and then sends out what waited for their room, with one notify.
pub fn complete_all(done: impl IntoIterator<Item = (InFlight, Result<()>)>) {
    let mut last: Option<Arc<RequestQueue>> = None;
    for (request, result) in done {
        let queue = request.finish(result);
        match last.replace(queue) {
            Some(before) if !last.as_ref().is_some_and(|q| Arc::ptr_eq(q, &before)) => before.run(),
            _ => {}
        }
    }
    if let Some(queue) = last {
        queue.run();
    }
}
