//! Blocks that are metadata, are freed, become a file's data, and metadata again: a replay and the cache
//! leave the data alone.

use std::sync::{Arc, Mutex};
use std::vec::Vec;

use base::frame;
use block::{Bio, BioOp};

use crate::testing::{Bench, Chance, Shape, fill, quiet, value};

/// What a block is used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Use {
    Free,
    Metadata,
    /// Freed by a transaction that has not committed.
    Pending,
    /// A file's, written past the log with this number.
    Data(u64),
}

/// A promise: from this event on the block holds this number, until the event at which it was taken back.
#[derive(Clone, Copy, Debug)]
struct Promise {
    block: u64,
    value: u64,
    from: usize,
    until: usize,
}

/// Writes data to a block as a file system does: to the disk, not by way of the device's cache.
fn write_data(bench: &Bench, n: u64, value: u64) {
    let size = 1usize << bench.shape.block_bits;
    let page = frame::alloc_zeroed().unwrap();
    let mut bytes = std::vec![0; size];
    fill(&mut bytes, value);
    page.write(0, &bytes);
    let place = bench.shape.place(n);
    let mut bio = Bio::new(BioOp::Write, place.sector(bench.shape.block_bits).unwrap());
    bio.add(&page, 0, size as u32);
    bench.device.disk().submit_and_wait(bio).unwrap();
    bench.device.flush().unwrap();
}

fn run(bench: &Bench, chance: &mut Chance, ops: u64) -> Vec<Promise> {
    let uses = Arc::new(Mutex::new([Use::Free; 24]));
    let mut promises: Vec<Promise> = Vec::new();
    for op in 1..=ops {
        let handle = bench.journal.start(3).unwrap();
        for _ in 0..3 {
            let n = chance.below(24);
            let now = uses.lock().unwrap()[n as usize];
            match now {
                Use::Metadata if chance.one_in(2) => {
                    bench.journal.forget(bench.shape.place(n), true);
                    uses.lock().unwrap()[n as usize] = Use::Pending;
                    let uses = uses.clone();
                    handle.on_commit(std::boxed::Box::new(move |_| {
                        uses.lock().unwrap()[n as usize] = Use::Free;
                    }));
                }
                Use::Metadata => bench.put(n, op),
                Use::Free if chance.one_in(2) => {
                    bench.put(n, op);
                    uses.lock().unwrap()[n as usize] = Use::Metadata;
                }
                Use::Free => {
                    let value = op << 20 | n;
                    write_data(bench, n, value);
                    uses.lock().unwrap()[n as usize] = Use::Data(value);
                    promises.push(Promise { block: n, value, from: bench.ram.now(), until: usize::MAX });
                }
                Use::Data(value) if chance.one_in(3) => {
                    let now = bench.ram.now();
                    promises.iter_mut().filter(|p| p.value == value).for_each(|p| p.until = now);
                    uses.lock().unwrap()[n as usize] = Use::Free;
                }
                Use::Data(_) | Use::Pending => {}
            }
        }
        drop(handle);
        if chance.one_in(4) {
            bench.journal.force_commit().unwrap();
        }
        if chance.one_in(8) {
            bench.device.sync().unwrap();
        }
    }
    promises
}

#[test]
fn data_outlive_what_the_log_has_of_their_blocks() {
    for seed in 0..12 {
        let mut chance = Chance(seed);
        let shape = Shape { block_bits: 10, log_blocks: 50 };
        let bench = Bench::new(shape, quiet());
        bench.ram.forget_events();
        let promises = run(&bench, &mut chance, 120);
        assert!(bench.journal.stats().revoked > 0);
        for _ in 0..40 {
            let cut = chance.below(bench.ram.now() as u64 + 1) as usize;
            let after = Bench::mount(shape, bench.ram.cut(cut, &mut chance), quiet());
            let image = after.ram.bytes();
            for p in promises.iter().filter(|p| p.from <= cut && cut <= p.until) {
                let at = (shape.place(p.block).0 as usize) << shape.block_bits;
                let found = value(&image[at..at + (1 << shape.block_bits)]);
                assert_eq!(found, p.value, "seed {seed}, cut {cut}: {p:?}");
            }
            after.journal.end().unwrap();
        }
        bench.journal.end().unwrap();
    }
}
