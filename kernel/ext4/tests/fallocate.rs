//! fallocate(2) in all its modes, against bytes in memory, Linux's errnos and e2fsck.

use base::Errno;
use sim::{Image, Machine, Rng};

const KEEP: u32 = 0x01;
const PUNCH: u32 = 0x03;
const COLLAPSE: u32 = 0x08;
const ZERO: u32 = 0x10;
const INSERT: u32 = 0x20;

/// What the file should hold after a call that succeeds, or the errno.
fn model(bytes: &mut Vec<u8>, mode: u32, block: usize, start: usize, len: usize) -> Result<(), Errno> {
    let (end, size) = (start + len, bytes.len());
    let aligned = start.is_multiple_of(block) && len.is_multiple_of(block);
    match mode {
        COLLAPSE if !aligned || end >= size => return Err(Errno::EINVAL),
        COLLAPSE => drop(bytes.drain(start..end)),
        INSERT if !aligned || start >= size => return Err(Errno::EINVAL),
        INSERT => drop(bytes.splice(start..start, vec![0; len])),
        _ => {
            if mode & KEEP == 0 {
                bytes.resize(size.max(end), 0);
            }
            if mode & !KEEP != 0 {
                let size = bytes.len();
                bytes[start.min(size)..end.min(size)].fill(0);
            }
        }
    }
    Ok(())
}

fn sequence(seed: u64, args: &[&str], block: u64, extents: bool) {
    let mut rng = Rng::new(seed);
    let mut machine = Machine::mount(&Image::mkfs_over_garbage(12 << 20, args).unwrap()).unwrap();
    let mut bytes = Vec::new();
    machine.create("/f", 0o644).unwrap();
    for step in 0..150 {
        let (mut start, mut len) = (rng.below(300_000), 1 + rng.below(80_000));
        if rng.one_in(2) {
            (start, len) = (start / block * block, len.next_multiple_of(block));
        }
        let (at, n) = (start as usize, len as usize);
        let what;
        match rng.below(10) {
            0..=3 => {
                what = "write";
                let new = rng.bytes(n.min(20_000));
                bytes.resize(bytes.len().max(at + new.len()), 0);
                bytes[at..at + new.len()].copy_from_slice(&new);
                machine.pwrite("/f", start, &new).unwrap();
            }
            4 => {
                what = "truncate";
                bytes.resize(at, 0);
                machine.truncate("/f", start).unwrap();
            }
            5 if rng.one_in(3) => {
                what = "remount";
                let image = machine.unmount().unwrap();
                image.fsck().unwrap_or_else(|t| panic!("seed {seed}, step {step}: {t}"));
                machine = Machine::mount(&image).unwrap();
            }
            _ => {
                what = "fallocate";
                let mode = *rng.pick(&[0, KEEP, PUNCH, PUNCH, ZERO, ZERO | KEEP, COLLAPSE, INSERT]);
                if bytes.len() > 1_500_000 && mode == INSERT {
                    continue;
                }
                let want = match mode == PUNCH || extents {
                    true => model(&mut bytes, mode, block as usize, at, n),
                    false => Err(Errno::EOPNOTSUPP),
                };
                let got = machine.fallocate("/f", mode, start, len);
                assert_eq!(got, want, "seed {seed}, step {step}: mode {mode:#x} {start} {len}");
            }
        }
        let real = machine.read_file("/f").unwrap();
        assert_eq!(real.len(), bytes.len(), "seed {seed}, step {step}: {what} {start} {len}");
        if let Some(i) = real.iter().zip(&bytes).position(|(a, b)| a != b) {
            panic!("seed {seed}, step {step}: {what} {start} {len}: byte {i} differs");
        }
    }
    let image = machine.unmount().unwrap();
    image.fsck().unwrap_or_else(|t| panic!("seed {seed}: {t}"));
    assert!(image.cat("/f").unwrap() == bytes, "seed {seed}: debugfs reads something else");
}

#[test]
fn against_bytes_in_memory() {
    for seed in 0..4 {
        for block in [1024u64, 2048, 4096] {
            sequence(seed, &["-b", &block.to_string()], block, true);
        }
    }
}

/// A file whose bytes lie in its inode gets blocks first, as in Linux.
#[test]
fn inline_files() {
    for seed in 0..2 {
        sequence(seed, &["-b", "1024", "-I", "512", "-O", "inline_data"], 1024, true);
    }
    let machine = Machine::mount(&Image::mkfs(8 << 20, &["-O", "inline_data"]).unwrap()).unwrap();
    machine.write_file("/f", b"few bytes").unwrap();
    machine.fallocate("/f", PUNCH, 4, 100).unwrap();
    assert_eq!(machine.read_file("/f").unwrap(), b"few \0\0\0\0\0");
    machine.unmount().unwrap().fsck().unwrap();
}

