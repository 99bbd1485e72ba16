//! What the disk is told of blocks that nobody uses: FITRIM, and the mount option `discard`.

use base::user::FakeUser;
use base::{Errno, Result};
use block::{BioOp, Limits};
use sim::{Image, Machine, Options, Rng, take_log};
use vfs::{Caller, OpenFlags};

const FITRIM: u32 = 0xc018_5879;
const ARG: u64 = 0x1000;
const ALL: u64 = u64::MAX;

fn mount(options: &str, can_discard: bool, args: &[&str]) -> Machine {
    let image = Image::mkfs(24 << 20, args).unwrap();
    let max_discard_sectors = if can_discard { u32::MAX } else { 0 };
    let limits = Limits { max_discard_sectors, ..Limits::default() };
    Machine::mount_with(&image, &Options { options: options.into(), limits, ..Options::default() }).unwrap()
}

/// FITRIM on a path; the bytes it says were discarded.
fn fitrim(machine: &Machine, path: &str, words: [u64; 3], capable: bool) -> Result<u64> {
    let user = FakeUser::new(ARG, 4096);
    user.put(ARG, &words.map(u64::to_le_bytes).concat());
    let file = machine.open(path, OpenFlags::empty(), 0)?;
    file.ops().ioctl(&file, FITRIM, ARG, &Caller { memory: &user, uid: 0, capable })?;
    Ok(u64::from_le_bytes(user.get(ARG + 8, 8).try_into().unwrap()))
}

/// Bytes in the discards since the last call.
fn discarded(machine: &Machine) -> u64 {
    machine.tracer().take().iter().filter(|t| t.op == BioOp::Discard).map(|t| t.sectors * 512).sum()
}

#[test]
fn fitrim_discards_what_is_free_and_nothing_else() {
    let rows: [&[&str]; 3] = [
        &["-b", "1024"],
        &["-b", "4096", "-O", "^has_journal"],
        &["-b", "1024", "-O", "^flex_bg,^metadata_csum"],
    ];
    for args in rows {
        // Blocks that are given out after the close keep what was taken ahead for the file, and that is not trimmed.
        let machine = mount("nodelalloc", true, args);
        let bytes = Rng::new(1).bytes(3_000_000);
        for n in 0..6 {
            machine.write_file(format!("/f{n}"), &bytes[n..]).unwrap();
        }
        (0..6).step_by(2).for_each(|n| machine.unlink(format!("/f{n}")).unwrap());
        let stat = machine.statfs().unwrap();
        discarded(&machine);
        let told = fitrim(&machine, "/", [0, ALL, 0], true).unwrap();
        assert_eq!(told, stat.blocks_free * stat.block_size);
        assert_eq!(discarded(&machine), told);
        assert_eq!(machine.statfs().unwrap().blocks_free, stat.blocks_free);
        let image = machine.unmount().unwrap();
        image.fsck().unwrap();
        for n in [1, 3, 5] {
            assert_eq!(image.cat(&format!("/f{n}")).unwrap(), bytes[n..]);
        }
    }
}

#[test]
fn ranges_and_refusals() {
    let machine = mount("", true, &["-b", "1024", "-O", "^has_journal"]);
    machine.create("/f", 0o644).unwrap();
    let trim = |words| fitrim(&machine, "/f", words, true);
    assert_eq!(fitrim(&machine, "/f", [0, ALL, 0], false), Err(Errno::EPERM));
    assert_eq!(trim([0, 1023, 0]), Err(Errno::EINVAL));
    assert_eq!(trim([24 << 20, ALL, 0]), Err(Errno::EINVAL));
    assert_eq!(trim([0, ALL, 8193 << 10]), Err(Errno::EINVAL));
    assert_eq!(trim([0, 1024, 0]), Ok(0));
    // A mebibyte in the second group, all of which is free.
    assert_eq!(trim([12 << 20, 1 << 20, 0]), Ok(1 << 20));
    assert_eq!(trim([12 << 20, 1 << 20, 2 << 20]), Ok(0));
    let file = machine.open("/f", OpenFlags::empty(), 0).unwrap();
    let user = FakeUser::new(ARG, 4096);
    let caller = Caller { memory: &user, uid: 0, capable: true };
    assert_eq!(file.ops().ioctl(&file, FITRIM, 8, &caller), Err(Errno::EFAULT));
    assert_eq!(file.ops().ioctl(&file, 0x5401, ARG, &caller), Err(Errno::ENOTTY));
    // What no disk here has: encryption's policy, verity's digest.
    for command in [0x400c_6615, 0xc004_6686] {
        assert_eq!(file.ops().ioctl(&file, command, ARG, &caller), Err(Errno::EOPNOTSUPP));
    }
    drop(file);
    machine.unmount().unwrap().fsck().unwrap();
    let unable = mount("", false, &["-b", "1024"]);
    assert_eq!(fitrim(&unable, "/", [0, ALL, 0], true), Err(Errno::EOPNOTSUPP));
}

