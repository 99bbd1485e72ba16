//! The program's translation table (TTBR0): [`base::arch::UserPageTable`].
//!
//! # Data
//! Four levels of 512 entries. A table of the last level is two frames: the entries the CPU walks,
//! and beside them the [`Frame`] handles of the same 512 pages, which keep the pages alive and let
//! [`UserPageTable::lookup`] answer without a search.
//!
//! # Locking
//! One spin lock per table. Handles that a call takes out are dropped after it is released.
//!
//! # Invariants
//! 1. An entry of the last level is not empty exactly when its handle is there.
//! 2. A handle is dropped only after the entry is gone from the table and from every TLB.

use core::arch::asm;
use core::mem;
use core::ops::ControlFlow;

use base::arch::{Protection, UserPageTable};
use base::user::TASK_SIZE;
use base::{Errno, Frame, PAGE_SIZE, PhysAddr, Result, UserAddr};
use sync::SpinLock;

use super::descriptor::{Descriptor, index, shift};
use super::tlb::{self, Asid};
use super::{asid, cache};
use crate::layout;
use crate::memory::frames;

/// Two frames for a table of the last level, one for the others.
const LEAF_ORDER: usize = 1;
/// More pages than this are flushed by their address space instead of one by one.
const FLUSH_ALL: usize = 32;

/// A table of one program.
pub struct UserTable {
    root: PhysAddr,
    asid: Asid,
    lock: SpinLock<()>,
}

/// A leaf table: its entries and its handles.
#[derive(Clone, Copy)]
struct Leaf(PhysAddr);

impl UserTable {
    /// Nothing mapped. ENOMEM when memory or address space numbers are out.
    pub fn new() -> Result<UserTable> {
        let asid = asid::alloc().ok_or(Errno::ENOMEM)?;
        match zeroed(0) {
            Ok(root) => Ok(UserTable { root, asid, lock: SpinLock::new(()) }),
            Err(errno) => {
                asid::free(asid);
                Err(errno)
            }
        }
    }

    /// The leaf table for an address, made when `make` says so.
    fn leaf(&self, addr: u64, make: bool) -> Result<Option<Leaf>> {
        let mut table = self.root;
        for level in 0..3 {
            let slot = slot(table, index(addr, level));
            // SAFETY: `slot` is an entry of one of our tables; the caller holds the lock.
            let found = unsafe { slot.read_volatile() };
            if !found.is_table() {
                if !make {
                    return Ok(None);
                }
                let new = zeroed(if level == 2 { LEAF_ORDER } else { 0 })?;
                // SAFETY: as above; the new table is complete.
                unsafe { slot.write_volatile(Descriptor::table(new)) };
                tlb::publish();
                table = new;
            } else {
                table = found.phys();
            }
        }
        Ok(Some(Leaf(table)))
    }

