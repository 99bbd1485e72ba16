//! The dentry cache: which name in which directory is which inode, or none.
//!
//! A [`Dentry`] is one name in the tree. What it names never changes: `inode` is set for life, and a
//! negative dentry (`None`) says that the directory was searched and has no such name. When a name
//! comes or goes, another dentry takes the place. Only rename moves a dentry.
//!
//! # Data model
//! ```text
//!   child ──parent──▶ directory          a child holds its directory
//!   directory ──children[name]──▶ child  the cache; broken by `forget`, eviction and unmount
//!   LRU: Weak<Dentry> in a ring          [`lru`]
//! ```
//! A dentry is evicted only when nobody but its directory's table holds it; a directory with cached
//! children is held by them, so leaves go first.
//!
//! # Locking
//! `children` (a sleeping lock) is held for one table operation; nothing else is taken under it but
//! `link`. `link` and the LRU are spin locks held for a few instructions; nothing is taken under
//! them. Dentries are dropped with none of the three held, since the last drop of an inode may do
//! I/O. Who changes the tree holds the directory's `i_rwsem`; rename bumps `MOVES` around it so
//! that [`Dentry::path_to`] does not see half of it.

mod lru;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use hashbrown::HashMap;
use sync::{Mutex, SpinLock};

use crate::attr::FileType;
use crate::inode::Inode;
use lru::note;
pub use lru::{set_limit, shrink, wait_for_hands};

/// A name, shared by the dentry and its directory's table.
type Name = Arc<[u8]>;

/// One name in the tree.
pub struct Dentry {
    inode: Option<Arc<dyn Inode>>,
    link: SpinLock<Link>,
    children: Mutex<HashMap<Name, Arc<Dentry>>>,
    /// How many mounts stand on it.
    mounts: AtomicU32,
    state: AtomicU32,
}

struct Link {
    parent: Option<Arc<Dentry>>,
    name: Name,
}

/// The name was taken away; the dentry lives on in open files and working directories.
const DELETED: u32 = 1;
/// Looked up since the LRU's hand came by.
const REFERENCED: u32 = 2;

/// Bumped by rename, so that a walk to the root can tell that the tree moved under it.
static MOVES: AtomicU32 = AtomicU32::new(0);

impl Dentry {
    /// The root of a mounted file system.
    pub fn root(inode: Arc<dyn Inode>) -> Arc<Dentry> {
        Arc::new(Dentry::new(Some(inode), None, Arc::from(&b"/"[..])))
    }

    /// A name in `parent` that the cache does not keep (see `Directory::cacheable`).
    pub fn uncached(parent: &Arc<Dentry>, name: &[u8], inode: Option<Arc<dyn Inode>>) -> Arc<Dentry> {
        Arc::new(Dentry::new(inode, Some(parent.clone()), Arc::from(name)))
    }

    /// The entry of a file without a name (`d_tmpfile`): shown as "#12 (deleted)" in its directory.
    pub fn nameless(parent: &Arc<Dentry>, inode: Arc<dyn Inode>) -> Arc<Dentry> {
        let name = alloc::format!("#{}", inode.ino());
        let dentry = Dentry::uncached(parent, name.as_bytes(), Some(inode));
        dentry.mark_deleted();
        dentry
    }

    /// What stands for a thing that is in no directory: "pipe:[12]", as /proc/self/fd shows it.
    pub fn pseudo(name: &[u8], inode: Arc<dyn Inode>) -> Arc<Dentry> {
        Arc::new(Dentry::new(Some(inode), None, Arc::from(name)))
    }

    /// Its name, if it is such a one: a root, too, has no parent, but is called "/".
    pub fn pseudo_name(&self) -> Option<Name> {
        let Link { parent, name } = self.link.lock().clone();
        (parent.is_none() && *name != b"/"[..]).then_some(name)
    }

    fn new(inode: Option<Arc<dyn Inode>>, parent: Option<Arc<Dentry>>, name: Name) -> Dentry {
        Dentry {
            inode,
            link: SpinLock::new(Link { parent, name }),
            children: Mutex::new(HashMap::new()),
            mounts: AtomicU32::new(0),
            state: AtomicU32::new(0),
        }
    }

