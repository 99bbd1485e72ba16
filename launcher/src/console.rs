//! The framing on the guest's serial line (docs/console.md): one wire, several streams.
//!
//! Bytes travel as they are, except that DLE (0x10) introduces control:
//!
//! ```text
//!   DLE DLE        one literal 0x10              DLE P   program output follows
//!   DLE X 42 \n    the program ended with 42     DLE L   kernel log follows (the initial stream)
//!   DLE K \n       the kernel panicked           DLE T   the trace follows
//!   DLE F 125 \n   the kernel could not run a program
//! ```
//!
//! [`Decoder`] takes the wire in pieces cut anywhere and tells a sink what it finds. A control that
//! it does not know is handed on as data, both bytes of it: a kernel that does not speak the
//! protocol is then seen rather than swallowed.
//!
//! Host to guest the wire carries standard input: [`encode_input`], and [`END_OF_INPUT`] at its end.

/// Introduces control in both directions.
const DLE: u8 = 0x10;

/// Longest number in a frame: exit statuses are 0 to 255.
const MAX_DIGITS: usize = 3;

/// What the guest sends when standard input has ended on the host: reads return 0 from then on.
pub const END_OF_INPUT: [u8; 2] = [DLE, b'E'];

/// Where data bytes belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// What the program wrote to its console.
    Program,
    /// The kernel's messages.
    Log,
    /// What the kernel's trace points recorded.
    Trace,
}

/// How the guest says the run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The program ended with this status (128+N for signal N) and the disk is unmounted.
    Exit(u8),
    /// The kernel panicked.
    Panic,
    /// The kernel could not start a program; the status it wants to be reported.
    Refused(u8),
}

/// What the decoder found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    Data(Stream, &'a [u8]),
    End(End),
}

/// Where the decoder stands between two pieces of the wire.
#[derive(Debug)]
enum State {
    Data,
    /// DLE was read.
    Control,
    /// DLE and X, K or F were read, then these digits; `\n` is to come.
    Frame(PartialFrame),
}

/// A frame of which the end has not been read.
#[derive(Debug)]
struct PartialFrame {
    /// DLE, the code and the digits, so that a malformed frame can be shown as it came.
    bytes: [u8; 2 + MAX_DIGITS],
    len: usize,
}

impl PartialFrame {
    fn new(code: u8) -> Self {
        let mut bytes = [0; 2 + MAX_DIGITS];
        bytes[..2].copy_from_slice(&[DLE, code]);
        PartialFrame { bytes, len: 2 }
    }

    /// Takes one more digit, or says that it has no place here.
    fn push(&mut self, byte: u8) -> bool {
        let fits = byte.is_ascii_digit() && self.len < self.bytes.len();
        if fits {
            self.bytes[self.len] = byte;
            self.len += 1;
        }
        fits
    }

    fn raw(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// What the frame says, if it is well formed: X and F carry a status, K carries nothing.
    fn end(&self) -> Option<End> {
        let digits = std::str::from_utf8(&self.bytes[2..self.len]).ok()?;
        match self.bytes[1] {
            b'K' if digits.is_empty() => Some(End::Panic),
            b'X' => digits.parse().ok().map(End::Exit),
            b'F' => digits.parse().ok().map(End::Refused),
            _ => None,
        }
    }
}

/// Takes the guest's side of the wire apart.
#[derive(Debug)]
pub struct Decoder {
    stream: Stream,
    state: State,
}

impl Decoder {
    pub fn new() -> Self {
        Decoder { stream: Stream::Log, state: State::Data }
    }

