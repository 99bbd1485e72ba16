//! The one ring of the kernel: on, off, its size, and those who read it.
//!
//! Reading is of two kinds, as with Linux's files: [`Reader`] looks from the oldest record on and
//! leaves everything there (`trace`), [`consume`] takes the oldest away (`trace_pipe`).
//!
//! # Locking
//! `RING` is a read-write spin lock that writers of records only try: it is held for writing while a
//! pointer is exchanged, and a record that comes in that moment counts as dropped.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use spin::{Once, RwLock};

use super::record::{Fixed, Record};
use super::ring::{At, RECORD_BYTES, Ring};
use crate::errno::Result;

/// How large the ring is when nobody says: what Linux takes for each CPU.
pub const DEFAULT_SIZE: usize = 1408 << 10;

/// Larger than this no ring becomes: 256 MiB.
const MAX_SIZE: usize = 256 << 20;

static RING: RwLock<Option<Arc<Ring>>> = RwLock::new(None);
static ON: AtomicBool = AtomicBool::new(true);
/// In bytes, as it was asked for.
static SIZE: AtomicUsize = AtomicUsize::new(DEFAULT_SIZE);
/// The first ticket that is neither consumed nor cleared.
static START: AtomicU64 = AtomicU64::new(0);
/// The ticket at the last `clear`.
static CLEARED: AtomicU64 = AtomicU64::new(0);
/// Records that a consumer came too late for, since the last `clear`.
static MISSED: AtomicU64 = AtomicU64::new(0);
/// Records that came while the ring was exchanged, or before there was one; and those that former
/// rings dropped.
static UNHELD: AtomicU64 = AtomicU64::new(0);
/// The dropped records at the last `clear`.
static FORGIVEN: AtomicU64 = AtomicU64::new(0);

/// Stores one record.
pub(super) fn push(id: u16, args: &[u64], text: &str) {
    if !is_on() {
        return;
    }
    let record = Fixed { ns: crate::time::monotonic_ns(), id, context: super::context(), args, text };
    let words = record.words();
    match RING.try_read().as_deref() {
        Some(Some(ring)) => ring.push(&words),
        _ => _ = UNHELD.fetch_add(1, Ordering::Relaxed),
    }
    if let Some(print) = PRINTER.get() {
        print(&Record::from_words(&words));
    }
}

/// Where records go besides the ring.
static PRINTER: Once<fn(&Record)> = Once::new();

/// From now on every record is also given to `print`, as it comes: with any lock held, also in
/// interrupts (Linux's `tp_printk`). The first call wins.
pub fn set_printer(print: fn(&Record)) {
    PRINTER.call_once(|| print);
}

/// Whether enabled events are recorded (`tracing_on`).
pub fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// Stops and starts the recording of all that is enabled; what is there stays.
pub fn set_on(on: bool) {
    ON.store(on, Ordering::Relaxed);
}

/// The ring, if there is one: it comes with the first event that is enabled.
fn ring() -> Option<Arc<Ring>> {
    RING.read().clone()
}

/// Sees to it that there is a ring. ENOMEM.
pub(super) fn prepare() -> Result<()> {
    if ring().is_some() {
        return Ok(());
    }
    exchange(buffer_size())
}

/// The size of the ring in bytes, or which it will have when it is made.
pub fn buffer_size() -> usize {
    SIZE.load(Ordering::Relaxed)
}

/// Gives the ring another size, between a page and 256 MiB; what it held is gone. It is made at once
/// only if there is one already. ENOMEM.
pub fn set_buffer_size(bytes: usize) -> Result<()> {
    let bytes = bytes.clamp(crate::PAGE_SIZE, MAX_SIZE);
    if ring().is_some() {
        exchange(bytes)?;
    }
    SIZE.store(bytes, Ordering::Relaxed);
    Ok(())
}

