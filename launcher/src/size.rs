//! Sizes as people write them on a command line: `512M`, `2G`, `65536`.
//!
//! Decimal digits and at most one of `K M G T` (either case, powers of 1024). Nothing else is
//! accepted: no sign, no space, no fraction, no `MB`. A wrong guess about a size is a disk of the
//! wrong length, so what is doubtful is refused.

use std::fmt;
use std::str::FromStr;

/// A number of bytes; never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

/// The largest unit that a size is written in, and every smaller one.
const UNITS: [(char, u32); 4] = [('T', 40), ('G', 30), ('M', 20), ('K', 10)];

impl ByteSize {
    pub const fn mib(count: u32) -> Self {
        // A u32 shifted left by 20 always fits a u64.
        ByteSize((count as u64) << 20)
    }

    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// Whether the size is a whole number of `unit`s. `unit` is not zero.
    pub const fn is_multiple_of(self, unit: u64) -> bool {
        self.0.is_multiple_of(unit)
    }
}

/// Why a size was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeError {
    /// Not digits with an optional K, M, G or T.
    Form,
    /// Zero.
    Zero,
    /// More than 64 bits can count.
    TooLarge,
}

impl fmt::Display for SizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SizeError::Form => "a size is digits and at most one of K, M, G or T, as in 512M",
            SizeError::Zero => "a size of zero is of no use",
            SizeError::TooLarge => "a size must be less than 16 EiB",
        })
    }
}

impl std::error::Error for SizeError {}

impl FromStr for ByteSize {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let last = text.chars().last().ok_or(SizeError::Form)?;
        let unit = UNITS.iter().find(|(letter, _)| last.eq_ignore_ascii_case(letter));
        let (digits, shift) = match unit {
            Some((_, shift)) => (&text[..text.len() - 1], *shift),
            None => (text, 0),
        };
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(SizeError::Form);
        }
        // Only digits are left: parsing fails for nothing but size.
        let count: u64 = digits.parse().map_err(|_| SizeError::TooLarge)?;
        let bytes = count.checked_mul(1 << shift).ok_or(SizeError::TooLarge)?;
        if bytes == 0 { Err(SizeError::Zero) } else { Ok(ByteSize(bytes)) }
    }
}

impl fmt::Display for ByteSize {
    /// The shortest exact form: `512M`, not `524288K`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().find(|(_, shift)| self.0.is_multiple_of(1 << shift)) {
            Some((letter, shift)) => write!(f, "{}{letter}", self.0 >> shift),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn units_are_powers_of_1024() {
        assert_eq!("1".parse(), Ok(ByteSize(1)));
        assert_eq!("4k".parse(), Ok(ByteSize(4096)));
        assert_eq!("512M".parse(), Ok(ByteSize::mib(512)));
        assert_eq!("8G".parse(), Ok(ByteSize(8 << 30)));
        assert_eq!("1T".parse(), Ok(ByteSize(1 << 40)));
    }

    #[test]
    fn doubtful_sizes_are_refused() {
        for text in ["", "M", "-1", "+1", " 1", "1 ", "1.5G", "1MB", "1MiB", "0x10", "1_000", "½", "1é"] {
            assert_eq!(text.parse::<ByteSize>(), Err(SizeError::Form), "{text:?}");
        }
        assert_eq!("0".parse::<ByteSize>(), Err(SizeError::Zero));
        assert_eq!("0G".parse::<ByteSize>(), Err(SizeError::Zero));
        assert_eq!("16777216T".parse::<ByteSize>(), Err(SizeError::TooLarge));
        assert_eq!("99999999999999999999".parse::<ByteSize>(), Err(SizeError::TooLarge));
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(bytes in 1u64..) {
            let size = ByteSize(bytes);
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = text.parse::<ByteSize>();
        }
    }
}
