//! What is in /sys whatever disks there are: directories, links, and texts that never change.

use vfs::FileType;

/// One of them.
pub(crate) struct Row {
    /// From /sys on; "" is the root.
    pub path: &'static str,
    pub mode: u32,
    pub what: What,
}

pub(crate) enum What {
    /// Of rows whose path goes on.
    Directory,
    /// Of links to disks.
    Links(Links),
    /// Of the disks themselves.
    Disks,
    /// Of what each disk's cache goes by.
    Bdis,
    /// Of the ext4 file systems that are mounted.
    Ext4,
    /// A file that says this.
    Text(&'static str),
    /// A link with this target.
    Link(&'static str),
}

/// A directory of links to disks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Links {
    /// /sys/block: the disks by name.
    Block,
    /// /sys/class/block: partitions too.
    Class,
    /// /sys/dev/block: by number.
    Numbers,
    /// /sys/class/bdi: whole disks by number.
    Bdi,
}

impl Links {
    /// From the directory of the links to the root.
    pub const fn to_root(self) -> &'static str {
        match self {
            Links::Block => "../",
            Links::Class | Links::Numbers | Links::Bdi => "../../",
        }
    }
}

use What::{Directory, Disks, Link, Text};

const fn dir(path: &'static str) -> Row {
    Row { path, mode: 0o755, what: Directory }
}

/// Something else is meant to be mounted on it.
const fn mountpoint(path: &'static str) -> Row {
    Row { path, mode: 0o555, what: Directory }
}

const fn file(path: &'static str, text: &'static str) -> Row {
    Row { path, mode: 0o444, what: Text(text) }
}

const fn links(path: &'static str, to: Links) -> Row {
    Row { path, mode: 0o755, what: What::Links(to) }
}

/// From /sys to the directory of the disks.
pub(crate) const DISKS: &str = "devices/virtual/block";

/// From /sys to the directory of what the caches go by.
pub(crate) const BDIS: &str = "devices/virtual/bdi";

/// Every row. Its place is its inode number: new rows come at the end.
///
/// One processor is used, however many there are; glibc counts them here.
pub(crate) static ROWS: &[Row] = &[
    Row { path: "", mode: 0o555, what: Directory },
    links("block", Links::Block),
    dir("class"),
    links("class/block", Links::Class),
    dir("dev"),
    links("dev/block", Links::Numbers),
    dir("devices"),
    dir("devices/system"),
    dir("devices/system/cpu"),
    dir("devices/system/cpu/cpu0"),
    file("devices/system/cpu/kernel_max", "0\n"),
    file("devices/system/cpu/offline", "\n"),
    file("devices/system/cpu/online", "0\n"),
    file("devices/system/cpu/possible", "0\n"),
    file("devices/system/cpu/present", "0\n"),
    dir("devices/virtual"),
    Row { path: DISKS, mode: 0o755, what: Disks },
    dir("fs"),
    dir("kernel"),
    mountpoint("kernel/debug"),
    Row { path: "kernel/debug/tracing", mode: 0o777, what: Link("../tracing") },
    mountpoint("kernel/tracing"),
    links("class/bdi", Links::Bdi),
    Row { path: BDIS, mode: 0o755, what: What::Bdis },
    Row { path: "fs/ext4", mode: 0o755, what: What::Ext4 },
];

impl Row {
    pub fn kind(&self) -> FileType {
        match self.what {
            Directory | What::Links(_) | Disks | What::Bdis | What::Ext4 => FileType::Directory,
            Text(_) => FileType::Regular,
            Link(_) => FileType::Symlink,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_stands_in_a_directory_and_once() {
        for (index, row) in ROWS.iter().enumerate() {
            assert!(ROWS[..index].iter().all(|other| other.path != row.path), "{}", row.path);
            let Some((parent, _)) = row.path.rsplit_once('/') else { continue };
            let above = ROWS.iter().find(|other| other.path == parent);
            assert!(above.is_some_and(|above| matches!(above.what, Directory)), "{}", row.path);
        }
    }
}
