//! The steps of a workload: each is one system call, or nearly.
//!
//! A step is done to the file system and, as far as it succeeded, to the model. Paths are relative to the
//! actor's own directory (see [`super::play`]).

use std::fmt;
use std::sync::Arc;

use base::{Errno, PAGE_SIZE, PageIndex, Result};
use vfs::{File, Mmap, OpenFlags, fsync, read_write};

use super::pattern;
use crate::around::write_direct_all;
use crate::machine::Machine;
use crate::model::{Id, Model, RenameHow};

/// How a file is opened for a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// Nothing is promised.
    Plain,
    /// O_SYNC.
    Sync,
    /// O_DSYNC.
    Dsync,
    /// O_DIRECT: at multiples of 512 bytes.
    Direct,
    /// O_DIRECT and O_DSYNC.
    DirectDsync,
    /// A store to a shared mapping, within the file.
    Mapped,
    /// The same, and msync of it.
    Msync,
}

impl How {
    /// The flags of open(2), as arm64 numbers them, of a way that goes by write(2).
    pub(super) const fn open_flags(self) -> Option<u32> {
        match self {
            How::Plain => Some(0),
            How::Sync => Some(0o4_010_000),
            How::Dsync => Some(0o10_000),
            How::Direct => Some(0o200_000),
            How::DirectDsync => Some(0o210_000),
            How::Mapped | How::Msync => None,
        }
    }
}

/// What fallocate(2) is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Room, and a larger file.
    Extend,
    /// Room alone.
    KeepSize,
    /// A hole.
    Punch,
    /// Zeros.
    Zero,
    /// What comes after moves down.
    Collapse,
    /// What comes after moves up.
    Insert,
}

impl Mode {
    /// FALLOC_FL_*.
    pub(super) const fn bits(self) -> u32 {
        match self {
            Mode::Extend => 0,
            Mode::KeepSize => 1,
            Mode::Punch => 3,
            Mode::Zero => 0x10,
            Mode::Collapse => 8,
            Mode::Insert => 0x20,
        }
    }
}

/// One step; its fields are those of the system call.
#[derive(Clone, Debug)]
pub enum Step {
    Create(String),
    Write {
        path: String,
        pos: u64,
        len: usize,
        how: How,
    },
    Truncate {
        path: String,
        len: u64,
    },
    Fallocate {
        path: String,
        mode: Mode,
        pos: u64,
        len: u64,
    },
    Fsync(String),
    Fdatasync(String),
    Sync,
    /// The flusher starts on everything; nobody waits, nothing is flushed.
    WriteBack,
    Mkdir(String),
    Rmdir(String),
    Unlink(String),
    Rename {
        old: String,
        new: String,
    },
    Exchange {
        old: String,
        new: String,
    },
    Link {
        old: String,
        new: String,
    },
    Symlink {
        target: String,
        path: String,
    },
    SetXattr {
        path: String,
        name: String,
        len: usize,
    },
    RemoveXattr {
        path: String,
        name: String,
    },
    Chmod {
        path: String,
        mode: u32,
    },
    /// The file stays open.
    Hold(String),
    WriteHeld {
        pos: u64,
        len: usize,
    },
    FsyncHeld,
    LetGo,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{self:?}");
        f.write_str(text.strip_suffix(" }").unwrap_or(&text).replace(" { ", " ").trim())
    }
}

/// Who does steps: where, and what is held open.
pub(super) struct Hands<'a> {
    pub machine: &'a Machine,
    /// The actor's directory: "" or "/w0".
    pub prefix: &'a str,
    pub held: Option<Arc<File>>,
}

