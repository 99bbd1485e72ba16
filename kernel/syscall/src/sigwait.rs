//! Waiting for signals, and sending them with a value: sigsuspend(2), sigtimedwait(2),
//! rt_sigqueueinfo(2).

use base::{Errno, Result};
use process::signal::{Detail, GIVEN, SigInfo, SigSet, Signal};

use crate::abi::{self, KernelTimespec};
use crate::args::Args;
use crate::context::Cx;
use crate::signal::check_set_size;

/// rt_sigsuspend(2): waits with another mask; always EINTR. The old mask is back after the handler.
pub fn rt_sigsuspend(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    check_set_size(args.size(1))?;
    let mask: u64 = abi::get(cx.memory(), args.addr(0))?;
    let signals = cx.process.signals();
    signals.suspend_mask(SigSet(mask));
    signals.sleep(None, || false);
    Err(Errno::EINTR)
}

/// rt_sigtimedwait(2): takes one of a set without its handler; its number. EAGAIN when the time is
/// over, EINTR when another signal comes.
pub fn rt_sigtimedwait(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    check_set_size(args.size(3))?;
    let set = SigSet(abi::get(cx.memory(), args.addr(0))?);
    let timeout = match args.optional_addr(2) {
        Some(at) => Some(abi::get::<KernelTimespec>(cx.memory(), at)?.span_ns()?),
        None => None,
    };
    let signals = cx.process.signals();
    let mut taken = None;
    signals.sleep(timeout, || {
        taken = taken.or_else(|| signals.take(set));
        taken.is_some()
    });
    let Some(info) = taken else {
        return Err(if signals.attention() { Errno::EINTR } else { Errno::EAGAIN });
    };
    if let Some(at) = args.optional_addr(1) {
        abi::put(cx.memory(), at, &info.to_bytes())?;
    }
    Ok(info.signal.number().into())
}

/// rt_sigqueueinfo(2).
pub fn rt_sigqueueinfo(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    queue(cx, args.int(0), args.int(1), args.addr(2))
}

/// rt_tgsigqueueinfo(2).
pub fn rt_tgsigqueueinfo(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    if args.int(0) <= 0 || args.int(1) <= 0 {
        return Err(Errno::EINVAL);
    }
    if args.int(0) != cx.process.pid() {
        return Err(Errno::ESRCH);
    }
    queue(cx, args.int(1), args.int(2), args.addr(3))
}

/// Sends oneself what the caller says of it, whatever that is. Signal 0 only asks.
fn queue(cx: &Cx<'_>, pid: i32, number: i32, at: base::UserAddr) -> Result<u64> {
    let mut bytes = [0u8; 16 + GIVEN];
    cx.memory().read_exact(at, &mut bytes)?;
    if pid != cx.process.pid() {
        return Err(Errno::ESRCH);
    }
    if number != 0 {
        let signal = Signal::from_user(number as u64)?;
        let (mut code, mut given) = ([0; 4], [0; GIVEN]);
        code.copy_from_slice(&bytes[8..12]);
        given.copy_from_slice(&bytes[16..]);
        let (code, detail) = (i32::from_le_bytes(code), Detail::Given(given));
        cx.process.signals().send(SigInfo { signal, code, detail });
    }
    Ok(0)
}
