//! /proc/1/mounts and /proc/1/mountinfo: the tree of mounts as the program sees it.
//!
//! The tree is found from the program's root upward. What does not stand below that root is left
//! out. Blanks and backslashes in names are octal, so that every field is one word.
//!
//! Source: fstab(5); Documentation/filesystems/proc.rst, 3.5.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use vfs::{Mount, MountFlags, Path, getcwd};

use crate::source::ProcessView;
use crate::text::Text;

const IN_PATHS: &[u8] = b" \t\n\\";
const IN_NAMES: &[u8] = b" \t\n\\#";

/// `/dev/vda / ext4 rw,relatime 0 0`
pub(crate) fn mounts(process: &dyn ProcessView, text: &mut Text) {
    for (mount, place) in visible(&process.root()) {
        text.escaped(mount.source().as_bytes(), IN_NAMES);
        write!(text, " ");
        text.escaped(&place, IN_PATHS);
        write!(text, " ");
        text.escaped(mount.superblock().fs_type().as_bytes(), IN_NAMES);
        let options = mount.superblock().options();
        let own = sb_flags(mount.superblock().flags());
        writeln!(text, " {}{own}{}{options} 0 0", rw(mount.read_only()), flags(&mount));
    }
}

/// `1 1 254:0 / / rw,relatime - ext4 /dev/vda rw`
pub(crate) fn mountinfo(process: &dyn ProcessView, text: &mut Text) {
    for (mount, place) in visible(&process.root()) {
        let sb = mount.superblock();
        // The top of the tree is its own parent.
        let parent = mount.mountpoint().map_or(mount.id(), |at| at.mount.id());
        write!(text, "{} {parent} {}:{} / ", mount.id(), sb.dev().major, sb.dev().minor);
        text.escaped(&place, IN_PATHS);
        let mount_rw = rw(mount.flags().contains(MountFlags::RDONLY));
        write!(text, " {mount_rw}{} - ", flags(&mount));
        text.escaped(sb.fs_type().as_bytes(), IN_NAMES);
        write!(text, " ");
        text.escaped(mount.source().as_bytes(), IN_NAMES);
        writeln!(text, " {}{}{}", rw(sb.read_only()), sb_flags(sb.flags()), sb.options());
    }
}

/// The mounts below a root, oldest first, each with where it is seen.
fn visible(root: &Path) -> Vec<(Arc<Mount>, Vec<u8>)> {
    let mut top = root.mount.clone();
    while let Some(at) = top.mountpoint() {
        top = at.mount;
    }
    let mut all = top.tree();
    base::sort::by_key(&mut all, |mount| mount.id());
    let seen = |mount: Arc<Mount>| {
        let place = getcwd(&mount.root(), root).ok()?;
        place.starts_with(b"/").then_some((mount, place))
    };
    all.into_iter().filter_map(seen).collect()
}

fn rw(read_only: bool) -> &'static str {
    if read_only { "ro" } else { "rw" }
}

/// The flags that belong to the file system, each with a comma in front.
fn sb_flags(now: MountFlags) -> String {
    [
        (MountFlags::SYNCHRONOUS, ",sync"),
        (MountFlags::DIRSYNC, ",dirsync"),
        (MountFlags::LAZYTIME, ",lazytime"),
    ]
    .iter()
    .filter(|(flag, _)| now.contains(*flag))
    .map(|(_, name)| *name)
    .collect()
}

/// The flags that belong to the mount, each with a comma in front.
fn flags(mount: &Mount) -> String {
    let now = mount.flags();
    [
        (MountFlags::NOSUID, ",nosuid"),
        (MountFlags::NODEV, ",nodev"),
        (MountFlags::NOEXEC, ",noexec"),
        (MountFlags::NOATIME, ",noatime"),
        (MountFlags::RELATIME, ",relatime"),
    ]
    .iter()
    .filter(|(flag, _)| now.contains(*flag))
    .map(|(_, name)| *name)
    .collect()
}
