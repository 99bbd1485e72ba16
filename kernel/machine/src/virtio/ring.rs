//! A split virtqueue: descriptors, the available ring, the used ring.
//!
//! ```text
//!   offset 0          desc[size]     16 bytes each: address, length, flags, next
//!   16 * size         avail          flags, idx, ring[size], used_event
//!   next 4 KiB        used           flags, idx, ring[size] of (id, len), avail_event
//! ```
//! This is the layout that a legacy device insists on, and every other accepts.
//!
//! # How to use it
//! 1. [`Ring::add`] or [`Ring::add_indirect`] for each request of a batch: answers the head, the number
//!    under which the device gives it back.
//! 2. [`Ring::publish`] once: the device may see the batch; answers whether it wants to be told.
//! 3. After an interrupt, [`Ring::disarm`], [`Ring::pop`] until it is empty, then [`Ring::arm`]: if
//!    that answers true, something came in between, and the loop begins again.
//!
//! # Being told (VIRTIO_F_EVENT_IDX)
//! Each side writes the index at which it next wants to be told. Indexes are 16 bits and wrap; "has the
//! other side's index been passed on the way from `old` to `new`" is a question of distances modulo
//! 65,536, which is what [`need_event`] asks. Example: event 65,535, going from 65,534 to 1 passes it:
//! `1 - 65535 - 1 = 1 < 1 - 65534 = 3`.
//!
//! Without that feature there are two flags, "don't tell me", and the driver's is up while it reaps.
//!
//! # Trust
//! What the device writes is checked: an index that ran ahead, an id that was not given out, are
//! [`BadRing`]. Everything that later memory accesses depend on is kept in private memory.
//!
//! # Invariants
//! 1. `base` points at [`Ring::bytes`] bytes, 4 KiB aligned, mapped as long as the ring lives; the
//!    device may touch them at any time, so they are reached by volatile accesses only.
//! 2. A descriptor is either in `free` or part of one chain; `heads[h]` is the length of the chain that
//!    begins at `h`, or 0.
//!
//! Source: VirtIO 1.2, 2.7 Split Virtqueues; 2.7.10 Available Buffer Notification Suppression.

use alloc::vec::Vec;
use core::mem::offset_of;
use core::ptr::NonNull;
use core::sync::atomic::{Ordering, fence};

use base::{PAGE_SIZE, PhysAddr};
use virtio_spec::virtq::{Desc, DescF, UsedElem};
use virtio_spec::{le16, le32, le64};

/// A run of memory for the device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Buffer {
    /// First byte.
    pub phys: PhysAddr,
    /// Bytes.
    pub len: u32,
    /// Whether the device writes it, else it reads.
    pub device_writes: bool,
}

impl Buffer {
    /// As a descriptor; `next` is the one that follows, if one does.
    pub fn descriptor(self, next: Option<u16>) -> Desc {
        let mut flags = DescF::empty();
        flags.set(DescF::WRITE, self.device_writes);
        flags.set(DescF::NEXT, next.is_some());
        Desc {
            addr: le64::from_ne(self.phys.0),
            len: le32::from_ne(self.len),
            flags,
            next: le16::from_ne(next.unwrap_or(0)),
        }
    }
}

/// The device wrote what it must not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadRing {
    /// It claims to have used more than it was given.
    Index {
        /// What it wrote.
        device: u16,
        /// Up to where the driver had read.
        driver: u16,
    },
    /// It gave back what it did not have.
    Id(u32),
}

/// A request that the device gave back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Used {
    /// What [`Ring::add`] answered.
    pub head: u16,
    /// Bytes the device says it wrote.
    pub written: u32,
}

/// Where the three parts are, for the transport.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parts {
    /// The descriptor table.
    pub descriptors: PhysAddr,
    /// The available ring.
    pub available: PhysAddr,
    /// The used ring.
    pub used: PhysAddr,
}

/// The driver's side of a split virtqueue. The memory belongs to whoever made the ring.
pub struct Ring {
    base: NonNull<u8>,
    size: u16,
    event_idx: bool,
    free: Vec<u16>,
    heads: Vec<u16>,
    /// Of each descriptor in a chain, the next one.
    links: Vec<u16>,
    /// Where the next entry of the available ring goes.
    next_avail: u16,
    /// Up to where the device has been shown the available ring.
    published: u16,
    /// Up to where the used ring was read.
    last_used: u16,
}

