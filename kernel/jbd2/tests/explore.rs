//! Handles and commits in many orders of their steps (the crate `explore`): what joins a transaction, when it is
//! switched, who brings it to the log and who sleeps meanwhile.

use std::sync::{Arc, Mutex};

use base::{DevId, Errno, FsBlock, Ino, Result, Sector};
use block::{BioOp, Disk, Driver, InFlight, Limits, Request};
use jbd2::log::LogMap;
use jbd2::{Journal, Options, Setup, Tid};
use pagecache::BlockDevice;
use sync::thread;

const BLOCK_BITS: u32 = 10;
const BLOCK: usize = 1 << BLOCK_BITS;
/// The log's place.
const LOG: u64 = 8;
const LOG_BLOCKS: u32 = 64;
const TIMES: usize = 60;

/// Where, and what.
type Write = (usize, Vec<u8>);

/// Memory as a disk, and what was written to it, in order.
struct Recorder {
    content: Mutex<(Vec<u8>, Vec<Write>)>,
    first: Vec<u8>,
}

impl Recorder {
    fn new(first: Vec<u8>) -> Arc<Recorder> {
        Arc::new(Recorder { content: Mutex::new((first.clone(), Vec::new())), first })
    }

    fn now(&self) -> usize {
        self.content.lock().unwrap().1.len()
    }

    /// The disk after so many writes.
    fn cut(&self, writes: usize) -> Vec<u8> {
        let mut bytes = self.first.clone();
        for (at, data) in &self.content.lock().unwrap().1[..writes] {
            bytes[*at..*at + data.len()].copy_from_slice(data);
        }
        bytes
    }

    fn work(&self, request: &Request) -> Result<()> {
        let (bytes, writes) = &mut *self.content.lock().unwrap();
        let mut at = request.sector().0 as usize * 512;
        for vec in request.vecs() {
            let (offset, len) = (vec.offset as usize, vec.len as usize);
            match request.op() {
                BioOp::Read => vec.frame.write(offset, &bytes[at..at + len]),
                BioOp::Write => {
                    vec.frame.read(offset, &mut bytes[at..at + len]);
                    writes.push((at, bytes[at..at + len].to_vec()));
                }
                BioOp::Flush => {}
                _ => return Err(Errno::EOPNOTSUPP),
            }
            at += len;
        }
        Ok(())
    }
}

impl Driver for Recorder {
    fn limits(&self) -> Limits {
        Limits { write_cache: true, fua: true, ..Limits::default() }
    }

    fn capacity(&self) -> Sector {
        Sector((self.first.len() / 512) as u64)
    }

    fn queue_request(&self, request: InFlight) -> core::result::Result<(), InFlight> {
        let done = self.work(&request);
        request.complete(done);
        Ok(())
    }

    fn commit(&self) {}
}

/// A disk of eight blocks and an empty log.
fn image() -> Vec<u8> {
    let mut bytes = vec![0; (LOG as usize + LOG_BLOCKS as usize) << BLOCK_BITS];
    let superblock = &mut bytes[(LOG as usize) << BLOCK_BITS..][..BLOCK];
    let words =
        [(0, 0xc03b_3998), (4, 4), (0x0c, BLOCK as u32), (0x10, LOG_BLOCKS), (0x14, 1), (0x18, 1), (0x40, 1)];
    for (at, word) in words {
        superblock[at..at + 4].copy_from_slice(&u32::to_be_bytes(word));
    }
    bytes
}

struct Bench {
    disk: Arc<Recorder>,
    device: Arc<BlockDevice>,
    journal: Arc<Journal>,
}

impl Bench {
    fn on(image: Vec<u8>) -> Arc<Bench> {
        let recorder = Recorder::new(image);
        let disk = Disk::new("log", DevId::new(1, 0), recorder.clone(), "noop").unwrap();
        let device = BlockDevice::of(&disk);
        device.set_block_size(BLOCK_BITS).unwrap();
        let setup = Setup {
            device: device.clone(),
            fs_device: device.clone(),
            map: LogMap::from_runs([(FsBlock(LOG), LOG_BLOCKS)]).unwrap(),
            inode: Some(Ino(8)),
            block_bits: BLOCK_BITS,
            uuid: [7; 16],
            crc32c: |_, _| 0,
            options: Options { thread: false, ..Options::default() },
            on_abort: Box::new(|error| panic!("the journal was given up: {error}")),
        };
        let journal = Journal::load(setup).unwrap();
        let report = journal.recover().unwrap();
        journal.finish_recovery(&report).unwrap();
        device.drop_cache();
        journal.begin().unwrap();
        Arc::new(Bench { disk: recorder, device, journal })
    }

    /// The blocks become this, in one transaction.
    fn change(&self, blocks: [u64; 2], value: u8) -> Tid {
        let handle = self.journal.start(2).unwrap();
        for block in blocks {
            self.device.getblk(FsBlock(block)).unwrap().write().fill(value);
        }
        handle.tid()
    }

    fn get(&self, block: u64) -> u8 {
        let buffer = self.device.bread(FsBlock(block)).unwrap();
        let bytes = buffer.read();
        assert!(bytes.iter().all(|b| *b == bytes[0]), "half a change");
        bytes[0]
    }
}

