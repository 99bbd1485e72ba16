//! The task itself: its end, its scheduling, and the few calls of a thread library that a program
//! of one thread makes.

use base::{Errno, Result};

use crate::abi::{self, KernelTimespec};
use crate::args::Args;
use crate::context::Cx;
use crate::run::End;

/// exit(2): the only thread ends, and with it the program.
pub fn exit(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    cx.end = Some(End::Exited(args.int(0) as u8));
    Ok(0)
}

/// exit_group(2).
pub fn exit_group(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    exit(cx, args)
}

/// set_tid_address(2): where the kernel clears a word when the thread ends; with it ends the
/// program's memory, so the address needs no keeping.
pub fn set_tid_address(cx: &mut Cx<'_>, _: Args) -> Result<u64> {
    Ok(cx.process.pid() as u64)
}

const ROBUST_LIST_HEAD_SIZE: usize = 24;

/// set_robust_list(2): nobody outlives the thread who could wait for its futexes.
pub fn set_robust_list(_: &mut Cx<'_>, args: Args) -> Result<u64> {
    if args.size(1) == ROBUST_LIST_HEAD_SIZE { Ok(0) } else { Err(Errno::EINVAL) }
}

const FUTEX_WAIT: u32 = 0;
const FUTEX_WAKE: u32 = 1;
const FUTEX_WAIT_BITSET: u32 = 9;
const FUTEX_WAKE_BITSET: u32 = 10;
const FUTEX_PRIVATE_FLAG: u32 = 128;
const FUTEX_CLOCK_REALTIME: u32 = 256;

/// futex(2) for a program of one thread: a wake finds nobody; a wait whose word still holds the
/// value can only end by its timeout.
pub fn futex(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    match args.uint(1) & !(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME) {
        FUTEX_WAKE | FUTEX_WAKE_BITSET => Ok(0),
        FUTEX_WAIT => futex_wait(cx, args, false),
        FUTEX_WAIT_BITSET => futex_wait(cx, args, true),
        _ => Err(Errno::ENOSYS),
    }
}

fn futex_wait(cx: &Cx<'_>, args: Args, absolute: bool) -> Result<u64> {
    if !args.ulong(0).is_multiple_of(4) {
        return Err(Errno::EINVAL);
    }
    let word: u32 = abi::get(cx.memory(), args.addr(0))?;
    let timeout = match args.optional_addr(3) {
        Some(at) => Some(abi::get::<KernelTimespec>(cx.memory(), at)?.span_ns()?),
        None => None,
    };
    if word != args.uint(2) {
        return Err(Errno::EAGAIN);
    }
    let Some(mut span) = timeout else { return sleep_for_ever(cx) };
    if absolute {
        let clock = if args.uint(1) & FUTEX_CLOCK_REALTIME != 0 {
            base::time::now().as_ns().unwrap_or(0)
        } else {
            base::time::monotonic_ns()
        };
        span = span.saturating_sub(clock);
    }
    cx.process.signals().sleep(Some(span), || false);
    if cx.process.signals().attention() { Err(Errno::EINTR) } else { Err(Errno::ETIMEDOUT) }
}

/// A wait that only a signal can end, as it would be under Linux.
fn sleep_for_ever(cx: &Cx<'_>) -> Result<u64> {
    log::warn!("the program waits on a futex without a timeout, and no other thread can wake it");
    cx.process.signals().sleep(None, || false);
    Err(Errno::EINTR)
}

/// sched_yield(2).
pub fn sched_yield(_: &mut Cx<'_>, _: Args) -> Result<u64> {
    sync::thread::yield_now();
    Ok(0)
}

/// sched_getaffinity(2): CPU 0. Answers the bytes written.
pub fn sched_getaffinity(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    cx.only_self(args.int(0))?;
    let len = args.size(1);
    if len < 8 || !len.is_multiple_of(8) {
        return Err(Errno::EINVAL);
    }
    abi::put(cx.memory(), args.addr(2), &1u64)?;
    Ok(8)
}

/// sched_setaffinity(2): CPU 0 has to be among them.
pub fn sched_setaffinity(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    cx.only_self(args.int(0))?;
    let mut first = [0u8; 1];
    let len = args.size(1).min(1);
    cx.memory().read_exact(args.addr(2), &mut first[..len])?;
    if first[0] & 1 == 0 { Err(Errno::EINVAL) } else { Ok(0) }
}

