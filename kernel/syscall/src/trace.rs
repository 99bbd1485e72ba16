//! The trace points of system calls: what came in, what goes out. Docs: docs/tracing.md.
//!
//! The text is Linux's; the name of the call stands behind the arguments.
//!
//! Source: Linux 6.1, include/trace/events/syscalls.h, `raw_syscalls`.

use base::Result;
use base::trace::Event;
use process::Process;

use crate::args::Args;
use crate::context::Cx;
use crate::table;

/// The events of this layer.
pub static EVENTS: [&Event; 2] = [&SYS_ENTER, &SYS_EXIT];

static SYS_ENTER: Event =
    Event::new("raw_syscalls", "sys_enter", &["long id", "unsigned long args[6]"], |r, out| {
        write!(out, "NR {} (", r.signed(0))?;
        for index in 1..=6 {
            write!(out, "{}{:x}", if index == 1 { "" } else { ", " }, r.arg(index))?;
        }
        write!(out, ") {}", table::name(r.arg(0)))
    });

static SYS_EXIT: Event = Event::new("raw_syscalls", "sys_exit", &["long id", "long ret"], |r, out| {
    write!(out, "NR {} = {}", r.signed(0), r.signed(1))
});

/// From here on this thread is the program's, by its number and name.
pub(crate) fn set_task(process: &Process) {
    // Numbers of processes are positive.
    ::sync::thread::set_task(process.pid().unsigned_abs(), &process.comm());
}

/// The program is over; the thread goes on for itself.
pub(crate) fn forget_task() {
    ::sync::thread::set_task(0, b"");
}

/// Whether anybody wants to know of calls. Asked once per call, so that nothing need be kept for
/// the second event across a call that nobody traces.
#[inline(always)]
pub(crate) fn enabled() -> bool {
    SYS_ENTER.enabled() | SYS_EXIT.enabled()
}

/// A call between its two events.
#[cold]
pub(crate) fn traced(cx: &mut Cx<'_>, number: u64, args: Args) -> Result<u64> {
    SYS_ENTER.emit(move || {
        let [a, b, c, d, e, f] = args.0;
        [number, a, b, c, d, e, f]
    });
    let answer = table::dispatch(cx, number, args);
    SYS_EXIT.emit(move || [number, answer.unwrap_or_else(|error| error.as_return())]);
    answer
}
