//! Who asks: the credentials of a task, and the checks that depend on them.
//!
//! `fsuid` and `fsgid` are what file access goes by (credentials(7)). Who has fsuid 0 has every
//! capability: Quill has no capability sets.

use alloc::vec::Vec;

use crate::attr::{FileType, Ownership, S_ISGID, S_ISVTX, S_IXGRP};

/// The credentials of a task.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Cred {
    /// Real user.
    pub uid: u32,
    /// Effective user.
    pub euid: u32,
    /// Saved user.
    pub suid: u32,
    /// The user file access goes by; follows euid.
    pub fsuid: u32,
    /// Real group.
    pub gid: u32,
    /// Effective group.
    pub egid: u32,
    /// Saved group.
    pub sgid: u32,
    /// The group file access goes by; follows egid.
    pub fsgid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// What somebody wants to do with an inode: MAY_READ 4, MAY_WRITE 2, MAY_EXEC 1, or'ed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Want(u32);

impl Want {
    /// Nothing: whether it exists.
    pub const NOTHING: Want = Want(0);
    /// Execute, or search a directory.
    pub const EXEC: Want = Want(1);
    /// Write.
    pub const WRITE: Want = Want(2);
    /// Read.
    pub const READ: Want = Want(4);
    /// Add or remove a directory's entries.
    pub const CHANGE_DIR: Want = Want(3);

    /// From the mode of access(2), of which only three bits are looked at.
    pub const fn from_bits(bits: u32) -> Want {
        Want(bits & 7)
    }

    /// Both.
    pub const fn and(self, other: Want) -> Want {
        Want(self.0 | other.0)
    }

    /// Whether all of `other` is wanted.
    pub const fn has(self, other: Want) -> bool {
        self.0 & other.0 == other.0
    }
}

impl Cred {
    /// The superuser.
    pub const ROOT: Cred =
        Cred { uid: 0, euid: 0, suid: 0, fsuid: 0, gid: 0, egid: 0, sgid: 0, fsgid: 0, groups: Vec::new() };

    /// A user with one group and no more.
    pub const fn user(uid: u32, gid: u32) -> Cred {
        Cred {
            uid,
            euid: uid,
            suid: uid,
            fsuid: uid,
            gid,
            egid: gid,
            sgid: gid,
            fsgid: gid,
            groups: Vec::new(),
        }
    }

    /// Whether every check that a capability overrides is passed.
    pub const fn capable(&self) -> bool {
        self.fsuid == 0
    }

    /// Whether limits on what a disk, a queue or a table holds are not for this one (CAP_SYS_RESOURCE, which
    /// goes with the effective user and not with that of file access).
    pub const fn may_exceed_limits(&self) -> bool {
        self.euid == 0
    }

    /// Whether file access goes by this group too (`in_group_p`).
    pub fn in_group(&self, gid: u32) -> bool {
        self.fsgid == gid || self.groups.contains(&gid)
    }

    /// Whether it owns the inode or may act as if (`inode_owner_or_capable`).
    pub const fn owns(&self, inode: &Ownership) -> bool {
        self.fsuid == inode.uid || self.capable()
    }

    /// The credentials access(2) asks about: the real ids.
    pub fn real(&self) -> Cred {
        Cred { fsuid: self.uid, fsgid: self.gid, ..self.clone() }
    }

    /// Whether the permission bits let this one do it (`generic_permission`). The superuser may
    /// all but execute a file that nobody may execute.
    pub fn permits(&self, inode: &Ownership, want: Want) -> bool {
        if self.capable() {
            let directory = FileType::of_mode(inode.mode) == Some(FileType::Directory);
            return directory || !want.has(Want::EXEC) || inode.mode & 0o111 != 0;
        }
        let bits = if inode.uid == self.fsuid {
            inode.mode >> 6
        } else if self.in_group(inode.gid) {
            inode.mode >> 3
        } else {
            inode.mode
        };
        Want::from_bits(bits).has(want)
    }

