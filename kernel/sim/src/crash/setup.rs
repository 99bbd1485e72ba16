//! The disks and the mounts on which workloads are played: drawn from the seed.
//!
//! Disks are small, so that files soon get blocks that others had, and journals are the smallest that
//! mke2fs makes (1024 blocks), so that they wrap.

use block::Limits;

use super::log_disk;
use super::oracle::Stale;
use super::workload::Profile;
use crate::image::Image;
use crate::random::Rng;
use crate::tools::Trouble;

/// `data=`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Data {
    /// Data before the commit of what makes it seen.
    Ordered,
    /// In any order.
    Writeback,
    /// Through the journal.
    Journal,
}

impl Data {
    /// All three.
    pub const ALL: [Data; 3] = [Data::Ordered, Data::Writeback, Data::Journal];

    /// As the option has it.
    pub const fn name(self) -> &'static str {
        match self {
            Data::Ordered => "ordered",
            Data::Writeback => "writeback",
            Data::Journal => "journal",
        }
    }
}

/// One way to do it.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How data goes.
    pub data: Data,
    /// Bytes of a block: 1024 or 4096.
    pub block: u32,
    /// Features for mke2fs, after a comma each.
    pub features: Vec<&'static str>,
    /// More mount options.
    pub options: Vec<&'static str>,
    /// What the programs do.
    pub profile: Profile,
    /// How many steps.
    pub steps: usize,
    /// How many programs at once.
    pub actors: usize,
    /// The disk knows FUA.
    pub fua: bool,
    /// The disk was full of old bytes.
    pub garbage: bool,
    /// Files are made with `chattr +j`.
    pub journalled: bool,
    /// Each step has a time of its own; else all fall into one tick of the clock.
    pub ticking: bool,
    /// The journal has a disk of its own.
    pub external: bool,
    /// Without the journal: for the laboratory's own proof.
    pub no_journal: bool,
}

/// Sets of features, drawn with equal chance; the first ones are mke2fs's default.
const FEATURES: [&[&str]; 10] = [
    &[],
    &[],
    &["^64bit"],
    &["^metadata_csum"],
    &["^metadata_csum", "^64bit"],
    &["inline_data"],
    &["orphan_file"],
    &["^extent", "^64bit"],
    &["metadata_csum_seed"],
    &["^dir_index", "^flex_bg"],
];

/// What this build of the file system can do; the laboratory leaves the rest out.
#[derive(Clone, Copy, Debug)]
pub struct Abilities {
    /// Modes of data.
    pub data: &'static [Data],
    /// Disks with fast commits are written so.
    pub fast_commit: bool,
    /// Options that may be given.
    pub options: &'static [&'static str],
}

impl Abilities {
    /// All of today's.
    pub const NOW: Abilities = Abilities {
        data: &Data::ALL,
        fast_commit: true,
        options: &[
            "journal_checksum",
            "journal_async_commit",
            "max_batch_time=0",
            "nodelalloc",
            "nodelalloc",
        ],
    };
}

impl Setup {
    /// The one of a seed.
    pub fn of(seed: u64, abilities: &Abilities) -> Setup {
        let mut rng = Rng::new(seed ^ 0x5e70_5e70);
        // Neighbours differ in what matters most.
        let data = abilities.data[(seed % abilities.data.len() as u64) as usize];
        let profile = Profile::ALL[(seed / 3 % Profile::ALL.len() as u64) as usize];
        let block = if rng.one_in(3) { 4096 } else { 1024 };
        let mut features = rng.pick(&FEATURES).to_vec();
        if abilities.fast_commit && rng.one_in(3) {
            features.push("fast_commit");
        }
        let mut options = Vec::new();
        if !abilities.options.is_empty() && rng.one_in(3) {
            let option = *rng.pick(abilities.options);
            // Linux refuses the two together: nothing would wait for the data.
            if option != "journal_async_commit" || data != Data::Ordered {
                options.push(option);
            }
        }
        let actors = if rng.one_in(8) { 3 } else { 1 };
        let steps = profile.steps() / actors;
        let (fua, garbage, ticking) = (rng.one_in(2), rng.one_in(4), rng.one_in(2));
        let journalled = data != Data::Journal && rng.one_in(5);
        // Both want the file system's own log: e2fsck for fast commits, mke2fs for the file of orphans.
        let internal = ["fast_commit", "orphan_file"].iter().any(|feature| features.contains(feature));
        let external = rng.one_in(7) && !internal;
        Setup {
            data,
            block,
            features,
            options,
            profile,
            steps,
            actors,
            fua,
            garbage,
            journalled,
            ticking,
            external,
            no_journal: false,
        }
    }

