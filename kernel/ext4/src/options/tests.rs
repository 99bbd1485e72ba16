use block::ioprio::{IoClass, IoPrio};

use super::*;
use crate::geometry::testing::geometry;

fn text(words: &str) -> alloc::string::String {
    Options::parse(words, Flavor::Ext4).unwrap().text(&geometry())
}

#[test]
fn shown_in_linux_order_and_only_when_they_differ() {
    assert_eq!(text("rw,resuid=0,errors=remount-ro,grpid,,minixdf"), ",minixdf,grpid,errors=remount-ro");
    assert_eq!(text(""), "");
    assert_eq!(text("bsddf,barrier=1,auto_da_alloc,acl,commit=0,delalloc,errors=continue,resuid=0"), "");
    assert_eq!(text("nobarrier,noacl,commit=30,stripe=16"), ",nobarrier,noacl,commit=30,stripe=16");
    assert_eq!(text("barrier=0,barrier"), "");
    assert_eq!(text("auto_da_alloc=0,init_itable=10,data=writeback"), ",noauto_da_alloc,data=writeback");
    assert_eq!(
        text("inode_readahead_blks=0,max_dir_size_kb=64"),
        ",inode_readahead_blks=0,max_dir_size_kb=64"
    );
    assert_eq!(text("errors=panic,resgid=6,resuid=0x5,debug"), ",debug,resuid=5,resgid=6,errors=panic");
    assert_eq!(text("init_itable=0,max_dir_size_kb=1"), ",init_itable=0,max_dir_size_kb=1");
    assert_eq!(text("init_itable=7,noinit_itable"), ",noinit_itable");
    assert_eq!(text("noload,nodelalloc,dioread_lock"), ",dioread_lock,nodelalloc,norecovery");
}

#[test]
fn what_the_superblock_says_is_no_news() {
    let mut disk = geometry();
    disk.default_mount_opts = 0x2 | 0x100;
    let options = Options::parse("grpid", Flavor::Ext4).unwrap();
    assert_eq!(options.text(&disk), "");
    assert_eq!(Options::parse("nogrpid,barrier", Flavor::Ext4).unwrap().text(&disk), ",nogrpid,barrier");
    disk.reserved_uid = 9;
    assert_eq!(Options::default().text(&disk), ",resuid=9");
    assert_eq!(Options::parse("resuid=0", Flavor::Ext4).unwrap().text(&disk), ",resuid=0");
    assert!(defaults(0x2, Flavor::Ext4).contains(Flag::GRPID));
}

#[test]
fn what_is_not_done_is_refused() {
    for word in [
        "warn_on_error",
        "dax",
        "usrquota",
        "sb=32768",
        "journal_dev=x",
        "journal_path=/dev/vdb",
        "x",
        "errors",
        "errors=",
        "errors=halt",
        "resuid",
        "resuid=",
        "resuid=-1",
        "resuid=4294967295",
        "resuid=4294967296",
        "grpid=1",
        "barrier=x",
        "inode_readahead_blks=3",
        "commit=9000000",
        "journal_ioprio=8",
        "nouid32",
        "test_dummy_encryption=v2",
    ] {
        assert_eq!(Options::parse(word, Flavor::Ext4), Err(Errno::EINVAL), "{word}");
    }
}

#[test]
fn what_linux_removed_is_passed_over() {
    assert_eq!(text("bh,nobh,oldalloc,orlov,nocheck,check=none,reservation"), "");
}

#[test]
fn older_types_have_fewer_words() {
    for (word, ext2, ext3) in [
        ("delalloc", false, false),
        ("dioread_nolock", false, false),
        ("noload", false, true),
        ("errors=panic,grpid", true, true),
    ] {
        assert_eq!(Options::parse(word, Flavor::Ext2).is_ok(), ext2, "{word}");
        assert_eq!(Options::parse(word, Flavor::Ext3).is_ok(), ext3, "{word}");
    }
}

/// Words that Linux turns into flags of the file system before it asks the type.
#[test]
fn flags_of_mount_2() {
    let options = Options::parse("sync,dirsync,lazytime", Flavor::Ext4).unwrap();
    assert_eq!(options.on(Flag::empty()), Flag::SYNC | Flag::DIRSYNC | Flag::LAZYTIME);
    assert_eq!(options.text(&geometry()), "", "shown by whoever shows the mount's own flags");
    assert_eq!(options.clone().and("async,nolazytime").unwrap().on(Flag::empty()), Flag::DIRSYNC);
    let flags = MountFlags::SYNCHRONOUS | MountFlags::NODEV;
    assert_eq!(Options::default().with_mount_flags(flags).on(Flag::ACL), Flag::SYNC | Flag::ACL);
    assert_eq!(Options::parse("noacl", Flavor::Ext4).unwrap().on(Flag::ACL), Flag::empty());
}

#[test]
fn commits_have_a_priority() {
    let first = Options::parse("journal_ioprio=6", Flavor::Ext4).unwrap();
    let prio = IoPrio::new(IoClass::BestEffort, 6);
    assert_eq!(first.journal_ioprio, Some(prio));
    assert_eq!(first.text(&geometry()), "", "Linux does not show it either");
    assert_eq!(first.and("commit=3").unwrap().journal_ioprio, Some(prio), "a remount leaves it");
}

#[test]
fn a_remount_adds() {
    let first = Options::parse("grpid,errors=panic", Flavor::Ext4).unwrap();
    assert_eq!(first.and("errors=remount-ro").unwrap().text(&geometry()), ",grpid,errors=remount-ro");
}