    /// Whether the sticky bit of `dir` keeps this one from removing `victim` (`check_sticky`).
    pub const fn sticky_forbids(&self, dir: &Ownership, victim: &Ownership) -> bool {
        dir.mode & S_ISVTX != 0 && self.fsuid != victim.uid && self.fsuid != dir.uid && !self.capable()
    }

    /// Mode, owner and group of a new inode in `dir` (`inode_init_owner`): a directory with S_ISGID
    /// hands its group on, and to directories the bit itself. `mode` has its type bits.
    pub fn init_owner(&self, dir: &Ownership, mode: u32) -> Ownership {
        let mut new = Ownership { mode, uid: self.fsuid, gid: self.fsgid };
        if dir.mode & S_ISGID != 0 {
            new.gid = dir.gid;
            if FileType::of_mode(mode) == Some(FileType::Directory) {
                new.mode |= S_ISGID;
            } else if mode & (S_ISGID | S_IXGRP) == S_ISGID | S_IXGRP
                && !self.in_group(new.gid)
                && !self.capable()
            {
                new.mode &= !S_ISGID;
            }
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: u32 = 0o100000;
    const DIR: u32 = 0o040000;

    fn of(mode: u32, uid: u32, gid: u32) -> Ownership {
        Ownership { mode, uid, gid }
    }

    #[test]
    fn the_first_class_that_fits_decides() {
        let user = Cred::user(7, 7);
        // The owner is held to the owner's bits, even when others may more.
        assert!(!user.permits(&of(FILE | 0o077, 7, 7), Want::READ));
        assert!(!user.permits(&of(FILE | 0o707, 1, 7), Want::READ));
        assert!(user.permits(&of(FILE | 0o004, 1, 1), Want::READ));
        assert!(!user.permits(&of(FILE | 0o004, 1, 1), Want::READ.and(Want::WRITE)));
        let member = Cred { groups: [9].to_vec(), ..user };
        assert!(member.permits(&of(FILE | 0o060, 1, 9), Want::READ.and(Want::WRITE)));
    }

    #[test]
    fn root_may_all_but_run_what_nobody_may() {
        assert!(Cred::ROOT.permits(&of(FILE, 5, 5), Want::READ.and(Want::WRITE)));
        assert!(!Cred::ROOT.permits(&of(FILE | 0o644, 5, 5), Want::EXEC));
        assert!(Cred::ROOT.permits(&of(FILE | 0o010, 5, 5), Want::EXEC));
        assert!(Cred::ROOT.permits(&of(DIR, 5, 5), Want::EXEC));
    }

    #[test]
    fn sticky() {
        let (dir, victim) = (of(DIR | 0o1777, 1, 1), of(FILE, 2, 2));
        assert!(Cred::user(3, 3).sticky_forbids(&dir, &victim));
        assert!(!Cred::user(2, 3).sticky_forbids(&dir, &victim));
        assert!(!Cred::user(1, 3).sticky_forbids(&dir, &victim));
        assert!(!Cred::ROOT.sticky_forbids(&dir, &victim));
        assert!(!Cred::user(3, 3).sticky_forbids(&of(DIR | 0o777, 1, 1), &victim));
    }

    #[test]
    fn a_setgid_directory_hands_on_its_group() {
        let user = Cred::user(7, 8);
        assert_eq!(user.init_owner(&of(DIR | 0o777, 1, 5), FILE | 0o644), of(FILE | 0o644, 7, 8));
        let dir = of(DIR | 0o2777, 1, 5);
        assert_eq!(user.init_owner(&dir, FILE | 0o644), of(FILE | 0o644, 7, 5));
        assert_eq!(user.init_owner(&dir, DIR | 0o755), of(DIR | 0o2755, 7, 5));
        assert_eq!(user.init_owner(&dir, FILE | 0o2755), of(FILE | 0o755, 7, 5));
    }

    #[test]
    fn access_asks_with_the_real_ids() {
        let cred = Cred { uid: 5, gid: 6, ..Cred::ROOT };
        let real = cred.real();
        assert_eq!((real.fsuid, real.fsgid), (5, 6));
        assert!(!real.capable());
    }
}
