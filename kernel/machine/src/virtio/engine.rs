//! The queue of a virtio block device: requests into the ring, statuses out of it.
//!
//! It knows the ring and the requests, not the transport: `commit` answers whether the device wants to
//! be told, and whoever owns the registers tells it. So all of this runs on a host, against a device
//! made of a `Vec`.
//!
//! # Locking
//! One `SpinLock`, never held while a request completes.
//!
//! # A device that breaks the rules
//! After a bad id or index nothing the device says of this ring can be believed. The engine is then
//! broken for good: the owner resets the device, so that it touches no more memory, and calls
//! [`Engine::fail_all`].
//!
//! Source: VirtIO 1.2, 5.2 Block Device.

use alloc::string::String;
use alloc::vec::Vec;
use core::iter;

use base::{Errno, Frame, Result, frame};
use block::{BioOp, InFlight, Segment};
use sync::SpinLock;
use virtio_spec::blk::{S, T};

use super::ring::{BadRing, Buffer, Ring, Used};
use super::slots::Slots;

/// Bytes of a serial number; shorter ones end with a zero byte.
const ID_BYTES: u32 = 20;

/// What was negotiated that matters here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// A request is one descriptor that leads to a table.
    pub indirect: bool,
    /// The device tells the truth about the bytes it wrote (VIRTIO_F_VERSION_1; a legacy device need
    /// not, 2.7.8.3).
    pub exact_length: bool,
    /// Longest piece of memory.
    pub max_segment_size: u32,
}

/// Who waits in a slot.
enum Waiter {
    /// A request of the block layer.
    Request(InFlight),
    /// The device's answer to GET_ID, in this page.
    Serial(Frame),
}

struct Entry {
    slot: u16,
    /// Bytes of data the device has to write.
    bytes_in: u32,
    waiter: Waiter,
}

/// A request that is in the ring.
struct Entered {
    head: u16,
    slot: u16,
    bytes_in: u32,
}

/// What is to be put into the ring.
struct Chain {
    kind: T,
    sector: u64,
    /// Pieces of data at most.
    most: usize,
}

struct State {
    ring: Ring,
    slots: Slots,
    /// By head descriptor.
    entries: Vec<Option<Entry>>,
    serial: String,
    broken: bool,
}

/// The driver's side of one queue.
pub struct Engine {
    state: SpinLock<State>,
    rules: Rules,
}

impl Engine {
    /// An engine on a fresh ring of `size` descriptors. ENOMEM.
    pub fn new(ring: Ring, size: u16, rules: Rules) -> Result<Engine> {
        let entries = (0..size).map(|_| None).collect();
        let state = State { ring, slots: Slots::new(size)?, entries, serial: String::new(), broken: false };
        Ok(Engine { state: SpinLock::new(state), rules })
    }

    /// Puts a request into the ring, not yet visible to the device. Gives it back when there is no
    /// room, or the device is broken.
    pub fn queue_request(&self, request: InFlight) -> core::result::Result<(), InFlight> {
        let mut state = self.state.lock();
        match state.enter(&request, self.rules) {
            Some(entered) => {
                state.wait(entered, Waiter::Request(request));
                Ok(())
            }
            None => Err(request),
        }
    }

    /// Asks for the serial number; it is there some time later. ENOMEM.
    pub fn ask_serial(&self) -> Result<()> {
        let answer = frame::alloc_zeroed()?;
        let data = Buffer { phys: answer.phys(), len: ID_BYTES, device_writes: true };
        let mut state = self.state.lock();
        let entered = state.enter_serial(data, self.rules).ok_or(Errno::ENOMEM)?;
        state.wait(entered, Waiter::Serial(answer));
        Ok(())
    }

    /// The serial number, if the device has told it.
    pub fn serial(&self) -> String {
        self.state.lock().serial.clone()
    }

    /// Shows the device what was put in. True: it wants to be told.
    pub fn commit(&self) -> bool {
        self.state.lock().ring.publish()
    }

    /// Completes all that the device has given back. Err: it broke the rules.
    pub fn reap(&self) -> core::result::Result<(), BadRing> {
        let mut bad = None;
        block::complete_all(iter::from_fn(|| match self.next_done() {
            Ok(done) => done,
            Err(error) => {
                bad = Some(error);
                None
            }
        }));
        bad.map_or(Ok(()), Err)
    }

    /// The next request of the block layer that is done, with its result. None: no more, and the
    /// device will tell when there are.
    fn next_done(&self) -> core::result::Result<Option<(InFlight, Result<()>)>, BadRing> {
        let mut state = self.state.lock();
        if state.broken {
            return Ok(None);
        }
        loop {
            match state.ring.pop() {
                Ok(Some(used)) => {
                    if let Some(done) = state.leave(used, self.rules) {
                        return Ok(Some(done));
                    }
                }
                Ok(None) if state.ring.arm() => {}
                Ok(None) => return Ok(None),
                Err(bad) => {
                    state.broken = true;
                    return Err(bad);
                }
            }
        }
    }

    /// Whether the device broke the rules.
    pub fn is_broken(&self) -> bool {
        self.state.lock().broken
    }

