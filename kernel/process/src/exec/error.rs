//! Why a program cannot be started: one line for the log, and what execve(2) would answer.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use base::Errno;

/// Why a program cannot be started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ExecError {
    /// The file could not be read, or memory ran out.
    Failed(&'static str, Errno),
    /// No directory, device or the like can be run.
    NotRegular,
    /// Nobody may execute it, or its mount forbids it.
    NotExecutable,
    /// Too short for a header, or the magic is another.
    NotElf,
    /// It begins with `#!`; this is its interpreter.
    Script(Vec<u8>),
    /// An ELF file, but not for this machine.
    WrongMachine {
        /// 32 or 64, or 0 for neither.
        bits: u8,
        /// `e_machine`.
        machine: u16,
    },
    /// Neither ET_EXEC nor ET_DYN.
    WrongType(u16),
    /// It asks for a dynamic linker, this one.
    NeedsInterpreter(Vec<u8>),
    /// A header contradicts itself or the file.
    Corrupt(&'static str),
    /// Arguments and environment are too large.
    TooLong,
}

impl ExecError {
    /// What execve(2) answers.
    pub fn errno(&self) -> Errno {
        match self {
            ExecError::Failed(_, errno) => *errno,
            ExecError::NotRegular | ExecError::NotExecutable => Errno::EACCES,
            ExecError::TooLong => Errno::E2BIG,
            _ => Errno::ENOEXEC,
        }
    }
}

impl fmt::Display for ExecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy;
        match self {
            ExecError::Failed(what, errno) => write!(f, "{what}: {errno}"),
            ExecError::NotRegular => f.write_str("not a regular file"),
            ExecError::NotExecutable => f.write_str("no permission to execute it (chmod +x?)"),
            ExecError::NotElf => f.write_str("not an ELF file"),
            ExecError::Script(interpreter) => {
                write!(f, "a script for {}, and Quill does not run scripts yet", text(interpreter))
            }
            ExecError::WrongMachine { bits, machine } => {
                write!(
                    f,
                    "an ELF file for another machine (ELF{bits}, machine {machine}), not for 64-bit arm64"
                )
            }
            ExecError::WrongType(t) => write!(f, "an ELF file of type {t}, which is no program"),
            ExecError::NeedsInterpreter(path) => write!(
                f,
                "needs the dynamic linker {}, which Quill does not support yet: link it statically",
                text(path)
            ),
            ExecError::Corrupt(what) => write!(f, "a corrupt ELF file: {what}"),
            ExecError::TooLong => f.write_str("arguments and environment are too long"),
        }
    }
}

impl core::error::Error for ExecError {}
