//! A virtio block device made of a `Vec`, for the tests of the ring and the engine. On a host a
//! "physical" address is a pointer, so it reads and writes the very memory the driver gave it.

use std::alloc::{Layout, alloc_zeroed};
use std::collections::VecDeque;
use std::ptr::NonNull;
use std::vec::Vec;

use base::PhysAddr;

use super::ring::{Ring, need_event};

/// Memory for a ring, never given back.
pub fn ring_memory(size: u16) -> NonNull<u8> {
    let layout = Layout::from_size_align(Ring::bytes(size).next_multiple_of(4096), 4096).unwrap();
    // SAFETY: the layout has a size.
    NonNull::new(unsafe { alloc_zeroed(layout) }).unwrap()
}

/// A ring and the device at its other end.
pub fn pair(size: u16, event_idx: bool) -> (Ring, FakeDevice) {
    let base = ring_memory(size);
    // SAFETY: fresh, zeroed, aligned, never freed.
    let ring = unsafe { Ring::new(base, size, event_idx) };
    let parts = Ring::parts(size, PhysAddr(base.as_ptr() as u64));
    let device = FakeDevice {
        size,
        event_idx,
        desc: parts.descriptors.0,
        avail: parts.available.0,
        used: parts.used.0,
        seen: 0,
        done: 0,
        signalled: 0,
        taken: VecDeque::new(),
        disk: vec![0; 1 << 20],
        status: 0,
        short: false,
        flushes: 0,
        range_flags: 0,
    };
    (ring, device)
}

/// A piece of a chain: address, length, whether the device writes it.
pub type Piece = (u64, u32, bool);

pub struct FakeDevice {
    size: u16,
    event_idx: bool,
    desc: u64,
    avail: u64,
    used: u64,
    seen: u16,
    done: u16,
    signalled: u16,
    taken: VecDeque<(u16, Vec<Piece>)>,
    pub disk: Vec<u8>,
    /// What the next requests end with.
    pub status: u8,
    /// Say that nothing was written.
    pub short: bool,
    pub flushes: usize,
    /// The flags of the last discard or write-zeroes.
    pub range_flags: u32,
}

fn get<T: Copy>(addr: u64) -> T {
    // SAFETY: the tests only make addresses of live memory.
    unsafe { (addr as *const T).read_volatile() }
}

fn put<T>(addr: u64, value: T) {
    // SAFETY: as in `get`.
    unsafe { (addr as *mut T).write_volatile(value) }
}

fn bytes(addr: u64, len: u32) -> Vec<u8> {
    (0..u64::from(len)).map(|n| get::<u8>(addr + n)).collect()
}

impl FakeDevice {
    /// Takes what was made available; asks to be told of the next. How many there were.
    pub fn take(&mut self) -> usize {
        let mut count = 0;
        while self.seen != get::<u16>(self.avail + 2) {
            let slot = u64::from(self.seen % self.size);
            let head = get::<u16>(self.avail + 4 + 2 * slot);
            let chain = self.chain(self.desc, head);
            self.taken.push_back((head, chain));
            self.seen = self.seen.wrapping_add(1);
            count += 1;
        }
        if self.event_idx {
            put(self.used + 4 + 8 * u64::from(self.size), self.seen);
        }
        count
    }

    fn chain(&self, table: u64, head: u16) -> Vec<Piece> {
        let mut out = Vec::new();
        let mut at = head;
        loop {
            let desc = table + 16 * u64::from(at);
            let (addr, len) = (get::<u64>(desc), get::<u32>(desc + 8));
            let (flags, next) = (get::<u16>(desc + 12), get::<u16>(desc + 14));
            if flags & 4 != 0 {
                assert_eq!(len % 16, 0);
                let inner = self.chain(addr, 0);
                assert_eq!(inner.len() as u32, len / 16);
                return inner;
            }
            out.push((addr, len, flags & 2 != 0));
            if flags & 1 == 0 {
                return out;
            }
            at = next;
        }
    }

    /// Gives a request back; true: the driver wants to be told.
    pub fn give_back(&mut self, id: u32, written: u32) -> bool {
        let at = self.used + 4 + 8 * u64::from(self.done % self.size);
        put(at, id);
        put(at + 4, written);
        let old = self.done;
        self.done = old.wrapping_add(1);
        put(self.used + 2, self.done);
        if !self.event_idx {
            return get::<u16>(self.avail) & 1 == 0;
        }
        let event = get::<u16>(self.avail + 4 + 2 * u64::from(self.size));
        let tell = need_event(event, self.done, self.signalled);
        self.signalled = self.done;
        tell
    }

    /// Lets the used index lie.
    pub fn lie(&mut self, index: u16) {
        put(self.used + 2, index);
    }

    pub fn held(&self) -> usize {
        self.taken.len()
    }

    /// Serves one of the taken requests as a block device; true: the driver wants to be told.
    pub fn serve(&mut self, pick: usize) -> bool {
        let index = pick % self.taken.len();
        let Some((head, chain)) = self.taken.remove(index) else { return false };
        let written = self.work(&chain);
        let written = if self.short { 0 } else { written };
        self.give_back(head.into(), written)
    }

    fn work(&mut self, chain: &[Piece]) -> u32 {
        let (header, rest) = chain.split_first().unwrap();
        let (status, data) = rest.split_last().unwrap();
        assert_eq!((header.1, header.2, status.1, status.2), (16, false, 1, true));
        let (kind, sector) = (get::<u32>(header.0), get::<u64>(header.0 + 8));
        let mut written = 1;
        if self.status == 0 {
            written += self.transfer(kind, sector, data);
        }
        put(status.0, self.status);
        written
    }

    fn transfer(&mut self, kind: u32, sector: u64, data: &[Piece]) -> u32 {
        let mut at = sector as usize * 512;
        let mut written = 0;
        for &(addr, len, device_writes) in data {
            match kind {
                0 => {
                    assert!(device_writes);
                    (0..len as usize).for_each(|n| put(addr + n as u64, self.disk[at + n]));
                    written += len;
                }
                1 => {
                    assert!(!device_writes);
                    self.disk[at..at + len as usize].copy_from_slice(&bytes(addr, len));
                }
                8 => {
                    b"disk-7\0".iter().enumerate().for_each(|(n, b)| put(addr + n as u64, *b));
                    written += len;
                }
                11 | 13 => {
                    let from = get::<u64>(addr) as usize * 512;
                    let count = get::<u32>(addr + 8) as usize * 512;
                    self.range_flags = get::<u32>(addr + 12);
                    assert!(kind == 13 || self.range_flags == 0, "unmap is not for a discard");
                    self.disk[from..from + count].fill(0);
                }
                other => panic!("request of type {other}"),
            }
            at += len as usize;
        }
        self.flushes += usize::from(kind == 4);
        written
    }
}
