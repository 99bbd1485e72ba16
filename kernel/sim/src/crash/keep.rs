//! A case that failed, kept for who wants to look at it: a run of several programs at once does not come again.
//!
//! ```text
//!   DIR/seed-52-cut-49.1/
//!     why.txt            what is wrong, and how it was recovered
//!     story.txt          the steps between the writes and flushes ([`describe`])
//!     log.txt            what the kernel said meanwhile
//!     start-0.img        the disk before all; with a journal's disk also start-1.img
//!     before-0.img       the same when the power had gone, the journal not replayed
//!     after-0.img        the same after our mount and unmount; missing when they fail
//!     writes/12.bin      what write 12 was to put where story.txt says
//! ```
//! `debugfs -R "logdump -a" before-0.img` has what the journal says of a block, `debugfs -R "icheck 1188"` who owns
//! it. What is known of the whole case is in the files: start, writes and story give the disk at every other place.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::campaign::{self, Failure};
use super::cut;
use super::judge;
use super::pattern;
use super::play::Story;
use super::record::{Event, Write};

/// The steps of a workload between the writes and flushes of its disks.
pub fn describe(story: &Story) -> String {
    let mut text = format!("{}\n", story.setup.name());
    for (position, event) in story.recording.events.iter().enumerate() {
        for actor in &story.actors {
            for step in actor.begun_at(position) {
                // Into a String nothing fails.
                let _ = writeln!(text, "{}{step}", spaced(&actor.prefix));
            }
        }
        let line = match event {
            Event::Begin(number) => {
                let write = &story.recording.writes[*number];
                format!("write {number} of {}", one_write(write, story.setup.block))
            }
            Event::End(number) => format!("write {number} is done"),
            Event::BeginFlush(..) => "flush".to_owned(),
            Event::EndFlush(..) => "flushed".to_owned(),
        };
        let _ = writeln!(text, "    {position}: {line}");
    }
    text
}

fn spaced(prefix: &str) -> String {
    if prefix.is_empty() { String::new() } else { format!("{prefix} ") }
}

fn one_write(write: &Write, block: u32) -> String {
    let at = write.sector * 512 / u64::from(block);
    let first = pattern::describe(&write.bytes[..write.bytes.len().min(pattern::CELL)]);
    let fua = if write.fua { " FUA" } else { "" };
    let disk = if write.disk > 0 { " of the journal's disk" } else { "" };
    format!("{} bytes to block {at}{disk}{fua}: {first}", write.bytes.len())
}

/// Puts a failure into a folder of its own below `dir`, and says which.
pub fn keep(dir: &Path, story: &Story, failure: &Failure) -> io::Result<PathBuf> {
    let cut = failure.cut.map_or(String::new(), |(position, subset)| format!("-cut-{position}.{subset}"));
    let to = free(dir, &format!("seed-{}{cut}", failure.seed));
    fs::create_dir_all(to.join("writes"))?;
    fs::write(to.join("why.txt"), format!("{failure}\n"))?;
    fs::write(to.join("story.txt"), describe(story))?;
    fs::write(to.join("log.txt"), story.log.join("\n"))?;
    disks(&to, "start", &story.recording.disks)?;
    for (number, write) in story.recording.writes.iter().enumerate() {
        fs::write(to.join(format!("writes/{number}.bin")), &write.bytes)?;
    }
    if let Some((position, subset)) = failure.cut {
        let before = cut::disks_after(&story.recording, &campaign::landing(story, position, subset));
        disks(&to, "before", &before)?;
        if let Ok(after) = judge::recovered(story, before) {
            disks(&to, "after", &after)?;
        }
    }
    Ok(to)
}

fn disks(to: &Path, name: &str, disks: &[Vec<u8>]) -> io::Result<()> {
    let mut disks = disks.iter().enumerate();
    disks.try_for_each(|(number, bytes)| fs::write(to.join(format!("{name}-{number}.img")), bytes))
}

/// A folder that is not there: the same case may have failed before, in another way.
fn free(dir: &Path, name: &str) -> PathBuf {
    let mut to = dir.join(name);
    let mut again = 1;
    while to.exists() {
        again += 1;
        to = dir.join(format!("{name}-{again}"));
    }
    to
}
