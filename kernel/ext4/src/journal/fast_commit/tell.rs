//! A fast commit made: what was tracked, as it is now, in the words of [`crate::disk::fast_commit`].
//!
//! # Order
//! ```text
//!   for each name    of a new file: INODE, its ranges, CREAT     else LINK, UNLINK
//!   for each other inode, and new ones that have got or lost more names    its ranges, INODE
//! ```
//! as Linux does it, whose replay applies word after word: a name never leads to an inode that is not there.
//!
//! A transaction's first record begins with a fast commit that says nothing, in a block of its own: HEAD and TAIL lie
//! in one sector, which is on the disk or is not. For when the first fast commit is torn, Linux and e2fsck take that
//! for damage of the whole journal; a later one that is torn is to them, and to us, the end.
//!
//! What is told is how things are, not how they became so: an inode's bytes are those in the buffer of its
//! table, its ranges are looked up in its tree.
//!
//! # What cannot be told
//! Inodes that are not in memory any more, files that are not mapped by extents or lie in their inode, those whose
//! data go through the journal, those that are just being cut, and more than the area has room for. Then the whole
//! transaction is committed.
//!
//! # Locking
//! No handle is active, and none can start before this has ended; so nothing here may wait for one. `data_sem`
//! shared, the orphan list, byte guards.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use jbd2::{FastPlace, Told};
use vfs::FileType;

use super::stats::Reason;
use super::track::Tracked;
use crate::disk::fast_commit::{Change, NameChange, Writer};
use crate::disk::inode::{BASE_SIZE, InodeFlags};
use crate::extent::node::MAX_BLOCKS;
use crate::extent::tree::{Lookup, Tree};
use crate::fs::Ext4Fs;
use crate::inode::Node;

/// Words of one record at most.
const MOST: usize = 4096;

/// What the file system has to say; see [`jbd2::Journal::fast_commit`].
pub(crate) fn tell(fs: &Ext4Fs, place: &FastPlace) -> Told {
    let tracked = fs.tracker.take(place.tid);
    if tracked.inodes.is_empty() && tracked.names.is_empty() {
        return Told::Nothing;
    }
    let (words, done) = (Vec::new(), BTreeSet::new());
    let mut teller = Teller { fs, words, done, why: Reason::NoMemory };
    let Some(()) = teller.all(&tracked) else {
        fs.tracker.stats.refused(teller.why);
        return Told::Refused;
    };
    let (size, tid) = (place.block_size, place.tid.0);
    let mut record = if place.first { Writer::new(size, tid, true).finish() } else { Vec::new() };
    let mut writer = Writer::new(size, tid, false);
    teller.words.iter().for_each(|word| writer.push(word));
    record.extend(writer.finish());
    let fits = record.len() / place.block_size <= place.blocks as usize;
    if fits { Told::Record(record) } else { Told::Refused }
}

struct Teller<'a> {
    fs: &'a Ext4Fs,
    words: Vec<Change>,
    /// Inodes that were told.
    done: BTreeSet<u32>,
    /// Why something cannot be.
    why: Reason,
}

impl Teller<'_> {
    /// None when something cannot be told.
    fn all(&mut self, tracked: &Tracked) -> Option<()> {
        for named in &tracked.names {
            if named.what == NameChange::Create {
                let node = self.fs.inodes.find(named.ino)?;
                self.inode(&node, true)?;
                // All of it: e2fsck leaves a number that is given again the blocks of the inode before it.
                self.ranges(&node, 0..MAX_BLOCKS)?;
                self.done.insert(named.ino);
            } else {
                // Linux's replay counts its names: how many there are in the end is to be told behind them.
                self.done.remove(&named.ino);
            }
            let (what, parent, ino, name) = (named.what, named.parent, named.ino, named.name.clone());
            self.say(Change::Name { what, parent, ino, name })?;
        }
        for (&ino, range) in &tracked.inodes {
            if !self.done.contains(&ino) {
                let node = self.fs.inodes.find(ino)?;
                self.ranges(&node, range.clone())?;
                self.inode(&node, !range.is_empty())?;
            }
        }
        Some(())
    }

    fn say(&mut self, word: Change) -> Option<()> {
        self.words.push(word);
        (self.words.len() <= MOST).then_some(())
    }

    /// The inode's bytes in the table, without the attributes behind them. `mapped`: not they alone have changed.
    fn inode(&mut self, node: &Arc<Node>, mapped: bool) -> Option<()> {
        // What is being cut will be another in the next handle, and the orphan list knows.
        if !can_be_told(node, mapped) || self.fs.orphans.has(node.ino32()) {
            let journalled = node.flags().contains(InodeFlags::JOURNAL_DATA);
            self.why = if journalled { Reason::InodeJournalData } else { Reason::Other };
            return None;
        }
        let raw = node.with_table_slot(|slot| Box::from(slot.get(..told_len(slot)).unwrap_or(slot)))?;
        self.say(Change::Inode { ino: node.ino32(), raw })
    }

    /// What lies in a range of the file.
    fn ranges(&mut self, node: &Arc<Node>, range: Range<u64>) -> Option<()> {
        let ino = node.ino32();
        let _shared = node.data_sem().read();
        let mut at = range.start;
        while at < range.end {
            let (first, left) = (u32::try_from(at).ok()?, range.end - at);
            let len = match Tree::of(node).lookup(first).ok()? {
                Lookup::Found(entry) => {
                    // At most the entry's length, a u32.
                    let len = (entry.end() - at).min(left) as u32;
                    self.say(Change::Add { ino, entry: entry.part(first, len) })?;
                    len
                }
                Lookup::Hole { next, .. } => {
                    let len = u32::try_from(next.saturating_sub(at).max(1).min(left)).ok()?;
                    self.say(Change::Del { ino, first, len })?;
                    len
                }
            };
            at += u64::from(len);
        }
        Some(())
    }
}

/// Whether the words tell all of an inode: a regular file that is mapped by extents, or another kind of which only
/// the attributes have changed.
fn can_be_told(node: &Node, mapped: bool) -> bool {
    let flags = node.flags();
    let known = match node.kind() {
        FileType::Regular => flags.contains(InodeFlags::EXTENTS),
        _ => !mapped,
    };
    // Linux's replay does not find an inode without names; none is tracked.
    known && node.nlink() != 0 && !flags.intersects(InodeFlags::INLINE_DATA | InodeFlags::JOURNAL_DATA)
}

/// Bytes of an inode up to its attributes.
fn told_len(slot: &[u8]) -> usize {
    let extra = slot.get(BASE_SIZE..BASE_SIZE + 2);
    BASE_SIZE + extra.map_or(0, |bytes| usize::from(u16::from_le_bytes([bytes[0], bytes[1]])))
}
