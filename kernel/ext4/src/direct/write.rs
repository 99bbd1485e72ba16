//! Direct writes.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ops::Range;

use base::{Errno, FileBlock, IovIter, Result};
use block::{BioFlags, BioOp};
use pagecache::{DirectIo, MapMode, Submitted, filemap_write_and_wait_range, is_aligned, make_room};
use sync::{ReadGuard, WorkQueue, WriteGuard};
use vfs::{File, IoEnd, Kiocb, KiocbFlags};

use super::UnderWay;
use crate::file::{RegularFile, WriteSync};
use crate::inode::Node;
use crate::journal::credits;

/// Ends what sleeps at its end.
static ENDS: WorkQueue = WorkQueue::new("dio");

/// `rwsem`, held one way or the other.
struct Held<'a> {
    _shared: Option<ReadGuard<'a, ()>>,
    alone: Option<WriteGuard<'a, ()>>,
}

/// A write that has its lock and passed its checks.
struct Locked<'a> {
    held: Held<'a>,
    /// It ends behind i_size.
    extends: bool,
    /// It covers parts of blocks.
    parts: bool,
}

/// A write whose bios are on their way, its lock held.
struct Writing<'a> {
    node: &'a Node,
    locked: Locked<'a>,
    range: Range<u64>,
    /// It is on stable storage when the bios end.
    durable: bool,
    /// None where nothing could be sent.
    io: Option<Submitted>,
}

impl RegularFile {
    /// `write_iter` with O_DIRECT.
    pub(crate) fn write_direct(
        &self,
        file: &File,
        iocb: &mut Kiocb,
        from: &mut IovIter<'_>,
    ) -> Result<usize> {
        match self.node().begin_direct_write(iocb, from)? {
            Some(writing) => self.finish(file, iocb, from, writing),
            None => self.write_cached(file, iocb, from),
        }
    }

    /// The same for who does not wait.
    pub(crate) fn start_write_direct(
        &self,
        file: &Arc<File>,
        iocb: &mut Kiocb,
        from: &mut IovIter<'_>,
        end: IoEnd,
    ) {
        let writing = match self.node().begin_direct_write(iocb, from) {
            Ok(Some(writing)) => writing,
            Ok(None) => return end(self.write_cached(file, iocb, from)),
            Err(error) => return end(Err(error)),
        };
        let waits = writing.locked.extends || writing.locked.parts || from.count() > 0;
        let under_way = UnderWay::begin(self.node());
        match (writing, under_way) {
            (Writing { io: Some(io), locked, range, durable, .. }, Ok(under_way))
                if !waits && ENDS.start().is_ok() =>
            {
                let sync = if durable { WriteSync::None } else { self.write_sync(iocb) };
                self.node().store_if_stale();
                drop(locked);
                let file = (sync != WriteSync::None).then(|| file.clone());
                leave(io, Left { under_way, range, sync, file, end });
            }
            (writing, _) => end(self.finish(file, iocb, from, writing)),
        }
    }

    /// Waits for a write and does the rest of it.
    fn finish(
        &self,
        file: &File,
        iocb: &mut Kiocb,
        from: &mut IovIter<'_>,
        writing: Writing<'_>,
    ) -> Result<usize> {
        let durable = writing.durable && from.count() == 0;
        let mut done = writing.finish()?;
        let start = iocb.pos;
        iocb.pos += done as u64;
        if from.count() > 0 {
            match self.write_leftover(file, iocb, from) {
                Ok(more) => done += more,
                Err(error) if done == 0 => return Err(error),
                Err(_) => {}
            }
        }
        if done > 0 && !durable {
            self.write_sync(iocb).run(file, start..iocb.pos)?;
        }
        Ok(done)
    }

    /// What the direct way left over: on the disk, and not in the cache, when it returns.
    fn write_leftover(&self, file: &File, iocb: &mut Kiocb, from: &mut IovIter<'_>) -> Result<usize> {
        if iocb.flags.contains(KiocbFlags::NOWAIT) {
            return Err(Errno::EAGAIN);
        }
        let node = self.node();
        // It is synced with the rest.
        let mut plain = Kiocb { flags: iocb.flags - KiocbFlags::DSYNC - KiocbFlags::SYNC, ..*iocb };
        let done = self.write_cached(file, &mut plain, from)?;
        // An appending write has moved.
        iocb.pos = plain.pos;
        let range = plain.pos - done as u64..plain.pos;
        filemap_write_and_wait_range(node.mapping(), node, range.clone())?;
        // A page that is dirty again meanwhile stays, as it must.
        let _ = node.mapping().invalidate(range);
        Ok(done)
    }
}

