//! Directories of ramfs.
//!
//! Each entry has a position of its own, given out in order and never again, so that a reader who
//! stops and comes back sees every entry that stayed, once.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use base::{DevId, Errno, Result};
use sync::{Mutex, MutexGuard};

use super::{Body, Node, file::Pages};
use crate::attr::FileType;
use crate::cred::Cred;
use crate::dir_sink::DirContext;
use crate::file::File;
use crate::inode::{Directory, Inode, RenameFlags};

/// The entries of a directory.
pub struct Entries {
    names: BTreeMap<Vec<u8>, Entry>,
    order: BTreeMap<u64, Vec<u8>>,
    next: u64,
}

#[derive(Clone)]
struct Entry {
    node: Arc<Node>,
    position: u64,
}

impl Entries {
    pub fn new() -> Entries {
        // 0 and 1 are "." and "..".
        Entries { names: BTreeMap::new(), order: BTreeMap::new(), next: 2 }
    }

    fn insert(&mut self, name: &[u8], node: Arc<Node>) -> Option<Arc<Node>> {
        if let Some(entry) = self.names.get_mut(name) {
            return Some(core::mem::replace(&mut entry.node, node));
        }
        let position = self.next;
        self.next += 1;
        self.order.insert(position, name.to_vec());
        self.names.insert(name.to_vec(), Entry { node, position });
        None
    }

    fn remove(&mut self, name: &[u8]) -> Option<Arc<Node>> {
        let entry = self.names.remove(name)?;
        self.order.remove(&entry.position);
        Some(entry.node)
    }

    /// Every node that has a name here, and no names any more.
    pub fn drain(&mut self) -> Vec<Arc<Node>> {
        self.order.clear();
        core::mem::take(&mut self.names).into_values().map(|e| e.node).collect()
    }

    fn get(&self, name: &[u8]) -> Option<Arc<Node>> {
        self.names.get(name).map(|e| e.node.clone())
    }
}

impl Node {
    fn entries(&self) -> Result<MutexGuard<'_, Entries>> {
        match &self.body {
            Body::Directory(entries) => Ok(entries.lock()),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn is_empty_dir(&self) -> Result<bool> {
        Ok(self.entries()?.names.is_empty())
    }

    /// Makes an inode and gives it a name here.
    fn add(&self, name: &[u8], kind: FileType, mode: u32, cred: &Cred, body: Body) -> Result<Arc<Node>> {
        let owner = cred.init_owner(&self.ownership(), kind.mode() | mode);
        let node = self.sibling(kind, owner, body)?;
        self.entries()?.insert(name, node.clone());
        if kind == FileType::Directory {
            self.change_links(|n| n + 1);
        }
        self.touch();
        Ok(node)
    }

    /// An inode of this file system lost a name.
    fn dropped(&self, node: &Arc<Node>) {
        if node.kind == FileType::Directory {
            node.change_links(|_| 0);
            self.change_links(|n| n.saturating_sub(1));
        } else {
            node.change_links(|n| n.saturating_sub(1));
        }
    }

    pub(super) fn list(&self, file: &File, ctx: &mut DirContext<'_>) -> Result<()> {
        if !ctx.emit_dots(file) {
            return Ok(());
        }
        let start = ctx.pos;
        let entries = self.entries()?;
        for (position, name) in entries.order.range(start..) {
            let Some(entry) = entries.names.get(name) else { continue };
            if !ctx.emit(name, entry.node.ino, Some(entry.node.kind), position + 1) {
                break;
            }
        }
        Ok(())
    }

    fn exchange(&self, name: &[u8], other: &Node, other_name: &[u8]) -> Result<()> {
        let mine = self.entries()?.get(name).ok_or(Errno::ENOENT)?;
        let theirs = other.entries()?.get(other_name).ok_or(Errno::ENOENT)?;
        let is_dir = |n: &Arc<Node>| u32::from(n.kind == FileType::Directory);
        let (out, back) = (is_dir(&mine), is_dir(&theirs));
        self.entries()?.insert(name, theirs);
        other.entries()?.insert(other_name, mine);
        if !core::ptr::eq(self, other) {
            self.change_links(|n| n + back - out);
            other.change_links(|n| n + out - back);
        }
        Ok(())
    }
}

fn of(inode: &Arc<dyn Inode>) -> Result<&Node> {
    inode.as_any().downcast_ref().ok_or(Errno::EXDEV)
}

impl Directory for Node {
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        match self.entries()?.get(name) {
            Some(node) => Ok(node),
            None => Err(Errno::ENOENT),
        }
    }

