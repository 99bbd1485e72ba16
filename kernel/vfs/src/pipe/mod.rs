//! Pipes: a ring of pages between those who write and those who read. Source: pipe(7).
//!
//! ```text
//!   write ─▶ [ page | page | page | free … ] ─▶ read          16 slots of a page, F_SETPIPE_SZ changes it
//!              └ each slot: a frame, where its bytes begin, how many there are
//! ```
//! A slot's frame is shared by handle: splice(2) and tee(2) move slots between pipes without copying a byte
//! (`splice.rs`). Only a slot that a write made may be added to (`can_merge`), behind the bytes that others
//! see of its frame.
//!
//! # What is promised
//! 1. A write of at most PIPE_BUF (a page) is never mixed with another: it fills the last slot's room
//!    or takes a slot of its own, as a whole.
//! 2. A reader gets 0 only when nobody can write any more; a writer EPIPE only when nobody can read.
//! 3. With O_DIRECT each write is a packet: a read takes one, and drops what it has no room for.
//!
//! # Locking
//! `state` is a sleeping lock, held over the copies from and to the program, as Linux's `pipe->mutex`: who
//! faults there may take the program's address space and page locks, and a splice those of a file, so nobody
//! takes it under any of them. Of two pipes the one at the lower address is locked first. `readers` and
//! `writers` tell how many open files there are of each kind.

mod fs;
mod ring;
mod splice;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};

use base::{Errno, IovIter, PAGE_SIZE, Result};
use sync::Mutex;

use crate::cred::Cred;
use crate::file::File;
use crate::file_ops::{Caller, FileOperations, Kiocb, KiocbFlags};
use crate::flags::OpenFlags;
use crate::poll::PollQueue;

use ring::Ring;
pub(crate) use splice::direct_unit;
pub use splice::{copy_splice_read, splice_between, splice_from_pipe, splice_to_pipe, tee, vmsplice_in};

/// A pipe's first size in slots (`PIPE_DEF_BUFFERS`).
const SLOTS: usize = 16;
/// The largest size that needs no privilege: `/proc/sys/fs/pipe-max-size`.
pub const MAX_SIZE: usize = 1 << 20;

/// The largest there can be: Linux has all slots in one allocation of at most 4 MiB, 40 bytes each.
const MAX_RING: usize = 256 << 20;

const POLLIN: u32 = 0x41;
const POLLOUT: u32 = 0x104;
const POLLERR: u32 = 0x8;
const POLLHUP: u32 = 0x10;
const FIONREAD: u32 = 0x541b;

/// A pipe.
pub struct Pipe {
    ring: Mutex<Ring>,
    readers: AtomicUsize,
    writers: AtomicUsize,
    /// Something can be read, or nobody writes any more.
    readable: PollQueue,
    /// There is room, or nobody reads any more.
    writable: PollQueue,
}

/// How a wait for the other end may end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// Not at all: EAGAIN.
    No,
    /// Until a signal comes: EINTR.
    Yes,
}

impl Wait {
    fn of(flags: KiocbFlags) -> Wait {
        if flags.intersects(KiocbFlags::NONBLOCK | KiocbFlags::NOWAIT) { Wait::No } else { Wait::Yes }
    }
}

/// pipe2(2): the end to read from and the end to write to. `flags` are O_NONBLOCK and O_DIRECT. ENOMEM.
pub fn pipe(flags: OpenFlags, cred: &Cred) -> Result<(Arc<File>, Arc<File>)> {
    let pipe = Arc::new(Pipe {
        ring: Mutex::new(Ring::new(SLOTS)),
        readers: AtomicUsize::new(0),
        writers: AtomicUsize::new(0),
        readable: PollQueue::new(),
        writable: PollQueue::new(),
    });
    let place = fs::place(cred);
    let end = |access| {
        let ops = Arc::new(End::open(&pipe, access));
        File::new(place.clone(), ops, flags | access, false)
    };
    Ok((end(OpenFlags::empty())?, end(OpenFlags::WRONLY)?))
}

/// The pipe behind an open file. None for what is none.
pub fn of(file: &File) -> Option<&Arc<Pipe>> {
    file.ops().as_pipe()
}

impl Pipe {
    /// Its size in bytes (F_GETPIPE_SZ).
    pub fn size(&self) -> usize {
        self.ring.lock().slots() * PAGE_SIZE
    }

    /// F_SETPIPE_SZ: the new size, rounded up to a power of two of pages. EPERM past [`MAX_SIZE`] without
    /// privilege, EBUSY when what is in it would not fit, ENOMEM past [`MAX_RING`], EINVAL.
    pub fn set_size(&self, bytes: u64, capable: bool) -> Result<usize> {
        if bytes > 1 << 31 {
            return Err(Errno::EINVAL);
        }
        let size = (bytes as usize).max(PAGE_SIZE).next_power_of_two();
        if size > MAX_SIZE && !capable {
            return Err(Errno::EPERM);
        }
        if size > MAX_RING {
            return Err(Errno::ENOMEM);
        }
        self.ring.lock().resize(size / PAGE_SIZE)?;
        self.writable.wake(0);
        Ok(size)
    }

    fn has_readers(&self) -> bool {
        self.readers.load(Ordering::Acquire) > 0
    }

    fn has_writers(&self) -> bool {
        self.writers.load(Ordering::Acquire) > 0
    }

