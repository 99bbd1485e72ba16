//! What a request needs besides its data: a header for the device to read, a status byte for it to
//! write, a table of descriptors; one page for all of it.
//!
//! ```text
//!   0 ..           table      up to 251 + 2 descriptors of 16 bytes
//!   4048           header     type, reserved, sector                 (virtio_blk_req)
//!   4064           range      of a discard or write-zeroes           (virtio_blk_discard_write_zeroes)
//!   4080           status     one byte
//! ```
//! Pages are taken when a slot is first used and kept. Slots are a stack, so a disk that never has more
//! than three requests in flight has three pages. The first slot's page exists from the start, and
//! whenever nothing is in flight a slot with a page is on top: there is always a way forward.

use alloc::vec::Vec;
use core::ptr::NonNull;

use base::{Errno, Frame, PAGE_SIZE, PhysAddr, Result, frame};
use virtio_spec::blk::{DiscardWriteZeroes, T};
use virtio_spec::virtq::Desc;
use virtio_spec::{le32, le64};

use super::ring::Buffer;

/// Descriptors in a table: the data, and header and status.
const TABLE: usize = 253;
/// Pieces of data that a table has room for.
pub const MAX_DATA: u32 = TABLE as u32 - 2;

const HEADER: usize = TABLE * size_of::<Desc>();
const RANGE: usize = HEADER + size_of::<Header>();
const STATUS: usize = RANGE + size_of::<DiscardWriteZeroes>();
const _: () = assert!(STATUS < PAGE_SIZE);

/// What no device writes: the request was given back untouched.
pub const STATUS_UNTOUCHED: u8 = 0xff;

/// The head of `virtio_blk_req`. Source: VirtIO 1.2, 5.2.6.
#[repr(C)]
struct Header {
    kind: le32,
    reserved: le32,
    sector: le64,
}

/// A page of a request.
pub struct Page(Frame);

impl Page {
    fn new() -> Result<Page> {
        frame::alloc_zeroed().map(Page)
    }

    /// Begins a request: writes its header and clears its status.
    pub fn begin(&self, kind: T, sector: u64) -> Buffer {
        let header = Header {
            kind: le32::from_ne(kind.into()),
            reserved: le32::from_ne(0),
            sector: le64::from_ne(sector),
        };
        self.write(STATUS, STATUS_UNTOUCHED);
        self.write(HEADER, header);
        Buffer { phys: self.phys(HEADER), len: size_of::<Header>() as u32, device_writes: false }
    }

    /// Writes the range of a discard or write-zeroes. No flag is set: "unmap" is only for write-zeroes,
    /// and a device refuses it in a discard (5.2.6.2).
    pub fn range(&self, sector: u64, sectors: u32) -> Buffer {
        let range = DiscardWriteZeroes {
            sector: le64::from_ne(sector),
            num_sectors: le32::from_ne(sectors),
            flags: le32::from_ne(0),
        };
        self.write(RANGE, range);
        Buffer { phys: self.phys(RANGE), len: size_of::<DiscardWriteZeroes>() as u32, device_writes: false }
    }

    /// Where the device writes the status.
    pub fn status_buffer(&self) -> Buffer {
        Buffer { phys: self.phys(STATUS), len: 1, device_writes: true }
    }

    /// What the device wrote.
    pub fn status(&self) -> u8 {
        // SAFETY: within the page; the device may write it, hence volatile.
        unsafe { self.at::<u8>(STATUS).read_volatile() }
    }

    /// Writes the buffers as a table: where it is, and how long.
    pub fn table(&self, mut buffers: impl Iterator<Item = Buffer>) -> (PhysAddr, usize) {
        let mut count = 0;
        let mut waiting = buffers.next();
        while let Some(buffer) = waiting {
            waiting = buffers.next();
            count += 1;
            assert!(count <= TABLE, "a request beyond the limits the queue was told");
            // At most TABLE.
            let next = waiting.is_some().then_some(count as u16);
            self.write((count - 1) * size_of::<Desc>(), buffer.descriptor(next));
        }
        (self.phys(0), count)
    }

    fn phys(&self, offset: usize) -> PhysAddr {
        PhysAddr(self.0.phys().0 + offset as u64)
    }

    fn write<V>(&self, offset: usize, value: V) {
        // SAFETY: `at` keeps within the page, which is the slot's own; the device reads it only
        // after it was published.
        unsafe { self.at::<V>(offset).write_volatile(value) }
    }

    fn at<V>(&self, offset: usize) -> NonNull<V> {
        assert!(offset + size_of::<V>() <= PAGE_SIZE && offset.is_multiple_of(align_of::<V>()));
        // SAFETY: a frame's pointer is never null, and the offset is within it.
        unsafe { NonNull::new_unchecked(self.0.as_ptr()).add(offset).cast() }
    }
}

/// The slots of one queue.
pub struct Slots {
    pages: Vec<Option<Page>>,
    free: Vec<u16>,
}

impl Slots {
    /// As many slots; one page. ENOMEM.
    pub fn new(count: u16) -> Result<Slots> {
        let mut pages: Vec<Option<Page>> = (0..count).map(|_| None).collect();
        *pages.first_mut().ok_or(Errno::EINVAL)? = Some(Page::new()?);
        Ok(Slots { pages, free: (0..count).rev().collect() })
    }

    /// A free slot. None when all are taken, or there is no memory for one more page.
    pub fn take(&mut self) -> Option<u16> {
        let slot = *self.free.last()?;
        let page = self.pages.get_mut(usize::from(slot))?;
        if page.is_none() {
            *page = Some(Page::new().ok()?);
        }
        self.free.pop()
    }

    /// The slot is free again.
    pub fn give_back(&mut self, slot: u16) {
        self.free.push(slot);
    }

    /// The page of a slot that was taken.
    pub fn page(&self, slot: u16) -> Option<&Page> {
        self.pages.get(usize::from(slot))?.as_ref()
    }
}
