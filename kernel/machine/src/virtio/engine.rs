//! The queue of a virtio block device: requests into the ring, statuses out of it.
//!
//! It knows the ring and the requests, not the transport: `commit` answers whether the device wants to
//! be told, and whoever owns the registers tells it. So all of this runs on a host, against a device
//! made of a `Vec`.
//!
//! # Completion
//! The interrupt handler calls [`Engine::reap`]. It takes finished requests out by batches, each under
//! one hold of the lock, and completes them without it; meanwhile the device is asked not to
//! interrupt again. Nothing on that way takes a lock that a submitter sleeps with.
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
use core::sync::atomic::{AtomicBool, Ordering};

use arrayvec::ArrayVec;
use base::{Errno, Frame, Result, frame};
use block::{BioFlags, BioOp, InFlight, Segment};
use sync::SpinLock;
use virtio_spec::blk::{S, T};

use super::ring::{BadRing, Buffer, Ring, Used};
use super::slots::{self, Slots, Taken};
use super::trace;

/// Requests that are taken out of the ring under one hold of the lock.
const BATCH: usize = 16;

/// A request that is done, with its result.
type Done = (InFlight, Result<()>);

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
    /// A write-zeroes may give the room back (`write_zeroes_may_unmap`).
    pub may_unmap: bool,
    /// Most pieces of data in a request.
    pub max_segments: u32,
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
    taken: Taken,
    /// Bytes of data the device has to write.
    bytes_in: u32,
    waiter: Waiter,
}

/// A request that is in the ring.
struct Entered {
    head: u16,
    taken: Taken,
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
    /// By slot; as long as the depth that was reached.
    entries: Vec<Option<Entry>>,
    /// The slot of each head descriptor.
    slot_of: Vec<u16>,
    serial: String,
    broken: bool,
}

/// The driver's side of one queue.
pub struct Engine {
    state: SpinLock<State>,
    rules: Rules,
    /// Something was put into the ring that the device was not shown.
    filled: AtomicBool,
}

impl Engine {
    /// An engine on a fresh ring of `size` descriptors. ENOMEM.
    pub fn new(ring: Ring, size: u16, rules: Rules) -> Result<Engine> {
        let state = State {
            ring,
            slots: Slots::new(size, rules.max_segments as usize)?,
            entries: Vec::new(),
            slot_of: alloc::vec![0; size.into()],
            serial: String::new(),
            broken: false,
        };
        Ok(Engine { state: SpinLock::new(state), rules, filled: AtomicBool::new(false) })
    }

