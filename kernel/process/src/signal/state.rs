//! A process's signals: what it wants done, what it blocks, what waits.
//!
//! # Locking
//! One spin lock around all of it, held for a few instructions. `attention` says without the lock whether
//! there is anything to do before the program goes on.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, Ordering};

use base::arch::FpRegs;
use base::{Errno, Result};
use sync::thread::{self, Receiver};
use sync::{SpinLock, WaitQueue};

use super::info::{SIGNALS, SigInfo, SigSet, Signal};

/// `sa_handler` for the default.
pub const SIG_DFL: u64 = 0;
/// `sa_handler` for nothing.
pub const SIG_IGN: u64 = 1;

/// `sa_flags`. Source: `include/uapi/asm-generic/signal-defs.h`, arm64's `signal.h`.
pub mod flags {
    /// The handler gets `siginfo_t` and `ucontext_t`.
    pub const SA_SIGINFO: u64 = 4;
    /// `sa_restorer` is set.
    pub const SA_RESTORER: u64 = 0x0400_0000;
    /// On the alternate stack.
    pub const SA_ONSTACK: u64 = 0x0800_0000;
    /// A system call that it interrupts is done again.
    pub const SA_RESTART: u64 = 0x1000_0000;
    /// Not blocked while its handler runs.
    pub const SA_NODEFER: u64 = 0x4000_0000;
    /// The default again, once it was delivered.
    pub const SA_RESETHAND: u64 = 0x8000_0000;
}

/// What is to be done at a signal (`struct sigaction` of the kernel).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SigAction {
    /// [`SIG_DFL`], [`SIG_IGN`] or an address.
    pub handler: u64,
    /// SA_*.
    pub flags: u64,
    /// Where the handler returns to, with SA_RESTORER.
    pub restorer: u64,
    /// Blocked while the handler runs.
    pub mask: SigSet,
}

/// sigaltstack(2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AltStack {
    /// Its lowest byte.
    pub base: u64,
    /// Its length.
    pub size: u64,
    /// SS_DISABLE or SS_AUTODISARM.
    pub flags: u32,
}

/// `ss_flags`: the thread runs on it now.
pub const SS_ONSTACK: u32 = 1;
/// `ss_flags`: there is none.
pub const SS_DISABLE: u32 = 2;
/// `ss_flags`: forgotten while a handler runs on it.
pub const SS_AUTODISARM: u32 = 1 << 31;
/// The least size of an alternate stack on arm64.
pub const MINSIGSTKSZ: u64 = 5120;

impl AltStack {
    const NONE: AltStack = AltStack { base: 0, size: 0, flags: SS_DISABLE };

    /// Whether a stack pointer lies on it.
    pub fn holds(&self, sp: u64) -> bool {
        // Forgotten as soon as a handler runs on it: nobody is ever on it.
        self.flags & SS_AUTODISARM == 0 && sp > self.base && sp - self.base <= self.size
    }

    /// `ss_flags` as the program is told, with its stack pointer there.
    pub fn told_flags(&self, sp: u64) -> u32 {
        let on = if self.size == 0 {
            SS_DISABLE
        } else if self.holds(sp) {
            SS_ONSTACK
        } else {
            0
        };
        on | (self.flags & SS_AUTODISARM)
    }
}

/// `how` of rt_sigprocmask(2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// These too.
    Block,
    /// These no more.
    Unblock,
    /// These and no others.
    Set,
}

impl How {
    /// From the system call's argument. EINVAL.
    pub const fn from_user(how: u32) -> Result<How> {
        Ok(match how {
            0 => How::Block,
            1 => How::Unblock,
            2 => How::Set,
            _ => return Err(Errno::EINVAL),
        })
    }
}

/// All of it.
pub struct Signals {
    state: SpinLock<State>,
    /// Who waits for a signal, or would be interrupted by one.
    sent: WaitQueue,
    attention: AtomicBool,
}

struct State {
    actions: [SigAction; SIGNALS],
    blocked: SigSet,
    pending: SigSet,
    infos: Box<[Option<SigInfo>; SIGNALS]>,
    alt_stack: AltStack,
    /// The mask to come back to after a call that waits with another one (rt_sigsuspend, ppoll).
    saved: Option<SigSet>,
    /// What rt_sigreturn found in its frame, for the CPU.
    fp: Option<Box<FpRegs>>,
    /// The thread that runs the program.
    thread: Option<Receiver>,
}

/// A signal to be delivered, and what is to be done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Next {
    pub info: SigInfo,
    pub action: SigAction,
    /// The mask to come back to.
    pub blocked: SigSet,
}

fn index(signal: Signal) -> usize {
    usize::from(signal.number()) - 1
}

