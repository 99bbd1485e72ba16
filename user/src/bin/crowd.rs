//! Very many files in one directory: made, listed, looked up, and every other one taken away; or what
//! another kernel left of them, listed and looked up.
//! usage: crowd COUNT [walk]
#![no_std]
#![no_main]

use core::ffi::CStr;

use user::check::{equal, holds};
use user::sys::{self, *};
use user::{Args, println, program};

program!(main);

/// The most that a run may ask for: a bit each in [`Seen`].
const MOST: usize = 1 << 20;
/// Name of a file: `file-` and seven digits.
const DIGITS: usize = 7;

fn main(args: Args) -> i32 {
    let count = if args.count() > 1 { number(args.get(1).to_bytes()) } else { None };
    let Some(count) = count.filter(|&n| n <= MOST) else {
        println!("usage: crowd COUNT [walk]");
        return 2;
    };
    if args.text(2) == "walk" {
        equal("chdir", sys::chdir(c"/crowd".as_ptr() as usize), 0);
        half_is_there(count);
        return user::check::verdict();
    }
    equal("mkdir", sys::mkdir(c"/crowd", 0o755), 0);
    equal("chdir", sys::chdir(c"/crowd".as_ptr() as usize), 0);
    make(count);
    let mut seen = Seen([0; MOST / 64]);
    equal("names listed", list(&mut seen), count);
    equal("of them ours, each once", seen.count(), count);
    look_up(count, |_| 0);
    remove_half(count);
    half_is_there(count);
    equal("rmdir of what is not empty", sys::rmdir(c"/crowd"), ENOTEMPTY);
    user::check::verdict()
}

fn half_is_there(count: usize) {
    let mut seen = Seen([0; MOST / 64]);
    equal("names listed after that", list(&mut seen), count / 2);
    equal("of them ours, each once", seen.count(), count / 2);
    look_up(count, |i| if i % 2 == 0 { ENOENT } else { 0 });
}

fn number(text: &[u8]) -> Option<usize> {
    text.iter().try_fold(0usize, |n, &c| {
        let digit = c.checked_sub(b'0').filter(|&d| d < 10)?;
        n.checked_mul(10)?.checked_add(usize::from(digit))
    })
}

/// A name with its number, and the zero behind it.
struct Name([u8; 5 + DIGITS + 1]);

impl Name {
    fn of(mut number: usize) -> Name {
        let mut name = *b"file-0000000\0";
        for digit in name[5..5 + DIGITS].iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
        Name(name)
    }

    fn path(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or(c"")
    }
}

fn make(count: usize) {
    for i in 0..count {
        let fd = sys::open(Name::of(i).path(), O_WRONLY | O_CREAT | O_EXCL, 0o644);
        equal("a file is made", fd.min(0), 0);
        equal("close", sys::close(fd as i32), 0);
    }
    equal("made twice", sys::open(Name::of(count / 2).path(), O_WRONLY | O_CREAT | O_EXCL, 0o644), EEXIST);
}

fn look_up(count: usize, want: impl Fn(usize) -> isize) {
    let mut stat = [0u8; 128];
    for i in 0..count {
        let name = Name::of(i);
        let path = name.path().as_ptr() as usize;
        equal("stat", sys::newfstatat(AT_FDCWD, path, stat.as_mut_ptr() as usize, 0), want(i));
    }
    let name = Name::of(count);
    equal(
        "stat of none",
        sys::newfstatat(AT_FDCWD, name.path().as_ptr() as usize, stat.as_mut_ptr() as usize, 0),
        ENOENT,
    );
}

fn remove_half(count: usize) {
    for i in (0..count).step_by(2) {
        equal("unlink", sys::unlink(Name::of(i).path()), 0);
    }
    equal("unlink again", sys::unlink(Name::of(0).path()), ENOENT);
}

/// Which numbers came up.
struct Seen([u64; MOST / 64]);

impl Seen {
    fn mark(&mut self, number: usize) {
        if let Some(word) = self.0.get_mut(number / 64) {
            *word |= 1 << (number % 64);
        }
    }

    fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }
}

/// Reads the directory; the names besides `.` and `..`.
fn list(seen: &mut Seen) -> usize {
    let fd = sys::open(c".", O_RDONLY | O_DIRECTORY, 0) as i32;
    holds("the directory opens", fd >= 0);
    let (mut buffer, mut names) = ([0u8; 4096], 0);
    loop {
        let got = sys::getdents64(fd, buffer.as_mut_ptr() as usize, buffer.len());
        if got <= 0 {
            equal("getdents64", got, 0);
            break;
        }
        names += note(&buffer[..got as usize], seen);
    }
    equal("close", sys::close(fd), 0);
    names
}

/// The records of `struct linux_dirent64`: length at 16, name from 19.
fn note(mut records: &[u8], seen: &mut Seen) -> usize {
    let mut names = 0;
    while records.len() > 19 {
        let length = usize::from(u16::from_le_bytes([records[16], records[17]]));
        let Ok(name) = CStr::from_bytes_until_nul(&records[19..]) else { break };
        match name.to_bytes() {
            b"." | b".." => {}
            ours => {
                names += 1;
                ours.strip_prefix(b"file-").and_then(number).into_iter().for_each(|n| seen.mark(n));
            }
        }
        records = records.get(length.max(24)..).unwrap_or(&[]);
    }
    names
}