    /// What it names; None for a negative entry.
    pub fn inode(&self) -> Option<&Arc<dyn Inode>> {
        self.inode.as_ref()
    }

    /// The kind of what it names.
    pub fn file_type(&self) -> Option<FileType> {
        self.inode.as_ref().map(|i| i.file_type())
    }

    /// Whether it names a directory.
    pub fn is_dir(&self) -> bool {
        self.file_type() == Some(FileType::Directory)
    }

    /// Whether its name was taken away.
    pub fn is_deleted(&self) -> bool {
        self.state.load(Ordering::Relaxed) & DELETED != 0
    }

    /// The directory it stands in; None for the root of a file system.
    pub fn parent(&self) -> Option<Arc<Dentry>> {
        self.link.lock().parent.clone()
    }

    /// Its name; "/" for the root of a file system.
    pub fn name(&self) -> Arc<[u8]> {
        self.link.lock().name.clone()
    }

    /// Whether it is `other` or stands somewhere below it, within one file system.
    pub fn is_under(self: &Arc<Self>, other: &Arc<Dentry>) -> bool {
        let mut at = Some(self.clone());
        while let Some(dentry) = at {
            if Arc::ptr_eq(&dentry, other) {
                return true;
            }
            at = dentry.parent();
        }
        false
    }

    /// Whether something is mounted on it.
    pub fn is_mountpoint(&self) -> bool {
        self.mounts.load(Ordering::Relaxed) != 0
    }

