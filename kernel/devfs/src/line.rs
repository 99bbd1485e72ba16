//! The line discipline: from the bytes that arrive to what a read returns (N_TTY).
//!
//! With ICANON, bytes gather in `editing` until an end of line, and then become a line that reads
//! take. A read never goes past the end of one line. VEOF ends a line without being in it; when
//! nothing came before, that is an empty line, and the read that takes it returns 0. Without ICANON
//! every byte can be read at once.
//!
//! Data only: the locks and the waiting are `console.rs`'s.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::termios::{Input, Local, Termios, cc};

/// The longest line that waits for its end; one that is longer is handed over in pieces, so that
/// nothing gets lost.
const LINE_MAX: usize = 4096;

/// What one byte led to, besides being kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// Nothing.
    None,
    /// A control character asks for this signal.
    Signal(u8),
}

/// Input on its way to a reader.
#[derive(Default)]
pub struct Line {
    editing: Vec<u8>,
    lines: VecDeque<Vec<u8>>,
}

impl Line {
    /// Nothing yet.
    pub const fn new() -> Line {
        Line { editing: Vec::new(), lines: VecDeque::new() }
    }

    /// A byte arrives. What is to be echoed goes to `echo`.
    pub fn push(&mut self, byte: u8, termios: &Termios, echo: &mut Vec<u8>) -> Event {
        let byte = match byte {
            b'\r' if termios.input.contains(Input::IGNCR) => return Event::None,
            b'\r' if termios.input.contains(Input::ICRNL) => b'\n',
            b'\n' if termios.input.contains(Input::INLCR) => b'\r',
            byte => byte,
        };
        if termios.local.contains(Local::ISIG)
            && let Some(signal) = signal_of(byte, termios)
        {
            echo_byte(byte, termios, echo);
            self.flush();
            return Event::Signal(signal);
        }
        if !termios.local.contains(Local::ICANON) {
            echo_byte(byte, termios, echo);
            self.keep_raw(byte);
            return Event::None;
        }
        self.edit(byte, termios, echo);
        Event::None
    }

