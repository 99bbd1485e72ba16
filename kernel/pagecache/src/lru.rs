//! Which page goes first when memory runs short: the active and the inactive list.
//!
//! ```text
//!                 new                                      used again while it was inactive
//!                  |              +----------------------------------------------+
//!                  v              |                                              v
//!   freed <--- [ inactive list ]--+      [ active list ]  <----------------------+
//!      tail of the list  ^                      | tail, when it is the longer of the two
//!                        +----------------------+
//! ```
//! A page that reclaim has freed and that is read again soon comes to the active list at once: `workingset.rs`.
//!
//! A page that is read or written once passes through the inactive list and is freed at its end: a file
//! read from front to back does not push out what is used all the time. Who uses a page sets a bit of it
//! and nothing else ([`Page::mark_accessed`]); only reclaim looks at the bits and moves pages.
//!
//! Source: the two lists as chapter 10 of Gorman's "Understanding the Linux Virtual Memory Manager" and the
//! comment at the head of Linux's mm/workingset.c describe them; what a use does, as mark_page_accessed.
//!
//! # Data model
//! Doubly linked lists through a table of nodes; a page knows its node's number (0: in no list). A node
//! has a weak handle, so the lists keep no page alive.
//!
//! # Locking
//! One SpinLock, a leaf, also taken at the end of an I/O (interrupt). A page's node number changes under
//! it. Who takes a page out of its mapping clears ATTACHED first and comes here after, and nobody puts back
//! a page that is not ATTACHED: so none stays in a list that is in no mapping.
//!
//! # Invariants
//! 1. A page is in a list exactly when its number is not 0; then `nodes[number]` is its node.
//! 2. ACTIVE of a page is set exactly while it is in the active list, or on its way to it.

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use sync::SpinLock;

use crate::mapping::{BATCH, Batch};
use crate::page::{self, Page};

/// Which list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum List {
    /// Pages that were used again after they came.
    Active = 0,
    /// The others; the tail goes first.
    Inactive = 1,
}

/// Nodes made at a time.
const CHUNK: usize = 256;

#[derive(Default)]
struct Node {
    page: Option<Weak<Page>>,
    prev: u32,
    next: u32,
    list: Option<List>,
}

/// First and last node, 0 for none.
#[derive(Clone, Copy)]
struct Ends {
    first: u32,
    last: u32,
}

struct Lru {
    /// Number n is node n - 1. Free nodes are linked by `next`.
    chunks: Vec<Box<[Node]>>,
    free: u32,
    ends: [Ends; 2],
}

static LRU: SpinLock<Lru> =
    SpinLock::new(Lru { chunks: Vec::new(), free: 0, ends: [Ends { first: 0, last: 0 }; 2] });
static LENGTHS: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

/// Pages in a list.
pub(crate) fn len(list: List) -> usize {
    LENGTHS[list as usize].load(Ordering::Relaxed)
}

/// Puts a page at the head of a list, unless it is no longer in its mapping.
pub(crate) fn add(page: &Arc<Page>, list: List) {
    let weak = Arc::downgrade(page);
    let mut lru = LRU.lock();
    if !page.has(page::ATTACHED) || page.lru().load(Ordering::Relaxed) != 0 {
        drop(lru);
        // With the lock free: it may be the last handle.
        drop(weak);
        return;
    }
    match list {
        List::Active => page.state().fetch_or(page::ACTIVE, Ordering::Relaxed),
        List::Inactive => page.state().fetch_and(!page::ACTIVE, Ordering::Relaxed),
    };
    let number = lru.take_node();
    page.lru().store(number, Ordering::Relaxed);
    *lru.node(number) = Node { page: Some(weak), prev: 0, next: 0, list: Some(list) };
    lru.link_first(number, list);
}

/// The page is out of its mapping: it leaves its list. Nothing to do when it is in none.
pub(crate) fn remove(page: &Page) {
    let gone = {
        let mut lru = LRU.lock();
        match page.lru().swap(0, Ordering::Relaxed) {
            0 => None,
            number => lru.take_out(number),
        }
    };
    drop(gone);
}

/// Writing of a page that reclaim wants has ended: it is the next to go. In an interrupt, perhaps.
pub(crate) fn rotate(page: &Page) {
    let mut lru = LRU.lock();
    let number = page.lru().load(Ordering::Relaxed);
    if number != 0 && lru.node(number).list == Some(List::Inactive) {
        lru.unlink(number);
        lru.link_last(number, List::Inactive);
    }
}

/// Takes up to `want` pages out of a list, from the tail on, for the caller to free or to [`add`] again.
pub(crate) fn isolate(list: List, want: usize) -> Batch {
    let mut batch = Batch::new();
    let mut lru = LRU.lock();
    while batch.len() < want.min(BATCH) {
        let number = lru.ends[list as usize].last;
        if number == 0 {
            break;
        }
        let Some(weak) = lru.take_out(number) else { break };
        if let Some(page) = weak.upgrade() {
            page.lru().store(0, Ordering::Relaxed);
            batch.push(page);
        }
    }
    batch
}

impl Lru {
    fn node(&mut self, number: u32) -> &mut Node {
        // A number that is not 0 is given out by `take_node` alone, so it fits and is in range.
        let index = number as usize - 1;
        &mut self.chunks[index / CHUNK][index % CHUNK]
    }

    fn take_node(&mut self) -> u32 {
        if self.free == 0 {
            let first = self.chunks.len() * CHUNK + 1;
            let node =
                |i| Node { next: if i + 1 < CHUNK { (first + i + 1) as u32 } else { 0 }, ..Node::default() };
            self.chunks.push((0..CHUNK).map(node).collect());
            // 2^32 pages are more memory than there is.
            self.free = first as u32;
        }
        let number = self.free;
        self.free = self.node(number).next;
        number
    }

    /// Unlinks a node and frees it; its handle is for the caller to drop.
    fn take_out(&mut self, number: u32) -> Option<Weak<Page>> {
        self.unlink(number);
        let free = self.free;
        let node = self.node(number);
        let page = node.page.take();
        (node.list, node.next) = (None, free);
        self.free = number;
        page
    }

    fn unlink(&mut self, number: u32) {
        let node = self.node(number);
        let (prev, next) = (node.prev, node.next);
        let Some(list) = node.list else { return };
        match prev {
            0 => self.ends[list as usize].first = next,
            _ => self.node(prev).next = next,
        }
        match next {
            0 => self.ends[list as usize].last = prev,
            _ => self.node(next).prev = prev,
        }
        LENGTHS[list as usize].fetch_sub(1, Ordering::Relaxed);
    }

    fn link_first(&mut self, number: u32, list: List) {
        let next = core::mem::replace(&mut self.ends[list as usize].first, number);
        match next {
            0 => self.ends[list as usize].last = number,
            _ => self.node(next).prev = number,
        }
        (self.node(number).prev, self.node(number).next) = (0, next);
        LENGTHS[list as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn link_last(&mut self, number: u32, list: List) {
        let prev = core::mem::replace(&mut self.ends[list as usize].last, number);
        match prev {
            0 => self.ends[list as usize].first = number,
            _ => self.node(prev).next = number,
        }
        (self.node(number).prev, self.node(number).next) = (prev, 0);
        LENGTHS[list as usize].fetch_add(1, Ordering::Relaxed);
    }
}
