//! docs/ext4-features.md, row by row: the disk is made, mounted, written and checked.

use base::Errno;
use sim::{Image, Machine, take_log};

const TABLE: &str = include_str!("../../../docs/ext4-features.md");

/// A row: the feature's name, mke2fs's argument, what becomes of it.
fn rows() -> Vec<(&'static str, &'static str, &'static str)> {
    let cells = |line: &'static str| line.split('|').map(str::trim).collect::<Vec<_>>();
    TABLE
        .lines()
        .map(cells)
        .filter_map(|cell| {
            let args = cell.get(3)?.strip_prefix("`-O ")?.strip_suffix('`')?;
            Some((cell[1], args, cell[4].split(':').next()?.split(' ').next()?))
        })
        .collect()
}

fn write_much(machine: &Machine) {
    for d in 0..4 {
        machine.mkdir(format!("/d{d}")).unwrap();
        for n in 0..30 {
            machine.write_file(format!("/d{d}/a file with number {n}"), &vec![d as u8; n * n * 40]).unwrap();
        }
        machine.symlink("t".repeat(20 + d * 40), format!("/d{d}/link")).unwrap();
        machine.unlink(format!("/d{d}/a file with number 7")).unwrap();
        machine.truncate(format!("/d{d}/a file with number 20"), 999).unwrap();
    }
}

#[test]
fn every_row_of_the_table() {
    let rows = rows();
    assert!(rows.len() >= 35);
    for (name, args, what) in rows {
        let made =
            Image::mkfs(16 << 20, &["-b", "1024", "-O", args]).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        take_log();
        let mounted = Machine::mount(&made);
        let log = take_log().join("\n");
        match (what, mounted) {
            ("written", Ok(machine)) => {
                write_much(&machine);
                let after = machine.unmount().unwrap();
                after.fsck().unwrap_or_else(|e| panic!("{name}: {e:?}"));
                assert_eq!(after.cat("/d3/a file with number 29").unwrap(), vec![3; 29 * 29 * 40], "{name}");
            }
            ("read-only", Ok(machine)) => {
                assert!(log.contains("read-only") && log.contains(name), "{name}: {log}");
                assert_eq!(machine.create("/new", 0o644), Err(Errno::EROFS), "{name}");
                machine.read_dir("/lost+found").unwrap();
                assert!(machine.give_up().bytes == made.bytes, "{name}: nothing is written");
            }
            ("refused", Err(e)) => {
                assert_eq!(e, Errno::EINVAL, "{name}");
                assert!(log.contains(name), "{name}: {log}");
            }
            (_, mounted) => panic!("{name}: to be {what}, is {:?}: {log}", mounted.map(drop)),
        }
    }
}

/// Bits that nobody has named yet.
#[test]
fn unknown_bits() {
    let bit = |at: usize, bit: u32| {
        let mut image = Image::mkfs(8 << 20, &["-b", "1024", "-O", "^metadata_csum"]).unwrap();
        let at = 1024 + at;
        let word = u32::from_le_bytes(image.bytes[at..at + 4].try_into().unwrap()) | bit;
        image.bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        take_log();
        (Machine::mount(&image), take_log().join("\n"))
    };
    let (machine, _) = bit(0x5c, 1 << 30);
    assert!(!machine.unwrap().vfs_mount().superblock().read_only(), "compat");
    let (machine, log) = bit(0x60, 1 << 30);
    assert_eq!(machine.err(), Some(Errno::EINVAL), "incompat");
    assert!(log.contains("0x40000000"), "{log}");
    let (machine, log) = bit(0x64, 1 << 30);
    assert!(machine.unwrap().vfs_mount().superblock().read_only(), "ro_compat");
    assert!(log.contains("0x40000000"), "{log}");
}

/// `max_dir_size_kb` keeps a directory from growing, and nothing else.
#[test]
fn the_largest_directory() {
    let options = sim::Options { options: "max_dir_size_kb=4".into(), ..sim::Options::default() };
    let made = Image::mkfs(8 << 20, &["-b", "1024"]).unwrap();
    let machine = Machine::mount_with(&made, &options).unwrap();
    machine.mkdir("/d").unwrap();
    let end = (0..1000).find_map(|n| machine.create(format!("/d/a file with number {n}"), 0o644).err());
    assert_eq!(end, Some(Errno::ENOSPC));
    assert_eq!(machine.stat("/d").unwrap().size, 4096);
    machine.write_file("/elsewhere", &[1; 100_000]).unwrap();
    machine.unmount().unwrap().fsck().unwrap();
}

/// Inodes with flags of features that the disk does not have.
#[test]
fn flags_without_their_feature() {
    let machine = Machine::mount(&Image::mkfs(8 << 20, &["-b", "1024"]).unwrap()).unwrap();
    machine.write_file("/secret", b"secret").unwrap();
    machine.mkdir("/hidden").unwrap();
    machine.mkdir("/caseless").unwrap();
    machine.create("/caseless/A", 0o644).unwrap();
    let image = machine.unmount().unwrap();
    let image = ["secret flags 0x80800", "hidden flags 0x80800", "caseless flags 0x40080000"]
        .iter()
        .fold(image, |image, field| image.changed(&format!("set_inode_field /{field}")).unwrap());
    take_log();
    let machine = Machine::mount(&image).unwrap();
    assert_eq!(machine.read_file("/secret"), Err(Errno::EUCLEAN));
    assert_eq!(machine.create("/hidden/f", 0o644), Err(Errno::EUCLEAN));
    machine.unmount().unwrap().repaired().unwrap().fsck().unwrap();
    let options = sim::Options { options: "errors=continue".into(), ..sim::Options::default() };
    let machine = Machine::mount_with(&image, &options).unwrap();
    machine.create("/caseless/a", 0o644).unwrap();
    assert_eq!(machine.read_dir("/caseless").unwrap().len(), 4);
    assert!(take_log().iter().any(|line| line.contains("casefold flag without casefold feature")));
    machine.unmount().unwrap().repaired().unwrap().fsck().unwrap();
}
