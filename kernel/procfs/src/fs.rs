//! The file system: its type, and its answers to kernfs.

use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

use base::{Errno, Ino, Result};
use kernfs::{Emit, FsType, LongWrite, Rules, Text, Tree};
use vfs::{FMode, File, FileType, Path, d_path};

use crate::source::{Mounted, ProcSource, ProcessView, Setting};
use crate::table::{Id, Scope, What, text_of};
use crate::{number, sysctl};

/// What lstat tells as the size of a descriptor's link, whatever its length.
const DESCRIPTOR_LINK_SIZE: u64 = 64;

/// The type whose files tell what `source` knows, for `vfs::register_filesystem`.
pub fn fs_type(source: Arc<dyn ProcSource>) -> FsType {
    let boot_id = sysctl::make_uuid(&*source);
    FsType::new(ProcFs { source, boot_id })
}

/// /proc.
pub(crate) struct ProcFs {
    pub source: Arc<dyn ProcSource>,
    /// /proc/sys/kernel/random/boot_id.
    pub boot_id: [u8; 16],
}

impl ProcFs {
    /// The program. ESRCH.
    fn process(&self) -> Result<Arc<dyn ProcessView>> {
        self.source.process().ok_or(Errno::ESRCH)
    }

    /// The open file of a descriptor's link. ENOENT when it was closed.
    fn file(&self, fd: i32) -> Result<Arc<File>> {
        self.process()?.file(fd).ok_or(Errno::ENOENT)
    }

    /// Sets a number to the first in `bytes`. Nothing sets nothing; EINVAL.
    fn set(&self, which: Setting, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let value = number::first(bytes)?;
        if !which.range().contains(&value) {
            return Err(Errno::EINVAL);
        }
        self.source.set(which, value);
        Ok(())
    }

    /// Whether it is /proc/1 before there is a program.
    fn is_absent_process(&self, id: Id) -> bool {
        matches!(id.what(), Some(What::Enter(_))) && self.source.process().is_none()
    }

    /// The link of a descriptor, when it is open and written as Linux writes it: no sign, no zeros in
    /// front.
    fn descriptor(&self, scope: Scope, name: &[u8]) -> Option<Id> {
        let fd: i32 = core::str::from_utf8(name).ok()?.parse().ok()?;
        let canonical = fd >= 0 && fd.to_string().as_bytes() == name;
        if !canonical {
            return None;
        }
        self.file(fd).ok()?;
        Some(Id::Descriptor(scope, fd))
    }

    /// A descriptor stands at its number, so that closing one moves no other.
    fn list_descriptors(&self, scope: Scope, from: u64, emit: &mut Emit<'_, Id>) -> Result<()> {
        for (fd, _) in self.process()?.files() {
            let position = u64::from(fd.unsigned_abs());
            if position >= from && !emit(position, fd.to_string().as_bytes(), Id::Descriptor(scope, fd)) {
                break;
            }
        }
        Ok(())
    }

    /// Each stands at its number.
    fn list_mounted(&self, what: Mounted, from: u64, emit: &mut Emit<'_, Id>) -> Result<()> {
        for entry in self.source.mounted(what) {
            let position = u64::from(entry.number);
            if position >= from && !emit(position, entry.name.as_bytes(), Id::Mounted(what, entry.number)) {
                break;
            }
        }
        Ok(())
    }
}

impl Tree for ProcFs {
    type Id = Id;

    /// Linux looks a new name up before it asks for a way to make it, and /proc says ENOENT.
    const RULES: Rules = Rules {
        name: "proc",
        magic: 0x9fa0,
        block_size: 1024,
        no_new_names: Some(Errno::ENOENT),
        keeps_changes: false,
        seeks_from_end: false,
        long_write: LongWrite::Swallowed,
    };

    fn root(&self) -> Id {
        Id::ROOT
    }

    fn ino(&self, id: Id) -> Ino {
        id.ino()
    }

    fn kind(&self, id: Id) -> FileType {
        id.kind()
    }

    /// A descriptor's link shows how the file was opened.
    fn mode(&self, id: Id) -> u32 {
        match id {
            Id::Row(..) => id.row().map_or(0, |row| row.mode),
            Id::Descriptor(_, fd) => self.file(fd).map_or(0, |file| link_mode(file.mode())),
            Id::Mounted(..) => 0o555,
            Id::Told(..) => 0o444,
        }
    }

    /// The program's files are its user's, the others root's.
    fn owner(&self, id: Id) -> (u32, u32) {
        let own = id.scope() != Scope::System || matches!(id.what(), Some(What::Enter(_)));
        let process = if own { self.source.process() } else { None };
        process.map_or((0, 0), |process| {
            let cred = process.cred();
            (cred.euid, cred.egid)
        })
    }

