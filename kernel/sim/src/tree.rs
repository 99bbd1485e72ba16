//! A whole directory tree as a value: what two file systems are compared by.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use base::Result;
use vfs::{Attr, FileType, OpenFlags};

use crate::machine::{Machine, read_all, read_names};
use crate::model::flag;
use crate::tools::Trouble;

/// What a name leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A file and its bytes.
    File(Vec<u8>),
    /// A directory.
    Directory,
    /// A link and its target.
    Symlink(Vec<u8>),
    /// Something else: the type bits of its mode and its device number.
    Special(u32, u64),
}

/// One name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Names of the inode.
    pub nlink: u32,
    /// Which names are of one inode: the first path that leads to it.
    pub same_as: Vec<u8>,
    /// Seconds and nanoseconds of atime, mtime and ctime, where they are known.
    pub times: Option<[(i64, u32); 3]>,
    /// Extended attributes.
    pub xattrs: BTreeMap<String, Vec<u8>>,
    /// chattr's flags, those that programs set, and the project; of files and directories.
    pub flags: Option<u32>,
    /// See there.
    pub project: Option<u32>,
}

impl Entry {
    /// On one line.
    pub fn in_words(&self) -> String {
        brief(Some(self))
    }
}

/// All names below a root, by path from there.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tree(pub BTreeMap<Vec<u8>, Entry>);

impl Tree {
    /// Of a mounted image; its atimes stay but those of links. `lost+found` is left out.
    pub fn of_machine(machine: &Machine) -> Result<Tree> {
        let mut tree = Tree::default();
        let mut seen = BTreeMap::new();
        let mut todo = vec![Vec::new()];
        while let Some(dir) = todo.pop() {
            let path = if dir.is_empty() { b"/".to_vec() } else { dir.clone() };
            let mut names: Vec<_> = read_names(&*machine.open(&path, OpenFlags::NOATIME, 0)?, usize::MAX)?
                .into_iter()
                .map(|(name, ..)| name)
                .collect();
            names.sort();
            for name in names {
                if name == b"." || name == b".." || (dir.is_empty() && name == b"lost+found") {
                    continue;
                }
                let path = [&dir[..], b"/", &name].concat();
                let entry = entry_of(machine, &path, &mut seen)?;
                if entry.kind == Kind::Directory {
                    todo.push(path.clone());
                }
                tree.0.insert(path, entry);
            }
        }
        tree.settle();
        Ok(tree)
    }

    /// Of a directory of the host.
    pub fn of_host(root: &Path) -> std::result::Result<Tree, Trouble> {
        let mut tree = Tree::default();
        let mut first = BTreeMap::new();
        let mut todo = vec![(Vec::new(), root.to_path_buf())];
        while let Some((prefix, dir)) = todo.pop() {
            for item in fs::read_dir(&dir)? {
                let item = item?;
                let path = [&prefix[..], b"/", item.file_name().as_bytes()].concat();
                if path == b"/lost+found" {
                    continue;
                }
                let meta = item.path().symlink_metadata()?;
                let kind = if meta.is_dir() {
                    todo.push((path.clone(), item.path()));
                    Kind::Directory
                } else if meta.is_symlink() {
                    Kind::Symlink(fs::read_link(item.path())?.as_os_str().as_bytes().to_vec())
                } else if meta.is_file() {
                    Kind::File(fs::read(item.path())?)
                } else {
                    Kind::Special(meta.mode() & 0o170000, meta.rdev())
                };
                first.entry(meta.ino()).or_insert_with(|| path.clone());
                let entry = Entry {
                    kind,
                    mode: meta.mode() & 0o7777,
                    owner: (meta.uid(), meta.gid()),
                    nlink: meta.nlink() as u32,
                    same_as: first[&meta.ino()].clone(),
                    times: Some([
                        (meta.atime(), meta.atime_nsec() as u32),
                        (meta.mtime(), meta.mtime_nsec() as u32),
                        (meta.ctime(), meta.ctime_nsec() as u32),
                    ]),
                    xattrs: BTreeMap::new(),
                    flags: None,
                    project: None,
                };
                tree.0.insert(path, entry);
            }
        }
        tree.settle();
        Ok(tree)
    }

    /// Makes `same_as` the least path of each inode, however the tree was walked.
    fn settle(&mut self) {
        let mut least: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        for (path, entry) in &self.0 {
            least.entry(entry.same_as.clone()).or_insert_with(|| path.clone());
        }
        for entry in self.0.values_mut() {
            entry.same_as = least[&entry.same_as].clone();
        }
    }

    /// With times as an inode keeps them: `fine` to the nanosecond, else to the second.
    pub fn with_times(mut self, fine: bool) -> Tree {
        for (_, nsec) in self.0.values_mut().filter_map(|e| e.times.as_mut()).flatten().filter(|_| !fine) {
            *nsec = 0;
        }
        self
    }

