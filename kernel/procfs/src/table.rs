//! Every file of /proc: path, mode, and how it is made.
//!
//! Three directories of rows: the system's, and the program's twice, since what `/proc/1` shows is
//! shown by `/proc/1/task/1` too ([`Scope`]). A row's place in its table is its inode number, so
//! rows are added at the end of their table.

use base::{Ino, Result};
use kernfs::child_name;
use vfs::{FileType, Path};

use crate::fs::ProcFs;
use crate::process::{io, limits, mounts, places, stat, status, strings};
use crate::source::{Mounted, ProcessView, Setting};
use crate::sysctl;
use crate::system::{activity, cpuinfo, disks, kernel, meminfo, vmstat};
use crate::text::Text;

/// Which table a row is of, and below which directory it stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Scope {
    /// /proc
    System,
    /// /proc/1
    Process,
    /// /proc/1/task/1
    Thread,
}

/// One file.
pub(crate) struct Row {
    /// Below the scope's directory; "" is the root of /proc.
    pub path: &'static str,
    /// Permission bits.
    pub mode: u32,
    /// What it is.
    pub what: What,
}

/// What a file is and where its content comes from.
pub(crate) enum What {
    /// A directory of the rows whose path goes on.
    Directory,
    /// A directory of another scope's rows.
    Enter(Scope),
    /// The directory of the open descriptors.
    Descriptors,
    /// A directory of what is mounted.
    Mounts(Mounted),
    /// Text about the system.
    System(fn(&ProcFs, &mut Text)),
    /// The same below /proc/sys, where not even the superuser opens for writing what cannot be
    /// written.
    Sysctl(fn(&ProcFs, &mut Text)),
    /// A number below /proc/sys that can be set.
    Setting(Setting),
    /// Text about the program.
    Process(fn(&dyn ProcessView, &mut Text)),
    /// The same, and what writing does.
    Writable(fn(&dyn ProcessView, &mut Text), fn(&dyn ProcessView, &[u8]) -> Result<()>),
    /// A link with this text, and the size stat tells of it.
    Link(&'static str, u64),
    /// A link to a place of the program.
    Place(fn(&dyn ProcessView) -> Path),
}

use What::{Descriptors, Directory, Enter, Link, Mounts, Place, Process, Sysctl, System, Writable};

const fn row(path: &'static str, mode: u32, what: What) -> Row {
    Row { path, mode, what }
}

const fn setting(path: &'static str, which: Setting) -> Row {
    row(path, 0o644, What::Setting(which))
}

#[rustfmt::skip]
static SYSTEM: &[Row] = &[
    row("", 0o555, Directory),
    row("self",        0o777, Link("1", 0)),
    row("thread-self", 0o777, Link("1/task/1", 0)),
    row("1",           0o555, Enter(Scope::Process)),
    row("cmdline",     0o444, System(kernel::cmdline)),
    row("cpuinfo",     0o444, System(cpuinfo::cpuinfo)),
    row("diskstats",   0o444, System(disks::diskstats)),
    row("filesystems", 0o444, System(kernel::filesystems)),
    row("loadavg",     0o444, System(activity::loadavg)),
    row("meminfo",     0o444, System(meminfo::meminfo)),
    row("mounts",      0o777, Link("self/mounts", 11)),
    row("partitions",  0o444, System(disks::partitions)),
    row("stat",        0o444, System(activity::stat)),
    row("uptime",      0o444, System(activity::uptime)),
    row("version",     0o444, System(kernel::version)),
    row("sys",         0o555, Directory),
    row("sys/fs",      0o555, Directory),
    setting("sys/fs/aio-max-nr", Setting::AioMaxNr),
    row("sys/fs/aio-nr",   0o444, Sysctl(sysctl::aio_nr)),
    row("sys/fs/file-max", 0o444, Sysctl(sysctl::file_max)),
    row("sys/fs/nr_open",  0o444, Sysctl(sysctl::nr_open)),
    row("sys/kernel",            0o555, Directory),
    row("sys/kernel/domainname", 0o444, Sysctl(sysctl::domainname)),
    row("sys/kernel/hostname",   0o444, Sysctl(sysctl::hostname)),
    row("sys/kernel/osrelease",  0o444, Sysctl(sysctl::osrelease)),
    row("sys/kernel/ostype",     0o444, Sysctl(sysctl::ostype)),
    row("sys/kernel/pid_max",    0o444, Sysctl(sysctl::pid_max)),
    row("sys/kernel/version",    0o444, Sysctl(sysctl::version)),
    row("sys/kernel/random",         0o555, Directory),
    row("sys/kernel/random/boot_id", 0o444, Sysctl(sysctl::boot_id)),
    row("sys/kernel/random/uuid",    0o444, Sysctl(sysctl::uuid)),
    row("sys/vm", 0o555, Directory),
    setting("sys/vm/dirty_background_ratio", Setting::DirtyBackgroundRatio),
    setting("sys/vm/dirty_expire_centisecs", Setting::DirtyExpireCentisecs),
    setting("sys/vm/dirty_ratio", Setting::DirtyRatio),
    setting("sys/vm/dirty_writeback_centisecs", Setting::DirtyWritebackCentisecs),
    row("sys/vm/overcommit_memory", 0o444, Sysctl(sysctl::overcommit_memory)),
    row("vmstat", 0o444, System(vmstat::vmstat)),
    setting("sys/kernel/ctrl-alt-del", Setting::CtrlAltDel),
    setting("sys/vm/dirty_background_bytes", Setting::DirtyBackgroundBytes),
    setting("sys/vm/dirty_bytes", Setting::DirtyBytes),
    row("sys/fs/pipe-max-size", 0o444, Sysctl(sysctl::pipe_max_size)),
    row("sys/vm/drop_caches", 0o200, What::Setting(Setting::DropCaches)),
    row("fs",      0o555, Directory),
    row("fs/jbd2", 0o555, Mounts(Mounted::Journals)),
    row("fs/ext4", 0o555, Mounts(Mounted::Ext4)),
];

#[rustfmt::skip]
static PROCESS: &[Row] = &[
    row("fd",        0o500, Descriptors),
    row("auxv",      0o400, Process(strings::auxv)),
    row("cmdline",   0o444, Process(strings::cmdline)),
    row("comm",      0o644, Writable(strings::comm, strings::set_comm)),
    row("cwd",       0o777, Place(places::cwd)),
    row("environ",   0o400, Process(strings::environ)),
    row("exe",       0o777, Place(places::exe)),
    row("io",        0o400, Process(io::io)),
    row("limits",    0o444, Process(limits::limits)),
    row("maps",      0o444, Process(strings::maps)),
    row("mountinfo", 0o444, Process(mounts::mountinfo)),
    row("mounts",    0o444, Process(mounts::mounts)),
    row("root",      0o777, Place(places::root)),
    row("stat",      0o444, Process(stat::stat)),
    row("statm",     0o444, Process(stat::statm)),
    row("status",    0o444, Process(status::status)),
    row("task",      0o555, Directory),
    row("task/1",    0o555, Enter(Scope::Thread)),
];

impl Scope {
    fn rows(self) -> &'static [Row] {
        match self {
            Scope::System => SYSTEM,
            Scope::Process | Scope::Thread => PROCESS,
        }
    }

