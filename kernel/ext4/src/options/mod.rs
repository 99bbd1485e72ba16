//! Mount options: the comma list of mount(2) and `rootflags=`, word for word those of Linux 6.1's ext4.
//!
//! # What becomes of a word
//! ```text
//!   honoured    changes what Quill does                          errors=, grpid, resuid=, max_dir_size_kb=, …
//!   taken       permits something, or asks for what is done      delalloc, nobarrier, auto_da_alloc, …
//!   refused     asks for what Quill cannot do: EINVAL, by name   dax, usrquota, inlinecrypt, …
//!   removed     Linux took it out and passes over it too         bh, oldalloc, nocheck, …
//!   unknown     EINVAL, by name
//! ```
//! A taken option never promises less than it says: who permits a lost write (`nobarrier`) gets one that
//! is not lost. The words are in [`table`].
//!
//! # How to use it
//! ```text
//!   let options = Options::parse("errors=remount-ro,grpid", Flavor::Ext4)?;
//!   fs.is_on(Flag::GRPID)         // said, or else the superblock's s_default_mount_opts
//! ```
//!
//! Source: ext4 documentation, "Options"; ext4(5).

mod show;
mod table;

use base::{Errno, Result};
use bitflags::bitflags;
use block::ioprio::IoPrio;
use vfs::MountFlags;

use crate::geometry::ErrorPolicy;
pub use show::{default_data, defaults};
use table::{Meaning, ROWS};

/// Which of the three types the mount asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Flavor {
    /// ext2: no journal, no extents.
    Ext2,
    /// ext3: ext2 with a journal.
    Ext3,
    /// ext4.
    #[default]
    Ext4,
}

impl Flavor {
    /// The type's name.
    pub fn name(self) -> &'static str {
        match self {
            Flavor::Ext2 => "ext2",
            Flavor::Ext3 => "ext3",
            Flavor::Ext4 => "ext4",
        }
    }
}

bitflags! {
    /// Options that are on or off.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Flag: u32 {
        /// `minixdf`: statfs counts the overhead as blocks.
        const MINIX_DF = 1 << 0;
        /// `grpid`: new files take their directory's group.
        const GRPID = 1 << 1;
        /// `block_validity`; Quill checks every block of a file anyway.
        const BLOCK_VALIDITY = 1 << 2;
        /// `dioread_nolock`.
        const DIOREAD_NOLOCK = 1 << 3;
        /// `discard`: tell the disk of freed blocks.
        const DISCARD = 1 << 4;
        /// `delalloc`.
        const DELALLOC = 1 << 5;
        /// `norecovery`, `noload`: a journal that needs replay is left alone; read-only.
        const NORECOVERY = 1 << 7;
        /// `barrier`.
        const BARRIER = 1 << 9;
        /// `noauto_da_alloc`.
        const NO_AUTO_DA_ALLOC = 1 << 10;
        /// `init_itable`.
        const INIT_ITABLE = 1 << 11;
        /// `user_xattr`.
        const USER_XATTR = 1 << 12;
        /// `acl`.
        const ACL = 1 << 13;
        /// `debug`.
        const DEBUG = 1 << 14;
        /// `nombcache`.
        const NO_MBCACHE = 1 << 15;
        /// `lazytime`.
        const LAZYTIME = 1 << 16;
        /// `abort`: a remount with it ends writing.
        const ABORT = 1 << 17;
        /// `sync`: changes are on the medium before they are told.
        const SYNC = 1 << 18;
        /// `dirsync`: changes of names are.
        const DIRSYNC = 1 << 19;
        /// `journal_checksum`.
        const JOURNAL_CHECKSUM = 1 << 20;
        /// `journal_async_commit`; brings `journal_checksum` along.
        const ASYNC_COMMIT = 1 << 21;
        /// `data_err=abort`: a failed write of ordered data gives the journal up.
        const DATA_ERR_ABORT = 1 << 22;
    }
}

/// The options of a mount.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// The type that was asked for.
    pub flavor: Flavor,
    /// Flags that were said, whichever way.
    given: Flag,
    /// Which of them are on.
    on: Flag,
    /// `errors=`; None: what the superblock says.
    pub errors: Option<ErrorPolicy>,
    /// `init_itable=`.
    pub init_itable: Option<u32>,
    /// `resuid=`: who may use the reserved blocks besides root.
    pub resuid: Option<u32>,
    /// `resgid=`.
    pub resgid: Option<u32>,
    /// `max_dir_size_kb=`; 0 for no limit.
    pub max_dir_size_kb: u32,
    /// `commit=`, in seconds.
    pub commit: Option<u32>,
    /// `stripe=`, in blocks.
    pub stripe: Option<u32>,
    /// `inode_readahead_blks=`.
    pub inode_readahead: Option<u32>,
    /// `min_batch_time=` and `max_batch_time=`, in microseconds.
    pub batch_time: (Option<u32>, Option<u32>),
    /// `journal_ioprio=`: the priority of commits.
    pub journal_ioprio: Option<IoPrio>,
    /// `data=`; None: what the superblock says.
    pub data: Option<DataMode>,
    /// `journal_dev=`: the device number of an external journal, as the kernel's `dev_t` has it.
    pub journal_dev: Option<u32>,
}

