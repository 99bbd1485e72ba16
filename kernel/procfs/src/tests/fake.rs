//! A source that tells fixed numbers, and whose program can be changed while a test runs.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU8, Ordering};
use std::sync::Mutex;

use base::{DevId, Result, Sector};
use block::{DirectionStats, DiskStats};
use vfs::{Cred, FdTable, File, Path};

use crate::*;

pub struct FakeSource {
    pub process: Mutex<Option<Arc<FakeProcess>>>,
    next_random: AtomicU8,
    /// By place in [`Setting`].
    settings: Mutex<[i64; 9]>,
}

impl FakeSource {
    pub fn new(process: Option<Arc<FakeProcess>>) -> Arc<FakeSource> {
        Arc::new(FakeSource {
            process: Mutex::new(process),
            next_random: AtomicU8::new(0),
            settings: Mutex::new(SETTINGS),
        })
    }
}

/// What Linux begins with.
const SETTINGS: [i64; 9] = [65536, 1, 0, 10, 0, 3000, 20, 500, 0];

const MIB: u64 = 1 << 20;
pub const SEC: u64 = 1_000_000_000;

impl ProcSource for FakeSource {
    fn uts(&self) -> Uts {
        Uts {
            sysname: "Linux".to_string(),
            nodename: "quill".to_string(),
            release: "6.1.0-quill".to_string(),
            version: "#1 Quill".to_string(),
            domainname: String::new(),
            built: "(a@b) (rustc)".to_string(),
        }
    }

    fn command_line(&self) -> Vec<u8> {
        b"root=/dev/vda rw -- -v".to_vec()
    }

    fn memory(&self) -> Memory {
        Memory {
            total: 256 * MIB,
            free: 100 * MIB,
            available: 180 * MIB,
            buffers: 10 * MIB,
            cached: 70 * MIB,
            active: 30 * MIB,
            dirty: 5 * MIB,
            writeback: 4096,
            anonymous: 2 * MIB,
            shmem: 0,
            mapped: MIB,
            heap: 3 * MIB,
            stacks: 64 * 1024,
            page_tables: 16 * 1024,
            committed: 20 * MIB,
        }
    }

    fn cpus(&self) -> Vec<Cpu> {
        let cpu = Cpu { midr: 0x410f_d083, timer_hz: 62_500_000, features: ["fp", "asimd"].to_vec() };
        [cpu.clone(), Cpu { midr: 0x001f_0010 | 5, ..cpu }].to_vec()
    }

    fn activity(&self) -> Activity {
        let cpu = CpuTimes {
            user: 2 * SEC,
            system: SEC,
            idle: 100 * SEC + SEC / 4,
            iowait: SEC / 2,
            irq: SEC / 100,
        };
        Activity {
            cpus: [cpu].to_vec(),
            interrupts: [0, 7, 30].to_vec(),
            context_switches: 99,
            started: 6,
            threads: 4,
            runnable: 1,
            blocked: 2,
            load: [5, 123, 0],
        }
    }

    fn vm(&self) -> VmStat {
        VmStat {
            dirtied: 11,
            written: 12,
            dirty_threshold: 13,
            dirty_background_threshold: 14,
            sectors_in: 33,
            sectors_out: 36,
            minor_faults: 20,
            major_faults: 3,
            reclaim: ReclaimStat {
                activated: 40,
                refaulted: 42,
                refaulted_active: 43,
                stolen_by_kswapd: 41,
                ..ReclaimStat::default()
            },
            drop_pagecache: 1,
            drop_slab: 2,
        }
    }

    fn setting(&self, which: Setting) -> i64 {
        self.settings.lock().unwrap()[which as usize]
    }

    fn set(&self, which: Setting, value: i64) {
        self.settings.lock().unwrap()[which as usize] = value;
    }

    fn disks(&self) -> Vec<Disk> {
        let of = |ios, merges, sectors, ms: u64| DirectionStats { ios, merges, sectors, ns: ms * 1_000_000 };
        let stats = DiskStats {
            read: of(1, 2, 3, 4),
            write: of(5, 6, 7, 8),
            discard: of(9, 10, 11, 12),
            flush: of(13, 0, 0, 14),
            in_flight: 15,
            in_flight_writes: 10,
            busy_ns: 16_999_999,
            queue_ns: 17_000_000,
            errors: 0,
        };
        let disk = Disk { name: "vda".to_string(), dev: DevId::new(254, 0), capacity: Sector(2049), stats };
        let other = Disk {
            name: "vdb".to_string(),
            dev: DevId::new(254, 16),
            stats: DiskStats::default(),
            ..disk.clone()
        };
        [disk, other].to_vec()
    }

