//! Any sequence of bios, under any elevator and on any kind of device: each bio ends exactly once,
//! and the disk is what a plain array would be; also while elevators are switched, time passes, and
//! what may be set on the queue is set.
//!
//! Time is virtual: an elevator that waits on purpose does so until the test lets time pass. Bios come
//! from several threads, of several priorities.
//!
//! Requests in flight together have no order, so a step that overlaps one that has not ended waits
//! for it first, as a file system would.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::vec::Vec;

use base::units::SECTOR_SIZE;
use base::{Frame, Result, Sector};
use proptest::prelude::*;

use crate::attributes::Merges;
use crate::bio::{Bio, BioFlags, BioOp};
use crate::driver::Limits;
use crate::elevator;
use crate::ioprio::{self, IoPrio};
use crate::plug::{self, PlugGuard};
use crate::queue::RequestQueue;
use crate::testing::{BAD, LateDisk, VirtualTime, page_bio, submit};

const SECTORS: u64 = 256;

#[derive(Clone, Debug)]
enum Step {
    Io {
        op: BioOp,
        flags: BioFlags,
        sector: u64,
        sectors: u64,
        byte: u8,
        who: Who,
    },
    Plug,
    Unplug,
    Complete {
        pick: usize,
        ok: bool,
    },
    Switch(usize),
    /// The tunable of that number, modulo how many there are.
    Tune(usize, u64),
    Set(Attribute),
    /// Nanoseconds pass.
    Pass(u64),
}

#[derive(Clone, Copy, Debug)]
enum Attribute {
    NrRequests(usize),
    MaxSectorsKb(u32),
    Merges(Merges),
    Rotational(bool),
    Iostats(bool),
    WriteCache(bool),
    TimeoutMs(u32),
}

fn attribute() -> impl Strategy<Value = Attribute> {
    prop_oneof![
        (256..3000usize).prop_map(Attribute::NrRequests),
        (0..40u32).prop_map(Attribute::MaxSectorsKb),
        prop_oneof![Just(Merges::All), Just(Merges::Simple), Just(Merges::None)].prop_map(Attribute::Merges),
        any::<bool>().prop_map(Attribute::Rotational),
        any::<bool>().prop_map(Attribute::Iostats),
        any::<bool>().prop_map(Attribute::WriteCache),
        (0..100u32).prop_map(Attribute::TimeoutMs),
    ]
}

