//! The operations of a [`Run`]: each does one thing to the file system and to the model, and compares
//! the answers.

use base::time::Timespec;
use base::{DevId, Errno};
use vfs::OpenFlags;
use vfs::attr_ops::TimeUpdate;

use crate::machine;
use crate::run::{Run, brief};

impl Run {
    /// A path that is there, of these kinds: `d`, `f`, `l`.
    pub(crate) fn existing(&mut self, kinds: &str) -> Option<Vec<u8>> {
        let mut paths = self.model.paths();
        paths.retain(|(_, kind)| kinds.contains(*kind));
        paths.sort();
        (!paths.is_empty()).then(|| self.rng.pick(&paths).0.clone())
    }

    fn directory(&mut self) -> Vec<u8> {
        if self.rng.one_in(3) { Vec::new() } else { self.existing("d").unwrap_or_default() }
    }

    fn name(&mut self) -> Vec<u8> {
        let number = self.rng.below(40);
        match self.rng.below(12) {
            0 => format!("{number:0>255}").into_bytes(),
            1 => [&b"\xff\x80 \t"[..], format!("{number}").as_bytes()].concat(),
            2 => format!("{}{number}", "long".repeat(1 + self.rng.below(50) as usize)).into_bytes(),
            _ => format!("n{number}").into_bytes(),
        }
    }

    /// A path in an existing directory, mostly of a name that is not there.
    fn some_path(&mut self) -> Vec<u8> {
        if self.rng.one_in(6)
            && let Some(path) = self.existing("dfls")
        {
            return path;
        }
        let dir = self.directory();
        [&dir[..], b"/", &self.name()].concat()
    }

    fn pos(&mut self, len: usize) -> u64 {
        match self.rng.below(4) {
            0 => self.rng.length(self.max_file),
            1 => len as u64,
            _ => self.rng.below(len as u64 + 1),
        }
    }

    /// One operation on bytes.
    pub(crate) fn data(&mut self) {
        match self.rng.below(12) {
            0..=2 => self.create(),
            3..=6 => self.pwrite(),
            7 => self.truncate(),
            8 => self.open_or_close(),
            9 | 10 => self.use_open(),
            _ => self.read(),
        }
    }

    fn create(&mut self) {
        let path = self.some_path();
        self.note(format!("create {}", brief(&path)));
        let mode = 0o600 | self.rng.below(0o100) as u32;
        let real = self.machine().create(&path, mode);
        let expected = self.model.create(&path, mode);
        self.same(real, expected);
    }

    fn pwrite(&mut self) {
        let Some(path) = self.existing("f") else { return self.create() };
        let Ok(id) = self.model.find(&path) else { return };
        let len = self.model.bytes(id).map_or(0, Vec::len);
        if self.model.total() > self.budget {
            return self.unlink_one();
        }
        let pos = self.pos(len);
        let count = self.rng.length(self.max_file.saturating_sub(pos).min(100_000)) as usize;
        let bytes = self.rng.bytes(count);
        self.note(format!("pwrite {} at {pos:#x}, {count:#x} bytes (was {len:#x})", brief(&path)));
        let real = self.machine().pwrite(&path, pos, &bytes);
        let expected = self.model.pwrite(id, pos as usize, &bytes);
        self.same(real, expected);
    }

    fn truncate(&mut self) {
        let Some(path) = self.existing("f") else { return };
        let Ok(id) = self.model.find(&path) else { return };
        let len = self.model.bytes(id).map_or(0, Vec::len);
        let to = self.pos(len);
        self.note(format!("truncate {} from {len:#x} to {to:#x}", brief(&path)));
        let real = self.machine().truncate(&path, to);
        let expected = self.model.truncate(id, to as usize);
        self.same(real, expected);
    }

    fn read(&mut self) {
        let Some(path) = self.existing("f") else { return };
        let Ok(id) = self.model.find(&path) else { return };
        self.note(format!("read {}", brief(&path)));
        let real = self.machine().read_file(&path);
        let expected = self.model.bytes(id).cloned().ok_or(Errno::EINVAL);
        if real != expected {
            self.fail("the file does not read as it was written");
        }
    }

    /// Opens a file to keep, or closes one; what is open lives on when its names go.
    fn open_or_close(&mut self) {
        if self.open.len() > 3 || (!self.open.is_empty() && self.rng.one_in(2)) {
            let index = self.rng.below(self.open.len() as u64) as usize;
            self.note("close".into());
            self.open.swap_remove(index);
            return;
        }
        let Some(path) = self.existing("f") else { return };
        let Ok(id) = self.model.find(&path) else { return };
        self.note(format!("open {}", brief(&path)));
        match self.machine().open(&path, OpenFlags::RDWR, 0) {
            Ok(file) => self.open.push((file, id)),
            Err(errno) => self.fail(&format!("open: {errno}")),
        }
    }

    fn use_open(&mut self) {
        if self.open.is_empty() {
            return self.pwrite();
        }
        let index = self.rng.below(self.open.len() as u64) as usize;
        let (file, id) = self.open[index].clone();
        let len = self.model.bytes(id).map_or(0, Vec::len);
        if self.rng.one_in(3) {
            self.note("read an open file".into());
            let real = machine::read_all(&file);
            if real.ok().as_ref() != self.model.bytes(id) {
                self.fail("an open file does not read as it was written");
            }
            return;
        }
        let pos = self.pos(len);
        let count = self.rng.length(self.max_file.saturating_sub(pos).min(20_000)) as usize;
        let bytes = self.rng.bytes(count);
        self.note(format!("write to an open file at {pos:#x}, {count:#x} bytes"));
        let real = machine::write_all(&file, &bytes, pos);
        let expected = self.model.pwrite(id, pos as usize, &bytes);
        self.same(real, expected);
    }

