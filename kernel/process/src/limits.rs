//! Resource limits: getrlimit(2), with the values a fresh Linux starts its first process with.
//!
//! Each limit is two atomics, so that a look at one on a hot path (RLIMIT_FSIZE on each write) is one
//! load. Soft and hard limit of one resource may be seen half changed by another thread; Linux promises
//! no more.

use core::sync::atomic::{AtomicU64, Ordering};

use base::{Errno, Result};

/// No limit.
pub const INFINITY: u64 = u64::MAX;

/// How many resources there are.
pub const COUNT: usize = 16;

/// What can be limited, numbered as Linux does (`RLIMIT_*`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Resource {
    /// Seconds of CPU time.
    Cpu = 0,
    /// Size of a file, in bytes.
    FileSize = 1,
    /// brk and private writable mappings, in bytes.
    Data = 2,
    /// The stack, in bytes.
    Stack = 3,
    /// A core dump, in bytes.
    Core = 4,
    /// Resident memory; not enforced, as in Linux.
    Rss = 5,
    /// Processes of a user.
    Processes = 6,
    /// One more than the largest file descriptor.
    OpenFiles = 7,
    /// Locked memory, in bytes.
    LockedMemory = 8,
    /// The whole address space, in bytes.
    AddressSpace = 9,
    /// File locks.
    Locks = 10,
    /// Signals waiting to be delivered.
    PendingSignals = 11,
    /// POSIX message queues, in bytes.
    MessageQueues = 12,
    /// 20 minus the lowest nice value.
    Nice = 13,
    /// Real-time priority.
    RealtimePriority = 14,
    /// Microseconds of real-time CPU without a blocking call.
    RealtimeTime = 15,
}

impl Resource {
    /// From a system call's argument. EINVAL.
    pub const fn from_user(number: u32) -> Result<Resource> {
        use Resource::*;
        const ALL: [Resource; COUNT] = [
            Cpu,
            FileSize,
            Data,
            Stack,
            Core,
            Rss,
            Processes,
            OpenFiles,
            LockedMemory,
            AddressSpace,
            Locks,
            PendingSignals,
            MessageQueues,
            Nice,
            RealtimePriority,
            RealtimeTime,
        ];
        if (number as usize) < COUNT { Ok(ALL[number as usize]) } else { Err(Errno::EINVAL) }
    }
}

/// A limit: what is enforced, and how far it may be raised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limit {
    /// `rlim_cur`.
    pub soft: u64,
    /// `rlim_max`.
    pub hard: u64,
}

/// The largest RLIMIT_NOFILE anybody may set (`/proc/sys/fs/nr_open`).
pub const NR_OPEN: u64 = 1 << 20;

/// All limits of a process.
#[derive(Debug)]
pub struct Limits {
    soft: [AtomicU64; COUNT],
    hard: [AtomicU64; COUNT],
}

impl Limits {
    /// What Linux gives its first process on a machine with this many pages of memory.
    pub fn new(memory_pages: u64) -> Limits {
        let limits = Limits {
            soft: [const { AtomicU64::new(INFINITY) }; COUNT],
            hard: [const { AtomicU64::new(INFINITY) }; COUNT],
        };
        // Linux: a thread per eight stacks' worth of memory, half of them for one user.
        let processes = memory_pages / 64;
        let finite = [
            (Resource::Stack, 8 << 20, INFINITY),
            (Resource::Core, 0, INFINITY),
            (Resource::Processes, processes, processes),
            (Resource::OpenFiles, 1024, 4096),
            (Resource::LockedMemory, 8 << 20, 8 << 20),
            (Resource::PendingSignals, processes, processes),
            (Resource::MessageQueues, 819_200, 819_200),
            (Resource::Nice, 0, 0),
            (Resource::RealtimePriority, 0, 0),
        ];
        for (resource, soft, hard) in finite {
            limits.put(resource, Limit { soft, hard });
        }
        limits
    }

    /// What is enforced.
    #[inline]
    pub fn soft(&self, resource: Resource) -> u64 {
        self.soft[resource as usize].load(Ordering::Relaxed)
    }

    /// Soft and hard limit of a resource named by its number. EINVAL.
    pub fn get(&self, resource: u32) -> Result<(u64, u64)> {
        let limit = self.limit(Resource::from_user(resource)?);
        Ok((limit.soft, limit.hard))
    }

    /// Both.
    pub fn limit(&self, resource: Resource) -> Limit {
        Limit { soft: self.soft(resource), hard: self.hard[resource as usize].load(Ordering::Relaxed) }
    }

    /// Changes a limit (`do_prlimit`). EINVAL when soft is above hard; EPERM when hard would be raised
    /// and `capable` (CAP_SYS_RESOURCE) is false, or open files beyond [`NR_OPEN`].
    pub fn set(&self, resource: Resource, new: Limit, capable: bool) -> Result<()> {
        if new.soft > new.hard {
            return Err(Errno::EINVAL);
        }
        if resource == Resource::OpenFiles && new.hard > NR_OPEN {
            return Err(Errno::EPERM);
        }
        if new.hard > self.limit(resource).hard && !capable {
            return Err(Errno::EPERM);
        }
        self.put(resource, new);
        Ok(())
    }

    fn put(&self, resource: Resource, new: Limit) {
        self.soft[resource as usize].store(new.soft, Ordering::Relaxed);
        self.hard[resource as usize].store(new.hard, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_linux_s() {
        let limits = Limits::new(65536);
        assert_eq!(limits.limit(Resource::Stack), Limit { soft: 8 << 20, hard: INFINITY });
        assert_eq!(limits.limit(Resource::OpenFiles), Limit { soft: 1024, hard: 4096 });
        assert_eq!(limits.soft(Resource::Core), 0);
        assert_eq!(limits.soft(Resource::FileSize), INFINITY);
    }

    #[test]
    fn raising_needs_a_capability() {
        let limits = Limits::new(65536);
        let (r, set) = (Resource::OpenFiles, |soft, hard| Limit { soft, hard });
        assert_eq!(limits.set(r, set(10, 5), true), Err(Errno::EINVAL));
        assert_eq!(limits.set(r, set(10, 5000), false), Err(Errno::EPERM));
        assert_eq!(limits.set(r, set(10, 4000), false), Ok(()));
        assert_eq!(limits.set(r, set(10, 4096), false), Err(Errno::EPERM));
        assert_eq!(limits.set(r, set(10, 4096), true), Ok(()));
        assert_eq!(limits.set(r, set(10, NR_OPEN + 1), true), Err(Errno::EPERM));
        assert_eq!(limits.limit(r), set(10, 4096));
    }

    #[test]
    fn numbers() {
        for n in 0..COUNT as u32 {
            assert_eq!(Resource::from_user(n).map(|r| r as u32), Ok(n));
        }
        assert_eq!(Resource::from_user(16), Err(Errno::EINVAL));
    }
}
