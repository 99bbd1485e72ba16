//! Who runs: data only. The machine's side holds it under one lock and does the switching.
//!
//! ```text
//!            add                pick
//!   (free) ------> Ready ---------------> Running
//!      ^            ^  ^                  |  |  |
//!      |            |  +----- requeue ----+  |  |
//!      |            +-- wake, expire -- Asleep <+ sleep
//!      +------------------------------------- exit
//! ```
//! A wake that comes to a thread that is not asleep is kept for its next sleep, which then does not
//! happen (`token`).
//!
//! # Invariants
//! 1. A slot is in `ready` exactly once when its state is Ready, and else not.
//! 2. A slot is in `sleepers` exactly once when it is Asleep with a deadline, and else not. The list is
//!    sorted, the earliest deadline last.
//! 3. `on_cpu` says on which CPU's stack pointer the thread still is. A sleeping thread may be: the CPU
//!    then idles on its stack. Only that CPU picks it, so no stack is ever used twice.
//! 4. Both lists have room for every slot: nothing here allocates but [`Sched::add`].

use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Which slot of the table.
pub type SlotId = usize;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Free,
    Ready,
    Running,
    Asleep { deadline: Option<u64> },
}

#[derive(Debug)]
struct Slot {
    state: State,
    token: bool,
    on_cpu: Option<usize>,
}

/// All threads, and who is ready.
#[derive(Debug)]
pub struct Sched {
    slots: Vec<Slot>,
    ready: VecDeque<SlotId>,
    sleepers: Vec<(u64, SlotId)>,
}

impl Sched {
    pub const fn new() -> Sched {
        Sched { slots: Vec::new(), ready: VecDeque::new(), sleepers: Vec::new() }
    }

    /// The thread that runs on `cpu` already.
    pub fn adopt(&mut self, cpu: usize) -> SlotId {
        let id = self.free_slot();
        self.slots[id] = Slot { state: State::Running, token: false, on_cpu: Some(cpu) };
        id
    }

    /// A new thread, ready to run. The slot may be one that ended; it is never one that a CPU's stack
    /// pointer is still in.
    pub fn add(&mut self) -> SlotId {
        let id = self.free_slot();
        self.slots[id].token = false;
        self.make_ready(id);
        id
    }

    fn free_slot(&mut self) -> SlotId {
        let free = self.slots.iter().position(|s| s.state == State::Free && s.on_cpu.is_none());
        free.unwrap_or_else(|| {
            self.slots.push(Slot { state: State::Free, token: false, on_cpu: None });
            let n = self.slots.len();
            self.ready.reserve(n - self.ready.len());
            self.sleepers.reserve(n - self.sleepers.len());
            n - 1
        })
    }

    /// The running thread goes to sleep. False when a wake has come already: it must not.
    #[must_use]
    pub fn sleep(&mut self, id: SlotId, deadline: Option<u64>) -> bool {
        debug_assert_eq!(self.slots[id].state, State::Running);
        if core::mem::take(&mut self.slots[id].token) {
            return false;
        }
        self.slots[id].state = State::Asleep { deadline };
        if let Some(deadline) = deadline {
            let at = self.sleepers.partition_point(|&(d, _)| d > deadline);
            self.sleepers.insert(at, (deadline, id));
        }
        true
    }

    /// Wakes a thread, or spares it its next sleep. Returns whether it became ready by this.
    pub fn wake(&mut self, id: SlotId) -> bool {
        match self.slots[id].state {
            State::Asleep { deadline } => {
                if deadline.is_some() {
                    self.sleepers.retain(|&(_, s)| s != id);
                }
                self.make_ready(id);
                true
            }
            State::Ready | State::Running => {
                self.slots[id].token = true;
                false
            }
            State::Free => false,
        }
    }

    /// Wakes everybody whose deadline is not after `now`. Returns how many.
    pub fn expire(&mut self, now: u64) -> usize {
        let before = self.sleepers.len();
        while let Some((_, id)) = self.sleepers.pop_if(|(deadline, _)| *deadline <= now) {
            self.make_ready(id);
        }
        before - self.sleepers.len()
    }

    /// When [`Sched::expire`] has something to do next.
    pub fn next_deadline(&self) -> Option<u64> {
        self.sleepers.last().map(|&(deadline, _)| deadline)
    }

    /// The running thread steps back behind all that are ready.
    pub fn requeue(&mut self, id: SlotId) {
        debug_assert_eq!(self.slots[id].state, State::Running);
        self.make_ready(id);
    }

    /// The running thread has ended.
    pub fn exit(&mut self, id: SlotId) {
        debug_assert_eq!(self.slots[id].state, State::Running);
        self.slots[id].state = State::Free;
    }

    /// Who runs next on `cpu`, whose stack pointer is in `from`'s stack (which may be asleep or
    /// ended). None leaves all as it was: the CPU idles. On Some the caller switches, if it is
    /// another, before anybody else looks at the table.
    pub fn pick(&mut self, cpu: usize, from: SlotId) -> Option<SlotId> {
        let free_for_us = |id: &SlotId| self.slots[*id].on_cpu.is_none_or(|c| c == cpu);
        let at = self.ready.iter().position(free_for_us)?;
        let id = self.ready.remove(at)?;
        self.slots[from].on_cpu = None;
        self.slots[id].on_cpu = Some(cpu);
        self.slots[id].state = State::Running;
        Some(id)
    }

    /// How many are ready to run.
    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    fn make_ready(&mut self, id: SlotId) {
        self.slots[id].state = State::Ready;
        self.ready.push_back(id);
    }
}

#[cfg(test)]
#[path = "sched_tests.rs"]
mod tests;
