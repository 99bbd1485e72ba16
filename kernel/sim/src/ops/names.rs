//! Operations on names.

use base::DevId;

use crate::model::RenameHow;
use crate::run::{Run, brief};

impl Run {
    /// One operation on names.
    pub(crate) fn names(&mut self) {
        match self.rng.below(17) {
            0 | 1 => self.mkdir(),
            2 => self.symlink(),
            3 | 4 => self.link(),
            5 | 6 => self.unlink_one(),
            7 => self.rmdir(),
            8..=10 => self.rename(),
            11 | 12 => self.rename_special(),
            13 => self.many(),
            14 => self.mknod(),
            _ => self.create(),
        }
    }

    fn mkdir(&mut self) {
        let path = self.some_path();
        self.note(format!("mkdir {}", brief(&path)));
        let real = self.machine().mkdir(&path);
        self.both(real, |model| model.mkdir(&path));
    }

    fn mknod(&mut self) {
        let path = self.some_path();
        let kind = *self.rng.pick(&[0o010000, 0o020000, 0o060000, 0o140000]);
        let (major, minor) = (self.rng.length(4095) as u32, self.rng.length(0xf_ffff) as u32);
        // Linux keeps the number of devices alone.
        let rdev = if kind & 0o020000 == 0 { DevId::new(0, 0) } else { DevId::new(major, minor) };
        self.note(format!("mknod {} {kind:o} {major}:{minor}", brief(&path)));
        let real = self.machine().mknod(&path, kind | 0o640, rdev);
        self.both(real, |model| model.mknod(&path, kind | 0o640, rdev));
    }

    fn symlink(&mut self) {
        let path = self.some_path();
        let len = *self.rng.pick(&[1usize, 5, 58, 59, 60, 61, 200, 1000]);
        let target = vec![b'a' + self.rng.below(26) as u8; len];
        self.note(format!("symlink of {len} bytes, {}", brief(&path)));
        let real = self.machine().symlink(&target, &path);
        self.both(real, |model| model.symlink(&target, &path));
    }

    fn link(&mut self) {
        let Some(old) = self.existing("flsd") else { return };
        let new = self.some_path();
        self.note(format!("link {} {}", brief(&old), brief(&new)));
        let real = self.machine().link(&old, &new);
        self.both(real, |model| model.link(&old, &new));
    }

    pub(super) fn unlink_one(&mut self) {
        let kinds = if self.rng.one_in(8) { "d" } else { "fl" };
        let Some(path) = self.existing(kinds) else { return };
        self.note(format!("unlink {}", brief(&path)));
        let real = self.machine().unlink(&path);
        self.both(real, |model| model.unlink(&path));
    }

    fn rmdir(&mut self) {
        let kinds = if self.rng.one_in(8) { "fls" } else { "d" };
        let Some(path) = self.existing(kinds) else { return };
        self.note(format!("rmdir {}", brief(&path)));
        let real = self.machine().rmdir(&path);
        self.both(real, |model| model.rmdir(&path));
    }

    fn rename(&mut self) {
        let Some(old) = self.existing("dfls") else { return };
        let new = self.some_path();
        self.note(format!("rename {} {}", brief(&old), brief(&new)));
        let real = self.machine().rename(&old, &new);
        self.both(real, |model| model.rename(&old, &new, RenameHow::Plain));
    }

    fn rename_special(&mut self) {
        let Some(old) = self.existing("dfls") else { return };
        let how = *self.rng.pick(&[
            RenameHow::NoReplace,
            RenameHow::Exchange,
            RenameHow::Exchange,
            RenameHow::Whiteout,
        ]);
        let there = self.existing("dfls");
        let both_there = how == RenameHow::Exchange && !self.rng.one_in(8);
        let new = if both_there { there.unwrap_or_default() } else { self.some_path() };
        self.note(format!("renameat2({how:?}) {} {}", brief(&old), brief(&new)));
        let real = self.machine().rename_flags(&old, &new, how.flags());
        self.both(real, |model| model.rename(&old, &new, how));
    }

    /// Many names in one directory, so that it needs blocks and an index; or many fewer.
    fn many(&mut self) {
        let dir = self.directory();
        let (first, count) = (self.rng.below(100), 1 + self.rng.below(60));
        let remove = self.rng.one_in(3);
        let verb = if remove { "remove" } else { "make" };
        self.note(format!("{verb} many-{first} and {count} more in {}", brief(&dir)));
        for number in first..first + count {
            let path =
                [&dir[..], b"/", format!("many names make a directory large {number}").as_bytes()].concat();
            if remove {
                let real = self.machine().unlink(&path);
                self.both(real, |model| model.unlink(&path));
            } else {
                let real = self.machine().create(&path, 0o644);
                self.both(real, |model| model.create(&path, 0o644));
            }
        }
    }
}
