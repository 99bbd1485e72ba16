//! The first stack: strings, argument pointers, auxiliary vector.
//!
//! ```text
//!   STACK_TOP   8 zero bytes
//!               the program's path              AT_EXECFN
//!               environment strings, argument strings
//!               "aarch64", 16 random bytes      AT_PLATFORM, AT_RANDOM
//!               the auxiliary vector, pairs, the last one AT_NULL
//!               envp pointers, NULL
//!               argv pointers, NULL
//!   sp          argc                            16-byte aligned
//! ```
//! Sources: `fs/binfmt_elf.c`'s create_elf_tables as described in getauxval(3); AAPCS64 6.4.5.1.

use alloc::vec::Vec;

use base::UserAddr;
use linux_raw_sys::auxvec;
use vfs::Cred;

use super::error::ExecError;
use super::image::{Image, PHENT};
use crate::mm::Strings;
use crate::mm::layout::{PAGE, STACK_TOP};
use crate::signal;

/// The longest single string, NUL included (MAX_ARG_STRLEN).
const MAX_STRING: usize = 32 * PAGE as usize;
/// Arguments and environment together never need be smaller than this (ARG_MAX).
const MIN_TOTAL: u64 = 32 * PAGE;
/// Three quarters of 8 MiB.
const MAX_TOTAL: u64 = 6 << 20;
/// Ticks that times(2) counts by.
const CLOCK_TICKS: u64 = 100;

/// What the first stack tells the program.
pub struct StartInfo<'a> {
    /// The arguments.
    pub argv: &'a [Vec<u8>],
    /// The environment.
    pub envp: &'a [Vec<u8>],
    /// The path it was started by.
    pub execfn: &'a [u8],
    /// The image.
    pub image: &'a Image,
    /// Who it runs as.
    pub cred: &'a Cred,
    /// AT_RANDOM.
    pub random: [u8; 16],
    /// AT_HWCAP.
    pub hwcap: u64,
    /// AT_HWCAP2.
    pub hwcap2: u64,
    /// RLIMIT_STACK: the strings may take a quarter of it.
    pub stack_limit: u64,
}

/// The first stack, ready to be written.
#[derive(Debug)]
pub struct FirstStack {
    /// Where it begins: the stack pointer.
    pub sp: u64,
    /// Its bytes, up to [`STACK_TOP`].
    pub bytes: Vec<u8>,
    /// Where the strings are.
    pub strings: Strings,
}

/// Lays the stack out. E2BIG as [`ExecError::TooLong`]; a string with a NUL in it is cut there.
pub fn build(info: &StartInfo<'_>) -> Result<FirstStack, ExecError> {
    let empty = [Vec::new()];
    // A program without even a name gets an empty one, as since Linux 5.18.
    let argv = if info.argv.is_empty() { &empty[..] } else { info.argv };
    check_size(info, argv)?;

    let mut top = Downward { at: STACK_TOP, chunks: Vec::new() };
    top.push(&[0; 8]);
    let execfn = top.string(info.execfn);
    let env_end = execfn;
    let envp = top.strings(info.envp);
    let env_start = top.at;
    let args = top.strings(argv);
    let args_start = top.at;
    top.at &= !15;
    let platform = top.string(b"aarch64");
    let random = top.push(&info.random);
    top.at &= !15;

    let auxv = auxv(info, execfn, platform, random);
    let words = 1 + args.len() + 1 + envp.len() + 1 + 2 * auxv.len();
    let sp = (top.at - words as u64 * 8) & !15;
    let mut vector = Vec::with_capacity(words);
    vector.push(args.len() as u64);
    vector.extend(&args);
    vector.push(0);
    vector.extend(&envp);
    vector.push(0);
    let auxv_start = sp + vector.len() as u64 * 8;
    vector.extend(auxv.iter().flat_map(|&(key, value)| [u64::from(key), value]));
    let auxv_end = sp + vector.len() as u64 * 8;

    let mut bytes = alloc::vec![0; (STACK_TOP - sp) as usize];
    for (place, word) in bytes.chunks_exact_mut(8).zip(&vector) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    top.write_to(&mut bytes, sp);
    let span = |from, to| (UserAddr(from), UserAddr(to));
    let strings = Strings {
        args: span(args_start, env_start),
        env: span(env_start, env_end),
        auxv: span(auxv_start, auxv_end),
    };
    Ok(FirstStack { sp, bytes, strings })
}

/// Strings and their pointers within a quarter of the stack, and no string too long (execve(2)).
fn check_size(info: &StartInfo<'_>, argv: &[Vec<u8>]) -> Result<(), ExecError> {
    let all = argv.iter().chain(info.envp);
    let limit = (info.stack_limit / 4).clamp(MIN_TOTAL, MAX_TOTAL);
    let mut total = info.execfn.len() as u64 + 1;
    for string in all {
        if string.len() >= MAX_STRING {
            return Err(ExecError::TooLong);
        }
        total += string.len() as u64 + 1 + 8;
    }
    if total > limit { Err(ExecError::TooLong) } else { Ok(()) }
}

/// In the order in which Linux writes it.
fn auxv(info: &StartInfo<'_>, execfn: u64, platform: u64, random: u64) -> [(u32, u64); 20] {
    let (image, cred) = (info.image, info.cred);
    [
        (auxvec::AT_MINSIGSTKSZ, signal::FRAME_SIZE),
        (auxvec::AT_HWCAP, info.hwcap),
        (auxvec::AT_PAGESZ, PAGE),
        (auxvec::AT_CLKTCK, CLOCK_TICKS),
        (auxvec::AT_PHDR, image.headers),
        (auxvec::AT_PHENT, PHENT as u64),
        (auxvec::AT_PHNUM, image.header_count.into()),
        (auxvec::AT_BASE, 0),
        (auxvec::AT_FLAGS, 0),
        (auxvec::AT_ENTRY, image.entry),
        (auxvec::AT_UID, cred.uid.into()),
        (auxvec::AT_EUID, cred.euid.into()),
        (auxvec::AT_GID, cred.gid.into()),
        (auxvec::AT_EGID, cred.egid.into()),
        (auxvec::AT_SECURE, 0),
        (auxvec::AT_RANDOM, random),
        (auxvec::AT_HWCAP2, info.hwcap2),
        (auxvec::AT_EXECFN, execfn),
        (auxvec::AT_PLATFORM, platform),
        (auxvec::AT_NULL, 0),
    ]
}

/// Pieces put below one another.
struct Downward {
    at: u64,
    chunks: Vec<(u64, Vec<u8>)>,
}

impl Downward {
    fn push(&mut self, bytes: &[u8]) -> u64 {
        self.at -= bytes.len() as u64;
        self.chunks.push((self.at, bytes.to_vec()));
        self.at
    }

    /// A string with its NUL.
    fn string(&mut self, text: &[u8]) -> u64 {
        let text = text.split(|&b| b == 0).next().unwrap_or(text);
        let mut bytes = text.to_vec();
        bytes.push(0);
        self.push(&bytes)
    }

    /// Strings that lie upward in their order; the address of each.
    fn strings(&mut self, all: &[Vec<u8>]) -> Vec<u64> {
        let mut at: Vec<u64> = all.iter().rev().map(|s| self.string(s)).collect();
        at.reverse();
        at
    }

    fn write_to(&self, bytes: &mut [u8], start: u64) {
        for (at, chunk) in &self.chunks {
            let from = (at - start) as usize;
            bytes[from..from + chunk.len()].copy_from_slice(chunk);
        }
    }
}

#[cfg(test)]
#[path = "stack_tests.rs"]
mod tests;
