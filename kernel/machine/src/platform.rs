//! What `sync` asks of the machine: stacks, idling, a deadline.

use core::sync::atomic::{AtomicUsize, Ordering};

use base::PAGE_SIZE;
use sync::platform::{Platform, Stack};

use crate::layout::{STACK_SIZE, STACK_SLOT, STACK_SLOTS, STACKS_BASE};
use crate::memory::frames;
use crate::mmu::descriptor::Kind;
use crate::mmu::kernel;
use crate::{cpu, timer};

/// The machine, for `sync::platform::install`.
pub struct MachinePlatform;

/// Slots given out; the boot thread has the first.
static SLOTS: AtomicUsize = AtomicUsize::new(1);

/// Bytes of the stacks that were made; a thread that ends leaves its stack to the next.
pub fn stack_bytes() -> u64 {
    (SLOTS.load(Ordering::Relaxed) * STACK_SIZE) as u64
}

// SAFETY: a stack is fresh pages at addresses of its own, mapped for ever.
unsafe impl Platform for MachinePlatform {
    fn alloc_stack(&self) -> Option<Stack> {
        let slot =
            SLOTS.try_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < STACK_SLOTS).then_some(n + 1));
        let top = STACKS_BASE as usize + (slot.ok()? + 1) * STACK_SLOT;
        let bottom = top - STACK_SIZE;
        for page in (bottom..top).step_by(PAGE_SIZE) {
            let mapped = frames::alloc_reserved().and_then(|phys| {
                match kernel::map_page(page as u64, phys, Kind::Data) {
                    Ok(()) => Some(()),
                    Err(_) => {
                        // SAFETY: it was just taken and never mapped.
                        unsafe { frames::free(phys, 0) };
                        None
                    }
                }
            });
            if mapped.is_none() {
                unmap(bottom, page);
                return None;
            }
        }
        Some(Stack { bottom, top })
    }

    fn idle_wait(&self) {
        cpu::wait_for_interrupt();
        cpu::enable_interrupts();
        cpu::synchronize();
        cpu::disable_interrupts();
    }

    fn set_timer(&self, deadline_ns: Option<u64>) {
        timer::set_deadline(deadline_ns);
    }
}

/// Takes back the pages of a stack that could not be completed; its slot is lost.
fn unmap(bottom: usize, end: usize) {
    for page in (bottom..end).step_by(PAGE_SIZE) {
        if let Some(phys) = kernel::unmap_page(page as u64) {
            // SAFETY: `alloc_stack` took it, and nobody has seen the stack.
            unsafe { frames::free(phys, 0) };
        }
    }
}
