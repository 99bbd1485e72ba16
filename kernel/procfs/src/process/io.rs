//! /proc/1/io (Documentation/filesystems/proc.rst, 3.3).

use crate::source::ProcessView;
use crate::text::Text;

pub(crate) fn io(process: &dyn ProcessView, text: &mut Text) {
    let io = process.io();
    writeln!(text, "rchar: {}", io.rchar);
    writeln!(text, "wchar: {}", io.wchar);
    writeln!(text, "syscr: {}", io.syscr);
    writeln!(text, "syscw: {}", io.syscw);
    writeln!(text, "read_bytes: {}", io.read_bytes);
    writeln!(text, "write_bytes: {}", io.write_bytes);
    writeln!(text, "cancelled_write_bytes: {}", io.cancelled_write_bytes);
}
