//! Fast commits, written by Quill on a disk with the feature: what they cost beside commits, what they tell of
//! themselves, and what others make of them: Linux's mount and Quill's after a crash.

use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use qemu_tests::{Run, Verdict, debian_arm64, e2fsck_clean, ensure, linux, mke2fs, user_program};
use tempfile::TempDir;

use crate::trial;

/// How often a file is replaced; the last one has this letter.
const ROUNDS: u64 = 20;
const LAST: char = 't';

pub fn trials() -> Vec<Trial> {
    let possible = linux::available() && debian_arm64("bin/busybox").is_some();
    vec![trial("fast_commit::replaces", replaces).with_ignored_flag(!possible)]
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// A disk that `replaces` has left as a crash does, and what it has said.
fn left(dir: &TempDir, name: &str, features: &str) -> Result<(PathBuf, String), String> {
    let root = dir.path().join("root");
    for name in ["bin", "d", "dev", "proc", "sys"] {
        fs::create_dir_all(root.join(name)).map_err(text)?;
    }
    let busybox = debian_arm64("bin/busybox").ok_or("no busybox")?;
    fs::copy(busybox, root.join("bin/busybox")).map_err(text)?;
    fs::copy(user_program("replaces"), root.join("bin/replaces")).map_err(text)?;
    let disk = dir.path().join(name);
    let root = root.to_str().ok_or("a path that is not UTF-8")?;
    mke2fs(
        &disk,
        32 << 20,
        &["-t", "ext4", "-b", "1024", "-O", features, "-E", "lazy_itable_init=0", "-d", root],
    )?;
    let run = Run::new(":/bin/replaces").args([ROUNDS.to_string()]);
    let run = run.options([
        "--disk".as_ref(),
        disk.as_os_str(),
        "--append".as_ref(),
        "rootflags=commit=600".as_ref(),
    ]);
    let outcome = run.go_without_disk();
    let said = outcome.stdout.clone();
    outcome.ends_with(0)?;
    ensure!(said.contains("shutdown 0\n"), "{said}");
    Ok((disk, said))
}

/// The number before, or behind, a word.
fn number(said: &str, word: &str) -> Result<u64, String> {
    let line = said.lines().find(|line| line.split(' ').any(|part| part == word));
    let found = line.and_then(|line| line.split(' ').find_map(|part| part.parse().ok()));
    found.ok_or_else(|| format!("no number of {word}\n{said}"))
}

/// What was acknowledged is there, and what was not is not.
fn judged(files: &str, kept: &str, long: &str) -> Verdict {
    let has = |what: &str, name: &str| files.lines().any(|line| line.contains(what) && line.ends_with(name));
    ensure!(has(kept, "/d/kept") && has(long, "/d/long"), "{files}");
    ensure!(!files.contains("gone") && !files.contains("temp") && !files.contains("lost"), "{files}");
    Ok(())
}

fn replaces() -> Verdict {
    let dir = TempDir::new().map_err(text)?;
    let (plain, said) = left(&dir, "plain", "^fast_commit")?;
    let commits = number(&said, "writes")?;
    ensure!(number(&said, "commits")? == 0, "{said}");
    let (disk, said) = left(&dir, "fast", "fast_commit")?;
    // Each round is two fsyncs, and the last change one more.
    ensure!(number(&said, "commits")? > 2 * ROUNDS, "{said}");
    let fast = number(&said, "writes")?;
    ensure!(fast < commits, "{fast} writes with fast commits, {commits} without\n{said}");
    let superblock = fs::read(&disk).map_err(text)?;
    // `s_feature_incompat`: needs_recovery.
    ensure!(superblock[1024 + 0x60] & 4 != 0, "the disk needs no recovery");
    let recovered = |path: &Path| {
        let theirs = dir.path().join("linux.img");
        fs::copy(path, &theirs).map_err(text)?;
        let answers = linux::run(&theirs, &["/bin/busybox find /d -type f -exec /bin/busybox wc -c {} ;"])?;
        e2fsck_clean(&theirs)?;
        let ours = Run::new(":/bin/busybox").options(["--disk".as_ref(), path.as_os_str()]);
        let ours = ours.args(["find", "/d", "-type", "f", "-size", "-9", "-print"]).go_without_disk();
        let listed = ours.stdout.clone();
        ours.ends_with(0)?;
        e2fsck_clean(path)?;
        let kept = qemu_tests::debugfs(path, "cat /d/kept");
        ensure!(kept.matches(LAST).count() == 3000, "{kept}");
        let names = |text: &str| {
            let mut all: Vec<_> =
                text.lines().filter_map(|l| l.rsplit(' ').next().map(str::to_owned)).collect();
            all.sort();
            all
        };
        ensure!(names(&listed) == names(&answers[0].output), "{listed}\n{}", answers[0].output);
        Ok::<String, String>(answers[0].output.clone())
    };
    judged(&recovered(&disk)?, "3000", "1000")?;
    judged(&recovered(&plain)?, "3000", "1000")
}