fn exchange(bytes: usize) -> Result<()> {
    let head = ring().map_or(0, |ring| ring.head());
    // Tickets go on, so that no reader's place comes twice; room for those of the next moment.
    let fresh = Arc::new(Ring::new(bytes / RECORD_BYTES, head.saturating_add(1 << 20))?);
    START.store(fresh.head(), Ordering::Relaxed);
    CLEARED.store(fresh.head(), Ordering::Relaxed);
    let old = RING.write().replace(fresh);
    UNHELD.fetch_add(old.map_or(0, |ring| ring.dropped()), Ordering::Relaxed);
    Ok(())
}

/// Forgets every record and the counts.
pub fn clear() {
    let head = ring().map_or(0, |ring| ring.head());
    START.store(head, Ordering::Relaxed);
    CLEARED.store(head, Ordering::Relaxed);
    MISSED.store(0, Ordering::Relaxed);
    FORGIVEN.store(dropped_ever(), Ordering::Relaxed);
}

fn dropped_ever() -> u64 {
    UNHELD.load(Ordering::Relaxed) + ring().map_or(0, |ring| ring.dropped())
}

/// How much there is, since the last [`clear`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Records that can be read.
    pub entries: u64,
    /// Records that were written.
    pub written: u64,
    /// Records that were overwritten before anybody consumed them (Linux's `overrun`).
    pub overrun: u64,
    /// Records that could not be stored at all (`dropped events`).
    pub dropped: u64,
}

/// How much there is.
pub fn counts() -> Counts {
    let dropped = dropped_ever().saturating_sub(FORGIVEN.load(Ordering::Relaxed));
    let Some(ring) = ring() else { return Counts { dropped, ..Counts::default() } };
    let (head, start) = (ring.head(), START.load(Ordering::Relaxed));
    let oldest = ring.oldest().max(start);
    Counts {
        entries: head.saturating_sub(oldest),
        written: head.saturating_sub(CLEARED.load(Ordering::Relaxed)),
        overrun: MISSED.load(Ordering::Relaxed) + oldest.saturating_sub(start),
        dropped,
    }
}

/// What a reader gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Read {
    /// The next record.
    Record(Record),
    /// So many records were overwritten before they could be read; the next read goes on behind.
    Lost(u64),
    /// Nothing more, for now.
    End,
}

/// What stands at `ticket` or next to it, and where to go on.
fn read_at(ring: &Ring, ticket: u64) -> (Read, u64) {
    let oldest = ring.oldest();
    if ticket < oldest {
        return (Read::Lost(oldest - ticket), oldest);
    }
    match ring.read(ticket) {
        At::Whole(words) => (Read::Record(Record::from_words(&words)), ticket + 1),
        At::Gone => (Read::Lost(1), ticket + 1),
        At::NotYet => (Read::End, ticket),
    }
}

/// A place in the ring, for reading without taking away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reader {
    next: u64,
}

impl Reader {
    /// At the oldest record that is there.
    #[expect(clippy::new_without_default, reason = "where it stands depends on when it is made")]
    pub fn new() -> Reader {
        let oldest = ring().map_or(0, |ring| ring.oldest());
        Reader { next: oldest.max(START.load(Ordering::Relaxed)) }
    }

    /// The next record, and moves on. What was consumed or cleared meanwhile is passed over.
    pub fn read(&mut self) -> Read {
        self.next = self.next.max(START.load(Ordering::Relaxed));
        let Some(ring) = ring() else { return Read::End };
        let (read, next) = read_at(&ring, self.next);
        self.next = next;
        read
    }
}

/// Takes the oldest record away. Does not wait.
pub fn consume() -> Read {
    loop {
        let Some(ring) = ring() else { return Read::End };
        let start = START.load(Ordering::Relaxed);
        let (read, next) = read_at(&ring, start);
        // Somebody else took it, or cleared: again.
        if START.compare_exchange(start, next, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            continue;
        }
        if let Read::Lost(n) = read {
            MISSED.fetch_add(n, Ordering::Relaxed);
        }
        return read;
    }
}
