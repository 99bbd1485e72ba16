//! A machine with 6 MiB of memory writes and reads files of 16 MiB: clean pages are reclaimed, dirty
//! ones are limited, and nobody gets ENOMEM.
mod support;

use std::alloc::{Layout, alloc, dealloc};
use std::ptr::NonNull;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use base::{FrameSource, PhysAddr};
use pagecache::stats;
use support::{File, TestDisk, disk};
use writeback::Bdi;

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

#[test]
fn with_a_flusher_thread() {
    let _alone = ALONE.lock().unwrap_or_else(|e| e.into_inner());
    base::frame::set_source(&SOURCE);
    writeback::set_memory(FRAMES);
    let (driver, device) = disk(2);
    let bdi = Bdi::start(&device).unwrap();
    write_and_read(&bdi, &driver, 0);
    write_and_read(&bdi, &driver, 1);
    bdi.stop().unwrap();
}

#[test]
fn without_one() {
    let _alone = ALONE.lock().unwrap_or_else(|e| e.into_inner());
    base::frame::set_source(&SOURCE);
    writeback::set_memory(FRAMES);
    let (driver, device) = disk(1);
    let bdi = Bdi::new(&device);
    write_and_read(&bdi, &driver, 0);
    bdi.sync(true).unwrap();
}
