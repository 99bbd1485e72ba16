//! The steps of a workload: each is one system call, or nearly.
//!
//! A step is done to the file system and, as far as it succeeded, to the model. Paths are relative to the
//! actor's own directory (see [`super::play`]).

use std::fmt;
use std::sync::Arc;

use base::{Errno, Result};
use vfs::{File, OpenFlags, fsync, read_write};

use super::pattern;
use crate::machine::Machine;
use crate::model::{Id, Model};

/// How a file is opened for a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// Nothing is promised.
    Plain,
    /// O_SYNC.
    Sync,
    /// O_DSYNC.
    Dsync,
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
    const fn bits(self) -> u32 {
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
    /// The file that is held, and its inode of the model.
    pub held: Option<(Arc<File>, Id)>,
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

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

impl Hands<'_> {
    fn full(&self, path: &str) -> String {
        match format!("{}{path}", self.prefix) {
            root if root.is_empty() => "/".into(),
            path => path,
        }
    }

    /// Does it. `stamp` marks what is written. The error is the system call's.
    pub fn perform(&mut self, step: &Step, model: &mut Model, stamp: u32) -> Result<Effect> {
        match step {
            Step::Write { path, pos, len, how } => {
                let flags = match how {
                    How::Plain => OpenFlags::WRONLY,
                    How::Sync => OpenFlags::WRONLY | OpenFlags::SYNC,
                    How::Dsync => OpenFlags::WRONLY | OpenFlags::DSYNC,
                };
                let id = model.find(path.as_bytes())?;
                let file = self.machine.open(self.full(path), flags, 0)?;
                write(&file, model, id, *pos, *len, stamp)
            }
            Step::WriteHeld { pos, len } => {
                let (file, id) = self.held.as_ref().ok_or(Errno::EBADF)?;
                write(file, model, *id, *pos, *len, stamp)
            }
            Step::Truncate { path, len } => {
                self.machine.truncate(self.full(path), *len)?;
                let id = model.find(path.as_bytes())?;
                model.truncate(id, *len as usize)?;
                Ok(Effect::of_file(id))
            }
            Step::Fallocate { path, mode, pos, len } => {
                self.machine.fallocate(self.full(path), mode.bits(), *pos, *len)?;
                let id = model.find(path.as_bytes())?;
                allocate(model.bytes_mut(id)?, *mode, *pos as usize, *len as usize);
                let shifted = matches!(mode, Mode::Collapse | Mode::Insert);
                Ok(Effect { shifted, ..Effect::of_file(id) })
            }
            Step::Hold(path) => {
                let file = self.machine.open(self.full(path), OpenFlags::RDWR, 0)?;
                self.held = Some((file, model.find(path.as_bytes())?));
                Ok(Effect::default())
            }
            Step::LetGo => {
                self.held = None;
                Ok(Effect::default())
            }
            _ => self.perform_names(step, model).or_else(|errno| match errno {
                Errno::ENOSYS => self.perform_sync(step).map(|()| Effect::default()),
                errno => Err(errno),
            }),
        }
    }

    fn perform_sync(&self, step: &Step) -> Result<()> {
        match step {
            Step::Fsync(path) => self.machine.fsync(self.full(path)),
            Step::Fdatasync(path) => {
                fsync::fsync(&*self.machine.open(self.full(path), OpenFlags::empty(), 0)?, true)
            }
            Step::FsyncHeld => fsync::fsync(&self.held.as_ref().ok_or(Errno::EBADF)?.0, false),
            Step::Sync => self.machine.sync(),
            Step::WriteBack => self.machine.vfs_mount().superblock().sync(false),
            _ => Err(Errno::ENOSYS),
        }
    }

    /// ENOSYS when it has nothing to do with names or attributes.
    fn perform_names(&self, step: &Step, model: &mut Model) -> Result<Effect> {
        let machine = self.machine;
        // Who is touched is asked before, for what goes, and after, for what comes.
        let mut touched = self.concerned(step, model);
        match step {
            Step::Create(path) => {
                machine.create(self.full(path), 0o644)?;
                model.create(path.as_bytes(), 0o644)?;
            }
            Step::Mkdir(path) => {
                machine.mkdir(self.full(path))?;
                model.mkdir(path.as_bytes())?;
            }
            Step::Rmdir(path) => {
                machine.rmdir(self.full(path))?;
                model.rmdir(path.as_bytes())?;
            }
            Step::Unlink(path) => {
                machine.unlink(self.full(path))?;
                model.unlink(path.as_bytes())?;
            }
            Step::Rename { old, new } => {
                machine.rename(self.full(old), self.full(new))?;
                model.rename(old.as_bytes(), new.as_bytes(), 0)?;
            }
            Step::Exchange { old, new } => {
                machine.rename_flags(self.full(old), self.full(new), 2)?;
                model.rename(old.as_bytes(), new.as_bytes(), 2)?;
            }
            Step::Link { old, new } => {
                machine.link(self.full(old), self.full(new))?;
                model.link(old.as_bytes(), new.as_bytes())?;
            }
            Step::Symlink { target, path } => {
                machine.symlink(target, self.full(path))?;
                model.symlink(target.as_bytes(), path.as_bytes())?;
            }
            Step::SetXattr { path, name, len } => {
                let value = pattern::fill(0xffff, *len as u32, 0, *len);
                machine.set_xattr(self.full(path), name, &value, 0)?;
                model.set_xattr(path.as_bytes(), name, &value)?;
            }
            Step::RemoveXattr { path, name } => {
                machine.remove_xattr(self.full(path), name)?;
                model.remove_xattr(path.as_bytes(), name)?;
            }
            Step::Chmod { path, mode } => {
                machine.chmod(self.full(path), *mode)?;
                model.chmod(path.as_bytes(), *mode)?;
            }
            _ => return Err(Errno::ENOSYS),
        }
        touched.extend(self.concerned(step, model));
        touched.sort_unstable();
        touched.dedup();
        let fresh = match step {
            Step::Create(path) => model.find(path.as_bytes()).ok(),
            _ => None,
        };
        Ok(Effect { touched, file: fresh, shifted: false })
    }

    /// The inodes that a step on names or attributes reads or changes.
    fn concerned(&self, step: &Step, model: &Model) -> Vec<Id> {
        let paths: Vec<&str> = match step {
            Step::Create(path)
            | Step::Mkdir(path)
            | Step::Rmdir(path)
            | Step::Unlink(path)
            | Step::Symlink { path, .. } => vec![path, parent(path)],
            Step::Rename { old, new } | Step::Exchange { old, new } | Step::Link { old, new } => {
                vec![old, new, parent(old), parent(new)]
            }
            Step::SetXattr { path, .. } | Step::RemoveXattr { path, .. } | Step::Chmod { path, .. } => {
                vec![path]
            }
            _ => Vec::new(),
        };
        paths.into_iter().filter_map(|path| model.find(path.as_bytes()).ok()).collect()
    }
}

impl Effect {
    fn of_file(id: Id) -> Effect {
        Effect { touched: vec![id], file: Some(id), shifted: false }
    }
}

/// Writes a file's own bytes; the model gets what the file system took, also when it took less.
fn write(file: &File, model: &mut Model, id: Id, pos: u64, len: usize, stamp: u32) -> Result<Effect> {
    let bytes = pattern::fill(id as u32, stamp, pos, len);
    let mut done = 0;
    let mut error = None;
    while done < len && error.is_none() {
        match read_write::kernel_write(file, &bytes[done..], pos + done as u64) {
            Ok(0) => error = Some(Errno::EIO),
            Ok(n) => done += n,
            Err(errno) => error = Some(errno),
        }
    }
    model.pwrite(id, pos as usize, &bytes[..done])?;
    match error {
        Some(errno) if done == 0 => Err(errno),
        _ => Ok(Effect::of_file(id)),
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
        Mode::Collapse => drop(bytes.drain(pos..end)),
        Mode::Insert => drop(bytes.splice(pos..pos, std::iter::repeat_n(0, len))),
    }
}
