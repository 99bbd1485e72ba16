//! The text of a file while it is made.
//!
//! Not a `String`: names and arguments are bytes. Writing cannot fail, so `write!(text, …)` gives
//! nothing back to look at.

use alloc::vec::Vec;
use core::fmt;

/// Growing text.
#[derive(Default)]
pub struct Text(Vec<u8>);

struct Sink<'a>(&'a mut Vec<u8>);

impl fmt::Write for Sink<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.0.extend_from_slice(s.as_bytes());
        Ok(())
    }
}

impl Text {
    /// What `write!` calls.
    pub fn write_fmt(&mut self, args: fmt::Arguments<'_>) {
        // The sink takes everything, and numbers and strings format without errors of their own.
        let _ = fmt::Write::write_fmt(&mut Sink(&mut self.0), args);
    }

    /// Bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Bytes with each of `special` as a backslash and three octal digits (`mangle_path`), so that a
    /// name with a blank stays one word.
    pub fn escaped(&mut self, bytes: &[u8], special: &[u8]) {
        for &b in bytes {
            if special.contains(&b) {
                write!(self, "\\{b:03o}");
            } else {
                self.0.push(b);
            }
        }
    }

    /// All of it.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_octal() {
        let mut text = Text::default();
        text.escaped(b"a b\\c\n#\xff", b" \t\n\\");
        write!(text, " {:>3}", 7);
        assert_eq!(text.into_bytes(), b"a\\040b\\134c\\012#\xff   7");
    }
}
