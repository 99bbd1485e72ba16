//! The end of the kernel when it can't go on.

use core::fmt::{self, Write as _};
use core::panic::PanicInfo;

use machine::framing::End;
use machine::{console, power};

struct Line;

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        console::panic_write(text.as_bytes(), None);
        Ok(())
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    machine::cpu::mask_interrupts();
    _ = writeln!(Line, "{info}");
    console::panic_write(b"", Some(End::Panic));
    power::exit(70)
}