impl State {
    /// Takes one that is pending.
    fn take(&mut self, signal: Signal) -> SigInfo {
        self.pending = self.pending.without(signal);
        self.infos[index(signal)].take().unwrap_or(SigInfo::kernel(signal))
    }
}

impl Default for Signals {
    fn default() -> Self {
        Signals {
            state: SpinLock::new(State {
                actions: [SigAction::default(); SIGNALS],
                blocked: SigSet::default(),
                pending: SigSet::default(),
                infos: Box::new([None; SIGNALS]),
                alt_stack: AltStack::NONE,
                saved: None,
                fp: None,
                thread: None,
            }),
            sent: WaitQueue::new(),
            attention: AtomicBool::new(false),
        }
    }
}

impl Signals {
    /// Whether [`super::deliver`] has something to do.
    #[inline]
    pub fn attention(&self) -> bool {
        self.attention.load(Ordering::Relaxed)
    }

    /// What is done at a signal.
    pub fn action(&self, signal: Signal) -> SigAction {
        self.state.lock().actions[index(signal)]
    }

    /// rt_sigaction(2): the old action. EINVAL for KILL and STOP.
    pub fn set_action(&self, signal: Signal, action: SigAction) -> Result<SigAction> {
        if signal.is_absolute() {
            return Err(Errno::EINVAL);
        }
        let action = SigAction { mask: action.mask.blockable(), ..action };
        let mut state = self.state.lock();
        let old = core::mem::replace(&mut state.actions[index(signal)], action);
        // What is now ignored does not stay pending (POSIX).
        if action.handler == SIG_IGN
            || (action.handler == SIG_DFL && super::deliver::ignored_by_default(signal))
        {
            state.pending = state.pending.without(signal);
        }
        self.update(&state);
        Ok(old)
    }

    /// rt_sigprocmask(2): the old mask.
    pub fn change_mask(&self, how: How, set: SigSet) -> SigSet {
        let mut state = self.state.lock();
        let old = state.blocked;
        let new = match how {
            How::Block => SigSet(old.0 | set.0),
            How::Unblock => SigSet(old.0 & !set.0),
            How::Set => set,
        };
        state.blocked = new.blockable();
        self.update(&state);
        old
    }

    /// What is blocked.
    pub fn blocked(&self) -> SigSet {
        self.state.lock().blocked
    }

    /// rt_sigpending(2): what waits because it is blocked.
    pub fn pending(&self) -> SigSet {
        let state = self.state.lock();
        SigSet(state.pending.0 & state.blocked.0)
    }

    /// What is ignored and what is caught, for `/proc/self/status`.
    pub fn ignored_and_caught(&self) -> (SigSet, SigSet) {
        let state = self.state.lock();
        let mut out = (SigSet::default(), SigSet::default());
        for (i, action) in state.actions.iter().enumerate() {
            match action.handler {
                SIG_DFL => {}
                SIG_IGN => out.0.0 |= 1 << i,
                _ => out.1.0 |= 1 << i,
            }
        }
        out
    }

    /// Sends a signal. One that is ignored and not blocked is not kept; one that waits already is not
    /// kept twice.
    pub fn send(&self, info: SigInfo) {
        let mut state = self.state.lock();
        let (signal, handler) = (info.signal, state.actions[index(info.signal)].handler);
        let ignored =
            handler == SIG_IGN || (handler == SIG_DFL && super::deliver::ignored_by_default(signal));
        if (ignored && !state.blocked.has(signal)) || state.pending.has(signal) {
            return;
        }
        state.pending = state.pending.with(signal);
        state.infos[index(signal)] = Some(info);
        self.update(&state);
        drop(state);
        self.sent.wake_all();
    }

    /// Sleeps for `ns`, or for ever, until `done` or until a signal is to be delivered. Whether `done`.
    pub fn sleep(&self, ns: Option<u64>, mut done: impl FnMut() -> bool) -> bool {
        let mut is_done = false;
        let mut over = || {
            is_done = done();
            is_done || self.attention()
        };
        match ns {
            Some(ns) => drop(self.sent.wait_until_timeout(ns, &mut over)),
            None => self.sent.wait_until(&mut over),
        }
        is_done
    }

    /// Takes one of these that waits, blocked or not: rt_sigtimedwait(2).
    pub fn take(&self, set: SigSet) -> Option<SigInfo> {
        let mut state = self.state.lock();
        let signal = SigSet(state.pending.0 & set.blockable().0).first()?;
        let info = state.take(signal);
        self.update(&state);
        Some(info)
    }

