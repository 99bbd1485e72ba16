//! Operations on content.

use std::sync::Arc;

use base::{Errno, Result};
use vfs::{File, OpenFlags};

use crate::around::{read_direct, write_direct_all};
use crate::machine;
use crate::model::Id;
use crate::run::{Run, brief};

/// The modes of fallocate(2), some of them wrong.
const MODES: [u32; 14] = [0, 0, 1, 1, 3, 3, 0x10, 0x11, 8, 8, 0x20, 0x20, 2, 9];
const COLLAPSE_OR_INSERT: u32 = 0x28;

impl Run {
    fn pos(&mut self, len: usize) -> u64 {
        match self.rng.below(4) {
            0 => self.rng.length(self.max_file),
            1 => len as u64,
            _ => self.rng.below(len as u64 + 1),
        }
    }

    fn len(&self, id: Id) -> usize {
        self.model.bytes(id).map_or(0, Vec::len)
    }

    /// One operation on bytes.
    pub(crate) fn data(&mut self) {
        match self.rng.below(17) {
            0..=2 => self.create(),
            3..=6 => self.pwrite(),
            7 => self.truncate(),
            8 => self.open_or_close(),
            9 | 10 => self.use_open(),
            11..=13 => self.fallocate(),
            14 => self.tmpfile(),
            15 => self.name_open(),
            _ => self.read(),
        }
    }

    pub(super) fn create(&mut self) {
        let path = self.some_path();
        self.note(format!("create {}", brief(&path)));
        let mode = 0o600 | self.rng.below(0o100) as u32;
        let real = self.machine().create(&path, mode);
        self.both(real, |model| model.create(&path, mode));
    }

    /// A file with a name, and whether there is room for more.
    fn file_to_fill(&mut self) -> Option<(Vec<u8>, Id)> {
        let path = self.existing("f")?;
        let id = self.model.find(&path).ok()?;
        if self.model.total() > self.budget {
            self.unlink_one();
            return None;
        }
        Some((path, id))
    }

    /// Opens a file for writing, as far as the model lets it.
    fn open_for_writing(&mut self, path: &[u8], id: Id) -> Option<Arc<File>> {
        let real = self.machine().open(path, OpenFlags::RDWR, 0);
        self.same(real.as_ref().map(|_| ()).map_err(|e| *e), self.model.open_for_writing(id));
        real.ok()
    }

    fn pwrite(&mut self) {
        let Some((path, id)) = self.file_to_fill() else { return };
        let len = self.len(id);
        let pos = self.pos(len);
        let count = self.rng.length(self.max_file.saturating_sub(pos).min(100_000)) as usize;
        self.note(format!("pwrite {} at {pos:#x}, {count:#x} bytes (was {len:#x})", brief(&path)));
        if let Some(file) = self.open_for_writing(&path, id) {
            self.write(&file, id, pos, count);
        }
    }

    /// A place and a length as a direct write wants them: in whole sectors.
    fn aligned(&mut self, pos: u64, count: usize) -> (u64, usize) {
        const SECTOR: u64 = 512;
        self.note("… around the cache".into());
        let unit = if self.rng.one_in(3) { SECTOR } else { self.model.abilities().block.max(SECTOR) };
        // The budget is far below a usize.
        (pos / unit * unit, (count as u64).next_multiple_of(unit) as usize)
    }

    /// Writes; what there is no room for is not there.
    fn write(&mut self, file: &File, id: Id, pos: u64, count: usize) {
        let direct = self.rng.one_in(4);
        let (pos, count) = if direct { self.aligned(pos, count) } else { (pos, count) };
        let bytes = self.rng.bytes(count);
        let (done, real) = match direct {
            true => write_direct_all(file, &bytes, pos),
            false => machine::write_some(file, &bytes, pos),
        };
        if self.crowded && real == Err(Errno::ENOSPC) {
            self.no_room();
            self.model.write_without_room(id);
            let expected = self.model.pwrite(id, pos as usize, &bytes[..done]);
            return self.same(Ok(()), expected);
        }
        let expected = self.model.pwrite(id, pos as usize, &bytes);
        self.same(real, expected);
    }

    fn truncate(&mut self) {
        let Some(path) = self.existing("f") else { return };
        let Ok(id) = self.model.find(&path) else { return };
        let len = self.len(id);
        let to = self.pos(len);
        self.note(format!("truncate {} from {len:#x} to {to:#x}", brief(&path)));
        let real = self.machine().truncate(&path, to);
        self.both(real, |model| model.truncate(id, to as usize));
    }

    fn read(&mut self) {
        if self.rng.one_in(3) {
            return self.read_dir();
        }
        let Some(path) = self.existing("f") else { return };
        let Ok(id) = self.model.find(&path) else { return };
        self.note(format!("read {}", brief(&path)));
        let real = match self.rng.one_in(4) {
            true => self
                .machine()
                .open(&path, OpenFlags::empty(), 0)
                .and_then(|file| read_direct(&file, 0, self.len(id).next_multiple_of(512))),
            false => self.machine().read_file(&path),
        };
        self.has_read(id, real);
    }

    fn has_read(&mut self, id: Id, real: Result<Vec<u8>>) {
        if real.as_ref().ok() != self.model.bytes(id) {
            self.fail("the file does not read as it was written");
        }
        // To read nothing is no access.
        if self.len(id) > 0 {
            self.model.accessed(id);
        }
    }

