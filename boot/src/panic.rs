//! The end of the kernel when it can't go on: what happened, who called whom, a failing status.

use core::fmt::{self, Write as _};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU8, Ordering};

use machine::framing::End;
use machine::{backtrace, console, cpu, power, trap};

/// The launcher's status for a panic.
const STATUS: u8 = 70;

/// How often a panic has begun: what fails in a panic must not go round for ever.
static DEPTH: AtomicU8 = AtomicU8::new(0);

/// The console, past its lock.
struct Line;

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        console::panic_write(text.as_bytes(), None);
        Ok(())
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    cpu::mask_interrupts();
    match DEPTH.fetch_add(1, Ordering::Relaxed) {
        0 => {
            // Writing to this line can't fail.
            _ = writeln!(Line, "kernel {info}");
            _ = trap::kernel::write_registers(&mut Line);
            _ = writeln!(Line, "thread: {}", sync::thread::current_name());
            _ = backtrace::write(&mut Line);
        }
        1 => _ = writeln!(Line, "panic in a panic: {info}"),
        _ => power::exit(STATUS),
    }
    console::panic_write(b"", Some(End::Panic));
    power::exit(STATUS)
}