const SCHED_OTHER: u64 = 0;
const SCHED_FIFO: i32 = 1;
const SCHED_RR: i32 = 2;

/// sched_getscheduler(2).
pub fn sched_getscheduler(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    cx.only_self(args.int(0)).map(|()| SCHED_OTHER)
}

/// sched_getparam(2).
pub fn sched_getparam(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    cx.only_self(args.int(0))?;
    abi::put(cx.memory(), args.addr(1), &0u32)?;
    Ok(0)
}

/// sched_get_priority_max(2).
pub fn sched_get_priority_max(_: &mut Cx<'_>, args: Args) -> Result<u64> {
    priority(args.int(0), 99)
}

/// sched_get_priority_min(2).
pub fn sched_get_priority_min(_: &mut Cx<'_>, args: Args) -> Result<u64> {
    priority(args.int(0), 1)
}

fn priority(policy: i32, real_time: u64) -> Result<u64> {
    match policy {
        SCHED_FIFO | SCHED_RR => Ok(real_time),
        0 | 3 | 5 | 6 => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

const PRIO_PROCESS: i32 = 0;
const PRIO_USER: i32 = 2;

/// The one process that setpriority(2) and getpriority(2) can mean. EINVAL, ESRCH.
fn priority_of(cx: &Cx<'_>, which: i32, who: i32) -> Result<()> {
    match which {
        PRIO_USER if who as u32 == cx.process.cred().uid => Ok(()),
        PRIO_PROCESS..=PRIO_USER => cx.only_self(who),
        _ => Err(Errno::EINVAL),
    }
}

/// getpriority(2) as the kernel has it: 40 for nice -20, 1 for nice 19.
pub fn getpriority(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    priority_of(cx, args.int(0), args.int(1))?;
    Ok((20 - cx.process.nice()) as u64)
}

/// setpriority(2). The value is kept and told, and is the I/O priority of a
/// thread that has set none; on the CPU there is nobody to be nice to. EACCES.
pub fn setpriority(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    priority_of(cx, args.int(0), args.int(1))?;
    let nice = args.int(2).clamp(-20, 19);
    if nice < cx.process.nice() && !cx.process.cred().capable() {
        return Err(Errno::EACCES);
    }
    cx.process.set_nice(nice);
    block::ioprio::set_nice(nice);
    Ok(0)
}

/// getcpu(2): CPU 0 of node 0. Either pointer may be NULL.
pub fn getcpu(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    for i in 0..2 {
        if let Some(at) = args.optional_addr(i) {
            abi::put(cx.memory(), at, &0u32)?;
        }
    }
    Ok(0)
}

const PR_SET_NAME: i32 = 15;
const PR_GET_NAME: i32 = 16;
const PR_GET_DUMPABLE: i32 = 3;
const PR_GET_NO_NEW_PRIVS: i32 = 39;

/// prctl(2): the name of the thread; EINVAL for what Quill has not.
pub fn prctl(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    match args.int(0) {
        PR_SET_NAME => {
            let mut name = [0u8; 16];
            let len = args.addr(1).to_page_end().min(16);
            let mut got = cx.memory().read(args.addr(1), &mut name[..len]);
            if got == len && !name[..len].contains(&0) && len < 16 {
                got += cx.memory().read(args.addr(1).add(len as u64), &mut name[len..]);
            }
            let end = name[..got].iter().position(|&b| b == 0);
            if end.is_none() && got < 16 {
                return Err(Errno::EFAULT);
            }
            cx.process.set_comm(&name[..end.unwrap_or(15).min(15)]);
            crate::trace::set_task(cx.process);
            Ok(0)
        }
        PR_GET_NAME => {
            let mut name = [0u8; 16];
            let comm = cx.process.comm();
            let len = comm.len().min(15);
            name[..len].copy_from_slice(&comm[..len]);
            abi::put(cx.memory(), args.addr(1), &name)?;
            Ok(0)
        }
        PR_GET_DUMPABLE | PR_GET_NO_NEW_PRIVS => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

const PER_QUERY: u32 = 0xffff_ffff;

/// personality(2): Linux's own, and no other.
pub fn personality(_: &mut Cx<'_>, args: Args) -> Result<u64> {
    match args.uint(0) {
        0 | PER_QUERY => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}
