//! Makes the file system what the [`Outcome`] says.
//!
//! # Order
//! ```text
//!   survey    the blocks that changed inodes have now, and those that they will have
//!   claim     the latter are in use: whatever is allocated from here on is somewhere else
//!   bury      inodes without a name, and those whose number is another's now
//!   write     inodes and their maps
//!   name      directories
//!   free      blocks that were in use and belong to nobody any more
//! ```
//! Blocks may go from one inode to another; so they are freed last, and only if nobody claimed them.
//!
//! # Nodes
//! None of the inodes here is in the inode cache: they are read for this, and again by whoever comes later.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::ops::Range;

use base::{Errno, FsBlock, Ino, Result};

use super::outcome::{Disk, Inode, Name, OnDisk, Outcome, edited, outcome};
use super::runs;
use crate::balloc::{blocks, inodes};
use crate::dir::{self, DirBlocks};
use crate::disk::fast_commit::Change;
use crate::disk::feature::Incompat;
use crate::disk::inode::{InodeFlags, ROOT_INO};
use crate::error::Site;
use crate::extent::node::{Entry, MAX_BLOCKS};
use crate::extent::tree::Tree;
use crate::fs::Ext4Fs;
use crate::inode::Node;
use crate::inode::cache::{load_uncached, table_place};
use crate::inode::raw;
use crate::namei::{NodeDir, file_type};
use crate::trace;

/// Applies fast commits, inside a handle of the caller. EUCLEAN when they contradict the disk, EOPNOTSUPP for a
/// file that is not mapped by extents; then nothing may be committed.
pub(crate) fn replay(fs: &Arc<Ext4Fs>, changes: Vec<Change>) -> Result<()> {
    changes.iter().for_each(|change| trace::fc_replay(fs, change));
    let view = View { fs, directories: RefCell::default() };
    let all = outcome(changes, &view)?;
    let moves = Moves::of(&all, &view)?;
    let (had, metadata, used) = (Vec::new(), Vec::new(), Vec::new());
    Apply { view, all, moves, had, metadata, maps: BTreeMap::new(), used }.run()
}

/// The disk as it is, and the directories of it that were read.
struct View<'a> {
    fs: &'a Arc<Ext4Fs>,
    directories: RefCell<BTreeMap<u32, Arc<Node>>>,
}

impl View<'_> {
    fn node(&self, ino: u32) -> Result<Arc<Node>> {
        load_uncached(self.fs, ino)
    }

    /// A directory, the same node each time.
    fn directory(&self, ino: u32) -> Result<Arc<Node>> {
        if let Some(node) = self.directories.borrow().get(&ino) {
            return Ok(node.clone());
        }
        let node = self.node(ino)?;
        if node.kind() != vfs::FileType::Directory {
            return Err(node.corrupt("a fast commit names something in it, but it is no directory"));
        }
        self.directories.borrow_mut().insert(ino, node.clone());
        Ok(node)
    }
}