    /// The first leaf table that has part of `[at, end)`, and where its part begins. Tables that are
    /// not there are stepped over whole.
    fn next_leaf(&self, mut at: u64, end: u64) -> Option<(u64, Leaf)> {
        'range: while at < end {
            let mut table = self.root;
            for level in 0..3 {
                // SAFETY: an entry of one of our tables; the caller holds the lock.
                let found = unsafe { slot(table, index(at, level)).read_volatile() };
                if !found.is_table() {
                    at = ((at >> shift(level)) + 1) << shift(level);
                    continue 'range;
                }
                table = found.phys();
            }
            return Some((at, Leaf(table)));
        }
        None
    }

    /// Calls `f` with every page of the range that is there, until it says that it has enough.
    /// Returns where to go on.
    fn each(&self, addr: u64, end: u64, mut f: impl FnMut(u64, Leaf, usize) -> ControlFlow<()>) -> u64 {
        let mut at = layout::page_floor(addr);
        while let Some((start, leaf)) = self.next_leaf(at, end) {
            let span_end = ((start >> shift(2)) + 1) << shift(2);
            for page in (start..span_end.min(end)).step_by(PAGE_SIZE) {
                let i = index(page, 3);
                if leaf.handle(i).is_some() && f(page, leaf, i).is_break() {
                    return page + PAGE_SIZE as u64;
                }
            }
            at = span_end;
        }
        end
    }

    /// Frees the leaf tables whose whole span lies in `[addr, end)` and that have no page left.
    fn prune(&self, addr: u64, end: u64) {
        let span = 1 << shift(2);
        let Some(mut at) = addr.checked_next_multiple_of(span) else { return };
        while at < end {
            let _lock = self.lock.lock();
            let Some((start, leaf)) = self.next_leaf(at, end) else { return };
            at = start + span;
            if at > end || (0..512).any(|i| leaf.handle(i).is_some()) {
                continue;
            }
            if let Some(link) = self.link_to_leaf(start) {
                // SAFETY: an entry of one of our tables, under the lock.
                unsafe { link.write_volatile(Descriptor::EMPTY) };
                tlb::flush_asid(self.asid);
                // SAFETY: `zeroed` took it with this order; nothing leads to it any more.
                unsafe { frames::free(leaf.0, LEAF_ORDER) };
            }
        }
    }

    /// The entry that links the leaf table of an address.
    fn link_to_leaf(&self, addr: u64) -> Option<*mut Descriptor> {
        let mut table = self.root;
        for level in 0..2 {
            // SAFETY: an entry of one of our tables; the caller holds the lock.
            let found = unsafe { slot(table, index(addr, level)).read_volatile() };
            table = found.is_table().then(|| found.phys())?;
        }
        Some(slot(table, index(addr, 2)))
    }

    fn flush(&self, pages: &[u64]) {
        if pages.len() > FLUSH_ALL {
            tlb::flush_asid(self.asid);
        } else {
            pages.iter().for_each(|&page| tlb::flush_user_page(self.asid, page));
        }
    }
}

impl UserPageTable for UserTable {
    fn map(&self, addr: UserAddr, frame: Frame, protection: Protection) -> Result<()> {
        if addr.0 >= TASK_SIZE || !addr.0.is_multiple_of(PAGE_SIZE as u64) {
            return Err(Errno::EINVAL);
        }
        if protection.execute {
            cache::sync_instructions(&frame);
        }
        let phys = frame.phys();
        let old;
        {
            let _lock = self.lock.lock();
            let leaf = self.leaf(addr.0, true)?.ok_or(Errno::ENOMEM)?;
            let i = index(addr.0, 3);
            let slot = slot(leaf.0, i);
            old = leaf.set_handle(i, Some(frame));
            // SAFETY: an entry of our table, under the lock.
            unsafe {
                if slot.read_volatile().is_valid() {
                    slot.write_volatile(Descriptor::EMPTY);
                    tlb::flush_user_page(self.asid, addr.0);
                }
                slot.write_volatile(Descriptor::user(phys, protection));
            }
            tlb::publish();
        }
        drop(old);
        Ok(())
    }

