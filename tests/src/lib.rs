//! What the QEMU tests share: a run of the launcher, what came of it, and the judges of the disk.
//!
//! The tests see Quill from outside, as a user does: through `quill run`. A test is a small
//! program with an exit status, a time limit, and a disk that `e2fsck -fn` must find clean.
//!
//! The environment (set by the Makefile) says where things are: `QUILL` the launcher,
//! `QUILL_USER_DIR` the programs of `user/`, `QUILL_ARM64_ROOT` Debian's arm64 packages, unpacked.

mod disk;
pub mod linux;
mod run;

pub use disk::{debugfs, e2fsck_clean, has_tool, mke2fs, partition, put, put_bytes, take_bytes};
pub use run::{Outcome, Run};

use std::env;
use std::path::PathBuf;

/// A program of `user/`, built for EL0.
pub fn user_program(name: &str) -> PathBuf {
    required("QUILL_USER_DIR").join(name)
}

/// A file of Debian's arm64 packages; None where they could not be had.
pub fn debian_arm64(path: &str) -> Option<PathBuf> {
    let file = PathBuf::from(env::var_os("QUILL_ARM64_ROOT")?).join(path);
    file.exists().then_some(file)
}

/// A path from the environment.
///
/// # Panics
/// When it is not set: the tests are run by `make test-qemu`, which sets it.
pub fn required(name: &str) -> PathBuf {
    match env::var_os(name) {
        Some(value) => PathBuf::from(value),
        None => panic!("{name} is not set: run these tests by `make test-qemu`"),
    }
}

/// What a test says when it does not hold.
pub type Verdict = Result<(), String>;

/// Fails with a text unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($arg:tt)*) => {
        if !$condition {
            return Err(format!($($arg)*));
        }
    };
}
