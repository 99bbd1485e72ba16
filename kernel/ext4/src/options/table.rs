//! The words.

use block::ioprio::{IoClass, IoPrio, LEVELS};

use super::{DataMode, Flag, Options};
use crate::geometry::ErrorPolicy;

/// What a word does.
pub(super) enum Meaning {
    /// Switches a flag on.
    On(Flag),
    /// Switches a flag off.
    Off(Flag),
    /// `=0` off, `=n` on.
    Switch(Flag),
    /// `=0` on, `=n` off.
    Inverse(Flag),
    /// A flag that ext2 and ext3 do not have.
    Ext4Only(Flag, bool),
    /// A flag that ext2 does not have.
    NotExt2(Flag, bool),
    /// `errors=`.
    Errors(ErrorPolicy),
    /// `name=N`; says what is wrong with N.
    Number(fn(&mut Options, u32) -> Result<(), &'static str>),
    /// `data=`.
    Data(DataMode),
    /// Switches two flags on.
    Both(Flag, Flag),
    /// Asks for what is done anyway, or permits what is not needed.
    Taken,
    /// Linux passes over it.
    Removed,
    /// Cannot be done; why.
    Refused(&'static str),
}

use Meaning::{
    Both, Data, Errors, Ext4Only, Inverse, NotExt2, Number, Off, On, Refused, Removed, Switch, Taken,
};

const NO_QUOTA: &str = "is not supported: no quota is kept";
const NO_PATH: &str = "is not supported: journal_dev= names the device";
const NO_DAX: &str = "is not supported: the disk has no memory to map";

/// The longest commit interval: Linux's jiffies in an int at 250 Hz.
const COMMIT_MAX: u32 = i32::MAX as u32 / 250;

/// All words, those with a value as `name=`.
pub(super) const ROWS: &[(&str, Meaning)] = &[
    ("defaults", Taken),
    ("rw", Taken),
    ("ro", Taken),
    ("sync", On(Flag::SYNC)),
    ("async", Off(Flag::SYNC)),
    ("dirsync", On(Flag::DIRSYNC)),
    ("relatime", Taken),
    ("noatime", Taken),
    ("bsddf", Off(Flag::MINIX_DF)),
    ("minixdf", On(Flag::MINIX_DF)),
    ("grpid", On(Flag::GRPID)),
    ("bsdgroups", On(Flag::GRPID)),
    ("nogrpid", Off(Flag::GRPID)),
    ("sysvgroups", Off(Flag::GRPID)),
    ("resuid=", Number(|o, n| owner(&mut o.resuid, n))),
    ("resgid=", Number(|o, n| owner(&mut o.resgid, n))),
    ("sb=", Refused("is not supported: restore the superblock with e2fsck -b")),
    ("errors=continue", Errors(ErrorPolicy::Continue)),
    ("errors=remount-ro", Errors(ErrorPolicy::RemountReadOnly)),
    ("errors=panic", Errors(ErrorPolicy::Panic)),
    ("nouid32", Refused("is not supported: owners have 32 bits")),
    ("debug", On(Flag::DEBUG)),
    ("abort", On(Flag::ABORT)),
    ("user_xattr", On(Flag::USER_XATTR)),
    ("nouser_xattr", Off(Flag::USER_XATTR)),
    ("acl", On(Flag::ACL)),
    ("noacl", Off(Flag::ACL)),
    ("norecovery", NotExt2(Flag::NORECOVERY, true)),
    ("noload", NotExt2(Flag::NORECOVERY, true)),
    ("commit=", Number(commit)),
    ("min_batch_time=", Number(|o, n| store(&mut o.batch_time.0, n))),
    ("max_batch_time=", Number(|o, n| store(&mut o.batch_time.1, n))),
    ("journal_dev=", Number(|o, n| store(&mut o.journal_dev, n))),
    ("journal_path=", Refused(NO_PATH)),
    ("journal_checksum", On(Flag::JOURNAL_CHECKSUM)),
    ("nojournal_checksum", Off(Flag::JOURNAL_CHECKSUM)),
    ("journal_async_commit", Both(Flag::ASYNC_COMMIT, Flag::JOURNAL_CHECKSUM)),
    ("data=writeback", Data(DataMode::Writeback)),
    ("data=ordered", Data(DataMode::Ordered)),
    ("data=journal", Data(DataMode::Journal)),
    ("data_err=abort", On(Flag::DATA_ERR_ABORT)),
    ("data_err=ignore", Off(Flag::DATA_ERR_ABORT)),
    ("usrjquota=", Refused(NO_QUOTA)),
    ("grpjquota=", Refused(NO_QUOTA)),
    ("jqfmt=", Refused(NO_QUOTA)),
    ("usrjquota", Taken),
    ("grpjquota", Taken),
    ("quota", Refused(NO_QUOTA)),
    ("usrquota", Refused(NO_QUOTA)),
    ("grpquota", Refused(NO_QUOTA)),
    ("prjquota", Refused(NO_QUOTA)),
    ("noquota", Taken),
    ("barrier", On(Flag::BARRIER)),
    ("barrier=", Switch(Flag::BARRIER)),
    ("nobarrier", Off(Flag::BARRIER)),
    ("i_version", Taken),
    ("dax", Refused(NO_DAX)),
    ("dax=always", Refused(NO_DAX)),
    ("dax=inode", Taken),
    ("dax=never", Taken),
    ("stripe=", Number(|o, n| store(&mut o.stripe, n))),
    ("delalloc", Ext4Only(Flag::DELALLOC, true)),
    ("nodelalloc", Ext4Only(Flag::DELALLOC, false)),
    ("warn_on_error", Refused("is not supported: an error is told without a backtrace")),
    ("nowarn_on_error", Taken),
    ("lazytime", On(Flag::LAZYTIME)),
    ("nolazytime", Off(Flag::LAZYTIME)),
    ("debug_want_extra_isize=", Refused("is not supported: mke2fs -E sets the size of new inodes")),
    ("block_validity", On(Flag::BLOCK_VALIDITY)),
    ("noblock_validity", Off(Flag::BLOCK_VALIDITY)),
    ("inode_readahead_blks=", Number(readahead)),
    ("journal_ioprio=", Number(ioprio)),
    ("auto_da_alloc", Off(Flag::NO_AUTO_DA_ALLOC)),
    ("auto_da_alloc=", Inverse(Flag::NO_AUTO_DA_ALLOC)),
    ("noauto_da_alloc", On(Flag::NO_AUTO_DA_ALLOC)),
    ("dioread_nolock", Ext4Only(Flag::DIOREAD_NOLOCK, true)),
    ("nodioread_nolock", Off(Flag::DIOREAD_NOLOCK)),
    ("dioread_lock", Ext4Only(Flag::DIOREAD_NOLOCK, false)),
    ("discard", On(Flag::DISCARD)),
    ("nodiscard", Off(Flag::DISCARD)),
    ("init_itable", On(Flag::INIT_ITABLE)),
    ("init_itable=", Number(init_itable)),
    ("noinit_itable", Off(Flag::INIT_ITABLE)),
    ("max_dir_size_kb=", Number(max_dir_size)),
    ("test_dummy_encryption", Refused("is not supported: no encryption")),
    ("test_dummy_encryption=", Refused("is not supported: no encryption")),
    ("inlinecrypt", Refused("is not supported: no encryption")),
    ("nombcache", On(Flag::NO_MBCACHE)),
    ("no_mbcache", On(Flag::NO_MBCACHE)),
    ("no_prefetch_block_bitmaps", Taken),
    ("mb_optimize_scan=", Number(|_, n| if n <= 1 { Ok(()) } else { Err("must be 0 or 1") })),
    ("bh", Removed),
    ("nobh", Removed),
    ("oldalloc", Removed),
    ("orlov", Removed),
    ("mblk_io_submit", Removed),
    ("nomblk_io_submit", Removed),
    ("prefetch_block_bitmaps", Removed),
    ("check=none", Removed),
    ("nocheck", Removed),
    ("reservation", Removed),
    ("noreservation", Removed),
];

fn store(field: &mut Option<u32>, n: u32) -> Result<(), &'static str> {
    *field = Some(n);
    Ok(())
}

/// A user or a group; the largest number is nobody's.
fn owner(field: &mut Option<u32>, id: u32) -> Result<(), &'static str> {
    if id == u32::MAX { Err("is not valid") } else { store(field, id) }
}

/// A level of best effort.
fn ioprio(options: &mut Options, n: u32) -> Result<(), &'static str> {
    match u8::try_from(n) {
        Ok(level) if level < LEVELS => {
            options.journal_ioprio = Some(IoPrio::new(IoClass::BestEffort, level));
            Ok(())
        }
        _ => Err("must be 0 to 7"),
    }
}

/// `commit=0` is the default, 5 seconds.
fn commit(options: &mut Options, n: u32) -> Result<(), &'static str> {
    if n > COMMIT_MAX {
        return Err("is too long");
    }
    options.commit = (n != 0).then_some(n);
    Ok(())
}

/// On, and how gently.
fn init_itable(options: &mut Options, n: u32) -> Result<(), &'static str> {
    options.set(Flag::INIT_ITABLE, true);
    store(&mut options.init_itable, n)
}

fn readahead(options: &mut Options, n: u32) -> Result<(), &'static str> {
    if n != 0 && (n > 1 << 30 || !n.is_power_of_two()) {
        return Err("must be 0 or a power of 2 up to 2^30");
    }
    store(&mut options.inode_readahead, n)
}

fn max_dir_size(options: &mut Options, n: u32) -> Result<(), &'static str> {
    options.max_dir_size_kb = n;
    Ok(())
}
