//! /proc/1/stat and /proc/1/statm: numbers without labels, for programs.
//!
//! Source: proc(5); Documentation/filesystems/proc.rst, tables 1-3 and 1-4.

use base::PAGE_SIZE;

use super::PID;
use crate::source::ProcessView;
use crate::text::{Text, ticks};

/// RLIMIT_RSS.
const RSS: usize = 5;
/// SIGCHLD, which tells a parent of the end.
const EXIT_SIGNAL: u32 = 17;
/// The priority of nice value 0.
const PRIORITY: u32 = 20;

/// The 52 fields on one line. The signal sets are the first 31 signals', as they always were here.
pub(crate) fn stat(process: &dyn ProcessView, text: &mut Text) {
    let (sizes, times, layout) = (process.sizes(), process.times(), process.layout());
    write!(text, "{PID} (");
    text.bytes(&process.comm());
    // state ppid pgrp session tty_nr tpgid flags
    write!(text, ") R 0 {PID} {PID} 0 -1 0");
    // minflt cminflt majflt cmajflt utime stime cutime cstime
    write!(text, " {} 0 {} 0", sizes.minor_faults, sizes.major_faults);
    write!(text, " {} {} 0 0", ticks(times.user), ticks(times.system));
    // priority nice num_threads itrealvalue starttime
    write!(text, " {PRIORITY} 0 1 0 {}", ticks(times.start));
    // vsize rss rsslim
    write!(text, " {} {} {}", sizes.total, pages(sizes.resident), process.limits()[RSS].soft);
    // startcode endcode startstack kstkesp kstkeip
    write!(text, " {} {} {} 0 0", layout.code.0, layout.code.1, layout.stack);
    let signals = process.signals();
    for set in [signals.pending, signals.blocked, signals.ignored, signals.caught] {
        write!(text, " {}", set & 0x7fff_ffff);
    }
    // wchan nswap cnswap exit_signal processor rt_priority policy delayacct guest cguest
    write!(text, " 0 0 0 {EXIT_SIGNAL} 0 0 0 0 0 0");
    // start_data end_data start_brk arg_start arg_end env_start env_end exit_code
    write!(text, " {} {} {}", layout.data.0, layout.data.1, layout.heap);
    write!(text, " {} {} {} {}", layout.args.0, layout.args.1, layout.env.0, layout.env.1);
    writeln!(text, " 0");
}

/// size resident shared text lib data dt, in pages.
pub(crate) fn statm(process: &dyn ProcessView, text: &mut Text) {
    let s = process.sizes();
    let data = s.data.saturating_add(s.stack);
    let shared = s.resident_file.saturating_add(s.resident_shmem);
    let [size, resident, shared, code, data] = [s.total, s.resident, shared, s.text, data].map(pages);
    writeln!(text, "{size} {resident} {shared} {code} 0 {data} 0");
}

fn pages(bytes: u64) -> u64 {
    bytes.div_ceil(PAGE_SIZE as u64)
}
