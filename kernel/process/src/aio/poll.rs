//! IOCB_CMD_POLL: told once when a file is ready.
//!
//! ```text
//!   io_submit     ready already: the event is there. Else the poll is in the file's queue and the context's list
//!   a change      looks again: ready, so the event; else it stays
//!   io_cancel     taken out of both, the event says 0; io_destroy does it to all
//! ```
//! The event's result is what of the wanted is there, and POLLERR and POLLHUP unasked. Told later, by who reads or
//! writes the other end of a pipe, it is all that this makes ready, as POLLIN and POLLRDNORM, in Linux too. A file that is always ready has
//! no queue; one that is not ready and has none cannot be polled: EINVAL, as in Linux.
//!
//! A pending poll keeps its file open, as any request does: what ends with the last descriptor, as a pipe's
//! end, waits for it.
//!
//! # Locking
//! `request` is a `SpinLock`: who takes the request out ends the poll, so it ends once. The file is asked with no
//! lock held.
//!
//! Source: Linux 6.1's aio_poll and what it says about cancelling; poll(2) for the bits.

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};

use base::{Errno, Result};
use sync::SpinLock;
use vfs::File;
use vfs::poll::{KNOWN, POLLERR, POLLHUP, Watch};

use super::submit::{Iocb, Request, close};
use super::{Context, WORK};

/// A poll under way.
pub struct Poll {
    me: Weak<Poll>,
    events: u32,
    obj: u64,
    /// None: it has ended.
    request: SpinLock<Option<Request>>,
}

/// Begins one. EINVAL.
pub fn begin(context: &Arc<Context>, file: &Arc<File>, iocb: &Iocb, request: Request) -> Result<()> {
    let wanted = u16::try_from(iocb.buf).map_err(|_| Errno::EINVAL)?;
    if iocb.offset != 0 || iocb.nbytes != 0 || iocb.rw_flags != 0 {
        return Err(Errno::EINVAL);
    }
    let poll = Arc::new_cyclic(|me| Poll {
        me: me.clone(),
        events: u32::from(wanted) & KNOWN | POLLERR | POLLHUP,
        obj: request.obj(),
        request: SpinLock::new(Some(request)),
    });
    let Some(queue) = file.ops().poll_queue() else {
        return match file.ops().poll(file) & poll.events {
            0 => Err(Errno::EINVAL),
            ready => poll.end(ready),
        };
    };
    // In the list first: from the queue on it may end at any moment.
    context.add_poll(&poll)?;
    queue.watch(poll.clone());
    poll.look(0);
    Ok(())
}

impl Poll {
    /// Where its iocb was.
    pub fn obj(&self) -> u64 {
        self.obj
    }

    fn file(&self) -> Option<Arc<File>> {
        self.request.lock().as_ref()?.file().cloned()
    }

    /// Stopped: the event tells that nothing was there.
    pub fn cancel(&self) {
        // It may have ended by itself.
        let _ = self.end(0);
    }

    /// The event. EINVAL: it has ended before.
    fn end(&self, ready: u32) -> Result<()> {
        let request = self.request.lock().take().ok_or(Errno::EINVAL)?;
        if let Some(file) = request.file()
            && let Some(queue) = file.ops().poll_queue()
        {
            queue.unwatch(self);
        }
        request.context().remove_poll(self);
        let signals = request.signals();
        let done = move || request.complete(Ok((ready & KNOWN) as usize));
        // To signal an eventfd may end other polls, and those others again: not within each other.
        if signals {
            WORK.queue(Box::new(done))
        } else {
            done()
        }
        Ok(())
    }
}

impl Watch for Poll {
    fn look(&self, key: u32) {
        if key != 0 && key & self.events == 0 {
            return;
        }
        // The queue has it as long as it waits; this keeps it while it ends.
        let Some(_me) = self.me.upgrade() else { return };
        let Some(file) = self.file() else { return };
        let ready = file.ops().poll(&file) & self.events;
        if ready != 0 {
            // Another may have been faster.
            let _ = self.end(if key != 0 { key } else { ready });
        }
        close(Some(file));
    }
}
