//! Where a new inode goes: files with their directory, directories spread out.
//!
//! A file goes to its directory's group, so that both are read together; when that is full, to groups
//! at growing distances (1, 2, 4, …), then to any. A directory right below the root (or below one
//! with the TOPDIR flag) begins something of its own and goes where few directories and much room
//! are; any other stays near its parent unless its group is more crowded than the average.
//! With flex_bg the unit of these decisions is the flex group.
//!
//! Source: ext4 documentation, "Block and Inode Allocation Policy".

use core::sync::atomic::Ordering;

use super::claim::seen_as_free;
use crate::disk::inode::{InodeFlags, ROOT_INO};
use crate::fs::Ext4Fs;
use crate::inode::Node;

/// What one flex group has.
#[derive(Clone, Copy, Default)]
struct Crowd {
    free_inodes: u64,
    free_blocks: u64,
    dirs: u64,
}

/// The group to begin the search for a directory's inode in.
pub fn for_directory(fs: &Ext4Fs, parent: &Node, name: &[u8]) -> u32 {
    let geometry = fs.geometry();
    let home = fs.geometry().locate_inode(parent.ino()).map_or(0, |(group, _)| group);
    let flex = geometry.flex_size().min(geometry.groups).max(1);
    let count = geometry.groups.div_ceil(flex);
    let average = average(fs, count);
    let top = parent.ino32() == ROOT_INO || parent.flags().contains(InodeFlags::TOPDIR);
    let chosen = if top {
        spread(fs, flex, count, &average, hash(name) % count)
    } else {
        nearby(fs, flex, count, &average, home / flex)
    };
    match chosen {
        Some(f) if !top && f == home / flex && fs.groups.free_inodes(home) > 0 => home,
        Some(f) => (f * flex..((f + 1) * flex).min(geometry.groups))
            .find(|&g| fs.groups.free_inodes(g) > 0)
            .unwrap_or(home),
        None => home,
    }
}

/// The group to begin the search for any other inode in.
pub fn for_file(fs: &Ext4Fs, parent: &Node) -> u32 {
    let groups = fs.geometry().groups;
    let home = fs.geometry().locate_inode(parent.ino()).map_or(0, |(group, _)| group);
    let good = |g: &u32| fs.groups.free_inodes(*g) > 0 && fs.groups.free_blocks(*g) > 0;
    let mut step = 1u32;
    let mut group = home;
    while step < groups {
        if good(&group) {
            return group;
        }
        // Files of different directories take different ways.
        group = (u64::from(group) + u64::from(step) + u64::from(parent.ino32()) % 2) as u32 % groups;
        step = step.saturating_mul(2);
    }
    (0..groups).map(|n| (home + n) % groups).find(good).unwrap_or(home)
}

/// Among all flex groups, from `start` on, the one with fewest directories that has at least the
/// average of free inodes and blocks.
fn spread(fs: &Ext4Fs, flex: u32, count: u32, average: &Crowd, start: u32) -> Option<u32> {
    let mut best: Option<(u64, u32)> = None;
    for step in 0..count {
        let f = (start + step) % count;
        let crowd = crowd(fs, flex, f);
        let fits = crowd.free_inodes > 0
            && crowd.free_inodes >= average.free_inodes
            && crowd.free_blocks >= average.free_blocks;
        if fits && best.is_none_or(|(dirs, _)| crowd.dirs < dirs) {
            best = Some((crowd.dirs, f));
        }
    }
    best.map(|(_, f)| f).or_else(|| any(fs, flex, count, start))
}

/// The nearest flex group that is not much worse than the average.
fn nearby(fs: &Ext4Fs, flex: u32, count: u32, average: &Crowd, home: u32) -> Option<u32> {
    let geometry = fs.geometry();
    let inodes = u64::from(geometry.inodes_per_group) * u64::from(flex);
    let blocks = u64::from(geometry.blocks_per_group) * u64::from(flex);
    let max_dirs = average.dirs + inodes / 16;
    let min_inodes = average.free_inodes.saturating_sub(inodes / 4).max(1);
    let min_blocks = average.free_blocks.saturating_sub(blocks / 4);
    (0..count)
        .map(|step| (home + step) % count)
        .find(|&f| {
            let c = crowd(fs, flex, f);
            c.dirs < max_dirs && c.free_inodes >= min_inodes && c.free_blocks >= min_blocks
        })
        .or_else(|| any(fs, flex, count, home))
}

/// The first flex group with a free inode.
fn any(fs: &Ext4Fs, flex: u32, count: u32, start: u32) -> Option<u32> {
    (0..count).map(|step| (start + step) % count).find(|&f| crowd(fs, flex, f).free_inodes > 0)
}

fn crowd(fs: &Ext4Fs, flex: u32, f: u32) -> Crowd {
    let mut sum = Crowd::default();
    for group in f * flex..f.saturating_add(1).saturating_mul(flex).min(fs.geometry().groups) {
        sum.free_inodes += u64::from(fs.groups.free_inodes(group));
        sum.free_blocks += u64::from(fs.groups.free_blocks(group));
        sum.dirs += u64::from(fs.groups.used_dirs(group));
    }
    sum
}

fn average(fs: &Ext4Fs, count: u32) -> Crowd {
    let count = u64::from(count);
    Crowd {
        free_inodes: u64::from(fs.free_inodes.load(Ordering::Relaxed)) / count,
        free_blocks: seen_as_free(fs) / count,
        dirs: fs.groups.directories() / count,
    }
}

/// Any even spread will do: FNV-1a.
fn hash(name: &[u8]) -> u32 {
    name.iter().fold(0x811c_9dc5, |h, &b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193))
}
