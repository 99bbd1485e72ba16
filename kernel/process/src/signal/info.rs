//! A signal, and what is told of it.

use core::fmt;

use base::{Errno, Result, UserAddr};

/// A signal's number, 1 to 64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(u8);

macro_rules! signals {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        impl Signal {
            $(
                #[doc = $text]
                pub const $name: Signal = Signal($number);
            )*

            /// "SIGSEGV"; "SIGRT" for the real-time ones.
            pub const fn name(self) -> &'static str {
                match self.0 {
                    $($number => concat!("SIG", stringify!($name)),)*
                    _ => "SIGRT",
                }
            }

            /// What strsignal(3) says.
            pub const fn text(self) -> &'static str {
                match self.0 {
                    $($number => $text,)*
                    _ => "Real-time signal",
                }
            }
        }
    };
}

signals! {
    HUP = 1, "Hangup";
    INT = 2, "Interrupt";
    QUIT = 3, "Quit";
    ILL = 4, "Illegal instruction";
    TRAP = 5, "Trace/breakpoint trap";
    ABRT = 6, "Aborted";
    BUS = 7, "Bus error";
    FPE = 8, "Floating point exception";
    KILL = 9, "Killed";
    USR1 = 10, "User defined signal 1";
    SEGV = 11, "Segmentation fault";
    USR2 = 12, "User defined signal 2";
    PIPE = 13, "Broken pipe";
    ALRM = 14, "Alarm clock";
    TERM = 15, "Terminated";
    STKFLT = 16, "Stack fault";
    CHLD = 17, "Child exited";
    CONT = 18, "Continued";
    STOP = 19, "Stopped (signal)";
    TSTP = 20, "Stopped";
    TTIN = 21, "Stopped (tty input)";
    TTOU = 22, "Stopped (tty output)";
    URG = 23, "Urgent I/O condition";
    XCPU = 24, "CPU time limit exceeded";
    XFSZ = 25, "File size limit exceeded";
    VTALRM = 26, "Virtual timer expired";
    PROF = 27, "Profiling timer expired";
    WINCH = 28, "Window changed";
    IO = 29, "I/O possible";
    PWR = 30, "Power failure";
    SYS = 31, "Bad system call";
}

/// How many signals there are (`_NSIG`).
pub const SIGNALS: usize = 64;

impl Signal {
    /// From a system call's argument. EINVAL.
    pub const fn from_user(number: u64) -> Result<Signal> {
        if number >= 1 && number <= SIGNALS as u64 { Ok(Signal(number as u8)) } else { Err(Errno::EINVAL) }
    }

    /// Its number.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// What a shell says of a program that it ended: 128 + number.
    pub const fn exit_status(self) -> u8 {
        128 + self.0
    }

    /// Whether the program cannot catch, block or ignore it.
    pub const fn is_absolute(self) -> bool {
        matches!(self, Signal::KILL | Signal::STOP)
    }

    /// Raised by the instruction that the program executes (`SYNCHRONOUS_MASK`): delivered first.
    pub const SYNCHRONOUS: SigSet = SigSet::of(Signal::SEGV)
        .with(Signal::BUS)
        .with(Signal::ILL)
        .with(Signal::TRAP)
        .with(Signal::FPE)
        .with(Signal::SYS);
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name(), self.0)
    }
}

/// A set of signals, bit n-1 for signal n, as the system calls pass it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[repr(transparent)]
pub struct SigSet(pub u64);

impl SigSet {
    /// The set of one.
    pub const fn of(signal: Signal) -> SigSet {
        SigSet(1 << (signal.0 - 1))
    }

    /// And this one.
    pub const fn with(self, signal: Signal) -> SigSet {
        SigSet(self.0 | SigSet::of(signal).0)
    }

    /// And not this one.
    pub const fn without(self, signal: Signal) -> SigSet {
        SigSet(self.0 & !SigSet::of(signal).0)
    }

    /// Whether it is in.
    pub const fn has(self, signal: Signal) -> bool {
        self.0 & SigSet::of(signal).0 != 0
    }

    /// What can be blocked: all but KILL and STOP.
    pub const fn blockable(self) -> SigSet {
        self.without(Signal::KILL).without(Signal::STOP)
    }

    /// The one with the lowest number.
    pub const fn first(self) -> Option<Signal> {
        if self.0 == 0 { None } else { Some(Signal(self.0.trailing_zeros() as u8 + 1)) }
    }
}