    /// A thread has no threads.
    fn has(self, row: &Row) -> bool {
        self != Scope::Thread || !row.path.starts_with("task")
    }
}

/// Which inode: what stays the same while names, processes and files come and go.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Id {
    /// A row of a table.
    Row(Scope, usize),
    /// The link of an open descriptor.
    Descriptor(Scope, i32),
    /// The directory of something mounted, by its number.
    Mounted(Mounted, u32),
    /// What it tells of itself.
    Told(Mounted, u32),
}

impl Id {
    /// /proc itself.
    pub const ROOT: Id = Id::Row(Scope::System, 0);

    /// The inode number; the root's is 1, as in Linux.
    pub fn ino(self) -> Ino {
        let base = |scope| match scope {
            Scope::System => 1,
            Scope::Process => 1 << 32,
            Scope::Thread => 2 << 32,
        };
        let mounted = |what| (1 << 31) + if what == Mounted::Journals { 0 } else { 2 };
        Ino(match self {
            Id::Row(scope, index) => base(scope) + index as u64,
            Id::Descriptor(scope, fd) => base(scope) + (1 << 31) + u64::from(fd.unsigned_abs()),
            // The system's table has no descriptors, and no more rows than this.
            Id::Mounted(what, number) => mounted(what) + 4 * u64::from(number),
            Id::Told(what, number) => mounted(what) + 4 * u64::from(number) + 1,
        })
    }

