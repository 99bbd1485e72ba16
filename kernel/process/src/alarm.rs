//! The interval timer of real time: setitimer(2), and with it alarm(2) and ualarm(3).
//!
//! A kernel thread sleeps until the timer's time and then sends SIGALRM; it is started with the first
//! timer that is set, so that a program without one pays nothing.
//!
//! # Locking
//! `timer` is held for a few instructions. The thread holds the process weakly: it never keeps its
//! files open.

use alloc::sync::{Arc, Weak};

use base::Result;
use base::time::monotonic_ns;
use sync::{SpinLock, WaitQueue};

use crate::process::Process;
use crate::signal::{SigInfo, Signal};

/// When the timer goes off next, and how often after that.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Timer {
    /// CLOCK_MONOTONIC; None when it is off.
    pub deadline_ns: Option<u64>,
    /// From then on; 0 for once.
    pub interval_ns: u64,
}

impl Timer {
    /// What is left until it goes off, at least 1; 0 when it is off.
    pub fn left_ns(&self, now: u64) -> u64 {
        self.deadline_ns.map_or(0, |at| at.saturating_sub(now).max(1))
    }

    /// Whether it goes off at `now`; then it is set for the next time, those that were missed left out.
    fn expire(&mut self, now: u64) -> bool {
        let Some(at) = self.deadline_ns.filter(|&at| at <= now) else { return false };
        self.deadline_ns = match self.interval_ns {
            0 => None,
            interval => at.checked_add(((now - at) / interval + 1).saturating_mul(interval)),
        };
        true
    }
}

/// The timer of a process.
#[derive(Default)]
pub(crate) struct Alarm {
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    timer: SpinLock<Inner>,
    changed: WaitQueue,
}

#[derive(Default)]
struct Inner {
    timer: Timer,
    /// Counts the settings, so that the thread sees each.
    settings: u64,
    started: bool,
}

impl Alarm {
    /// As it is set.
    pub fn get(&self) -> Timer {
        self.state.timer.lock().timer
    }

    /// Sets it: what was set before. ENOMEM when its thread cannot be started.
    pub fn set(&self, process: &Arc<Process>, new: Timer) -> Result<Timer> {
        let started = self.state.timer.lock().started;
        if !started && new.deadline_ns.is_some() {
            let (state, process) = (self.state.clone(), Arc::downgrade(process));
            sync::thread::spawn("itimer", move || state.serve(&process))?;
            self.state.timer.lock().started = true;
        }
        let mut inner = self.state.timer.lock();
        inner.settings += 1;
        let old = core::mem::replace(&mut inner.timer, new);
        drop(inner);
        self.state.changed.wake_all();
        Ok(old)
    }
}

impl State {
    /// The thread: until the process is gone.
    fn serve(&self, process: &Weak<Process>) {
        loop {
            let (timer, settings) = {
                let inner = self.timer.lock();
                (inner.timer, inner.settings)
            };
            let changed = || self.timer.lock().settings != settings;
            match timer.deadline_ns {
                Some(at) => drop(self.changed.wait_until_timeout(at.saturating_sub(monotonic_ns()), changed)),
                None => self.changed.wait_until(changed),
            }
            let Some(process) = process.upgrade() else { return };
            if self.timer.lock().timer.expire(monotonic_ns()) {
                process.signals().send(SigInfo::kernel(Signal::ALRM));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_off_once() {
        let mut timer = Timer { deadline_ns: Some(100), interval_ns: 0 };
        assert!(!timer.expire(99));
        assert_eq!(timer.left_ns(40), 60);
        assert_eq!(timer.left_ns(200), 1, "due, and not yet served, is not off");
        assert!(timer.expire(100));
        assert!(!timer.expire(1000));
        assert_eq!(timer.left_ns(0), 0);
    }

    #[test]
    fn goes_off_at_each_interval() {
        let mut timer = Timer { deadline_ns: Some(100), interval_ns: 30 };
        assert!(timer.expire(100));
        assert_eq!(timer.deadline_ns, Some(130));
        assert!(timer.expire(200), "three were missed and count as one");
        assert_eq!(timer.deadline_ns, Some(220));
        let mut timer = Timer { deadline_ns: Some(1), interval_ns: u64::MAX };
        assert!(timer.expire(5));
        assert_eq!(timer.deadline_ns, None, "the next is past the end of time");
    }
}