/// What the journal promises of files' data.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DataMode {
    /// New data are on the disk before the transaction that makes them visible.
    #[default]
    Ordered,
    /// Nothing: after a crash new blocks may show old bytes.
    Writeback,
    /// Data go through the journal too.
    Journal,
}

impl DataMode {
    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            DataMode::Ordered => "ordered",
            DataMode::Writeback => "writeback",
            DataMode::Journal => "journal",
        }
    }
}

impl Options {
    /// Reads the comma list. EINVAL, with a line in the log that names the option.
    pub fn parse(text: &str, flavor: Flavor) -> Result<Options> {
        Options { flavor, ..Options::default() }.and(text)
    }

    /// These options, and those of a remount's list on top.
    pub fn and(mut self, text: &str) -> Result<Options> {
        for word in text.split(',').map(str::trim).filter(|w| !w.is_empty()) {
            self.take(word)?;
        }
        Ok(self)
    }

    /// Whether a flag is on: as it was said, or else as `defaults` has it.
    pub fn is_on(&self, flag: Flag, defaults: Flag) -> bool {
        if self.given.contains(flag) { self.on.contains(flag) } else { defaults.contains(flag) }
    }

    /// The flags that are on.
    pub fn on(&self, defaults: Flag) -> Flag {
        self.on | (defaults - self.given)
    }

    /// What cannot be on.
    pub fn switch_off(&mut self, flag: Flag) {
        self.set(flag, false);
    }

    /// These flags as `other` has them.
    pub fn keep(&mut self, flags: Flag, other: &Options) {
        self.given = (self.given - flags) | (other.given & flags);
        self.on = (self.on - flags) | (other.on & flags);
    }

    /// What mount(2) says by flags of its own, on top.
    pub fn with_mount_flags(mut self, flags: MountFlags) -> Options {
        for (flag, mount) in MOUNT_FLAGS {
            if flags.contains(mount) {
                self.set(flag, true);
            }
        }
        self
    }

    fn take(&mut self, word: &str) -> Result<()> {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        // A row with its value spelled out ("errors=panic") comes before one for any value.
        let row = ROWS.iter().find(|r| r.0 == word).or_else(|| ROWS.iter().find(|r| takes(r, name, value)));
        match row {
            Some((_, meaning)) => self.apply(word, value, meaning),
            None => Err(refuse(word, "is not known")),
        }
    }

    fn apply(&mut self, word: &str, value: Option<&str>, meaning: &Meaning) -> Result<()> {
        match *meaning {
            Meaning::On(flag) => self.set(flag, true),
            Meaning::Both(a, b) => {
                self.set(a, true);
                self.set(b, true);
            }
            Meaning::Off(flag) => self.set(flag, false),
            Meaning::Switch(flag) => self.set(flag, number(word, value)? != 0),
            Meaning::Inverse(flag) => self.set(flag, number(word, value)? == 0),
            Meaning::Errors(policy) => self.errors = Some(policy),
            Meaning::Number(store) => store(self, number(word, value)?).map_err(|why| refuse(word, why))?,
            Meaning::Data(mode) => self.data = Some(mode),
            Meaning::Taken => {}
            Meaning::Removed => log::warn!("EXT4-fs: Ignoring removed {word} option"),
            Meaning::Refused(why) => return Err(refuse(word, why)),
            Meaning::Ext4Only(flag, on) if self.flavor == Flavor::Ext4 => self.set(flag, on),
            Meaning::Ext4Only(..) => return Err(refuse(word, "is for ext4 alone")),
            Meaning::NotExt2(flag, on) if self.flavor != Flavor::Ext2 => self.set(flag, on),
            Meaning::NotExt2(..) => return Err(refuse(word, "is not for ext2")),
        }
        Ok(())
    }

    fn set(&mut self, flag: Flag, on: bool) {
        self.given.insert(flag);
        self.on.set(flag, on);
    }
}

/// `init_itable=` when it is not said.
pub const INIT_ITABLE: u32 = 10;

/// Options that mount(2) has flags for, and that every file system shows before its own.
pub const MOUNT_FLAGS: [(Flag, MountFlags); 3] = [
    (Flag::SYNC, MountFlags::SYNCHRONOUS),
    (Flag::DIRSYNC, MountFlags::DIRSYNC),
    (Flag::LAZYTIME, MountFlags::LAZYTIME),
];

/// Whether a row's name stands for this word: its own name, with a value exactly when it wants one.
fn takes(row: &(&str, Meaning), name: &str, value: Option<&str>) -> bool {
    let wants = matches!(row.1, Meaning::Switch(_) | Meaning::Inverse(_) | Meaning::Number(_));
    row.0.strip_suffix('=') == Some(name)
        && value.is_some()
        && (wants || matches!(row.1, Meaning::Refused(_)))
}

/// A decimal or 0x number.
fn number(word: &str, value: Option<&str>) -> Result<u32> {
    let value = value.unwrap_or("");
    let parsed = match value.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => value.parse(),
    };
    parsed.map_err(|_| refuse(word, "has no number that fits"))
}

fn refuse(word: &str, why: &str) -> Errno {
    log::error!("EXT4-fs: mount option \"{word}\" {why}");
    Errno::EINVAL
}

#[cfg(test)]
mod tests;
