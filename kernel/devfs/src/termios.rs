//! The settings of a terminal, as TCGETS and TCSETS move them.
//!
//! Layout of the kernel's `struct termios` (36 bytes) and `struct termios2` (44 bytes):
//! ```text
//!   0 c_iflag   4 c_oflag   8 c_cflag   12 c_lflag   16 c_line   17 c_cc[19]   (36 c_ispeed  40 c_ospeed)
//! ```
//! Source: ioctl_tty(2), termios(3), `include/uapi/asm-generic/termbits.h`.

use bitflags::bitflags;

/// Bytes of `struct termios`.
pub const SIZE: usize = 36;
/// Bytes of `struct termios2`.
pub const SIZE2: usize = 44;
/// Control characters.
pub const NCCS: usize = 19;

bitflags! {
    /// `c_iflag`, as far as it has an effect here. Other bits are kept.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Input: u32 {
        /// A newline becomes a carriage return.
        const INLCR = 0o100;
        /// Carriage returns are dropped.
        const IGNCR = 0o200;
        /// A carriage return becomes a newline.
        const ICRNL = 0o400;
        /// Output can be stopped; kept and not acted on.
        const IXON = 0o2000;
        const _ = !0;
    }
}

bitflags! {
    /// `c_oflag`, as far as it has an effect here. Other bits are kept.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Output: u32 {
        /// Output is processed at all.
        const OPOST = 1;
        /// A newline gets a carriage return in front.
        const ONLCR = 4;
        const _ = !0;
    }
}

bitflags! {
    /// `c_lflag`, as far as it has an effect here. Other bits are kept.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Local: u32 {
        /// Control characters send signals.
        const ISIG = 1;
        /// Input comes in lines, and can be edited until the line ends.
        const ICANON = 2;
        /// Input is echoed.
        const ECHO = 0o10;
        /// Erasing is echoed as erasing.
        const ECHOE = 0o20;
        /// Killing a line is echoed.
        const ECHOK = 0o40;
        /// A newline is echoed even when nothing else is.
        const ECHONL = 0o100;
        /// Control characters are echoed as ^X.
        const ECHOCTL = 0o1000;
        /// Killing a line erases it from the screen.
        const ECHOKE = 0o4000;
        /// Extensions (literal next and so on); kept and not acted on.
        const IEXTEN = 0o100000;
        const _ = !0;
    }
}

/// Indices of control characters.
pub mod cc {
    /// ^C
    pub const VINTR: usize = 0;
    /// ^\
    pub const VQUIT: usize = 1;
    /// DEL
    pub const VERASE: usize = 2;
    /// ^U
    pub const VKILL: usize = 3;
    /// ^D
    pub const VEOF: usize = 4;
    /// Tenths of a second a raw read waits.
    pub const VTIME: usize = 5;
    /// Bytes a raw read waits for.
    pub const VMIN: usize = 6;
    /// ^Z
    pub const VSUSP: usize = 10;
    /// Another end of line.
    pub const VEOL: usize = 11;
    /// And another.
    pub const VEOL2: usize = 16;
}

/// The settings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Termios {
    /// Input.
    pub input: Input,
    /// Output.
    pub output: Output,
    /// The line: size, parity, speed; kept and told.
    pub control: u32,
    /// Editing, echo, signals.
    pub local: Local,
    /// Line discipline; kept.
    pub line: u8,
    /// Control characters; 0 means that there is none.
    pub chars: [u8; NCCS],
    /// Speeds in and out, for termios2.
    pub speed: [u32; 2],
}

/// B115200 with its CBAUD code, 8 bits, receiver on, hang up on close.
const CONTROL: u32 = 0o10002 | 0o60 | 0o200 | 0o2000;

impl Termios {
    /// What a terminal begins with on Linux (`tty_std_termios`).
    pub fn standard() -> Termios {
        let mut chars = [0; NCCS];
        let set = [
            (cc::VINTR, 3),
            (cc::VQUIT, 0x1c),
            (cc::VERASE, 0x7f),
            (cc::VKILL, 0x15),
            (cc::VEOF, 4),
            (cc::VMIN, 1),
            (cc::VSUSP, 0x1a),
            (8, 0x11),  // VSTART
            (9, 0x13),  // VSTOP
            (12, 0x12), // VREPRINT
            (13, 0x0f), // VDISCARD
            (14, 0x17), // VWERASE
            (15, 0x16), // VLNEXT
        ];
        for (index, byte) in set {
            chars[index] = byte;
        }
        Termios {
            input: Input::ICRNL | Input::IXON,
            output: Output::OPOST | Output::ONLCR,
            control: CONTROL,
            local: Local::ISIG
                | Local::ICANON
                | Local::ECHO
                | Local::ECHOE
                | Local::ECHOK
                | Local::ECHOCTL
                | Local::ECHOKE
                | Local::IEXTEN,
            line: 0,
            chars,
            speed: [115_200; 2],
        }
    }

    /// What a line that is clean for all 8 bits begins with: input still comes in lines, but no byte
    /// of it has a meaning, nothing is echoed, and output goes as it is.
    pub fn clean() -> Termios {
        let mut chars = [0; NCCS];
        chars[cc::VMIN] = 1;
        Termios {
            input: Input::empty(),
            output: Output::empty(),
            local: Local::ICANON,
            chars,
            ..Termios::standard()
        }
    }

    /// Whether `byte` is the control character of an index.
    pub fn is(&self, index: usize, byte: u8) -> bool {
        self.chars[index] == byte && byte != 0
    }

    /// As the program sees it; the first [`SIZE`] bytes are `struct termios`.
    pub fn to_bytes(self) -> [u8; SIZE2] {
        let mut out = [0; SIZE2];
        let words = [self.input.bits(), self.output.bits(), self.control, self.local.bits()];
        for (slot, word) in out[..16].chunks_exact_mut(4).zip(words) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        out[16] = self.line;
        out[17..36].copy_from_slice(&self.chars);
        out[36..40].copy_from_slice(&self.speed[0].to_le_bytes());
        out[40..44].copy_from_slice(&self.speed[1].to_le_bytes());
        out
    }

    /// From the program's bytes; a `struct termios` leaves the speeds as they are.
    pub fn set_from(&mut self, bytes: &[u8; SIZE2], with_speed: bool) {
        let word = |at: usize| {
            let mut w = [0; 4];
            w.copy_from_slice(&bytes[at..at + 4]);
            u32::from_le_bytes(w)
        };
        self.input = Input::from_bits_retain(word(0));
        self.output = Output::from_bits_retain(word(4));
        self.control = word(8);
        self.local = Local::from_bits_retain(word(12));
        self.line = bytes[16];
        self.chars.copy_from_slice(&bytes[17..36]);
        if with_speed {
            self.speed = [word(36), word(40)];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let standard = Termios::standard();
        let bytes = standard.to_bytes();
        // As `stty -g` tells it of a fresh terminal: iflag 500, oflag 5, lflag 8a3b.
        assert_eq!(bytes[..4], 0x500u32.to_le_bytes());
        assert_eq!(bytes[4..8], 5u32.to_le_bytes());
        assert_eq!(bytes[12..16], 0x8a3bu32.to_le_bytes());
        assert_eq!(&bytes[17..22], &[3, 0x1c, 0x7f, 0x15, 4]);
        let mut other = Termios::clean();
        other.set_from(&bytes, true);
        assert_eq!(other, standard);
    }
}
