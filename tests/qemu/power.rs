//! The orderly end: the power key, an interrupted launcher and reboot(2) all leave a clean disk with
//! everything on it, though the program synced nothing.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use libtest_mimic::Trial;
use qemu_tests::{Outcome, Run, Verdict, debugfs, ensure};
use tempfile::TempDir;

use crate::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("power::key_mmio", || key(&["--machine", "mmio"])),
        trial("power::key_pci", || key(&["--machine", "pci"])),
        trial("power::key_gicv2", || key(&["--qemu-arg=-M", "--qemu-arg=gic-version=2"])),
        trial("power::busy_program", || interrupted("spin", "INT", 130)),
        trial("power::reading_program", || interrupted("read", "TERM", 143)),
        trial("power::deaf_program", deaf),
        trial("power::reader_gone", reader_gone),
        trial("power::restart", || reboot("01234567", "Restarting system\n")),
        trial("power::restart2", || reboot("a1b2c3d4", "Restarting system with command 'word'")),
        trial("power::halt", || reboot("cdef0123", "System halted")),
        trial("power::power_off", || reboot("4321fedc", "Power down")),
    ]
}

const WRITTEN: usize = 300_000;

/// The disk is clean and the file is whole.
fn everything_is_there(outcome: &Outcome, file: &str) -> Verdict {
    outcome.disk_is_clean()?;
    let disk = outcome.disk().ok_or("no disk")?;
    let state = debugfs(disk, "show_super_stats -h");
    let is_clean = |line: &str| line.starts_with("Filesystem state:") && line.ends_with(" clean");
    ensure!(state.lines().any(is_clean), "{state}\n{outcome}");
    let content = debugfs(disk, &format!("cat {file}"));
    let count = content.bytes().filter(|&byte| byte == b'x').count();
    ensure!(count == WRITTEN, "{file} has {count} bytes of {WRITTEN}\n{outcome}");
    Ok(())
}

/// Presses it, by QEMU's monitor.
fn press(socket: &Path) {
    let commands = b"{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"system_powerdown\"}\n";
    let pressed = UnixStream::connect(socket).and_then(|mut monitor| {
        monitor.write_all(commands)?;
        let mut lines = BufReader::new(monitor).lines();
        Ok(lines.any(|line| line.is_ok_and(|line| line.contains("POWERDOWN"))))
    });
    assert!(matches!(pressed, Ok(true)), "{}: {pressed:?}", socket.display());
}

/// Runs `power MODE /f` and presses the key when it is ready.
fn pressed(mode: &str, options: &[&str]) -> Result<Outcome, String> {
    let dir = TempDir::new().map_err(|e| e.to_string())?;
    let socket = dir.path().join("qmp");
    let qmp = format!("--qemu-arg=unix:{},server=on,wait=off", socket.display());
    let run = Run::user("power").args([mode, "/f"]).options(["--qemu-arg=-qmp", &qmp]);
    Ok(run.options(options).go_and("ready\n", move |_| press(&socket)))
}

/// A program with a handler ends by itself, with its own status.
fn key(options: &[&str]) -> Verdict {
    let outcome = pressed("catch", options)?;
    ensure!(outcome.status == 7, "status {}\n{outcome}", outcome.status);
    everything_is_there(&outcome, "/f")?;
    everything_is_there(&outcome, "/bye")?;
    outcome.says("bye\n").map(drop)
}

/// A program that does not listen is killed, and the disk is as clean.
fn deaf() -> Verdict {
    let outcome = pressed("deaf", &[])?;
    ensure!(outcome.status == 137, "status {}\n{outcome}", outcome.status);
    everything_is_there(&outcome, "/f")?;
    outcome.logs("5 s after SIGTERM").map(drop)
}

/// A signal to the launcher ends the program by SIGTERM.
fn interrupted(mode: &str, signal: &'static str, status: i32) -> Verdict {
    let send = move |launcher: u32| {
        let sent = Command::new("kill").args(["-s", signal, &launcher.to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill {launcher}");
    };
    let outcome = Run::user("power").args([mode, "/f"]).go_and("ready\n", send);
    ensure!(outcome.status == status, "status {}\n{outcome}", outcome.status);
    everything_is_there(&outcome, "/f")?;
    outcome.logs("stopped by signal").map(drop)
}

/// Whoever read the output has gone away: the same.
fn reader_gone() -> Verdict {
    let outcome = Run::user("power").args(["flood", "/f"]).go_until("ready\n");
    ensure!(outcome.status == 141, "status {}\n{outcome}", outcome.status);
    everything_is_there(&outcome, "/f")
}

/// reboot(2) with that command; the kernel says so.
fn reboot(command: &str, said: &str) -> Verdict {
    let outcome = Run::user("power").args(["reboot", "/f", command]).go();
    ensure!(outcome.status == 0, "status {}\n{outcome}", outcome.status);
    everything_is_there(&outcome, "/f")?;
    ensure!(!outcome.stdout.contains("still there"), "{outcome}");
    outcome.logs(&format!("reboot: {said}")).map(drop)
}
