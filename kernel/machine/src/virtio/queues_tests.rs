//! Several queues of one device, each on its own CPU.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::vec::Vec;

use base::{DevId, Errno, Sector, frame};
use block::{Bio, BioOp, Completion, Disk, Driver, InFlight, Limits};

use super::engine::{Engine, Rules};
use super::fake::{FakeDevice, pair};
use super::queues::{Bell, Queues};

const RULES: Rules = Rules {
    indirect: true,
    exact_length: true,
    may_unmap: false,
    max_segments: 14,
    max_segment_size: u32::MAX,
};

/// Counts how often each queue was announced.
struct Rung(Arc<Vec<AtomicUsize>>);

impl Bell for Rung {
    fn ring(&self, queue: u16) {
        self.0[usize::from(queue)].fetch_add(1, Ordering::Relaxed);
    }
}

/// A device of several queues, as a driver; "the CPU" is what the test says.
struct Multi {
    queues: Queues<Rung>,
    rung: Arc<Vec<AtomicUsize>>,
    devices: Vec<Mutex<FakeDevice>>,
    cpu: AtomicUsize,
}

impl Multi {
    fn new(count: usize) -> Arc<Multi> {
        let (rings, devices): (Vec<_>, Vec<_>) = (0..count).map(|_| pair(16, true)).unzip();
        let engines = rings.into_iter().map(|ring| Engine::new(ring, 16, RULES).unwrap()).collect();
        let rung = Arc::new((0..count).map(|_| AtomicUsize::new(0)).collect::<Vec<_>>());
        let queues = Queues::new(engines, Rung(rung.clone()));
        let devices = devices.into_iter().map(Mutex::new).collect();
        Arc::new(Multi { queues, rung, devices, cpu: AtomicUsize::new(0) })
    }

    fn rung(&self) -> Vec<usize> {
        self.rung.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }

    /// Each queue serves what it has; one interrupt.
    fn serve(&self) -> Vec<usize> {
        let mut served = Vec::new();
        for device in &self.devices {
            let mut device = device.lock().unwrap();
            served.push(device.take());
            while device.held() > 0 {
                device.serve(0);
            }
        }
        let done: usize = served.iter().sum();
        assert_eq!(self.queues.reap(), Ok(done));
        served
    }
}

impl Driver for Multi {
    fn limits(&self) -> Limits {
        let queue_depth = 16 * self.devices.len() as u32;
        Limits { max_segments: RULES.max_segments, queue_depth, ..Limits::default() }
    }

    fn capacity(&self) -> Sector {
        Sector(2048)
    }

    fn queue_request(&self, request: InFlight) -> core::result::Result<(), InFlight> {
        self.queues.queue_request(self.cpu.load(Ordering::Relaxed), request)
    }

    fn commit(&self) {
        self.queues.commit();
    }
}

fn write(sector: u64) -> Bio {
    let mut bio = Bio::new(BioOp::Write, Sector(sector));
    bio.add(&frame::alloc_zeroed().unwrap(), 0, 512);
    bio
}

#[test]
fn a_request_goes_into_the_queue_of_its_cpu() {
    let device = Multi::new(3);
    let disk = Disk::new("vda", DevId::new(254, 0), device.clone(), "noop").unwrap();
    let done = Completion::new();
    for (cpu, requests) in [(0, 2), (1, 1), (2, 3), (3, 1), (7, 1)] {
        device.cpu.store(cpu, Ordering::Relaxed);
        (0..requests).for_each(|n| disk.submit_bio(done.track(write(cpu as u64 * 100 + n * 2))));
    }
    // The device had not looked: it is told of each queue once.
    assert_eq!(device.rung(), [1, 1, 1]);
    assert_eq!(device.serve(), [3, 2, 3]);
    assert_eq!(done.wait(), Ok(()));
    device.queues.ring_all();
    assert_eq!(device.rung(), [2, 2, 2]);
}

#[test]
fn one_queue_that_lies_takes_the_device_with_it() {
    let device = Multi::new(2);
    let disk = Disk::new("vda", DevId::new(254, 0), device.clone(), "noop").unwrap();
    let results = Arc::new(Mutex::new(Vec::new()));
    for cpu in [0, 1] {
        device.cpu.store(cpu, Ordering::Relaxed);
        let sink = results.clone();
        disk.submit_bio(write(cpu as u64 * 100).end_io(move |r| sink.lock().unwrap().push(r)));
    }
    device.devices[1].lock().unwrap().lie(999);
    assert!(device.queues.reap().is_err());
    assert!(device.queues.engine(1).is_broken());
    assert_eq!(device.queues.fail_all(), 2);
    assert_eq!(*results.lock().unwrap(), [Err(Errno::EIO), Err(Errno::EIO)]);
    assert!(device.queues.engine(0).is_broken());
}
