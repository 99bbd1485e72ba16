//! Who the caller is: process, user and group ids. There is one process, and it is number 1, its
//! own session and group, the child of 0.
//!
//! Sources: getpid(2), credentials(7), setuid(2), setreuid(2), setresuid(2), setfsuid(2),
//! getgroups(2).

use alloc::vec::Vec;

use base::{Errno, Result};
use vfs::Cred;

use crate::abi;
use crate::args::Args;
use crate::context::Cx;

/// The id that means "leave as it is".
const KEEP: u32 = u32::MAX;
const NGROUPS_MAX: usize = 65536;

/// getpid(2).
pub fn getpid(cx: &mut Cx<'_>, _: Args) -> Result<u64> {
    Ok(cx.process.pid() as u64)
}

/// getppid(2).
pub fn getppid(_: &mut Cx<'_>, _: Args) -> Result<u64> {
    Ok(0)
}

/// gettid(2).
pub fn gettid(cx: &mut Cx<'_>, _: Args) -> Result<u64> {
    Ok(cx.process.pid() as u64)
}

/// getpgid(2).
pub fn getpgid(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    cx.only_self(args.int(0)).map(|()| cx.process.pid() as u64)
}

/// getsid(2).
pub fn getsid(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    getpgid(cx, args)
}

/// getuid(2).
pub fn getuid(cx: &mut Cx<'_>, _: Args) -> Result<u64> {
    Ok(cx.process.cred().uid.into())
}

/// geteuid(2).
pub fn geteuid(cx: &mut Cx<'_>, _: Args) -> Result<u64> {
    Ok(cx.process.cred().euid.into())
}

/// getgid(2).
pub fn getgid(cx: &mut Cx<'_>, _: Args) -> Result<u64> {
    Ok(cx.process.cred().gid.into())
}

/// getegid(2).
pub fn getegid(cx: &mut Cx<'_>, _: Args) -> Result<u64> {
    Ok(cx.process.cred().egid.into())
}

/// getresuid(2).
pub fn getresuid(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let cred = cx.process.cred();
    three(cx, args, [cred.uid, cred.euid, cred.suid])
}

/// getresgid(2).
pub fn getresgid(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let cred = cx.process.cred();
    three(cx, args, [cred.gid, cred.egid, cred.sgid])
}

fn three(cx: &Cx<'_>, args: Args, ids: [u32; 3]) -> Result<u64> {
    for (i, id) in ids.iter().enumerate() {
        abi::put(cx.memory(), args.addr(i), id)?;
    }
    Ok(0)
}

/// Real, effective and saved id of a kind, and the one that file access goes by.
struct Ids<'a> {
    real: &'a mut u32,
    effective: &'a mut u32,
    saved: &'a mut u32,
    fs: &'a mut u32,
}

impl Ids<'_> {
    fn are_one_of(&self, id: u32) -> bool {
        id == *self.real || id == *self.effective || id == *self.saved
    }

    /// setresuid(2)'s rule: without the capability each new id is one of the three.
    fn set(&mut self, real: u32, effective: u32, saved: u32, capable: bool) -> Result<()> {
        if !capable && [real, effective, saved].iter().any(|&id| id != KEEP && !self.are_one_of(id)) {
            return Err(Errno::EPERM);
        }
        for (to, id) in
            [(&mut *self.real, real), (&mut *self.effective, effective), (&mut *self.saved, saved)]
        {
            if id != KEEP {
                *to = id;
            }
        }
        *self.fs = *self.effective;
        Ok(())
    }

    /// setuid(2): all three with the capability, else the effective alone.
    fn set_one(&mut self, id: u32, capable: bool) -> Result<()> {
        if id == KEEP {
            return Err(Errno::EINVAL);
        }
        if capable { self.set(id, id, id, true) } else { self.set(KEEP, id, KEEP, false) }
    }

    /// setreuid(2): the saved id follows the effective one when the real is set or the effective
    /// becomes other than the real was.
    fn set_two(&mut self, real: u32, effective: u32, capable: bool) -> Result<()> {
        if !capable {
            let real_ok = real == KEEP || real == *self.real || real == *self.effective;
            if !real_ok || (effective != KEEP && !self.are_one_of(effective)) {
                return Err(Errno::EPERM);
            }
        }
        let saved_follows = real != KEEP || (effective != KEEP && effective != *self.real);
        self.set(real, effective, KEEP, true)?;
        if saved_follows {
            *self.saved = *self.effective;
        }
        Ok(())
    }

    /// setfsuid(2): the old one is the answer either way.
    fn set_fs(&mut self, id: u32, capable: bool) -> u64 {
        let old = *self.fs;
        if id != KEEP && (capable || self.are_one_of(id) || id == old) {
            *self.fs = id;
        }
        old.into()
    }
}

fn users(cred: &mut Cred) -> Ids<'_> {
    Ids { real: &mut cred.uid, effective: &mut cred.euid, saved: &mut cred.suid, fs: &mut cred.fsuid }
}

