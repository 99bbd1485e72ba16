//! The cache against a byte array on a disk that fails: no wrong byte is read, nothing that was written is
//! lost, and what an fsync that returned Ok covers is on the disk. By one thread and by several.
//!
//! The small protocols (page lock, writeback, errseq) are not checked by a model checker: loom and shuttle
//! want to stand in for every lock and atomic, and those of `sync` on the host are the system's own. So
//! threads and many seeds it is.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::vec::Vec;
use std::{thread, vec};

use base::{Errno, Result};
use proptest::prelude::*;

use super::support::*;
use crate::*;

#[derive(Clone, Debug)]
enum Op {
    Write(u64, usize, u8),
    Read(u64, usize),
    Truncate(u64),
    Fsync,
    Background,
    SyncRange(u64, u64),
    WillNeed(u64),
    DontNeed(u64, u64),
    Invalidate(u64, u64),
    DropCache,
    /// The block of that byte cannot be read, or written, from now on.
    BadRead(u64),
    BadWrite(u64),
    Heal,
}

fn pos() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..65536, (0u64..16, 0u64..5).prop_map(|(page, d)| (page * 4096 + d).saturating_sub(2))]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (pos(), 1usize..9000, 1u8..200).prop_map(|(p, n, b)| Op::Write(p, n, b)),
        5 => (pos(), 1usize..20000).prop_map(|(p, n)| Op::Read(p, n)),
        1 => pos().prop_map(Op::Truncate),
        1 => Just(Op::Fsync),
        2 => Just(Op::Background),
        1 => (pos(), pos()).prop_map(|(a, b)| Op::SyncRange(a, b)),
        1 => pos().prop_map(Op::WillNeed),
        1 => (pos(), pos()).prop_map(|(a, b)| Op::DontNeed(a, b)),
        1 => (pos(), pos()).prop_map(|(a, b)| Op::Invalidate(a, b)),
        1 => Just(Op::DropCache),
        1 => pos().prop_map(Op::BadRead),
        1 => pos().prop_map(Op::BadWrite),
        1 => Just(Op::Heal),
    ]
}

/// The first sector of the block that byte `pos` of the file lies in.
fn sector(fs: &TestFs, bits: u32, pos: u64) -> Option<u64> {
    fs.blocks.lock().unwrap().get(&(pos >> bits)).map(|block| block << (bits - 9))
}

struct Model {
    bytes: Vec<u8>,
    bits: u32,
    faulty: bool,
}

impl Model {
    /// What only a failing disk may answer.
    fn may_fail<T>(&self, done: Result<T>) -> Option<T> {
        match done {
            Ok(value) => Some(value),
            Err(error) => {
                assert!(self.faulty && error == Errno::EIO, "{error} on a disk that works");
                None
            }
        }
    }

    fn apply(&mut self, fs: &TestFs, op: &Op) {
        match *op {
            Op::Write(pos, len, seed) => {
                let bytes = pattern(len, seed);
                let done = self.may_fail(fs.write(pos, &bytes)).unwrap_or(0);
                assert!(done == len || self.faulty);
                let end = pos as usize + done;
                if done > 0 {
                    self.bytes.resize(self.bytes.len().max(end), 0);
                    self.bytes[pos as usize..end].copy_from_slice(&bytes[..done]);
                }
            }
            Op::Read(pos, len) => {
                let from = (pos as usize).min(self.bytes.len());
                let expected = &self.bytes[from..(from + len).min(self.bytes.len())];
                if let Some(got) = self.may_fail(fs.read(pos, len)) {
                    assert!(got.len() == expected.len() || self.faulty, "a short read of {pos}+{len}");
                    assert!(got == expected[..got.len()], "read {pos}+{len}");
                }
            }
            Op::Truncate(size) => {
                if self.may_fail(fs.truncate(size)).is_some() {
                    self.bytes.resize(size as usize, 0);
                }
            }
            Op::Fsync => {
                if self.may_fail(fs.fsync()).is_some() {
                    assert!(fs.on_disk()[..self.bytes.len()] == self.bytes, "an fsync that said Ok");
                }
            }
            Op::Background => _ = filemap_flush(&fs.mapping, fs),
            Op::SyncRange(a, b) => _ = filemap_write_and_wait_range(&fs.mapping, fs, a.min(b)..a.max(b)),
            Op::WillNeed(at) => force_readahead(&fs.mapping, fs, at..u64::MAX),
            Op::DontNeed(a, b) => fs.mapping.not_needed(fs, a.min(b)..a.max(b)),
            // EBUSY where something is dirty: it stays.
            Op::Invalidate(a, b) => _ = fs.mapping.invalidate(a.min(b)..a.max(b)),
            Op::DropCache => fs.drop_cache(),
            Op::BadRead(at) => self.break_sector(fs, at, &fs.driver.bad_reads),
            Op::BadWrite(at) => self.break_sector(fs, at, &fs.driver.bad_writes),
            Op::Heal => heal(fs),
        }
        if matches!(op, Op::Heal) {
            // What is on its way may fail still, so the faults count until it has come down.
            while fs.fsync().is_err() {}
            self.faulty = false;
        }
    }

