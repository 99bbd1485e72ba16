//! The last lines of the log, oldest first, in a ring of bytes.

/// Bytes kept.
const SIZE: usize = 32 << 10;

/// Lines that end with a newline; the oldest go when room is needed.
pub struct LogRing {
    bytes: [u8; SIZE],
    /// Bytes ever pushed, and the position of the oldest line's first byte.
    end: u64,
    start: u64,
}

impl LogRing {
    /// Empty.
    pub const fn new() -> LogRing {
        LogRing { bytes: [0; SIZE], end: 0, start: 0 }
    }

    /// Appends a line, which ends with a newline and has no other.
    pub fn push(&mut self, line: &[u8]) {
        if line.len() > SIZE {
            return;
        }
        while self.end + line.len() as u64 - self.start > SIZE as u64 {
            self.drop_oldest();
        }
        for &byte in line {
            self.bytes[self.end as usize % SIZE] = byte;
            self.end += 1;
        }
    }

    /// The line at position `at` (or the oldest, when that is gone), cut to `buf`, and the position
    /// of the next. None at the end.
    pub fn line<'b>(&self, at: u64, buf: &'b mut [u8]) -> Option<(u64, &'b [u8])> {
        let mut at = at.max(self.start);
        let mut len = 0;
        while at < self.end {
            let byte = self.bytes[at as usize % SIZE];
            at += 1;
            if let Some(slot) = buf.get_mut(len) {
                *slot = byte;
                len += 1;
            }
            if byte == b'\n' {
                return Some((at, &buf[..len]));
            }
        }
        None
    }

    fn drop_oldest(&mut self) {
        while self.start < self.end {
            self.start += 1;
            if self.bytes[(self.start - 1) as usize % SIZE] == b'\n' {
                return;
            }
        }
    }
}

impl Default for LogRing {
    fn default() -> Self {
        LogRing::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::boxed::Box;
    use std::format;
    use std::vec::Vec;

    fn lines(ring: &LogRing) -> Vec<Vec<u8>> {
        let (mut at, mut buf, mut out) = (0, [0; 100], Vec::new());
        while let Some((next, line)) = ring.line(at, &mut buf) {
            out.push(line.to_vec());
            at = next;
        }
        out
    }

    #[test]
    fn lines_come_back_in_order() {
        let mut ring = Box::new(LogRing::new());
        ring.push(b"one\n");
        ring.push(b"two\n");
        assert_eq!(lines(&ring), [b"one\n", b"two\n"]);
    }

    #[test]
    fn whole_lines_go_when_it_is_full() {
        let mut ring = Box::new(LogRing::new());
        for n in 0..10_000 {
            ring.push(format!("line {n}\n").as_bytes());
        }
        let kept = lines(&ring);
        assert_eq!(kept.last().map(Vec::as_slice), Some(&b"line 9999\n"[..]));
        let first: u32 = std::str::from_utf8(&kept[0][5..]).unwrap().trim().parse().unwrap();
        assert_eq!(kept.len(), 10_000 - first as usize);
    }

    #[test]
    fn a_giant_is_refused_and_a_short_buffer_cuts() {
        let mut ring = Box::new(LogRing::new());
        ring.push(&[b'x'; SIZE + 1]);
        ring.push(b"abcdef\n");
        assert_eq!(ring.line(0, &mut [0; 3]), Some((7, &b"abc"[..])));
    }
}
