//! Signals: sigaction(2), sigprocmask(2), sigpending(2), sigaltstack(2), sigreturn(2), kill(2).
//!
//! There is one process, so a signal is sent to oneself or to nobody.

use base::{Errno, Result};
use process::signal::{AltStack, How, SigAction, SigInfo, SigSet, Signal, code};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::abi;
use crate::args::Args;
use crate::context::Cx;

/// `struct sigaction` as the kernel has it on arm64, 32 bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct KernelSigaction {
    handler: u64,
    flags: u64,
    restorer: u64,
    mask: u64,
}

/// `stack_t`, 24 bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct KernelStack {
    sp: u64,
    flags: u32,
    pad: u32,
    size: u64,
}

/// The only size of a signal set that the calls accept.
pub(crate) fn check_set_size(size: usize) -> Result<()> {
    if size == size_of::<u64>() { Ok(()) } else { Err(Errno::EINVAL) }
}

/// rt_sigaction(2).
pub fn rt_sigaction(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    check_set_size(args.size(3))?;
    let new = match args.optional_addr(1) {
        Some(at) => Some(abi::get::<KernelSigaction>(cx.memory(), at)?),
        None => None,
    };
    let signal = Signal::from_user(args.int(0) as u64)?;
    let signals = cx.process.signals();
    let old = match new {
        Some(KernelSigaction { handler, flags, restorer, mask }) => {
            signals.set_action(signal, SigAction { handler, flags, restorer, mask: SigSet(mask) })?
        }
        None => signals.action(signal),
    };
    if let Some(at) = args.optional_addr(2) {
        let SigAction { handler, flags, restorer, mask } = old;
        abi::put(cx.memory(), at, &KernelSigaction { handler, flags, restorer, mask: mask.0 })?;
    }
    Ok(0)
}

/// rt_sigprocmask(2).
pub fn rt_sigprocmask(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    check_set_size(args.size(3))?;
    let signals = cx.process.signals();
    let mut old = signals.blocked();
    if let Some(at) = args.optional_addr(1) {
        let set: u64 = abi::get(cx.memory(), at)?;
        old = signals.change_mask(How::from_user(args.uint(0))?, SigSet(set));
    }
    if let Some(at) = args.optional_addr(2) {
        abi::put(cx.memory(), at, &old.0)?;
    }
    Ok(0)
}

/// rt_sigpending(2).
pub fn rt_sigpending(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    if args.size(1) > size_of::<u64>() {
        return Err(Errno::EINVAL);
    }
    let pending = cx.process.signals().pending().0.to_le_bytes();
    cx.memory().write_all(args.addr(0), &pending[..args.size(1)])?;
    Ok(0)
}

/// sigaltstack(2).
pub fn sigaltstack(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let new = match args.optional_addr(0) {
        Some(at) => Some(abi::get::<KernelStack>(cx.memory(), at)?),
        None => None,
    };
    let (signals, sp) = (cx.process.signals(), cx.regs.sp);
    let old = signals.alt_stack();
    if let Some(KernelStack { sp: base, flags, size, .. }) = new {
        signals.set_alt_stack(AltStack { base, size, flags }, sp)?;
    }
    if let Some(at) = args.optional_addr(1) {
        let told = KernelStack { sp: old.base, flags: old.told_flags(sp), pad: 0, size: old.size };
        abi::put(cx.memory(), at, &told)?;
    }
    Ok(0)
}

/// rt_sigreturn(2): puts back what the handler's frame holds, x0 included.
pub fn rt_sigreturn(cx: &mut Cx<'_>, _: Args) -> Result<u64> {
    cx.process.sigreturn(cx.regs);
    cx.keep_registers = true;
    Ok(0)
}

/// Sends to oneself; signal 0 only asks whether one could.
fn send(cx: &Cx<'_>, number: i32, code: i32) -> Result<u64> {
    if number != 0 {
        let signal = Signal::from_user(number as u64)?;
        let uid = cx.process.cred().uid;
        cx.process.signals().send(SigInfo::sent(signal, code, cx.process.pid() as u32, uid));
    }
    Ok(0)
}

/// kill(2): to itself or its own group. EINVAL for a signal that is none, before ESRCH.
pub fn kill(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let (pid, number) = (args.int(0), args.int(1));
    if !(0..=64).contains(&number) {
        return Err(Errno::EINVAL);
    }
    let own = cx.process.pid();
    if pid != own && pid != 0 && pid != -own {
        return Err(Errno::ESRCH);
    }
    // kill(-1) means everybody but oneself, and -1 is also this process's own group.
    if pid == -1 {
        return Err(Errno::ESRCH);
    }
    send(cx, number, code::SI_USER)
}

/// tkill(2).
pub fn tkill(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    to_thread(cx, args.int(0), args.int(1))
}

/// tgkill(2).
pub fn tgkill(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    if args.int(0) <= 0 {
        return Err(Errno::EINVAL);
    }
    if args.int(0) != cx.process.pid() {
        return Err(Errno::ESRCH);
    }
    to_thread(cx, args.int(1), args.int(2))
}

fn to_thread(cx: &Cx<'_>, tid: i32, number: i32) -> Result<u64> {
    if tid <= 0 || !(0..=64).contains(&number) {
        return Err(Errno::EINVAL);
    }
    if tid != cx.process.pid() {
        return Err(Errno::ESRCH);
    }
    send(cx, number, code::SI_TKILL)
}
