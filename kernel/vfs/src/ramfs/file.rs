//! File content of ramfs, and the operations of its open files.

use alloc::collections::BTreeMap;

use base::{Errno, Frame, IovIter, PAGE_SIZE, Result, frame};
use sync::Mutex;

use super::{Body, MAX_BYTES, Node};
use crate::attr::{FileType, S_IFMT};
use crate::attr_ops::mode_after_write;
use crate::dir_sink::DirContext;
use crate::file::File;
use crate::file_ops::{FileOperations, Kiocb, KiocbFlags};
use crate::inode::Inode;
use crate::write_checks::generic_write_checks;

const PAGE: u64 = PAGE_SIZE as u64;

/// The pages of a file that were written; the others are holes.
#[derive(Default)]
pub struct Pages(Mutex<BTreeMap<u64, Frame>>);

impl Pages {
    /// How many take memory.
    pub fn count(&self) -> u64 {
        self.0.lock().len() as u64
    }

    fn get(&self, index: u64) -> Option<Frame> {
        self.0.lock().get(&index).cloned()
    }

    /// The page of an index, made of zeros when it is a hole. ENOSPC when memory is full.
    fn get_or_make(&self, index: u64) -> Result<Frame> {
        if let Some(page) = self.get(index) {
            return Ok(page);
        }
        let page = frame::alloc_zeroed().map_err(|_| Errno::ENOSPC)?;
        self.0.lock().insert(index, page.clone());
        Ok(page)
    }

    /// Drops what lies past `size`, and zeroes the rest of its page.
    fn cut(&self, size: u64) {
        let dropped = self.0.lock().split_off(&size.div_ceil(PAGE));
        drop(dropped);
        let tail = (size % PAGE) as usize;
        if let Some(page) = self.get(size / PAGE).filter(|_| tail != 0) {
            page.fill(tail, PAGE_SIZE - tail, 0);
        }
    }
}

impl Node {
    fn pages(&self) -> Result<&Pages> {
        match &self.body {
            Body::File(pages) => Ok(pages),
            Body::Directory(_) => Err(Errno::EISDIR),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Cuts or extends; `i_rwsem` is held.
    pub(super) fn resize(&self, size: u64) -> Result<()> {
        let pages = self.pages()?;
        if size > MAX_BYTES {
            return Err(Errno::EFBIG);
        }
        let before = core::mem::replace(&mut self.meta.lock().size, size);
        if size < before {
            pages.cut(size);
        }
        if size != before {
            self.touch();
        }
        Ok(())
    }

    fn write_pages(&self, pages: &Pages, iocb: &mut Kiocb, from: &mut IovIter<'_>) -> Result<usize> {
        let mut done = 0;
        let mut stopped = Ok(());
        while from.count() > 0 {
            match self.write_page(pages, iocb.pos, from) {
                Ok(n) => {
                    done += n;
                    iocb.pos += n as u64;
                    let mut meta = self.meta.lock();
                    meta.size = meta.size.max(iocb.pos);
                }
                Err(error) => {
                    stopped = Err(error);
                    break;
                }
            }
        }
        if done > 0 { Ok(done) } else { stopped.map(|()| 0) }
    }

    /// Up to the end of one page; at least one byte or an error.
    fn write_page(&self, pages: &Pages, pos: u64, from: &mut IovIter<'_>) -> Result<usize> {
        let offset = (pos % PAGE) as usize;
        let want = from.count().min(PAGE_SIZE - offset);
        from.fault_in_readable(want)?;
        let page = pages.get_or_make(pos / PAGE)?;
        match from.copy_to_frame(&page, offset, want) {
            0 => Err(Errno::EFAULT),
            n => Ok(n),
        }
    }

    fn remove_privs(&self) {
        let now = self.ownership();
        if let Some(mode) = mode_after_write(&now, &crate::current::current()) {
            self.meta.lock().mode = (now.mode & S_IFMT) | mode;
        }
    }
}

impl FileOperations for Node {
    fn can_read(&self) -> bool {
        self.kind == FileType::Regular
    }

    fn can_write(&self) -> bool {
        self.kind == FileType::Regular
    }

    fn read_iter(&self, _file: &File, iocb: &mut Kiocb, to: &mut IovIter<'_>) -> Result<usize> {
        let pages = self.pages()?;
        let mut done = 0;
        loop {
            let left = self.size().saturating_sub(iocb.pos);
            let offset = (iocb.pos % PAGE) as usize;
            let in_file = usize::try_from(left).unwrap_or(usize::MAX);
            let want = to.count().min(in_file).min(PAGE_SIZE - offset);
            if want == 0 {
                return Ok(done);
            }
            let got = match pages.get(iocb.pos / PAGE) {
                Some(page) => to.copy_from_frame(&page, offset, want),
                None => to.zero(want),
            };
            done += got;
            iocb.pos += got as u64;
            if got < want {
                return if done > 0 { Ok(done) } else { Err(Errno::EFAULT) };
            }
        }
    }

    fn write_iter(&self, _file: &File, iocb: &mut Kiocb, from: &mut IovIter<'_>) -> Result<usize> {
        let pages = self.pages()?;
        let _held = self.rwsem.write();
        let count = generic_write_checks(iocb, from.count(), self.size(), MAX_BYTES)?;
        from.truncate(count);
        if count == 0 {
            return Ok(0);
        }
        if iocb.flags.contains(KiocbFlags::KILL_PRIV) {
            self.remove_privs();
        }
        self.touch();
        self.write_pages(pages, iocb, from)
    }

    fn iterate(&self, file: &File, ctx: &mut DirContext<'_>) -> Result<()> {
        self.list(file, ctx)
    }

    fn fsync(&self, _file: &File, _start: u64, _end: u64, _datasync: bool) -> Result<()> {
        Ok(())
    }
}
