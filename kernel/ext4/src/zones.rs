//! Where the file system's own metadata lies: the places that no file may claim.
//!
//! Superblock and descriptor copies, bitmaps and inode tables, merged into runs and kept sorted (with
//! flex_bg a few runs per flex group); and the journal's blocks, once its own inode was read. An extent or pointer that reaches into one of them is a lie,
//! and writing through it would tear the file system apart; so every run of blocks that comes from
//! an inode or goes back to the allocator is checked here (`ext4_inode_block_valid`).

use alloc::vec::Vec;

use base::FsBlock;
use sync::Once;

use crate::geometry::Geometry;

/// The runs of metadata, sorted, not overlapping.
pub struct Zones {
    first_data_block: u64,
    blocks_count: u64,
    runs: Vec<(u64, u64)>,
    /// The journal's, in the same form. They are a file's in the bitmaps, but nobody else's.
    journal: Once<Vec<(u64, u64)>>,
}

impl Zones {
    /// Sorts and merges runs `(first, len)`. None when two of them overlap, with the first block
    /// claimed twice.
    pub fn build(geometry: &Geometry, mut runs: Vec<(u64, u64)>) -> Result<Zones, FsBlock> {
        runs.retain(|r| r.1 > 0);
        base::sort::by_key(&mut runs, |run| *run);
        let mut merged: Vec<(u64, u64)> = Vec::new();
        for (first, len) in runs {
            match merged.last_mut() {
                Some(last) if last.0 + last.1 > first => return Err(FsBlock(first)),
                Some(last) if last.0 + last.1 == first => last.1 += len,
                _ => merged.push((first, len)),
            }
        }
        Ok(Zones {
            first_data_block: geometry.first_data_block,
            blocks_count: geometry.blocks_count,
            runs: merged,
            journal: Once::new(),
        })
    }

    /// From now on these blocks `(first, len)`, of which none is named twice, are the journal's alone.
    pub fn protect_journal(&self, mut runs: Vec<(u64, u64)>) {
        base::sort::by_key(&mut runs, |run| *run);
        self.journal.call_once(|| runs);
    }

    /// Whether `len >= 1` blocks from `first` on may belong to a file.
    pub fn allows(&self, first: FsBlock, len: u64) -> bool {
        let Some(end) = first.0.checked_add(len) else { return false };
        // Block first_data_block itself is a superblock and thus in a zone; below it there is nothing.
        if len == 0 || first.0 < self.first_data_block.max(1) || end > self.blocks_count {
            return false;
        }
        let outside = |runs: &[(u64, u64)]| {
            let after = runs.partition_point(|r| r.0 < end);
            match after.checked_sub(1).and_then(|i| runs.get(i)) {
                Some(run) => run.0 + run.1 <= first.0,
                None => true,
            }
        };
        outside(&self.runs) && self.journal.get().is_none_or(|runs| outside(runs))
    }

    /// Blocks in all zones but the journal.
    pub fn total(&self) -> u64 {
        self.runs.iter().map(|r| r.1).sum()
    }

    /// The parts of the zones, but not of the journal, that lie in `first .. first + len`, as offsets from `first`.
    pub fn within(&self, first: FsBlock, len: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let (from, end) = (first.0, first.0.saturating_add(len));
        let begin = self.runs.partition_point(move |r| r.0 + r.1 <= from);
        self.runs[begin..].iter().take_while(move |r| r.0 < end).map(move |r| {
            let (a, b) = (r.0.max(from), (r.0 + r.1).min(end));
            (a - from, b - a)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::testing::geometry;

    #[test]
    fn files_may_have_what_is_between() {
        let zones =
            Zones::build(&geometry(), [(1, 3), (100, 10), (4, 6)].to_vec()).unwrap_or_else(|_| panic!());
        assert_eq!(zones.runs, [(1, 9), (100, 10)]);
        assert_eq!(zones.total(), 19);
        assert!(!zones.allows(FsBlock(0), 1));
        assert!(!zones.allows(FsBlock(9), 1));
        assert!(zones.allows(FsBlock(10), 90));
        assert!(!zones.allows(FsBlock(10), 91));
        assert!(!zones.allows(FsBlock(109), 1));
        assert!(zones.allows(FsBlock(110), 65536 - 110));
        assert!(!zones.allows(FsBlock(110), 65536 - 109));
        assert!(!zones.allows(FsBlock(u64::MAX), 2));
        assert!(!zones.allows(FsBlock(50), 0));
        assert!(!zones.allows(FsBlock(50), 100));
    }

    #[test]
    fn the_journal_is_nobodys_but_its_own() {
        let zones = Zones::build(&geometry(), [(1, 3), (100, 10)].to_vec()).unwrap_or_else(|_| panic!());
        assert!(zones.allows(FsBlock(50), 20));
        zones.protect_journal([(200, 5), (60, 2)].to_vec());
        assert!(!zones.allows(FsBlock(50), 20) && !zones.allows(FsBlock(204), 1));
        assert!(zones.allows(FsBlock(50), 10) && zones.allows(FsBlock(62), 38));
        assert!(zones.allows(FsBlock(205), 1) && !zones.allows(FsBlock(105), 1));
        assert_eq!(zones.total(), 13);
    }

    #[test]
    fn parts_within_a_group() {
        let zones = Zones::build(&geometry(), [(1, 3), (100, 10)].to_vec()).unwrap_or_else(|_| panic!());
        let parts: Vec<_> = zones.within(FsBlock(2), 100).collect();
        assert_eq!(parts, [(0, 2), (98, 2)]);
    }

    #[test]
    fn two_owners_are_refused() {
        assert_eq!(Zones::build(&geometry(), [(1, 3), (3, 1)].to_vec()).err(), Some(FsBlock(3)));
    }
}