    pub(crate) fn add_mount(&self) {
        self.mounts.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn remove_mount(&self) {
        self.mounts.fetch_sub(1, Ordering::Relaxed);
    }

    /// The cached entry of a name, positive or negative; None when the directory must be asked.
    pub fn cached(&self, name: &[u8]) -> Option<Arc<Dentry>> {
        let found = self.children.lock().get(name).cloned()?;
        if found.state.load(Ordering::Relaxed) & REFERENCED == 0 {
            found.state.fetch_or(REFERENCED, Ordering::Relaxed);
        }
        Some(found)
    }

    /// Keeps what a lookup found. When another lookup was faster, its entry is the answer.
    pub fn remember(self: &Arc<Self>, name: &[u8], inode: Option<Arc<dyn Inode>>) -> Arc<Dentry> {
        let name: Name = Arc::from(name);
        let fresh = Arc::new(Dentry::new(inode, Some(self.clone()), name.clone()));
        let kept = self.children.lock().entry(name).or_insert_with(|| fresh.clone()).clone();
        if Arc::ptr_eq(&kept, &fresh) {
            note(&fresh);
        }
        kept
    }

    /// Puts a new inode's entry where a negative one (or none) was.
    pub fn instantiate(self: &Arc<Self>, name: &[u8], inode: Arc<dyn Inode>) -> Arc<Dentry> {
        let name: Name = Arc::from(name);
        let fresh = Arc::new(Dentry::new(Some(inode), Some(self.clone()), name.clone()));
        let before = self.children.lock().insert(name, fresh.clone());
        if let Some(before) = before {
            before.mark_deleted();
        }
        note(&fresh);
        fresh
    }

    /// The name was taken away (`d_delete`): the entry is deleted for those who hold it and
    /// negative for those who look.
    pub fn delete(&self) {
        let Link { parent, name } = self.link.lock().clone();
        self.mark_deleted();
        let Some(parent) = parent else { return };
        let gone = Arc::new(Dentry::new(None, Some(parent.clone()), name.clone()));
        let before = parent.children.lock().insert(name, gone.clone());
        drop(before);
        note(&gone);
    }

    /// A removed directory forgets its (negative) children, which hold it and its inode.
    pub fn forget_children(&self) {
        let children = core::mem::take(&mut *self.children.lock());
        drop(children);
    }

    /// Moves an entry to another name, over what was there (`d_move`). The caller holds both
    /// directories' `i_rwsem`.
    pub fn rename(self: &Arc<Self>, new_dir: &Arc<Dentry>, new_name: &[u8]) {
        let name: Name = Arc::from(new_name);
        MOVES.fetch_add(1, Ordering::AcqRel);
        let old = core::mem::replace(
            &mut *self.link.lock(),
            Link { parent: Some(new_dir.clone()), name: name.clone() },
        );
        let moved = old.parent.as_ref().and_then(|p| p.children.lock().remove(&old.name));
        let over = new_dir.children.lock().insert(name, self.clone());
        MOVES.fetch_add(1, Ordering::AcqRel);
        if let Some(over) = &over {
            over.mark_deleted();
        }
        // Here, with no lock held, the last holders of what was replaced may go.
        drop((moved, over));
    }

    /// Two entries change places (`d_exchange`). The caller holds both directories' `i_rwsem`.
    pub fn exchange(self: &Arc<Self>, other: &Arc<Dentry>) {
        MOVES.fetch_add(1, Ordering::AcqRel);
        let mine = self.link.lock().clone();
        let theirs = core::mem::replace(&mut *other.link.lock(), mine.clone());
        *self.link.lock() = theirs.clone();
        let put = |at: &Link, who: &Arc<Dentry>| {
            at.parent.as_ref().and_then(|p| p.children.lock().insert(at.name.clone(), who.clone()))
        };
        let out = (put(&mine, other), put(&theirs, self));
        MOVES.fetch_add(1, Ordering::AcqRel);
        drop(out);
    }

    /// The names from `top` (not included) down to this one, deepest first, and whether `top` was
    /// met; else the walk ended at the root of the file system.
    pub fn path_to(self: &Arc<Self>, top: &Arc<Dentry>) -> (Vec<Arc<[u8]>>, bool) {
        loop {
            let moves = MOVES.load(Ordering::Acquire);
            let found = self.climb(top);
            if moves.is_multiple_of(2) && MOVES.load(Ordering::Acquire) == moves {
                return found;
            }
            sync::thread::yield_now();
        }
    }

    fn climb(self: &Arc<Self>, top: &Arc<Dentry>) -> (Vec<Arc<[u8]>>, bool) {
        let mut names = Vec::new();
        let mut at = self.clone();
        while !Arc::ptr_eq(&at, top) {
            let Link { parent, name } = at.link.lock().clone();
            let Some(parent) = parent else { return (names, false) };
            names.push(name);
            at = parent;
        }
        (names, true)
    }

    /// Drops every unused entry below this one; the root's caller then holds the last of them.
    pub fn prune(self: &Arc<Self>) {
        let mut below: Vec<Arc<Dentry>> = self.children.lock().drain().map(|(_, d)| d).collect();
        while let Some(dentry) = below.pop() {
            below.extend(dentry.children.lock().drain().map(|(_, d)| d));
        }
    }

    fn mark_deleted(&self) {
        self.state.fetch_or(DELETED, Ordering::Relaxed);
    }

    /// Takes it out of its directory's table when only that table and the caller hold it.
    fn evict(self: &Arc<Self>) -> bool {
        let Link { parent, name } = self.link.lock().clone();
        let Some(parent) = parent else { return false };
        let mut children = parent.children.lock();
        let kept = children.get(&name).is_some_and(|d| Arc::ptr_eq(d, self));
        if !kept || Arc::strong_count(self) != 2 {
            return false;
        }
        let gone = children.remove(&name);
        drop(children);
        gone.is_some()
    }
}

impl Clone for Link {
    fn clone(&self) -> Link {
        Link { parent: self.parent.clone(), name: self.name.clone() }
    }
}

impl Drop for Dentry {
    /// A long chain of directories that only their children hold must not be dropped recursively:
    /// the kernel's stack is short.
    fn drop(&mut self) {
        let mut parent = self.link.get_mut().parent.take();
        while let Some(dentry) = parent {
            parent = Arc::into_inner(dentry).and_then(|mut d| d.link.get_mut().parent.take());
        }
    }
}
