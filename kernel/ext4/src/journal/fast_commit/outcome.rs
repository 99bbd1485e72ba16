//! What a row of changes comes to: for each inode and each name, how it is in the end.
//!
//! A fast commit says what became of things, in an order that is not that in which they happened. So nothing
//! is applied on the way: the changes are played through in memory first, and what comes of it is applied
//! once.
//!
//! # Which inode a number means
//! A number may be freed and given out again between two fast commits. Each INODE bears the generation: when
//! it is another than the one known so far, this is another inode, which has none of the blocks, and none of
//! the names in it, that the old one had.
//!
//! # How many names an inode has
//! INODE says it, as of the moment of its fast commit; a name that comes or goes behind it counts one more or
//! less; the first name of a new inode is its only one. Directories are another matter: `apply` counts them,
//! since nobody writes down how many a parent has.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::collections::btree_map;
use alloc::vec::Vec;

use base::Result;

use crate::disk::fast_commit::{Change, NameChange};
use crate::extent::node::Entry;
use crate::inode::raw;

/// A name in a directory.
pub(super) type Name = (u32, Box<[u8]>);

/// What the disk has, as it is before anything is applied.
pub(super) trait Disk {
    /// The inode's generation and number of names; None when it is free.
    fn inode(&self, ino: u32) -> Result<Option<OnDisk>>;
    /// What a name leads to.
    fn name(&self, parent: u32, name: &[u8]) -> Result<Option<u32>>;
}

/// An inode of the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct OnDisk {
    pub generation: u32,
    pub nlink: u16,
    pub directory: bool,
}

/// Blocks that came or went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Range {
    Add(Entry),
    Del { first: u32, len: u32 },
}

/// How an inode is in the end.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Inode {
    /// What the disk has under its number.
    pub before: Option<OnDisk>,
    /// It is another inode than that.
    pub fresh: bool,
    /// Its bytes, if they were told.
    pub raw: Option<Box<[u8]>>,
    /// What became of its blocks, one after the other.
    pub ranges: Vec<Range>,
    /// How many names it has, unless it is a directory.
    pub nlink: i64,
}

impl Inode {
    fn generation(&self) -> Option<u32> {
        match &self.raw {
            Some(raw) => Some(raw::generation(raw)),
            None => self.before.filter(|_| !self.fresh).map(|before| before.generation),
        }
    }

    /// Whether there is such an inode at all.
    pub fn exists(&self) -> bool {
        self.raw.is_some() || (self.before.is_some() && !self.fresh)
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        match &self.raw {
            Some(raw) if self.fresh => raw::is_directory(raw),
            _ => self.before.is_some_and(|before| before.directory),
        }
    }
}

/// See the module.
#[derive(Default)]
pub(super) struct Outcome {
    pub inodes: BTreeMap<u32, Inode>,
    /// What each name led to before, and leads to now.
    pub names: BTreeMap<Name, (Option<u32>, Option<u32>)>,
}

/// Plays all changes through.
pub(super) fn outcome(changes: Vec<Change>, disk: &impl Disk) -> Result<Outcome> {
    let mut all = Outcome::default();
    for change in changes {
        match change {
            Change::Add { ino, entry } => all.inode(ino, disk)?.ranges.push(Range::Add(entry)),
            Change::Del { ino, first, len } => {
                all.inode(ino, disk)?.ranges.push(Range::Del { first, len });
            }
            Change::Inode { ino, raw } => all.told(ino, raw, disk)?,
            Change::Name { what, parent, ino, name } => all.named(what, ino, (parent, name), disk)?,
        }
    }
    Ok(all)
}

impl Outcome {
    fn inode(&mut self, ino: u32, disk: &impl Disk) -> Result<&mut Inode> {
        Ok(match self.inodes.entry(ino) {
            btree_map::Entry::Occupied(known) => known.into_mut(),
            btree_map::Entry::Vacant(new) => {
                let before = disk.inode(ino)?;
                let nlink = before.map_or(0, |before| i64::from(before.nlink));
                new.insert(Inode { before, nlink, ..Inode::default() })
            }
        })
    }

    fn told(&mut self, ino: u32, raw: Box<[u8]>, disk: &impl Disk) -> Result<()> {
        let inode = self.inode(ino, disk)?;
        if inode.generation() != Some(raw::generation(&raw)) {
            (inode.fresh, inode.ranges) = (true, Vec::new());
        }
        inode.nlink = i64::from(raw::links(&raw));
        inode.raw = Some(raw);
        Ok(())
    }

    fn named(&mut self, what: NameChange, ino: u32, name: Name, disk: &impl Disk) -> Result<()> {
        let now = self.now(&name, disk)?;
        let inode = self.inode(ino, disk)?;
        let wanted = match what {
            NameChange::Create => {
                inode.nlink = 1;
                Some(ino)
            }
            NameChange::Link => {
                inode.nlink += i64::from(now != Some(ino));
                Some(ino)
            }
            // The name leads elsewhere: it is not what was meant.
            NameChange::Unlink if now != Some(ino) => return Ok(()),
            NameChange::Unlink => {
                inode.nlink -= 1;
                None
            }
        };
        if let Some((_, after)) = self.names.get_mut(&name) {
            *after = wanted;
        }
        Ok(())
    }

    /// What a name leads to at this point of the play.
    fn now(&mut self, name: &Name, disk: &impl Disk) -> Result<Option<u32>> {
        if let Some((_, now)) = self.names.get(name) {
            return Ok(*now);
        }
        let parent = self.inode(name.0, disk)?;
        // A directory that is new has no names of old.
        let old = if parent.fresh || parent.before.is_none() { None } else { disk.name(name.0, &name.1)? };
        self.names.insert(name.clone(), (old, old));
        Ok(old)
    }
}

/// A file's extents after what became of them; in order, neighbours joined.
pub(super) fn edited(mut extents: Vec<Entry>, ranges: &[Range]) -> Vec<Entry> {
    for range in ranges {
        match range {
            Range::Add(entry) => {
                cut_out(&mut extents, u64::from(entry.block), entry.end());
                let at = extents.partition_point(|e| e.block < entry.block);
                extents.insert(at, *entry);
            }
            Range::Del { first, len } => {
                let first = u64::from(*first);
                cut_out(&mut extents, first, first + u64::from(*len));
            }
        }
    }
    let mut joined: Vec<Entry> = Vec::with_capacity(extents.len());
    for entry in extents {
        match joined.last().and_then(|last| last.join(&entry)) {
            Some(both) => {
                joined.pop();
                joined.push(both);
            }
            None => joined.push(entry),
        }
    }
    joined
}

/// Takes the file blocks `from..to` out of the list.
fn cut_out(extents: &mut Vec<Entry>, from: u64, to: u64) {
    let first = extents.partition_point(|e| e.end() <= from);
    let last = extents.partition_point(|e| u64::from(e.block) < to);
    if first >= last {
        return;
    }
    let mut kept = Vec::new();
    let (head, tail) = (extents[first], extents[last - 1]);
    if u64::from(head.block) < from {
        // Shorter than the extent, as is the next.
        kept.push(head.part(head.block, (from - u64::from(head.block)) as u32));
    }
    if tail.end() > to {
        kept.push(tail.part(to as u32, (tail.end() - to) as u32));
    }
    extents.splice(first..last, kept);
}
