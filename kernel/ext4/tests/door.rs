//! The mount's door: what is refused, what becomes read-only, and the words for it.

use base::Errno;
use sim::{Image, Machine, Options, take_log};

/// The errno and the log of a mount that must fail.
fn refused(image: &Image) -> (Errno, String) {
    take_log();
    let errno = Machine::mount(image).err().expect("the mount must fail");
    (errno, take_log().join("\n"))
}

/// A mount that must become read-only, and the log.
fn read_only(image: &Image) -> (Machine, String) {
    take_log();
    let machine = Machine::mount(image).unwrap();
    assert!(machine.vfs_mount().superblock().read_only());
    assert_eq!(machine.create("/new", 0o644), Err(Errno::EROFS));
    (machine, take_log().join("\n"))
}

fn image(args: &[&str]) -> Image {
    Image::mkfs(8 << 20, args).unwrap()
}

#[test]
fn no_file_system() {
    let (errno, log) = refused(&Image { bytes: vec![0; 1 << 20] });
    assert_eq!(errno, Errno::EINVAL);
    assert!(log.contains("no ext4 file system"), "{log}");
}

#[test]
fn a_disk_without_room_for_one() {
    let (errno, log) = refused(&Image { bytes: vec![0; 1536] });
    assert_eq!(errno, Errno::EINVAL);
    assert!(log.contains("too small"), "{log}");
}

#[test]
fn a_truncated_image() {
    let mut short = image(&[]);
    short.bytes.truncate(6 << 20);
    let (errno, log) = refused(&short);
    assert_eq!(errno, Errno::EINVAL);
    assert!(log.contains("s_blocks_count") && log.contains("truncated"), "{log}");
}

#[test]
fn unknown_incompat_features_by_name() {
    for name in ["mmp", "encrypt", "casefold"] {
        let made = Image::mkfs(8 << 20, &["-O", name]).unwrap();
        let (errno, log) = refused(&made);
        assert_eq!(errno, Errno::EINVAL, "{name}");
        assert!(log.contains(name), "{name}: {log}");
    }
}

#[test]
fn unknown_ro_compat_features_make_it_read_only() {
    for name in ["quota", "quota,project", "verity", "bigalloc"] {
        let (machine, log) = read_only(&image(&["-O", name]));
        let last = name.split(',').next().unwrap();
        assert!(log.contains("read-only") && log.contains(last), "{name}: {log}");
        machine.read_dir("/lost+found").unwrap();
        machine.unmount().unwrap().fsck().unwrap();
    }
}

#[test]
fn noload_leaves_a_journal_that_needs_recovery_alone() {
    let crashed = image(&[]).changed("feature needs_recovery").unwrap();
    let before = crashed.bytes.clone();
    take_log();
    let options = Options { options: "noload".into(), ..Options::default() };
    let machine = Machine::mount_with(&crashed, &options).unwrap();
    assert_eq!(machine.create("/new", 0o644), Err(Errno::EROFS));
    let log = take_log().join("\n");
    assert!(log.contains("mounted read-only: the option norecovery asks for it"), "{log}");
    assert_eq!(machine.give_up().bytes, before, "not a byte was written");
}

#[test]
fn a_read_only_mount_writes_nothing() {
    let made = image(&[]);
    let options = Options { read_only: true, ..Options::default() };
    let machine = Machine::mount_with(&made, &options).unwrap();
    machine.read_dir("/").unwrap();
    machine.stat("/lost+found").unwrap();
    assert_eq!(machine.give_up().bytes, made.bytes);
}

#[test]
fn a_damaged_superblock_names_the_field() {
    for (field, value, text) in [
        ("inodes_per_group", "7", "s_inodes_per_group"),
        ("blocks_per_group", "100", "s_blocks_per_group"),
        ("desc_size", "48", "s_desc_size"),
        ("inode_size", "100", "s_inode_size"),
    ] {
        let bad = damaged(&image(&["-b", "1024"]), field, value);
        let (errno, log) = refused(&bad);
        assert_eq!(errno, Errno::EUCLEAN, "{field}: {log}");
        assert!(log.contains(text), "{field}: {log}");
    }
    let mut flipped = image(&[]);
    flipped.bytes[1024 + 0x78] ^= 1;
    let (errno, log) = refused(&flipped);
    assert_eq!(errno, Errno::EUCLEAN);
    assert!(log.contains("s_checksum"), "{log}");
}