/// What is to be done when the bios of a write that nobody waits for have ended.
struct Left {
    under_way: UnderWay,
    range: Range<u64>,
    sync: WriteSync,
    /// Where there is something to sync. Never dropped in an interrupt.
    file: Option<Arc<File>>,
    end: IoEnd,
}

/// Lets go of a write: it ends in an interrupt if nothing is left to do that sleeps, else in the thread.
fn leave(io: Submitted, left: Left) {
    let fresh = io.fresh;
    io.then(move |done| {
        let cached = left.under_way.0.mapping().nrpages() > 0;
        if fresh || cached || left.file.is_some() {
            ENDS.queue(Box::new(move || left.end(fresh, done)));
        } else {
            drop(left.under_way);
            (left.end)(done);
        }
    });
}

impl Left {
    fn end(self, fresh: bool, done: Result<usize>) {
        let Left { under_way, range, sync, file, end } = self;
        let done = under_way.0.settle_direct_write(&range, fresh, done);
        drop(under_way);
        let synced = match (&done, &file) {
            (Ok(n), Some(file)) => sync.run(file, range.start..range.start + *n as u64),
            _ => Ok(()),
        };
        drop(file);
        end(synced.and(done));
    }
}

impl Writing<'_> {
    /// Waits, and does what comes after the bios: only then do the blocks hold data and the file reach
    /// there.
    fn finish(self) -> Result<usize> {
        let fresh = self.io.as_ref().is_some_and(|io| io.fresh);
        let done = self.io.map_or(Ok(0), Submitted::wait);
        let done = self.node.settle_direct_write(&self.range, fresh, done);
        let extended = match self.locked.extends {
            true => self.node.end_extension(&self.range, *done.as_ref().unwrap_or(&0) as u64),
            false => Ok(()),
        };
        self.node.store_if_stale();
        let done = done?;
        extended?;
        Ok(done)
    }
}