    /// What mke2fs is told.
    pub(super) fn mkfs_args(&self) -> Vec<String> {
        let mut features = self.features.clone();
        let internal = !self.no_journal && !self.external;
        features.push(if internal { "has_journal" } else { "^has_journal" });
        let mut args: Vec<String> =
            vec!["-b".into(), self.block.to_string(), "-O".into(), features.join(",")];
        args.extend(["-N".into(), "512".into()]);
        if !self.garbage {
            // Else a thread zeroes the inode tables, at moments of its own.
            args.extend(["-E".into(), "lazy_itable_init=0".into()]);
        }
        if internal {
            args.extend(["-J".into(), if self.block == 1024 { "size=1" } else { "size=4" }.into()]);
        }
        args
    }

    /// The disks: the file system's, and perhaps the journal's.
    pub(super) fn make(&self) -> Result<Vec<Vec<u8>>, Trouble> {
        let args = self.mkfs_args();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let make = if self.garbage { Image::mkfs_over_garbage } else { Image::mkfs };
        let main = make(self.size(), &args)?;
        if self.external && !self.no_journal {
            log_disk::make(&main, self.block)
        } else {
            Ok(vec![main.bytes])
        }
    }

    /// Bytes of the disk.
    pub(super) fn size(&self) -> u64 {
        if self.block == 1024 { 4 << 20 } else { 9 << 20 }
    }

    /// Bytes that the files may have together: much of the disk, so that blocks come round.
    pub fn room(&self) -> u64 {
        if self.block == 1024 { 1200 << 10 } else { 2 << 20 }
    }

    /// The options of mount(2).
    pub fn mount_options(&self) -> String {
        let mut options = self.options.clone();
        let data = format!("data={}", self.data.name());
        if !self.no_journal {
            options.push(&data);
        }
        options.join(",")
    }

    pub(super) fn limits(&self) -> Limits {
        Limits { write_cache: true, fua: self.fua, ..Limits::default() }
    }

    /// Whether blocks come at writeback.
    pub(super) fn is_delayed(&self) -> bool {
        self.data != Data::Journal && !self.options.contains(&"nodelalloc")
    }

    /// What may be found in places that were not acknowledged.
    pub(super) fn stale(&self) -> Stale {
        match self.data == Data::Journal || self.journalled {
            // But what is stored to a mapping becomes part of a transaction when it is written back.
            true if self.profile != Profile::Around => Stale::InOrder,
            false if self.data == Data::Writeback => Stale::Allowed,
            _ => Stale::Never,
        }
    }

    /// In a few words.
    pub fn name(&self) -> String {
        let parts = [self.features.join(","), self.options.join(",")];
        let parts: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        let crowd = if self.actors > 1 { format!(", {} at once", self.actors) } else { String::new() };
        let fua = if self.fua { ", FUA" } else { "" };
        let external = if self.external { ", external journal" } else { "" };
        let plus_j = if self.journalled { " and +j" } else { "" };
        format!(
            "{}{crowd}, data={}{plus_j}, {} KiB blocks{}{}{external}{fua}",
            self.profile.name(),
            self.data.name(),
            self.block / 1024,
            if parts.is_empty() { "" } else { ", " },
            parts.join(", ")
        )
    }
}