/// Sets a superblock field, and its checksum right.
fn damaged(image: &Image, field: &str, value: &str) -> Image {
    let at = match field {
        "inodes_per_group" => 0x28,
        "blocks_per_group" => 0x20,
        "desc_size" => 0xfe,
        _ => 0x58,
    };
    let mut bytes = image.bytes.clone();
    let value: u16 = value.parse().unwrap();
    bytes[1024 + at..1024 + at + 2].copy_from_slice(&value.to_le_bytes());
    let crc = ext4::checksum::crc32c(!0, &bytes[1024..1024 + 0x3fc]);
    bytes[1024 + 0x3fc..2048].copy_from_slice(&crc.to_le_bytes());
    Image { bytes }
}

#[test]
fn a_damaged_group_descriptor_names_the_group() {
    let mut bad = image(&["-b", "1024"]);
    bad.bytes[2048] ^= 1;
    let (errno, log) = refused(&bad);
    assert_eq!(errno, Errno::EUCLEAN);
    assert!(log.contains("group descriptor 0") && log.contains("bg_checksum"), "{log}");
}

#[test]
fn unknown_options_are_refused() {
    for options in ["inlinecrypt", "usrquota", "nonsense", "resuid=x", "dax"] {
        let options = Options { options: options.into(), ..Options::default() };
        assert_eq!(Machine::mount_with(&image(&[]), &options).err(), Some(Errno::EINVAL));
        assert!(take_log().join("\n").contains(&options.options));
    }
}

fn options(fs_type: &'static str, options: &str, read_only: bool) -> Options {
    Options { fs_type, options: options.into(), read_only, ..Options::default() }
}

/// The type decides which features may be there, as in Linux.
#[test]
fn ext2_and_ext3_as_types() {
    let ext4 = image(&[]);
    let ext2 = image(&["-t", "ext2"]);
    let ext3 = image(&["-t", "ext3", "-J", "size=1"]);
    for (made, kind, mounts) in [
        (&ext4, "ext2", false),
        (&ext4, "ext3", false),
        (&ext2, "ext2", true),
        (&ext2, "ext3", false),
        (&ext3, "ext2", true),
        (&ext3, "ext3", true),
        (&ext2, "ext4", true),
        (&ext3, "ext4", true),
    ] {
        take_log();
        // mke2fs -t ext2 of today sets ext_attr, resize_inode, dir_index: compat, so no matter.
        let machine = Machine::mount_with(made, &options(kind, "", true));
        let log = take_log().join("\n");
        assert_eq!(machine.is_ok(), mounts, "{kind}: {log}");
        match machine {
            Ok(machine) => {
                assert_eq!(machine.vfs_mount().superblock().fs_type(), kind);
                machine.read_dir("/lost+found").unwrap();
                assert_eq!(machine.give_up().bytes, made.bytes);
            }
            Err(e) => {
                assert_eq!(e, Errno::EINVAL);
                assert!(log.contains("feature incompatibilities"), "{log}");
            }
        }
    }
    let huge = image(&["-t", "ext2", "-O", "huge_file"]);
    assert_eq!(Machine::mount_with(&huge, &options("ext2", "", false)).err(), Some(Errno::EINVAL));
    Machine::mount_with(&huge, &options("ext2", "", true)).unwrap().give_up();
    assert_eq!(Machine::mount_with(&ext2, &options("ext2", "delalloc", true)).err(), Some(Errno::EINVAL));
}

#[test]
fn options_as_proc_mounts_shows_them() {
    let made = image(&[]);
    let machine =
        Machine::mount_with(&made, &options("", "nodelalloc,errors=panic,commit=9", false)).unwrap();
    assert_eq!(machine.vfs_mount().superblock().options(), ",nodelalloc,errors=panic,commit=9");
    machine.give_up();
    let tuned = made.changed("ssv default_mount_opts 0x102").unwrap();
    let machine = Machine::mount(&tuned).unwrap();
    assert_eq!(machine.vfs_mount().superblock().options(), "");
    machine.give_up();
}
