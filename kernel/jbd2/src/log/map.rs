//! Where the log's blocks lie on their device: runs, from the journal inode's extents, or the device as
//! it is.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::fmt;

use base::FsBlock;

use crate::units::LogBlock;

/// Blocks of the log that lie one behind the other on the device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Run {
    log: u32,
    disk: u64,
    len: u32,
}

/// Why runs make no log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapError {
    /// There are none, or more blocks than 32 bits count.
    Length,
    /// A run is empty or leaves the range of block numbers.
    Run(FsBlock),
    /// A block of the device belongs to two runs.
    Twice(FsBlock),
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MapError::Length => f.write_str("a journal of no blocks, or of too many"),
            MapError::Run(block) => write!(f, "the journal has an impossible run at block {block}"),
            MapError::Twice(block) => write!(f, "the journal has block {block} twice"),
        }
    }
}

/// Where the log's blocks lie.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogMap {
    /// By block of the log, without gaps from 0 on.
    runs: Vec<Run>,
    /// Indices of `runs`, by block of the device.
    by_disk: Vec<u32>,
    superblock: FsBlock,
    blocks: u32,
}

impl LogMap {
    /// Of a file: its runs in the order of the file, without gaps. The superblock is its first block.
    pub fn from_runs(runs: impl IntoIterator<Item = (FsBlock, u32)>) -> Result<LogMap, MapError> {
        let (mut all, mut blocks) = (Vec::<Run>::new(), 0u32);
        for (disk, len) in runs {
            if len == 0 || disk.checked_add(u64::from(len)).is_none() {
                return Err(MapError::Run(disk));
            }
            let log = blocks;
            blocks = blocks.checked_add(len).ok_or(MapError::Length)?;
            match all.last_mut() {
                Some(last) if last.disk + u64::from(last.len) == disk.0 => last.len += len,
                _ => all.push(Run { log, disk: disk.0, len }),
            }
        }
        let superblock = FsBlock(all.first().ok_or(MapError::Length)?.disk);
        Ok(LogMap { by_disk: by_disk(&all)?, runs: all, superblock, blocks })
    }

    /// Of a device of its own with this many blocks: the log's blocks have the device's numbers, and the
    /// superblock lies behind the device's own.
    pub fn device(superblock: FsBlock, blocks: u32) -> Result<LogMap, MapError> {
        if u64::from(blocks) <= superblock.0 {
            return Err(MapError::Length);
        }
        let runs = alloc::vec![Run { log: 0, disk: 0, len: blocks }];
        Ok(LogMap { by_disk: alloc::vec![0], runs, superblock, blocks })
    }

    /// How many blocks.
    pub fn blocks(&self) -> u32 {
        self.blocks
    }

    /// Its runs on the device, in the order of the log.
    pub fn runs(&self) -> impl Iterator<Item = (FsBlock, u32)> + '_ {
        self.runs.iter().map(|run| (FsBlock(run.disk), run.len))
    }

    /// Where the journal's superblock lies.
    pub fn superblock(&self) -> FsBlock {
        self.superblock
    }

    /// Where a block of the log lies, and how many of the log lie together from there on, itself counted.
    /// None outside the log.
    pub fn find(&self, block: LogBlock) -> Option<(FsBlock, u32)> {
        let at = self.runs.partition_point(|run| run.log <= block.0).checked_sub(1)?;
        let run = self.runs.get(at)?;
        let into = block.0 - run.log;
        (into < run.len).then(|| (FsBlock(run.disk + u64::from(into)), run.len - into))
    }

    /// Whether a block of the device is one of the log's.
    pub fn contains(&self, disk: FsBlock) -> bool {
        let run = |&i: &u32| self.runs.get(i as usize);
        let at = self.by_disk.partition_point(|i| run(i).is_some_and(|r| r.disk <= disk.0));
        let last = at.checked_sub(1).and_then(|at| self.by_disk.get(at)).and_then(run);
        last.is_some_and(|run| disk.0 - run.disk < u64::from(run.len))
    }
}

fn by_disk(runs: &[Run]) -> Result<Vec<u32>, MapError> {
    // By a heap, whose code is small: to sort the slice takes 4 KiB more of the Image, for what is done once a mount.
    // There are at most as many runs as blocks, so the numbers fit.
    let heap: BinaryHeap<(u64, u32)> = runs.iter().zip(0..).map(|(run, i)| (run.disk, i)).collect();
    let order: Vec<u32> = heap.into_sorted_vec().into_iter().map(|(_, i)| i).collect();
    for pair in order.windows(2) {
        let (a, b) = (runs[pair[0] as usize], runs[pair[1] as usize]);
        if a.disk + u64::from(a.len) > b.disk {
            return Err(MapError::Twice(FsBlock(b.disk)));
        }
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map() -> LogMap {
        LogMap::from_runs([(FsBlock(100), 4), (FsBlock(104), 1), (FsBlock(50), 3)]).unwrap()
    }

    #[test]
    fn runs_that_touch_are_one() {
        let map = map();
        assert_eq!((map.blocks(), map.superblock()), (8, FsBlock(100)));
        assert_eq!(map.find(LogBlock(0)), Some((FsBlock(100), 5)));
        assert_eq!(map.find(LogBlock(4)), Some((FsBlock(104), 1)));
        assert_eq!(map.find(LogBlock(6)), Some((FsBlock(51), 2)));
        assert_eq!(map.find(LogBlock(8)), None);
        assert_eq!(map.find(LogBlock(u32::MAX)), None);
    }

    #[test]
    fn a_block_is_the_logs_or_not() {
        let inside: Vec<u64> = (0..200).filter(|&b| map().contains(FsBlock(b))).collect();
        assert_eq!(inside, [50, 51, 52, 100, 101, 102, 103, 104]);
    }

    #[test]
    fn impossible_runs_are_refused() {
        assert_eq!(LogMap::from_runs([]), Err(MapError::Length));
        assert_eq!(LogMap::from_runs([(FsBlock(7), 0)]), Err(MapError::Run(FsBlock(7))));
        assert_eq!(LogMap::from_runs([(FsBlock(u64::MAX), 2)]), Err(MapError::Run(FsBlock(u64::MAX))));
        let twice = LogMap::from_runs([(FsBlock(10), 5), (FsBlock(3), 2), (FsBlock(12), 1)]);
        assert_eq!(twice, Err(MapError::Twice(FsBlock(12))));
        let long = LogMap::from_runs([(FsBlock(0), u32::MAX), (FsBlock(1 << 40), 1)]);
        assert_eq!(long, Err(MapError::Length));
    }

    #[test]
    fn a_device_is_its_own_map() {
        let map = LogMap::device(FsBlock(2), 64).unwrap();
        assert_eq!(map.find(LogBlock(3)), Some((FsBlock(3), 61)));
        assert_eq!(map.superblock(), FsBlock(2));
        assert_eq!(LogMap::device(FsBlock(2), 2), Err(MapError::Length));
    }
}
