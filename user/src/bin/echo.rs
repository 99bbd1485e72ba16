//! Says what it was given: arguments, environment, standard input with `-`; `--exit N` exits so.
#![no_std]
#![no_main]

use user::sys;
use user::{Args, print, program};

program!(main);

fn main(args: Args) -> i32 {
    if args.text(1) == "--exit" {
        return args.text(2).parse().unwrap_or(2);
    }
    for i in 0..args.count() {
        line("arg ", &[i], args.get(i).to_bytes());
    }
    for variable in args.env() {
        line("env ", &[], variable.to_bytes());
    }
    if args.text(1) == "-" {
        return echo_lines();
    }
    0
}

/// A prefix, perhaps `N=`, and bytes that need not be text.
fn line(prefix: &str, number: &[usize], bytes: &[u8]) {
    print!("{prefix}");
    for n in number {
        print!("{n}=");
    }
    sys::write(1, bytes);
    print!("\n");
}

/// Repeats each line of standard input.
fn echo_lines() -> i32 {
    let mut buffer = [0u8; 512];
    loop {
        match sys::read(0, &mut buffer) {
            0 => break,
            n if n < 0 => return 1,
            n => {
                for text in buffer[..n as usize].split_inclusive(|&b| b == b'\n') {
                    line("stdin ", &[], text.strip_suffix(b"\n").unwrap_or(text));
                }
            }
        }
    }
    print!("end of input\n");
    0
}
