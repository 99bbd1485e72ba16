//! `print!` and `println!` to standard output, a line at a time.

use core::fmt::{self, Write};

use crate::sys;

/// Collects a formatted text and writes it when the buffer is full or at the end.
pub struct Out {
    buffer: [u8; 512],
    used: usize,
}

impl Out {
    /// An empty buffer.
    pub const fn new() -> Out {
        Out { buffer: [0; 512], used: 0 }
    }

    fn flush(&mut self) {
        let mut at = 0;
        while at < self.used {
            match sys::write(1, &self.buffer[at..self.used]) {
                n if n > 0 => at += n as usize,
                _ => break,
            }
        }
        self.used = 0;
    }
}

impl Default for Out {
    fn default() -> Self {
        Out::new()
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Write for Out {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for &byte in s.as_bytes() {
            if self.used == self.buffer.len() {
                self.flush();
            }
            self.buffer[self.used] = byte;
            self.used += 1;
        }
        Ok(())
    }
}

/// What the macros call.
pub fn print(args: fmt::Arguments<'_>) {
    // Writing to `Out` cannot fail.
    let _ = Out::new().write_fmt(args);
}

/// Prints to standard output.
#[macro_export]
macro_rules! print {
    ($($arg:tt)*) => { $crate::print::print(format_args!($($arg)*)) };
}

/// Prints a line to standard output.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($($arg:tt)*) => { $crate::print::print(format_args!("{}\n", format_args!($($arg)*))) };
}