    /// One operation on names.
    pub(crate) fn names(&mut self) {
        match self.rng.below(21) {
            19 => self.set_xattr(),
            20 => self.remove_xattr(),
            16 => self.mknod(),
            17 => self.chown(),
            18 => self.utimens(),
            0 | 1 => self.mkdir(),
            2 => self.symlink(),
            3 | 4 => self.link(),
            5 | 6 => self.unlink_one(),
            7 => self.rmdir(),
            8..=10 => self.rename(),
            11 => self.rename_special(),
            12 => self.chmod(),
            13 => self.many(),
            _ => self.create(),
        }
    }

    fn mkdir(&mut self) {
        let path = self.some_path();
        self.note(format!("mkdir {}", brief(&path)));
        let real = self.machine().mkdir(&path);
        let expected = self.model.mkdir(&path);
        self.same(real, expected);
    }

    fn mknod(&mut self) {
        let path = self.some_path();
        let kind = *self.rng.pick(&[0o010000, 0o020000, 0o060000, 0o140000]);
        let (major, minor) = (self.rng.length(4095) as u32, self.rng.length(0xf_ffff) as u32);
        // Linux keeps the number of devices alone.
        let rdev = if kind & 0o020000 == 0 { DevId::new(0, 0) } else { DevId::new(major, minor) };
        self.note(format!("mknod {} {kind:o} {major}:{minor}", brief(&path)));
        let real = self.machine().mknod(&path, kind | 0o640, rdev);
        let expected = self.model.mknod(&path, kind | 0o640, rdev);
        self.same(real, expected);
    }

    fn chown(&mut self) {
        let Some(path) = self.existing("dfls") else { return };
        let (uid, gid) = (self.rng.length(0xffff_fffe) as u32, self.rng.length(0xffff_fffe) as u32);
        self.note(format!("chown {uid}:{gid} {}", brief(&path)));
        let real = self.machine().chown(&path, uid, gid);
        let expected = self.model.chown(&path, uid, gid);
        self.same(real, expected);
    }

    fn utimens(&mut self) {
        let Some(path) = self.existing("dfls") else { return };
        // 34 bits of seconds from 1901 on; 32 where the inode is small.
        let span = if self.fine { 1 << 34 } else { 1 << 32 };
        let sec = self.rng.below(span) as i64 - (1 << 31);
        let time = Timespec { sec, nsec: self.rng.below(1_000_000_000) as u32 };
        self.note(format!("utimens {} {sec} s", brief(&path)));
        let real = self.machine().utimens(&path, TimeUpdate::Omit, TimeUpdate::To(time));
        let expected = self.model.set_mtime(&path, time);
        self.same(real, expected);
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
        let max = if self.rng.one_in(3) { 900 } else { 90 };
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

    fn symlink(&mut self) {
        let path = self.some_path();
        let len = *self.rng.pick(&[1usize, 5, 58, 59, 60, 61, 200, 1000]);
        let target = vec![b'a' + self.rng.below(26) as u8; len];
        self.note(format!("symlink of {len} bytes, {}", brief(&path)));
        let real = self.machine().symlink(&target, &path);
        let expected = self.model.symlink(&target, &path);
        self.same(real, expected);
    }

    fn link(&mut self) {
        let Some(old) = self.existing("flsd") else { return };
        let new = self.some_path();
        self.note(format!("link {} {}", brief(&old), brief(&new)));
        let real = self.machine().link(&old, &new);
        let expected = self.model.link(&old, &new);
        self.same(real, expected);
    }

    fn unlink_one(&mut self) {
        let kinds = if self.rng.one_in(8) { "d" } else { "fl" };
        let Some(path) = self.existing(kinds) else { return };
        self.note(format!("unlink {}", brief(&path)));
        let real = self.machine().unlink(&path);
        let expected = self.model.unlink(&path);
        self.same(real, expected);
    }

    fn rmdir(&mut self) {
        let kinds = if self.rng.one_in(8) { "fls" } else { "d" };
        let Some(path) = self.existing(kinds) else { return };
        self.note(format!("rmdir {}", brief(&path)));
        let real = self.machine().rmdir(&path);
        let expected = self.model.rmdir(&path);
        self.same(real, expected);
    }

    fn rename(&mut self) {
        let Some(old) = self.existing("dfls") else { return };
        let new = self.some_path();
        self.note(format!("rename {} {}", brief(&old), brief(&new)));
        let real = self.machine().rename(&old, &new);
        let expected = self.model.rename(&old, &new, 0);
        self.same(real, expected);
    }

    fn rename_special(&mut self) {
        let Some(old) = self.existing("dfls") else { return };
        let exchange = self.rng.one_in(2);
        let there = self.existing("dfls");
        let new = if exchange && !self.rng.one_in(8) { there.unwrap_or_default() } else { self.some_path() };
        let flags = if exchange { 2 } else { [1, 4, 5][self.rng.below(3) as usize] };
        self.note(format!("renameat2({flags}) {} {}", brief(&old), brief(&new)));
        let real = self.machine().rename_flags(&old, &new, flags);
        let expected = self.model.rename(&old, &new, flags);
        self.same(real, expected);
    }

    fn chmod(&mut self) {
        let Some(path) = self.existing("dfls") else { return };
        let mode = self.rng.below(0o1000) as u32;
        self.note(format!("chmod {mode:o} {}", brief(&path)));
        let real = self.machine().chmod(&path, mode);
        let expected = self.model.chmod(&path, mode);
        self.same(real, expected);
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
            let (real, expected) = if remove {
                (self.machine().unlink(&path), self.model.unlink(&path))
            } else {
                (self.machine().create(&path, 0o644), self.model.create(&path, 0o644))
            };
            self.same(real, expected);
        }
    }
}
