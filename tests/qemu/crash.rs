//! The power goes while a booted machine writes: QEMU's `blklogwrites` records what reached the disk, and
//! the crash laboratory (`kernel/sim/src/crash/`) cuts that record wherever it likes.
//!
//! The same under Linux proves the laboratory: what it holds against Quill it must not hold against Linux's
//! own ext4. And what one of the two has left, the other must recover.
//!
//! Requests that fail are the affair of [`errors`]; `QUILL_CRASH_ERRORS` says how many are tried.
//!
//! `QUILL_CRASH_IMAGES` says how many images of each recording are judged (a few dozen), and
//! `QUILL_CRASH_KILLS` how often QEMU is killed; `make test-crash` sets both.

mod bench;
mod busybox;
mod cuts;
mod errors;
mod kills;
mod sqlite;

use std::fs;

use bench::{Bench, text};
use libtest_mimic::Trial;
use qemu_tests::{Verdict, debian_arm64, linux, user_program};
use sim::crash::{Abilities, Campaign, Data, Profile, Script, Setup, Way, judge_story};

use crate::trial;

pub fn trials() -> Vec<Trial> {
    let judge = linux::available() && debian_arm64("bin/busybox").is_some();
    let sqlite = sqlite::possible();
    let run =
        |mode: &'static str| move || sqlite::cut_everywhere(mode, 40, &setup(0, Data::Ordered), images());
    vec![
        trial("crash::of_linux_replayed_by_e2fsck", || of_linux(Way::E2fsck)).with_ignored_flag(!judge),
        trial("crash::of_linux_replayed_by_quill", || of_linux(Way::Mount)).with_ignored_flag(!judge),
        trial("crash::of_quill", of_quill),
        trial("crash::busybox", || busybox::cut_everywhere(Data::Ordered, images()))
            .with_ignored_flag(debian_arm64("bin/busybox").is_none()),
        trial("crash::busybox_with_data_in_the_journal", || busybox::cut_everywhere(Data::Journal, images()))
            .with_ignored_flag(debian_arm64("bin/busybox").is_none() || images() < MANY),
        trial("crash::sqlite_with_a_rollback_journal", run("delete")).with_ignored_flag(!sqlite),
        trial("crash::sqlite_with_a_write_ahead_log", run("wal")).with_ignored_flag(!sqlite),
        trial("crash::requests_fail", || errors::failed(number("QUILL_CRASH_ERRORS", 6))),
        trial("crash::killed_quill", || kills::killed(number("QUILL_CRASH_KILLS", 3))),
        trial("crash::killed_quill_replayed_by_linux", || kills::exchanged(number("QUILL_CRASH_KILLS", 2)))
            .with_ignored_flag(!judge),
    ]
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// How many images of each recording are judged.
fn images() -> u64 {
    number("QUILL_CRASH_IMAGES", 40)
}

/// With as many images as that, the workloads are long ones.
const MANY: u64 = 200;

/// What is done on the disk.
const WORKLOADS: [(u64, Profile); 5] = [
    (1, Profile::Mixed),
    (2, Profile::Replace),
    (3, Profile::Append),
    (4, Profile::Deep),
    (6, Profile::Around),
];

/// A workload for a machine in QEMU.
fn setup(seed: u64, data: Data) -> Setup {
    let setup = Setup {
        actors: 1,
        garbage: false,
        journalled: false,
        fua: false,
        external: false,
        data,
        ..Setup::of(seed, &Abilities::NOW)
    };
    let steps = if images() < MANY { setup.profile.steps().min(60) } else { 240 };
    Setup { steps, features: Vec::new(), options: Vec::new(), ..setup }
}

/// A disk with the script and its program on it.
fn prepare(bench: &Bench, script: &Script) -> Result<Vec<u8>, String> {
    let tree = bench.tree(&[&user_program("script")])?;
    fs::write(tree.join("script"), script.text()).map_err(text)?;
    let disk = script.disk(&tree).map_err(text)?;
    bench.put("disk", &disk)?;
    Ok(disk)
}

/// Lets the laboratory judge what the log tells.
fn judged(bench: &Bench, script: &Script, disk: &[u8], way: Way) -> Verdict {
    let story = script.story(disk, &bench.get("log")?, "/w0")?;
    let boundaries = story.recording.boundaries().len() as u64;
    let every = (boundaries * 3 / images()).max(1);
    let campaign = Campaign { way, subsets: 4, every, ..Campaign::full(0..1) };
    let summary = story.recording.summary();
    let outcome = judge_story(&campaign, story, &mut || ());
    let name = outcome.setup.name();
    println!("{name}: {summary}, {} images of {boundaries} places", outcome.images);
    match outcome.failures.first() {
        Some(failure) => Err(format!("{failure}")),
        None => Ok(()),
    }
}

/// Linux writes; e2fsck, or our mount, replays. With delayed allocation sizes come later than names.
fn of_linux(way: Way) -> Verdict {
    for (seed, profile) in WORKLOADS {
        let data = if seed == 3 { Data::Journal } else { Data::Ordered };
        let setup = Setup { profile, ..setup(seed, data) };
        let bench = Bench::new()?;
        let script = Script::new(seed, &setup);
        let disk = prepare(&bench, &script)?;
        let mount =
            format!("/bin/busybox mount -t ext4 -o nodelalloc,{} /dev/vdb1 /x", setup.mount_options());
        let commands = [&mount, "/x/bin/script /x/script /x/w0 /dev/vdb2", "/bin/busybox umount /x"];
        bench.linux_logged(&commands)?;
        judged(&bench, &script, &disk, way)?;
    }
    Ok(())
}

/// Quill writes, Quill recovers.
fn of_quill() -> Verdict {
    for (seed, profile) in WORKLOADS {
        let data = Data::ALL[seed as usize % Abilities::NOW.data.len()];
        let setup = Setup { profile, ..setup(seed, data) };
        let bench = Bench::new()?;
        let script = Script::new(seed, &setup);
        let disk = prepare(&bench, &script)?;
        bench.boot_logged(&setup, "init=/bin/script -- /script /w0 /dev/vda2")?;
        judged(&bench, &script, &disk, Way::Mount)?;
    }
    Ok(())
}
