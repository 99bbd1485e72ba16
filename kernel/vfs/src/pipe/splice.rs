//! splice(2), tee(2) and vmsplice(2): bytes between a pipe and a file, between two pipes, from the program.
//!
//! Between pipes slots move by handle. From a file with a page cache its pages come by handle too: the pipe
//! holds the very page, so what is written to the file before the pipe is read is seen there, as in Linux.
//! Other files, and O_DIRECT, give copies; and into a file bytes are copied, by the file's own way of
//! writing. So what a file does at a read or write (times, locks, errors, O_APPEND) it does here too. A page that the program gives by vmsplice is copied like a
//! write's: it stays the program's.
//!
//! All wait as a read or write of the pipe would: for the first byte, not for the last.
//!
//! # Locking
//! A pipe's lock is held while the file is read or written, as in Linux: it is taken before any lock of a
//! file. Of two pipes the one at the lower address is locked first.

use alloc::sync::Arc;

use base::{Errno, IovIter, PAGE_SIZE, Result, frame};

use super::ring::{Ring, Slot};
use super::{Pipe, Wait};
use crate::file::File;
use crate::file_ops::{FileOperations, Kiocb, KiocbFlags, SpliceSink};
use crate::read_write::{Io, splice_read, splice_write, verify_area};

/// At most `len` bytes of a file from `pos` on into a pipe: as many as are there and fit. EPIPE, EAGAIN,
/// EINTR; what the file says. `pos` moves on.
pub fn splice_to_pipe(
    io: &Io<'_>,
    from: &File,
    pos: &mut u64,
    to: &Pipe,
    len: usize,
    wait: Wait,
) -> Result<usize> {
    to.wait_writable(wait)?;
    let done = {
        let mut ring = to.ring.lock();
        fill(io, from, pos, &mut ring, len)
    };
    to.readable.wake(0);
    done
}

fn fill(io: &Io<'_>, from: &File, pos: &mut u64, ring: &mut Ring, len: usize) -> Result<usize> {
    let len = len.min(ring.room() * PAGE_SIZE);
    if len == 0 {
        return Ok(0);
    }
    splice_read(io, from, pos, len, &mut |frame, offset, len| {
        // There is room for it: the ring is locked and was not full.
        let _ = ring.push(Slot::shared(frame, offset, len));
        !ring.is_full()
    })
}

/// What [`FileOperations::splice_read`] does by default: a page at a time is read into a frame of its own.
/// The errors are `read_iter`'s, and ENOMEM.
pub fn copy_splice_read(
    ops: &(impl FileOperations + ?Sized),
    file: &File,
    iocb: &mut Kiocb,
    len: usize,
    sink: &mut SpliceSink<'_>,
) -> Result<usize> {
    let mut page = alloc::vec![0; PAGE_SIZE.min(len)];
    let mut done = 0;
    while done < len {
        // Up to the end of a page, so that the next ones are whole pages of the file.
        let room = (PAGE_SIZE - (iocb.pos % PAGE_SIZE as u64) as usize).min(page.len()).min(len - done);
        let got = ops.read_iter(file, iocb, &mut IovIter::to_kernel(&mut page[..room]));
        let got = match got {
            Err(error) if done == 0 => return Err(error),
            Ok(0) | Err(_) => break,
            Ok(got) => got,
        };
        let frame = frame::alloc()?;
        frame.write(0, &page[..got]);
        done += got;
        if !sink(frame, 0, got) || got < room {
            break;
        }
    }
    Ok(done)
}

/// At most `len` bytes of a pipe into a file at `pos`: what is there. 0 when nothing is and nobody writes any
/// more; EAGAIN, EINTR; what the file says. `pos` moves on.
pub fn splice_from_pipe(
    io: &Io<'_>,
    from: &Pipe,
    to: &File,
    pos: &mut u64,
    len: usize,
    wait: Wait,
) -> Result<usize> {
    verify_area(to, *pos, len)?;
    if !to.ops().has_write_iter() {
        return Err(Errno::EINVAL);
    }
    if !from.wait_readable(wait)? {
        return Ok(0);
    }
    let done = {
        let mut ring = from.ring.lock();
        drain(io, &mut ring, to, pos, len)
    };
    from.writable.wake(0);
    done
}

