//! Operations on what an inode says of itself.

use base::Errno;
use base::time::Timespec;
use vfs::attr_ops::TimeUpdate;

use crate::model::{ACCESS, Acl, DEFAULT, flag};
use crate::run::{Run, brief};

impl Run {
    /// One operation on attributes.
    pub(crate) fn attributes(&mut self) {
        match self.rng.below(13) {
            0 => self.chmod(),
            1 => self.chown(),
            2 => self.utimens(),
            3..=5 => self.set_xattr(),
            6 => self.remove_xattr(),
            7 | 8 => self.set_acl(),
            9 => self.remove_acl(),
            10 | 11 => self.chattr(),
            _ => self.set_project(),
        }
    }

    fn chmod(&mut self) {
        let Some(path) = self.existing("dfls") else { return };
        let mode = self.rng.below(if self.rng.clone().one_in(3) { 0o10000 } else { 0o1000 }) as u32;
        self.note(format!("chmod {mode:o} {}", brief(&path)));
        let real = self.machine().chmod(&path, mode);
        self.both(real, |model| model.chmod(&path, mode));
    }

    fn chown(&mut self) {
        let Some(path) = self.existing("dfls") else { return };
        let (uid, gid) = (self.rng.length(0xffff_fffe) as u32, self.rng.length(0xffff_fffe) as u32);
        self.note(format!("chown {uid}:{gid} {}", brief(&path)));
        let real = self.machine().chown(&path, uid, gid);
        self.both(real, |model| model.chown(&path, uid, gid));
    }

    /// 34 bits of seconds from 1901 on; 32 where the inode is small.
    fn moment(&mut self) -> Timespec {
        let span = if self.model.abilities().fine { 1 << 34 } else { 1 << 32 };
        let sec = self.rng.below(span) as i64 - (1 << 31);
        Timespec { sec, nsec: self.rng.below(1_000_000_000) as u32 }
    }

    fn utimens(&mut self) {
        let Some(path) = self.existing("dfls") else { return };
        let (atime, mtime) = (self.moment(), self.moment());
        let (atime, mtime) = match self.rng.below(3) {
            0 => (Some(atime), None),
            1 => (None, Some(mtime)),
            _ => (Some(atime), Some(mtime)),
        };
        self.note(format!("utimens {} {atime:?} {mtime:?}", brief(&path)));
        let update = |time: Option<Timespec>| time.map_or(TimeUpdate::Omit, TimeUpdate::To);
        let real = self.machine().utimens(&path, update(atime), update(mtime));
        self.both(real, |model| model.utimens(&path, atime, mtime));
    }

    /// A path and the name of an attribute that it may have: of links and devices, trusted ones only.
    fn place_of_xattr(&mut self) -> Option<(Vec<u8>, String)> {
        let trusted = self.rng.one_in(3);
        let path = self.existing(if trusted { "dfls" } else { "df" })?;
        let space = if trusted { "trusted" } else { "user" };
        let number = self.rng.below(6);
        Some((path, format!("{space}.{}{number}", "n".repeat(number as usize * 3))))
    }

    /// ENOSPC is the file system's to say: how much fits is the format's business.
    fn set_xattr(&mut self) {
        let Some((path, name)) = self.place_of_xattr() else { return };
        let max = *self.rng.pick(&[90, 90, 900, 3900]);
        let len = self.rng.length(max) as usize;
        let value = self.rng.bytes(len);
        self.note(format!("setxattr {} {name}, {len} bytes", brief(&path)));
        let real = self.machine().set_xattr(&path, &name, &value, 0);
        if real == Err(Errno::ENOSPC) {
            return;
        }
        let expected = self.model.set_xattr(&path, &name, &value);
        self.same(real, expected);
    }

    fn remove_xattr(&mut self) {
        let Some((path, name)) = self.place_of_xattr() else { return };
        self.note(format!("removexattr {} {name}", brief(&path)));
        let real = self.machine().remove_xattr(&path, &name);
        let expected = self.model.remove_xattr(&path, &name);
        self.same(real, expected);
    }

    fn some_acl(&mut self) -> Acl {
        let mut perm = || self.rng.below(8) as u16;
        let (owner, group, other, mask) = (perm(), perm(), perm(), perm());
        let mut named = |max: u64| -> Vec<(u32, u16)> {
            let count = self.rng.below(max) as u32;
            (0..count).map(|id| (id * 1000 + self.rng.below(1000) as u32, self.rng.below(8) as u16)).collect()
        };
        let (users, groups) = (named(4), named(3));
        Acl::new(owner, group, other, &users, &groups, mask)
    }

    fn set_acl(&mut self) {
        let default = self.rng.one_in(2);
        let Some(path) = self.existing(if default { "d" } else { "dfs" }) else { return };
        let acl = self.some_acl();
        let name = if default { DEFAULT } else { ACCESS };
        self.note(format!("setfacl {name} {} {acl:?}", brief(&path)));
        let real = self.machine().set_xattr(&path, name, &acl.value(), 0);
        if real == Err(Errno::ENOSPC) {
            return;
        }
        let model = &mut self.model;
        let expected = if default { model.set_default(&path, &acl) } else { model.set_access(&path, &acl) };
        self.same(real, expected);
    }

    fn remove_acl(&mut self) {
        let default = self.rng.one_in(2);
        let Some(path) = self.existing(if default { "d" } else { "dfs" }) else { return };
        let name = if default { DEFAULT } else { ACCESS };
        self.note(format!("setfacl, none: {name} {}", brief(&path)));
        let real = self.machine().remove_xattr(&path, name);
        let expected = self.model.remove_acl(&path, name);
        self.same(real, expected);
    }

    /// chattr(1). Not many things stay fixed, or nothing would happen any more.
    fn chattr(&mut self) {
        let fixed = self.model.fixed();
        let thaw = !fixed.is_empty() && !self.rng.one_in(3);
        let path = if thaw { Some(self.rng.pick(&fixed).clone()) } else { self.existing("df") };
        let Some(path) = path else { return };
        let mut flags = self.rng.bits() as u32 & flag::ALL & !(flag::IMMUTABLE | flag::APPEND);
        if !self.model.is_directory(&path) && !self.rng.one_in(6) {
            flags &= flag::SYNC | flag::NODUMP | flag::NOATIME | flag::JOURNAL_DATA;
        }
        if !thaw && self.rng.one_in(3) {
            flags |= *self.rng.pick(&[flag::IMMUTABLE, flag::APPEND]);
        }
        self.note(format!("chattr {flags:#x} {}", brief(&path)));
        let machine = self.machine();
        let real = machine.flags(&path).and_then(|now| machine.set_flags(&path, now & !flag::ALL | flags));
        self.both(real, |model| model.set_flags(&path, flags));
    }

    fn set_project(&mut self) {
        let Some(path) = self.existing("df") else { return };
        let project = self.rng.below(3) as u32;
        self.note(format!("project {project} {}", brief(&path)));
        let real = self.machine().set_project(&path, project);
        self.both(real, |model| model.set_project(&path, project));
    }
}