    /// Blocks these instead for the length of one call.
    pub fn suspend_mask(&self, mask: SigSet) {
        let mut state = self.state.lock();
        state.saved = Some(state.blocked);
        state.blocked = mask.blockable();
        self.update(&state);
    }

    /// The end of that call: the mask is what it was, unless a handler is to run first, whose return
    /// brings it back.
    pub fn resume_mask(&self) {
        let mut state = self.state.lock();
        if let Some(mask) = state.saved.take() {
            state.blocked = mask;
        }
        self.update(&state);
    }

    /// A signal that the program cannot escape (`force_sig`): what it did raised it. If it is blocked or
    /// ignored, the default is done.
    pub fn force(&self, info: SigInfo) {
        let mut state = self.state.lock();
        let signal = info.signal;
        if state.blocked.has(signal) || state.actions[index(signal)].handler == SIG_IGN {
            state.actions[index(signal)].handler = SIG_DFL;
            state.blocked = state.blocked.without(signal);
        }
        state.pending = state.pending.with(signal);
        state.infos[index(signal)] = Some(info);
        self.update(&state);
    }

    /// The alternate stack.
    pub fn alt_stack(&self) -> AltStack {
        self.state.lock().alt_stack
    }

    /// sigaltstack(2). EPERM while the program runs on the old one, EINVAL for a flag that is none,
    /// ENOMEM below [`MINSIGSTKSZ`].
    pub fn set_alt_stack(&self, new: AltStack, sp: u64) -> Result<()> {
        let mut state = self.state.lock();
        if state.alt_stack.holds(sp) {
            return Err(Errno::EPERM);
        }
        let mode = new.flags & !SS_AUTODISARM;
        state.alt_stack = match mode {
            SS_DISABLE => AltStack { flags: new.flags, ..AltStack::NONE },
            // SS_ONSTACK is what some programs hand back; Linux takes it for 0.
            0 | SS_ONSTACK if new.size >= MINSIGSTKSZ => new,
            0 | SS_ONSTACK => return Err(Errno::ENOMEM),
            _ => return Err(Errno::EINVAL),
        };
        Ok(())
    }

    /// Puts back what a frame holds: the mask and the alternate stack, as far as they make sense.
    pub(super) fn restore(&self, mask: SigSet, alt: AltStack, sp: u64, fp: Option<Box<FpRegs>>) {
        self.change_mask(How::Set, mask);
        // Linux ignores the error here too.
        let _ = self.set_alt_stack(alt, sp);
        let mut state = self.state.lock();
        state.fp = fp;
        self.update(&state);
    }

    pub(super) fn take_fp(&self) -> Option<Box<FpRegs>> {
        let mut state = self.state.lock();
        let fp = state.fp.take();
        self.update(&state);
        fp
    }

    /// Takes the next signal that is not blocked, those of faults first.
    pub(super) fn take_next(&self) -> Option<Next> {
        let mut state = self.state.lock();
        let ready = SigSet(state.pending.0 & !state.blocked.0);
        let signal = SigSet(ready.0 & Signal::SYNCHRONOUS.0).first().or(ready.first())?;
        let info = state.take(signal);
        let blocked = state.saved.unwrap_or(state.blocked);
        let action = state.actions[index(signal)];
        self.update(&state);
        Some(Next { info, action, blocked })
    }

    /// The handler of a signal begins: its mask is on.
    pub(super) fn begin_handler(&self, next: &Next) {
        let signal = next.info.signal;
        let mut state = self.state.lock();
        // Its frame has it.
        state.saved = None;
        state.blocked = SigSet(state.blocked.0 | next.action.mask.0);
        if next.action.flags & flags::SA_NODEFER == 0 {
            state.blocked = state.blocked.with(signal).blockable();
        }
        if next.action.flags & flags::SA_RESETHAND != 0 {
            state.actions[index(signal)].handler = SIG_DFL;
        }
        if state.alt_stack.flags & SS_AUTODISARM != 0 {
            state.alt_stack = AltStack::NONE;
        }
        self.update(&state);
    }

    /// From here on this thread runs the program: a signal interrupts its waits.
    pub fn adopt_thread(&self) {
        let mut state = self.state.lock();
        state.thread = Some(thread::receiver());
        self.update(&state);
    }

    /// The program is over: its signals interrupt nobody.
    pub fn forget_thread(&self) {
        if let Some(thread) = self.state.lock().thread.take() {
            thread.set_signalled(false);
        }
    }

    fn update(&self, state: &State) {
        let waits = state.pending.0 & !state.blocked.0 != 0;
        self.attention.store(waits || state.fp.is_some(), Ordering::Relaxed);
        if let Some(thread) = state.thread {
            thread.set_signalled(waits);
        }
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