    /// Decodes one piece of the wire, wherever it was cut.
    pub fn feed(&mut self, wire: &[u8], mut sink: impl FnMut(Event<'_>)) {
        let mut rest = wire;
        while let Some(&byte) = rest.first() {
            if matches!(self.state, State::Data) && byte != DLE {
                let len = rest.iter().position(|&b| b == DLE).unwrap_or(rest.len());
                sink(Event::Data(self.stream, &rest[..len]));
                rest = &rest[len..];
            } else {
                self.step(byte, &mut sink);
                rest = &rest[1..];
            }
        }
    }

    /// Hands on what an unfinished control has swallowed so far; for the end of the wire.
    pub fn finish(&mut self, mut sink: impl FnMut(Event<'_>)) {
        match std::mem::replace(&mut self.state, State::Data) {
            State::Data => {}
            State::Control => sink(Event::Data(self.stream, &[DLE])),
            State::Frame(frame) => sink(Event::Data(self.stream, frame.raw())),
        }
    }

    /// One byte that is, or may become, control.
    fn step(&mut self, byte: u8, sink: &mut impl FnMut(Event<'_>)) {
        self.state = match std::mem::replace(&mut self.state, State::Data) {
            State::Data => State::Control,
            State::Control => self.control(byte, sink),
            State::Frame(frame) => self.in_frame(frame, byte, sink),
        };
    }

    /// The byte after DLE.
    fn control(&mut self, byte: u8, sink: &mut impl FnMut(Event<'_>)) -> State {
        match byte {
            DLE => sink(Event::Data(self.stream, &[DLE])),
            b'P' => self.stream = Stream::Program,
            b'L' => self.stream = Stream::Log,
            b'T' => self.stream = Stream::Trace,
            b'X' | b'K' | b'F' => return State::Frame(PartialFrame::new(byte)),
            _ => sink(Event::Data(self.stream, &[DLE, byte])),
        }
        State::Data
    }

    /// A byte inside a frame: a digit, its end, or proof that it is none.
    fn in_frame(&mut self, mut frame: PartialFrame, byte: u8, sink: &mut impl FnMut(Event<'_>)) -> State {
        if frame.push(byte) {
            return State::Frame(frame);
        }
        if byte == b'\n'
            && let Some(end) = frame.end()
        {
            sink(Event::End(end));
            return State::Data;
        }
        sink(Event::Data(self.stream, frame.raw()));
        if byte == DLE {
            return State::Control;
        }
        sink(Event::Data(self.stream, &[byte]));
        State::Data
    }
}

/// Standard input as it goes to the guest: every DLE doubled.
pub fn encode_input(input: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(input.len());
    for &byte in input {
        if byte == DLE {
            wire.push(DLE);
        }
        wire.push(byte);
    }
    wire
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An [`Event`] that owns its bytes; neighbouring data of one stream is one event.
    #[derive(Clone, Debug, PartialEq, Eq)]
    enum Owned {
        Data(Stream, Vec<u8>),
        End(End),
    }

    fn record(events: &mut Vec<Owned>, event: Event<'_>) {
        match (event, events.last_mut()) {
            (Event::Data(stream, bytes), Some(Owned::Data(last, all))) if *last == stream => {
                all.extend(bytes)
            }
            (Event::Data(stream, bytes), _) => events.push(Owned::Data(stream, bytes.to_vec())),
            (Event::End(end), _) => events.push(Owned::End(end)),
        }
    }

    fn decode(pieces: &[&[u8]]) -> Vec<Owned> {
        let (mut decoder, mut events) = (Decoder::new(), Vec::new());
        for piece in pieces {
            decoder.feed(piece, |event| record(&mut events, event));
        }
        decoder.finish(|event| record(&mut events, event));
        events
    }

    /// The guest's side, as the kernel writes it.
    fn encode(events: &[Owned]) -> Vec<u8> {
        let mut wire = Vec::new();
        for event in events {
            match event {
                Owned::Data(stream, bytes) => {
                    wire.extend([
                        DLE,
                        match stream {
                            Stream::Program => b'P',
                            Stream::Log => b'L',
                            Stream::Trace => b'T',
                        },
                    ]);
                    wire.extend(encode_input(bytes));
                }
                Owned::End(End::Exit(status)) => wire.extend(format!("\x10X{status}\n").bytes()),
                Owned::End(End::Refused(status)) => wire.extend(format!("\x10F{status}\n").bytes()),
                Owned::End(End::Panic) => wire.extend(b"\x10K\n"),
            }
        }
        wire
    }

    fn log(bytes: &[u8]) -> Owned {
        Owned::Data(Stream::Log, bytes.to_vec())
    }

    fn program(bytes: &[u8]) -> Owned {
        Owned::Data(Stream::Program, bytes.to_vec())
    }

    #[test]
    fn a_whole_run() {
        let wire = b"boot\n\x10Phi\x10\x10\x00\xff\r\n\x10Lbye\n\x10X42\n";
        let expected =
            [log(b"boot\n"), program(b"hi\x10\x00\xff\r\n"), log(b"bye\n"), Owned::End(End::Exit(42))];
        assert_eq!(decode(&[wire]), expected);
    }

    #[test]
    fn the_other_ends() {
        assert_eq!(decode(&[b"\x10K\n"]), [Owned::End(End::Panic)]);
        assert_eq!(decode(&[b"\x10F125\n"]), [Owned::End(End::Refused(125))]);
        assert_eq!(
            decode(&[b"\x10X0\n", b"\x10X255\n"]),
            [Owned::End(End::Exit(0)), Owned::End(End::Exit(255))]
        );
    }

    #[test]
    fn malformed_control_is_shown_and_not_swallowed() {
        for wire in [
            &b"\x10?"[..],
            b"\x10X\n",
            b"\x10F\n",
            b"\x10X256\n",
            b"\x10X1234\n",
            b"\x10X-1\n",
            b"\x10K1\n",
            b"\x10X",
            b"\x10",
        ] {
            assert_eq!(decode(&[wire]), [log(wire)], "{wire:?}");
        }
    }

    #[test]
    fn control_after_a_broken_frame_counts() {
        assert_eq!(decode(&[b"\x10X1\x10Pa"]), [log(b"\x10X1"), program(b"a")]);
    }

    #[test]
    fn input_is_encoded() {
        assert_eq!(encode_input(b"a\x10b"), b"a\x10\x10b");
        assert_eq!(END_OF_INPUT, *b"\x10E");
    }

    fn end() -> impl Strategy<Value = End> {
        prop_oneof![any::<u8>().prop_map(End::Exit), any::<u8>().prop_map(End::Refused), Just(End::Panic)]
    }

    fn event() -> impl Strategy<Value = Owned> {
        let byte = prop_oneof![Just(DLE), Just(b'\n'), Just(b'X'), any::<u8>()];
        let bytes = proptest::collection::vec(byte, 1..40);
        let stream = prop_oneof![Just(Stream::Program), Just(Stream::Log), Just(Stream::Trace)];
        prop_oneof![
            4 => (stream, bytes).prop_map(|(stream, bytes)| Owned::Data(stream, bytes)),
            1 => end().prop_map(Owned::End),
        ]
    }

    /// Joins neighbouring data as `record` does.
    fn normal(events: &[Owned]) -> Vec<Owned> {
        let mut joined = Vec::new();
        for event in events {
            match event {
                Owned::Data(stream, bytes) => record(&mut joined, Event::Data(*stream, bytes)),
                Owned::End(end) => record(&mut joined, Event::End(*end)),
            }
        }
        joined
    }

    proptest! {
        #[test]
        fn round_trip_cut_anywhere(events in proptest::collection::vec(event(), 0..12),
                                   cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8)) {
            let wire = encode(&events);
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(wire.len() + 1)).collect();
            at.extend([0, wire.len()]);
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|pair| &wire[pair[0]..pair[1]]).collect();
            prop_assert_eq!(decode(&pieces), normal(&events));
        }

        #[test]
        fn any_bytes_decode_alike_however_cut(wire in proptest::collection::vec(
            prop_oneof![Just(DLE), Just(b'\n'), Just(b'X'), Just(b'1'), any::<u8>()], 0..60)) {
            let bytes: Vec<&[u8]> = wire.chunks(1).collect();
            prop_assert_eq!(decode(&[&wire]), decode(&bytes));
        }
    }
}