    /// Waits until there is something to read. False: nobody will write any more.
    fn wait_readable(&self, wait: Wait) -> Result<bool> {
        let done = || !self.ring.lock().is_empty() || !self.has_writers();
        if !done() {
            if wait == Wait::No {
                return Err(Errno::EAGAIN);
            }
            if !self.readable.wait_interruptible(None, done) {
                return Err(Errno::EINTR);
            }
        }
        Ok(!self.ring.lock().is_empty())
    }

    /// Waits until there is a free slot. EPIPE when nobody reads.
    fn wait_writable(&self, wait: Wait) -> Result<()> {
        let done = || !self.ring.lock().is_full() || !self.has_readers();
        if !done() {
            if wait == Wait::No {
                return Err(Errno::EAGAIN);
            }
            if !self.writable.wait_interruptible(None, done) {
                return Err(Errno::EINTR);
            }
        }
        if self.has_readers() { Ok(()) } else { Err(Errno::EPIPE) }
    }

    fn read(&self, to: &mut IovIter<'_>, wait: Wait) -> Result<usize> {
        if to.count() == 0 {
            return Ok(0);
        }
        loop {
            let done = {
                let mut ring = self.ring.lock();
                let is_empty = ring.is_empty();
                let done = ring.read(to);
                if done == 0 && !is_empty {
                    return Err(Errno::EFAULT);
                }
                done
            };
            if done > 0 {
                self.writable.wake(POLLOUT);
                return Ok(done);
            }
            if !self.wait_readable(wait)? {
                return Ok(0);
            }
        }
    }

    fn write(&self, from: &mut IovIter<'_>, wait: Wait, packets: bool) -> Result<usize> {
        if from.count() == 0 {
            return Ok(0);
        }
        if !self.has_readers() {
            return Err(Errno::EPIPE);
        }
        let mut done = 0;
        while from.count() > 0 {
            let step = self.ring.lock().write(from, packets);
            match step {
                Ok(n) => done += n,
                Err(error) => return if done > 0 { Ok(done) } else { Err(error) },
            }
            self.readable.wake(POLLIN);
            if from.count() == 0 {
                break;
            }
            if let Err(error) = self.wait_writable(wait) {
                return if done > 0 { Ok(done) } else { Err(error) };
            }
        }
        Ok(done)
    }
}

/// One open end of a pipe.
struct End {
    pipe: Arc<Pipe>,
    reads: bool,
    writes: bool,
}

impl End {
    fn open(pipe: &Arc<Pipe>, access: OpenFlags) -> End {
        let (reads, writes) = match access.access_mode() {
            0 => (true, false),
            1 => (false, true),
            _ => (true, true),
        };
        pipe.readers.fetch_add(usize::from(reads), Ordering::AcqRel);
        pipe.writers.fetch_add(usize::from(writes), Ordering::AcqRel);
        End { pipe: pipe.clone(), reads, writes }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.pipe.readers.fetch_sub(usize::from(self.reads), Ordering::AcqRel);
        self.pipe.writers.fetch_sub(usize::from(self.writes), Ordering::AcqRel);
        self.pipe.readable.wake(0);
        self.pipe.writable.wake(0);
    }
}

impl FileOperations for End {
    fn can_read(&self) -> bool {
        true
    }

    fn can_write(&self) -> bool {
        true
    }

    fn seekable(&self) -> bool {
        false
    }

    /// It is the other side of every splice.
    fn has_splice_read(&self) -> bool {
        false
    }

    fn read_iter(&self, _file: &File, iocb: &mut Kiocb, to: &mut IovIter<'_>) -> Result<usize> {
        self.pipe.read(to, Wait::of(iocb.flags))
    }

    fn write_iter(&self, _file: &File, iocb: &mut Kiocb, from: &mut IovIter<'_>) -> Result<usize> {
        self.pipe.write(from, Wait::of(iocb.flags), iocb.flags.contains(KiocbFlags::DIRECT))
    }

    fn ioctl(&self, _file: &File, cmd: u32, arg: u64, caller: &Caller<'_>) -> Result<u64> {
        match cmd {
            FIONREAD => {
                let bytes = self.pipe.ring.lock().bytes();
                caller.put(arg, &i32::try_from(bytes).unwrap_or(i32::MAX).to_ne_bytes())
            }
            _ => Err(Errno::ENOTTY),
        }
    }

    fn poll(&self, _file: &File) -> u32 {
        let ring = self.pipe.ring.lock();
        let mut ready = 0;
        if self.reads {
            ready |= if ring.is_empty() { 0 } else { POLLIN };
            ready |= if self.pipe.has_writers() { 0 } else { POLLHUP };
        }
        if self.writes {
            ready |= if ring.is_full() { 0 } else { POLLOUT };
            ready |= if self.pipe.has_readers() { 0 } else { POLLERR };
        }
        ready
    }

    fn poll_queue(&self) -> Option<&PollQueue> {
        match (self.reads, self.writes) {
            (true, false) => Some(&self.pipe.readable),
            (false, true) => Some(&self.pipe.writable),
            // One queue at a time, as with Linux's aio_poll.
            _ => None,
        }
    }

    fn direct(&self) -> bool {
        true
    }

    fn as_pipe(&self) -> Option<&Arc<Pipe>> {
        Some(&self.pipe)
    }
}
