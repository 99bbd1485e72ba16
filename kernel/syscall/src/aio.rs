//! io_setup(2), io_submit(2), io_getevents(2), io_cancel(2), io_destroy(2): arguments only, the rest is
//! `process::aio`.
//!
//! The order of errors is that of Linux 6.1, also where the man pages are silent: io_cancel is EINVAL for
//! whatever cannot be stopped, and EINPROGRESS for a poll that it has stopped.

use base::{Errno, Result, UserAddr};
use process::aio::{Iocb, KEY};
use process::signal::SigSet;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::abi::{self, KernelTimespec};
use crate::args::Args;
use crate::context::Cx;

/// `struct iocb`, 64 bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct KernelIocb {
    data: u64,
    key: u32,
    rw_flags: u32,
    lio_opcode: u16,
    reqprio: u16,
    fildes: u32,
    buf: u64,
    nbytes: u64,
    offset: i64,
    reserved2: u64,
    flags: u32,
    resfd: u32,
}

impl KernelIocb {
    fn request(&self) -> Iocb {
        Iocb {
            data: self.data,
            rw_flags: self.rw_flags,
            opcode: self.lio_opcode,
            reqprio: self.reqprio,
            fd: self.fildes as i32,
            buf: self.buf,
            nbytes: self.nbytes,
            offset: self.offset,
            reserved: self.reserved2,
            flags: self.flags,
            resfd: self.resfd as i32,
        }
    }
}

/// io_setup(2).
pub fn io_setup(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let at = args.addr(1);
    let old: u64 = abi::get(cx.memory(), at)?;
    if old != 0 || args.uint(0) == 0 {
        return Err(Errno::EINVAL);
    }
    let (aio, mm) = (cx.process.aio(), cx.process.mm());
    let id = aio.setup(mm, args.uint(0))?;
    abi::put(cx.memory(), at, &id).inspect_err(|_| {
        // It was made just now.
        let _ = aio.destroy(mm, id);
    })?;
    Ok(0)
}

/// io_destroy(2).
pub fn io_destroy(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    cx.process.aio().destroy(cx.process.mm(), args.ulong(0)).map(|()| 0)
}

/// io_submit(2): how many were begun; an error only when that is the first.
pub fn io_submit(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let count = u64::try_from(args.long(1)).map_err(|_| Errno::EINVAL)?;
    let context = cx.process.aio().find(args.ulong(0))?;
    let count = count.min(context.slots().into());
    let one = |i: u64| {
        let at: u64 = abi::get(cx.memory(), args.addr(2).add(8 * i))?;
        let iocb: KernelIocb = abi::get(cx.memory(), UserAddr(at))?;
        cx.process.submit(&context, UserAddr(at), &iocb.request())
    };
    let mut done = 0;
    let mut failed = Ok(());
    while done < count && failed.is_ok() {
        failed = one(done);
        done += u64::from(failed.is_ok());
    }
    if context.take_too_big() {
        cx.file_too_big();
    }
    if done > 0 { Ok(done) } else { failed.map(|()| 0) }
}

/// io_cancel(2). EFAULT, EINVAL; EINPROGRESS where it did something.
pub fn io_cancel(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let iocb: KernelIocb = abi::get(cx.memory(), args.addr(1))?;
    if iocb.key != KEY {
        return Err(Errno::EINVAL);
    }
    let context = cx.process.aio().find(args.ulong(0))?;
    Err(context.cancel(args.addr(1).0))
}

/// io_getevents(2).
pub fn io_getevents(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let timeout = timeout(cx, args)?;
    get_events(cx, args, timeout)
}

/// io_pgetevents(2): with a signal mask for as long as it waits.
pub fn io_pgetevents(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let timeout = timeout(cx, args)?;
    let mask = match args.optional_addr(5) {
        Some(at) => {
            let [set, size]: [u64; 2] = abi::get(cx.memory(), at)?;
            mask(cx, set, size)?
        }
        None => None,
    };
    let signals = cx.process.signals();
    if let Some(mask) = mask {
        signals.suspend_mask(mask);
    }
    let done = get_events(cx, args, timeout);
    // Where a signal came, its delivery brings the mask back.
    if done != Err(Errno::EINTR) {
        signals.resume_mask();
    }
    done
}

fn mask(cx: &Cx<'_>, set: u64, size: u64) -> Result<Option<SigSet>> {
    if set == 0 {
        return Ok(None);
    }
    if size != size_of::<SigSet>() as u64 {
        return Err(Errno::EINVAL);
    }
    abi::get(cx.memory(), UserAddr(set)).map(|set| Some(SigSet(set)))
}

/// In nanoseconds. What is below 0 is no timeout at all, as Linux's sum of it and the time of day overflows.
fn timeout(cx: &Cx<'_>, args: Args) -> Result<Option<u64>> {
    let Some(at) = args.optional_addr(4) else { return Ok(None) };
    let KernelTimespec { tv_sec, tv_nsec } = abi::get(cx.memory(), at)?;
    let ns = i128::from(tv_sec) * 1_000_000_000 + i128::from(tv_nsec);
    Ok((ns >= 0).then(|| u64::try_from(ns).unwrap_or(u64::MAX)))
}

fn get_events(cx: &Cx<'_>, args: Args, timeout: Option<u64>) -> Result<u64> {
    let (least, most) = (args.long(1), args.long(2));
    let context = cx.process.aio().find(args.ulong(0))?;
    if least < 0 || least > most {
        return Err(Errno::EINVAL);
    }
    // A ring has far fewer.
    let few = |n: i64| u32::try_from(n).unwrap_or(u32::MAX);
    let done = context.read_events(cx.memory(), few(least), few(most), args.addr(3), timeout)?;
    Ok(done.into())
}