/// `si_code` values. Source: `include/uapi/asm-generic/siginfo.h`.
pub mod code {
    /// By kill(2).
    pub const SI_USER: i32 = 0;
    /// By the kernel.
    pub const SI_KERNEL: i32 = 0x80;
    /// By sigqueue(3).
    pub const SI_QUEUE: i32 = -1;
    /// By tkill(2) or tgkill(2).
    pub const SI_TKILL: i32 = -6;
    /// SIGSEGV: nothing is mapped there.
    pub const SEGV_MAPERR: i32 = 1;
    /// SIGSEGV: what is mapped there forbids it.
    pub const SEGV_ACCERR: i32 = 2;
    /// SIGBUS: a misaligned address.
    pub const BUS_ADRALN: i32 = 1;
    /// SIGBUS: no such memory, past a file's end.
    pub const BUS_ADRERR: i32 = 2;
}

/// What is told of a signal (`siginfo_t`, the parts Quill has a use for).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SigInfo {
    /// Which.
    pub signal: Signal,
    /// `si_code`.
    pub code: i32,
    /// The rest.
    pub detail: Detail,
}

/// The part of `siginfo_t` that depends on the cause.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Detail {
    /// Nothing.
    None,
    /// `si_addr`: where the fault was.
    Address(UserAddr),
    /// `si_pid` and `si_uid`: who sent it.
    Sender {
        /// The process.
        pid: u32,
        /// Its user.
        uid: u32,
    },
    /// What the caller of rt_sigqueueinfo(2) gave: `siginfo_t` from its union on, as far as anybody
    /// fills it.
    Given([u8; GIVEN]),
}

/// `si_pid`, `si_uid` and `si_value`.
pub const GIVEN: usize = 16;

impl SigInfo {
    /// A fault of the program.
    pub const fn fault(signal: Signal, code: i32, addr: UserAddr) -> SigInfo {
        SigInfo { signal, code, detail: Detail::Address(addr) }
    }

    /// By the kernel's own decision.
    pub const fn kernel(signal: Signal) -> SigInfo {
        SigInfo { signal, code: code::SI_KERNEL, detail: Detail::None }
    }

    /// By kill(2), or tkill(2) with [`code::SI_TKILL`].
    pub const fn sent(signal: Signal, code: i32, pid: u32, uid: u32) -> SigInfo {
        SigInfo { signal, code, detail: Detail::Sender { pid, uid } }
    }

    /// As Linux/arm64 lays it out: signo, errno, code, padding, then the union.
    pub fn to_bytes(&self) -> [u8; 128] {
        let mut out = [0; 128];
        out[..4].copy_from_slice(&u32::from(self.signal.0).to_le_bytes());
        out[8..12].copy_from_slice(&self.code.to_le_bytes());
        match self.detail {
            Detail::None => {}
            Detail::Address(addr) => out[16..24].copy_from_slice(&addr.0.to_le_bytes()),
            Detail::Given(bytes) => out[16..16 + GIVEN].copy_from_slice(&bytes),
            Detail::Sender { pid, uid } => {
                out[16..20].copy_from_slice(&pid.to_le_bytes());
                out[20..24].copy_from_slice(&uid.to_le_bytes());
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn sets() {
        let set = SigSet::of(Signal::SEGV).with(Signal::KILL).with(Signal::HUP);
        assert!(set.has(Signal::SEGV) && !set.has(Signal::BUS));
        assert_eq!(set.first(), Some(Signal::HUP));
        assert_eq!(set.blockable(), SigSet(1 << 10 | 1));
        assert_eq!(SigSet::default().first(), None);
        assert_eq!(SigSet(1 << 63).first().map(Signal::number), Some(64));
    }

    #[test]
    fn names() {
        assert_eq!(format!("{:?}", Signal::SEGV), "SIGSEGV(11)");
        assert_eq!(Signal::SEGV.exit_status(), 139);
        assert_eq!(Signal::from_user(0), Err(Errno::EINVAL));
        assert_eq!(Signal::from_user(65), Err(Errno::EINVAL));
        assert_eq!(Signal::from_user(34).map(Signal::name), Ok("SIGRT"));
    }

    #[test]
    fn siginfo_is_linux_s() {
        let bytes = SigInfo::fault(Signal::SEGV, code::SEGV_ACCERR, UserAddr(0x1234_5678_9abc)).to_bytes();
        assert_eq!(bytes[..4], 11u32.to_le_bytes());
        assert_eq!(bytes[8..12], 2u32.to_le_bytes());
        assert_eq!(bytes[16..24], 0x1234_5678_9abcu64.to_le_bytes());
        let bytes = SigInfo::sent(Signal::TERM, code::SI_TKILL, 1, 1000).to_bytes();
        assert_eq!(bytes[8..12], (-6i32).to_le_bytes());
        assert_eq!(bytes[16..20], 1u32.to_le_bytes());
    }
}
