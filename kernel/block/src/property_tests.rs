//! Any sequence of bios, under any elevator and on any kind of device: each bio ends exactly once,
//! and the disk is what a plain array would be.
//!
//! Requests in flight together have no order, so a step that overlaps one that has not ended waits
//! for it first, as a file system would.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::vec::Vec;

use base::units::SECTOR_SIZE;
use base::{DevId, Frame, Result, Sector};
use proptest::prelude::*;

use crate::bio::{Bio, BioFlags, BioOp};
use crate::disk::Disk;
use crate::driver::Limits;
use crate::elevator;
use crate::plug::{self, PlugGuard};
use crate::testing::{BAD, LateDisk, page_bio};

const SECTORS: u64 = 256;

#[derive(Clone, Debug)]
enum Step {
    Io { op: BioOp, flags: BioFlags, sector: u64, sectors: u64, byte: u8 },
    Plug,
    Unplug,
    Complete { pick: usize, ok: bool },
    Switch(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let op = prop_oneof![
        3 => Just(BioOp::Read),
        6 => Just(BioOp::Write),
        1 => Just(BioOp::Discard),
        1 => Just(BioOp::WriteZeroes),
        1 => Just(BioOp::Flush),
    ];
    let flags = prop_oneof![
        6 => Just(BioFlags::empty()),
        1 => Just(BioFlags::PREFLUSH),
        1 => Just(BioFlags::FUA),
        1 => Just(BioFlags::PREFLUSH | BioFlags::FUA),
    ];
    let io = (op, flags, 0..SECTORS, 1..40u64, any::<u8>()).prop_map(|(op, flags, sector, sectors, byte)| {
        let sectors = sectors.min(SECTORS - sector);
        Step::Io { op, flags, sector, sectors, byte }
    });
    prop_oneof![
        10 => io,
        1 => Just(Step::Plug),
        1 => Just(Step::Unplug),
        5 => (any::<usize>(), proptest::bool::weighted(0.9)).prop_map(|(pick, ok)| Step::Complete { pick, ok }),
        1 => (0..elevator::NAMES.len()).prop_map(Step::Switch),
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    (
        1..12u32,
        prop_oneof![Just(512u32), Just(1536), Just(4096), Just(65536)],
        1..64u32,
        1..8u32,
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(max_segments, max_segment_size, max_sectors, queue_depth, write_cache, fua)| {
            Limits {
                max_segments,
                max_segment_size,
                max_sectors,
                max_discard_sectors: max_sectors,
                max_write_zeroes_sectors: 7,
                queue_depth,
                write_cache,
                fua,
                ..Limits::default()
            }
        })
}

/// A bio that was submitted, and what became of it.
struct Sent {
    op: BioOp,
    first: usize,
    end: usize,
    byte: u8,
    frames: Vec<Frame>,
    ended: Arc<Mutex<Vec<Result<()>>>>,
}

struct World {
    driver: Arc<LateDisk>,
    disk: Arc<Disk>,
    plugs: Vec<PlugGuard>,
    open: VecDeque<Sent>,
    /// What each sector is filled with; None when a failed write may or may not have reached it.
    model: Vec<Option<u8>>,
}

impl World {
    fn new(limits: Limits, room: usize, elevator: &str) -> World {
        let driver = LateDisk::new(SECTORS as usize, room, limits);
        let disk = Disk::new("test", DevId::new(1, 9), driver.clone(), elevator).unwrap();
        World {
            driver,
            disk,
            plugs: Vec::new(),
            open: VecDeque::new(),
            model: vec![Some(0); SECTORS as usize],
        }
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Plug => self.plugs.push(plug::plug()),
            Step::Unplug => drop(self.plugs.pop()),
            Step::Switch(n) => self.disk.queue().switch_elevator(elevator::NAMES[n]).unwrap(),
            Step::Complete { pick, ok } => {
                self.driver.complete_one(pick, if ok { Ok(()) } else { BAD });
            }
            Step::Io { op, flags, sector, sectors, byte } => self.submit(op, flags, sector, sectors, byte),
        }
        self.settle();
    }

    fn submit(&mut self, op: BioOp, flags: BioFlags, sector: u64, sectors: u64, byte: u8) {
        let (first, end) = (sector as usize, (sector + sectors) as usize);
        if self.open.iter().any(|s| s.first < end && first < s.end) {
            self.drain();
        }
        let (mut bio, frames) = match op {
            BioOp::Read => data_bio(op, sector, sectors, 0xee),
            BioOp::Write => data_bio(op, sector, sectors, byte),
            BioOp::Flush => (Bio::new(op, Sector(0)), Vec::new()),
            BioOp::Discard | BioOp::WriteZeroes => {
                (Bio::without_data(op, Sector(sector), sectors), Vec::new())
            }
        };
        if op == BioOp::Write {
            bio.flags = flags;
        }
        let ended = Arc::new(Mutex::new(Vec::new()));
        let sink = ended.clone();
        let (first, end) = if op == BioOp::Flush { (0, 0) } else { (first, end) };
        let byte = if op == BioOp::Write { byte } else { 0 };
        self.open.push_back(Sent { op, first, end, byte, frames, ended });
        self.disk.submit_bio(bio.end_io(move |result| sink.lock().unwrap().push(result)));
    }

    /// Takes note of what has ended.
    fn settle(&mut self) {
        for sent in std::mem::take(&mut self.open) {
            let ended = sent.ended.lock().unwrap().clone();
            match ended[..] {
                [] => self.open.push_back(sent),
                [result] => self.judge(&sent, result),
                _ => panic!("ended {} times", ended.len()),
            }
        }
    }

    fn judge(&mut self, sent: &Sent, result: Result<()>) {
        let range = sent.first..sent.end;
        match (sent.op, result) {
            (BioOp::Flush, _) | (BioOp::Read, Err(_)) => {}
            (BioOp::Read, Ok(())) => {
                for (n, sector) in range.enumerate() {
                    let mut got = [0; SECTOR_SIZE];
                    sent.frames[n / 8].read(n % 8 * SECTOR_SIZE, &mut got);
                    if let Some(byte) = self.model[sector] {
                        assert_eq!(got, [byte; SECTOR_SIZE], "sector {sector}");
                    }
                }
            }
            (_, Ok(())) => self.model[range].fill(Some(sent.byte)),
            (_, Err(_)) => self.model[range].fill(None),
        }
    }

    fn drain(&mut self) {
        self.plugs.clear();
        self.driver.complete_all();
        self.settle();
        assert!(self.open.is_empty(), "{} bios never ended", self.open.len());
    }

    fn finish(mut self) {
        self.drain();
        let stats = self.disk.stats();
        assert_eq!((stats.in_flight, self.disk.queue().waiting()), (0, 0));
        let bytes = self.driver.bytes.lock().unwrap();
        for (sector, (got, want)) in bytes.chunks(SECTOR_SIZE).zip(&self.model).enumerate() {
            if let Some(byte) = want {
                assert!(got.iter().all(|b| b == byte), "sector {sector}");
            }
        }
    }
}

/// A data bio of any number of sectors.
fn data_bio(op: BioOp, sector: u64, sectors: u64, byte: u8) -> (Bio, Vec<Frame>) {
    let (_, frames) = page_bio(op, 0, sectors.div_ceil(8) as usize, byte);
    let mut bio = Bio::new(op, Sector(sector));
    let mut left = sectors as u32 * SECTOR_SIZE as u32;
    for frame in &frames {
        let len = left.min(4096);
        bio.add(frame, 0, len);
        left -= len;
    }
    (bio, frames)
}

fn check(limits: Limits, room: usize, elevator: &str, steps: &[Step]) {
    let mut world = World::new(limits, room, elevator);
    steps.iter().for_each(|step| world.run(step));
    world.finish();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_bio_ends_once_and_the_disk_is_right(
        limits in limits(),
        room in 1..10usize,
        first in 0..elevator::NAMES.len(),
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        check(limits, room, elevator::NAMES[first], &steps);
    }

    #[test]
    fn also_one_at_a_time(steps in proptest::collection::vec(step(), 1..120)) {
        let limits = Limits { queue_depth: 1, write_cache: true, max_discard_sectors: 64, max_write_zeroes_sectors: 64, ..Limits::default() };
        for name in elevator::NAMES {
            check(limits, 1, name, &steps);
        }
    }
}
