use super::*;
use crate::geometry::testing::geometry;
use std::vec::Vec;

fn meta() -> Meta {
    Meta {
        mode: 0o100644,
        uid: 0x1_2345,
        gid: 7,
        nlink: 2,
        flags: InodeFlags::EXTENTS,
        blocks: 16,
        atime: Timespec { sec: 1, nsec: 2 },
        mtime: Timespec { sec: 1 << 31, nsec: 500_000_000 },
        ctime: Timespec { sec: -5, nsec: 999_999_999 },
        crtime: Some(Timespec { sec: (3 << 32) + 5, nsec: 1 }),
        generation: 0xdead_beef,
        file_acl: 77,
        version: 1 << 40,
        projid: 0x1234_5678,
        extra_isize: 32,
        block: [9; BLOCK_SIZE],
    }
}

fn store(geo: &Geometry, meta: &Meta, size: u64, raw: &mut [u8]) {
    encode(geo, meta, size, raw);
    seal(geo, csum_seed(geo, 12, meta.generation), raw);
}

fn encoded(geo: &Geometry) -> Vec<u8> {
    let mut raw = std::vec![0u8; geo.inode_size];
    store(geo, &meta(), 5_000_000_000, &mut raw);
    raw
}

#[test]
fn what_goes_in_comes_out() {
    let geo = geometry();
    let d = decode(&geo, 12, &encoded(&geo)).unwrap();
    let (want, got) = (meta(), d.meta);
    assert_eq!((d.size, d.kind, d.dtime), (5_000_000_000, FileType::Regular, 0));
    assert_eq!((got.mode, got.uid, got.gid, got.nlink), (want.mode, want.uid, want.gid, want.nlink));
    assert_eq!(
        (got.atime, got.mtime, got.ctime, got.crtime),
        (want.atime, want.mtime, want.ctime, want.crtime)
    );
    assert_eq!((got.blocks, got.generation, got.file_acl, got.version), (16, 0xdead_beef, 77, 1 << 40));
    assert_eq!(got.block, want.block);
}

#[test]
fn the_worked_example_of_times() {
    let (low, extra) = encode_time(Timespec { sec: 0x8000_0000, nsec: 500_000_000 });
    assert_eq!((low.get(), extra.get()), (0x8000_0000, (500_000_000 << 2) | 1));
    let far = encode_time(Timespec { sec: i64::MAX, nsec: 0 });
    assert_eq!(decode_time(far.0.get(), far.1.get()).sec, (3i64 << 32) + (1 << 31) - 1);
}

#[test]
fn any_flipped_bit_breaks_the_checksum() {
    let geo = geometry();
    let good = encoded(&geo);
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(decode(&geo, 12, &bad).is_err(), "bit {bit}");
    }
    assert!(decode(&geo, 13, &good).is_err(), "another inode's bytes");
}

#[test]
fn dtime_survives_and_keeps_the_checksum_right() {
    let geo = geometry();
    let mut raw = encoded(&geo);
    assert!(!set_dtime(0, &mut raw));
    assert!(set_dtime(99, &mut raw));
    assert_eq!(generation(&raw), meta().generation);
    store(&geo, &meta(), 1, &mut raw);
    assert_eq!(decode(&geo, 12, &raw).unwrap().dtime, 99);
}

#[test]
fn each_check_has_its_word() {
    let mut geo = geometry();
    geo.ro_compat.remove(RoCompat::METADATA_CSUM);
    let with = |at: usize, bytes: &[u8]| {
        let mut raw = encoded(&geo);
        raw[at..at + bytes.len()].copy_from_slice(bytes);
        decode(&geo, 12, &raw).map(|_| ()).unwrap_err()
    };
    assert_eq!(with(0x80, &[200, 0]), InodeError::ExtraIsize(200));
    assert_eq!(with(0, &[0, 0xf0]), InodeError::Mode(0xf000));
    assert_eq!(
        with(0x6c, &[0, 0, 0, 0x80]),
        InodeError::Size((5_000_000_000 & 0xffff_ffff) | (0x8000_0000 << 32))
    );
    assert_eq!(with(0x68, &[0xff, 0xff, 0xff, 0xff]), InodeError::FileAcl(0xffff_ffff));
    assert_eq!(with(0x20, &[0, 0, 0, 0x10]), InodeError::Flags(0x1000_0000));
    assert_eq!(decode(&geo, 12, &std::vec![0; 256]).map(|_| ()).unwrap_err(), InodeError::Free);
}

#[test]
fn devices_in_both_forms() {
    for dev in [DevId::new(1, 3), DevId::new(254, 0), DevId::new(300, 5), DevId::new(8, 70_000)] {
        assert_eq!(decode_device(&encode_device(dev)), dev);
    }
}
