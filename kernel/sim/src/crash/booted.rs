//! The same workloads in a machine that really boots: a script for the program `user/src/bin/script.rs`,
//! and the story that the disk's log tells afterwards.
//!
//! ```text
//!   disk:  partition table · partition 1: the file system · partition 2: marks
//! ```
//! The program writes a mark to the second partition before and after each step, past all caches. So the
//! log of the whole disk says at which of its writes each step began and ended, and how, and every rule of
//! the laboratory applies to what Quill, or Linux, did in QEMU.

use std::fmt::Write as _;
use std::path::Path;

use base::Errno;
use base::units::SECTOR_SIZE;

use super::history::History;
use super::judge;
use super::logwrites::{self, Entry};
use super::play::Story;
use super::record::Recording;
use super::setup::Setup;
use super::step::{How, Step};
use super::workload::Chooser;
use crate::image::Image;
use crate::machine::Machine;
use crate::model::{Id, Model};
use crate::random::Rng;
use crate::tools::Trouble;

/// First sector of the file system, and sectors of the marks' partition behind it.
const PART: u64 = 2048;
const MARKS: u64 = 2048;

/// A workload as a file of steps.
pub struct Script {
    seed: u64,
    setup: Setup,
    steps: Vec<(Step, Id)>,
}

impl Script {
    /// The one of a seed. It supposes that each step succeeds where the model says so.
    pub fn new(seed: u64, setup: &Setup) -> Script {
        let mut model = Model::default();
        let (mut chooser, mut held) = (Chooser::new(Rng::new(seed), setup), None);
        let mut steps = Vec::new();
        for number in 1..=setup.steps {
            let step = chooser.next(&model, held);
            let file = step.file(&model, held);
            let all = match step {
                Step::Write { len, .. } | Step::WriteHeld { len, .. } => len,
                _ => 0,
            };
            // Where the model says no, so will the file system, and nothing changes.
            let _ = step.apply(&mut model, held, number as u32, all);
            held = holds(&step, held, file);
            steps.push((step, file.unwrap_or(0)));
        }
        Script { seed, setup: setup.clone(), steps }
    }

