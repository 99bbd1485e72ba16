//! A machine with 6 MiB of memory writes and reads files of 16 MiB: clean pages are reclaimed, dirty
//! ones are limited, and nobody gets ENOMEM.
mod support;

use std::alloc::{Layout, alloc, dealloc};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use base::{FrameSource, PhysAddr};
use pagecache::stats::{self, Count};
use support::{File, TestDisk, disk};
use writeback::{Bdi, DirtyInode};

const FRAMES: usize = 1536;

struct Small(AtomicUsize);

fn page() -> Layout {
    Layout::from_size_align(4096, 4096).unwrap()
}

// SAFETY: the host's allocator gives page-aligned memory that is ours until freed.
unsafe impl FrameSource for Small {
    fn alloc(&self) -> Option<(NonNull<u8>, PhysAddr)> {
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)).ok()?;
        // SAFETY: the layout's size is not zero.
        let data = NonNull::new(unsafe { alloc(page()) })?;
        Some((data, PhysAddr(data.as_ptr() as u64)))
    }

    fn free(&self, data: NonNull<u8>, _phys: PhysAddr) {
        // SAFETY: made by `alloc` with this layout.
        unsafe { dealloc(data.as_ptr(), page()) }
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    fn free_frames(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

static SOURCE: Small = Small(AtomicUsize::new(FRAMES));
/// One test at a time: the memory and the counters are everybody's.
static ALONE: Mutex<()> = Mutex::new(());

fn letter(i: u64) -> u8 {
    (i * 31 % 255 + 1) as u8
}

fn write_and_read(bdi: &std::sync::Arc<Bdi>, driver: &TestDisk, number: u64) {
    let file = File::new(bdi, number);
    let limit = FRAMES / 5 + 64;
    for i in 0..256u64 {
        file.write(i * 65536, &vec![letter(i); 65536]).unwrap();
        assert!(stats::nr_dirty() <= limit, "{} pages dirty", stats::nr_dirty());
    }
    file.fsync(false).unwrap();
    assert!((0..256).all(|i| file.on_disk(driver, i * 65536 + 4097) == letter(i)));
    for i in 0..256u64 {
        let back = file.read(i * 65536, 65536).unwrap();
        assert!(back.len() == 65536 && back.iter().all(|&b| b == letter(i)), "at {i}");
    }
}

/// The memory for one test alone, with nothing of the others in it.
fn memory() -> MutexGuard<'static, ()> {
    let alone = ALONE.lock().unwrap_or_else(|e| e.into_inner());
    base::frame::set_source(&SOURCE);
    pagecache::remember_evictions(FRAMES).unwrap();
    writeback::set_memory(FRAMES);
    pagecache::drop_caches();
    alone
}

fn fill(file: &File, pages: u64) {
    (0..pages).for_each(|i| assert_eq!(file.write(i * 4096, &[letter(i); 4096]), Ok(4096)));
    assert_eq!(file.fsync(false), Ok(()));
}

fn read_all(file: &File, pages: u64) {
    for i in 0..pages {
        assert!(file.read(i * 4096, 4096).unwrap().iter().all(|&b| b == letter(i)), "page {i}");
    }
}

#[test]
fn what_is_used_again_outlives_a_stream() {
    let _memory = memory();
    let (_driver, device) = disk(2);
    let bdi = Bdi::new(&device);
    let (hot, stream) = (File::new(&bdi, 0), File::new(&bdi, 1));
    fill(&hot, 200);
    fill(&stream, 4000);
    // Both have been pushed through; now the one is read twice, the other once.
    read_all(&hot, 200);
    read_all(&hot, 200);
    let freed = stats::counted(Count::StealDirect);
    read_all(&stream, 4000);
    assert!(stats::counted(Count::StealDirect) - freed > 2500);
    assert_eq!(hot.mapping().nrpages(), 200);
    assert!(stats::counted(Count::Activate) >= 200 && stats::nr_active() >= 200);
    // What is no longer used goes when others are used more: the lists keep a balance.
    let next = File::new(&bdi, 0);
    fill(&next, 1200);
    for i in (0..1200).step_by(50) {
        (0..3).for_each(|_| (i..i + 50).for_each(|page| drop(next.read(page * 4096, 100).unwrap())));
    }
    assert!(hot.mapping().nrpages() < 100, "{} pages", hot.mapping().nrpages());
}

#[test]
fn a_set_that_the_inactive_list_is_too_short_for_pushes_out_what_was_used_once_upon_a_time() {
    const SET: u64 = 650;
    let _memory = memory();
    let ((_a, disk_a), (_b, disk_b)) = (disk(2), disk(1));
    let (bdi, bdi_of_set) = (Bdi::new(&disk_a), Bdi::new(&disk_b));
    let (old, stream, set) = (File::new(&bdi, 0), File::new(&bdi, 1), File::new(&bdi_of_set, 0));
    fill(&set, SET);
    fill(&stream, 4000);
    // Half of what there is room for is used often, and then never again.
    fill(&old, 500);
    (0..3).for_each(|_| read_all(&old, 500));
    read_all(&stream, 1000);
    assert_eq!(old.mapping().nrpages(), 500);
    let mut next = 0;
    let mut round = || {
        let before = disk_b.disk().stats().read.sectors / 8;
        for page in 0..SET {
            assert_eq!(set.read(page * 4096, 1), Ok(vec![letter(page)]));
            if page % 10 == 0 {
                stream.read(next % 4000 * 4096, 1).unwrap();
                next += 1;
            }
        }
        disk_b.disk().stats().read.sectors / 8 - before
    };
    let rounds: Vec<_> = (0..12).map(|_| round()).collect();
    // It settles, but for what a page of the stream costs.
    assert!(rounds[6..].iter().sum::<u64>() < SET / 2, "pages read in each round: {rounds:?}");
    assert!(old.mapping().nrpages() < 500);
    let refaults = stats::counted(Count::RefaultFile);
    assert!(refaults > 0 && stats::counted(Count::ActivateFile) > 0, "{refaults}");
}

#[test]
fn every_page_is_in_one_list() {
    let _memory = memory();
    let before = stats::nr_file_pages();
    let (_driver, device) = disk(3);
    let bdi = Bdi::start(&device).unwrap();
    let files: Vec<_> = (0..3).map(|n| File::new(&bdi, n)).collect();
    std::thread::scope(|s| {
        for file in &files {
            s.spawn(|| {
                for round in 0..20 {
                    fill(file, 300);
                    read_all(file, 300);
                    file.mapping().drop_unused();
                    pagecache::reclaim(round * 7);
                    read_all(file, 300);
                    file.mapping().truncate_pagecache(round as u64 * 4096);
                    pagecache::drop_caches();
                }
            });
        }
    });
    bdi.stop().unwrap();
    assert_eq!(stats::nr_active() + stats::nr_inactive(), stats::nr_file_pages());
    pagecache::drop_caches();
    drop((files, bdi, device));
    assert_eq!(stats::nr_file_pages(), before);
    assert_eq!(stats::nr_active() + stats::nr_inactive(), before);
}

#[test]
fn with_a_flusher_thread() {
    let _memory = memory();
    let (driver, device) = disk(2);
    let bdi = Bdi::start(&device).unwrap();
    write_and_read(&bdi, &driver, 0);
    write_and_read(&bdi, &driver, 1);
    bdi.stop().unwrap();
}

#[test]
fn without_one() {
    let _memory = memory();
    let (driver, device) = disk(1);
    let bdi = Bdi::new(&device);
    write_and_read(&bdi, &driver, 0);
    bdi.sync(true).unwrap();
}
