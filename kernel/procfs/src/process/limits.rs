//! /proc/1/limits: a table with fixed columns.

use alloc::string::{String, ToString};

use crate::source::{Limit, ProcessView};
use crate::text::Text;

/// Names and units, by RLIMIT number. Priorities have no unit and no column for it.
const NAMES: [(&str, Option<&str>); 16] = [
    ("Max cpu time", Some("seconds")),
    ("Max file size", Some("bytes")),
    ("Max data size", Some("bytes")),
    ("Max stack size", Some("bytes")),
    ("Max core file size", Some("bytes")),
    ("Max resident set", Some("bytes")),
    ("Max processes", Some("processes")),
    ("Max open files", Some("files")),
    ("Max locked memory", Some("bytes")),
    ("Max address space", Some("bytes")),
    ("Max file locks", Some("locks")),
    ("Max pending signals", Some("signals")),
    ("Max msgqueue size", Some("bytes")),
    ("Max nice priority", None),
    ("Max realtime priority", None),
    ("Max realtime timeout", Some("us")),
];

pub(crate) fn limits(process: &dyn ProcessView, text: &mut Text) {
    writeln!(text, "{:<25} {:<20} {:<20} {:<10}", "Limit", "Soft Limit", "Hard Limit", "Units");
    for ((name, unit), limit) in NAMES.iter().zip(process.limits()) {
        write!(text, "{name:<25} {:<20} {:<20} ", value(limit.soft), value(limit.hard));
        match unit {
            Some(unit) => writeln!(text, "{unit:<10}"),
            None => writeln!(text),
        }
    }
}

fn value(limit: u64) -> String {
    if limit == Limit::UNLIMITED { "unlimited".to_string() } else { limit.to_string() }
}
