//! Random reads, writes, truncates and syncs against a byte array, for each block size.
use proptest::prelude::*;
use std::vec::Vec;

use super::support::*;
use super::table::{PAGES, Table};
use crate::AddressSpaceOperations;

#[derive(Clone, Debug)]
enum Op {
    Write(u64, usize, u8),
    Read(u64, usize),
    Truncate(u64),
    Fsync,
    Background,
    DropCache,
    Load(u64),
    Store(u64, u8),
}

/// Positions near block and page borders, and anywhere in 64 KiB.
fn pos() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..65536, (0u64..16, 0u64..5).prop_map(|(page, d)| (page * 4096 + d).saturating_sub(2))]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        5 => (pos(), 1usize..9000, 1u8..200).prop_map(|(p, n, b)| Op::Write(p, n, b)),
        2 => (pos(), 1usize..3, 1u8..200).prop_map(|(p, n, b)| Op::Write(p, n, b)),
        4 => (pos(), 1usize..20000).prop_map(|(p, n)| Op::Read(p, n)),
        2 => pos().prop_map(Op::Truncate),
        1 => Just(Op::Fsync),
        1 => Just(Op::Background),
        1 => Just(Op::DropCache),
        2 => pos().prop_map(Op::Load),
        4 => (pos(), 1u8..200).prop_map(|(p, b)| Op::Store(p, b)),
    ]
}

fn apply(fs: &TestFs, table: Option<&Table>, model: &mut Vec<u8>, op: Op) {
    match op {
        Op::Write(pos, len, seed) => {
            let bytes = pattern(len, seed);
            assert_eq!(fs.write(pos, &bytes), Ok(len));
            let end = pos as usize + len;
            model.resize(model.len().max(end), 0);
            model[pos as usize..end].copy_from_slice(&bytes);
        }
        Op::Read(pos, len) => {
            let from = (pos as usize).min(model.len());
            let to = (from + len).min(model.len());
            assert!(fs.read(pos, len).unwrap() == model[from..to], "read {pos}+{len}");
        }
        Op::Truncate(size) => {
            fs.truncate(size).unwrap();
            model.resize(size as usize, 0);
        }
        Op::Fsync => {
            fs.fsync().unwrap();
            check_disk(fs, model);
        }
        Op::Background => crate::filemap_flush(&fs.mapping, fs).unwrap(),
        Op::DropCache => fs.drop_cache(),
        Op::Load(pos) | Op::Store(pos, _) if pos >= PAGES * 4096 => {}
        Op::Load(pos) => {
            if let Some(table) = table {
                let mapped = table.load(fs, pos);
                assert_eq!(mapped.is_ok(), pos / 4096 < (model.len() as u64).div_ceil(4096));
                // What lies behind the end in its page may be anything.
                if let Some(&byte) = model.get(pos as usize) {
                    assert_eq!(mapped, Ok(byte), "at {pos}");
                }
            }
        }
        Op::Store(pos, byte) => {
            if let Some(table) = table {
                let stored = table.store(fs, pos, byte);
                assert_eq!(stored.is_ok(), pos / 4096 < (model.len() as u64).div_ceil(4096));
                if let Some(place) = model.get_mut(pos as usize) {
                    *place = byte;
                }
            }
        }
    }
}

fn check_disk(fs: &TestFs, model: &[u8]) {
    let disk = fs.on_disk();
    assert_eq!(fs.size(), model.len() as u64);
    assert!(disk[..model.len()] == *model, "the disk differs from the model");
    assert!(disk[model.len()..].iter().all(|&b| b == 0), "the last block's tail is not zero");
    assert!(!fs.mapping.has_dirty() && !fs.mapping.has_writeback());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]
    #[test]
    fn behaves_as_a_byte_array(bits in 10u32..13, late in any::<bool>(), mapped in any::<bool>(), ops in prop::collection::vec(op(), 1..40)) {
        let fs = TestFs::new(bits, late);
        let mut model = Vec::new();
        let table = mapped.then(|| Table::map(&fs));
        for op in ops {
            apply(&fs, table.as_deref(), &mut model, op);
        }
        fs.fsync().unwrap();
        check_disk(&fs, &model);
        if let Some(table) = table {
            table.unmap(&fs);
        }
        fs.empty_cache();
        prop_assert!(fs.read(0, model.len() + 1).unwrap() == model);
    }
}