/// Who submits.
#[derive(Clone, Copy, Debug)]
enum Who {
    /// The test's thread, which may be plugged.
    Me,
    /// One that does nothing else, with this priority.
    Another(IoPrio),
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
    let flags = (flags, any::<bool>()).prop_map(|(f, sync)| if sync { f | BioFlags::SYNC } else { f });
    let prio = (0..4u32, 0..8u32).prop_map(|(class, level)| IoPrio::from_raw(class << 13 | level));
    let who = prop_oneof![
        5 => Just(Who::Me),
        1 => prio.prop_map(|prio| Who::Another(prio.unwrap_or(IoPrio::NONE))),
    ];
    let io = (op, flags, 0..SECTORS, 1..40u64, any::<u8>(), who).prop_map(
        |(op, flags, sector, sectors, byte, who)| {
            let sectors = sectors.min(SECTORS - sector);
            Step::Io { op, flags, sector, sectors, byte, who }
        },
    );
    prop_oneof![
        10 => io,
        1 => Just(Step::Plug),
        1 => Just(Step::Unplug),
        5 => (any::<usize>(), proptest::bool::weighted(0.9)).prop_map(|(pick, ok)| Step::Complete { pick, ok }),
        1 => (0..elevator::NAMES.len()).prop_map(Step::Switch),
        1 => (any::<usize>(), prop_oneof![0..10u64, any::<u64>()]).prop_map(|(n, value)| Step::Tune(n, value)),
        1 => attribute().prop_map(Step::Set),
        2 => prop_oneof![0..20_000_000u64, 0..10_000_000_000u64].prop_map(Step::Pass),
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    let memory = (
        1..12u32,
        prop_oneof![Just(512u32), Just(1536), Just(4096), Just(65536)],
        prop_oneof![3 => Just(u64::MAX), 1 => Just(0xfffu64), 1 => Just(0x3ff)],
    );
    let discard =
        (1..64u32, 1..5u32, prop_oneof![Just(0u32), Just(4096)], prop_oneof![Just(0u32), Just(1024)]);
    let device = (1..64u32, 1..8u32, any::<bool>(), any::<bool>());
    (memory, discard, device).prop_map(|(memory, discard, device)| Limits {
        max_segments: memory.0,
        max_segment_size: memory.1,
        seg_boundary_mask: memory.2,
        max_discard_sectors: discard.0,
        max_discard_segments: discard.1,
        discard_granularity: discard.2,
        discard_alignment: discard.3,
        max_write_zeroes_sectors: 7,
        max_sectors: device.0,
        queue_depth: device.1,
        write_cache: device.2,
        fua: device.3,
        ..Limits::DEFAULT
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
    queue: Arc<RequestQueue>,
    time: &'static VirtualTime,
    plugs: Vec<PlugGuard>,
    open: VecDeque<Sent>,
    /// What each sector is filled with; None when a failed write may or may not have reached it.
    model: Vec<Option<u8>>,
}

impl World {
    fn new(limits: Limits, room: usize, elevator: &str) -> World {
        let driver = LateDisk::new(SECTORS as usize, room, limits);
        let time = VirtualTime::new();
        World {
            queue: RequestQueue::with_timer("test", base::DevId::new(254, 0), driver.clone(), elevator, time)
                .unwrap(),
            driver,
            time,
            plugs: Vec::new(),
            open: VecDeque::new(),
            model: vec![Some(0); SECTORS as usize],
        }
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Plug => self.plugs.push(plug::plug()),
            Step::Unplug => drop(self.plugs.pop()),
            Step::Switch(n) => self.queue.switch_elevator(elevator::NAMES[n]).unwrap(),
            Step::Tune(n, value) => self.tune(n, value),
            Step::Set(attribute) => self.set(attribute),
            Step::Pass(ns) => self.time.pass(ns, &self.queue),
            Step::Complete { pick, ok } => {
                self.driver.complete_one(pick, if ok { Ok(()) } else { BAD });
            }
            Step::Io { op, flags, sector, sectors, byte, who } => {
                self.submit(op, flags, sector, sectors, byte, who);
            }
        }
        self.settle();
    }

    fn tune(&self, n: usize, value: u64) {
        let names = self.queue.tunables();
        if let Some(name) = n.checked_rem(names.len()).map(|n| names[n]) {
            self.queue.set_tunable(name, value).unwrap();
            assert!(self.queue.tunable(name).is_some());
        }
    }

    /// What is out of range is refused, and then nothing happens.
    fn set(&self, attribute: Attribute) {
        let queue = &self.queue;
        match attribute {
            Attribute::NrRequests(n) => _ = queue.set_nr_requests(n),
            Attribute::MaxSectorsKb(kib) => _ = queue.set_max_sectors_kb(kib),
            Attribute::Merges(merges) => queue.set_merges(merges),
            Attribute::Rotational(on) => queue.set_rotational(on),
            Attribute::Iostats(on) => queue.set_iostats(on),
            Attribute::WriteCache(on) => queue.set_write_cache(on).unwrap(),
            Attribute::TimeoutMs(ms) => _ = queue.set_io_timeout_ms(ms),
        }
    }

    fn submit(&mut self, op: BioOp, flags: BioFlags, sector: u64, sectors: u64, byte: u8, who: Who) {
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
        bio.flags |= flags & BioFlags::SYNC;
        let ended = Arc::new(Mutex::new(Vec::new()));
        let sink = ended.clone();
        let (first, end) = if op == BioOp::Flush { (0, 0) } else { (first, end) };
        let byte = if op == BioOp::Write { byte } else { 0 };
        self.open.push_back(Sent { op, first, end, byte, frames, ended });
        let bio = bio.end_io(move |result| sink.lock().unwrap().push(result));
        match who {
            Who::Me => submit(&self.queue, bio),
            Who::Another(prio) => std::thread::scope(|scope| {
                let other = scope.spawn(|| {
                    ioprio::set_current(prio);
                    submit(&self.queue, bio);
                });
                other.join().unwrap();
            }),
        }
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

    /// All that is open ends, once the elevators have waited long enough.
    fn drain(&mut self) {
        self.plugs.clear();
        self.driver.complete_all();
        self.settle();
        let mut rounds = 0;
        while !self.open.is_empty() {
            assert!(rounds < 1000, "{} bios never ended", self.open.len());
            rounds += 1;
            self.time.pass_to_armed(&self.queue);
            self.driver.complete_all();
            self.settle();
        }
    }

    fn finish(mut self) {
        self.drain();
        assert_eq!((self.queue.stats().in_flight, self.queue.waiting()), (0, 0));
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
