//! /proc/1/status: what stat tells and more, with labels, for people.
//!
//! Source: proc(5); Documentation/filesystems/proc.rst, table 1-2.

use super::PID;
use crate::source::{ProcessView, SignalSets, Sizes};
use crate::text::{Text, kib};

/// RLIMIT_SIGPENDING.
const SIGPENDING: usize = 11;
/// Every capability of Linux 6.1, CAP_CHOWN 0 to CAP_CHECKPOINT_RESTORE 40.
const ALL_CAPABILITIES: u64 = (1 << 41) - 1;

pub(crate) fn status(process: &dyn ProcessView, text: &mut Text) {
    identity(process, text);
    memory(&process.sizes(), text);
    writeln!(text, "CoreDumping:\t0\nTHP_enabled:\t0\nThreads:\t1");
    signals(&process.signals(), process.limits()[SIGPENDING].soft, text);
    capabilities(process, text);
    writeln!(text, "NoNewPrivs:\t0\nSeccomp:\t0\nSeccomp_filters:\t0");
    writeln!(text, "Speculation_Store_Bypass:\tunknown\nSpeculationIndirectBranch:\tunknown");
    writeln!(text, "Cpus_allowed:\t1\nCpus_allowed_list:\t0");
    writeln!(text, "Mems_allowed:\t1\nMems_allowed_list:\t0");
    let times = process.times();
    writeln!(text, "voluntary_ctxt_switches:\t{}", times.voluntary_switches);
    writeln!(text, "nonvoluntary_ctxt_switches:\t{}", times.involuntary_switches);
}

fn identity(process: &dyn ProcessView, text: &mut Text) {
    write!(text, "Name:\t");
    name(&process.comm(), text);
    writeln!(text, "\nUmask:\t{:04o}", process.umask());
    writeln!(text, "State:\tR (running)");
    writeln!(text, "Tgid:\t{PID}\nNgid:\t0\nPid:\t{PID}\nPPid:\t0\nTracerPid:\t0");
    let c = process.cred();
    writeln!(text, "Uid:\t{}\t{}\t{}\t{}", c.uid, c.euid, c.suid, c.fsuid);
    writeln!(text, "Gid:\t{}\t{}\t{}\t{}", c.gid, c.egid, c.sgid, c.fsgid);
    writeln!(text, "FDSize:\t{}", process.fd_size());
    write!(text, "Groups:\t");
    for (i, group) in c.groups.iter().enumerate() {
        write!(text, "{}{group}", if i == 0 { "" } else { " " });
    }
    // The blank at the end has been there for so long that somebody may count on it.
    writeln!(text, " ");
    writeln!(text, "NStgid:\t{PID}\nNSpid:\t{PID}\nNSpgid:\t{PID}\nNSsid:\t{PID}");
}

/// A name on one line: newlines and backslashes are written as in C.
fn name(comm: &[u8], text: &mut Text) {
    for &b in comm {
        match b {
            b'\n' => text.bytes(b"\\n"),
            b'\\' => text.bytes(b"\\\\"),
            b => text.bytes(&[b]),
        }
    }
}

fn memory(s: &Sizes, text: &mut Text) {
    let own = s.resident.saturating_sub(s.resident_file.saturating_add(s.resident_shmem));
    for (label, bytes) in [
        ("VmPeak:\t", s.peak_total.max(s.total)),
        ("VmSize:\t", s.total),
        ("VmLck:\t", s.locked),
        ("VmPin:\t", 0),
        ("VmHWM:\t", s.peak_resident.max(s.resident)),
        ("VmRSS:\t", s.resident),
        ("RssAnon:\t", own),
        ("RssFile:\t", s.resident_file),
        ("RssShmem:\t", s.resident_shmem),
        ("VmData:\t", s.data),
        ("VmStk:\t", s.stack),
        ("VmExe:\t", s.text),
        ("VmLib:\t", s.library),
        ("VmPTE:\t", s.page_tables),
        ("VmSwap:\t", 0),
    ] {
        kib(text, label, bytes);
    }
}

fn signals(sets: &SignalSets, limit: u64, text: &mut Text) {
    writeln!(text, "SigQ:\t{}/{limit}", sets.pending.count_ones());
    // One thread: what waits for the process waits for it.
    for (label, set) in [
        ("SigPnd", 0),
        ("ShdPnd", sets.pending),
        ("SigBlk", sets.blocked),
        ("SigIgn", sets.ignored),
        ("SigCgt", sets.caught),
    ] {
        writeln!(text, "{label}:\t{set:016x}");
    }
}

/// Whoever is root has them all; there are no sets to be kept.
fn capabilities(process: &dyn ProcessView, text: &mut Text) {
    let held = if process.cred().capable() { ALL_CAPABILITIES } else { 0 };
    for (label, set) in
        [("CapInh", 0), ("CapPrm", held), ("CapEff", held), ("CapBnd", ALL_CAPABILITIES), ("CapAmb", 0)]
    {
        writeln!(text, "{label}:\t{set:016x}");
    }
}