/// What `work` of two threads promised: after so many writes this value is durable.
type Promises = Arc<sync::Mutex<Vec<(usize, u64, u8)>>>;

#[test]
fn an_operation_is_whole_and_what_was_waited_for_is_there() {
    explore::check(TIMES, || {
        let bench = Bench::on(image());
        let promises = Promises::default();
        let threads: Vec<_> = (0..2)
            .map(|n| {
                let (bench, promises) = (bench.clone(), promises.clone());
                let work = move || {
                    for value in 1..3 {
                        // Block 4 is both's; the others tell whether an operation is there.
                        let tid = bench.change([n, 4], value);
                        bench.change([n, n + 2], value);
                        if value == 1 {
                            bench.journal.complete_transaction(tid).unwrap();
                            promises.lock().push((bench.disk.now(), n, value));
                        }
                    }
                };
                thread::spawn("writer", work).unwrap()
            })
            .collect();
        threads.iter().for_each(|t| t.join());
        bench.journal.force_commit().unwrap();
        let end = bench.disk.now();
        promises.lock().extend([(end, 0, 2), (end, 1, 2)]);
        let promises = std::mem::take(&mut *promises.lock());
        for cut in promises.iter().map(|promise| promise.0) {
            let after = Bench::on(bench.disk.cut(cut));
            for (_, n, value) in promises.iter().filter(|promise| promise.0 <= cut) {
                assert!(after.get(*n) >= *value, "thread {n}: {value} was promised");
            }
            for n in 0..2 {
                // The second operation of a value comes behind the first.
                let (first, second) = (after.get(n), after.get(n + 2));
                assert!(second == first || second + 1 == first, "thread {n}: {second} behind {first}");
            }
            after.journal.end().unwrap();
        }
        bench.journal.end().unwrap();
    });
}

#[test]
fn nobody_is_in_a_handle_behind_a_barrier() {
    explore::check(TIMES, || {
        let bench = Bench::on(image());
        let other = {
            let bench = bench.clone();
            thread::spawn("writer", move || {
                bench.change([0, 1], 1);
                bench.change([0, 1], 2);
                bench.journal.force_commit().unwrap();
            })
            .unwrap()
        };
        {
            let _none_starts = bench.journal.lock_updates();
            let before = (bench.get(0), bench.get(1));
            thread::yield_now();
            assert_eq!((bench.get(0), bench.get(1)), before);
            assert_eq!(before.0, before.1, "in the middle of an operation");
        }
        other.join();
        assert_eq!((bench.get(0), bench.get(1)), (2, 2));
        bench.journal.end().unwrap();
    });
}

#[test]
fn a_block_that_is_changed_while_it_commits_is_logged_as_it_was() {
    explore::check(TIMES, || {
        let bench = Bench::on(image());
        let tid = bench.change([0, 1], 1);
        let other = {
            let bench = bench.clone();
            thread::spawn("writer", move || assert!(tid.is_at_most(bench.change([0, 1], 2)))).unwrap()
        };
        bench.journal.complete_transaction(tid).unwrap();
        let cut = bench.disk.now();
        other.join();
        let after = Bench::on(bench.disk.cut(cut));
        let found = (after.get(0), after.get(1));
        assert!(found == (1, 1) || found == (2, 2), "{found:?}");
        after.journal.end().unwrap();
        bench.journal.end().unwrap();
    });
}

/// Pages stay under writeback until a reserved operation has changed the map: one thread waits for such a page within
/// a handle, one commits, and one holds all handles back.
#[test]
fn who_waits_for_a_reserved_operation_within_a_handle_gets_it() {
    explore::check(TIMES, || {
        let bench = Bench::on(image());
        let reserved = bench.journal.reserve(2).unwrap();
        let ended = Arc::new((sync::Mutex::new(false), sync::WaitQueue::new()));
        let spawn = |name, work: Box<dyn FnOnce(&Bench) + Send>| {
            let bench = bench.clone();
            thread::spawn(name, move || work(&bench)).unwrap()
        };
        let ends = ended.clone();
        let convert = move |bench: &Bench| {
            let handle = reserved.start().unwrap();
            bench.device.getblk(FsBlock(2)).unwrap().write().fill(7);
            drop(handle);
            *ends.0.lock() = true;
            ends.1.wake_all();
        };
        let waits = move |bench: &Bench| {
            let handle = bench.journal.start(1).unwrap();
            bench.device.getblk(FsBlock(0)).unwrap().write().fill(7);
            ended.1.wait_until(|| *ended.0.lock());
            drop(handle);
        };
        let threads = [
            spawn("converts", Box::new(convert)),
            spawn("waits", Box::new(waits)),
            spawn("commits", Box::new(|bench| bench.journal.force_commit().unwrap())),
        ];
        drop(bench.journal.lock_updates());
        threads.iter().for_each(|t| t.join());
        assert_eq!((bench.get(0), bench.get(2)), (7, 7));
        bench.journal.end().unwrap();
    });
}