// SAFETY: the ring's memory belongs to no thread, and only the owner of the Ring reaches it.
unsafe impl Send for Ring {}

const fn available_offset(size: u16) -> usize {
    size_of::<Desc>() * size as usize
}

const fn used_offset(size: u16) -> usize {
    (available_offset(size) + 2 * (3 + size as usize)).next_multiple_of(PAGE_SIZE)
}

/// Of the available ring's flags: VIRTQ_AVAIL_F_NO_INTERRUPT.
const NO_INTERRUPT: u16 = 1;

/// Whether the index `event` is passed on the way from `old` to `new`, all modulo 2^16.
pub const fn need_event(event: u16, new: u16, old: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

impl Ring {
    /// Bytes that a ring of this size needs.
    pub const fn bytes(size: u16) -> usize {
        used_offset(size) + 6 + size_of::<UsedElem>() * size as usize
    }

    /// Where the parts of a ring of this size lie.
    pub const fn parts(size: u16, phys: PhysAddr) -> Parts {
        Parts {
            descriptors: phys,
            available: PhysAddr(phys.0 + available_offset(size) as u64),
            used: PhysAddr(phys.0 + used_offset(size) as u64),
        }
    }

    /// A ring of `size` descriptors (a power of two) in zeroed memory.
    ///
    /// # Safety
    /// `base` is as invariant 1 says, and nobody but the device and this ring touches the bytes.
    pub unsafe fn new(base: NonNull<u8>, size: u16, event_idx: bool) -> Ring {
        assert!(size.is_power_of_two() && base.addr().get().is_multiple_of(PAGE_SIZE));
        Ring {
            base,
            size,
            event_idx,
            free: (0..size).rev().collect(),
            heads: alloc::vec![0; size.into()],
            links: alloc::vec![0; size.into()],
            next_avail: 0,
            published: 0,
            last_used: 0,
        }
    }

    /// Descriptors in all.
    pub fn size(&self) -> u16 {
        self.size
    }

    /// Descriptors that are free.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Gives the device a chain of at most `most` buffers, the ones it reads first. None when there
    /// might be too few free descriptors, or no buffer; nothing has happened then.
    pub fn add(&mut self, mut buffers: impl Iterator<Item = Buffer>, most: usize) -> Option<u16> {
        if most > self.free.len() {
            return None;
        }
        let mut buffer = buffers.next()?;
        let head = self.free.pop()?;
        let mut at = head;
        let mut count = 1;
        for following in buffers.take(most - 1) {
            let next = self.free.pop()?;
            self.write_descriptor(at, buffer.descriptor(Some(next)));
            self.links[usize::from(at)] = next;
            (at, buffer, count) = (next, following, count + 1);
        }
        self.write_descriptor(at, buffer.descriptor(None));
        self.offer(head, count);
        Some(head)
    }

    /// Gives the device a table of `count` descriptors that lies elsewhere. None when no descriptor is
    /// free.
    pub fn add_indirect(&mut self, table: PhysAddr, count: usize) -> Option<u16> {
        let head = self.free.pop()?;
        // A table is at most as long as the ring, which has 2^15 descriptors at most.
        let len = (count * size_of::<Desc>()) as u32;
        let desc = Desc {
            addr: le64::from_ne(table.0),
            len: le32::from_ne(len),
            flags: DescF::INDIRECT,
            next: le16::from_ne(0),
        };
        self.write_descriptor(head, desc);
        self.offer(head, 1);
        Some(head)
    }

    fn offer(&mut self, head: u16, count: u16) {
        self.heads[usize::from(head)] = count;
        let slot = usize::from(self.next_avail & (self.size - 1));
        self.write16(self.available() + 4 + 2 * slot, head);
        self.next_avail = self.next_avail.wrapping_add(1);
    }

    /// Shows the device all that was added. True: it wants to be told.
    pub fn publish(&mut self) -> bool {
        let (old, new) = (self.published, self.next_avail);
        if old == new {
            return false;
        }
        // The entries before the index (2.7.13.3.1).
        fence(Ordering::Release);
        self.write16(self.available() + 2, new);
        self.published = new;
        // The index before reading whether the device sleeps (2.7.13.4.1).
        fence(Ordering::SeqCst);
        if self.event_idx {
            let event = self.read16(self.used() + 4 + size_of::<UsedElem>() * usize::from(self.size));
            need_event(event, new, old)
        } else {
            // VIRTQ_USED_F_NO_NOTIFY
            self.read16(self.used()) & 1 == 0
        }
    }

    /// The next request that the device has given back.
    pub fn pop(&mut self) -> Result<Option<Used>, BadRing> {
        let device = self.read16(self.used() + 2);
        let behind = device.wrapping_sub(self.last_used);
        if behind == 0 {
            return Ok(None);
        }
        if usize::from(behind) > self.in_use() {
            return Err(BadRing::Index { device, driver: self.last_used });
        }
        // The index before the entry, and before what the device wrote into the buffers.
        fence(Ordering::Acquire);
        let slot = usize::from(self.last_used & (self.size - 1));
        let at = self.used() + 4 + size_of::<UsedElem>() * slot;
        let id = self.read32(at + offset_of!(UsedElem, id));
        let written = self.read32(at + offset_of!(UsedElem, len));
        self.last_used = self.last_used.wrapping_add(1);
        let head = u16::try_from(id).ok().filter(|&head| self.take_back(head)).ok_or(BadRing::Id(id))?;
        Ok(Some(Used { head, written }))
    }

    /// Asks not to be told for now: the used ring is being read anyway. With event indexes the one of
    /// the last [`Ring::arm`] says so, once it is passed.
    pub fn disarm(&mut self) {
        if !self.event_idx {
            self.write16(self.available(), NO_INTERRUPT);
        }
    }

    /// Asks to be told of the next request given back. True: there is one already, and nobody will
    /// tell.
    pub fn arm(&mut self) -> bool {
        if self.event_idx {
            let used_event = self.available() + 4 + 2 * usize::from(self.size);
            self.write16(used_event, self.last_used);
        } else {
            self.write16(self.available(), 0);
        }
        fence(Ordering::SeqCst);
        self.read16(self.used() + 2) != self.last_used
    }

    /// Frees the chain that begins at `head`; false when there is none.
    fn take_back(&mut self, head: u16) -> bool {
        let Some(count) = self.heads.get_mut(usize::from(head)) else { return false };
        let count = core::mem::take(count);
        let mut at = head;
        for _ in 0..count {
            self.free.push(at);
            at = self.links[usize::from(at)];
        }
        count > 0
    }

    fn in_use(&self) -> usize {
        usize::from(self.size) - self.free.len()
    }

    fn available(&self) -> usize {
        available_offset(self.size)
    }

    fn used(&self) -> usize {
        used_offset(self.size)
    }

    fn write_descriptor(&mut self, index: u16, desc: Desc) {
        assert!(index < self.size);
        // SAFETY: within the table, which is the first part of the ring (1).
        unsafe { self.base.cast::<Desc>().add(usize::from(index)).write_volatile(desc) }
    }

    fn write16(&mut self, offset: usize, value: u16) {
        // SAFETY: `at` keeps within the ring (1).
        unsafe { self.at::<le16>(offset).write_volatile(le16::from_ne(value)) }
    }

    fn read16(&self, offset: usize) -> u16 {
        // SAFETY: as in `write16`.
        unsafe { self.at::<le16>(offset).read_volatile() }.to_ne()
    }

    fn read32(&self, offset: usize) -> u32 {
        // SAFETY: as in `write16`.
        unsafe { self.at::<le32>(offset).read_volatile() }.to_ne()
    }

    fn at<T>(&self, offset: usize) -> NonNull<T> {
        assert!(offset + size_of::<T>() <= Ring::bytes(self.size) && offset.is_multiple_of(align_of::<T>()));
        // SAFETY: within the ring (1).
        unsafe { self.base.add(offset).cast() }
    }
}