impl Disk for View<'_> {
    fn inode(&self, ino: u32) -> Result<Option<OnDisk>> {
        let geometry = self.fs.geometry();
        let usual = ino >= geometry.first_ino || ino == ROOT_INO;
        if !usual || geometry.locate_inode(Ino(u64::from(ino))).is_none() {
            return Err(self.fs.corrupt(Site::inode(ino), "a fast commit of an inode that cannot be"));
        }
        if !inodes::is_used(self.fs, ino)? {
            return Ok(None);
        }
        match self.node(ino) {
            Ok(node) => Ok(Some(OnDisk {
                generation: node.with_meta(|m| m.generation),
                nlink: node.nlink(),
                directory: node.kind() == vfs::FileType::Directory,
            })),
            Err(Errno::ESTALE) => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn name(&self, parent: u32, name: &[u8]) -> Result<Option<u32>> {
        let node = self.directory(parent)?;
        let found = dir::find(&NodeDir::new(&node), name)?;
        Ok(found.map(|found| found.ino))
    }
}

/// Directories that came, went or moved.
#[derive(Default)]
struct Moves {
    /// How many subdirectories more a directory has.
    children: BTreeMap<u32, i64>,
    /// Where a directory is now that was not there before.
    parents: BTreeMap<u32, u32>,
    /// Those that are nowhere any more.
    gone: BTreeSet<u32>,
}

impl Moves {
    fn of(all: &Outcome, disk: &impl Disk) -> Result<Moves> {
        let mut moves = Moves::default();
        for ((parent, _), (old, new)) in all.names.iter().filter(|(_, (old, new))| old != new) {
            if let Some(old) = *old
                && disk.inode(old)?.is_some_and(|before| before.directory)
            {
                *moves.children.entry(*parent).or_default() -= 1;
                moves.gone.insert(old);
            }
            if let Some(new) = *new
                && all.inodes.get(&new).is_some_and(Inode::is_directory)
            {
                *moves.children.entry(*parent).or_default() += 1;
                moves.parents.insert(new, *parent);
            }
        }
        moves.gone.retain(|ino| !moves.parents.contains_key(ino));
        Ok(moves)
    }
}

/// A file's map, before and after.
struct Map {
    /// Blocks of data that it had, and nodes of its tree.
    data: u64,
    nodes: u64,
    wanted: Vec<Entry>,
}

struct Apply<'a> {
    view: View<'a>,
    all: Outcome,
    moves: Moves,
    /// Blocks that inodes had whose maps change or that go.
    had: Vec<Range<u64>>,
    /// Those of them that were metadata.
    metadata: Vec<Range<u64>>,
    maps: BTreeMap<u32, Map>,
    /// Blocks that are in use in the end.
    used: Vec<Range<u64>>,
}