    /// The file that the program reads.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (number, (step, file)) in (1..).zip(&self.steps) {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{}", line(step, *file, number));
        }
        text
    }

    /// How many steps.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The disk: a file system filled with the host's `tree`, and the room for marks.
    pub fn disk(&self, tree: &Path) -> Result<Vec<u8>, Trouble> {
        disk(&self.setup, tree, self.setup.size() * 2)
    }

    /// What happened, by the log of the disk's writes. Err when a step went otherwise than it must.
    pub fn story(&self, disk: &[u8], log: &[u8], prefix: &str) -> Result<Story, String> {
        let (recording, marks) = marked(disk, log)?;
        let mut history = self.history(&marks, prefix)?;
        history.ended(recording.events.len());
        Ok(Story {
            seed: self.seed,
            setup: self.setup.clone(),
            recording,
            actors: vec![history],
            log: Vec::new(),
        })
    }

    /// Judges a disk whose machine was stopped: what its last mark says was done by then. There is no log
    /// of how the steps ended; they must have ended as the model says.
    pub fn judge_killed(&self, disk: &[u8], prefix: &str) -> Result<(), String> {
        let last =
            disk.len().checked_sub(MARKS as usize * SECTOR_SIZE).and_then(|at| Mark::parse(&disk[at..]));
        let last = last.ok_or("there is no mark")?;
        let mut model = Model::default();
        let mut history = History::new(prefix.into(), 0, false, self.setup.is_delayed(), &model);
        let mut held = None;
        for (number, (step, _)) in (1..).zip(&self.steps) {
            let file = step.file(&model, held);
            let all = match *step {
                Step::Write { len, .. } | Step::WriteHeld { len, .. } => len,
                _ => 0,
            };
            let done = step.apply(&mut model, held, number, all);
            held = holds(step, held, file);
            let at = 3 * number as usize;
            history.note(step.clone(), at..at + 2, done, file, &model);
        }
        // Begun and not ended, or ended and the next not begun.
        let position = 3 * last.number as usize + 1 + last.phase as usize;
        let look = |machine: &Machine| judge::compare_one(&history, position, self.setup.stale(), machine);
        judge::recover(&self.setup, self.seed, vec![file_system(disk).to_vec()], &look).map(|_| ())
    }

    fn history(&self, marks: &[(usize, Mark)], prefix: &str) -> Result<History, String> {
        let mut model = Model::default();
        let mut history = History::new(prefix.into(), 0, false, self.setup.is_delayed(), &model);
        let mut held = None;
        for (number, (step, file)) in (1..).zip(&self.steps) {
            let at = |phase| marks.iter().find(|(_, mark)| (mark.number, mark.phase) == (number, phase));
            let (Some((begun, _)), Some((ended, mark))) = (at(0), at(1)) else {
                return Err(format!("step {number}, {step}, left no marks: {} there are", marks.len()));
            };
            let done = match u32::try_from(-mark.answer) {
                Ok(code) if code > 0 => {
                    let code = u16::try_from(code).unwrap_or(0);
                    Err(Errno::from_number(code).unwrap_or(Errno::EIO))
                }
                _ => step
                    .apply(&mut model, held, number, mark.answer as usize)
                    .map_err(|errno| format!("step {number}, {step}: it was done, the model says {errno}"))
                    .map(Ok)?,
            };
            let own = step.file(&model, held).filter(|id| id == file);
            if done.is_ok() {
                held = holds(step, held, own);
            }
            history.note(step.clone(), *begun..*ended, done, own, &model);
        }
        Ok(history)
    }
}

/// The file that is held after a step.
fn holds(step: &Step, held: Option<Id>, file: Option<Id>) -> Option<Id> {
    match step {
        Step::Hold(_) => file.or(held),
        Step::LetGo => None,
        _ => held,
    }
}

/// What the program wrote about a step.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// Which step.
    pub number: u32,
    /// 0 at its begin, 1 at its end.
    pub phase: u32,
    /// What the system call returned.
    pub answer: i64,
}

/// What a log says of a disk that [`partitioned`] made: the recording of the file system, and the marks
/// with their positions in it.
pub fn marked(disk: &[u8], log: &[u8]) -> Result<(Recording, Vec<(usize, Mark)>), String> {
    let sectors = (disk.len() / SECTOR_SIZE) as u64;
    let mut marks = Vec::new();
    let note = |position: usize, entry: &Entry| marks.extend(Mark::of(entry).map(|mark| (position, mark)));
    let recording = logwrites::recording(disk, PART..sectors - MARKS, logwrites::entries(log)?, note)?;
    Ok((recording, marks))
}

impl Mark {
    fn of(entry: &Entry) -> Option<Mark> {
        Mark::parse(&entry.bytes)
    }

    /// A sector that was written as a mark.
    pub fn parse(sector: &[u8]) -> Option<Mark> {
        let bytes = sector.strip_prefix(b"QMRK")?;
        let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let answer = i64::from_le_bytes(bytes.get(8..16)?.try_into().ok()?);
        Some(Mark { number: word(0)?, phase: word(4)?, answer })
    }
}