    /// Names, contents and targets alone: what debugfs's rdump keeps of an image. A file that lives in
    /// its inode it reads to the end of the room there, so zeroes at the end of small files do not count.
    pub fn contents_only(mut self) -> Tree {
        const ROOM: usize = 1024;
        for (path, entry) in &mut self.0 {
            if let Kind::File(bytes) = &mut entry.kind
                && bytes.len() <= ROOM
            {
                let len = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
                bytes.truncate(len);
            }
            *entry = Entry {
                mode: 0,
                owner: (0, 0),
                nlink: 0,
                same_as: path.clone(),
                times: None,
                xattrs: BTreeMap::new(),
                flags: None,
                project: None,
                kind: entry.kind.clone(),
            };
        }
        // rdump does not make special files.
        self.0.retain(|_, entry| !matches!(entry.kind, Kind::Special(..)));
        self
    }

    /// The first few differences, in words; None when there are none.
    pub fn difference(&self, other: &Tree) -> Option<String> {
        let mut text = String::new();
        let paths: std::collections::BTreeSet<_> = self.0.keys().chain(other.0.keys()).collect();
        for path in paths {
            let (a, b) = (self.0.get(path), other.0.get(path));
            if a != b && text.len() < 2000 {
                let name = crate::run::brief(path);
                let _ = writeln!(text, "{name}:\n  {}\n  {}{}", brief(a), brief(b), where_bytes_differ(a, b));
            }
        }
        (!text.is_empty()).then_some(text)
    }
}

fn brief(entry: Option<&Entry>) -> String {
    let Some(e) = entry else { return "not there".into() };
    let kind = match &e.kind {
        Kind::File(bytes) => format!("file of {} bytes", bytes.len()),
        Kind::Directory => "directory".into(),
        Kind::Symlink(target) => format!("link to {}", String::from_utf8_lossy(target)),
        Kind::Special(kind, rdev) => format!("special {kind:o} {rdev:#x}"),
    };
    let same = crate::run::brief(&e.same_as);
    let xattrs: Vec<String> =
        e.xattrs.iter().map(|(name, value)| format!("{name}={}", value.len())).collect();
    format!(
        "{kind}, mode {:o}, owner {:?}, {} names, as {same}, times {:?}, flags {:x?}, project {:?}, {}",
        e.mode,
        e.owner,
        e.nlink,
        e.times,
        e.flags,
        e.project,
        xattrs.join(" ")
    )
}

fn where_bytes_differ(a: Option<&Entry>, b: Option<&Entry>) -> String {
    let (Some(Kind::File(a)), Some(Kind::File(b))) = (a.map(|e| &e.kind), b.map(|e| &e.kind)) else {
        return String::new();
    };
    let differing: Vec<usize> = (0..a.len().min(b.len())).filter(|&i| a[i] != b[i]).collect();
    match (differing.first(), differing.last()) {
        (Some(&first), Some(&last)) => format!(
            "\n  {} bytes differ from {first:#x} ({:#04x} / {:#04x}) to {last:#x}",
            differing.len(),
            a[first],
            b[first]
        ),
        _ => String::new(),
    }
}

/// The first path of each inode, and what stat said then: to read a link by its other name moves atime.
type Seen = BTreeMap<u64, (Vec<u8>, Attr)>;

fn entry_of(machine: &Machine, path: &[u8], seen: &mut Seen) -> Result<Entry> {
    let attr = machine.stat(path)?;
    let (same_as, first) = seen.entry(attr.ino.0).or_insert_with(|| (path.to_vec(), attr)).clone();
    let kind = match FileType::of_mode(attr.mode) {
        Some(FileType::Regular) => Kind::File(read_all(&*machine.open(path, OpenFlags::NOATIME, 0)?)?),
        Some(FileType::Directory) => Kind::Directory,
        Some(FileType::Symlink) => Kind::Symlink(machine.readlink(path)?),
        _ => Kind::Special(attr.mode & 0o170000, attr.rdev.encode()),
    };
    let open = matches!(kind, Kind::File(_) | Kind::Directory);
    Ok(Entry {
        kind,
        mode: attr.mode & 0o7777,
        owner: (attr.uid, attr.gid),
        nlink: attr.nlink,
        same_as,
        times: Some([first.atime, first.mtime, first.ctime].map(|t| (t.sec, t.nsec))),
        xattrs: xattrs_of(machine, path)?,
        flags: open.then(|| machine.flags(path)).transpose()?.map(|flags| flags & flag::ALL),
        project: open.then(|| machine.project(path)).transpose()?,
    })
}

fn xattrs_of(machine: &Machine, path: &[u8]) -> Result<BTreeMap<String, Vec<u8>>> {
    let names = machine.list_xattrs(path)?;
    names.into_iter().map(|name| machine.get_xattr(path, &name).map(|value| (name, value))).collect()
}
