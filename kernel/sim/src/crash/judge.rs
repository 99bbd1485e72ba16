//! One crash, judged.
//!
//! ```text
//!   disks after the cut ── our mount ── tree as promised? ── unmount ── e2fsck -fn
//!                      ├── e2fsck -fy ── nothing but the journal? ── our mount ── as promised?
//!                      └── our mount, cut again in the recovery ── our mount ── as promised?
//! ```
//! The first way is gone for every image, the others for a part.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::cut::{self, Keep, Landing};
use super::history::History;
use super::log_disk::{Disks, LogDisk};
use super::oracle::{self, Stale};
use super::play::{self, Story};
use super::record::Recorder;
use super::setup::Setup;
use crate::machine::Machine;
use crate::random::Rng;
use crate::tree::Tree;

/// How an image is recovered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// By our mount.
    Mount,
    /// By e2fsck, then looked at by our mount.
    E2fsck,
    /// By our mount, in the midst of which the power goes again.
    Twice,
}

/// Judges what a failing disk left. An error was noted on it, so that, as under Linux, no orphans are deleted and
/// e2fsck has something to do, after which all is still there. What was not acknowledged may be anything where
/// `stale` says so.
pub fn judge_lenient(story: &Story, position: usize, landing: &Landing, stale: Stale) -> Result<(), String> {
    let disks = cut::disks_after(&story.recording, landing);
    let look = |machine: &Machine| {
        story.actors.iter().try_for_each(|actor| compare_one(actor, position, stale, machine))
    };
    let judge = || {
        let (_, left) = mount_and_look(&story.setup, story.seed, disks, &look)?;
        let repaired = left.repaired().map_err(|trouble| format!("{trouble}"))?;
        let (_, left) = mount_and_look(&story.setup, story.seed, repaired.into_bytes(), &look)
            .map_err(|why| format!("after e2fsck: {why}"))?;
        left.fsck().map_err(|trouble| format!("after e2fsck: {trouble}"))
    };
    catch_unwind(AssertUnwindSafe(judge)).unwrap_or_else(|panic| Err(panic_text(&*panic)))
}

/// Judges a landing. Err: in words, what is wrong.
pub fn judge(story: &Story, position: usize, landing: &Landing, way: Way) -> Result<(), String> {
    let disks = cut::disks_after(&story.recording, landing);
    let judged = catch_unwind(AssertUnwindSafe(|| match way {
        Way::Mount => recover_story(story, position, disks).map(|_| ()),
        Way::E2fsck => by_e2fsck(story, position, disks),
        Way::Twice => twice(story, position, disks),
    }));
    judged.unwrap_or_else(|panic| Err(panic_text(&*panic)))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    format!("panic: {}", text.unwrap_or_default())
}

/// Mounts, looks, unmounts, and lets e2fsck look; gives back what happened at the disks meanwhile. The log
/// must have no error.
pub fn recover(
    setup: &Setup,
    seed: u64,
    disks: Vec<Vec<u8>>,
    look: &dyn Fn(&Machine) -> Result<(), String>,
) -> Result<Arc<Recorder>, String> {
    let (recorder, left) = mount_and_look(setup, seed, disks, look)?;
    let log = crate::take_log();
    left.fsck().map_err(|trouble| format!("{trouble}\n  log: {}", log.join("\n       ")))?;
    match log.into_iter().find(|line| line.starts_with("ERROR")) {
        Some(line) => Err(format!("the kernel says: {line}")),
        None => Ok(recorder),
    }
}

fn mount_and_look(
    setup: &Setup,
    seed: u64,
    disks: Vec<Vec<u8>>,
    look: &dyn Fn(&Machine) -> Result<(), String>,
) -> Result<(Arc<Recorder>, Disks), String> {
    crate::take_log();
    let recorder = Recorder::new();
    let said = |why: String| {
        let log = crate::take_log();
        format!("{why}\n  log: {}", log[log.len().saturating_sub(8)..].join("\n       "))
    };
    let (machine, log_disk) =
        play::mount(setup, disks, &recorder, seed).map_err(|errno| said(format!("mount: {errno}")))?;
    let looked = look(&machine);
    let read_only = machine.vfs_mount().read_only();
    let image = match machine.unmount() {
        Ok(image) => image,
        Err(errno) => return Err(said(format!("unmount: {errno}"))),
    };
    looked.map_err(said)?;
    if read_only {
        return Err(said("it became read-only".into()));
    }
    let log =
        log_disk.map(LogDisk::pull).transpose().map_err(|errno| format!("the journal's disk: {errno}"))?;
    Ok((recorder, Disks::new(image, log)))
}

