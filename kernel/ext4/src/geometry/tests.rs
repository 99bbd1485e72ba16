use super::*;
use crate::disk::superblock::Superblock;
use zerocopy::{FromZeros, IntoBytes};

const MIB: u64 = 1 << 20;

/// The worked example of the module's head.
pub fn sample() -> Superblock {
    let mut sb = Superblock::new_zeroed();
    sb.s_magic = raw::MAGIC.into();
    sb.s_rev_level = raw::DYNAMIC_REV.into();
    sb.s_blocks_count_lo = 65536.into();
    sb.s_first_data_block = 1.into();
    sb.s_blocks_per_group = 8192.into();
    sb.s_inodes_per_group = 2048.into();
    sb.s_inodes_count = (8 * 2048).into();
    sb.s_inode_size = 256.into();
    sb.s_first_ino = 11.into();
    sb.s_desc_size = 64.into();
    sb.s_checksum_type = 1;
    sb.s_feature_incompat = (Incompat::EXTENTS | Incompat::BIT64 | Incompat::FILETYPE).bits().into();
    sb.s_feature_ro_compat = (RoCompat::METADATA_CSUM | RoCompat::SPARSE_SUPER).bits().into();
    seal(&mut sb);
    sb
}

fn seal(sb: &mut Superblock) {
    sb.s_checksum = super_checksum(sb).into();
}

fn refused(change: impl FnOnce(&mut Superblock)) -> SuperError {
    let mut sb = sample();
    change(&mut sb);
    seal(&mut sb);
    Geometry::check(&sb, 64 * MIB).unwrap_err()
}

#[test]
fn the_worked_example() {
    let g = Geometry::check(&sample(), 64 * MIB).unwrap();
    assert_eq!((g.groups, g.table_blocks(), g.descs_per_block(), g.desc_blocks()), (8, 512, 16, 1));
    assert_eq!(g.group_blocks(7), 8191);
    assert_eq!(g.locate(FsBlock(0)), None);
    assert_eq!(g.locate(FsBlock(1)), Some((0, 0)));
    assert_eq!(g.locate(FsBlock(65535)), Some((7, 8190)));
    assert_eq!(g.locate(FsBlock(65536)), None);
    assert_eq!(g.locate_inode(Ino(2)), Some((0, 1)));
    assert_eq!(g.locate_inode(Ino(16384)), Some((7, 2047)));
    assert_eq!(g.locate_inode(Ino(16385)), None);
    assert_eq!(g.locate_inode(Ino(0)), None);
}

#[test]
fn backups_lie_in_powers_of_three_five_and_seven() {
    let g = Geometry::check(&sample(), 64 * MIB).unwrap();
    let with: std::vec::Vec<u32> = (0..60).filter(|&n| g.has_super(n)).collect();
    assert_eq!(with, [0, 1, 3, 5, 7, 9, 25, 27, 49]);
}

#[test]
fn every_check_has_its_word() {
    assert_eq!(refused(|s| s.s_magic = 1.into()), SuperError::Magic(1));
    assert_eq!(refused(|s| s.s_rev_level = 2.into()), SuperError::Revision(2));
    assert_eq!(refused(|s| s.s_checksum_type = 9), SuperError::ChecksumType(9));
    assert_eq!(refused(|s| s.s_log_block_size = 3.into()), SuperError::BlockSize(3));
    assert_eq!(refused(|s| s.s_log_cluster_size = 1.into()), SuperError::ClusterSize(1));
    assert_eq!(refused(|s| s.s_blocks_per_group = 0.into()), SuperError::BlocksPerGroup(0));
    assert_eq!(refused(|s| s.s_blocks_per_group = 8200.into()), SuperError::BlocksPerGroup(8200));
    assert_eq!(refused(|s| s.s_inodes_per_group = 0.into()), SuperError::InodesPerGroup(0));
    assert_eq!(refused(|s| s.s_first_data_block = 0.into()), SuperError::FirstDataBlock(0));
    assert_eq!(refused(|s| s.s_blocks_count_lo = 1.into()), SuperError::BlocksCount(1));
    assert_eq!(refused(|s| s.s_blocks_count_lo = 65537.into()), SuperError::Truncated(65537, 65536));
    assert_eq!(refused(|s| s.s_inodes_count = 12.into()), SuperError::InodesCount(12, 16384));
    assert_eq!(refused(|s| s.s_inode_size = 200.into()), SuperError::InodeSize(200));
    assert_eq!(refused(|s| s.s_inode_size = 2048.into()), SuperError::InodeSize(2048));
    assert_eq!(refused(|s| s.s_first_ino = 2.into()), SuperError::FirstIno(2));
    assert_eq!(refused(|s| s.s_first_ino = 16385.into()), SuperError::FirstIno(16385));
    assert_eq!(refused(|s| s.s_desc_size = 32.into()), SuperError::DescSize(32));
    assert_eq!(refused(|s| s.s_r_blocks_count_hi = 1.into()), SuperError::ReservedBlocks(1 << 32));
    assert_eq!(refused(|s| s.s_free_blocks_count_lo = 70000.into()), SuperError::FreeBlocks(70000));
    assert_eq!(refused(|s| s.s_free_inodes_count = 70000.into()), SuperError::FreeInodes(70000));
    assert_eq!(refused(|s| s.s_want_extra_isize = 132.into()), SuperError::ExtraIsize(132));
    assert_eq!(refused(|s| s.s_reserved_gdt_blocks = 257.into()), SuperError::ReservedGdt(257));
    let both = RoCompat::METADATA_CSUM | RoCompat::GDT_CSUM;
    assert_eq!(refused(|s| s.s_feature_ro_compat = both.bits().into()), SuperError::TwoChecksums);
    let casefold = Incompat::CASEFOLD.bits();
    assert_eq!(refused(|s| s.s_feature_incompat = casefold.into()), SuperError::Incompat("casefold".into()));
}

#[test]
fn one_flipped_bit_is_seen() {
    let mut sb = sample();
    sb.s_volume_name[3] = 1;
    assert!(matches!(Geometry::check(&sb, 64 * MIB), Err(SuperError::Checksum(..))));
}

#[test]
fn no_bytes_make_it_panic() {
    let mut state = 1u32;
    for round in 0..20_000 {
        let mut sb = sample();
        for _ in 0..(round % 4) + 1 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = (state >> 8) as usize % 0x280;
            sb.as_mut_bytes()[at] = (state >> 24) as u8;
        }
        seal(&mut sb);
        if let Ok(g) = Geometry::check(&sb, u64::MAX) {
            assert!(g.groups >= 1 && g.group_blocks(g.groups - 1) >= 1);
            for group in [0, 1, g.groups / 2, g.groups - 1] {
                let _ = (g.base_meta_blocks(group), g.has_super(group));
            }
            let _ = g.desc_block(g.desc_blocks() - 1);
        }
    }
}
