//! From an [`Image`] to areas of an address space. Pages come when they are touched.

use base::{Errno, PAGE_SHIFT, PageIndex, Result, UserAddr, UserMemory};

use super::image::{Image, Segment};
use crate::mm::layout::{Span, page_down, page_up};
use crate::mm::vma::{Backing, VmFlags, Vma};
use crate::mm::{ImageLayout, MapFile, Mm};

/// Maps the segments. The page in which a segment passes from the file to its bss is copied and zeroed
/// behind the file's bytes. The address space must be the active one. ENOMEM; EIO when that page cannot
/// be read.
pub fn map(mm: &Mm, image: &Image, file: &MapFile) -> Result<()> {
    image.segments.iter().try_for_each(|segment| map_segment(mm, segment, file))
}

fn map_segment(mm: &Mm, segment: &Segment, file: &MapFile) -> Result<()> {
    let flags = segment.prot | VmFlags::MAY_WRITE;
    let start = page_down(segment.start);
    let end = page_up(segment.end).ok_or(Errno::ENOMEM)?;
    let mut file_end = start;
    if segment.file_end > segment.start {
        file_end = page_up(segment.file_end).ok_or(Errno::ENOMEM)?;
        let source = file.source.clone()?.ok_or(Errno::ENODEV)?;
        let first = PageIndex(page_down(segment.offset) >> PAGE_SHIFT);
        let span = Span { start, end: file_end };
        mm.place(Vma { span, flags, backing: Backing::File { source, first } })?;
    }
    if end > file_end {
        let span = Span { start: file_end, end };
        mm.place(Vma { span, flags, backing: Backing::Anonymous })?;
    }
    // What follows the file's bytes in their last page is whatever follows in the file. A page that
    // cannot be written keeps it, as under Linux.
    let tail = file_end.saturating_sub(segment.file_end);
    if segment.end > segment.file_end && tail > 0 && segment.prot.contains(VmFlags::WRITE) {
        // To the page's end, also where the bss ends before it: nothing of the file shows there.
        let n = tail as usize;
        if mm.zero(UserAddr(segment.file_end), n) < n {
            return Err(Errno::EIO);
        }
    }
    Ok(())
}

/// Where things are, for those who ask later. None when the image ends past all memory.
pub fn layout(image: &Image, stack: u64) -> Option<ImageLayout> {
    let with = |flag| image.segments.iter().filter(move |s| s.prot.contains(flag));
    let reach = |flag| {
        let from = with(flag).map(|s| s.start).next().unwrap_or(0);
        (from, with(flag).map(|s| s.end).next_back().unwrap_or(0))
    };
    Some(ImageLayout {
        code: reach(VmFlags::EXEC),
        data: reach(VmFlags::WRITE),
        data_size: with(VmFlags::WRITE).map(|s| s.file_end - s.start).sum(),
        stack,
        heap: page_up(image.end())?,
    })
}
