//! A record, and its text as Linux's `trace` file has it.
//!
//! ```text
//!           TASK-PID     CPU#  flags  TIMESTAMP  FUNCTION
//!             prog-1     [000] .....     2.522659: block_rq_issue: 254,0 WS 4096 () 17410 + 8 [prog]
//! ```
//! In memory it is fourteen words:
//!
//! | word | content |
//! |---|---|
//! | 0 | nanoseconds of CLOCK_MONOTONIC |
//! | 1 | event's number (16 bits), flags (8), 8 unused, thread's number (32) |
//! | 2, 3 | thread's name, 16 bytes |
//! | 4, 5 | text, 16 bytes |
//! | 6 … 13 | arguments |
//!
//! Source: Linux 6.1's output, compared in tests/qemu/trace.rs.

use core::fmt;

use super::ring::WORDS;
use super::{Context, Event, event_by_id};
use crate::units::DevId;

/// Most arguments of an event.
pub const MAX_ARGS: usize = WORDS - ARGS_AT;
const ARGS_AT: usize = 6;

/// What goes into a record.
pub(super) struct Fixed<'a> {
    pub ns: u64,
    pub id: u16,
    pub context: Context,
    pub args: &'a [u64],
    pub text: &'a str,
}

impl Fixed<'_> {
    pub fn words(&self) -> [u64; WORDS] {
        let flags = u64::from(self.context.flags.0);
        let mut text = [0; 16];
        for (to, from) in text.iter_mut().zip(self.text.bytes()) {
            *to = from;
        }
        let mut words = [0; WORDS];
        words[0] = self.ns;
        words[1] = u64::from(self.id) | flags << 16 | u64::from(self.context.pid) << 32;
        [words[2], words[3]] = packed(&self.context.comm);
        [words[4], words[5]] = packed(&text);
        for (to, from) in words.iter_mut().skip(ARGS_AT).zip(self.args) {
            *to = *from;
        }
        words
    }
}

fn packed(bytes: &[u8; 16]) -> [u64; 2] {
    let all = u128::from_le_bytes(*bytes);
    [all as u64, (all >> 64) as u64]
}

fn unpacked(low: u64, high: u64) -> [u8; 16] {
    (u128::from(low) | u128::from(high) << 64).to_le_bytes()
}

/// In what circumstances something happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RecordFlags(u8);

impl RecordFlags {
    /// Interrupts were masked.
    pub const IRQS_OFF: RecordFlags = RecordFlags(1);
    /// Another thread waits for the CPU.
    pub const NEED_RESCHED: RecordFlags = RecordFlags(2);
    /// In an interrupt handler.
    pub const HARDIRQ: RecordFlags = RecordFlags(4);

    /// With another one, if the condition holds.
    pub fn with(self, other: RecordFlags, condition: bool) -> RecordFlags {
        RecordFlags(if condition { self.0 | other.0 } else { self.0 })
    }

    /// Whether it has the other.
    pub fn has(self, other: RecordFlags) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Five letters, the last two of which are for what is not here: preemption of the kernel and moves
/// between CPUs.
impl fmt::Display for RecordFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = |flag, letter| if self.has(flag) { letter } else { '.' };
        let (irqs, resched) = (letter(Self::IRQS_OFF, 'd'), letter(Self::NEED_RESCHED, 'N'));
        write!(f, "{irqs}{resched}{}..", letter(Self::HARDIRQ, 'h'))
    }
}

/// One thing that happened. Its `Display` is what stands behind the event's name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    words: [u64; WORDS],
    comm: [u8; 16],
    text: [u8; 16],
}

impl Record {
    pub(super) fn from_words(words: &[u64; WORDS]) -> Record {
        Record { words: *words, comm: unpacked(words[2], words[3]), text: unpacked(words[4], words[5]) }
    }

    /// When, in nanoseconds of CLOCK_MONOTONIC.
    pub fn ns(&self) -> u64 {
        self.words[0]
    }

    /// The number of its event.
    pub fn id(&self) -> u16 {
        self.words[1] as u16
    }