    fn edit(&mut self, byte: u8, termios: &Termios, echo: &mut Vec<u8>) {
        if termios.is(cc::VERASE, byte) {
            self.erase(1, termios, echo);
        } else if termios.is(cc::VKILL, byte) {
            self.erase(self.editing.len(), termios, echo);
        } else if termios.is(cc::VEOF, byte) {
            self.end_line();
        } else {
            echo_byte(byte, termios, echo);
            self.editing.push(byte);
            let ends = byte == b'\n' || termios.is(cc::VEOL, byte) || termios.is(cc::VEOL2, byte);
            if ends || self.editing.len() >= LINE_MAX {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        self.lines.push_back(core::mem::take(&mut self.editing));
    }

    fn keep_raw(&mut self, byte: u8) {
        match self.lines.back_mut() {
            Some(last) => last.push(byte),
            None => self.lines.push_back([byte].to_vec()),
        }
    }

    fn erase(&mut self, count: usize, termios: &Termios, echo: &mut Vec<u8>) {
        for _ in 0..count {
            let Some(gone) = self.editing.pop() else { return };
            if termios.local.contains(Local::ECHO | Local::ECHOE) {
                let shown = if is_control(gone) { 2 } else { 1 };
                (0..shown).for_each(|_| echo.extend_from_slice(b"\x08 \x08"));
            }
        }
    }

    /// The end of all input: what has no end of line yet is the last line.
    pub fn finish(&mut self) {
        if !self.editing.is_empty() {
            self.end_line();
        }
    }

    /// ICANON was switched: what has gathered can be read at once.
    pub fn mode_changed(&mut self) {
        self.finish();
        self.lines.retain(|l| !l.is_empty());
    }

    /// Throws away all input.
    pub fn flush(&mut self) {
        self.editing.clear();
        self.lines.clear();
    }

    /// Whether a read would have something, be it the end.
    pub fn ready(&self) -> bool {
        !self.lines.is_empty()
    }

    /// Bytes that can be read (FIONREAD, and VMIN's count).
    pub fn available(&self) -> usize {
        self.lines.iter().map(Vec::len).sum()
    }

    /// Up to `max` bytes: of one line with `canonical`, else of all there is. An empty answer with a
    /// line ready is the end that VEOF made. The bytes stay until [`Line::consume`].
    pub fn peek(&self, max: usize, canonical: bool) -> Vec<u8> {
        let lines = if canonical { 1 } else { usize::MAX };
        self.lines.iter().take(lines).flatten().take(max).copied().collect()
    }

    /// Takes `count` bytes away, and lines that are empty then.
    pub fn consume(&mut self, mut count: usize) {
        while let Some(first) = self.lines.front_mut() {
            if count < first.len() {
                first.drain(..count);
                return;
            }
            count -= first.len();
            self.lines.pop_front();
            if count == 0 {
                return;
            }
        }
    }
}

fn signal_of(byte: u8, termios: &Termios) -> Option<u8> {
    const SIGINT: u8 = 2;
    const SIGQUIT: u8 = 3;
    const SIGTSTP: u8 = 20;
    let pairs = [(cc::VINTR, SIGINT), (cc::VQUIT, SIGQUIT), (cc::VSUSP, SIGTSTP)];
    pairs.into_iter().find(|(index, _)| termios.is(*index, byte)).map(|(_, signal)| signal)
}

fn is_control(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\n' && byte != b'\t') || byte == 0x7f
}

fn echo_byte(byte: u8, termios: &Termios, echo: &mut Vec<u8>) {
    let local = termios.local;
    let newline = byte == b'\n' && local.contains(Local::ECHONL | Local::ICANON);
    if !local.contains(Local::ECHO) && !newline {
        return;
    }
    if is_control(byte) && local.contains(Local::ECHOCTL) {
        echo.extend_from_slice(&[b'^', byte ^ 0x40]);
    } else {
        echo.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(line: &mut Line, termios: &Termios, bytes: &[u8]) -> (Vec<u8>, Vec<Event>) {
        let mut echo = Vec::new();
        let events = bytes.iter().map(|&b| line.push(b, termios, &mut echo)).collect();
        (echo, events)
    }

    fn read(line: &mut Line, max: usize) -> Option<Vec<u8>> {
        if !line.ready() {
            return None;
        }
        let got = line.peek(max, true);
        line.consume(got.len());
        Some(got)
    }

    #[test]
    fn lines_one_at_a_time() {
        let (mut line, t) = (Line::new(), Termios::standard());
        let (echo, _) = feed(&mut line, &t, b"one\rtwo\nthr");
        assert_eq!(echo, b"one\ntwo\nthr");
        assert_eq!(read(&mut line, 2), Some(b"on".to_vec()));
        assert_eq!(read(&mut line, 100), Some(b"e\n".to_vec()));
        assert_eq!(read(&mut line, 100), Some(b"two\n".to_vec()));
        assert_eq!(read(&mut line, 100), None);
        line.finish();
        assert_eq!(read(&mut line, 100), Some(b"thr".to_vec()));
    }

    #[test]
    fn editing() {
        let (mut line, t) = (Line::new(), Termios::standard());
        let (echo, _) = feed(&mut line, &t, b"ab\x7fc\x01\x7f\n");
        assert_eq!(echo, b"ab\x08 \x08c^A\x08 \x08\x08 \x08\n");
        assert_eq!(read(&mut line, 100), Some(b"ac\n".to_vec()));
        feed(&mut line, &t, b"gone\x15\x7fkept\n");
        assert_eq!(read(&mut line, 100), Some(b"kept\n".to_vec()));
    }

    #[test]
    fn an_end_in_the_middle_and_an_end_alone() {
        let (mut line, t) = (Line::new(), Termios::standard());
        feed(&mut line, &t, b"half\x04\x04next\n");
        assert_eq!(read(&mut line, 100), Some(b"half".to_vec()));
        assert_eq!(read(&mut line, 100), Some(Vec::new()));
        assert_eq!(read(&mut line, 100), Some(b"next\n".to_vec()));
    }

    #[test]
    fn signals() {
        let (mut line, t) = (Line::new(), Termios::standard());
        let (echo, events) = feed(&mut line, &t, b"xy\x03z\x1c");
        assert_eq!(events[2], Event::Signal(2));
        assert_eq!(events[4], Event::Signal(3));
        assert_eq!(echo, b"xy^Cz^\\");
        assert_eq!(line.available(), 0);
    }

    #[test]
    fn a_clean_line_keeps_every_byte() {
        let (mut line, t) = (Line::new(), Termios::clean());
        let all: Vec<u8> = (0..=255).collect();
        let (echo, events) = feed(&mut line, &t, &all);
        assert!(echo.is_empty() && events.iter().all(|e| *e == Event::None));
        assert_eq!(read(&mut line, 1000), Some((0..=10).collect()));
        line.finish();
        assert_eq!(read(&mut line, 1000), Some((11..=255).collect()));
        // However long the line is.
        let long = std::vec![b'x'; 10_000];
        feed(&mut line, &t, &long);
        line.finish();
        let mut back = Vec::new();
        while let Some(part) = read(&mut line, 1000) {
            back.extend(part);
        }
        assert_eq!(back, long);
    }

    #[test]
    fn raw() {
        let (mut line, mut t) = (Line::new(), Termios::standard());
        feed(&mut line, &t, b"ab");
        t.local.remove(Local::ICANON | Local::ECHO | Local::ISIG);
        line.mode_changed();
        feed(&mut line, &t, b"c\x03\n");
        assert_eq!(line.available(), 5);
        assert_eq!(line.peek(100, false), b"abc\x03\n");
        line.consume(2);
        assert_eq!(line.peek(100, false), b"c\x03\n");
        line.consume(3);
        assert!(!line.ready());
    }
}
