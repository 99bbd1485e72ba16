//! What fast commits come to: how many there were, and why others were none (`/proc/fs/ext4/DISK/fc_info`).
//!
//! The reasons are Linux's, with its words; one more has what it knows by no name, and what Linux tells and this does
//! not: directories, symbolic links.
//!
//! Source: Linux 6.1, `ext4_fc_info_show`, `EXT4_FC_REASON_*`.

use alloc::format;
use alloc::string::String;
use core::fmt::Write;
use core::sync::atomic::{AtomicU64, Ordering};

/// Why a transaction cannot be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reason {
    Xattr = 0,
    CrossRename = 1,
    JournalFlagChange = 2,
    NoMemory = 3,
    RenameDir = 6,
    FallocRange = 7,
    InodeJournalData = 8,
    /// All else.
    Other = 10,
}

const WORDS: [&str; 11] = [
    "Extended attributes changed",
    "Cross rename",
    "Journal flag changed",
    "Insufficient memory",
    "Swap boot",
    "Resize",
    "Dir renamed",
    "Falloc range op",
    "Data journalling",
    "Encrypted filename",
    "Other",
];

/// Sums since the mount.
#[derive(Default)]
pub(crate) struct Stats {
    commits: AtomicU64,
    ineligible: AtomicU64,
    blocks: AtomicU64,
    average_ns: AtomicU64,
    reasons: [AtomicU64; WORDS.len()],
}

impl Stats {
    /// Something has changed that cannot be told.
    pub fn refused(&self, why: Reason) {
        if let Some(count) = self.reasons.get(why as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Somebody wanted a fast commit, and it came to a whole one.
    pub fn ineligible(&self) {
        self.ineligible.fetch_add(1, Ordering::Relaxed);
    }

    /// One of so many blocks was written in so long.
    pub fn committed(&self, blocks: u64, ns: u64) {
        let before = self.commits.fetch_add(1, Ordering::Relaxed);
        self.blocks.fetch_add(blocks, Ordering::Relaxed);
        // As Linux weighs it.
        let old = self.average_ns.load(Ordering::Relaxed);
        let new = if before == 0 { ns } else { (ns + 3 * old) / 4 };
        self.average_ns.store(new, Ordering::Relaxed);
    }

    /// Fast commits, whole ones in their place, blocks.
    pub fn sums(&self) -> [u64; 3] {
        [&self.commits, &self.ineligible, &self.blocks].map(|count| count.load(Ordering::Relaxed))
    }

    /// The text of the file.
    pub fn text(&self) -> String {
        let sum = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (commits, ineligible, blocks) = (sum(&self.commits), sum(&self.ineligible), sum(&self.blocks));
        let us = sum(&self.average_ns) / 1000;
        let mut text = format!(
            "fc stats:\n{commits} commits\n{ineligible} ineligible\n{blocks} numblks\n{us}us avg_commit_time\n"
        );
        text.push_str("Ineligible reasons:\n");
        for (word, count) in WORDS.iter().zip(&self.reasons) {
            // A String takes all.
            let _ = writeln!(text, "\"{word}\":\t{}", sum(count));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_linux_writes_it() {
        let stats = Stats::default();
        stats.committed(2, 8_000_000);
        stats.committed(1, 4_000_000);
        stats.ineligible();
        stats.refused(Reason::Xattr);
        stats.refused(Reason::Other);
        let wanted = "fc stats:\n2 commits\n1 ineligible\n3 numblks\n7000us avg_commit_time\nIneligible reasons:\n\
                      \"Extended attributes changed\":\t1\n\"Cross rename\":\t0\n\"Journal flag changed\":\t0\n\
                      \"Insufficient memory\":\t0\n\"Swap boot\":\t0\n\"Resize\":\t0\n\"Dir renamed\":\t0\n\
                      \"Falloc range op\":\t0\n\"Data journalling\":\t0\n\"Encrypted filename\":\t0\n\"Other\":\t1\n";
        assert_eq!(stats.text(), wanted);
    }
}
