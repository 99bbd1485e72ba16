//! Trace points: what the kernel does, as a sequence of small typed records (docs/tracing.md).
//!
//! Each layer declares its events in one file, `trace.rs`, with a function for each, and calls them
//! where the thing happens:
//!
//! ```
//! use base::trace::{Event, Record};
//! static SQUARED: Event = Event::new("math", "squared", &["u64 root", "u64 square"], |record, out| {
//!     write!(out, "{} -> {}", record.arg(0), record.arg(1))
//! });
//! pub static EVENTS: [&Event; 1] = [&SQUARED];
//!
//! pub fn squared(root: u64) {
//!     SQUARED.emit(move || [root, root * root]);
//! }
//!
//! base::trace::register(&EVENTS);               // once, by `boot`
//! base::trace::set_events("math:*", true).unwrap();
//! squared(12);
//! let mut reader = base::trace::Reader::new();
//! let base::trace::Read::Record(record) = reader.read() else { panic!() };
//! assert_eq!((record.event().unwrap().name(), record.to_string()), ("squared", "12 -> 144".into()));
//! ```
//!
//! An event that is off costs a load, a test and a branch not taken; its arguments are not even
//! computed. One that is on stores 120 bytes into a ring (`ring.rs`), which overwrites its oldest
//! record when it is full. Text is made when somebody reads (`record.rs`), in the form and with the
//! fields of Linux's ftrace.
//!
//! # Locking
//! Emitting takes no lock and allocates nothing, so it may stand in an interrupt handler and under
//! any lock. Reading and setting are for threads. Nobody is woken when a record comes, as that would
//! take locks wherever a trace point stands: who waits for records looks again every so often.
//!
//! # Invariants
//! 1. An event is recorded only if it was registered before it was enabled.
//!
//! Source: Linux, Documentation/trace/events.rst and ftrace.rst.

mod buffer;
mod record;
mod registry;
mod ring;
#[cfg(test)]
mod tests;

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use spin::Once;

pub use buffer::{
    Counts, DEFAULT_SIZE, Read, Reader, buffer_size, clear, consume, counts, is_on, set_buffer_size, set_on,
    set_printer,
};
pub use record::{Dev, HEADER, Line, MAX_ARGS, Record, RecordFlags, Symbols, kdev, write_header};
pub use registry::{event_by_id, events, register, set_event, set_events};

/// How a record of an event becomes text: the part behind `name: `.
pub type Render = fn(&Record, &mut dyn fmt::Write) -> fmt::Result;

/// One kind of event. Only as a `static`, listed in its layer's `EVENTS`.
pub struct Event {
    enabled: AtomicBool,
    /// Its place in the registry, from 1.
    id: AtomicU16,
    system: &'static str,
    name: &'static str,
    fields: &'static [&'static str],
    render: Render,
}

impl Event {
    /// An event `system:name`. `fields` names its arguments, a C declaration each, in their order.
    pub const fn new(
        system: &'static str,
        name: &'static str,
        fields: &'static [&'static str],
        render: Render,
    ) -> Event {
        Event { enabled: AtomicBool::new(false), id: AtomicU16::new(0), system, name, fields, render }
    }

    /// The group it belongs to: `block`.
    pub fn system(&self) -> &'static str {
        self.system
    }

    /// Its name within the group: `block_rq_issue`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its number, from 1; 0 before it is registered.
    pub fn id(&self) -> u16 {
        self.id.load(Ordering::Relaxed)
    }

    /// What its arguments are: `dev_t dev`, `sector_t sector`, ….
    pub fn fields(&self) -> &'static [&'static str] {
        self.fields
    }

    /// Whether it is recorded.
    #[inline(always)]
    pub fn enabled(&self) -> bool {
        self.enabled.load(Ordering::Relaxed)
    }

    /// The thing happens. `args` is called only when somebody wants to know. Let it be a `move` closure:
    /// one that borrows keeps the caller's values in memory, also when nobody asks.
    #[inline(always)]
    pub fn emit<const N: usize>(&self, args: impl FnOnce() -> [u64; N]) {
        if self.enabled() {
            self.record(|| (args(), ""));
        }
    }

    /// The same with a short text, such as the name of a disk; what exceeds 16 bytes is cut off.
    #[inline(always)]
    pub fn emit_named<'a, const N: usize>(&self, args: impl FnOnce() -> ([u64; N], &'a str)) {
        if self.enabled() {
            self.record(args);
        }
    }

    #[cold]
    #[inline(never)]
    fn record<'a, const N: usize>(&self, args: impl FnOnce() -> ([u64; N], &'a str)) {
        const { assert!(N <= MAX_ARGS) };
        let (args, text) = args();
        buffer::push(self.id(), &args, text);
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.system, self.name)
    }
}

/// Who is doing something, as a record keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Context {
    /// The thread's number.
    pub pid: u32,
    /// Its name, padded with zeros.
    pub comm: [u8; 16],
    /// Its circumstances.
    pub flags: RecordFlags,
}

impl Context {
    /// A thread of that name; what exceeds 15 bytes is cut off.
    pub fn named(pid: u32, name: &[u8]) -> Context {
        let mut comm = [0; 16];
        for (to, from) in comm.iter_mut().take(15).zip(name) {
            *to = *from;
        }
        Context { pid, comm, flags: RecordFlags::default() }
    }
}

static CONTEXT: Once<fn() -> Context> = Once::new();

/// Installs what tells who is at work. It is called with any lock held, also in interrupts. The first
/// call wins; until then it is thread 0 without a name.
pub fn set_context(hook: fn() -> Context) {
    CONTEXT.call_once(|| hook);
}

fn context() -> Context {
    CONTEXT.get().map_or_else(Context::default, |hook| hook())
}