/// The disks after our mount and unmount, whatever is on them.
pub(super) fn recovered(story: &Story, disks: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, String> {
    let recover = || mount_and_look(&story.setup, story.seed, disks, &|_| Ok(()));
    let (_, left) =
        catch_unwind(AssertUnwindSafe(recover)).unwrap_or_else(|panic| Err(panic_text(&*panic)))?;
    Ok(left.into_bytes())
}

/// The same, where what is looked at is what each actor was promised.
fn recover_story(story: &Story, position: usize, disks: Vec<Vec<u8>>) -> Result<Arc<Recorder>, String> {
    let look = |machine: &Machine| compare(story, position, machine);
    recover(&story.setup, story.seed ^ position as u64, disks, &look)
}

/// The tree of a mounted image against what each actor was promised.
fn compare(story: &Story, position: usize, machine: &Machine) -> Result<(), String> {
    let mut all = story.actors.iter();
    all.try_for_each(|actor| compare_one(actor, position, story.setup.stale(), machine))
}

/// The same for one actor.
pub(super) fn compare_one(
    actor: &History,
    position: usize,
    stale: Stale,
    machine: &Machine,
) -> Result<(), String> {
    let tree = Tree::of_machine(machine).map_err(|errno| format!("the tree cannot be read: {errno}"))?;
    let own = below(&tree, actor);
    if !actor.has_begun(position) && own.0.is_empty() {
        return Ok(());
    }
    let who = if actor.prefix.is_empty() { String::new() } else { format!("{}: ", actor.prefix) };
    oracle::check(&own, actor, position, stale).map_err(|why| format!("{who}{why}"))
}

/// An actor's part of the tree, as it names it.
fn below(tree: &Tree, actor: &History) -> Tree {
    if actor.prefix.is_empty() {
        return tree.clone();
    }
    let prefix = format!("{}/", actor.prefix).into_bytes();
    let strip = |path: &Vec<u8>| path[prefix.len() - 1..].to_vec();
    let own = tree.0.iter().filter(|(path, _)| path.starts_with(&prefix));
    Tree(
        own.map(|(path, entry)| {
            let mut entry = entry.clone();
            entry.same_as = strip(&entry.same_as);
            (strip(path), entry)
        })
        .collect(),
    )
}

fn by_e2fsck(story: &Story, position: usize, disks: Vec<Vec<u8>>) -> Result<(), String> {
    let look = |machine: &Machine| compare(story, position, machine);
    recover_by_e2fsck(&story.setup, story.seed ^ position as u64, disks, &look)
}

/// The same as [`recover`] after e2fsck has replayed the journal, and has found nothing else to do.
pub fn recover_by_e2fsck(
    setup: &Setup,
    seed: u64,
    disks: Vec<Vec<u8>>,
    look: &dyn Fn(&Machine) -> Result<(), String>,
) -> Result<(), String> {
    let has = |feature| setup.features.contains(&feature);
    let disks = Disks::of(disks)?.without_old_fast_commits();
    // There it also takes groups for such that were never used ("marked uninitialized without feature set").
    let no_sums = has("fast_commit") && has("^metadata_csum");
    if no_sums || disks.main().has_fast_commits_behind_the_log() {
        return recover(setup, seed, disks.into_bytes(), look).map(|_| ());
    }
    let asynchronous = setup.options.contains(&"journal_async_commit");
    let replayed =
        disks.replayed(asynchronous).map_err(|trouble| format!("replayed by e2fsck: {trouble}"))?;
    // What e2fsck has made of half a transaction promises nothing: our mount has the word.
    let disks = replayed.unwrap_or(disks).into_bytes();
    recover(setup, seed, disks, look).map(|_| ()).map_err(|why| format!("replayed by e2fsck: {why}"))
}

/// The power goes again while the first crash is being recovered from.
fn twice(story: &Story, position: usize, disks: Vec<Vec<u8>>) -> Result<(), String> {
    let recording = recover_story(story, position, disks)?.take();
    let mut rng = Rng::new(story.seed ^ position as u64);
    let boundaries = recording.boundaries();
    for n in 0..2 {
        let again = *rng.pick(&boundaries);
        let landing = cut::landing(&recording, again, Keep::nth(n * 4, rng.bits()));
        let disks = cut::disks_after(&recording, &landing);
        recover_story(story, position, disks).map_err(|why| {
            format!("cut again at {again} of {} of the recovery: {why}", recording.events.len())
        })?;
    }
    Ok(())
}
