//! The console protocol between kernel and launcher (docs/console.md): one serial line, several
//! streams, told apart by DLE sequences.
//!
//! Pure state machines over bytes: [`Encoder`] for what the kernel sends, [`Decoder`] for what it
//! receives. In plain mode (no launcher) both let bytes through as they are.

/// Introduces control.
pub const DLE: u8 = 0x10;

/// Who speaks on the way out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stream {
    /// The program.
    Program,
    /// The kernel's log.
    Log,
    /// The trace, at the end of a run.
    Trace,
}

/// How it ended, the last frame before the machine goes off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The program ended with this status (128 + N for a signal).
    Exit(u8),
    /// The kernel could not run a program; the status to give.
    Failed(u8),
    /// The kernel panicked.
    Panic,
}

/// Turns streams into bytes of the line.
#[derive(Debug)]
pub struct Encoder {
    framed: bool,
    /// Who spoke last; None when that is not known.
    current: Option<Stream>,
}

impl Encoder {
    /// As after reset: plain, and the log speaks.
    pub const fn new() -> Encoder {
        Encoder { framed: false, current: Some(Stream::Log) }
    }

    /// For a panic: whatever was on the line before, the stream is named anew.
    pub const fn unknown(framed: bool) -> Encoder {
        Encoder { framed, current: None }
    }

    /// Whether the launcher is at the other end.
    pub const fn framed(&self) -> bool {
        self.framed
    }

    /// Turns framing on (`quill.console=framed`).
    pub const fn set_framed(&mut self) {
        self.framed = true;
    }

    /// Names the stream though nothing is to be said: the launcher holds input back until it hears
    /// from the kernel, and now the kernel can take it.
    pub fn announce(&mut self, mut send: impl FnMut(u8)) {
        if self.framed {
            send(DLE);
            send(b'L');
            self.current = Some(Stream::Log);
        }
    }

    /// Sends `bytes` of a stream. In plain mode the newlines of log and trace become CR LF.
    pub fn write(&mut self, stream: Stream, bytes: &[u8], mut send: impl FnMut(u8)) {
        if self.framed && self.current != Some(stream) && !bytes.is_empty() {
            send(DLE);
            send(match stream {
                Stream::Program => b'P',
                Stream::Log => b'L',
                Stream::Trace => b'T',
            });
            self.current = Some(stream);
        }
        for &byte in bytes {
            match byte {
                DLE if self.framed => send(DLE),
                b'\n' if !self.framed && stream != Stream::Program => send(b'\r'),
                _ => {}
            }
            send(byte);
        }
    }

    /// Sends the last frame; nothing in plain mode.
    pub fn end(&mut self, end: End, mut send: impl FnMut(u8)) {
        if !self.framed {
            return;
        }
        let (letter, status) = match end {
            End::Exit(status) => (b'X', Some(status)),
            End::Failed(status) => (b'F', Some(status)),
            End::Panic => (b'K', None),
        };
        send(DLE);
        send(letter);
        if let Some(status) = status {
            let digits = [status / 100, status / 10 % 10, status % 10].map(|d| d + b'0');
            let first = digits[..2].iter().position(|&d| d != b'0').unwrap_or(2);
            digits[first..].iter().for_each(|&d| send(d));
        }
        send(b'\n');
    }
}

impl Default for Encoder {
    fn default() -> Self {
        Encoder::new()
    }
}

/// What came in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Input {
    /// A byte for the program.
    Byte(u8),
    /// The launcher's input has ended.
    EndOfFile,
}

/// Turns bytes of the line into input.
#[derive(Debug, Default)]
pub struct Decoder {
    framed: bool,
    escaped: bool,
}

impl Decoder {
    /// Plain.
    pub const fn new() -> Decoder {
        Decoder { framed: false, escaped: false }
    }

    /// Turns framing on.
    pub const fn set_framed(&mut self) {
        self.framed = true;
    }

    /// The next byte of the line. An unknown sequence is dropped.
    pub const fn feed(&mut self, byte: u8) -> Option<Input> {
        if !self.framed {
            return Some(Input::Byte(byte));
        }
        if self.escaped {
            self.escaped = false;
            return match byte {
                DLE => Some(Input::Byte(DLE)),
                b'E' => Some(Input::EndOfFile),
                _ => None,
            };
        }
        if byte == DLE {
            self.escaped = true;
            return None;
        }
        Some(Input::Byte(byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn framed() -> Encoder {
        let mut e = Encoder::new();
        e.set_framed();
        e
    }

    #[test]
    fn plain_mode_is_what_a_terminal_wants() {
        let (mut e, mut out) = (Encoder::new(), Vec::new());
        e.write(Stream::Log, b"log\n", |b| out.push(b));
        e.write(Stream::Program, b"\x10raw\n", |b| out.push(b));
        e.end(End::Exit(3), |b| out.push(b));
        assert_eq!(out, b"log\r\n\x10raw\n");
    }

    #[test]
    fn streams_are_named_when_they_change() {
        let (mut e, mut out) = (framed(), Vec::new());
        e.write(Stream::Log, b"a\n", |b| out.push(b));
        e.write(Stream::Program, b"b\x10", |b| out.push(b));
        e.write(Stream::Program, b"c", |b| out.push(b));
        e.write(Stream::Log, b"", |b| out.push(b));
        e.write(Stream::Trace, b"t\n", |b| out.push(b));
        e.end(End::Exit(0), |b| out.push(b));
        assert_eq!(out, b"a\n\x10Pb\x10\x10c\x10Tt\n\x10X0\n");
    }

    #[test]
    fn statuses_are_decimal() {
        for (end, text) in [
            (End::Exit(137), &b"\x10X137\n"[..]),
            (End::Exit(40), b"\x10X40\n"),
            (End::Exit(105), b"\x10X105\n"),
            (End::Failed(125), b"\x10F125\n"),
            (End::Panic, b"\x10K\n"),
        ] {
            let mut out = Vec::new();
            framed().end(end, |b| out.push(b));
            assert_eq!(out, text);
        }
    }

    #[test]
    fn input_is_unescaped() {
        let mut d = Decoder::new();
        d.set_framed();
        let got: Vec<Input> = b"a\x10\x10\x10?b\x10E".iter().filter_map(|&b| d.feed(b)).collect();
        assert_eq!(got, [Input::Byte(b'a'), Input::Byte(DLE), Input::Byte(b'b'), Input::EndOfFile]);
    }
}