impl Apply<'_> {
    fn fs(&self) -> &Arc<Ext4Fs> {
        self.view.fs
    }

    fn run(mut self) -> Result<()> {
        let numbers: Vec<u32> = self.all.inodes.keys().copied().collect();
        for &ino in &numbers {
            self.survey(ino)?;
        }
        self.used = runs::normal(core::mem::take(&mut self.used));
        for run in &self.used {
            blocks::take_over(self.fs(), FsBlock(run.start), run.end - run.start)?;
        }
        for &ino in &numbers {
            self.bury(ino)?;
        }
        for &ino in &numbers {
            self.write(ino)?;
        }
        self.name_all()?;
        self.free()
    }

    fn inode(&self, ino: u32) -> Result<&Inode> {
        self.all.inodes.get(&ino).ok_or(Errno::EIO)
    }

    /// Whether the disk's inode of this number goes, for good or for another.
    fn goes(&self, ino: u32) -> Result<bool> {
        let inode = self.inode(ino)?;
        Ok(inode.before.is_some() && (inode.fresh || self.dies(ino)?))
    }

    /// Whether the inode has lost its last name. One that had none before is on the orphan list, which deals
    /// with it.
    fn dies(&self, ino: u32) -> Result<bool> {
        let inode = self.inode(ino)?;
        if inode.is_directory() {
            return Ok(self.moves.gone.contains(&ino) && !inode.fresh);
        }
        let orphan = !inode.fresh && inode.before.is_some_and(|before| before.nlink == 0);
        Ok(inode.nlink <= 0 && !orphan)
    }

    fn survey(&mut self, ino: u32) -> Result<()> {
        let inode = self.inode(ino)?;
        let (fresh, changes) = (inode.fresh, !inode.ranges.is_empty());
        let goes = self.goes(ino)?;
        let mut map = Map { data: 0, nodes: 0, wanted: Vec::new() };
        let mut extents = Vec::new();
        if inode.before.is_some() && (changes || goes) {
            let node = self.view.node(ino)?;
            let (had, nodes) = self.blocks_of(&node)?;
            let data = had.iter().map(|e| e.start..e.start + u64::from(e.len));
            if node.kind() == vfs::FileType::Regular {
                self.had.extend(data);
            } else {
                self.metadata.extend(data);
            }
            self.metadata.extend(nodes.iter().map(|at| at.0..at.0 + 1));
            if !goes {
                map.nodes = nodes.len() as u64;
                map.data = had.iter().map(|e| u64::from(e.len)).sum();
                extents = had;
            }
        }
        let inode = self.inode(ino)?;
        if !inode.exists() || self.dies(ino)? || !(changes || fresh) || inode.is_directory() {
            return Ok(());
        }
        map.wanted = edited(extents, &inode.ranges);
        for e in &map.wanted {
            if e.end() > MAX_BLOCKS || !self.fs().zones.allows(FsBlock(e.start), u64::from(e.len)) {
                let site = Site::at(ino, FsBlock(e.start));
                return Err(self.fs().corrupt(site, "a fast commit with blocks that cannot be a file's"));
            }
            self.used.push(e.start..e.start + u64::from(e.len));
        }
        self.maps.insert(ino, map);
        Ok(())
    }

    /// Data and nodes of a file's map.
    fn blocks_of(&self, node: &Node) -> Result<(Vec<Entry>, Vec<FsBlock>)> {
        if !node.is_mapped() {
            return Ok((Vec::new(), Vec::new()));
        }
        self.check_extents(node)?;
        let _alone = node.data_sem().write();
        Tree::of(node).list()
    }

    fn check_extents(&self, node: &Node) -> Result<()> {
        if node.flags().contains(InodeFlags::EXTENTS) {
            return Ok(());
        }
        log::error!(
            "EXT4-fs ({}): inode #{}: fast commit of a file without extents; run e2fsck",
            self.fs().disk_name(),
            node.ino32()
        );
        Err(Errno::EOPNOTSUPP)
    }

    /// Inodes that go: their attributes and their number. Their blocks come last.
    fn bury(&mut self, ino: u32) -> Result<()> {
        if !self.goes(ino)? {
            return Ok(());
        }
        let node = self.view.node(ino)?;
        let directory = node.kind() == vfs::FileType::Directory;
        if directory {
            self.view.directories.borrow_mut().remove(&ino);
        }
        node.free_xattrs()?;
        if node.is_mapped() {
            let _alone = node.data_sem().write();
            Tree::of(&node).rebuild(&[])?;
        }
        node.set_nlink(0);
        node.set_size(0);
        node.with_meta(|m| m.blocks = 0);
        // 0 would say "in use".
        let now = base::time::coarse_now().sec.clamp(1, i64::from(u32::MAX));
        node.mark_dirty_with_dtime(u32::try_from(now).unwrap_or(u32::MAX));
        inodes::give_back(self.fs(), ino, directory)
    }

    fn write(&mut self, ino: u32) -> Result<()> {
        if self.dies(ino)? || !self.inode(ino)?.exists() {
            return Ok(());
        }
        let inode = self.inode(ino)?;
        let directory = inode.is_directory();
        match &inode.raw {
            Some(raw) if inode.fresh => {
                inodes::take_over(self.fs(), ino, directory)?;
                self.put(ino, |slot, extents| raw::put_fresh(slot, raw, directory, extents))?;
            }
            // Nobody tells of a directory but when it is made.
            Some(raw) if !directory => self.put(ino, |slot, _| raw::put_known(slot, raw))?,
            _ => {}
        }
        if directory {
            return if inode.fresh { self.fill_directory(ino) } else { Ok(()) };
        }
        let node = self.view.node(ino)?;
        // A link count of 16 bits: more names than that cannot be made.
        node.set_nlink(u16::try_from(inode.nlink.max(0)).unwrap_or(u16::MAX));
        if let Some(map) = self.maps.get(&ino)
            && node.is_mapped()
        {
            self.put_map(&node, map)?;
        }
        node.mark_dirty();
        Ok(())
    }

    /// Changes an inode's bytes in the table, and their checksum. The closure is told whether new files are
    /// mapped by extents.
    fn put(&self, ino: u32, change: impl FnOnce(&mut [u8], bool)) -> Result<()> {
        let geometry = self.fs().geometry();
        let (block, offset) = table_place(self.fs(), ino)?;
        let table = self.fs().device().bread(block)?;
        let mut bytes = table.write();
        let slot = bytes.get_mut(offset..offset + geometry.inode_size).ok_or(Errno::EIO)?;
        change(slot, geometry.has_incompat(Incompat::EXTENTS));
        raw::seal(geometry, raw::csum_seed(geometry, ino, raw::generation(slot)), slot);
        Ok(())
    }

    fn put_map(&self, node: &Node, map: &Map) -> Result<()> {
        if map.wanted.is_empty() && map.data == 0 {
            return Ok(());
        }
        self.check_extents(node)?;
        let _alone = node.data_sem().write();
        let data: u64 = map.wanted.iter().map(|e| u64::from(e.len)).sum();
        let more = i64::try_from(data).ok().zip(i64::try_from(map.data + map.nodes).ok());
        node.add_blocks(more.map_or(0, |(now, before)| now - before));
        Tree::of(node).rebuild(&map.wanted)
    }

    /// `.` and `..` of a directory that is new.
    fn fill_directory(&self, ino: u32) -> Result<()> {
        let Some(&parent) = self.moves.parents.get(&ino) else {
            return Err(self.fs().corrupt(Site::inode(ino), "a fast commit of a directory without a name"));
        };
        let node = self.view.directory(ino)?;
        let blocks = NodeDir::new(&node);
        let bytes = dir::first_block(blocks.shape(), ino, parent);
        blocks.append(&bytes)?;
        node.set_nlink(2);
        node.mark_dirty();
        Ok(())
    }

    fn name_all(&self) -> Result<()> {
        for (name, (old, new)) in self.all.names.iter().filter(|(_, (old, new))| old != new) {
            self.name(name, *old, *new)?;
        }
        for (&parent, &more) in self.moves.children.iter().filter(|(_, more)| **more != 0) {
            let node = self.view.directory(parent)?;
            // 1 says "too many to count".
            if node.nlink() > 1 {
                let now = (i64::from(node.nlink()) + more).clamp(2, i64::from(u16::MAX));
                node.set_nlink(u16::try_from(now).unwrap_or(u16::MAX));
                node.mark_dirty();
            }
        }
        Ok(())
    }

    fn name(&self, (parent, name): &Name, old: Option<u32>, new: Option<u32>) -> Result<()> {
        // A directory that goes takes its names with it.
        if self.moves.gone.contains(parent) {
            return Ok(());
        }
        let directory = self.view.directory(*parent)?;
        let blocks = NodeDir::new(&directory);
        let found = if old.is_some() { dir::find(&blocks, name)? } else { None };
        let Some(ino) = new else {
            return found.map_or(Ok(()), |found| dir::remove(&blocks, &found));
        };
        let target = self.view.node(ino)?;
        let kind = file_type(target.kind());
        match found {
            Some(found) => dir::retarget(&blocks, &found, ino, kind)?,
            None => dir::add(&blocks, name, ino, kind)?,
        }
        let moved = target.kind() == vfs::FileType::Directory && !self.inode(ino)?.fresh;
        if moved { dir::set_parent(&NodeDir::new(&*self.view.directory(ino)?), *parent) } else { Ok(()) }
    }

    fn free(mut self) -> Result<()> {
        let metadata = runs::normal(core::mem::take(&mut self.metadata));
        for run in runs::without(&metadata, &self.used) {
            run.for_each(|block| self.fs().forget(FsBlock(block)));
        }
        let had = core::mem::take(&mut self.had);
        for run in runs::without(&runs::normal([had, metadata].concat()), &self.used) {
            blocks::free(self.fs(), 0, FsBlock(run.start), run.end - run.start)?;
        }
        Ok(())
    }
}