fn groups(cred: &mut Cred) -> Ids<'_> {
    Ids { real: &mut cred.gid, effective: &mut cred.egid, saved: &mut cred.sgid, fs: &mut cred.fsgid }
}

/// Changes a copy of the credentials and puts it in place when the change is allowed.
fn change(cx: &Cx<'_>, change: impl FnOnce(&mut Cred, bool) -> Result<u64>) -> Result<u64> {
    let mut cred = Cred::clone(&cx.process.cred());
    let capable = cred.euid == 0;
    let answer = change(&mut cred, capable)?;
    cx.process.set_cred(cred);
    Ok(answer)
}

/// setuid(2).
pub fn setuid(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    change(cx, |cred, capable| users(cred).set_one(args.uint(0), capable).map(|()| 0))
}

/// setgid(2).
pub fn setgid(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    change(cx, |cred, capable| groups(cred).set_one(args.uint(0), capable).map(|()| 0))
}

/// setreuid(2).
pub fn setreuid(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    change(cx, |cred, capable| users(cred).set_two(args.uint(0), args.uint(1), capable).map(|()| 0))
}

/// setregid(2).
pub fn setregid(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    change(cx, |cred, capable| groups(cred).set_two(args.uint(0), args.uint(1), capable).map(|()| 0))
}

/// setresuid(2).
pub fn setresuid(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let (real, effective, saved) = (args.uint(0), args.uint(1), args.uint(2));
    change(cx, |cred, capable| users(cred).set(real, effective, saved, capable).map(|()| 0))
}

/// setresgid(2).
pub fn setresgid(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let (real, effective, saved) = (args.uint(0), args.uint(1), args.uint(2));
    change(cx, |cred, capable| groups(cred).set(real, effective, saved, capable).map(|()| 0))
}

/// setfsuid(2).
pub fn setfsuid(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    change(cx, |cred, capable| Ok(users(cred).set_fs(args.uint(0), capable)))
}

/// setfsgid(2).
pub fn setfsgid(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    change(cx, |cred, capable| Ok(groups(cred).set_fs(args.uint(0), capable)))
}

/// getgroups(2): with size 0 only the count.
pub fn getgroups(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let size = usize::try_from(args.int(0)).map_err(|_| Errno::EINVAL)?;
    let cred = cx.process.cred();
    if size > 0 {
        if size < cred.groups.len() {
            return Err(Errno::EINVAL);
        }
        for (i, group) in cred.groups.iter().enumerate() {
            abi::put(cx.memory(), args.addr(1).add(4 * i as u64), group)?;
        }
    }
    Ok(cred.groups.len() as u64)
}

/// setgroups(2).
pub fn setgroups(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let count = args.size(0);
    change(cx, |cred, capable| {
        if !capable {
            return Err(Errno::EPERM);
        }
        if count > NGROUPS_MAX {
            return Err(Errno::EINVAL);
        }
        let groups: Result<Vec<u32>> =
            (0..count).map(|i| abi::get(cx.memory(), args.addr(1).add(4 * i as u64))).collect();
        cred.groups = groups?;
        Ok(0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(cred: &Cred) -> [u32; 4] {
        [cred.uid, cred.euid, cred.suid, cred.fsuid]
    }

    #[test]
    fn the_superuser_gives_everything_up_with_setuid() {
        let mut cred = Cred::ROOT;
        assert_eq!(users(&mut cred).set_one(7, true), Ok(()));
        assert_eq!(ids(&cred), [7; 4]);
        assert_eq!(users(&mut cred).set_one(0, false), Err(Errno::EPERM));
    }

    #[test]
    fn setreuid_moves_the_saved_id() {
        let mut cred = Cred::ROOT;
        assert_eq!(users(&mut cred).set_two(KEEP, 5, true), Ok(()));
        assert_eq!(ids(&cred), [0, 5, 5, 5]);
        assert_eq!(users(&mut cred).set_two(5, 0, false), Ok(()));
        assert_eq!(users(&mut cred).set_two(9, KEEP, false), Err(Errno::EPERM));
    }

    #[test]
    fn setresuid_keeps_what_is_minus_one() {
        let mut cred = Cred::user(3, 3);
        assert_eq!(users(&mut cred).set(KEEP, KEEP, KEEP, false), Ok(()));
        assert_eq!(users(&mut cred).set(KEEP, 4, KEEP, false), Err(Errno::EPERM));
        assert_eq!(ids(&cred), [3; 4]);
    }

    #[test]
    fn setfsuid_answers_the_old_one() {
        let mut cred = Cred::user(3, 3);
        assert_eq!(users(&mut cred).set_fs(9, false), 3);
        assert_eq!(cred.fsuid, 3);
        assert_eq!(users(&mut cred).set_fs(9, true), 3);
        assert_eq!(cred.fsuid, 9);
    }
}