/// With the option, freed blocks are discarded after what freed them is durable, and not before.
#[test]
fn freed_blocks_are_discarded_at_sync() {
    let machine = mount("discard", true, &["-b", "1024", "-O", "^has_journal"]);
    machine.write_file("/f", &[1; 1 << 20]).unwrap();
    machine.write_file("/g", &[2; 1 << 20]).unwrap();
    machine.sync().unwrap();
    machine.unlink("/f").unwrap();
    assert_eq!(discarded(&machine), 0);
    machine.tracer().take();
    machine.sync().unwrap();
    let seen = machine.tracer().take();
    let first = seen.iter().position(|t| t.op == BioOp::Discard).unwrap();
    let last_write = seen.iter().rposition(|t| t.op == BioOp::Write).unwrap();
    assert!(last_write < first, "{seen:?}");
    let bytes: u64 = seen.iter().filter(|t| t.op == BioOp::Discard).map(|t| t.sectors * 512).sum();
    assert!(bytes >= 1 << 20, "{bytes}");
    // What was given away again in the meantime is not discarded; fsync does as sync.
    machine.truncate("/g", 0).unwrap();
    machine.write_file("/h", &Rng::new(7).bytes(1 << 20)).unwrap();
    machine.fsync("/h").unwrap();
    assert_eq!(machine.read_file("/h").unwrap(), Rng::new(7).bytes(1 << 20));
    let image = machine.unmount().unwrap();
    image.fsck().unwrap();
    assert_eq!(image.cat("/h").unwrap(), Rng::new(7).bytes(1 << 20));
}

#[test]
fn a_disk_that_cannot_is_mounted_all_the_same() {
    take_log();
    let machine = mount("discard", false, &["-b", "1024"]);
    assert!(take_log().iter().any(|line| line.to_string().contains("cannot discard")));
    machine.write_file("/f", &[1; 5000]).unwrap();
    machine.unlink("/f").unwrap();
    machine.sync().unwrap();
    assert_eq!(discarded(&machine), 0);
    machine.unmount().unwrap().fsck().unwrap();
}

/// A read-only mount may be trimmed, as under Linux, unless its bitmaps may be untrue.
#[test]
fn a_read_only_mount_is_trimmed() {
    let made = Image::mkfs(24 << 20, &["-b", "1024"]).unwrap();
    let limits = Limits { max_discard_sectors: u32::MAX, ..Limits::default() };
    let mounted = |image: &Image, options: &str| {
        let options = Options { options: options.into(), limits, read_only: true, ..Options::default() };
        Machine::mount_with(image, &options).unwrap()
    };
    let machine = mounted(&made, "");
    let stat = machine.statfs().unwrap();
    discarded(&machine);
    let told = fitrim(&machine, "/", [0, ALL, 0], true).unwrap();
    assert_eq!(told, stat.blocks_free * stat.block_size);
    assert_eq!(discarded(&machine), told);
    machine.give_up().fsck().unwrap();
    let replay = made.changed("feature needs_recovery").unwrap();
    let machine = mounted(&replay, "noload");
    assert_eq!(fitrim(&machine, "/", [0, ALL, 0], true), Err(Errno::EROFS));
    assert_eq!(discarded(&machine), 0);
}