impl Hands<'_> {
    fn full(&self, path: &str) -> String {
        match format!("{}{path}", self.prefix) {
            root if root.is_empty() => "/".into(),
            path => path,
        }
    }

    /// Does it: the bytes written, of a write, which may be fewer than asked. `file` is whose bytes a
    /// write writes, and `stamp` marks them. The error is the system call's.
    pub fn perform(&mut self, step: &Step, file: Id, stamp: u32) -> Result<usize> {
        match step {
            Step::Write { path, pos, len, how } => {
                let bytes = pattern::fill(file as u32, stamp, *pos, *len);
                let to = |flags| self.machine.open(self.full(path), flags, 0);
                match how {
                    How::Plain => write(&*to(OpenFlags::WRONLY)?, *pos, &bytes),
                    How::Sync => write(&*to(OpenFlags::WRONLY | OpenFlags::SYNC)?, *pos, &bytes),
                    How::Dsync => write(&*to(OpenFlags::WRONLY | OpenFlags::DSYNC)?, *pos, &bytes),
                    How::Direct => direct(&*to(OpenFlags::WRONLY | OpenFlags::DIRECT)?, *pos, &bytes),
                    How::DirectDsync => {
                        let file = to(OpenFlags::WRONLY | OpenFlags::DIRECT)?;
                        let done = direct(&file, *pos, &bytes)?;
                        // As generic_write_sync does for O_DSYNC.
                        fsync::fsync_range(&file, *pos, *pos + done as u64 - 1, true).map(|()| done)
                    }
                    How::Mapped => store_mapped(&*to(OpenFlags::RDWR)?, *pos, &bytes),
                    How::Msync => {
                        let file = to(OpenFlags::RDWR)?;
                        let done = store_mapped(&file, *pos, &bytes)?;
                        fsync::fsync_range(&file, *pos, *pos + done as u64 - 1, true).map(|()| done)
                    }
                }
            }
            Step::WriteHeld { pos, len } => {
                let to = self.held.as_ref().ok_or(Errno::EBADF)?;
                write(to, *pos, &pattern::fill(file as u32, stamp, *pos, *len))
            }
            Step::Hold(path) => {
                self.held = Some(self.machine.open(self.full(path), OpenFlags::RDWR, 0)?);
                Ok(0)
            }
            Step::LetGo => {
                self.held = None;
                Ok(0)
            }
            step => self.simple(step).map(|()| 0),
        }
    }

    /// What needs no open file of its own.
    fn simple(&self, step: &Step) -> Result<()> {
        let machine = self.machine;
        match step {
            Step::Create(path) => machine.create(self.full(path), 0o644),
            Step::Truncate { path, len } => machine.truncate(self.full(path), *len),
            Step::Fallocate { path, mode, pos, len } => {
                machine.fallocate(self.full(path), mode.bits(), *pos, *len)
            }
            Step::Mkdir(path) => machine.mkdir(self.full(path)),
            Step::Rmdir(path) => machine.rmdir(self.full(path)),
            Step::Unlink(path) => machine.unlink(self.full(path)),
            Step::Rename { old, new } => machine.rename(self.full(old), self.full(new)),
            Step::Exchange { old, new } => machine.rename_flags(self.full(old), self.full(new), 2),
            Step::Link { old, new } => machine.link(self.full(old), self.full(new)),
            Step::Symlink { target, path } => machine.symlink(target, self.full(path)),
            Step::SetXattr { path, name, len } => {
                machine.set_xattr(self.full(path), name, &xattr_value(*len), 0)
            }
            Step::RemoveXattr { path, name } => machine.remove_xattr(self.full(path), name),
            Step::Chmod { path, mode } => machine.chmod(self.full(path), *mode),
            Step::Fsync(path) => machine.fsync(self.full(path)),
            Step::Fdatasync(path) => {
                fsync::fsync(&*machine.open(self.full(path), OpenFlags::empty(), 0)?, true)
            }
            Step::FsyncHeld => fsync::fsync(self.held.as_ref().ok_or(Errno::EBADF)?, false),
            Step::Sync => machine.sync(),
            Step::WriteBack => machine.vfs_mount().superblock().sync(false),
            Step::Write { .. } | Step::WriteHeld { .. } | Step::Hold(_) | Step::LetGo => Err(Errno::EINVAL),
        }
    }
}

