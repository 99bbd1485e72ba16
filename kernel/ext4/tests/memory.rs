//! No memory for a moment: a commit waits for it, and the journal is not given up.

use std::alloc::{Layout, alloc, dealloc};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use base::{FrameSource, PhysAddr};
use sim::{Image, Machine};

/// The host's memory, but for so many pages that are refused.
struct Memory(AtomicUsize);

fn page() -> Layout {
    Layout::from_size_align(4096, 4096).unwrap()
}

// SAFETY: the host's allocator gives page-aligned memory that is ours until freed.
unsafe impl FrameSource for Memory {
    fn alloc(&self) -> Option<(NonNull<u8>, PhysAddr)> {
        let refused = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1));
        if refused.is_ok() {
            return None;
        }
        // SAFETY: the layout's size is not zero.
        let data = NonNull::new(unsafe { alloc(page()) })?;
        Some((data, PhysAddr(data.as_ptr() as u64)))
    }

    fn free(&self, data: NonNull<u8>, _phys: PhysAddr) {
        // SAFETY: made by `alloc` with this layout.
        unsafe { dealloc(data.as_ptr(), page()) }
    }

    fn free_frames(&self) -> usize {
        if self.0.load(Ordering::Acquire) > 0 { 0 } else { 1 << 20 }
    }
}

static MEMORY: Memory = Memory(AtomicUsize::new(0));

#[test]
fn a_commit_waits_for_memory() {
    base::frame::set_source(&MEMORY);
    let machine = Machine::mount(&Image::mkfs(32 << 20, &[]).unwrap()).unwrap();
    machine.create("/f", 0o644).unwrap();
    // The first page that the commit wants is the log's superblock's. It looks for one three times, and then again.
    MEMORY.0.store(3, Ordering::Release);
    machine.fsync("/f").unwrap();
    assert_eq!(MEMORY.0.load(Ordering::Acquire), 0);
    let image = machine.snapshot().replayed().unwrap();
    image.fsck().unwrap();
    machine.unmount().unwrap();
    assert!(Machine::mount(&image).unwrap().stat("/f").is_ok());
}
