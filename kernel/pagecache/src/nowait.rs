//! Reads that may not wait (RWF_NOWAIT): what of a range is there already.
//!
//! Source: preadv2(2).

use core::sync::atomic::Ordering;

use base::{Errno, IovIter, PAGE_SIZE, PageIndex, Result};

use crate::mapping::AddressSpace;
use crate::ops::AddressSpaceOperations;
use crate::page;

/// Cuts `to` to the bytes from `pos` on that are cached and uptodate. EAGAIN when not even the first is, and
/// the file goes on there. No I/O is begun. A page that reclaim takes in between is waited for after all.
pub fn truncate_to_cached(
    mapping: &AddressSpace,
    ops: &dyn AddressSpaceOperations,
    pos: u64,
    to: &mut IovIter<'_>,
) -> Result<()> {
    let end = pos.saturating_add(to.count() as u64).min(ops.size());
    let mut at = pos;
    while at < end {
        let index = PageIndex::of(at);
        let there = mapping.find_get_page(index);
        if there.is_none_or(|page| page.state().load(Ordering::Acquire) & page::UPTODATE == 0) {
            break;
        }
        at = index.byte().saturating_add(PAGE_SIZE as u64);
    }
    if at == pos && at < end {
        return Err(Errno::EAGAIN);
    }
    if at < end {
        // Less than what it has.
        to.truncate(usize::try_from(at - pos).unwrap_or(usize::MAX));
    }
    Ok(())
}