    fn read_dir(&mut self) {
        let path = self.directory();
        let Ok(id) = self.model.find(&path) else { return };
        self.note(format!("read the directory {}", brief(&path)));
        let place = if path.is_empty() { &b"/"[..] } else { &path };
        if let Err(errno) = self.machine().read_dir(place) {
            self.fail(&format!("getdents: {errno}"));
        }
        self.model.accessed(id);
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
        if let Some(file) = self.open_for_writing(&path, id) {
            self.open.push((file, id));
        }
    }

    fn tmpfile(&mut self) {
        if self.open.len() > 3 {
            return self.open_or_close();
        }
        let dir = self.directory();
        self.note(format!("open O_TMPFILE in {}", brief(&dir)));
        let place = if dir.is_empty() { &b"/"[..] } else { &dir };
        let real = self.machine().tmpfile(place, 0o640);
        if self.crowded && real.as_ref().err() == Some(&Errno::ENOSPC) {
            return self.no_room();
        }
        let expected = self.model.tmpfile(&dir, 0o640);
        self.same(real.as_ref().map(|_| ()).map_err(|e| *e), expected.map(|_| ()));
        if let (Ok(file), Ok(id)) = (real, expected) {
            self.open.push((file, id));
        }
    }

    fn an_open_one(&mut self) -> Option<(Arc<File>, Id)> {
        (!self.open.is_empty()).then(|| self.rng.pick(&self.open).clone())
    }

    /// linkat(2) of what is open: a file of O_TMPFILE gets its first name.
    fn name_open(&mut self) {
        let Some((file, id)) = self.an_open_one() else { return self.tmpfile() };
        let path = self.some_path();
        self.note(format!("linkat an open file to {}", brief(&path)));
        let real = self.machine().link_file(&file, &path);
        self.both(real, |model| model.link_open(id, &path));
    }

    fn use_open(&mut self) {
        let Some((file, id)) = self.an_open_one() else { return self.pwrite() };
        if self.rng.one_in(3) {
            self.note("read an open file".into());
            let real = machine::read_all(&file);
            return self.has_read(id, real);
        }
        if self.rng.one_in(4) {
            return self.fallocate_open(&file, id);
        }
        let len = self.len(id);
        let pos = self.pos(len);
        let count = self.rng.length(self.max_file.saturating_sub(pos).min(20_000)) as usize;
        self.note(format!("write to an open file at {pos:#x}, {count:#x} bytes"));
        self.write(&file, id, pos, count);
    }

    fn fallocate(&mut self) {
        let Some((path, id)) = self.file_to_fill() else { return };
        self.note(format!("fallocate {}", brief(&path)));
        if let Some(file) = self.open_for_writing(&path, id) {
            self.fallocate_open(&file, id);
        }
    }

    fn fallocate_open(&mut self, file: &File, id: Id) {
        let size = self.len(id) as u64;
        let mode = *self.rng.pick(&MODES);
        let mut offset = self.pos(size as usize).min(self.max_file - 1);
        let mut len = 1 + self.rng.length(self.max_file.saturating_sub(offset).min(120_000));
        let block = self.model.abilities().block;
        if self.rng.one_in(2) || (mode & COLLAPSE_OR_INSERT != 0 && !self.rng.one_in(6)) {
            (offset, len) = (offset / block * block, len.next_multiple_of(block));
        }
        if mode == 0x20 && size + len > self.max_file {
            return;
        }
        self.note(format!("… fallocate mode {mode:#x}, {offset:#x}, {len:#x} bytes (size {size:#x})"));
        let real = self.machine().fallocate_file(file, mode, offset, len);
        let range = (offset as usize, len as usize);
        if self.crowded && real == Err(Errno::ENOSPC) {
            self.no_room();
            return self.allocated_partly(file, id, mode, range);
        }
        let expected = self.model.fallocate(id, mode, range.0, range.1);
        self.same(real, expected);
    }

    fn allocated_partly(&mut self, file: &File, id: Id, mode: u32, range: (usize, usize)) {
        let moved = self.model.is_now(file.inode().attr().ctime);
        let done = match machine::read_all(file) {
            Ok(now) => self.model.fallocated_partly(id, mode, range, now, moved),
            Err(errno) => Err(format!("{errno}")),
        };
        if let Err(why) = done {
            self.fail(&format!("after ENOSPC from fallocate: {why}"));
        }
        if self.len(id) > 0 {
            self.model.accessed(id);
        }
    }

    /// Fills the disk but for a little.
    pub(crate) fn crowd(&mut self) {
        const STEP: usize = 200_000;
        let path = b"/filler";
        self.note("fill the disk".into());
        let real = self.machine().create(path, 0o600);
        self.both(real, |model| model.create(path, 0o600));
        let Ok(id) = self.model.find(path) else { return };
        let before = self.refusals;
        while self.refusals == before {
            let pos = self.len(id) as u64;
            if let Some(file) = self.open_for_writing(path, id) {
                self.write(&file, id, pos, STEP);
            }
        }
        let room = 2000 + self.rng.length(400_000) as usize;
        let to = self.len(id).saturating_sub(room);
        let real = self.machine().truncate(path, to as u64);
        self.both(real, |model| model.truncate(id, to));
    }
}
