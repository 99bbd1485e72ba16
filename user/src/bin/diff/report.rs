//! A line a call, and the signals that came meanwhile.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

use user::{println, sys};

const SIGBUS: i32 = 7;
const SIGSEGV: i32 = 11;
const SIGPIPE: i32 = 13;
const SIGALRM: i32 = 14;
const SIGXFSZ: i32 = 25;

/// Where `pc` lies in what a handler is given: `uc_mcontext.pc` of `struct ucontext`.
const PC: usize = 440;

static NUMBER: AtomicU64 = AtomicU64::new(0);
static SIGNALS: [AtomicU32; 32] = [const { AtomicU32::new(0) }; 32];
static CODE: AtomicI32 = AtomicI32::new(0);

/// Goes on behind the instruction that touched what is not there.
extern "C" fn on_fault(signal: i32, info: *const i32, context: *mut u8) {
    count(signal);
    // SAFETY: the kernel put a siginfo there, `si_code` its third word, and a ucontext.
    unsafe {
        CODE.store(info.add(2).read(), Ordering::Relaxed);
        let pc = context.add(PC).cast::<usize>();
        pc.write(pc.read() + 4);
    }
}

extern "C" fn on_signal(signal: i32) {
    count(signal);
}

fn count(signal: i32) {
    if SIGNALS[signal as usize & 31].fetch_add(1, Ordering::Relaxed) > 8 {
        println!("too many of signal {signal}");
        sys::exit(2);
    }
}

/// Signals are counted, and faults of `load` and `store` passed over.
pub fn catch_signals() {
    const SA_SIGINFO: usize = 4;
    for signal in [SIGBUS, SIGSEGV] {
        let action = [on_fault as *const () as usize, SA_SIGINFO, 0, 0];
        sys::rt_sigaction(signal, action.as_ptr() as usize, 0, 8);
    }
    for signal in [SIGPIPE, SIGALRM, SIGXFSZ] {
        let action = [on_signal as *const () as usize, 0, 0, 0];
        sys::rt_sigaction(signal, action.as_ptr() as usize, 0, 8);
    }
}

/// The next call is number `n`.
pub fn begin(n: u64) {
    NUMBER.store(n, Ordering::Relaxed);
}

/// What a call answered: its number, or the errno's name.
pub struct Answer(pub isize);

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match ERRNOS.iter().find(|(number, _)| -number == self.0) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

const ERRNOS: [(isize, &str); 36] = [
    (1, "EPERM"),
    (2, "ENOENT"),
    (4, "EINTR"),
    (5, "EIO"),
    (6, "ENXIO"),
    (7, "E2BIG"),
    (9, "EBADF"),
    (11, "EAGAIN"),
    (12, "ENOMEM"),
    (13, "EACCES"),
    (14, "EFAULT"),
    (16, "EBUSY"),
    (17, "EEXIST"),
    (18, "EXDEV"),
    (19, "ENODEV"),
    (20, "ENOTDIR"),
    (21, "EISDIR"),
    (22, "EINVAL"),
    (24, "EMFILE"),
    (25, "ENOTTY"),
    (26, "ETXTBSY"),
    (27, "EFBIG"),
    (28, "ENOSPC"),
    (29, "ESPIPE"),
    (30, "EROFS"),
    (31, "EMLINK"),
    (32, "EPIPE"),
    (34, "ERANGE"),
    (36, "ENAMETOOLONG"),
    (38, "ENOSYS"),
    (39, "ENOTEMPTY"),
    (40, "ELOOP"),
    (61, "ENODATA"),
    (75, "EOVERFLOW"),
    (95, "EOPNOTSUPP"),
    (117, "EUCLEAN"),
];

/// The line of a call: what was asked, what was answered, and more when there is more.
pub fn line(asked: fmt::Arguments<'_>, answer: isize, more: fmt::Arguments<'_>) {
    let mut line = Line::new();
    // A line that is too long loses its end.
    let _ = write!(line, "{} {asked} = {} {more}", NUMBER.load(Ordering::Relaxed), Answer(answer));
    for (signal, count) in SIGNALS.iter().enumerate() {
        let count = count.swap(0, Ordering::Relaxed);
        if count > 0 {
            let _ = write!(line, " signal {signal} x{count}");
            if signal as i32 == SIGBUS || signal as i32 == SIGSEGV {
                let _ = write!(line, " code {}", CODE.load(Ordering::Relaxed));
            }
        }
    }
    println!("{}", line.text());
}

/// The line of a call that says no more than its answer.
#[macro_export]
macro_rules! say {
    ($answer:expr, $($asked:tt)*) => {
        $crate::report::line(format_args!($($asked)*), $answer, format_args!(""))
    };
}

struct Line {
    bytes: [u8; 400],
    used: usize,
}

impl Line {
    fn new() -> Line {
        Line { bytes: [0; 400], used: 0 }
    }

    fn text(&mut self) -> &str {
        let used = self.used;
        core::str::from_utf8(&self.bytes[..used]).unwrap_or("?")
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let at = self.used;
        let room = self.bytes.get_mut(at..at + text.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.used += text.len();
        Ok(())
    }
}

/// A checksum of bytes (FNV-1a of their words).
pub fn sum(bytes: &[u8]) -> u32 {
    let mut sum = 0xcbf2_9ce4_8422_2325u64;
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        let word = word.iter().rev().fold(0, |all, &byte| all << 8 | u64::from(byte));
        sum = (sum ^ word).wrapping_mul(0x100_0000_01b3);
        sum ^= sum >> 29;
    }
    for &byte in words.remainder() {
        sum = (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    }
    (sum ^ sum >> 32) as u32
}