    /// Puts a request into the ring, not yet visible to the device. Gives it back when there is no
    /// room, or the device is broken.
    pub fn queue_request(&self, request: InFlight) -> core::result::Result<(), InFlight> {
        let mut state = self.state.lock();
        match state.enter(&request, self.rules) {
            Some(entered) => {
                trace::add(entered.head, &request);
                state.wait(entered, Waiter::Request(request));
                self.filled.store(true, Ordering::Relaxed);
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
        self.filled.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// The serial number, if the device has told it.
    pub fn serial(&self) -> String {
        self.state.lock().serial.clone()
    }

    /// Shows the device what was put in. True: it wants to be told.
    pub fn commit(&self) -> bool {
        // Whoever filled the ring after this commits it himself.
        self.filled.load(Ordering::Relaxed) && {
            let mut state = self.state.lock();
            self.filled.store(false, Ordering::Relaxed);
            let notify = state.ring.publish();
            trace::kick(notify);
            notify
        }
    }

    /// Completes all that the device has given back; how many. Err: it broke the rules.
    pub fn reap(&self) -> core::result::Result<usize, BadRing> {
        let mut outcome = Ok(0);
        let mut batch = ArrayVec::<Done, BATCH>::new();
        block::complete_all(iter::from_fn(|| {
            if batch.is_empty() && outcome.is_ok() {
                if let Err(bad) = self.next_batch(&mut batch) {
                    outcome = Err(bad);
                }
                // Taken from the end: the one given back first is completed first.
                batch.reverse();
            }
            let done = batch.pop()?;
            outcome = outcome.map(|count| count + 1);
            Some(done)
        }));
        outcome
    }

    /// The next requests of the block layer that are done. None: no more, and the device will tell when
    /// there are. Err comes with what was done before the rules were broken.
    fn next_batch(&self, batch: &mut ArrayVec<Done, BATCH>) -> core::result::Result<(), BadRing> {
        let mut state = self.state.lock();
        if state.broken {
            return Ok(());
        }
        state.ring.disarm();
        while !batch.is_full() {
            match state.ring.pop() {
                Ok(Some(used)) => batch.extend(state.leave(used, self.rules)),
                Ok(None) if state.ring.arm() => state.ring.disarm(),
                Ok(None) => break,
                Err(bad) => {
                    state.broken = true;
                    return Err(bad);
                }
            }
        }
        Ok(())
    }

    /// Whether the device broke the rules.
    pub fn is_broken(&self) -> bool {
        self.state.lock().broken
    }

    /// Ends everything with EIO; how many requests. Only after the device was reset: it must not touch
    /// the buffers any more.
    pub fn fail_all(&self) -> usize {
        let entries = {
            let mut state = self.state.lock();
            state.broken = true;
            core::mem::take(&mut state.entries)
        };
        let requests = entries.into_iter().flatten().filter_map(|entry| match entry.waiter {
            Waiter::Request(request) => Some((request, Err(Errno::EIO))),
            Waiter::Serial(_) => None,
        });
        let mut count = 0;
        block::complete_all(requests.inspect(|_| count += 1));
        count
    }
}

impl State {
    /// The slot of the request was there when it entered.
    fn wait(&mut self, entered: Entered, waiter: Waiter) {
        let Entered { head, taken, bytes_in } = entered;
        let slot = taken.slot;
        self.slot_of[usize::from(head)] = slot;
        self.entries[usize::from(slot)] = Some(Entry { taken, bytes_in, waiter });
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
        let taken = self.take(chain.most, rules)?;
        // A request that moves data is at most `max_sectors` long, far below 4 GiB.
        let bytes = if device_writes { request.sectors() as u32 * 512 } else { 0 };
        self.fill(taken, chain, data, bytes, rules)
    }

    fn enter_range(&mut self, kind: T, request: &InFlight, rules: Rules) -> Option<Entered> {
        let sectors = u32::try_from(request.sectors()).ok()?;
        let unmap = kind == T::WriteZeroes && rules.may_unmap && !request.flags().contains(BioFlags::NOUNMAP);
        let taken = self.take(1, rules)?;
        let range = self.slots.slot(taken.slot)?.range(request.sector().0, sectors, unmap);
        self.fill(taken, Chain { kind, sector: 0, most: 1 }, iter::once(range), 0, rules)
    }

    fn enter_serial(&mut self, data: Buffer, rules: Rules) -> Option<Entered> {
        let taken = self.take(1, rules)?;
        self.fill(taken, Chain { kind: T::GetId, sector: 0, most: 1 }, iter::once(data), 0, rules)
    }

    /// A slot and an entry, if the ring also has room for so many pieces of data, header and status.
    fn take(&mut self, pieces: usize, rules: Rules) -> Option<Taken> {
        let needed = if rules.indirect { 1 } else { pieces + slots::FRAME };
        if self.broken || self.ring.free() < needed {
            return None;
        }
        let taken = self.slots.take(pieces, rules.indirect)?;
        // Slots are reached in order, so this is at most one more.
        if usize::from(taken.slot) >= self.entries.len() {
            if self.entries.try_reserve(1).is_err() {
                self.slots.give_back(taken);
                return None;
            }
            self.entries.push(None);
        }
        Some(taken)
    }

    /// Writes header, data and status into the ring, which has room for them.
    fn fill(
        &mut self,
        taken: Taken,
        chain: Chain,
        data: impl Iterator<Item = Buffer>,
        bytes_in: u32,
        rules: Rules,
    ) -> Option<Entered> {
        let slot = self.slots.slot(taken.slot)?;
        let (header, status) = (slot.begin(chain.kind, chain.sector), slot.status_buffer());
        let head = if rules.indirect {
            let (table, count) = self.slots.fill(&taken, header, data, status)?;
            self.ring.add_indirect(table, count)
        } else {
            let buffers = iter::once(header).chain(data).chain(iter::once(status));
            self.ring.add(buffers, chain.most + slots::FRAME)
        };
        Some(Entered { head: head?, taken, bytes_in })
    }

    /// Takes out what the device gave back; a request of the block layer comes with its result.
    fn leave(&mut self, used: Used, rules: Rules) -> Option<Done> {
        let slot = *self.slot_of.get(usize::from(used.head))?;
        let entry = self.entries.get_mut(usize::from(slot))?.take()?;
        let status = self.slots.slot(slot).map_or(slots::STATUS_UNTOUCHED, |slot| slot.status());
        trace::used(used.head, status, used.written);
        self.slots.give_back(entry.taken);
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
