//! SQLite, from Debian's own library, commits transactions in a booted machine, and the power goes:
//! whatever it had said was committed is there, and `PRAGMA integrity_check` finds nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use qemu_tests::{Verdict, debian_arm64, ensure};
use sim::Machine;
use sim::crash::Setup;
use sim::crash::booted::{self, Mark};
use tempfile::TempDir;

use super::bench::{Bench, text};
use super::cuts;

const COMPILER: &str = "aarch64-linux-gnu-gcc";

/// Whether it can be built, and the host can look at what it leaves.
pub fn possible() -> bool {
    let there = |tool: &str| Command::new(tool).arg("--version").output().is_ok();
    there(COMPILER) && there("sqlite3") && library().is_some()
}

fn library() -> Option<PathBuf> {
    debian_arm64("usr/lib/aarch64-linux-gnu/libsqlite3.a")
}

fn build(to: &Path) -> Verdict {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("c/sqlite.c");
    let output = Command::new(COMPILER)
        .args(["-O1", "-s", "-static", "-I"])
        .arg(debian_arm64("usr/include").ok_or("no headers")?)
        .arg("-o")
        .args([to, &source, &library().ok_or("no library")?])
        .args(["-lm", "-ldl", "-lpthread"])
        .output()
        .map_err(text)?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// What the program was told of its transactions.
struct Promises {
    marks: Vec<(usize, Mark)>,
}

impl Promises {
    /// The last transaction that was committed, and the last that had begun.
    fn at(&self, position: usize) -> (Option<u32>, Option<u32>) {
        let last = |phase: u32| {
            let of_phase = self.marks.iter().filter(|(_, mark)| mark.phase == phase);
            // Told at a position: after the events below it.
            let until = of_phase.filter(|(at, _)| if phase == 0 { *at < position } else { *at <= position });
            until.map(|(_, mark)| mark.number).max()
        };
        (last(1), last(0))
    }
}

/// One run, cut in `images` ways.
pub fn cut_everywhere(mode: &str, transactions: u32, setup: &Setup, images: u64) -> Verdict {
    let bench = Bench::new()?;
    let program = bench.path("sqlite");
    build(&program)?;
    let disk = booted::disk(setup, &bench.tree(&[&program])?, 12 << 20).map_err(text)?;
    bench.put("disk", &disk)?;
    bench.boot_logged(setup, &format!("init=/bin/sqlite -- /w0/db {mode} {transactions} /dev/vda2"))?;
    let (recording, marks) = booted::marked(&disk, &bench.get("log")?)?;
    ensure!(marks.len() == 2 * (transactions as usize + 1), "{} marks", marks.len());
    let promises = Promises { marks };
    let look = |machine: &Machine, position: usize| check(machine, &promises, position);
    let judged = cuts::judged(setup, &recording, images, &|position| promises.at(position), &look)
        .map_err(|why| format!("{mode}: {why}"))?;
    println!("SQLite, {mode}: {}, {judged} images", recording.summary());
    Ok(())
}

/// Copies the data base out of the mounted image and asks the host's SQLite.
fn check(machine: &Machine, promises: &Promises, position: usize) -> Result<(), String> {
    let dir = TempDir::new().map_err(text)?;
    for name in ["db", "db-journal", "db-wal"] {
        match machine.read_file(format!("/w0/{name}")) {
            Ok(bytes) => fs::write(dir.path().join(name), bytes).map_err(text)?,
            Err(base::Errno::ENOENT) => {}
            Err(errno) => return Err(format!("{name}: {errno}")),
        }
    }
    let (committed, begun) = promises.at(position);
    if !dir.path().join("db").exists() {
        ensure!(committed.is_none(), "the data base is gone, transaction {committed:?} was committed");
        return Ok(());
    }
    let integrity = sqlite(dir.path(), "PRAGMA integrity_check")?;
    ensure!(integrity == "ok", "integrity_check: {integrity}");
    let last = sqlite(dir.path(), "SELECT last FROM state").unwrap_or_default();
    let last = last.parse::<u32>().ok();
    ensure!(
        last >= committed && last <= begun,
        "transaction {last:?} is the last, {committed:?} was committed, {begun:?} begun"
    );
    Ok(())
}

fn sqlite(dir: &Path, sql: &str) -> Result<String, String> {
    let output = Command::new("sqlite3").arg(dir.join("db")).arg(sql).output().map_err(text)?;
    ensure!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
