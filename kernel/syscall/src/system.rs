//! What a program may ask about the system and its limits: uname(2), sysinfo(2), getrandom(2),
//! prlimit(2), getrusage(2).

use base::time::{NSEC_PER_SEC, monotonic_ns};
use base::{Errno, Result, UserAddr};
use zerocopy::FromZeros;

use crate::abi::{self, KernelTimeval, Rlimit64, Rusage, Sysinfo, Utsname};
use crate::args::Args;
use crate::context::Cx;

/// What uname(2) calls the kernel: glibc refuses to run on one older than it was built for.
pub const RELEASE: &str = "6.1.0-quill";
/// The build, as uname(2) shows it.
pub const VERSION: &str = concat!("#1 Quill ", env!("CARGO_PKG_VERSION"));

/// uname(2).
pub fn uname(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let field = |text: &str| {
        let mut bytes = [0; 65];
        for (to, from) in bytes.iter_mut().zip(text.bytes().take(64)) {
            *to = from;
        }
        bytes
    };
    let name = Utsname {
        sysname: field("Linux"),
        nodename: field("quill"),
        release: field(RELEASE),
        version: field(VERSION),
        machine: field("aarch64"),
        domainname: field("(none)"),
    };
    abi::put(cx.memory(), args.addr(0), &name)?;
    Ok(0)
}

/// sysinfo(2), memory in bytes.
pub fn sysinfo(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let memory = cx.system().memory();
    let info = Sysinfo {
        uptime: (monotonic_ns() / NSEC_PER_SEC) as i64,
        loads: [0; 3],
        totalram: memory.total,
        freeram: memory.free,
        sharedram: 0,
        bufferram: 0,
        totalswap: 0,
        freeswap: 0,
        procs: 1,
        pad: 0,
        pad2: 0,
        totalhigh: 0,
        freehigh: 0,
        mem_unit: 1,
        pad3: 0,
    };
    abi::put(cx.memory(), args.addr(0), &info)?;
    Ok(0)
}

const GRND_NONBLOCK: u32 = 1;
const GRND_RANDOM: u32 = 2;
const GRND_INSECURE: u32 = 4;

/// getrandom(2). The pool is seeded before the program starts, so nothing ever waits.
pub fn getrandom(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let flags = args.uint(2);
    let both = GRND_RANDOM | GRND_INSECURE;
    if flags & !(GRND_NONBLOCK | both) != 0 || flags & both == both {
        return Err(Errno::EINVAL);
    }
    let len = args.size(1).min(i32::MAX as usize);
    let mut done = 0;
    let mut chunk = [0u8; 256];
    while done < len {
        let part = &mut chunk[..(len - done).min(256)];
        cx.system().random(part);
        let copied = cx.memory().write(args.addr(0).add(done as u64), part);
        done += copied;
        if copied < part.len() {
            return if done > 0 { Ok(done as u64) } else { Err(Errno::EFAULT) };
        }
    }
    Ok(done as u64)
}

/// getrlimit(2).
pub fn getrlimit(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    old_and_new(cx, args.uint(0), None, args.optional_addr(1).ok_or(Errno::EFAULT).map(Some)?)
}

/// setrlimit(2).
pub fn setrlimit(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    old_and_new(cx, args.uint(0), args.optional_addr(1).ok_or(Errno::EFAULT).map(Some)?, None)
}

/// prlimit(2), of the program itself.
pub fn prlimit64(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    cx.only_self(args.int(0))?;
    old_and_new(cx, args.uint(1), args.optional_addr(2), args.optional_addr(3))
}

fn old_and_new(cx: &mut Cx<'_>, what: u32, new: Option<UserAddr>, old: Option<UserAddr>) -> Result<u64> {
    let new = match new {
        Some(at) => Some(abi::get::<Rlimit64>(cx.memory(), at)?),
        None => None,
    };
    let before = cx.process.rlimits().get(what)?;
    if let Some(limit) = new {
        cx.process.set_rlimit(what, (limit.rlim_cur, limit.rlim_max))?;
    }
    if let Some(at) = old {
        abi::put(cx.memory(), at, &Rlimit64 { rlim_cur: before.0, rlim_max: before.1 })?;
    }
    Ok(0)
}

const RUSAGE_SELF: i32 = 0;
const RUSAGE_CHILDREN: i32 = -1;
const RUSAGE_THREAD: i32 = 1;

/// getrusage(2): the time since the start as user time, the program's memory and what it had disks do, as if
/// its calling thread had done it all; what Quill does not count is 0.
pub fn getrusage(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let at = args.addr(1);
    match args.int(0) {
        RUSAGE_SELF | RUSAGE_THREAD => abi::put(cx.memory(), at, &usage(cx))?,
        RUSAGE_CHILDREN => abi::put(cx.memory(), at, &Rusage::new_zeroed())?,
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

fn usage(cx: &Cx<'_>) -> Rusage {
    let (ns, sizes, disks) = (cx.run_time_ns(), cx.process.mm().sizes(), block::task_io::task_io());
    let time = |ns: u64| KernelTimeval {
        tv_sec: (ns / NSEC_PER_SEC) as i64,
        tv_usec: (ns % NSEC_PER_SEC / 1000) as i64,
    };
    Rusage {
        ru_utime: time(ns),
        ru_maxrss: sizes.peak_resident / 1024,
        ru_minflt: sizes.minor_faults,
        ru_majflt: sizes.major_faults,
        ru_inblock: disks.read_bytes / 512,
        ru_oublock: disks.write_bytes / 512,
        ..Rusage::new_zeroed()
    }
}
