//! A number as it is written to a file of /proc/sys, by the rules of Linux's sysctl (`proc_get_long`).
//!
//! Blanks in front, a sign, digits (`0x` hexadecimal, `0` octal), and a blank or the end behind them.
//! What follows that blank is not looked at: the files here hold one number.
//!
//! ```text
//!   "30\n" 30    " 31 " 31    "32 33" 32    "0x20" 32    "010" 8    "" "x" "12x" EINVAL
//! ```

use base::{Errno, Result};

/// Longer numbers are refused unseen (`TMPBUFLEN`).
const LONGEST: usize = 21;

/// The first number in what was written. EINVAL.
pub(crate) fn first(bytes: &[u8]) -> Result<i64> {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    let is_space = |&b: &u8| matches!(b, b' ' | b'\t'..=b'\r');
    let start = bytes[..end].iter().position(|b| !is_space(b)).ok_or(Errno::EINVAL)?;
    let rest = &bytes[start..end];
    let len = rest.iter().position(|b| matches!(b, b' ' | b'\t' | b'\n')).unwrap_or(rest.len());
    let word = core::str::from_utf8(&rest[..len]).map_err(|_| Errno::EINVAL)?;
    if word.len() >= LONGEST {
        return Err(Errno::EINVAL);
    }
    let (is_negative, digits) = word.strip_prefix('-').map_or((false, word), |rest| (true, rest));
    let value = magnitude(digits)?;
    let value = if is_negative { value.checked_neg() } else { Some(value) };
    value.ok_or(Errno::EINVAL)
}

fn magnitude(text: &str) -> Result<i64> {
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(Errno::EINVAL);
    }
    let hexadecimal = text.strip_prefix("0x").or(text.strip_prefix("0X"));
    let (digits, radix) = match hexadecimal {
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (text, 8),
        None => (text, 10),
    };
    // from_str_radix would take a sign.
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return Err(Errno::EINVAL);
    }
    i64::from_str_radix(digits, radix).map_err(|_| Errno::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_linux_takes_them() {
        for (text, value) in [
            ("30\n", 30),
            (" 31 \n", 31),
            ("32 33\n", 32),
            ("0\n", 0),
            ("-1\n", -1),
            ("0x20\n", 32),
            ("0XfF", 255),
            ("010\n", 8),
            ("\n\t\x0b 7\t", 7),
            ("5\0x", 5),
            ("99999999999", 99_999_999_999),
        ] {
            assert_eq!(first(text.as_bytes()), Ok(value), "{text:?}");
        }
        for text in [
            "",
            "\n",
            " ",
            "x",
            "12x",
            "- 1",
            "+1",
            "--1",
            "0x",
            "0x-1",
            "08",
            "1\r",
            "123456789012345678901",
        ] {
            assert_eq!(first(text.as_bytes()), Err(Errno::EINVAL), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn every_number_is_read_back(value in any::<i64>(), rest in "[ \t\n].*") {
            let text = std::format!("{value}{rest}");
            prop_assert_eq!(first(text.as_bytes()), Ok(value));
        }

        #[test]
        fn nothing_panics(bytes in any::<std::vec::Vec<u8>>()) {
            let _ = first(&bytes);
        }
    }
}
