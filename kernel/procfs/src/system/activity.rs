//! /proc/uptime, /proc/loadavg, /proc/stat.

use base::time::{self, NSEC_PER_SEC};

use crate::fs::ProcFs;
use crate::source::CpuTimes;
use crate::text::{Text, ticks};

/// Linux counts ten kinds of softirqs; Quill has none.
const SOFTIRQS: usize = 10;

/// Seconds since the start, and seconds of idling summed over the processors.
pub(crate) fn uptime(fs: &ProcFs, text: &mut Text) {
    let idle = fs.source.activity().cpus.iter().map(|cpu| cpu.idle.saturating_add(cpu.iowait)).sum();
    let [up, idle] = [time::monotonic_ns(), idle].map(ticks);
    writeln!(text, "{}.{:02} {}.{:02}", up / 100, up % 100, idle / 100, idle % 100);
}

/// Three averages, runnable of all threads, the last process id.
pub(crate) fn loadavg(fs: &ProcFs, text: &mut Text) {
    let now = fs.source.activity();
    for load in now.load {
        write!(text, "{}.{:02} ", load / 100, load % 100);
    }
    writeln!(text, "{}/{} 1", now.runnable, now.threads);
}

/// Processor times in ticks, interrupts, context switches, the moment of the start, threads.
pub(crate) fn stat(fs: &ProcFs, text: &mut Text) {
    let now = fs.source.activity();
    let all = now.cpus.iter().fold(CpuTimes::default(), |a, b| CpuTimes {
        user: a.user + b.user,
        system: a.system + b.system,
        idle: a.idle + b.idle,
        iowait: a.iowait + b.iowait,
        irq: a.irq + b.irq,
    });
    // The line of all has two blanks: an empty number stood between them once.
    write!(text, "cpu ");
    cpu_line(&all, text);
    for (number, cpu) in now.cpus.iter().enumerate() {
        write!(text, "cpu{number}");
        cpu_line(cpu, text);
    }
    write!(text, "intr {}", now.interrupts.iter().sum::<u64>());
    for count in &now.interrupts {
        write!(text, " {count}");
    }
    writeln!(text, "\nctxt {}", now.context_switches);
    writeln!(text, "btime {}", started_at());
    writeln!(text, "processes {}", now.started);
    writeln!(text, "procs_running {}", now.runnable);
    writeln!(text, "procs_blocked {}", now.blocked);
    write!(text, "softirq 0");
    for _ in 0..SOFTIRQS {
        write!(text, " 0");
    }
    writeln!(text);
}

/// user nice system idle iowait irq softirq steal guest guest_nice
fn cpu_line(cpu: &CpuTimes, text: &mut Text) {
    let [user, system, idle, iowait, irq] = [cpu.user, cpu.system, cpu.idle, cpu.iowait, cpu.irq].map(ticks);
    writeln!(text, " {user} 0 {system} {idle} {iowait} {irq} 0 0 0 0");
}

/// CLOCK_REALTIME when CLOCK_MONOTONIC was 0, in seconds.
fn started_at() -> u64 {
    let now = time::now().as_ns().unwrap_or(0);
    now.saturating_sub(time::monotonic_ns()) / NSEC_PER_SEC
}
