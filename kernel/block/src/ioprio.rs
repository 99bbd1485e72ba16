//! I/O priorities: who is served first under `cfq`, the only elevator that looks at them.
//!
//! A priority is a class and a level within it, packed as Linux packs it for `ioprio_set(2)`:
//!
//! ```text
//!   15 … 13   12 … 0
//!   class     level, 0 (first) to 7
//! ```
//!
//! | class      | meaning                                                              |
//! |------------|----------------------------------------------------------------------|
//! | NONE       | not set: best effort, level 4                                        |
//! | REALTIME   | before everybody else                                                |
//! | BEST_EFFORT| the usual one; the level decides how long a turn is                  |
//! | IDLE       | only when nobody else wants the disk; it has no levels               |
//!
//! The priority belongs to the thread that submits. Source: ioprio_set(2), Documentation/block/ioprio.rst.

use core::cell::Cell;

use base::{Errno, Result};
use sync::PerThread;
use sync::thread::{self, ThreadId};

/// The class of a priority.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum IoClass {
    /// First of all.
    RealTime,
    /// As most are.
    BestEffort,
    /// When the disk has nothing else to do.
    Idle,
}

/// Levels of a class, 0 to 7.
pub const LEVELS: u8 = 8;
/// The level of a thread that has set none.
const DEFAULT_LEVEL: u8 = 4;

/// A priority as `ioprio_set` takes it. 0 is "not set".
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct IoPrio(u16);

impl IoPrio {
    /// Not set.
    pub const NONE: IoPrio = IoPrio(0);

    /// Of a class and a level; a level beyond the last is the last.
    pub const fn new(class: IoClass, level: u8) -> IoPrio {
        let class = match class {
            IoClass::RealTime => 1,
            IoClass::BestEffort => 2,
            IoClass::Idle => 3,
        };
        let level = if level < LEVELS { level } else { LEVELS - 1 };
        IoPrio(class << 13 | level as u16)
    }

    /// The argument of `ioprio_set`. EINVAL for a class that does not exist, a level beyond 7, or a
    /// level without a class.
    pub fn from_raw(raw: u32) -> Result<IoPrio> {
        let (class, level) = (raw >> 13, raw & 0x1fff);
        let sane = match class {
            0 => level == 0,
            1 | 2 => level < u32::from(LEVELS),
            3 => true,
            _ => false,
        };
        match u16::try_from(raw) {
            Ok(raw) if sane => Ok(IoPrio(raw)),
            _ => Err(Errno::EINVAL),
        }
    }

    /// What `ioprio_get` answers.
    pub const fn as_raw(self) -> u16 {
        self.0
    }

    /// The class that it stands for.
    pub const fn class(self) -> IoClass {
        match self.0 >> 13 {
            1 => IoClass::RealTime,
            3 => IoClass::Idle,
            _ => IoClass::BestEffort,
        }
    }

    /// The level within the class, 0 to 7.
    pub const fn level(self) -> u8 {
        match self.0 >> 13 {
            // Below 8, by the constructors.
            1 | 2 => (self.0 & 7) as u8,
            3 => LEVELS - 1,
            _ => DEFAULT_LEVEL,
        }
    }
}

/// What the block layer keeps of a thread that submits.
struct IoContext {
    thread: ThreadId,
    prio: Cell<IoPrio>,
}

impl Drop for IoContext {
    /// The thread ends: elevators that keep something of it hear so.
    fn drop(&mut self) {
        crate::disks().iter().for_each(|disk| disk.queue().thread_ended(self.thread));
    }
}

static CURRENT: PerThread<IoContext> =
    PerThread::new(|| IoContext { thread: thread::current(), prio: Cell::new(IoPrio::NONE) });

/// The priority of the thread that asks.
pub fn current() -> IoPrio {
    CURRENT.with(|context| context.prio.get())
}

/// Gives the thread that asks another priority; what it has submitted keeps the old one.
pub fn set_current(prio: IoPrio) {
    CURRENT.with(|context| context.prio.set(prio));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_as_linux_packs_it() {
        assert_eq!(IoPrio::new(IoClass::BestEffort, 3).as_raw(), 0x4003);
        assert_eq!(IoPrio::from_raw(0x2000).map(|p| (p.class(), p.level())), Ok((IoClass::RealTime, 0)));
        assert_eq!(IoPrio::from_raw(0x6000).map(IoPrio::class), Ok(IoClass::Idle));
        assert_eq!((IoPrio::NONE.class(), IoPrio::NONE.level()), (IoClass::BestEffort, 4));
    }

    #[test]
    fn nonsense_is_refused() {
        for raw in [1, 0x2008, 0x4008, 0x8000, 0x1_0000, u32::MAX] {
            assert_eq!(IoPrio::from_raw(raw), Err(Errno::EINVAL), "{raw:#x}");
        }
    }

    #[test]
    fn each_thread_has_its_own() {
        set_current(IoPrio::new(IoClass::Idle, 0));
        std::thread::spawn(|| assert_eq!(current(), IoPrio::NONE)).join().unwrap();
        assert_eq!(current().class(), IoClass::Idle);
        set_current(IoPrio::NONE);
    }
}