/// A step as the program reads it.
fn line(step: &Step, file: Id, number: u32) -> String {
    match step {
        Step::Create(path) => format!("create {path}"),
        Step::Write { path, pos, len, how } => match how.open_flags() {
            Some(flags) => format!("write {path} {pos} {len} {flags} {file} {number}"),
            None => {
                let synced = u32::from(*how == How::Msync);
                format!("store {path} {pos} {len} {synced} {file} {number}")
            }
        },
        Step::WriteHeld { pos, len } => format!("writeheld {pos} {len} {file} {number}"),
        Step::Truncate { path, len } => format!("truncate {path} {len}"),
        Step::Fallocate { path, mode, pos, len } => format!("fallocate {path} {} {pos} {len}", mode.bits()),
        Step::Fsync(path) if path.is_empty() => "fsync /".into(),
        Step::Fsync(path) => format!("fsync {path}"),
        Step::Fdatasync(path) => format!("fdatasync {path}"),
        Step::Sync => "sync".into(),
        // There is no call that starts and does not wait.
        Step::WriteBack => "pass".into(),
        Step::Mkdir(path) => format!("mkdir {path}"),
        Step::Rmdir(path) => format!("rmdir {path}"),
        Step::Unlink(path) => format!("unlink {path}"),
        Step::Rename { old, new } => format!("rename {old} {new}"),
        Step::Exchange { old, new } => format!("exchange {old} {new}"),
        Step::Link { old, new } => format!("link {old} {new}"),
        Step::Symlink { target, path } => format!("symlink {target} {path}"),
        Step::SetXattr { path, name, len } => format!("setxattr {path} {name} {len}"),
        Step::RemoveXattr { path, name } => format!("removexattr {path} {name}"),
        Step::Chmod { path, mode } => format!("chmod {path} {mode}"),
        Step::Hold(path) => format!("hold {path}"),
        Step::FsyncHeld => "fsyncheld".into(),
        Step::LetGo => "letgo".into(),
    }
}

/// A disk for a setup: a file system of so many bytes, filled with the host's `tree`, and the room for marks.
pub fn disk(setup: &Setup, tree: &Path, size: u64) -> Result<Vec<u8>, Trouble> {
    let args = setup.mkfs_args();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    Ok(partitioned(&Image::mkfs_with(size, &args, tree)?.bytes))
}

/// Where the marks lie on a disk of so many bytes.
pub const fn marks_at(len: u64) -> u64 {
    len - MARKS * SECTOR_SIZE as u64
}

/// A disk with a table of two partitions; the first has these bytes.
pub fn partitioned(bytes: &[u8]) -> Vec<u8> {
    let sectors = bytes.len() / SECTOR_SIZE;
    let mut disk = vec![0; PART as usize * SECTOR_SIZE];
    let mut place = |n: usize, first: u32, count: u32| {
        let entry = &mut disk[446 + 16 * n..446 + 16 * (n + 1)];
        entry[4] = 0x83;
        entry[8..12].copy_from_slice(&first.to_le_bytes());
        entry[12..16].copy_from_slice(&count.to_le_bytes());
    };
    place(0, PART as u32, sectors as u32);
    place(1, PART as u32 + sectors as u32, MARKS as u32);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk.extend_from_slice(bytes);
    disk.resize(disk.len() + MARKS as usize * SECTOR_SIZE, 0);
    disk
}

/// The bytes of the first partition of such a disk.
pub fn file_system(disk: &[u8]) -> &[u8] {
    let end = disk.len().saturating_sub(MARKS as usize * SECTOR_SIZE);
    disk.get(PART as usize * SECTOR_SIZE..end).unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crash::Abilities;

    #[test]
    fn a_script_has_a_line_for_each_step() {
        for seed in 0..30 {
            let setup = Setup { actors: 1, ..Setup::of(seed, &Abilities::NOW) };
            let script = Script::new(seed, &setup);
            let text = script.text();
            assert_eq!(text.lines().count(), setup.steps);
            assert!(text.lines().all(|line| line.split(' ').all(|word| !word.is_empty())), "{text}");
        }
    }

    #[test]
    fn a_partitioned_disk_keeps_its_file_system() {
        let bytes: Vec<u8> = Rng::new(1).bytes(1 << 20);
        let disk = partitioned(&bytes);
        assert_eq!(file_system(&disk), &bytes);
        assert_eq!(disk.len(), bytes.len() + (2 << 20));
    }
}
