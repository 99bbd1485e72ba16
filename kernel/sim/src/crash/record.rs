//! What happened at the disks of a machine, in order: the raw material of every crash.
//!
//! A [`Recorder`] is shared by the disks of one machine (the file system's, and the one of an external
//! journal) and by whoever runs the workload: the number of events so far, its *position*, dates what a
//! program was told. A [`Recording`] is the finished list with the bytes that the disks had before.
//!
//! # Invariants
//! 1. A request's begin comes before its end, and each is there at most once.
//! 2. What was told to a program at position `p` was told after the events below `p` and before the
//!    others.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One request that changes a disk.
#[derive(Clone, Debug)]
pub struct Write {
    /// Which disk.
    pub disk: usize,
    /// Its first sector.
    pub sector: u64,
    /// What shall lie there; whole sectors.
    pub bytes: Arc<[u8]>,
    /// Durable when it ends.
    pub fua: bool,
}

/// A moment in the life of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The disk has been given the write of this number.
    Begin(usize),
    /// The disk has said that it is done.
    End(usize),
    /// This disk has been asked to flush; the flush's number.
    BeginFlush(usize, usize),
    /// It has said that it did.
    EndFlush(usize, usize),
}

/// Disks before, and all that was done to them.
#[derive(Clone, Default, Debug)]
pub struct Recording {
    /// The disks' bytes at position 0.
    pub disks: Vec<Vec<u8>>,
    /// The writes by number.
    pub writes: Vec<Write>,
    /// What happened.
    pub events: Vec<Event>,
    flushes: usize,
}

impl Recording {
    /// Of disks to which nothing has happened yet.
    pub fn new(disks: Vec<Vec<u8>>) -> Recording {
        Recording { disks, ..Recording::default() }
    }

    /// The disk is given a write; its number.
    pub fn begin(&mut self, write: Write) -> usize {
        let number = self.writes.len();
        self.writes.push(write);
        self.events.push(Event::Begin(number));
        number
    }

    /// The write of this number is done.
    pub fn end(&mut self, number: usize) {
        self.events.push(Event::End(number));
    }

    /// A disk is asked to flush; the flush's number.
    pub fn begin_flush(&mut self, disk: usize) -> usize {
        self.flushes += 1;
        self.events.push(Event::BeginFlush(disk, self.flushes));
        self.flushes
    }

    /// That flush is done.
    pub fn end_flush(&mut self, disk: usize, number: usize) {
        self.events.push(Event::EndFlush(disk, number));
    }

    /// Every position at which a cut finds something else than one event earlier would have found: after
    /// the begin of a write (it may have landed), and after the end of a flush or of a FUA write.
    pub fn boundaries(&self) -> Vec<usize> {
        let tells = |event: &Event| match *event {
            Event::Begin(_) | Event::EndFlush(..) => true,
            Event::End(write) => self.writes[write].fua,
            Event::BeginFlush(..) => false,
        };
        let events = self.events.iter().enumerate();
        let after = events.filter(|(_, event)| tells(event)).map(|(at, _)| at + 1);
        std::iter::once(0).chain(after).collect()
    }

    /// How many flushes ended, and how many writes there were of which kind: for a line of a table.
    pub fn summary(&self) -> String {
        let flushes = self.events.iter().filter(|e| matches!(e, Event::EndFlush(..))).count();
        let fua = self.writes.iter().filter(|w| w.fua).count();
        format!("{} writes, {fua} of them FUA, {flushes} flushes", self.writes.len())
    }

    /// The same machine with a disk that does not do what it says.
    pub fn with_lie(mut self, lie: Lie) -> Recording {
        match lie {
            Lie::None => {}
            Lie::IgnoresFlushes => {
                self.events.retain(|e| !matches!(e, Event::BeginFlush(..) | Event::EndFlush(..)));
            }
            Lie::IgnoresFua => self.writes.iter_mut().for_each(|write| write.fua = false),
        }
        self
    }
}

/// What a disk may lie about: the laboratory proves itself by finding out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Lie {
    /// It is honest.
    #[default]
    None,
    /// Flushes do nothing.
    IgnoresFlushes,
    /// FUA writes are like others.
    IgnoresFua,
}

/// A recording while it is made.
#[derive(Default)]
pub struct Recorder {
    recording: Mutex<Recording>,
}

impl Recorder {
    /// Of nothing yet.
    pub fn new() -> Arc<Recorder> {
        Arc::default()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Recording> {
        self.recording.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more disk, with these bytes; its number.
    pub(super) fn add_disk(&self, bytes: Vec<u8>) -> usize {
        let mut recording = self.lock();
        recording.disks.push(bytes);
        recording.disks.len() - 1
    }

    /// How many events there have been.
    pub fn position(&self) -> usize {
        self.lock().events.len()
    }

    /// What was recorded until now.
    pub fn take(&self) -> Recording {
        std::mem::take(&mut *self.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(sector: u64, fua: bool) -> Write {
        Write { disk: 0, sector, bytes: vec![1; 512].into(), fua }
    }

    #[test]
    fn boundaries_are_where_something_changes() {
        let mut recording = Recording::new(vec![vec![0; 4096]]);
        let plain = recording.begin(write(0, false));
        recording.end(plain);
        let flush = recording.begin_flush(0);
        recording.end_flush(0, flush);
        let fua = recording.begin(write(1, true));
        recording.end(fua);
        assert_eq!(recording.boundaries(), [0, 1, 4, 5, 6]);
        assert_eq!(recording.summary(), "2 writes, 1 of them FUA, 1 flushes");
        assert_eq!(recording.clone().with_lie(Lie::IgnoresFua).boundaries(), [0, 1, 4, 5]);
        assert_eq!(recording.with_lie(Lie::IgnoresFlushes).events.len(), 4);
    }
}
