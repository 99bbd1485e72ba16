//! What is kept for files that grow: a window of free blocks behind a file's last one.
//!
//! # What it is
//! A file that is appended to a second time gets a window: free blocks right behind the ones it was
//! given, that nobody else is given while there are others (Linux's inode preallocation). The blocks
//! stay free on the disk and in every count; only the group's summary leaves them out. So a crash
//! forgets them, `st_blocks` does not show them, and statfs still offers them.
//!
//! ```text
//!   bitmap    1 1 1 0 0 0 0 0 0 0 1      the file's last block is 2
//!   window          [3     ..   9]       Window { ino, logical: next block of the file, start: 3, len: 7 }
//! ```
//! The next append takes its blocks from the window's front. It is given up when the file is closed,
//! cut or deleted, when it is written elsewhere, and when somebody finds nothing else
//! ([`steal_all`]).
//!
//! # Locking
//! A window belongs to its group's state and is touched under that group's lock. The inode remembers
//! only which group to look in; what it finds there, or does not, is the truth.
//!
//! # Invariants
//! 1. A window's blocks are clear in the bitmap and in no chunk of the summary; while there is a
//!    window there is a summary.
//! 2. An inode has at most one window, and none when its number is given back.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::bits::Run;
use crate::fs::Ext4Fs;
use crate::group::GroupGuard;
use crate::inode::Node;

/// The most that is kept for one file, in bytes.
const MOST: u64 = 8 << 20;
/// Summaries that stay in memory: 8 KiB each with 4 KiB blocks.
const SUMMARIES: u32 = 256;
/// A share of what is free is kept for one file.
const SHARE: u64 = 8;

/// Free blocks of one group, kept for one file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// Whose.
    pub ino: u32,
    /// The block of the file that its first block is for.
    pub logical: u32,
    /// Its first block, counted in the group.
    pub start: u32,
    /// How many, at least 1.
    pub len: u32,
}

/// What a file system keeps in mind of its windows.
#[derive(Default)]
pub struct Kept {
    /// Blocks in all windows.
    blocks: AtomicU64,
    /// The group that the last window was made in: where the next one begins to look.
    pub stream: AtomicU32,
    /// Groups that have a summary in memory.
    pub summaries: AtomicU32,
    /// The group that is asked next to give its summary up.
    hand: AtomicU32,
}

/// How large a window a growing file gets now: a share of what nobody has or keeps.
pub fn size(fs: &Ext4Fs) -> u32 {
    let free = fs.free_blocks.load(Ordering::Relaxed);
    let left = free.saturating_sub(fs.kept.blocks.load(Ordering::Relaxed)) / SHARE;
    // At most MOST in blocks of 1 KiB: it fits.
    left.min(MOST >> fs.geometry().block_bits) as u32
}

/// Up to `want` blocks from the front of the window that this group keeps for the file, if it is for
/// this block of it. They leave the window; the caller marks them in use. A window for another block
/// is given up.
pub fn take(fs: &Ext4Fs, group: &mut GroupGuard<'_>, ino: u32, logical: u32, want: u32) -> Option<Run> {
    let at = group.windows.iter().position(|w| w.ino == ino)?;
    let window = group.windows.swap_remove(at);
    if window.logical != logical {
        put_back(fs, group, &window);
        return None;
    }
    let len = window.len.min(want);
    fs.kept.blocks.fetch_sub(u64::from(len), Ordering::Relaxed);
    if len < window.len {
        let rest = Window {
            logical: logical.saturating_add(len),
            start: window.start + len,
            len: window.len - len,
            ..window
        };
        group.windows.push(rest);
    }
    Some(Run { start: window.start, len })
}

/// Keeps a run that was just taken out of the summary.
pub fn keep(fs: &Ext4Fs, node: &Node, group: &mut GroupGuard<'_>, window: Window) {
    fs.kept.blocks.fetch_add(u64::from(window.len), Ordering::Relaxed);
    fs.kept.stream.store(group.number, Ordering::Relaxed);
    group.windows.push(window);
    node.set_window(Some(group.number));
}

/// Gives up the file's window.
pub fn discard(node: &Node) {
    let Some(number) = node.window() else { return };
    node.set_window(None);
    let fs = node.fs();
    let Some(mut group) = fs.groups.lock(number) else { return };
    if let Some(at) = group.windows.iter().position(|w| w.ino == node.ino32()) {
        let window = group.windows.swap_remove(at);
        put_back(fs, &mut group, &window);
    }
}

/// Gives up every window there is: somebody needs the blocks now. Returns whether there were any.
pub fn steal_all(fs: &Ext4Fs) -> bool {
    if fs.kept.blocks.load(Ordering::Acquire) == 0 {
        return false;
    }
    let mut any = false;
    for number in 0..fs.geometry().groups {
        let Some(mut group) = fs.groups.lock(number) else { continue };
        while let Some(window) = group.windows.pop() {
            put_back(fs, &mut group, &window);
            any = true;
        }
    }
    any
}

/// Drops a summary or two when there are many: they are made again from the bitmap when they are needed.
/// How large a run the group can have stays known. The caller holds no group.
pub fn shed(fs: &Ext4Fs) {
    // One may have been made since the last call; two tries keep pace even past groups with windows.
    for _ in 0..2 {
        if fs.kept.summaries.load(Ordering::Relaxed) <= SUMMARIES {
            return;
        }
        let number = fs.kept.hand.fetch_add(1, Ordering::Relaxed) % fs.geometry().groups;
        let Some(mut group) = fs.groups.lock(number) else { return };
        if group.windows.is_empty() && group.summary.take().is_some() {
            fs.kept.summaries.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn put_back(fs: &Ext4Fs, group: &mut GroupGuard<'_>, window: &Window) {
    if let Some(summary) = &mut group.summary {
        summary.give(window.start, window.len);
    }
    group.publish_largest();
    // Who sees that nothing is kept any more sees that the group has it.
    fs.kept.blocks.fetch_sub(u64::from(window.len), Ordering::Release);
}