    fn create(&self, name: &[u8], mode: u32, cred: &Cred) -> Result<Arc<dyn Inode>> {
        Ok(self.add(name, FileType::Regular, mode, cred, Body::File(Pages::default()))?)
    }

    fn tmpfile(&self, mode: u32, linkable: bool, cred: &Cred) -> Result<Arc<dyn Inode>> {
        let owner = cred.init_owner(&self.ownership(), FileType::Regular.mode() | mode);
        let node = self.sibling(FileType::Regular, owner, Body::File(Pages::default()))?;
        node.change_links(|_| 0);
        node.linkable.store(linkable, Ordering::Relaxed);
        Ok(node)
    }

    fn mkdir(&self, name: &[u8], mode: u32, cred: &Cred) -> Result<Arc<dyn Inode>> {
        let body = Body::Directory(Mutex::new(Entries::new()));
        Ok(self.add(name, FileType::Directory, mode, cred, body)?)
    }

    fn mknod(&self, name: &[u8], mode: u32, rdev: DevId, cred: &Cred) -> Result<Arc<dyn Inode>> {
        let kind = FileType::of_mode(mode).ok_or(Errno::EINVAL)?;
        let node = self.add(name, kind, mode, cred, Body::Special)?;
        if kind.is_device() {
            node.meta.lock().rdev = rdev;
        }
        Ok(node)
    }

    fn symlink(&self, name: &[u8], target: &[u8], cred: &Cred) -> Result<Arc<dyn Inode>> {
        Ok(self.add(name, FileType::Symlink, 0o777, cred, Body::Symlink(target.to_vec()))?)
    }

    fn link(&self, name: &[u8], inode: &Arc<dyn Inode>) -> Result<()> {
        let node = inode.clone() as Arc<dyn core::any::Any + Send + Sync>;
        let node: Arc<Node> = node.downcast().map_err(|_| Errno::EXDEV)?;
        node.change_links(|n| n + 1);
        node.linkable.store(false, Ordering::Relaxed);
        self.entries()?.insert(name, node);
        self.touch();
        Ok(())
    }

    fn unlink(&self, name: &[u8]) -> Result<()> {
        let node = self.entries()?.remove(name).ok_or(Errno::ENOENT)?;
        self.dropped(&node);
        self.touch();
        Ok(())
    }

    fn rmdir(&self, name: &[u8]) -> Result<()> {
        let node = self.entries()?.get(name).ok_or(Errno::ENOENT)?;
        if !node.is_empty_dir()? {
            return Err(Errno::ENOTEMPTY);
        }
        self.unlink(name)
    }

    fn rename(
        &self,
        old_name: &[u8],
        new_dir: &Arc<dyn Inode>,
        new_name: &[u8],
        flags: RenameFlags,
        _cred: &Cred,
    ) -> Result<()> {
        let to = of(new_dir)?;
        if flags.contains(RenameFlags::WHITEOUT) {
            return Err(Errno::EINVAL);
        }
        if flags.contains(RenameFlags::EXCHANGE) {
            self.exchange(old_name, to, new_name)?;
        } else {
            let over = to.entries()?.get(new_name);
            if let Some(over) = over.as_ref().filter(|o| o.kind == FileType::Directory)
                && !over.is_empty_dir()?
            {
                return Err(Errno::ENOTEMPTY);
            }
            let node = self.entries()?.remove(old_name).ok_or(Errno::ENOENT)?;
            let directory = node.kind == FileType::Directory;
            node.change_links(|n| n);
            to.entries()?.insert(new_name, node);
            if let Some(over) = over {
                to.dropped(&over);
            }
            if directory && !core::ptr::eq(self, to) {
                self.change_links(|n| n.saturating_sub(1));
                to.change_links(|n| n + 1);
            }
        }
        self.touch();
        to.touch();
        Ok(())
    }
}
