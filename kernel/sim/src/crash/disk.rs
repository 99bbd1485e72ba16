//! A disk with a volatile write cache that writes down what is asked of it.
//!
//! It is memory, and it always works; what would have become of it when the power goes is worked out
//! afterwards, from its [`Recorder`] (see [`super::cut`]). Requests of one batch are in flight together,
//! and a real disk may end them in any order: so does this one, by its seed.
//!
//! # Locking
//! `state`, then the recorder's lock; neither is held while a request completes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::units::SECTOR_SIZE;
use base::{Errno, Sector};
use block::{BioOp, Driver, InFlight, Limits};

use super::record::{Recorder, Write};
use crate::random::Rng;

/// What became of a request when it was queued.
enum Noted {
    Read,
    Write(usize),
    Flush(usize),
    /// It lies beyond the end.
    Bad,
}

struct State {
    bytes: Vec<u8>,
    waiting: Vec<(InFlight, Noted)>,
    rng: Rng,
}

/// The disk.
pub struct CrashDisk {
    recorder: Arc<Recorder>,
    number: usize,
    sectors: u64,
    limits: Limits,
    state: Mutex<State>,
}

impl CrashDisk {
    /// With these bytes, that can take this much at once, and tells this recorder.
    pub fn new(bytes: Vec<u8>, limits: Limits, recorder: &Arc<Recorder>, seed: u64) -> Arc<CrashDisk> {
        let sectors = (bytes.len() / SECTOR_SIZE) as u64;
        let number = recorder.add_disk(bytes.clone());
        let state = Mutex::new(State { bytes, waiting: Vec::new(), rng: Rng::new(seed) });
        Arc::new(CrashDisk { recorder: recorder.clone(), number, sectors, limits, state })
    }

    /// What it holds, written back or not.
    pub fn bytes(&self) -> Vec<u8> {
        self.lock().bytes.clone()
    }

    /// The same, and nothing is left.
    pub fn take_bytes(&self) -> Vec<u8> {
        std::mem::take(&mut self.lock().bytes)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, request: &InFlight) -> Noted {
        if request.end().0 > self.sectors {
            return Noted::Bad;
        }
        let bytes: Arc<[u8]> = match request.op() {
            BioOp::Read => return Noted::Read,
            BioOp::Flush => return Noted::Flush(self.recorder.lock().begin_flush(self.number)),
            BioOp::Write => content(request).into(),
            // The sectors of a discard may be anything afterwards; here they become zeros or stay.
            BioOp::Discard | BioOp::WriteZeroes => vec![0; request.sectors() as usize * SECTOR_SIZE].into(),
        };
        let fua = self.limits.fua && request.flags().contains(block::BioFlags::FUA);
        let write = Write { disk: self.number, sector: request.sector().0, bytes, fua };
        Noted::Write(self.recorder.lock().begin(write))
    }

    /// Does what was asked; the answer to give.
    fn work(&self, state: &mut State, request: &InFlight, noted: &Noted) -> base::Result<()> {
        let at = request.sector().0 as usize * SECTOR_SIZE;
        match *noted {
            Noted::Bad => return Err(Errno::EIO),
            Noted::Read => {
                let mut pos = at;
                for vec in request.vecs() {
                    let end = pos + vec.len as usize;
                    vec.frame.write(vec.offset as usize, state.bytes.get(pos..end).ok_or(Errno::EIO)?);
                    pos = end;
                }
            }
            Noted::Write(number) => {
                let mut recording = self.recorder.lock();
                let bytes = recording.writes[number].bytes.clone();
                state.bytes.get_mut(at..at + bytes.len()).ok_or(Errno::EIO)?.copy_from_slice(&bytes);
                recording.end(number);
            }
            Noted::Flush(number) => self.recorder.lock().end_flush(self.number, number),
        }
        Ok(())
    }
}

/// The bytes of a write.
fn content(request: &InFlight) -> Vec<u8> {
    let mut bytes = vec![0; request.sectors() as usize * SECTOR_SIZE];
    let mut pos = 0;
    for vec in request.vecs() {
        let end = pos + vec.len as usize;
        vec.frame.read(vec.offset as usize, &mut bytes[pos..end]);
        pos = end;
    }
    bytes
}

impl Driver for CrashDisk {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn capacity(&self) -> Sector {
        Sector(self.sectors)
    }

    fn queue_request(&self, request: InFlight) -> Result<(), InFlight> {
        let mut state = self.lock();
        let noted = self.note(&request);
        state.waiting.push((request, noted));
        Ok(())
    }

    fn commit(&self) {
        loop {
            let mut state = self.lock();
            let count = state.waiting.len() as u64;
            if count == 0 {
                return;
            }
            let index = state.rng.below(count) as usize;
            let (request, noted) = state.waiting.swap_remove(index);
            let result = self.work(&mut state, &request, &noted);
            drop(state);
            request.complete(result);
        }
    }
}