impl Node {
    /// Takes the lock that a write wants, makes its checks and sends it off. None: through the cache.
    fn begin_direct_write<'a>(
        &'a self,
        iocb: &mut Kiocb,
        from: &mut IovIter<'_>,
    ) -> Result<Option<Writing<'a>>> {
        let Some(locked) = self.lock_direct_write(iocb, from)? else { return Ok(None) };
        let range = iocb.pos..iocb.pos.saturating_add(from.count() as u64);
        let mut writing = Writing { node: self, locked, range, durable: false, io: None };
        if from.count() == 0 {
            writing.locked.extends = false;
            return Ok(Some(writing));
        }
        let sent = self.send_direct_write(iocb, from, &mut writing);
        if sent.is_err() {
            self.store_if_stale();
        }
        sent.map(|()| Some(writing))
    }

    fn send_direct_write(
        &self,
        iocb: &Kiocb,
        from: &mut IovIter<'_>,
        writing: &mut Writing<'_>,
    ) -> Result<()> {
        let alone = writing.locked.held.alone.is_some();
        let range = writing.range.clone();
        let disk = self.fs().device().disk();
        self.file_modified(iocb)?;
        if writing.locked.parts {
            self.dio.wait();
        }
        if iocb.flags.contains(KiocbFlags::NOWAIT) && self.mapping().has_page(range.clone()) {
            return Err(Errno::EAGAIN);
        }
        if !make_room(self.mapping(), self, range.clone())? {
            writing.locked.extends = false;
            return Ok(());
        }
        if !is_aligned(disk, range.start, from) {
            if !self.begins_in_bare_hole(range.start)? {
                return Err(Errno::EINVAL);
            }
            writing.locked.extends = false;
            return Ok(());
        }
        if writing.locked.extends {
            let _handle = self.fs().start(credits::orphan())?;
            self.add_orphan()?;
        }
        writing.durable = !alone && self.is_fua(iocb);
        let map = |first: FileBlock, count| match alone {
            true => self.map_direct(first, count),
            false => self.map_blocks(first, count, MapMode::Read),
        };
        let io = DirectIo {
            disk,
            block_bits: self.fs().geometry().block_bits,
            op: BioOp::Write,
            flags: if writing.durable { BioFlags::FUA } else { BioFlags::empty() },
            map: &map,
            size: self.size(),
            aligned: true,
        };
        writing.io = Some(io.submit(range.start, from));
        Ok(())
    }

    /// Shared for a write that changes no map and no size, which is asked without the lock first and again
    /// with it; else alone. None when it is to go through the cache.
    fn lock_direct_write<'a>(
        &'a self,
        iocb: &mut Kiocb,
        from: &mut IovIter<'_>,
    ) -> Result<Option<Locked<'a>>> {
        let nowait = iocb.flags.contains(KiocbFlags::NOWAIT);
        let mask = self.fs().geometry().block_size() as u64 - 1;
        let parts = |pos: u64, count: u64| (pos | count) & mask != 0;
        let (pos, count) = (iocb.pos, from.count() as u64);
        let inside = !iocb.flags.contains(KiocbFlags::APPEND) && pos.saturating_add(count) <= self.size();
        let mut shared = inside && !parts(pos, count);
        loop {
            let held = self.hold(shared, nowait)?;
            if !self.can_direct() {
                return Ok(None);
            }
            self.write_checks(self.flags(), iocb, from)?;
            let (pos, count) = (iocb.pos, from.count() as u64);
            let end = pos.saturating_add(count);
            let locked = Locked { held, extends: end > self.size(), parts: parts(pos, count) };
            let rare = locked.extends || locked.parts;
            if nowait && rare {
                return Err(Errno::EAGAIN);
            }
            if !shared || (!rare && self.is_nosec(iocb) && self.is_overwrite(pos, end)?) {
                return Ok(Some(locked));
            }
            if nowait {
                return Err(Errno::EAGAIN);
            }
            shared = false;
        }
    }

    /// EAGAIN with `nowait` when somebody has the lock.
    fn hold(&self, shared: bool, nowait: bool) -> Result<Held<'_>> {
        Ok(match (shared, nowait) {
            (true, false) => Held { _shared: Some(self.rwsem().read()), alone: None },
            (false, false) => Held { _shared: None, alone: Some(self.rwsem().write()) },
            (true, true) => {
                Held { _shared: Some(self.rwsem().try_read().ok_or(Errno::EAGAIN)?), alone: None }
            }
            (false, true) => {
                Held { _shared: None, alone: Some(self.rwsem().try_write().ok_or(Errno::EAGAIN)?) }
            }
        })
    }

    /// Whether a write may be durable by itself: only its data need be, and the way to them is.
    fn is_fua(&self, iocb: &Kiocb) -> bool {
        iocb.flags.contains(KiocbFlags::DSYNC)
            && !iocb.flags.contains(KiocbFlags::SYNC)
            && self.fs().device().disk().limits().fua
            && !self.is_datasync_dirty()
    }

    /// The bios of a write are over: blocks that hold its bytes become written, and what was read of them
    /// meanwhile goes.
    fn settle_direct_write(&self, range: &Range<u64>, fresh: bool, done: Result<usize>) -> Result<usize> {
        let done = done.and_then(|n| {
            if fresh && n > 0 {
                self.convert_unwritten(range.start, range.start + n as u64)?;
            }
            Ok(n)
        });
        if self.mapping().nrpages() > 0 {
            // Also when it failed: a part of it may be on the disk.
            self.mapping().agree_with_disk(self.fs().device().disk(), range.clone());
        }
        done
    }

    /// A write behind the end is over: i_size follows as far as it came, and blocks that it took in vain go
    /// (`ext4_handle_inode_extension`).
    fn end_extension(&self, range: &Range<u64>, done: u64) -> Result<()> {
        let reached = range.start + done;
        let whole = reached == range.end;
        {
            let _handle = self.fs().start(credits::orphan())?;
            let old = self.size();
            if done > 0 && reached > old {
                self.grow_to(old, reached);
            }
            if whole {
                self.end_orphan()?;
            }
            self.mark_dirty();
        }
        if whole {
            return Ok(());
        }
        self.trim()?;
        let _handle = self.fs().start(credits::orphan())?;
        self.end_orphan()
    }
}
