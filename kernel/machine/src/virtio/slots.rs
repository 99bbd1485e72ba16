//! What a request needs besides its data: a header for the device to read, a status byte for it to
//! write, a table of descriptors.
//!
//! ```text
//!   a page:  8 slots of 512 bytes              a table:  1, 2 or 4 pages, contiguous
//!      0     header   type, reserved, sector             descriptors of 16 bytes
//!     16     range    of a discard or write-zeroes
//!     32     status   one byte
//!     64     table    up to 28 descriptors
//! ```
//! # Memory goes with use
//! Slots are a stack, and a page of slots is taken when the depth first reaches it: a disk that never
//! has more than eight requests in flight has one. Most requests have at most 26 pieces and need no
//! more. A longer one borrows a table, of which a few are kept for the next.
//!
//! # There is always a way forward
//! The first page of slots and one table that is long enough for every request (`reserve`) exist from
//! the start. When nothing is in flight, the slot on top has a page, since those given back lie above
//! those never taken; and the reserve is at home. So a request is refused only while others are in
//! flight.

use alloc::vec::Vec;
use core::ptr::NonNull;

use base::{Errno, PAGE_SIZE, PhysAddr, Result};
use virtio_spec::blk::{DiscardWriteZeroes, DiscardWriteZeroesFlags, T};
use virtio_spec::virtq::Desc;
use virtio_spec::{le32, le64};

use super::ring::Buffer;
use crate::memory::dma::DmaPages;

/// Bytes of a slot.
const SLOT: usize = 512;
const PER_PAGE: usize = PAGE_SIZE / SLOT;

const HEADER: usize = 0;
const RANGE: usize = HEADER + size_of::<Header>();
const STATUS: usize = RANGE + size_of::<DiscardWriteZeroes>();
const TABLE: usize = 64;
/// Descriptors in a slot's own table.
const OWN_TABLE: usize = (SLOT - TABLE) / size_of::<Desc>();
const _: () = assert!(STATUS < TABLE && TABLE.is_multiple_of(align_of::<Desc>()));

/// Tables that are kept when they are not used.
const SPARE: usize = 16;

/// Header and status, which every request has besides its data.
pub const FRAME: usize = 2;

/// What no device writes: the request was given back untouched.
pub const STATUS_UNTOUCHED: u8 = 0xff;

/// The head of `virtio_blk_req`. Source: VirtIO 1.2, 5.2.6.
#[repr(C)]
struct Header {
    kind: le32,
    reserved: le32,
    sector: le64,
}

/// A request's own 512 bytes.
#[derive(Clone, Copy)]
pub struct Slot<'a> {
    page: &'a DmaPages,
    offset: usize,
}

