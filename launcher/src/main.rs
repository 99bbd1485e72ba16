//! `quill`: runs a Linux/arm64 program on the Quill kernel, in QEMU, on an ext4 disk.
//!
//! A run goes through the modules in this order, and each knows only the ones before it:
//!
//! | module | what it does |
//! |---|---|
//! | `cli`, `size` | the command line of this program, strictly parsed |
//! | `tools` | finds QEMU and e2fsprogs, and names the package of what is missing |
//! | `symbols`, `image`, `kernel` | the kernel: the one built in, or another, as ELF or flat Image |
//! | `disk` | makes or opens the ext4 disk and places the program on it |
//! | `cmdline` | the kernel's command line: root, init, arguments, environment |
//! | `qemu` | QEMU's command line: machine, accelerator, disk, console |
//! | `console` | the framing on the guest's serial line (docs/console.md) |
//! | `monitor`, `process` | QEMU's process, and its power key |
//! | `session` | the running QEMU: output, input, time limit, signals |
//! | `outcome` | how a run ended, in words and as an exit status |
//! | `run` | joins them |

#![forbid(unsafe_code)]

mod cli;
mod cmdline;
mod console;
mod disk;
mod drive;
mod image;
mod kernel;
mod monitor;
mod outcome;
mod process;
mod qemu;
mod run;
mod session;
mod size;
mod symbols;
mod tools;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};

/// The exit status for the launcher's own trouble, as `env` and `timeout` use it.
const OWN_TROUBLE: u8 = 125;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let result = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Image(args) => kernel::write_image(&args).map(|()| 0),
    };
    match result {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("quill: {error:#}");
            ExitCode::from(OWN_TROUBLE)
        }
    }
}

/// Prints what the argument parser has to say: help and version are a success, all else is trouble.
fn usage(error: &clap::Error) -> ExitCode {
    // A closed stdout or stderr leaves nobody to tell; the exit status still speaks.
    let _ = error.print();
    match error.exit_code() {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(OWN_TROUBLE),
    }
}
