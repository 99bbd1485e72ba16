//! The arguments of a system call, x0 to x5, as the types that Linux's prototypes give them.
//!
//! A register holds 64 bits; an `int` argument is its low 32, whatever the program left above, as
//! Linux's `SYSCALL_DEFINE` wrappers cut it.

use base::UserAddr;

/// x0 to x5 as the program left them.
#[derive(Clone, Copy, Debug)]
pub struct Args(pub [u64; 6]);

impl Args {
    /// Argument `i` as an `int`.
    pub const fn int(self, i: usize) -> i32 {
        self.0[i] as i32
    }

    /// Argument `i` as an `unsigned int`.
    pub const fn uint(self, i: usize) -> u32 {
        self.0[i] as u32
    }

    /// Argument `i` as a `long` or `off_t`.
    pub const fn long(self, i: usize) -> i64 {
        self.0[i] as i64
    }

    /// Argument `i` as an `unsigned long`.
    pub const fn ulong(self, i: usize) -> u64 {
        self.0[i]
    }

    /// Argument `i` as a `size_t`.
    pub const fn size(self, i: usize) -> usize {
        self.0[i] as usize
    }

    /// Argument `i` as a pointer.
    pub const fn addr(self, i: usize) -> UserAddr {
        UserAddr(self.0[i])
    }

    /// Argument `i` as a pointer that may be NULL.
    pub const fn optional_addr(self, i: usize) -> Option<UserAddr> {
        match self.0[i] {
            0 => None,
            addr => Some(UserAddr(addr)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_int_is_the_low_half() {
        let args = Args([0xffff_ffff_0000_0003, 0xffff_ff9c, 0, 0, 0, 0]);
        assert_eq!(args.int(0), 3);
        assert_eq!(args.int(1), -100);
        assert_eq!(args.optional_addr(2), None);
    }
}