impl Slot<'_> {
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

    /// Writes the range of a discard or write-zeroes. "Unmap" is only for write-zeroes; a device
    /// refuses it in a discard (5.2.6.2).
    pub fn range(&self, sector: u64, sectors: u32, unmap: bool) -> Buffer {
        let range = DiscardWriteZeroes {
            sector: le64::from_ne(sector),
            num_sectors: le32::from_ne(sectors),
            flags: DiscardWriteZeroesFlags::new().with_unmap(unmap).into(),
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

    /// The slot's own table.
    fn table(&self) -> Table {
        Table { base: self.at::<Desc>(TABLE), phys: self.phys(TABLE), room: OWN_TABLE }
    }

    fn phys(&self, offset: usize) -> PhysAddr {
        PhysAddr(self.page.phys().0 + (self.offset + offset) as u64)
    }

    fn write<V>(&self, offset: usize, value: V) {
        // SAFETY: `at` keeps within the slot, which is the request's own; the device reads it only
        // after it was published.
        unsafe { self.at::<V>(offset).write_volatile(value) }
    }

    fn at<V>(&self, offset: usize) -> NonNull<V> {
        let offset = self.offset + offset;
        assert!(offset + size_of::<V>() <= PAGE_SIZE && offset.is_multiple_of(align_of::<V>()));
        // SAFETY: within the page, which lives as long as the slot.
        unsafe { self.page.as_non_null().add(offset).cast() }
    }
}

/// Room for descriptors.
struct Table {
    base: NonNull<Desc>,
    phys: PhysAddr,
    room: usize,
}

impl Table {
    /// Writes header, data and status: where the table is, and how long. Pushed into the table one by
    /// one, for an iterator over all three costs more than the descriptors.
    #[inline]
    fn fill(&self, header: Buffer, data: impl Iterator<Item = Buffer>, status: Buffer) -> (PhysAddr, usize) {
        self.write(0, header.descriptor(Some(1)));
        let mut count = 1;
        data.for_each(|buffer| {
            // A table has at most 1024 descriptors.
            self.write(count, buffer.descriptor(Some(count as u16 + 1)));
            count += 1;
        });
        self.write(count, status.descriptor(None));
        (self.phys, count + 1)
    }

    #[inline]
    fn write(&self, at: usize, descriptor: Desc) {
        assert!(at < self.room, "a request beyond the limits the queue was told");
        // SAFETY: within the table, which is the request's own until the device gives it back.
        unsafe { self.base.add(at).write_volatile(descriptor) };
    }
}

/// What a request has taken: a slot, and a table if its own is too short.
#[derive(Debug)]
pub struct Taken {
    /// The slot's number.
    pub slot: u16,
    table: Option<DmaPages>,
}

/// The slots of one queue.
pub struct Slots {
    pages: Vec<DmaPages>,
    free: Vec<u16>,
    spare: Vec<DmaPages>,
    reserve: Option<DmaPages>,
    /// Bytes of the longest table.
    longest: usize,
}

impl Slots {
    /// As many slots, for requests of at most so many pieces of data. ENOMEM.
    pub fn new(count: u16, most_data: usize) -> Result<Slots> {
        if count == 0 {
            return Err(Errno::EINVAL);
        }
        let longest = (most_data + FRAME) * size_of::<Desc>();
        let reserve = DmaPages::new(longest.div_ceil(PAGE_SIZE)).ok_or(Errno::ENOMEM)?;
        let mut pages = Vec::with_capacity(usize::from(count).div_ceil(PER_PAGE));
        pages.push(DmaPages::new(1).ok_or(Errno::ENOMEM)?);
        let spare = Vec::with_capacity(SPARE);
        Ok(Slots { pages, free: (0..count).rev().collect(), spare, reserve: Some(reserve), longest })
    }

    /// A free slot for a request of at most `data` pieces, with a table when `tables` are wanted and
    /// its own is too short. None when all are taken, or memory is full.
    pub fn take(&mut self, data: usize, tables: bool) -> Option<Taken> {
        let slot = *self.free.last()?;
        if usize::from(slot) / PER_PAGE == self.pages.len() {
            self.pages.push(DmaPages::new(1)?);
        }
        let table = if tables && data + FRAME > OWN_TABLE { Some(self.table(data + FRAME)?) } else { None };
        self.free.pop();
        Some(Taken { slot, table })
    }

    fn table(&mut self, descriptors: usize) -> Option<DmaPages> {
        let bytes = descriptors * size_of::<Desc>();
        if let Some(at) = self.spare.iter().rposition(|table| table.len() >= bytes) {
            return Some(self.spare.swap_remove(at));
        }
        DmaPages::new(bytes.div_ceil(PAGE_SIZE)).or_else(|| self.reserve.take())
    }

    /// They are free again.
    pub fn give_back(&mut self, taken: Taken) {
        self.free.push(taken.slot);
        match taken.table {
            Some(table) if self.reserve.is_none() && table.len() >= self.longest => {
                self.reserve = Some(table);
            }
            Some(table) if self.spare.len() < SPARE => self.spare.push(table),
            _ => {}
        }
    }

    /// The slot that was taken.
    pub fn slot(&self, number: u16) -> Option<Slot<'_>> {
        let number = usize::from(number);
        let page = self.pages.get(number / PER_PAGE)?;
        Some(Slot { page, offset: number % PER_PAGE * SLOT })
    }

    /// Writes the table of a request: where it is, and how long.
    #[inline]
    pub fn fill(
        &self,
        taken: &Taken,
        header: Buffer,
        data: impl Iterator<Item = Buffer>,
        status: Buffer,
    ) -> Option<(PhysAddr, usize)> {
        let table = match &taken.table {
            Some(pages) => Table {
                base: pages.as_non_null().cast(),
                phys: pages.phys(),
                room: pages.len() / size_of::<Desc>(),
            },
            None => self.slot(taken.slot)?.table(),
        };
        Some(table.fill(header, data, status))
    }

    /// Pages in use or kept, for who wants to know what a queue costs.
    #[cfg(test)]
    pub fn pages(&self) -> usize {
        let tables = self.spare.iter().chain(&self.reserve);
        self.pages.len() + tables.map(|table| table.len() / PAGE_SIZE).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_goes_with_use() {
        let mut slots = Slots::new(1024, 1022).unwrap();
        assert_eq!(slots.pages(), 1 + 4);
        let few: Vec<_> = (0..8).map(|_| slots.take(OWN_TABLE - FRAME, true).unwrap()).collect();
        assert_eq!(slots.pages(), 1 + 4);
        let long: Vec<_> = (0..100).map(|_| slots.take(100, true).unwrap()).collect();
        assert!(long.iter().all(|taken| taken.table.as_ref().is_some_and(|t| t.len() == PAGE_SIZE)));
        few.into_iter().chain(long).for_each(|taken| slots.give_back(taken));
        assert_eq!(slots.pages(), 108usize.div_ceil(PER_PAGE) + SPARE + 4);
    }

    #[test]
    fn slots_lie_apart_and_come_back() {
        let mut slots = Slots::new(16, 14).unwrap();
        let taken: Vec<_> = (0..16).map(|_| slots.take(1, true).unwrap()).collect();
        assert!(slots.take(1, true).is_none());
        let mut at: Vec<u64> = taken.iter().map(|t| slots.slot(t.slot).unwrap().phys(0).0).collect();
        at.sort_unstable();
        assert!(at.windows(2).all(|pair| pair[1] - pair[0] >= SLOT as u64));
        taken.into_iter().for_each(|t| slots.give_back(t));
        assert_eq!(slots.free.len(), 16);
    }

    #[test]
    fn the_reserve_comes_home() {
        let mut slots = Slots::new(8, 1022).unwrap();
        let mut taken = slots.take(1, true).unwrap();
        taken.table = slots.reserve.take();
        slots.give_back(taken);
        assert!(slots.reserve.is_some() && slots.spare.is_empty());
    }
}
