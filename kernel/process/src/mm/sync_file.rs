//! msync(2).

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::{Errno, Result, UserAddr};
use vfs::File;

use super::layout::{Span, page_up};
use super::vma::VmFlags;
use super::{Areas, Mm};

const MS_ASYNC: u32 = 1;
const MS_INVALIDATE: u32 = 2;
const MS_SYNC: u32 = 4;

/// Bytes of a file, the last one included.
type Part = (Arc<File>, u64, u64);

impl Mm {
    /// msync(2): with MS_SYNC the file's bytes under the range are durable on return, as after fdatasync, and
    /// an error of theirs is told here. With MS_ASYNC nothing is left to do: the pages are dirty, and the
    /// flusher knows. MS_INVALIDATE finds every mapping up to date. EINVAL; EBUSY for MS_INVALIDATE of what is
    /// locked; ENOMEM when part of the range is not mapped, after the rest was done.
    pub fn msync(&self, addr: UserAddr, len: u64, flags: u32) -> Result<()> {
        const BOTH: u32 = MS_ASYNC | MS_SYNC;
        if flags & !(BOTH | MS_INVALIDATE) != 0 || flags & BOTH == BOTH {
            return Err(Errno::EINVAL);
        }
        // A length that has no whole pages any more is none, as in Linux.
        let len = if page_up(len).is_none() { 0 } else { len };
        let span = Span::new(addr.0, len, Errno::ENOMEM)?;
        let (parts, end) = self.areas.read().to_sync(span, flags);
        // The areas are free by now: this waits for the disk.
        for (file, first, last) in parts {
            vfs::fsync::fsync_range(&file, first, last, true)?;
        }
        end
    }
}

impl Areas {
    /// What of the files is to be written, and how the call ends then.
    fn to_sync(&self, span: Span, flags: u32) -> (Vec<Part>, Result<()>) {
        let mut parts = Vec::new();
        let mut at = span.start;
        let mut end = Ok(());
        for area in self.set.overlapping(span) {
            if area.span.start > at {
                end = Err(Errno::ENOMEM);
            }
            at = area.span.end;
            if flags & MS_INVALIDATE != 0 && area.flags.contains(VmFlags::LOCKED) {
                return (parts, Err(Errno::EBUSY));
            }
            let part = area.part(span);
            if flags & MS_SYNC != 0
                && area.is_shared_file()
                && area.flags.contains(VmFlags::MAY_WRITE)
                && let Some((source, first)) = part.file_page(part.span.start)
                && let Some(file) = source.file()
            {
                parts.push((file.clone(), first.byte(), first.byte() + (part.span.len() - 1)));
            }
        }
        (parts, if at < span.end { Err(Errno::ENOMEM) } else { end })
    }
}