    pub fn scope(self) -> Scope {
        match self {
            Id::Row(scope, _) | Id::Descriptor(scope, _) => scope,
            Id::Mounted(..) | Id::Told(..) => Scope::System,
        }
    }

    /// The row, for what is one. An index is made only by walking the table.
    pub fn row(self) -> Option<&'static Row> {
        match self {
            Id::Row(scope, index) => scope.rows().get(index),
            _ => None,
        }
    }

    /// What a row is.
    pub fn what(self) -> Option<&'static What> {
        self.row().map(|row| &row.what)
    }

    pub fn kind(self) -> FileType {
        match (self, self.what()) {
            (Id::Mounted(..), _) | (_, Some(Directory | Enter(_) | Descriptors | Mounts(_))) => {
                FileType::Directory
            }
            (Id::Descriptor(..), _) | (_, Some(Link(..) | Place(_))) => FileType::Symlink,
            _ => FileType::Regular,
        }
    }

    /// What stands in this directory by the tables: each with its name.
    pub fn children(self) -> impl Iterator<Item = (&'static str, Id)> {
        let (scope, prefix) = match (self, self.row()) {
            (Id::Row(scope, _), Some(Row { what: Directory, path, .. })) => (scope, Some(*path)),
            (_, Some(Row { what: Enter(scope), .. })) => (*scope, Some("")),
            _ => (self.scope(), None),
        };
        scope.rows().iter().enumerate().filter(move |(_, row)| scope.has(row)).filter_map(move |(i, row)| {
            let name = child_name(prefix?, row.path)?;
            Some((name, Id::Row(scope, i)))
        })
    }
}

/// Writes the text of a file, as it is now. None for what is no text, and when the program is needed
/// and there is none.
pub(crate) fn text_of(id: Id, fs: &ProcFs, text: &mut Text) -> Option<()> {
    if let Id::Told(what, number) = id {
        write!(text, "{}", fs.source.told(what, number)?);
        return Some(());
    }
    match id.what()? {
        System(make) | Sysctl(make) => make(fs, text),
        What::Setting(which) => writeln!(text, "{}", fs.source.setting(*which)),
        Process(make) | Writable(make, _) => make(&*fs.source.process()?, text),
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_stands_in_a_directory_of_the_tables() {
        for rows in [SYSTEM, PROCESS] {
            for row in rows {
                let Some((parent, _)) = row.path.rsplit_once('/') else { continue };
                let above = rows.iter().find(|r| r.path == parent);
                assert!(above.is_some_and(|r| matches!(r.what, Directory)), "{}", row.path);
            }
        }
    }

    #[test]
    fn paths_and_numbers_are_unique() {
        for scope in [Scope::System, Scope::Process] {
            for (i, row) in scope.rows().iter().enumerate() {
                assert!(scope.rows()[..i].iter().all(|r| r.path != row.path), "{}", row.path);
            }
        }
        assert_eq!(Id::ROOT.ino(), Ino(1));
        assert_ne!(Id::Row(Scope::Process, 0).ino(), Id::Descriptor(Scope::Process, 0).ino());
        assert_ne!(Id::Row(Scope::Process, 0).ino(), Id::Row(Scope::Thread, 0).ino());
        assert!(Id::Descriptor(Scope::Process, i32::MAX).ino() < Id::Row(Scope::Thread, 0).ino());
    }

    #[test]
    fn a_thread_lists_what_its_process_does_but_no_threads() {
        let names = |scope| {
            let at = scope_dir(scope);
            at.children().map(|(name, _)| name).collect::<std::vec::Vec<_>>()
        };
        let (process, thread) = (names(Scope::Process), names(Scope::Thread));
        assert!(process.contains(&"task") && !thread.contains(&"task"));
        assert_eq!(process.len(), thread.len() + 1);
    }

    fn scope_dir(wanted: Scope) -> Id {
        let enters = |(scope, rows): (Scope, &'static [Row])| {
            let i = rows.iter().position(|r| matches!(r.what, Enter(s) if s == wanted))?;
            Some(Id::Row(scope, i))
        };
        [(Scope::System, SYSTEM), (Scope::Process, PROCESS)].into_iter().find_map(enters).unwrap()
    }
}