    fn mounted(&self, what: Mounted) -> Vec<Entry> {
        let all: &[_] = match what {
            Mounted::Journals => &[(3, "vda-8"), (7, "vdb")],
            Mounted::Ext4 => &[(3, "vda")],
        };
        all.iter().map(|&(number, name)| Entry { number, name: name.to_string() }).collect()
    }

    fn told(&self, what: Mounted, number: u32) -> Option<String> {
        let word = if what == Mounted::Journals { "transactions" } else { "fast commits" };
        [3, 7].contains(&number).then(|| alloc::format!("{number} {word}\n"))
    }

    fn random(&self, bytes: &mut [u8]) {
        bytes.fill(0xf0 | self.next_random.fetch_add(1, Ordering::Relaxed) & 0xf);
    }

    fn process(&self) -> Option<Arc<dyn ProcessView>> {
        let process = self.process.lock().unwrap().clone()?;
        Some(process)
    }
}

pub struct FakeProcess {
    pub root: Path,
    pub cwd: Path,
    pub exe: Path,
    pub files: FdTable,
    pub comm: Mutex<Vec<u8>>,
    pub cred: Mutex<Cred>,
}

impl ProcessView for FakeProcess {
    fn comm(&self) -> Vec<u8> {
        self.comm.lock().unwrap().clone()
    }

    fn set_comm(&self, name: &[u8]) -> Result<()> {
        *self.comm.lock().unwrap() = name.to_vec();
        Ok(())
    }

    fn cmdline(&self) -> Vec<u8> {
        b"/bin/prog\0-v\0\xff\0".to_vec()
    }

    fn environ(&self) -> Vec<u8> {
        b"HOME=/\0TERM=linux\0".to_vec()
    }

    fn auxv(&self) -> Vec<u8> {
        [6u64, 4096, 0, 0].iter().flat_map(|n| n.to_le_bytes()).collect()
    }

    fn exe(&self) -> Path {
        self.exe.clone()
    }

    fn cwd(&self) -> Path {
        self.cwd.clone()
    }

    fn root(&self) -> Path {
        self.root.clone()
    }

    fn files(&self) -> Vec<(i32, Arc<File>)> {
        self.files.list()
    }

    fn fd_size(&self) -> usize {
        64
    }

    fn maps(&self) -> String {
        "00400000-00401000 r-xp 00000000 fe:00 12 /bin/prog\n".to_string()
    }

    fn sizes(&self) -> Sizes {
        Sizes {
            total: 5 * MIB,
            peak_total: 6 * MIB,
            locked: 0,
            resident: 2 * MIB,
            peak_resident: 3 * MIB,
            resident_shmem: 0,
            resident_file: MIB,
            data: 400 * 1024,
            stack: 132 * 1024,
            text: 20 * 1024,
            library: 0,
            page_tables: 44 * 1024,
            minor_faults: 11,
            major_faults: 12,
        }
    }

    fn layout(&self) -> Layout {
        Layout { code: (1, 2), data: (3, 4), stack: 5, heap: 6, args: (7, 8), env: (9, 10) }
    }

    fn io(&self) -> IoCounters {
        IoCounters {
            rchar: 1,
            wchar: 2,
            syscr: 3,
            syscw: 4,
            read_bytes: 5,
            write_bytes: 6,
            cancelled_write_bytes: 7,
        }
    }

    fn limits(&self) -> [Limit; 16] {
        let mut all = [Limit { soft: Limit::UNLIMITED, hard: Limit::UNLIMITED }; 16];
        all[3].soft = 8 << 20;
        all[7] = Limit { soft: 1024, hard: 4096 };
        all[11] = Limit { soft: 96365, hard: 96365 };
        all[13] = Limit::default();
        all
    }

    fn cred(&self) -> Arc<Cred> {
        Arc::new(self.cred.lock().unwrap().clone())
    }

    fn umask(&self) -> u32 {
        0o022
    }

    fn signals(&self) -> SignalSets {
        SignalSets { pending: 0x200, blocked: 1 << 63 | 2, ignored: 0x1000, caught: 0x1_0000_4002 }
    }

    fn times(&self) -> Times {
        Times { user: SEC, system: SEC / 2, start: 3 * SEC, voluntary_switches: 21, involuntary_switches: 22 }
    }
}