    /// Ends everything with EIO. Only after the device was reset: it must not touch the buffers any
    /// more.
    pub fn fail_all(&self) {
        let entries = {
            let mut state = self.state.lock();
            state.broken = true;
            let count = state.entries.len();
            core::mem::replace(&mut state.entries, (0..count).map(|_| None).collect())
        };
        let requests = entries.into_iter().flatten().filter_map(|entry| match entry.waiter {
            Waiter::Request(request) => Some((request, Err(Errno::EIO))),
            Waiter::Serial(_) => None,
        });
        block::complete_all(requests);
    }
}

impl State {
    fn wait(&mut self, entered: Entered, waiter: Waiter) {
        let Entered { head, slot, bytes_in } = entered;
        self.entries[usize::from(head)] = Some(Entry { slot, bytes_in, waiter });
    }

    /// Writes a request's descriptors.
    fn enter(&mut self, request: &InFlight, rules: Rules) -> Option<Entered> {
        let kind = match request.op() {
            BioOp::Read => T::In,
            BioOp::Write => T::Out,
            BioOp::Flush => T::Flush,
            BioOp::Discard => return self.enter_range(T::Discard, request, rules),
            BioOp::WriteZeroes => return self.enter_range(T::WriteZeroes, request, rules),
        };
        let device_writes = kind == T::In;
        let data = request.segments(rules.max_segment_size);
        let data = data.map(|s: Segment| Buffer { phys: s.phys, len: s.len, device_writes });
        let chain = Chain { kind, sector: request.sector().0, most: request.segment_count() as usize };
        let slot = self.take_slot(chain.most, rules)?;
        // A request that moves data is at most `max_sectors` long, far below 4 GiB.
        let bytes = if device_writes { request.sectors() as u32 * 512 } else { 0 };
        self.fill(slot, chain, data, bytes, rules)
    }

    fn enter_range(&mut self, kind: T, request: &InFlight, rules: Rules) -> Option<Entered> {
        let sectors = u32::try_from(request.sectors()).ok()?;
        let slot = self.take_slot(1, rules)?;
        let range = self.slots.page(slot)?.range(request.sector().0, sectors);
        self.fill(slot, Chain { kind, sector: 0, most: 1 }, iter::once(range), 0, rules)
    }

    fn enter_serial(&mut self, data: Buffer, rules: Rules) -> Option<Entered> {
        let slot = self.take_slot(1, rules)?;
        self.fill(slot, Chain { kind: T::GetId, sector: 0, most: 1 }, iter::once(data), 0, rules)
    }

    /// A slot, if the ring also has room for so many pieces of data, header and status.
    fn take_slot(&mut self, pieces: usize, rules: Rules) -> Option<u16> {
        let needed = if rules.indirect { 1 } else { pieces + 2 };
        if self.broken || self.ring.free() < needed {
            return None;
        }
        self.slots.take()
    }

    /// Writes header, data and status into the ring, which has room for them.
    fn fill(
        &mut self,
        slot: u16,
        chain: Chain,
        data: impl Iterator<Item = Buffer>,
        bytes_in: u32,
        rules: Rules,
    ) -> Option<Entered> {
        let page = self.slots.page(slot)?;
        let (header, status) = (page.begin(chain.kind, chain.sector), page.status_buffer());
        let buffers = iter::once(header).chain(data).chain(iter::once(status));
        let head = if rules.indirect {
            let (table, count) = page.table(buffers);
            self.ring.add_indirect(table, count)
        } else {
            self.ring.add(buffers, chain.most + 2)
        };
        Some(Entered { head: head?, slot, bytes_in })
    }

    /// Takes out what the device gave back; a request of the block layer comes with its result.
    fn leave(&mut self, used: Used, rules: Rules) -> Option<(InFlight, Result<()>)> {
        let entry = self.entries.get_mut(usize::from(used.head))?.take()?;
        let status = self.slots.page(entry.slot).map_or(super::slots::STATUS_UNTOUCHED, |page| page.status());
        self.slots.give_back(entry.slot);
        let short = rules.exact_length && used.written <= entry.bytes_in && entry.bytes_in > 0;
        let result = outcome(status, short);
        match entry.waiter {
            Waiter::Request(request) => {
                if result.is_err() {
                    log::debug!(
                        "virtio-blk: status {status}, {} bytes written, of {:?}",
                        used.written,
                        *request
                    );
                }
                Some((request, result))
            }
            Waiter::Serial(answer) => {
                if result.is_ok() {
                    self.serial = serial_of(&answer);
                }
                None
            }
        }
    }
}

/// What a status byte means for who waits.
fn outcome(status: u8, short: bool) -> Result<()> {
    match S::try_from(status) {
        Ok(S::Ok) if !short => Ok(()),
        Ok(S::Unsupp) => Err(Errno::EOPNOTSUPP),
        _ => Err(Errno::EIO),
    }
}

fn serial_of(answer: &Frame) -> String {
    let mut bytes = [0; ID_BYTES as usize];
    answer.read(0, &mut bytes);
    let text = bytes.split(|b| *b == 0).next().unwrap_or(&[]);
    text.iter().map(|b| if b.is_ascii_graphic() { char::from(*b) } else { '?' }).collect()
}
