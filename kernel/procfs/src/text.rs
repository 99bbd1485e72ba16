//! Forms that several files of /proc share.

pub(crate) use kernfs::Text;

/// A size in the form of /proc/meminfo and /proc/self/status: KiB, eight wide.
pub(crate) fn kib(text: &mut Text, label: &str, bytes: u64) {
    writeln!(text, "{label}{:>8} kB", bytes / 1024);
}

/// Nanoseconds as USER_HZ ticks, which are hundredths of a second on every Linux.
pub(crate) fn ticks(ns: u64) -> u64 {
    ns / 10_000_000
}
