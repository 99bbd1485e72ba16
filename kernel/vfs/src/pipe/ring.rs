//! What is in a pipe: slots in the order in which they were written.

use alloc::collections::VecDeque;

use base::arch::Access;
use base::{Errno, Frame, IovIter, PAGE_SIZE, Result, frame};

/// Bytes of a page. The frame may be somebody else's too.
#[derive(Clone)]
pub(super) struct Slot {
    pub frame: Frame,
    /// Where the bytes begin.
    pub offset: usize,
    /// How many there are, at least one.
    pub len: usize,
    /// The frame is the pipe's alone, and what is written next may be put behind these bytes.
    pub can_merge: bool,
    /// One write as a whole: what a read leaves of it is dropped.
    pub is_packet: bool,
}

impl Slot {
    /// Bytes of a frame that others may hold too.
    pub fn shared(frame: Frame, offset: usize, len: usize) -> Slot {
        Slot { frame, offset, len, can_merge: false, is_packet: false }
    }
}

/// The slots of a pipe.
pub(super) struct Ring {
    queue: VecDeque<Slot>,
    slots: usize,
}

impl Ring {
    pub fn new(slots: usize) -> Ring {
        Ring { queue: VecDeque::new(), slots }
    }

    pub fn slots(&self) -> usize {
        self.slots
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub fn is_full(&self) -> bool {
        self.queue.len() >= self.slots
    }

    /// How many slots are free.
    pub fn room(&self) -> usize {
        self.slots.saturating_sub(self.queue.len())
    }

    /// All bytes in it.
    pub fn bytes(&self) -> usize {
        self.queue.iter().map(|slot| slot.len).sum()
    }

    /// EBUSY when more slots are in use.
    pub fn resize(&mut self, slots: usize) -> Result<()> {
        if self.queue.len() > slots {
            return Err(Errno::EBUSY);
        }
        self.slots = slots;
        Ok(())
    }

    /// Puts one behind the others; gives it back when there is no room.
    pub fn push(&mut self, slot: Slot) -> core::result::Result<(), Slot> {
        if self.is_full() {
            return Err(slot);
        }
        self.queue.push_back(slot);
        Ok(())
    }

    /// The slots from the first on.
    pub fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.queue.iter()
    }

    /// At most `len` bytes of the first slot, taken out.
    pub fn take(&mut self, len: usize) -> Option<Slot> {
        let first = self.queue.front_mut()?;
        if len >= first.len {
            return self.queue.pop_front();
        }
        let mut taken = Slot::shared(first.frame.clone(), first.offset, len);
        taken.is_packet = first.is_packet;
        first.offset += len;
        first.len -= len;
        Some(taken)
    }

    /// Puts back in front what [`Ring::take`] took, when it was of no use after all.
    pub fn put_back(&mut self, slot: Slot) {
        self.queue.push_front(slot);
    }

    /// Copies out what is there, as far as it fits. 0: nothing is there, or nothing could be copied.
    pub fn read(&mut self, to: &mut IovIter<'_>) -> usize {
        let mut done = 0;
        while let Some(slot) = self.queue.front_mut() {
            let want = slot.len.min(to.count());
            let got = to.copy_from_frame(&slot.frame, slot.offset, want);
            done += got;
            slot.offset += got;
            slot.len -= got;
            if got < want {
                break;
            }
            let is_packet = slot.is_packet;
            if slot.len == 0 || is_packet {
                self.queue.pop_front();
            }
            if to.count() == 0 || is_packet {
                break;
            }
        }
        done
    }

    /// Copies in what there is room for; 0 when there is none. ENOMEM, EFAULT.
    pub fn write(&mut self, from: &mut IovIter<'_>, packets: bool) -> Result<usize> {
        let mut done = if packets { 0 } else { self.merge(from)? };
        while from.count() > 0 && !self.is_full() {
            match Ring::fill(from, packets) {
                Ok(slot) => {
                    done += slot.len;
                    self.queue.push_back(slot);
                }
                Err(error) => return if done > 0 { Ok(done) } else { Err(error) },
            }
        }
        Ok(done)
    }

    /// The odd end of a write behind the last slot's bytes, if it fits as a whole: then the rest
    /// fills whole pages, and a write of at most a page stays in one piece.
    /// EFAULT.
    fn merge(&mut self, from: &mut IovIter<'_>) -> Result<usize> {
        let odd = from.count() % PAGE_SIZE;
        let Some(last) = self.queue.back_mut() else { return Ok(0) };
        let end = last.offset + last.len;
        if odd == 0 || !last.can_merge || end + odd > PAGE_SIZE {
            return Ok(0);
        }
        if copy(from, &last.frame, end, odd) < odd {
            return Err(Errno::EFAULT);
        }
        last.len += odd;
        Ok(odd)
    }

    /// What vmsplice(2) brings: a slot for each of the program's pages, however little of it. ENOMEM, EFAULT.
    pub fn write_pages(&mut self, from: &mut IovIter<'_>) -> Result<usize> {
        let mut done = 0;
        while from.count() > 0 && !self.is_full() {
            let mut first = None;
            let mut keep = |page: &Frame, at: usize, len: usize| {
                first.get_or_insert_with(|| (page.clone(), at, len));
            };
            let pinned = from.pin(PAGE_SIZE, Access::Read, &mut keep);
            let Some((page, at, len)) = first else {
                return if done > 0 { Ok(done) } else { Err(Errno::EFAULT) };
            };
            from.revert(pinned - len);
            let frame = frame::alloc()?;
            frame.copy_from(at, &page, at, len);
            self.queue.push_back(Slot::shared(frame, at, len));
            done += len;
        }
        Ok(done)
    }

    /// The next page of a write, the whole of it: what a page has that cannot be read to its end does not come, as
    /// in Linux.
    fn fill(from: &mut IovIter<'_>, packets: bool) -> Result<Slot> {
        let frame = frame::alloc()?;
        let len = from.count().min(PAGE_SIZE);
        let got = copy(from, &frame, 0, len);
        if got < len {
            return Err(Errno::EFAULT);
        }
        Ok(Slot { frame, offset: 0, len, can_merge: !packets, is_packet: packets })
    }
}

/// Copies `len` bytes into a frame, as many as can be read. What lies in the program is brought in first: the
/// copy itself brings nothing in, and what it brought may be gone again.
fn copy(from: &mut IovIter<'_>, frame: &Frame, offset: usize, len: usize) -> usize {
    let mut done = 0;
    while done < len && from.fault_in_readable(len - done).is_ok() {
        done += from.copy_to_frame(frame, offset + done, len - done);
    }
    done
}
