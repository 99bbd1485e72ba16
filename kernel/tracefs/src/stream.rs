//! The two files that show records: `trace` looks at the ring, `trace_pipe` empties it.
//!
//! Text is made line by line as it is read, since a full ring is megabytes of it. `trace` shows as
//! many records as there were when the reading began at position 0; so it ends, even if reading
//! makes new ones.
//!
//! A reader of trace_pipe waits for the first record, and gets what there is. It reads an end when
//! recording was stopped after it got something. Nobody wakes it, since a trace point may not; it looks
//! again every [`LOOK_AGAIN_NS`].

use alloc::vec::Vec;

use base::trace::{self, Read, Reader};
use base::{Errno, IovIter, Result};
use kernfs::Text;
use sync::Mutex;
use vfs::{File, FileOperations, Kiocb, KiocbFlags, Whence, lseek};

/// How long trace_pipe sleeps before it looks again.
const LOOK_AGAIN_NS: u64 = 5_000_000;
/// No more text than about this is made ahead of a reader.
const CHUNK: usize = 4096;

/// POLLIN and POLLRDNORM.
const READABLE: u32 = 0x41;

/// Sleeps for some nanoseconds; EINTR when a signal for the program came.
pub(crate) type Sleep = fn(u64) -> Result<()>;

/// Writes one record, or that some were lost. False: there is none.
fn line(read: Read, text: &mut Text) -> bool {
    match read {
        Read::Record(record) => writeln!(text, "{}", record.line()),
        Read::Lost(records) => writeln!(text, "CPU:0 [LOST {records} EVENTS]"),
        Read::End => return false,
    }
    true
}

/// Copies from the front of `text`; EFAULT when there was something and nothing could be copied.
fn deliver(text: &[u8], to: &mut IovIter<'_>) -> Result<usize> {
    let wanted = text.len().min(to.count());
    let done = to.copy_from_slice(&text[..wanted]);
    if done == 0 && wanted > 0 { Err(Errno::EFAULT) } else { Ok(done) }
}

/// `trace`.
pub(crate) struct Trace {
    state: Mutex<Looking>,
}

struct Looking {
    reader: Reader,
    /// Records that may still be shown.
    left: u64,
    /// What is made and not yet read, and at which position it begins.
    text: Vec<u8>,
    start: u64,
}

impl Looking {
    fn begin() -> Looking {
        let mut text = Text::default();
        write!(text, "{}", Header);
        let left = trace::counts().entries;
        Looking { reader: Reader::new(), left, text: text.into_bytes(), start: 0 }
    }

    /// Drops what lies before a position and makes what comes behind it.
    fn advance(&mut self, pos: u64) {
        loop {
            let before = usize::try_from(pos - self.start).unwrap_or(usize::MAX).min(self.text.len());
            self.text.drain(..before);
            self.start += before as u64;
            if self.text.len() >= CHUNK || self.left == 0 {
                return;
            }
            let mut more = Text::default();
            self.left -= 1;
            if !line(self.reader.read(), &mut more) {
                self.left = 0;
            }
            self.text.extend(more.into_bytes());
        }
    }
}

/// What stands above the lines.
struct Header;

impl core::fmt::Display for Header {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        trace::write_header(f)
    }
}

impl Trace {
    pub fn new() -> Trace {
        Trace { state: Mutex::new(Looking::begin()) }
    }
}

impl FileOperations for Trace {
    fn can_read(&self) -> bool {
        true
    }

    fn can_write(&self) -> bool {
        true
    }

    fn read_iter(&self, _file: &File, iocb: &mut Kiocb, to: &mut IovIter<'_>) -> Result<usize> {
        let mut state = self.state.lock();
        if iocb.pos == 0 || iocb.pos < state.start {
            *state = Looking::begin();
        }
        state.advance(iocb.pos);
        if iocb.pos > state.start {
            return Ok(0);
        }
        let done = deliver(&state.text, to)?;
        iocb.pos += done as u64;
        Ok(done)
    }

    /// Opening it to write with O_TRUNC is what empties it; the bytes mean nothing.
    fn write_iter(&self, _file: &File, iocb: &mut Kiocb, from: &mut IovIter<'_>) -> Result<usize> {
        let len = from.count();
        iocb.pos = iocb.pos.saturating_add(len as u64);
        Ok(len)
    }

    fn llseek(&self, file: &File, pos: u64, offset: i64, whence: Whence) -> Result<u64> {
        match whence {
            Whence::Set | Whence::Cur => lseek::generic(pos, offset, whence, 0, file.max_bytes()),
            _ => Err(Errno::EINVAL),
        }
    }
}

/// `trace_pipe`.
pub(crate) struct TracePipe {
    sleep: Sleep,
    state: Mutex<Taking>,
}

#[derive(Default)]
struct Taking {
    /// What was taken from the ring and not yet read.
    text: Vec<u8>,
    /// It has read something.
    began: bool,
}

impl Taking {
    /// Takes records until there is text enough.
    fn fill(&mut self) {
        let mut text = Text::default();
        let mut lines = CHUNK / 64;
        while self.text.is_empty() && lines > 0 && line(trace::consume(), &mut text) {
            lines -= 1;
        }
        self.text.extend(text.into_bytes());
    }
}

impl TracePipe {
    pub fn new(sleep: Sleep) -> TracePipe {
        TracePipe { sleep, state: Mutex::new(Taking::default()) }
    }
}

impl FileOperations for TracePipe {
    fn can_read(&self) -> bool {
        true
    }

    fn seekable(&self) -> bool {
        false
    }

    fn read_iter(&self, _file: &File, iocb: &mut Kiocb, to: &mut IovIter<'_>) -> Result<usize> {
        let mut state = self.state.lock();
        loop {
            state.fill();
            if !state.text.is_empty() || to.count() == 0 {
                break;
            }
            if state.began && !trace::is_on() {
                return Ok(0);
            }
            if iocb.flags.intersects(KiocbFlags::NONBLOCK | KiocbFlags::NOWAIT) {
                return Err(Errno::EAGAIN);
            }
            (self.sleep)(LOOK_AGAIN_NS)?;
        }
        let done = deliver(&state.text, to)?;
        state.text.drain(..done);
        state.began = true;
        Ok(done)
    }

    fn poll(&self, _file: &File) -> u32 {
        let ready = !self.state.lock().text.is_empty() || trace::counts().entries > 0;
        if ready { READABLE } else { 0 }
    }
}
