//! The walk: from a path's text to its last component.
//!
//! [`Walker::parent`] walks everything but the last component and leaves `here` at the directory
//! that holds it; what to do with the last one is the operation's affair, because a trailing slash,
//! a symbolic link or a missing name means something else to each.
//!
//! A symbolic link on the way replaces the text: its target, a slash, and what was left. So the walk
//! is a loop, and deep links take no stack. [`LINKS_MAX`] of them may be followed in one operation.
//!
//! # Locking
//! A cached name takes no inode lock. A miss takes the directory's `i_rwsem` shared while the file
//! system looks ([`look_up`] is the same for those who hold it already).

use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;

use base::{Errno, Result};

use super::{At, LINKS_MAX, NAME_MAX, PATH_LEN_MAX, directory, permission};
use crate::attr::FileType;
use crate::cred::Want;
use crate::dentry::Dentry;
use crate::inode::{Inode, same_inode};
use crate::mount::Path;

/// The last component of a path.
#[derive(PartialEq, Eq, Debug)]
pub enum Last {
    /// A name, and whether slashes follow it.
    Name {
        /// As written; may be longer than [`NAME_MAX`].
        name: Vec<u8>,
        /// "name/": only a directory will do, and a link there is followed.
        slash: bool,
    },
    /// "."
    Dot,
    /// ".."
    DotDot,
    /// There is none: "/".
    Root,
}

/// Where following a symbolic link leads.
pub enum Target {
    /// To a path's text, from the link's directory on.
    Text(Vec<u8>),
    /// Right there.
    Place(Path),
}

/// One walk.
pub struct Walker<'a> {
    at: &'a At<'a>,
    /// Where it is.
    pub here: Path,
    followed: u32,
}

impl<'a> Walker<'a> {
    /// A walk that begins at the base.
    pub fn new(at: &'a At<'a>) -> Walker<'a> {
        Walker { at, here: at.base.clone(), followed: 0 }
    }

    /// Walks to the directory of the last component. ENOENT for an empty text, ENAMETOOLONG,
    /// ENOTDIR, EACCES, ELOOP.
    pub fn parent(&mut self, text: &[u8]) -> Result<Last> {
        if text.is_empty() {
            return Err(Errno::ENOENT);
        }
        if text.len() > PATH_LEN_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let mut text = Cow::Borrowed(text);
        loop {
            if text.first() == Some(&b'/') {
                self.here = self.at.root.clone();
            }
            match self.components(skip_slashes(&text))? {
                Walked::To(last) => return Ok(last),
                Walked::Link(target) => text = Cow::Owned(target),
            }
        }
    }

    fn components(&mut self, mut rest: &[u8]) -> Result<Walked> {
        if rest.is_empty() {
            return Ok(Walked::To(Last::Root));
        }
        loop {
            self.may_search()?;
            let end = rest.iter().position(|&b| b == b'/').unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            let next = skip_slashes(after);
            if next.is_empty() {
                return Ok(Walked::To(Last::of(name, !after.is_empty())));
            }
            if let Some(mut target) = self.step(name)? {
                target.push(b'/');
                target.extend_from_slice(next);
                return Ok(Walked::Link(target));
            }
            rest = next;
        }
    }

    /// Goes into a component that is not the last. Some: it is a link with this target.
    fn step(&mut self, name: &[u8]) -> Result<Option<Vec<u8>>> {
        match name {
            b"." => return Ok(None),
            b".." => {
                self.dot_dot();
                return Ok(None);
            }
            _ => {}
        }
        let child = self.child(name)?;
        if child.dentry.file_type() == Some(FileType::Symlink) {
            return match self.follow(&child)? {
                Target::Text(target) => Ok(Some(target)),
                Target::Place(place) => {
                    self.here = place;
                    Ok(None)
                }
            };
        }
        child.inode()?;
        self.here = child;
        Ok(None)
    }

    /// The entry of a name in `here`, perhaps negative, with what is mounted on it.
    pub fn child(&self, name: &[u8]) -> Result<Path> {
        let dentry = match self.here.dentry.cached(name) {
            Some(dentry) => dentry,
            None => {
                let _shared = self.here.inode()?.rwsem().read();
                look_up(&self.here.dentry, name)?
            }
        };
        Ok(Path { mount: self.here.mount.clone(), dentry }.cross_down())
    }

    /// ".." from here: not above the root, and out of a mount to what it stands on.
    pub fn dot_dot(&mut self) {
        if self.here.same(self.at.root) {
            return;
        }
        while let Some(below) = self.here.cross_up() {
            self.here = below;
            if self.here.same(self.at.root) {
                return;
            }
        }
        if let Some(dentry) = self.here.dentry.parent() {
            self.here = Path { mount: self.here.mount.clone(), dentry }.cross_down();
        }
    }

    /// Reads a link. ELOOP after too many, ENOENT when its target is empty.
    pub fn follow(&mut self, link: &Path) -> Result<Target> {
        self.followed += 1;
        if self.followed > LINKS_MAX {
            return Err(Errno::ELOOP);
        }
        let symlink = link.inode()?.as_symlink().ok_or(Errno::EINVAL)?;
        if let Some(place) = symlink.jump()? {
            return Ok(Target::Place(place));
        }
        symlink.accessed(link.mount.flags());
        let target = symlink.readlink()?;
        if target.is_empty() { Err(Errno::ENOENT) } else { Ok(Target::Text(target)) }
    }

    /// Whether `here` is a directory that may be searched. ENOTDIR, EACCES.
    pub fn may_search(&self) -> Result<()> {
        if !self.here.dentry.is_dir() {
            return Err(Errno::ENOTDIR);
        }
        permission(&**self.here.inode()?, Want::EXEC, self.at.cred)
    }
}

enum Walked {
    To(Last),
    Link(Vec<u8>),
}

impl Last {
    fn of(name: &[u8], slash: bool) -> Last {
        match name {
            b"." => Last::Dot,
            b".." => Last::DotDot,
            _ => Last::Name { name: name.to_vec(), slash },
        }
    }
}

fn skip_slashes(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|&b| b != b'/').unwrap_or(text.len());
    &text[start..]
}

/// The entry of a name, perhaps negative, asking the file system when the cache does not know. The
/// caller holds the directory's `i_rwsem`. ENAMETOOLONG, ENOENT in a removed directory, ELOOP when
/// a damaged disk names a directory inside itself.
pub fn look_up(dir: &Arc<Dentry>, name: &[u8]) -> Result<Arc<Dentry>> {
    if name.len() > NAME_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    if let Some(dentry) = dir.cached(name) {
        return Ok(dentry);
    }
    if dir.is_deleted() {
        return Err(Errno::ENOENT);
    }
    let directory = directory(dir.inode().ok_or(Errno::ENOENT)?)?;
    let inode = match directory.lookup(name) {
        Ok(inode) => Some(inode),
        Err(Errno::ENOENT) => None,
        Err(error) => return Err(error),
    };
    if let Some(inode) = &inode
        && inode.file_type() == FileType::Directory
        && is_ancestor(inode, dir)
    {
        log::error!("vfs: inode {} is named below itself", inode.ino());
        return Err(Errno::ELOOP);
    }
    Ok(if directory.cacheable() { dir.remember(name, inode) } else { Dentry::uncached(dir, name, inode) })
}

fn is_ancestor(inode: &Arc<dyn Inode>, dir: &Arc<Dentry>) -> bool {
    let mut at = Some(dir.clone());
    while let Some(dentry) = at {
        if dentry.inode().is_some_and(|i| same_inode(i, inode)) {
            return true;
        }
        at = dentry.parent();
    }
    false
}
