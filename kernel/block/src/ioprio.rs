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
//! | NONE       | not set: best effort, the level by the nice value: 4 for nice 0       |
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

    /// The argument of `ioprio_set`. EINVAL for a class that does not exist, and for a level without a
    /// class. As in Linux 6.1 the bits between class and level mean nothing and are kept, and those
    /// above the class are dropped.
    pub fn from_raw(raw: u32) -> Result<IoPrio> {
        match (raw >> 13 & 7, raw & 7) {
            // 16 bits, by the mask.
            (0, 0) | (1..=3, _) => Ok(IoPrio((raw & 0xffff) as u16)),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Of a thread that has set none: best effort, its level by its nice value.
    pub const fn of_nice(nice: i32) -> IoPrio {
        let nice = if nice < -20 {
            -20
        } else if nice > 19 {
            19
        } else {
            nice
        };
        // 0 to 7.
        IoPrio::new(IoClass::BestEffort, ((nice + 20) / 5) as u8)
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
            // Below 8, by the mask.
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
    nice: Cell<i32>,
}

impl Drop for IoContext {
    /// The thread ends: elevators that keep something of it hear so.
    fn drop(&mut self) {
        crate::disks().iter().for_each(|disk| disk.queue().thread_ended(self.thread));
    }
}

static CURRENT: PerThread<IoContext> = PerThread::new(|| IoContext {
    thread: thread::current(),
    prio: Cell::new(IoPrio::NONE),
    nice: Cell::new(0),
});

/// The priority of the thread that asks: what it has set, or what follows from its nice value.
pub fn current() -> IoPrio {
    CURRENT.with(|context| match context.prio.get() {
        // Also with bits that mean nothing.
        prio if prio.0 >> 13 == 0 => IoPrio::of_nice(context.nice.get()),
        prio => prio,
    })
}

/// What the thread that asks has set.
pub fn current_set() -> IoPrio {
    CURRENT.with(|context| context.prio.get())
}

/// Gives the thread that asks another priority; what it has submitted keeps the old one.
pub fn set_current(prio: IoPrio) {
    CURRENT.with(|context| context.prio.set(prio));
}

/// Tells the nice value of the thread that asks, -20 to 19.
pub fn set_nice(nice: i32) {
    CURRENT.with(|context| context.nice.set(nice));
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
        for raw in [1, 7, 0x8000, 0xe000, 0x1_0001, u32::MAX] {
            assert_eq!(IoPrio::from_raw(raw), Err(Errno::EINVAL), "{raw:#x}");
        }
    }

    #[test]
    fn bits_that_mean_nothing_are_kept_or_dropped() {
        for (raw, kept, level) in
            [(0x4008, 0x4008, 0), (0x1_4003, 0x4003, 3), (0x2fff, 0x2fff, 7), (0x1_0000, 0, 4)]
        {
            let prio = IoPrio::from_raw(raw).unwrap();
            assert_eq!((prio.as_raw(), prio.level()), (kept, level), "{raw:#x}");
        }
        assert_eq!(IoPrio::from_raw(0x7fff).map(|p| (p.as_raw(), p.level())), Ok((0x7fff, 7)));
    }

    #[test]
    fn without_one_the_nice_value_decides() {
        assert_eq!([-20, -10, 0, 4, 5, 19].map(|n| IoPrio::of_nice(n).level()), [0, 2, 4, 4, 5, 7]);
        std::thread::spawn(|| {
            set_nice(-20);
            assert_eq!((current_set(), current()), (IoPrio::NONE, IoPrio::new(IoClass::BestEffort, 0)));
        })
        .join()
        .unwrap();
    }

    #[test]
    fn each_thread_has_its_own() {
        set_current(IoPrio::new(IoClass::Idle, 0));
        std::thread::spawn(|| assert_eq!(current_set(), IoPrio::NONE)).join().unwrap();
        assert_eq!(current().class(), IoClass::Idle);
        set_current(IoPrio::NONE);
    }
}