    fn break_sector(
        &mut self,
        fs: &TestFs,
        at: u64,
        bad: &std::sync::Mutex<std::collections::BTreeSet<u64>>,
    ) {
        if let Some(sector) = sector(fs, self.bits, at) {
            self.faulty = true;
            bad.lock().unwrap().insert(sector);
        }
    }
}

fn heal(fs: &TestFs) {
    fs.driver.bad_reads.lock().unwrap().clear();
    fs.driver.bad_writes.lock().unwrap().clear();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]
    #[test]
    fn a_disk_that_fails_changes_no_byte(
        bits in 10u32..13, late in any::<bool>(), ops in prop::collection::vec(op(), 1..50)
    ) {
        let fs = TestFs::new(bits, late);
        let mut model = Model { bytes: Vec::new(), bits, faulty: false };
        for op in &ops {
            model.apply(&fs, op);
        }
        model.apply(&fs, &Op::Heal);
        model.apply(&fs, &Op::Fsync);
        fs.empty_cache();
        prop_assert!(fs.read(0, model.bytes.len() + 1).unwrap() == model.bytes);
    }
}

/// Numbers that one seed makes again.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

const WRITERS: u64 = 3;
const SLOTS: u64 = 64;
const SLOT: usize = 700;

/// A writer's own slots lie between those of the others, in the same pages and blocks. What he wrote last is
/// what he reads, whatever the others and the disk do.
fn writer(fs: &TestFs, who: u64, seed: u64) -> Vec<u8> {
    let mut random = Random(seed * 4 + who + 1);
    let mut mine = vec![0; SLOTS as usize];
    let place = |slot: u64| (slot * WRITERS + who) * SLOT as u64;
    for _ in 0..300 {
        let slot = random.below(SLOTS);
        if random.below(2) == 0 {
            let letter = 1 + random.below(250) as u8;
            let mut done = 0;
            // EIO, or less than all: the rest is tried again.
            while done < SLOT {
                done += fs.write(place(slot) + done as u64, &[letter; SLOT][done..]).unwrap_or(0);
            }
            mine[slot as usize] = letter;
        } else if let Ok(bytes) = fs.read(place(slot), SLOT) {
            assert!(bytes.iter().all(|&b| b == mine[slot as usize]), "slot {slot} of {who}, seed {seed}");
        }
    }
    mine
}

/// Breaks and mends the disk, writes back, and drops what it can.
fn trouble(fs: &TestFs, bits: u32, seed: u64, stop: &AtomicBool) {
    let mut random = Random(seed * 977 + 5);
    while !stop.load(Ordering::Relaxed) {
        match random.below(6) {
            0 => _ = filemap_flush(&fs.mapping, fs),
            1 => _ = fs.fsync(),
            2 => fs.mapping.drop_unused(),
            3 => {
                let sector = sector(fs, bits, random.below(WRITERS * SLOTS * SLOT as u64));
                fs.driver.bad_writes.lock().unwrap().extend(sector);
            }
            4 => {
                let sector = sector(fs, bits, random.below(WRITERS * SLOTS * SLOT as u64));
                fs.driver.bad_reads.lock().unwrap().extend(sector);
            }
            // Soon, because a writer waits for a block that he must read first.
            _ => heal(fs),
        }
        thread::yield_now();
    }
}

#[test]
fn several_writers_on_a_disk_that_fails() {
    for seed in 0..12 {
        let bits = 10 + (seed % 3) as u32;
        let fs = Arc::new(TestFs::new(bits, seed % 2 == 0));
        fs.truncate(WRITERS * SLOTS * SLOT as u64).unwrap();
        let stop = AtomicBool::new(false);
        let mine: Vec<Vec<u8>> = thread::scope(|s| {
            let (fs, stop) = (&*fs, &stop);
            s.spawn(move || trouble(fs, bits, seed, stop));
            let writers: Vec<_> = (0..WRITERS).map(|who| s.spawn(move || writer(fs, who, seed))).collect();
            let mine = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
            stop.store(true, Ordering::Relaxed);
            mine
        });
        heal(&fs);
        while fs.fsync().is_err() {}
        fs.empty_cache();
        let disk = fs.on_disk();
        for (i, slot) in disk.chunks_exact(SLOT).take((WRITERS * SLOTS) as usize).enumerate() {
            let letter = mine[i % WRITERS as usize][i / WRITERS as usize];
            assert!(slot.iter().all(|&b| b == letter), "slot {i}, seed {seed}");
        }
    }
}
