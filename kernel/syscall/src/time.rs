//! Clocks, sleep and the timer: clock_gettime(2), nanosleep(2), gettimeofday(2), times(2), setitimer(2).
//!
//! Quill counts no CPU time apart: one program runs, and the CPU-time clocks tell the time since it
//! started.

use base::time::{COARSE_NS, NSEC_PER_SEC, coarse_now, monotonic_ns, now};
use base::{Errno, Result, Timespec, UserAddr};

use process::alarm::Timer;

use crate::abi::{self, KernelTimespec, KernelTimeval};
use crate::args::Args;
use crate::context::Cx;

const CLOCK_REALTIME: i32 = 0;
const CLOCK_MONOTONIC: i32 = 1;
const CLOCK_PROCESS_CPUTIME_ID: i32 = 2;
const CLOCK_THREAD_CPUTIME_ID: i32 = 3;
const CLOCK_MONOTONIC_RAW: i32 = 4;
const CLOCK_REALTIME_COARSE: i32 = 5;
const CLOCK_MONOTONIC_COARSE: i32 = 6;
const CLOCK_BOOTTIME: i32 = 7;
const CLOCK_TAI: i32 = 11;

const TIMER_ABSTIME: i32 = 1;
/// USER_HZ: what times(2) counts in.
const CLOCK_TICKS: u64 = 100;

/// What a clock shows. EINVAL for a clock that is none.
fn read_clock(cx: &Cx<'_>, clock: i32) -> Result<Timespec> {
    Ok(match clock {
        CLOCK_REALTIME | CLOCK_TAI => now(),
        CLOCK_MONOTONIC | CLOCK_MONOTONIC_RAW | CLOCK_BOOTTIME => Timespec::from_ns(monotonic_ns()),
        CLOCK_REALTIME_COARSE => coarse_now(),
        CLOCK_MONOTONIC_COARSE => {
            let ns = monotonic_ns();
            Timespec::from_ns(ns - ns % COARSE_NS)
        }
        CLOCK_PROCESS_CPUTIME_ID | CLOCK_THREAD_CPUTIME_ID => Timespec::from_ns(cx.run_time_ns()),
        _ => return Err(Errno::EINVAL),
    })
}

/// clock_gettime(2).
pub fn clock_gettime(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let time = KernelTimespec::from(read_clock(cx, args.int(0))?);
    abi::put(cx.memory(), args.addr(1), &time)?;
    Ok(0)
}

/// clock_getres(2). The second argument may be NULL.
pub fn clock_getres(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    read_clock(cx, args.int(0))?;
    let ns = match args.int(0) {
        CLOCK_REALTIME_COARSE | CLOCK_MONOTONIC_COARSE => COARSE_NS,
        _ => 1,
    };
    if let Some(at) = args.optional_addr(1) {
        abi::put(cx.memory(), at, &KernelTimespec::from(Timespec::from_ns(ns)))?;
    }
    Ok(0)
}

/// gettimeofday(2). Both arguments may be NULL; the time zone is UTC.
pub fn gettimeofday(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    if let Some(at) = args.optional_addr(0) {
        let time = now();
        let value = KernelTimeval { tv_sec: time.sec, tv_usec: i64::from(time.nsec / 1000) };
        abi::put(cx.memory(), at, &value)?;
    }
    if let Some(at) = args.optional_addr(1) {
        abi::put(cx.memory(), at, &[0i32; 2])?;
    }
    Ok(0)
}

/// Sleeps; what was left when a signal came.
fn sleep(cx: &Cx<'_>, span: u64) -> Option<u64> {
    let until = monotonic_ns().saturating_add(span);
    cx.process.signals().sleep(Some(span), || monotonic_ns() >= until);
    let left = until.saturating_sub(monotonic_ns());
    (left > 0).then_some(left)
}

/// Sleeps; when a signal comes first, EINTR and what is left goes to `remainder`.
fn sleep_and_tell(cx: &Cx<'_>, span: u64, remainder: Option<UserAddr>) -> Result<u64> {
    let Some(left) = sleep(cx, span) else { return Ok(0) };
    if let Some(at) = remainder {
        abi::put(cx.memory(), at, &KernelTimespec::from(Timespec::from_ns(left)))?;
    }
    Err(Errno::EINTR)
}

