//! Static programs of the two C libraries, and of Rust's standard library where it can be had: they
//! start, do their usual things, and end.

use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::Trial;
use qemu_tests::{Run, Verdict, debian_arm64};
use tempfile::TempDir;

use crate::trial;

const COMPILER: &str = "aarch64-linux-gnu-gcc";
/// Debian's, for which scripts/setup.sh unpacks the library.
const RUSTC: &str = "/usr/bin/rustc";

pub fn trials() -> Vec<Trial> {
    let compiler = has_compiler();
    let musl = debian_arm64("usr/lib/aarch64-linux-musl/libc.a").is_some();
    let trials = [
        ("glibc", vec!["-static"], compiler),
        ("glibc-pie", vec!["-static-pie"], compiler),
        ("musl", vec!["-static"], compiler && musl),
    ];
    let trials = trials.into_iter().map(|(name, flags, possible)| {
        [("everyday", run as fn(&Path) -> Verdict), ("signals", signals)].map(|(source, run)| {
            let flags = flags.clone();
            let built = move || compiled(name, source, &flags, run);
            trial(format!("libc::{source}::{name}"), built).with_ignored_flag(!possible)
        })
    });
    let std = debian_arm64("usr/lib/rustlib/aarch64-unknown-linux-gnu").is_some();
    let possible = compiler && std && Command::new(RUSTC).arg("--version").output().is_ok();
    let rust = trial("libc::rust", rust).with_ignored_flag(!possible);
    trials.flatten().chain([rust]).collect()
}

/// Whether C can be compiled at all.
pub fn has_compiler() -> bool {
    Command::new(COMPILER).arg("--version").output().is_ok()
}

/// Rust's standard library, on both kinds of blocks and in little memory.
fn rust() -> Verdict {
    let dir = TempDir::new().map_err(|e| e.to_string())?;
    let program = dir.path().join("std");
    let usr = debian_arm64("usr").ok_or("no library")?;
    let mut rustc = Command::new(RUSTC);
    rustc.args(["--edition", "2024", "-O", "--target", "aarch64-unknown-linux-gnu", "--sysroot"]).arg(usr);
    rustc.args(["-C", "target-feature=+crt-static", "-C", &format!("linker={COMPILER}"), "-o"]).arg(&program);
    compiler_ran(rustc.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("rust/std.rs")))?;
    for block_size in [1024, 4096] {
        let run = Run::new(&program).args(["one", "two words"]).block_size(block_size);
        let outcome = run.options(["--env", "NAME=value", "--memory", "32M"]).go().ends_with(7)?;
        outcome.says("NAME=value\n")?.says("panic caught: true\n")?.says("all is well\n")?;
    }
    Ok(())
}

/// Compiles tests/c/SOURCE.c and hands the program on.
pub fn compiled(name: &str, source: &str, flags: &[&str], run: impl FnOnce(&Path) -> Verdict) -> Verdict {
    let dir = TempDir::new().map_err(|e| e.to_string())?;
    let program = dir.path().join(name);
    compile(name == "musl", source, flags, &program)?;
    run(&program)
}

fn run(program: &Path) -> Verdict {
    let outcome = Run::new(program).args(["one", "two"]).options(["--env", "NAME=value"]).go();
    let outcome = outcome.ends_with(0)?.says("argv[2]=two\n")?.says("NAME=value\n")?;
    outcome.says("pi is 3.141593\n")?.says("sorted 1 2 3 5 8\n")?.says("all is well\n").map(drop)
}

/// Signals and timers, and the ways to end by one.
fn signals(program: &Path) -> Verdict {
    for (end, status) in [("none", 0), ("abort", 134), ("alarm", 142), ("stack", 139)] {
        Run::new(program).args([end]).go().ends_with(status)?.says("0 failed\n")?;
    }
    Ok(())
}

fn compile(musl: bool, source: &str, flags: &[&str], output: &Path) -> Verdict {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("c/{source}.c"));
    let mut command = Command::new(COMPILER);
    command.arg("-O1").args(flags).arg("-o").arg(output);
    if musl {
        let root = debian_arm64("usr").ok_or("no musl")?;
        musl_arguments(&mut command, &root, &source);
    } else {
        command.arg(&source).arg("-lm");
    }
    compiler_ran(&mut command)
}

fn compiler_ran(command: &mut Command) -> Verdict {
    let done = command.output().map_err(|e| e.to_string())?;
    if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
}

/// musl's headers, start files and library instead of the compiler's own.
fn musl_arguments(command: &mut Command, usr: &Path, source: &Path) {
    let lib = |file: &str| -> PathBuf { usr.join("lib/aarch64-linux-musl").join(file) };
    command.args(["-nostdinc", "-nostdlib", "-isystem"]).arg(usr.join("include/aarch64-linux-musl"));
    command.arg(lib("crt1.o")).arg(lib("crti.o")).arg(source);
    command.arg(lib("libc.a")).arg("-lgcc").arg(lib("crtn.o"));
}
