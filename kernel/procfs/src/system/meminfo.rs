//! /proc/meminfo: the lines of a Linux without swap, huge pages and the like; what cannot be other
//! than nothing says 0, because programs look for the label.

use crate::fs::ProcFs;
use crate::source::Memory;
use crate::text::Text;

/// All lines, in Linux's order.
pub(crate) fn meminfo(fs: &ProcFs, text: &mut Text) {
    for (label, bytes) in lines(&fs.source.memory()) {
        writeln!(text, "{:<16}{:>8} kB", label, bytes / 1024);
    }
}

fn lines(m: &Memory) -> [(&'static str, u64); 42] {
    let file = m.buffers.saturating_add(m.cached);
    let active = m.active.min(file);
    let inactive = file - active;
    // Linux keeps them in the cache, and reclaims them as the program's own.
    let own = m.anonymous.saturating_add(m.shmem);
    [
        ("MemTotal:", m.total),
        ("MemFree:", m.free),
        ("MemAvailable:", m.available),
        ("Buffers:", m.buffers),
        ("Cached:", m.cached.saturating_add(m.shmem)),
        ("SwapCached:", 0),
        ("Active:", active),
        ("Inactive:", inactive.saturating_add(own)),
        ("Active(anon):", 0),
        ("Inactive(anon):", own),
        ("Active(file):", active),
        ("Inactive(file):", inactive),
        ("Unevictable:", 0),
        ("Mlocked:", 0),
        ("SwapTotal:", 0),
        ("SwapFree:", 0),
        ("Dirty:", m.dirty),
        ("Writeback:", m.writeback),
        ("AnonPages:", m.anonymous),
        ("Mapped:", m.mapped),
        ("Shmem:", m.shmem),
        ("KReclaimable:", 0),
        ("Slab:", m.heap),
        ("SReclaimable:", 0),
        ("SUnreclaim:", m.heap),
        ("KernelStack:", m.stacks),
        ("PageTables:", m.page_tables),
        ("SecPageTables:", 0),
        ("NFS_Unstable:", 0),
        ("Bounce:", 0),
        ("WritebackTmp:", 0),
        // Without swap, and with overcommit_ratio 50.
        ("CommitLimit:", m.total / 2),
        ("Committed_AS:", m.committed),
        ("VmallocTotal:", 0),
        ("VmallocUsed:", 0),
        ("VmallocChunk:", 0),
        ("Percpu:", 0),
        ("AnonHugePages:", 0),
        ("ShmemHugePages:", 0),
        ("ShmemPmdMapped:", 0),
        ("FileHugePages:", 0),
        ("FilePmdMapped:", 0),
    ]
}
