//! What a write brought, as a word or a number, by the rules of Linux's kstrtox.
//!
//! A NUL ends what was written, and one newline behind the value is no part of it (`echo` puts it
//! there). Everything else counts: `12 ` and ` 12` are no numbers.
//!
//! ```
//! use kernfs::value::{Radix, unsigned};
//! assert_eq!(unsigned(b"128\n", Radix::Decimal), Ok(128));
//! assert_eq!(unsigned(b"128 \n", Radix::Decimal), Err(base::Errno::EINVAL));
//! ```

use base::{Errno, Result};

/// Which digits a number has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Radix {
    /// 0 to 9.
    Decimal,
    /// By its beginning: `0x` hexadecimal, `0` octal, else decimal.
    Any,
}

/// The text up to a NUL. EINVAL when it is not UTF-8, which no value of the kernel's is.
pub fn text(bytes: &[u8]) -> Result<&str> {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    core::str::from_utf8(&bytes[..end]).map_err(|_| Errno::EINVAL)
}

/// The text without the newline at its end (`sysfs_streq` compares so).
pub fn line(bytes: &[u8]) -> Result<&str> {
    let text = text(bytes)?;
    Ok(text.strip_suffix('\n').unwrap_or(text))
}

/// The text without blanks and newlines at both ends (`strstrip`).
pub fn word(bytes: &[u8]) -> Result<&str> {
    Ok(text(bytes)?.trim_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']))
}

/// `kstrtoull`: perhaps a plus, digits. EINVAL; ERANGE past 64 bits.
pub fn unsigned(bytes: &[u8], radix: Radix) -> Result<u64> {
    let line = line(bytes)?;
    digits(line.strip_prefix('+').unwrap_or(line), radix)
}

/// `kstrtoll`: perhaps a sign, digits. EINVAL; ERANGE past 64 bits.
pub fn signed(bytes: &[u8], radix: Radix) -> Result<i64> {
    let line = line(bytes)?;
    match line.strip_prefix('-') {
        Some(number) => 0i64.checked_sub_unsigned(digits(number, radix)?).ok_or(Errno::ERANGE),
        None => {
            let number = digits(line.strip_prefix('+').unwrap_or(line), radix)?;
            i64::try_from(number).map_err(|_| Errno::ERANGE)
        }
    }
}

/// `kstrtoint`: a number of 32 bits with its sign.
pub fn int(bytes: &[u8]) -> Result<i32> {
    i32::try_from(signed(bytes, Radix::Any)?).map_err(|_| Errno::ERANGE)
}

fn digits(text: &str, radix: Radix) -> Result<u64> {
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, base) = match (radix, hexadecimal) {
        (Radix::Any, Some(digits)) => (digits, 16),
        (Radix::Any, None) if text.len() > 1 && text.starts_with('0') => (text, 8),
        _ => (text, 10),
    };
    if digits.is_empty() {
        return Err(Errno::EINVAL);
    }
    let mut value: Option<u64> = Some(0);
    for c in digits.chars() {
        let digit = c.to_digit(base).ok_or(Errno::EINVAL)?;
        value = value.and_then(|v| v.checked_mul(u64::from(base))?.checked_add(u64::from(digit)));
    }
    value.ok_or(Errno::ERANGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_linux_reads_them() {
        for (text, decimal, any) in [
            ("0", Ok(0), Ok(0)),
            ("12\n", Ok(12), Ok(12)),
            ("+12", Ok(12), Ok(12)),
            ("0x10", Err(Errno::EINVAL), Ok(16)),
            ("010", Ok(10), Ok(8)),
            ("12\0junk", Ok(12), Ok(12)),
            ("18446744073709551615", Ok(u64::MAX), Ok(u64::MAX)),
            ("18446744073709551616", Err(Errno::ERANGE), Err(Errno::ERANGE)),
            ("99999999999999999999x", Err(Errno::EINVAL), Err(Errno::EINVAL)),
        ] {
            assert_eq!(unsigned(text.as_bytes(), Radix::Decimal), decimal, "{text:?}");
            assert_eq!(unsigned(text.as_bytes(), Radix::Any), any, "{text:?}");
        }
        for text in ["", "\n", "12\n\n", " 12", "12 ", "-1", "+", "++1", "+-1", "abc", "0x", "\0"] {
            assert_eq!(unsigned(text.as_bytes(), Radix::Any), Err(Errno::EINVAL), "{text:?}");
        }
        assert_eq!(unsigned(b"1\xff", Radix::Any), Err(Errno::EINVAL));
    }

    #[test]
    fn signs() {
        assert_eq!(
            (int(b"-1\n"), int(b"2147483647"), int(b"-2147483648")),
            (Ok(-1), Ok(i32::MAX), Ok(i32::MIN))
        );
        assert_eq!((int(b"2147483648"), int(b"-+1")), (Err(Errno::ERANGE), Err(Errno::EINVAL)));
        assert_eq!(signed(b"-9223372036854775808", Radix::Any), Ok(i64::MIN));
        assert_eq!(signed(b"9223372036854775808", Radix::Any), Err(Errno::ERANGE));
    }

    #[test]
    fn words() {
        assert_eq!((word(b"  noop \n"), line(b" noop \n")), (Ok("noop"), Ok(" noop ")));
        assert_eq!((word(b" \n"), text(b"a\0b")), (Ok(""), Ok("a")));
    }
}
