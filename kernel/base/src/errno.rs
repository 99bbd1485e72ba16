//! Linux error numbers as a type of their own.
//!
//! A system call returns `-errno` in x0; inside the kernel an [`Errno`] travels as the `Err` of a
//! [`Result`]. It is never zero, so `Result<(), Errno>` is two bytes and needs no flag.
//!
//! Source: errno(3), `include/uapi/asm-generic/errno.h`.

use core::fmt;
use core::num::NonZeroU16;

/// What every crate border of the kernel returns.
pub type Result<T> = core::result::Result<T, Errno>;

/// One Linux error number, 1 to 4095.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(NonZeroU16);

macro_rules! errnos {
    ($($name:ident $text:literal,)*) => {
        impl Errno {
            $(
                #[doc = $text]
                pub const $name: Errno = Errno::known(linux_raw_sys::errno::$name);
            )*

            /// The symbolic name, `"EINVAL"`, or `"E?"` for a number Quill never makes.
            pub const fn name(self) -> &'static str {
                match self.0.get() as u32 {
                    $(linux_raw_sys::errno::$name => stringify!($name),)*
                    _ => "E?",
                }
            }

            /// What strerror(3) says of it.
            pub const fn text(self) -> &'static str {
                match self.0.get() as u32 {
                    $(linux_raw_sys::errno::$name => $text,)*
                    _ => "Unknown error",
                }
            }
        }
    };
}

errnos! {
    EPERM "Operation not permitted",
    ENOENT "No such file or directory",
    ESRCH "No such process",
    EINTR "Interrupted system call",
    EIO "Input/output error",
    ENXIO "No such device or address",
    E2BIG "Argument list too long",
    ENOEXEC "Exec format error",
    EBADF "Bad file descriptor",
    ECHILD "No child processes",
    EAGAIN "Resource temporarily unavailable",
    ENOMEM "Cannot allocate memory",
    EACCES "Permission denied",
    EFAULT "Bad address",
    ENOTBLK "Block device required",
    EBUSY "Device or resource busy",
    EEXIST "File exists",
    EXDEV "Invalid cross-device link",
    ENODEV "No such device",
    ENOTDIR "Not a directory",
    EISDIR "Is a directory",
    EINVAL "Invalid argument",
    ENFILE "Too many open files in system",
    EMFILE "Too many open files",
    ENOTTY "Inappropriate ioctl for device",
    ETXTBSY "Text file busy",
    EFBIG "File too large",
    ENOSPC "No space left on device",
    ESPIPE "Illegal seek",
    EROFS "Read-only file system",
    EMLINK "Too many links",
    EPIPE "Broken pipe",
    EDOM "Numerical argument out of domain",
    ERANGE "Numerical result out of range",
    EDEADLK "Resource deadlock avoided",
    ENAMETOOLONG "File name too long",
    ENOLCK "No locks available",
    ENOSYS "Function not implemented",
    ENOTEMPTY "Directory not empty",
    ELOOP "Too many levels of symbolic links",
    EBADR "Invalid request descriptor",
    ENODATA "No data available",
    ETIME "Timer expired",
    EPROTO "Protocol error",
    EBADMSG "Bad message",
    EOVERFLOW "Value too large for defined data type",
    EILSEQ "Invalid or incomplete multibyte or wide character",
    EUSERS "Too many users",
    ENOTSOCK "Socket operation on non-socket",
    EOPNOTSUPP "Operation not supported",
    EAFNOSUPPORT "Address family not supported by protocol",
    ESHUTDOWN "Cannot send after transport endpoint shutdown",
    ETIMEDOUT "Connection timed out",
    EALREADY "Operation already in progress",
    EINPROGRESS "Operation now in progress",
    ESTALE "Stale file handle",
    EUCLEAN "Structure needs cleaning",
    EDQUOT "Disk quota exceeded",
    ENOMEDIUM "No medium found",
    ECANCELED "Operation canceled",
}

impl Errno {
    const fn known(number: u32) -> Errno {
        assert!(number > 0 && number < 4096);
        match NonZeroU16::new(number as u16) {
            Some(n) => Errno(n),
            None => panic!("errno 0"),
        }
    }

    /// The error of a number from 1 to 4095.
    pub const fn from_number(number: u16) -> Option<Errno> {
        match NonZeroU16::new(number) {
            Some(n) if number < 4096 => Some(Errno(n)),
            _ => None,
        }
    }

    /// The positive number, `22` for EINVAL.
    pub const fn number(self) -> u16 {
        self.0.get()
    }

    /// What a failed system call leaves in x0: `-errno` as two's complement.
    pub const fn as_return(self) -> u64 {
        (-(self.0.get() as i64)) as u64
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.text(), self.name())
    }
}

impl core::error::Error for Errno {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn numbers_are_linux_numbers() {
        assert_eq!(Errno::EPERM.number(), 1);
        assert_eq!(Errno::EUCLEAN.number(), 117);
        assert_eq!(Errno::EINVAL.as_return(), (-22i64) as u64);
        assert_eq!(Errno::from_number(22), Some(Errno::EINVAL));
        assert_eq!(Errno::from_number(0), None);
        assert_eq!(Errno::from_number(4096), None);
    }

    #[test]
    fn names_and_texts() {
        assert_eq!(Errno::ENOSPC.name(), "ENOSPC");
        assert_eq!(Errno::EIO.to_string(), "Input/output error (EIO)");
    }

    #[test]
    fn a_result_is_small() {
        assert_eq!(size_of::<Result<()>>(), 2);
    }
}
