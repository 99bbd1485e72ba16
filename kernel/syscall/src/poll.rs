//! ppoll(2) and pselect6(2): which descriptors would not block.
//!
//! Files and most devices are always ready; the console's input may not be. A wait looks again
//! every few milliseconds: there is no wait queue per file yet.

use alloc::vec;
use alloc::vec::Vec;

use base::time::monotonic_ns;
use base::{Errno, Result, UserAddr};
use process::signal::SigSet;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::abi::{self, KernelTimespec};
use crate::args::Args;
use crate::context::Cx;

const POLLIN: u16 = 0x1;
const POLLPRI: u16 = 0x2;
const POLLOUT: u16 = 0x4;
const POLLERR: u16 = 0x8;
const POLLHUP: u16 = 0x10;
const POLLNVAL: u16 = 0x20;
const POLLRDNORM: u16 = 0x40;
const POLLRDBAND: u16 = 0x80;
const POLLWRNORM: u16 = 0x100;
const POLLWRBAND: u16 = 0x200;

/// How long a wait sleeps before it looks again.
const LOOK_AGAIN_NS: u64 = 4_000_000;

/// `struct pollfd`, 8 bytes.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct PollFd {
    fd: i32,
    events: u16,
    revents: u16,
}

/// What of `events` a descriptor is ready for; POLLNVAL for one that is not open, or open with
/// O_PATH.
fn ready(cx: &Cx<'_>, fd: i32, events: u16) -> u16 {
    match cx.process.files().get_io(fd) {
        Ok(file) => (file.ops().poll(&file) as u16) & (events | POLLERR | POLLHUP),
        Err(_) => POLLNVAL,
    }
}

/// Looks until `look` finds something, the time is over, or for ever; how many it found. EINTR when a
/// signal is to be delivered first.
fn wait(cx: &Cx<'_>, timeout_ns: Option<u64>, mut look: impl FnMut() -> usize) -> Result<usize> {
    let begin = monotonic_ns();
    loop {
        let found = look();
        let left = timeout_ns.map(|ns| ns.saturating_sub(monotonic_ns() - begin));
        if found > 0 || left == Some(0) {
            return Ok(found);
        }
        if cx.process.signals().attention() {
            return Err(Errno::EINTR);
        }
        let nap = left.unwrap_or(u64::MAX).min(LOOK_AGAIN_NS);
        cx.process.signals().sleep(Some(nap), || false);
    }
}

fn timeout(cx: &Cx<'_>, at: Option<UserAddr>) -> Result<Option<u64>> {
    match at {
        Some(at) => abi::get::<KernelTimespec>(cx.memory(), at)?.span_ns().map(Some),
        None => Ok(None),
    }
}

/// Waits with the signal mask that the caller gave, if it gave one: EINTR when a signal came first.
fn wait_masked(
    cx: &Cx<'_>,
    mask: Option<SigSet>,
    timeout_ns: Option<u64>,
    look: impl FnMut() -> usize,
) -> Result<usize> {
    let signals = cx.process.signals();
    if let Some(mask) = mask {
        signals.suspend_mask(mask);
    }
    let found = wait(cx, timeout_ns, look);
    // Where a signal came, its delivery brings the mask back.
    if found.is_ok() {
        signals.resume_mask();
    }
    found
}

/// A signal mask and its size. EINVAL for a size that is none.
fn mask(cx: &Cx<'_>, at: Option<UserAddr>, size: u64) -> Result<Option<SigSet>> {
    let Some(at) = at else { return Ok(None) };
    if size != size_of::<SigSet>() as u64 {
        return Err(Errno::EINVAL);
    }
    abi::get(cx.memory(), at).map(|set| Some(SigSet(set)))
}

/// ppoll(2).
pub fn ppoll(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let count = args.ulong(1);
    if count > cx.process.files_limit() {
        return Err(Errno::EINVAL);
    }
    let timeout = timeout(cx, args.optional_addr(2))?;
    let at = |i: usize| args.addr(0).add(8 * i as u64);
    let fds: Result<Vec<PollFd>> = (0..count as usize).map(|i| abi::get(cx.memory(), at(i))).collect();
    let mut fds = fds?;
    let mask = mask(cx, args.optional_addr(3), args.ulong(4))?;
    let found = wait_masked(cx, mask, timeout, || {
        for poll in fds.iter_mut() {
            poll.revents = if poll.fd < 0 { 0 } else { ready(cx, poll.fd, poll.events) };
        }
        fds.iter().filter(|poll| poll.revents != 0).count()
    })?;
    for (i, poll) in fds.iter().enumerate() {
        abi::put(cx.memory(), at(i), poll)?;
    }
    Ok(found as u64)
}

/// The three sets of select(2), and the poll events each stands for.
const SETS: [u16; 3] = [
    POLLIN | POLLRDNORM | POLLRDBAND | POLLHUP | POLLERR,
    POLLOUT | POLLWRNORM | POLLWRBAND | POLLERR,
    POLLPRI,
];

/// pselect6(2). The last argument points at the mask's address and its size.
pub fn pselect6(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let count = usize::try_from(args.int(0)).map_err(|_| Errno::EINVAL)?;
    let count = count.min(cx.process.files_limit() as usize);
    let timeout = timeout(cx, args.optional_addr(4))?;
    // A set is an array of 64-bit words.
    let words = count.div_ceil(64);
    let mut asked = [vec![0u64; words], vec![0u64; words], vec![0u64; words]];
    for (set, words) in asked.iter_mut().enumerate() {
        if let Some(at) = args.optional_addr(1 + set) {
            cx.memory().read_exact(at, words.as_mut_slice().as_mut_bytes())?;
        }
    }
    let bit = |words: &[u64], fd: usize| words[fd / 64] >> (fd % 64) & 1 == 1;
    for fd in (0..count).filter(|&fd| asked.iter().any(|words| bit(words, fd))) {
        cx.process.files().get(fd as i32)?;
    }
    let mut found = [vec![0u64; words], vec![0u64; words], vec![0u64; words]];
    let mask = match args.optional_addr(5) {
        Some(at) => {
            let [set, size]: [u64; 2] = abi::get(cx.memory(), at)?;
            mask(cx, (set != 0).then_some(UserAddr(set)), size)?
        }
        None => None,
    };
    let n = wait_masked(cx, mask, timeout, || {
        let mut n = 0;
        for (set, events) in SETS.into_iter().enumerate() {
            found[set].fill(0);
            for fd in (0..count).filter(|&fd| bit(&asked[set], fd)) {
                if ready(cx, fd as i32, events) & events != 0 {
                    found[set][fd / 64] |= 1 << (fd % 64);
                    n += 1;
                }
            }
        }
        n
    })?;
    for (set, words) in found.iter().enumerate() {
        if let Some(at) = args.optional_addr(1 + set) {
            cx.memory().write_all(at, words.as_slice().as_bytes())?;
        }
    }
    Ok(n as u64)
}
