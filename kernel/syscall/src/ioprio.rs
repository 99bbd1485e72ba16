//! ioprio_set(2), ioprio_get(2): with which I/O priority the program's requests are made, for the
//! elevator `cfq`.
//!
//! There is one process of one thread, so whatever `which` and `who` select is the caller or nobody:
//! ESRCH. The other threads are the kernel's, and as in a pid namespace of its own nobody sees them.
//! A thread that has set none has one by its nice value; IOPRIO_WHO_PROCESS tells 0 of it all the same.
//!
//! What the man page leaves open is as Linux 6.1 was seen to do it: the priority is looked at before
//! `which` and `who`; bits of it above the class are dropped, bits between class and level are kept.

use base::{Errno, Result};
use block::ioprio::{self, IoClass, IoPrio};

use crate::args::Args;
use crate::context::Cx;

/// `which` and `who` as far as they select the caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Target {
    /// IOPRIO_WHO_PROCESS.
    Thread,
    /// IOPRIO_WHO_PGRP or IOPRIO_WHO_USER.
    Group,
}

/// ESRCH for anybody else than that process and user, EINVAL for what cannot be selected.
fn select(which: i32, who: i32, pid: i32, uid: u32) -> Result<Target> {
    let (target, caller) = match which {
        1 => (Target::Thread, who == 0 || who == pid),
        // The process leads its group.
        2 => (Target::Group, who == 0 || who == pid),
        // 0 is the superuser, not the caller.
        3 => (Target::Group, who as u32 == uid),
        _ => return Err(Errno::EINVAL),
    };
    if caller { Ok(target) } else { Err(Errno::ESRCH) }
}

/// The priority of the call. EINVAL; EPERM for real time without the capability.
fn allowed(raw: u32, capable: bool) -> Result<IoPrio> {
    let prio = IoPrio::from_raw(raw)?;
    if prio.class() == IoClass::RealTime && !capable { Err(Errno::EPERM) } else { Ok(prio) }
}

fn target_of(cx: &Cx<'_>, args: Args) -> Result<Target> {
    select(args.int(0), args.int(1), cx.process.pid(), cx.process.cred().uid)
}

/// ioprio_set(2).
pub fn ioprio_set(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let prio = allowed(args.uint(2), cx.process.cred().euid == 0)?;
    target_of(cx, args)?;
    ioprio::set_current(prio);
    Ok(0)
}

/// ioprio_get(2).
pub fn ioprio_get(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let prio = match target_of(cx, args)? {
        Target::Thread => ioprio::current_set(),
        Target::Group => ioprio::current(),
    };
    Ok(prio.as_raw().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_caller_is_there() {
        assert_eq!(select(1, 0, 1, 7), Ok(Target::Thread));
        assert_eq!(select(1, 1, 1, 7), Ok(Target::Thread));
        assert_eq!(select(2, 0, 1, 7), Ok(Target::Group));
        assert_eq!(select(3, 7, 1, 7), Ok(Target::Group));
        for (which, who) in [(1, 2), (2, 99), (3, 0), (1, -1), (2, -1), (3, -1)] {
            assert_eq!(select(which, who, 1, 7), Err(Errno::ESRCH), "{which} {who}");
        }
        for which in [0, 4, -1] {
            assert_eq!(select(which, 0, 1, 7), Err(Errno::EINVAL), "{which}");
        }
    }

    #[test]
    fn real_time_is_the_superusers() {
        assert_eq!(allowed(0x2000, false), Err(Errno::EPERM));
        assert_eq!(allowed(0x2009, false), Err(Errno::EPERM));
        assert_eq!(allowed(0x2000, true).map(IoPrio::as_raw), Ok(0x2000));
        assert_eq!(allowed(0x6000, false).map(IoPrio::as_raw), Ok(0x6000));
        assert_eq!(allowed(0x8000, true), Err(Errno::EINVAL));
    }
}