    fn unmap(&self, addr: UserAddr, len: u64) {
        // In pieces, so that the list of what goes is short and interrupts are not masked for long.
        let end = addr.0.saturating_add(len).min(TASK_SIZE);
        let mut at = addr.0;
        while at < end {
            let mut gone: [Option<Frame>; FLUSH_ALL] = [const { None }; FLUSH_ALL];
            let mut pages = [0; FLUSH_ALL];
            let mut n = 0;
            let lock = self.lock.lock();
            at = self.each(at, end, |page, leaf, i| {
                // SAFETY: an entry of our table, under the lock.
                unsafe { slot(leaf.0, i).write_volatile(Descriptor::EMPTY) };
                gone[n] = leaf.set_handle(i, None);
                pages[n] = page;
                n += 1;
                if n == FLUSH_ALL { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            self.flush(&pages[..n]);
            drop(lock);
            drop(gone);
        }
        self.prune(addr.0, end);
    }

    fn protect(&self, addr: UserAddr, len: u64, protection: Protection) {
        let end = addr.0.saturating_add(len).min(TASK_SIZE);
        let mut n = 0;
        let mut pages = [0; FLUSH_ALL + 1];
        let _lock = self.lock.lock();
        self.each(addr.0, end, |page, leaf, i| {
            let slot = slot(leaf.0, i);
            if protection.execute
                && let Some(frame) = leaf.handle(i)
            {
                cache::sync_instructions(frame);
            }
            // SAFETY: an entry of our table, under the lock. The address stays, so no break is needed.
            unsafe { slot.write_volatile(Descriptor::user(slot.read_volatile().phys(), protection)) };
            if n <= FLUSH_ALL {
                pages[n] = page;
                n += 1;
            }
            ControlFlow::Continue(())
        });
        self.flush(&pages[..n]);
    }

    fn lookup(&self, addr: UserAddr) -> Option<(Frame, Protection)> {
        if addr.0 >= TASK_SIZE {
            return None;
        }
        let _lock = self.lock.lock();
        let leaf = self.leaf(addr.0, false).ok()??;
        let i = index(addr.0, 3);
        let frame = leaf.handle(i)?.clone();
        // SAFETY: an entry of our table, under the lock.
        Some((frame, unsafe { slot(leaf.0, i).read_volatile() }.protection()))
    }

    fn activate(&self) {
        set_ttbr0(ttbr(self.root, self.asid));
    }
}

impl Drop for UserTable {
    fn drop(&mut self) {
        let current: u64;
        // SAFETY: reads a register.
        unsafe { asm!("mrs {0}, ttbr0_el1", out(reg) current, options(nomem, nostack)) };
        if current == ttbr(self.root, self.asid) {
            set_ttbr0(layout::empty_table().0);
        }
        asid::free(self.asid);
        free_level(self.root, 0);
    }
}

/// Frees a table and what hangs below it. The handles go as they are found.
fn free_level(table: PhysAddr, level: u32) {
    for i in 0..512 {
        if level == 3 {
            drop(Leaf(table).set_handle(i, None));
        } else {
            // SAFETY: an entry of a table that nobody uses any more.
            let found = unsafe { slot(table, i).read_volatile() };
            if found.is_table() {
                free_level(found.phys(), level + 1);
            }
        }
    }
    // SAFETY: `zeroed` took it with this order; the TLB has forgotten it.
    unsafe { frames::free(table, if level == 3 { LEAF_ORDER } else { 0 }) };
}

impl Leaf {
    fn handles(self) -> *mut Option<Frame> {
        // A handle is one pointer, so 512 of them fill the second frame.
        const { assert!(size_of::<Option<Frame>>() == 8) };
        layout::phys_to_virt(PhysAddr(self.0.0 + PAGE_SIZE as u64)).cast()
    }

    fn handle<'a>(self, i: usize) -> Option<&'a Frame> {
        assert!(i < 512);
        // SAFETY: zeroed memory is `None`; the lock of the table is held, and nobody changes the handle
        // while the reference is used (each caller is done with it before it does).
        unsafe { (*self.handles().add(i)).as_ref() }
    }

    fn set_handle(self, i: usize, frame: Option<Frame>) -> Option<Frame> {
        assert!(i < 512);
        // SAFETY: as in `handle`.
        mem::replace(unsafe { &mut *self.handles().add(i) }, frame)
    }
}

fn slot(table: PhysAddr, i: usize) -> *mut Descriptor {
    layout::phys_to_virt(table).cast::<Descriptor>().wrapping_add(i)
}

fn zeroed(order: usize) -> Result<PhysAddr> {
    let phys = frames::alloc_block(order).ok_or(Errno::ENOMEM)?;
    // SAFETY: a fresh block of this size in the linear area.
    unsafe { layout::phys_to_virt(phys).write_bytes(0, PAGE_SIZE << order) };
    Ok(phys)
}

const fn ttbr(root: PhysAddr, asid: Asid) -> u64 {
    root.0 | (asid.0 as u64) << 48
}

fn set_ttbr0(value: u64) {
    // SAFETY: the table is complete and lives until another is set (`Drop` sees to it).
    unsafe { asm!("msr ttbr0_el1, {0}", "isb", in(reg) value, options(nostack)) };
}