/// All bytes, or as many as it takes; an error only for the first.
fn write(file: &File, pos: u64, bytes: &[u8]) -> Result<usize> {
    let mut done = 0;
    while done < bytes.len() {
        match read_write::kernel_write(file, &bytes[done..], pos + done as u64) {
            Ok(0) => return Err(Errno::EIO),
            Ok(n) => done += n,
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// The same around the page cache.
fn direct(file: &File, pos: u64, bytes: &[u8]) -> Result<usize> {
    match write_direct_all(file, bytes, pos) {
        (0, done) => done.map(|()| 0),
        (done, _) => Ok(done),
    }
}

/// Stores to a shared mapping, a page at a time: each is made dirty by its fault.
fn store_mapped(file: &File, pos: u64, bytes: &[u8]) -> Result<usize> {
    let Mmap::Pages { mapping, ops } = file.ops().mmap(file)? else { return Err(Errno::ENODEV) };
    let mut done = 0;
    while done < bytes.len() {
        let at = pos + done as u64;
        let offset = at as usize % PAGE_SIZE;
        let piece = &bytes[done..bytes.len().min(done + PAGE_SIZE - offset)];
        let _steady = mapping.invalidate_lock_shared();
        match ops.page_mkwrite(&mapping, PageIndex(at / PAGE_SIZE as u64)) {
            Ok(page) => page.frame().write(offset, piece),
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        }
        done += piece.len();
    }
    Ok(done)
}

/// The bytes of an extended attribute.
pub(super) fn xattr_value(len: usize) -> Vec<u8> {
    pattern::fill(0xffff, len as u32, 0, len)
}

/// What a step did to the model.
#[derive(Clone, Default, Debug)]
pub(super) struct Effect {
    /// Inodes that were changed.
    pub touched: Vec<Id>,
    /// The file whose bytes were changed.
    pub file: Option<Id>,
    /// Bytes moved to other places of the file.
    pub shifted: bool,
}

impl Effect {
    fn of_file(id: Id) -> Effect {
        Effect { touched: vec![id], file: Some(id), shifted: false }
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

impl Step {
    /// Whether it changes nothing by itself.
    pub(super) const fn only_syncs(&self) -> bool {
        matches!(self, Step::Fsync(_) | Step::Fdatasync(_) | Step::FsyncHeld | Step::Sync | Step::WriteBack)
    }

    /// The file that it names or that is held: whose bytes it writes or syncs.
    pub(super) fn file(&self, model: &Model, held: Option<Id>) -> Option<Id> {
        match self {
            Step::Fsync(path) | Step::Fdatasync(path) | Step::Write { path, .. } | Step::Hold(path) => {
                model.find(path.as_bytes()).ok()
            }
            Step::FsyncHeld | Step::WriteHeld { .. } => held,
            _ => None,
        }
    }

    /// Does it to the model: of a write, `done` bytes. The error is the one that the file system must
    /// give.
    pub(super) fn apply(
        &self,
        model: &mut Model,
        held: Option<Id>,
        stamp: u32,
        done: usize,
    ) -> Result<Effect> {
        match self {
            Step::Write { pos, .. } | Step::WriteHeld { pos, .. } => {
                let id = self.file(model, held).ok_or(Errno::ENOENT)?;
                model.pwrite(id, *pos as usize, &pattern::fill(id as u32, stamp, *pos, done))?;
                Ok(Effect::of_file(id))
            }
            Step::Truncate { path, len } => {
                let id = model.find(path.as_bytes())?;
                model.truncate(id, *len as usize)?;
                Ok(Effect::of_file(id))
            }
            Step::Fallocate { path, mode, pos, len } => {
                let id = model.find(path.as_bytes())?;
                allocate(model.bytes_mut(id)?, *mode, *pos as usize, *len as usize);
                let shifted = matches!(mode, Mode::Collapse | Mode::Insert);
                Ok(Effect { shifted, ..Effect::of_file(id) })
            }
            step => {
                // Who is touched is asked before, for what goes, and after, for what comes.
                let mut touched = step.concerned(model);
                step.apply_names(model)?;
                touched.extend(step.concerned(model));
                touched.sort_unstable();
                touched.dedup();
                let file = match step {
                    Step::Create(path) => model.find(path.as_bytes()).ok(),
                    _ => None,
                };
                Ok(Effect { touched, file, shifted: false })
            }
        }
    }

    fn apply_names(&self, model: &mut Model) -> Result<()> {
        match self {
            Step::Create(path) => model.create(path.as_bytes(), 0o644),
            Step::Mkdir(path) => model.mkdir(path.as_bytes()),
            Step::Rmdir(path) => model.rmdir(path.as_bytes()),
            Step::Unlink(path) => model.unlink(path.as_bytes()),
            Step::Rename { old, new } => model.rename(old.as_bytes(), new.as_bytes(), RenameHow::Plain),
            Step::Exchange { old, new } => model.rename(old.as_bytes(), new.as_bytes(), RenameHow::Exchange),
            Step::Link { old, new } => model.link(old.as_bytes(), new.as_bytes()),
            Step::Symlink { target, path } => model.symlink(target.as_bytes(), path.as_bytes()),
            Step::SetXattr { path, name, len } => model.set_xattr(path.as_bytes(), name, &xattr_value(*len)),
            Step::RemoveXattr { path, name } => model.remove_xattr(path.as_bytes(), name),
            Step::Chmod { path, mode } => model.chmod(path.as_bytes(), *mode),
            // The others change nothing.
            _ => Ok(()),
        }
    }

    /// The inodes that a step on names or attributes reads or changes.
    fn concerned(&self, model: &Model) -> Vec<Id> {
        let paths: Vec<&str> = match self {
            Step::Create(path)
            | Step::Mkdir(path)
            | Step::Rmdir(path)
            | Step::Unlink(path)
            | Step::Symlink { path, .. } => vec![path, parent(path)],
            Step::Rename { old, new } | Step::Exchange { old, new } => {
                vec![old, new, parent(old), parent(new)]
            }
            // The directory of the old name stays as it is.
            Step::Link { old, new } => vec![old, new, parent(new)],
            Step::SetXattr { path, .. } | Step::RemoveXattr { path, .. } | Step::Chmod { path, .. } => {
                vec![path]
            }
            _ => Vec::new(),
        };
        paths.into_iter().filter_map(|path| model.find(path.as_bytes()).ok()).collect()
    }
}

/// What fallocate does to a file's bytes.
fn allocate(bytes: &mut Vec<u8>, mode: Mode, pos: usize, len: usize) {
    let end = pos + len;
    match mode {
        Mode::KeepSize => {}
        Mode::Extend => bytes.resize(bytes.len().max(end), 0),
        Mode::Punch => {
            let end = end.min(bytes.len());
            bytes[pos.min(end)..end].fill(0);
        }
        Mode::Zero => {
            bytes.resize(bytes.len().max(end), 0);
            bytes[pos..end].fill(0);
        }
        Mode::Collapse => drop(bytes.drain(pos.min(bytes.len())..end.min(bytes.len()))),
        Mode::Insert if pos > bytes.len() => {}
        Mode::Insert => drop(bytes.splice(pos..pos, std::iter::repeat_n(0, len))),
    }
}
