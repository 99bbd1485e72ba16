//! What cannot work says so: one clear line and a failing exit status.

use std::fs;
use std::path::Path;

use libtest_mimic::Trial;
use qemu_tests::{Run, Verdict, e2fsck_clean, ensure, mke2fs, user_program};
use tempfile::TempDir;

use crate::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("bad_input::no_disk", no_disk),
        trial("bad_input::empty_disk", empty_disk),
        trial("bad_input::truncated_image", truncated_image),
        trial("bad_input::unknown_incompat", unknown_incompat),
        trial("bad_input::no_init", no_init),
        trial("bad_input::corrupt_init", || bad_program(b"\x7fELF and nothing more", "init")),
        trial("bad_input::text_init", || bad_program(b"just some text\n", "init")),
        trial("bad_input::empty_init", || bad_program(b"", "init")),
        trial("bad_input::dynamic_init", dynamic_init),
        trial("bad_input::foreign_init", foreign_init),
        trial("bad_input::needs_recovery", needs_recovery),
        trial("bad_input::odd_command_lines", odd_command_lines),
    ]
}

/// Exit status 125, and a line with this word.
fn refused(run: Run, word: &str) -> Verdict {
    let outcome = run.limit(60).go_without_disk();
    ensure!(outcome.status == 125, "status {}, want 125\n{outcome}", outcome.status);
    let log = outcome.stderr.to_lowercase();
    ensure!(log.contains(word), "the log lacks {word:?}\n{outcome}");
    ensure!(!log.contains("panic"), "a panic\n{outcome}");
    Ok(())
}

fn with_disk(disk: &Path) -> Run {
    Run::new(":/bin/prog").options(["--disk".as_ref(), disk.as_os_str()])
}

fn temp() -> Result<TempDir, String> {
    TempDir::new().map_err(|e| e.to_string())
}

fn no_disk() -> Verdict {
    refused(Run::new(":/bin/prog").options(["--no-disk"]), "root")
}

fn empty_disk() -> Verdict {
    let dir = temp()?;
    let disk = dir.path().join("disk");
    fs::write(&disk, vec![0u8; 1 << 20]).map_err(|e| e.to_string())?;
    refused(with_disk(&disk), "ext4")
}

/// The superblock promises more blocks than there are.
fn truncated_image() -> Verdict {
    let dir = temp()?;
    let disk = dir.path().join("disk");
    mke2fs(&disk, 64 << 20, &["-t", "ext4"])?;
    let file = fs::OpenOptions::new().write(true).open(&disk).map_err(|e| e.to_string())?;
    file.set_len(20 << 20).map_err(|e| e.to_string())?;
    refused(with_disk(&disk), "block")
}

/// A feature from the future in `s_feature_incompat`.
fn unknown_incompat() -> Verdict {
    let dir = temp()?;
    let disk = dir.path().join("disk");
    mke2fs(&disk, 16 << 20, &["-t", "ext4", "-O", "^metadata_csum"])?;
    let mut image = fs::read(&disk).map_err(|e| e.to_string())?;
    image[1024 + 0x60 + 3] |= 0x40;
    fs::write(&disk, image).map_err(|e| e.to_string())?;
    refused(with_disk(&disk), "incompat")
}

fn no_init() -> Verdict {
    let dir = temp()?;
    let disk = dir.path().join("disk");
    mke2fs(&disk, 16 << 20, &["-t", "ext4"])?;
    refused(with_disk(&disk), "/bin/prog")
}

fn bad_program(content: &[u8], word: &str) -> Verdict {
    let dir = temp()?;
    let program = dir.path().join("prog");
    fs::write(&program, content).map_err(|e| e.to_string())?;
    refused(Run::new(program), word)
}

/// An ELF file that asks for an interpreter: the demo with its PT_GNU_STACK renamed PT_INTERP.
fn dynamic_init() -> Verdict {
    let dir = temp()?;
    let mut elf = fs::read(user_program("demo")).map_err(|e| e.to_string())?;
    let word = |elf: &[u8], at: usize| u16::from_le_bytes([elf[at], elf[at + 1]]) as usize;
    let (start, size, count) = (word(&elf, 32), word(&elf, 54), word(&elf, 56));
    let header = (0..count)
        .map(|i| start + i * size)
        .find(|&at| elf[at..at + 4] == 0x6474_e551u32.to_le_bytes())
        .ok_or("no PT_GNU_STACK in the demo")?;
    let name_at = elf.len();
    elf.extend_from_slice(b"/lib/ld-linux-aarch64.so.1\0");
    elf[header] = 3;
    elf[header + 1..header + 4].fill(0);
    elf[header + 8..header + 16].copy_from_slice(&(name_at as u64).to_le_bytes());
    elf[header + 32..header + 40].copy_from_slice(&27u64.to_le_bytes());
    elf[header + 40..header + 48].copy_from_slice(&27u64.to_le_bytes());
    let program = dir.path().join("dynamic");
    fs::write(&program, elf).map_err(|e| e.to_string())?;
    refused(Run::new(program), "ld-linux-aarch64")
}

/// A program for another machine.
fn foreign_init() -> Verdict {
    let dir = temp()?;
    let mut elf = fs::read(user_program("demo")).map_err(|e| e.to_string())?;
    elf[18] = 62;
    let program = dir.path().join("foreign");
    fs::write(&program, elf).map_err(|e| e.to_string())?;
    refused(Run::new(program), "init")
}

/// An image that says it needs recovery, though its journal is empty, is mounted all the same, as Linux does;
/// one whose journal is no journal is refused.
fn needs_recovery() -> Verdict {
    let dir = temp()?;
    let tree = dir.path().join("tree");
    fs::create_dir_all(tree.join("bin")).map_err(|e| e.to_string())?;
    fs::copy(user_program("demo"), tree.join("bin/demo")).map_err(|e| e.to_string())?;
    let disk = dir.path().join("disk");
    let tree = tree.to_str().ok_or("a path that is not UTF-8")?;
    mke2fs(&disk, 32 << 20, &["-t", "ext4", "-O", "^metadata_csum", "-d", tree])?;
    let mut image = fs::read(&disk).map_err(|e| e.to_string())?;
    image[1024 + 0x60] |= 0x04;
    fs::write(&disk, &image).map_err(|e| e.to_string())?;
    let run = || Run::new(":/bin/demo").options(["--disk".as_ref(), disk.as_os_str()]).limit(60);
    let outcome = run().go_without_disk();
    ensure!(outcome.status == 0, "status {}\n{outcome}", outcome.status);
    e2fsck_clean(&disk)?;
    // The inode of the journal, 0 for none (`s_journal_inum`).
    image[1024 + 0xe0..1024 + 0xe4].copy_from_slice(&2u32.to_le_bytes());
    fs::write(&disk, &image).map_err(|e| e.to_string())?;
    refused(run(), "journal")
}

/// Nothing on the command line harms the kernel.
fn odd_command_lines() -> Verdict {
    for words in
        ["root", "root= init= loglevel=x", "root=/dev/vdz", "rootflags=nonsense=1", "elevator=none", "\"open"]
    {
        let outcome = Run::user("demo").options(["--append", words]).limit(60).go();
        ensure!(outcome.status == 0 || outcome.status == 125, "{words}: {}\n{outcome}", outcome.status);
        ensure!(!outcome.stderr.to_lowercase().contains("panic"), "{words}: a panic\n{outcome}");
    }
    Ok(())
}
