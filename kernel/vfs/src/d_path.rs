//! From a place back to its path: getcwd(2), /proc/self/cwd, /proc/self/fd, mount points.

use alloc::vec::Vec;

use base::{Errno, Result};

use crate::mount::Path;

/// The path of a place as seen from `root` (`d_path`). A name that was taken away is marked with
/// " (deleted)"; a place that is not below `root` gets the path from the top of its tree.
pub fn d_path(place: &Path, root: &Path) -> Vec<u8> {
    if let Some(name) = place.dentry.pseudo_name() {
        return name.to_vec();
    }
    let (mut text, _) = absolute(place, root);
    if place.dentry.is_deleted() {
        text.extend_from_slice(b" (deleted)");
    }
    text
}

/// getcwd(2): ENOENT when the directory was removed; "(unreachable)" in front when it is not below
/// `root`, as Linux does.
pub fn getcwd(cwd: &Path, root: &Path) -> Result<Vec<u8>> {
    if cwd.dentry.is_deleted() {
        return Err(Errno::ENOENT);
    }
    let (text, reachable) = absolute(cwd, root);
    Ok(if reachable { text } else { [b"(unreachable)", &text[..]].concat() })
}

/// The path, and whether it begins at `root`.
fn absolute(place: &Path, root: &Path) -> (Vec<u8>, bool) {
    let mut names = Vec::new();
    let mut at = place.clone();
    let reached = loop {
        let same_mount = alloc::sync::Arc::ptr_eq(&at.mount, &root.mount);
        let top = if same_mount { root.dentry.clone() } else { at.mount.root().dentry };
        let (part, met) = at.dentry.path_to(&top);
        names.extend(part);
        if same_mount && met {
            break true;
        }
        match at.mount.mountpoint() {
            Some(below) => at = below,
            None => break false,
        }
    };
    let mut text = Vec::new();
    for name in names.iter().rev() {
        text.push(b'/');
        text.extend_from_slice(name);
    }
    if text.is_empty() {
        text.push(b'/');
    }
    (text, reached)
}