/// What direct I/O on a file comes in.
pub(crate) struct Unit(u64);

/// 1 where it is not done.
pub(crate) fn direct_unit(file: &File) -> Unit {
    Unit(file.inode().dio_align().map_or(1, |align| u64::from(align.offset).max(1)))
}

impl Unit {
    /// EINVAL where a place or a length is not in whole units.
    pub fn check(&self, at: u64, len: usize) -> Result<()> {
        if (at | len as u64).is_multiple_of(self.0) { Ok(()) } else { Err(Errno::EINVAL) }
    }
}

fn drain(io: &Io<'_>, ring: &mut Ring, to: &File, pos: &mut u64, len: usize) -> Result<usize> {
    if to.kiocb_flags().contains(KiocbFlags::DIRECT) && *pos < io.fsize_limit.min(to.max_bytes()) {
        // As a whole: a part of it that is aligned is not written first.
        let unit = direct_unit(to);
        let mut left = len;
        for slot in ring.iter() {
            let len = slot.len.min(left);
            unit.check(slot.offset as u64, len)?;
            left -= len;
        }
    }
    let mut page = alloc::vec![0; PAGE_SIZE.min(len)];
    let mut done = 0;
    while done < len
        && let Some(mut slot) = ring.take(len - done)
    {
        slot.frame.read(slot.offset, &mut page[..slot.len]);
        let put = splice_write(io, to, pos, &page[..slot.len]);
        let written = *put.as_ref().unwrap_or(&0);
        done += written;
        if written < slot.len {
            slot.offset += written;
            slot.len -= written;
            ring.put_back(slot);
            return if done > 0 { Ok(done) } else { put };
        }
    }
    Ok(done)
}

/// At most `len` bytes from one pipe to another: what is there and fits. EINVAL when they are one.
pub fn splice_between(from: &Arc<Pipe>, to: &Arc<Pipe>, len: usize, wait: Wait) -> Result<usize> {
    between(from, to, wait, |source, target| {
        let mut done = 0;
        while done < len
            && !target.is_full()
            && let Some(slot) = source.take(len - done)
        {
            done += slot.len;
            // There is room for it: the ring is locked and was not full.
            let _ = target.push(slot);
        }
        done
    })
}

/// tee(2): the same, and the first pipe keeps them.
pub fn tee(from: &Arc<Pipe>, to: &Arc<Pipe>, len: usize, wait: Wait) -> Result<usize> {
    between(from, to, wait, |source, target| {
        let mut done = 0;
        for slot in source.iter() {
            if done == len || target.is_full() {
                break;
            }
            let n = slot.len.min(len - done);
            let copy = Slot { is_packet: slot.is_packet, ..Slot::shared(slot.frame.clone(), slot.offset, n) };
            let _ = target.push(copy);
            done += n;
        }
        done
    })
}

/// Waits for something to move and room for it, then moves it. 0: nothing is there and nobody writes any
/// more.
fn between(
    from: &Arc<Pipe>,
    to: &Arc<Pipe>,
    wait: Wait,
    mut work: impl FnMut(&mut Ring, &mut Ring) -> usize,
) -> Result<usize> {
    if Arc::ptr_eq(from, to) {
        return Err(Errno::EINVAL);
    }
    loop {
        let there = from.wait_readable(wait)?;
        to.wait_writable(wait)?;
        if !there {
            return Ok(0);
        }
        let done = if Arc::as_ptr(from) < Arc::as_ptr(to) {
            let mut source = from.ring.lock();
            work(&mut source, &mut to.ring.lock())
        } else {
            let mut target = to.ring.lock();
            work(&mut from.ring.lock(), &mut target)
        };
        // 0: somebody else was faster.
        if done > 0 {
            from.writable.wake(0);
            to.readable.wake(0);
            return Ok(done);
        }
    }
}

/// vmsplice(2) into a pipe: what a write takes, but no more than fits at once.
pub fn vmsplice_in(to: &Pipe, from: &mut IovIter<'_>, wait: Wait) -> Result<usize> {
    if from.count() == 0 {
        return Ok(0);
    }
    to.wait_writable(wait)?;
    let done = to.ring.lock().write_pages(from);
    to.readable.wake(0);
    done
}
