//! The kernel's log: the `log` crate's macros, with Linux's levels and times.
//!
//! Every line goes into a ring (for dmesg and /dev/kmsg); lines more urgent than `loglevel=` also go
//! to the console. Lines from before there is a console appear when it comes.
//!
//! | `log` | Linux level | printed by default |
//! |---|---|---|
//! | error | 3 KERN_ERR | yes |
//! | warn | 4 KERN_WARNING | yes |
//! | info | 6 KERN_INFO | yes |
//! | debug | 7 KERN_DEBUG | no, `loglevel=8` or `debug` |
//! | trace | 8 | no, `loglevel=9` |
//!
//! # Locking
//! One spin lock for the ring, not held while the console is written. Usable in interrupt handlers.

use core::fmt::Write as _;
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use arrayvec::ArrayString;
use log::{Level, LevelFilter, Log, Metadata, Record};
use sync::SpinLock;

use crate::framing::Stream;
use crate::log_ring::LogRing;
use crate::{console, timer};

/// Bytes of a line at most; the rest is cut.
const LINE: usize = 512;
/// Linux's CONSOLE_LOGLEVEL_DEFAULT.
const DEFAULT_LEVEL: u8 = 7;

struct KernelLog;

static RING: SpinLock<LogRing> = SpinLock::new(LogRing::new());
static PRINT_BELOW: AtomicU8 = AtomicU8::new(DEFAULT_LEVEL);
static CONSOLE_READY: AtomicBool = AtomicBool::new(false);

/// Installs the logger. Lines are kept from here on.
pub fn init() {
    // The first logger stays; there is no other in the kernel.
    _ = log::set_logger(&KernelLog);
    log::set_max_level(LevelFilter::Info);
}

/// Prints messages of a level below `level` from now on.
pub fn set_level(level: u8) {
    PRINT_BELOW.store(level, Ordering::Relaxed);
    let most = match level {
        ..8 => LevelFilter::Info,
        8 => LevelFilter::Debug,
        9.. => LevelFilter::Trace,
    };
    log::set_max_level(most);
}

/// The console works: prints what was logged before. Only the first call does.
pub fn console_ready() {
    if CONSOLE_READY.swap(true, Ordering::Relaxed) {
        return;
    }
    let mut at = 0;
    let mut line = [0; LINE + 64];
    while let Some((next, text)) = RING.lock().line(at, &mut line) {
        at = next;
        print(text);
    }
}

/// A piece of the log from position `at` on (0: the oldest that is kept): the text of one line as
/// `<level>[time] message\n`, and the position of the next. None at the end.
pub fn read_line(at: u64, buf: &mut [u8]) -> Option<(u64, usize)> {
    RING.lock().line(at, buf).map(|(next, text)| (next, text.len()))
}

/// Prints `<level>text` if the level asks for it.
fn print(line: &[u8]) {
    let [b'<', level, b'>', text @ ..] = line else { return };
    if level - b'0' < PRINT_BELOW.load(Ordering::Relaxed) {
        console::write(Stream::Log, text);
    }
}

const fn linux_level(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug => 7,
        Level::Trace => 8,
    }
}

impl Log for KernelLog {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let us = timer::monotonic_ns() / 1000;
        let mut line = ArrayString::<LINE>::new();
        let (sec, us) = (us / 1_000_000, us % 1_000_000);
        // Too long a message is cut where the buffer ends.
        _ = write!(line, "<{}>[{sec:5}.{us:06}] {}", linux_level(record.level()), record.args());
        if line.is_full() {
            line.truncate(floor_char_boundary(&line, LINE - 1));
        }
        line.push('\n');
        RING.lock().push(line.as_bytes());
        if CONSOLE_READY.load(Ordering::Relaxed) {
            print(line.as_bytes());
        }
    }

    fn flush(&self) {}
}

/// The last character boundary at or before `at`.
fn floor_char_boundary(text: &str, at: usize) -> usize {
    (0..=at).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0)
}
