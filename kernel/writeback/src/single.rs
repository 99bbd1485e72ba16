//! One inode's turn: its pages, then its attributes.
//!
//! Pages first, because writing them may change the attributes (delayed allocation gives blocks).
//! The bits are cleared *before* the work they stand for is looked at: a change that comes while the
//! work is under way marks the inode again.
//!
//! # Locking
//! SYNCING of the inode's state, for the whole turn.

use base::Result;

use crate::lists::Next;
use crate::state::{DirtyFlags, DirtyInode};
use crate::trace;
use crate::{SyncMode, WritebackControl};

/// Gives an inode a turn. With [`SyncMode::None`]: nothing is waited for, and the turn is skipped
/// when another thread is at it.
pub(crate) fn write_single(inode: &dyn DirtyInode, control: &mut WritebackControl) -> Result<()> {
    let wait = control.sync_mode == SyncMode::All;
    let Some(_turn) = inode.dirty_state().begin_sync(wait) else { return Ok(()) };
    trace::single_inode_start(inode, control);
    inode.dirty_state().take(DirtyFlags::PAGES);
    let pages = write_pages(inode, control);
    let done = pages.and(write_attributes(inode, false, wait));
    trace::single_inode(inode, control);
    done
}

/// The pages of the control's range; with [`SyncMode::All`] they are on the disk on return.
pub(crate) fn write_pages(inode: &dyn DirtyInode, control: &mut WritebackControl) -> Result<()> {
    let mapping = inode.mapping();
    let mark = mapping.wb_err().peek();
    let started = if mapping.has_dirty() { inode.writepages(control) } else { Ok(()) };
    if control.sync_mode == SyncMode::None {
        return started;
    }
    mapping.wait_writeback(control.range.clone());
    started.and(mapping.wb_err().since(mark))
}

/// The attributes, if they are dirty. The caller has the turn.
pub(crate) fn write_attributes(inode: &dyn DirtyInode, datasync: bool, sync: bool) -> Result<()> {
    let taken = inode.dirty_state().take_attributes(datasync);
    if taken.is_empty() {
        return Ok(());
    }
    trace::write_inode_start(inode, sync);
    let done = inode.write_inode(sync);
    trace::write_inode(inode, sync);
    if let Err(error) = done {
        log::error!("inode {}: writing its attributes failed: {error}", inode.ino());
        inode.dirty_state().mark(taken);
    }
    done
}

/// What is left after a turn. Asked under the lists' lock.
pub(crate) fn what_next(inode: &dyn DirtyInode, used_up: bool) -> Next {
    // Writeback before dirty: a write that fails clears the one and sets the other in one step.
    let on_its_way = inode.mapping().has_writeback();
    if inode.mapping().has_dirty() {
        return if used_up { Next::More } else { Next::Again };
    }
    if !inode.dirty_state().flags().is_empty() {
        return Next::Again;
    }
    if on_its_way {
        return Next::Pending;
    }
    if inode.dirty_state().unlist_if_clean() { Next::Leave } else { Next::Again }
}