#[test]
fn block_mapped_files_are_only_punched() {
    for seed in 0..3 {
        for block in [1024u64, 4096] {
            sequence(seed, &["-t", "ext2", "-b", &block.to_string()], block, false);
        }
    }
}

fn two(mode: u32, start: u64, len: u64) -> Result<(), Errno> {
    let machine = Machine::mount(&Image::mkfs(8 << 20, &["-b", "4096"]).unwrap()).unwrap();
    machine.write_file("/f", &[1; 20_000]).unwrap();
    machine.fallocate("/f", mode, start, len)
}

#[test]
fn errnos() {
    assert_eq!(two(COLLAPSE, 0, 4095), Err(Errno::EINVAL));
    assert_eq!(two(COLLAPSE, 4096, 16_384), Err(Errno::EINVAL));
    assert_eq!(two(INSERT, 20_480, 4096), Err(Errno::EINVAL));
    assert_eq!(two(INSERT, 0, (1 << 44) - 4096), Err(Errno::EFBIG));
    assert_eq!(two(0x40, 0, 4096), Err(Errno::EOPNOTSUPP));
    assert_eq!(two(0, 0, 1 << 44), Err(Errno::EFBIG));
    assert_eq!(two(0, 0, 1 << 30), Err(Errno::ENOSPC));
    assert_eq!(two(PUNCH, 1 << 40, 4096), Ok(()));
}

/// Every second block of a long run is taken out, then all of it: the tree grows to three levels of
/// 1 KiB nodes, and goes again.
#[test]
fn every_second_block() {
    let machine = Machine::mount(&Image::mkfs(32 << 20, &["-b", "1024"]).unwrap()).unwrap();
    let free = machine.statfs().unwrap().blocks_free;
    machine.create("/f", 0o644).unwrap();
    machine.fallocate("/f", 0, 0, 20_000 << 10).unwrap();
    assert_eq!(machine.stat("/f").unwrap().blocks / 2, 20_000);
    for n in (0..20_000u64).step_by(2) {
        machine.fallocate("/f", PUNCH, n << 10, 1024).unwrap();
    }
    machine.snapshot().fsck().unwrap();
    assert!(machine.statfs().unwrap().blocks_free > free - 10_300);
    machine.fallocate("/f", COLLAPSE, 1 << 20, 5 << 20).unwrap();
    machine.snapshot().fsck().unwrap();
    machine.fallocate("/f", INSERT, 2 << 20, 3 << 20).unwrap();
    machine.snapshot().fsck().unwrap();
    machine.fallocate("/f", PUNCH, 0, 20_000 << 10).unwrap();
    assert_eq!(machine.stat("/f").unwrap().blocks, 0);
    assert_eq!(machine.statfs().unwrap().blocks_free, free);
    machine.unmount().unwrap().fsck().unwrap();
}

/// A write into a block that was reserved, which then finds no room for the next one, has made that block the
/// file's: what it did not come to fill is zeros, not what the disk or the memory held.
#[test]
fn what_a_failed_write_has_converted_is_zeros() {
    for options in ["data=ordered", "data=journal"] {
        let image = Image::mkfs_over_garbage(8 << 20, &["-b", "1024", "-m", "0"]).unwrap();
        let options = sim::Options { options: options.into(), ..sim::Options::default() };
        let machine = Machine::mount_with(&image, &options).unwrap();
        machine.write_file("/garbage", &vec![0xa5; 1 << 20]).unwrap();
        machine.unlink("/garbage").unwrap();
        machine.create("/f", 0o644).unwrap();
        machine.fallocate("/f", 0, 0, 130).unwrap();
        machine.create("/full", 0o644).unwrap();
        let (mut at, mut size) = (0, 1 << 20);
        while size > 0 {
            match machine.fallocate("/full", 0, at, size) {
                Ok(()) => at += size,
                Err(_) => size /= 2,
            }
        }
        machine.sync().unwrap();
        pagecache::drop_caches();
        assert_eq!(machine.pwrite("/f", 4, &[1; 3000]), Err(Errno::ENOSPC));
        let found = machine.read_file("/f").unwrap();
        assert_eq!(found[..4], [0; 4]);
        assert_eq!(found.len(), 130);
        let after = machine.unmount().unwrap();
        after.fsck().unwrap();
        assert_eq!(Machine::mount(&after).unwrap().read_file("/f").unwrap(), found);
    }
}