    fn size(&self, id: Id) -> u64 {
        match (id, id.what()) {
            (Id::Descriptor(..), _) => DESCRIPTOR_LINK_SIZE,
            (_, Some(What::Link(_, size))) => *size,
            _ => 0,
        }
    }

    /// Directories below /proc/sys do not count theirs, in Linux.
    fn links(&self, id: Id) -> u32 {
        let counts = !id.row().is_some_and(|row| row.path.starts_with("sys"));
        if id.kind() != FileType::Directory || !counts {
            return 1;
        }
        if let Some(What::Mounts(what)) = id.what() {
            return 2 + self.source.mounted(*what).len() as u32;
        }
        2 + id.children().filter(|(_, id)| id.kind() == FileType::Directory).count() as u32
    }

    fn lookup(&self, dir: Id, name: &[u8]) -> Option<Id> {
        if let Some(What::Descriptors) = dir.what() {
            return self.descriptor(dir.scope(), name);
        }
        match (dir, dir.what()) {
            (_, Some(What::Mounts(what))) => {
                let entries = self.source.mounted(*what);
                let found = entries.iter().find(|entry| entry.name.as_bytes() == name)?;
                return Some(Id::Mounted(*what, found.number));
            }
            (Id::Mounted(what, number), _) => {
                return (name == what.file().as_bytes()).then_some(Id::Told(what, number));
            }
            _ => {}
        }
        let (_, id) = dir.children().find(|(n, _)| n.as_bytes() == name)?;
        (!self.is_absent_process(id)).then_some(id)
    }

    /// A row stands at its place in the table.
    fn list(&self, dir: Id, from: u64, emit: &mut Emit<'_, Id>) -> Result<()> {
        if let Some(What::Descriptors) = dir.what() {
            return self.list_descriptors(dir.scope(), from, emit);
        }
        if let Some(What::Mounts(what)) = dir.what() {
            return self.list_mounted(*what, from, emit);
        }
        if let Id::Mounted(what, number) = dir {
            if from == 0 {
                emit(0, what.file().as_bytes(), Id::Told(what, number));
            }
            return Ok(());
        }
        for (name, id) in dir.children() {
            let Id::Row(_, index) = id else { continue };
            let wanted = index as u64 >= from && !self.is_absent_process(id);
            if wanted && !emit(index as u64, name.as_bytes(), id) {
                break;
            }
        }
        Ok(())
    }

    /// Descriptors and mounts come and go, and so does the program.
    fn fixed(&self, dir: Id) -> bool {
        !matches!(dir.what(), Some(What::Descriptors | What::Mounts(_))) && dir != Id::ROOT
    }

    fn show(&self, id: Id, text: &mut Text) -> Result<()> {
        text_of(id, self, text).ok_or(Errno::ESRCH)
    }

    fn store(&self, id: Id, bytes: &[u8]) -> Result<()> {
        match id.what() {
            Some(What::Writable(_, take)) => take(&*self.process()?, bytes),
            Some(What::Setting(which)) => self.set(*which, bytes),
            _ => Err(Errno::EIO),
        }
    }

    fn readlink(&self, id: Id) -> Result<Vec<u8>> {
        if let Some(What::Link(text, _)) = id.what() {
            return Ok(text.as_bytes().to_vec());
        }
        match self.jump(id)? {
            Some(place) => Ok(d_path(&place, &self.process()?.root())),
            None => Err(Errno::EINVAL),
        }
    }

    fn jump(&self, id: Id) -> Result<Option<Path>> {
        match (id, id.what()) {
            (Id::Descriptor(_, fd), _) => Ok(Some(self.file(fd)?.path().clone())),
            (_, Some(What::Place(place))) => Ok(Some(place(&*self.process()?))),
            _ => Ok(None),
        }
    }

    /// Files about the program that take nothing have no write at all, which is EINVAL; the system's
    /// have one that says EIO. Linux keeps the same difference.
    fn can_write(&self, id: Id) -> bool {
        !matches!(id.what(), Some(What::Process(_)))
    }

    fn binds_root(&self, id: Id) -> bool {
        matches!(id.what(), Some(What::Sysctl(_) | What::Setting(_)))
    }

    /// sysctl_writes_strict: a number is written whole and at the start.
    fn ignores_write(&self, id: Id, pos: u64) -> bool {
        pos > 0 && matches!(id.what(), Some(What::Setting(_)))
    }
}

fn link_mode(file: FMode) -> u32 {
    let read = if file.contains(FMode::READ) { 0o500 } else { 0 };
    let write = if file.contains(FMode::WRITE) { 0o300 } else { 0 };
    read | write
}