/// nanosleep(2).
pub fn nanosleep(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let span: KernelTimespec = abi::get(cx.memory(), args.addr(0))?;
    sleep_and_tell(cx, span.span_ns()?, args.optional_addr(1))
}

/// clock_nanosleep(2): EINVAL for a thread's CPU clock, EOPNOTSUPP for one that cannot be slept on.
pub fn clock_nanosleep(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    match args.int(0) {
        CLOCK_REALTIME | CLOCK_MONOTONIC | CLOCK_BOOTTIME | CLOCK_TAI => {}
        CLOCK_MONOTONIC_RAW | CLOCK_REALTIME_COARSE | CLOCK_MONOTONIC_COARSE | CLOCK_PROCESS_CPUTIME_ID => {
            return Err(Errno::EOPNOTSUPP);
        }
        _ => return Err(Errno::EINVAL),
    }
    let request: KernelTimespec = abi::get(cx.memory(), args.addr(2))?;
    let span = request.span_ns()?;
    if args.int(1) & TIMER_ABSTIME != 0 {
        let shown = read_clock(cx, args.int(0))?.as_ns().unwrap_or(0);
        return sleep_and_tell(cx, span.saturating_sub(shown), None);
    }
    sleep_and_tell(cx, span, args.optional_addr(3))
}

/// times(2): ticks of 10 ms since boot; the argument may be NULL.
pub fn times(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let ticks = |ns: u64| ns / (NSEC_PER_SEC / CLOCK_TICKS);
    if let Some(at) = args.optional_addr(0) {
        abi::put(cx.memory(), at, &[ticks(cx.run_time_ns()), 0, 0, 0])?;
    }
    Ok(ticks(monotonic_ns()))
}

const ITIMER_REAL: i32 = 0;
const USEC_PER_SEC: u64 = 1_000_000;

/// `struct itimerval`: the interval, then the time left.
fn itimerval(timer: Timer) -> [KernelTimeval; 2] {
    let value = |ns: u64| {
        // Not zero for a timer that is set: zero is off.
        let usec = ns.div_ceil(1000);
        KernelTimeval { tv_sec: (usec / USEC_PER_SEC) as i64, tv_usec: (usec % USEC_PER_SEC) as i64 }
    };
    [value(timer.interval_ns), value(timer.left_ns(monotonic_ns()))]
}

/// EINVAL for a negative time, or microseconds that are a second or more.
fn timeval_ns(value: KernelTimeval) -> Result<u64> {
    let (Ok(sec), Ok(usec)) = (u64::try_from(value.tv_sec), u64::try_from(value.tv_usec)) else {
        return Err(Errno::EINVAL);
    };
    if usec >= USEC_PER_SEC {
        return Err(Errno::EINVAL);
    }
    Ok(sec.saturating_mul(NSEC_PER_SEC).saturating_add(usec * 1000))
}

/// getitimer(2). EINVAL for the timers of CPU time, which Quill does not count apart.
pub fn getitimer(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    if args.int(0) != ITIMER_REAL {
        return Err(Errno::EINVAL);
    }
    abi::put(cx.memory(), args.addr(1), &itimerval(cx.process.alarm()))?;
    Ok(0)
}

/// setitimer(2): SIGALRM when the time is over. NULL turns the timer off, as under Linux.
pub fn setitimer(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    if args.int(0) != ITIMER_REAL {
        return Err(Errno::EINVAL);
    }
    let [interval, value] = match args.optional_addr(1) {
        Some(at) => abi::get::<[KernelTimeval; 2]>(cx.memory(), at)?,
        None => [KernelTimeval { tv_sec: 0, tv_usec: 0 }; 2],
    };
    let (interval_ns, value) = (timeval_ns(interval)?, timeval_ns(value)?);
    let deadline_ns = (value != 0).then(|| monotonic_ns().saturating_add(value));
    let old = cx.process.set_alarm(Timer { deadline_ns, interval_ns })?;
    if let Some(at) = args.optional_addr(2) {
        abi::put(cx.memory(), at, &itimerval(old))?;
    }
    Ok(0)
}
