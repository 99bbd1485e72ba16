//! Plugging: a thread that is about to submit many bios holds them back for a moment, so that they
//! meet and merge before the driver sees them.
//!
//! ```
//! # use base::{Sector, frame};
//! # use block::{Bio, BioOp, Disk, RamDisk};
//! # let disk = Disk::new("ram9", base::DevId::new(1, 9), RamDisk::new(vec![0; 65536]), "noop").unwrap();
//! let plug = block::plug();
//! for n in 0..8 {
//!     let mut bio = Bio::new(BioOp::Write, Sector(n * 8));
//!     bio.add(&frame::alloc_zeroed().unwrap(), 0, 4096);
//!     disk.submit_bio(bio);
//! }
//! drop(plug);                        // one request of 64 sectors goes out
//! assert_eq!(disk.stats().write.ios, 1);
//! ```
//!
//! The list goes out when the outermost guard is dropped, when it is [`MOST`] requests long, and
//! whenever the thread is about to sleep, for it may be about to wait for what it holds back. It goes
//! out sorted, with one visit per queue. A flush is never held back; what the thread submitted before
//! goes first.
//!
//! # Locking
//! The list belongs to its thread; it is not borrowed while a queue's lock is taken or a thread
//! sleeps. Not to be used in interrupts.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::marker::PhantomData;

use base::Sector;
use sync::{Once, PerThread, thread};

use crate::attributes::Merges;
use crate::bio::Bio;
use crate::merge::{fits, fits_scattered, mergeable};
use crate::queue::RequestQueue;
use crate::request::{Request, Shape};
use crate::trace;

/// Requests that a thread holds back at most.
const MOST: usize = 32;

/// How many of them a bio is compared with.
const LOOK_BACK: usize = 4;

#[derive(Default)]
struct PlugList {
    /// How many guards live.
    depth: usize,
    requests: Vec<(Arc<RequestQueue>, Request)>,
}

static PLUG: PerThread<RefCell<PlugList>> = PerThread::new(|| RefCell::new(PlugList::default()));

/// As long as it lives, its thread's bios are held back. May be nested.
#[must_use = "the plug is pulled when the guard is dropped"]
pub struct PlugGuard {
    /// The list is this thread's: the guard stays on it.
    _thread: PhantomData<*const ()>,
}

/// Begins to hold back this thread's bios (`blk_start_plug`).
pub fn plug() -> PlugGuard {
    install_hook();
    PLUG.with(|list| list.borrow_mut().depth += 1);
    PlugGuard { _thread: PhantomData }
}

impl Drop for PlugGuard {
    fn drop(&mut self) {
        let held_back = PLUG.with(|list| {
            let mut list = list.borrow_mut();
            list.depth -= 1;
            if list.depth == 0 { list.take() } else { HeldBack::Nothing }
        });
        held_back.send();
    }
}

/// From the first plug on, a thread that goes to sleep lets its list go.
fn install_hook() {
    static HOOK: Once<()> = Once::new();
    HOOK.call_once(|| thread::set_block_hook(flush_current));
}

/// Takes the bio, if this thread is plugged; else gives it back.
pub(crate) fn offer(queue: &Arc<RequestQueue>, bio: Bio, shape: &Shape) -> Option<Bio> {
    let bio = PLUG.with(|list| {
        let mut list = list.borrow_mut();
        if list.depth == 0 { Offered::NotPlugged(bio) } else { list.merge(queue, bio, shape) }
    });
    match bio {
        Offered::NotPlugged(bio) => Some(bio),
        Offered::Merged => {
            queue.count_plug_merge(shape.op, Sector(shape.sector));
            None
        }
        Offered::Alone(bio) => {
            hold_back(queue, bio, shape);
            None
        }
    }
}

enum Offered {
    NotPlugged(Bio),
    Merged,
    Alone(Bio),
}

fn hold_back(queue: &Arc<RequestQueue>, bio: Bio, shape: &Shape) {
    // May sleep, and then the list goes out; so it is not borrowed here.
    queue.reserve(bio.op().direction());
    trace::getrq(queue.dev(), &bio);
    let request = Request::new(bio, *shape, queue.now());
    let full = PLUG.with(|list| {
        let mut list = list.borrow_mut();
        if list.requests.is_empty() {
            trace::plug();
        }
        list.requests.push((queue.clone(), request));
        list.requests.len() >= MOST
    });
    if full {
        flush_current();
    }
}

/// Lets this thread's list go (`blk_flush_plug`).
pub(crate) fn flush_current() {
    PLUG.with(|list| list.borrow_mut().take()).send();
}

/// What was taken out of a list.
enum HeldBack {
    Nothing,
    One(Arc<RequestQueue>, Request),
    Several(Vec<(Arc<RequestQueue>, Request)>),
}

impl HeldBack {
    fn send(self) {
        match self {
            HeldBack::Nothing => {}
            HeldBack::One(queue, request) => {
                trace::unplug(1);
                queue.add_one(request);
            }
            HeldBack::Several(mut requests) => {
                trace::unplug(requests.len());
                send(&mut requests);
                // Its memory serves the next plug.
                PLUG.with(|list| {
                    let mut list = list.borrow_mut();
                    if list.requests.capacity() == 0 {
                        list.requests = requests;
                    }
                });
            }
        }
    }
}

fn send(requests: &mut Vec<(Arc<RequestQueue>, Request)>) {
    // By queue, then by direction and sector.
    let key = |(queue, r): &(Arc<RequestQueue>, Request)| {
        (Arc::as_ptr(queue) as usize, r.op().direction(), r.sector())
    };
    if !requests.is_sorted_by_key(key) {
        requests.sort_by_key(key);
    }
    let mut requests = requests.drain(..).peekable();
    while let Some((queue, first)) = requests.next() {
        let more = core::iter::from_fn(|| requests.next_if(|(q, _)| Arc::ptr_eq(q, &queue)).map(|(_, r)| r));
        queue.add_all(first, more);
    }
}

impl PlugList {
    fn take(&mut self) -> HeldBack {
        if self.requests.len() > 1 {
            return HeldBack::Several(core::mem::take(&mut self.requests));
        }
        self.requests.pop().map_or(HeldBack::Nothing, |(queue, request)| HeldBack::One(queue, request))
    }

    /// Puts the bio behind or before a request of the same queue, looking at the newest
    /// few. What is further back meets its neighbours when the list goes out, sorted.
    fn merge(&mut self, queue: &Arc<RequestQueue>, bio: Bio, shape: &Shape) -> Offered {
        if !mergeable(bio.op(), bio.flags) || queue.merges() == Merges::None {
            return Offered::Alone(bio);
        }
        let limits = queue.limits();
        for (q, request) in self.requests.iter_mut().rev().take(LOOK_BACK) {
            if !Arc::ptr_eq(q, queue) || !mergeable(request.op(), request.flags()) {
                continue;
            }
            if fits(&request.shape(), shape, &limits) {
                trace::bio_backmerge(queue.dev(), &bio);
                request.push_back(bio, *shape);
                return Offered::Merged;
            }
            if fits(shape, &request.shape(), &limits) {
                trace::bio_frontmerge(queue.dev(), &bio);
                request.push_front(bio, *shape);
                return Offered::Merged;
            }
            if fits_scattered(request, shape, &limits) {
                request.push_discard(bio, *shape);
                return Offered::Merged;
            }
        }
        Offered::Alone(bio)
    }
}