    /// Its event.
    pub fn event(&self) -> Option<&'static Event> {
        event_by_id(self.id())
    }

    /// The thread's number.
    pub fn pid(&self) -> u32 {
        (self.words[1] >> 32) as u32
    }

    /// The thread's name.
    pub fn comm(&self) -> &str {
        shown(&self.comm)
    }

    /// The circumstances.
    pub fn flags(&self) -> RecordFlags {
        RecordFlags((self.words[1] >> 16) as u8)
    }

    /// The text that came with the arguments.
    pub fn text(&self) -> &str {
        shown(&self.text)
    }

    /// An argument, 0 where there is none.
    pub fn arg(&self, index: usize) -> u64 {
        self.words.get(index.saturating_add(ARGS_AT)).copied().unwrap_or(0)
    }

    /// An argument that may be negative.
    pub fn signed(&self, index: usize) -> i64 {
        self.arg(index) as i64
    }

    /// The record as a line of Linux's `trace`, without a newline.
    pub fn line(&self) -> Line<'_> {
        Line(self)
    }
}

/// What comes before the first zero, as far as it is text.
fn shown(bytes: &[u8; 16]) -> &str {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    let bytes = bytes.get(..end).unwrap_or_default();
    match core::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => bytes
            .get(..error.valid_up_to())
            .and_then(|valid| core::str::from_utf8(valid).ok())
            .unwrap_or_default(),
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.event() {
            Some(event) => (event.render)(self, f),
            None => write!(f, "unknown event {}", self.id()),
        }
    }
}

/// A whole line.
#[derive(Debug)]
pub struct Line<'a>(&'a Record);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record = self.0;
        let comm = if record.comm().is_empty() { "<...>" } else { record.comm() };
        let us = record.ns() / 1000;
        let (seconds, us) = (us / 1_000_000, us % 1_000_000);
        let (pid, flags) = (record.pid(), record.flags());
        write!(f, "{comm:>16}-{pid:<7} [000] {flags} {seconds:>5}.{us:06}: ")?;
        write!(f, "{}: {record}", record.event().map_or("", Event::name))
    }
}

/// The second part of what stands above the lines; the first one has counts ([`write_header`]).
pub const HEADER: &str = "\
#                                _-----=> irqs-off/BH-disabled
#                               / _----=> need-resched
#                              | / _---=> hardirq/softirq
#                              || / _--=> preempt-depth
#                              ||| / _-=> migrate-disable
#                              |||| /     delay
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
#              | |         |   |||||     |         |
";

/// What stands above the lines.
pub fn write_header(out: &mut dyn fmt::Write) -> fmt::Result {
    let counts = super::counts();
    let (there, written) = (counts.entries, counts.written);
    write!(out, "# tracer: nop\n#\n# entries-in-buffer/entries-written: {there}/{written}   #P:1\n#\n")?;
    out.write_str(HEADER)
}

/// A device number as an argument: `dev_t` as Linux has it inside, the minor number's 20 bits below the
/// major number.
pub const fn kdev(dev: DevId) -> u64 {
    (dev.major as u64) << 20 | dev.minor as u64
}

/// What [`kdev`] made, as events show it, `254,0`; `{:#}` as `254:0`.
pub struct Dev(pub u64);

impl fmt::Display for Dev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let between = if f.alternate() { ':' } else { ',' };
        write!(f, "{}{between}{}", self.0 >> 20, self.0 & 0xf_ffff)
    }
}

/// A set of flags by their names, with a text between (`__print_flags`). Bits without a name follow
/// in hexadecimal.
pub struct Symbols<'a> {
    /// The flags.
    pub bits: u64,
    /// The text between two names.
    pub between: &'a str,
    /// Mask and name.
    pub names: &'a [(u64, &'a str)],
}

impl fmt::Display for Symbols<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut left, mut between) = (self.bits, "");
        for (mask, name) in self.names {
            if *mask != 0 && left & mask == *mask {
                write!(f, "{between}{name}")?;
                (left, between) = (left & !mask, self.between);
            }
        }
        if left != 0 { write!(f, "{between}{left:#x}") } else { Ok(()) }
    }
}
