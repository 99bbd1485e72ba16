//! A workload is played: random steps on a machine whose disks are recorded.
//!
//! One actor works at a time here, or several at once, each in a directory of its own; each has a model
//! of its own and a [`History`] of what it did, when each step began and ended, and what it was promised.

use std::sync::Arc;
use std::thread;

use base::Errno;

use super::disk::CrashDisk;
use super::history::History;
use super::log_disk::LogDisk;
use super::record::{Recorder, Recording};
use super::setup::Setup;
use super::step::{Hands, Step};
use super::workload::Chooser;
use crate::faults::Fault;
use crate::machine::{Machine, Options};
use crate::model::{Model, flag};
use crate::random::Rng;

/// Everything about one run: what the disks saw and what the programs did.
pub struct Story {
    /// Its seed.
    pub seed: u64,
    /// The disk and the mount.
    pub setup: Setup,
    /// What happened at the disks.
    pub recording: Recording,
    /// What each actor did and was told.
    pub actors: Vec<History>,
    /// What the kernel said, in the threads of the programs.
    pub log: Vec<String>,
}

/// How the disks of a machine are made: recorded, with a cache; and the one of the journal, if it has its own, to be
/// pulled when the machine is unmounted.
pub(super) fn mount(
    setup: &Setup,
    disks: Vec<Vec<u8>>,
    recorder: &Arc<Recorder>,
    seed: u64,
) -> base::Result<(Machine, Option<LogDisk>)> {
    let mut disks = disks.into_iter();
    let main = CrashDisk::new(disks.next().ok_or(Errno::ENODEV)?, setup.limits(), recorder, seed);
    let log = disks.next().map(|bytes| LogDisk::plug(bytes, setup.limits(), recorder, seed)).transpose()?;
    let words = [setup.mount_options(), log.as_ref().map_or(String::new(), LogDisk::option)];
    let words: Vec<&str> = words.iter().map(String::as_str).filter(|words| !words.is_empty()).collect();
    let options = Options { options: words.join(","), ..Options::default() };
    Ok((Machine::mount_recorded(main, &options)?, log))
}

/// The files that will be made have their data in the journal.
fn journal_all(machine: &Machine) -> base::Result<()> {
    let flags = machine.flags("/")?;
    machine.set_flags("/", flags | flag::JOURNAL_DATA)
}

/// It is so many seconds after a moment of the seed's own.
fn set_time(seed: u64, seconds: usize) {
    crate::clock::set_time(Some((1_000_000_000 + seed % 500_000_000 + seconds as u64) * 1_000_000_000));
}

/// Plays the workload of a seed. Err: the file system failed without any crash.
pub fn play(seed: u64, setup: &Setup) -> Result<Story, String> {
    set_time(seed, 0);
    crate::take_log();
    let recorder = Recorder::new();
    let disks = setup.make().map_err(|trouble| format!("{trouble}"))?;
    let (mut machine, log_disk) =
        mount(setup, disks, &recorder, seed).map_err(|errno| format!("mount: {errno}"))?;
    let mut log = Vec::new();
    if setup.journalled {
        journal_all(&machine).map_err(|errno| format!("chattr +j: {errno}"))?;
    }
    let actors = match setup.actors {
        1 => vec![act(seed, setup, &machine, &recorder, String::new(), false)],
        count => crowd(seed, setup, &mut machine, &recorder, count, &mut log)?,
    };
    let actors = actors.into_iter().collect::<Result<Vec<History>, String>>()?;
    machine.unmount().map_err(|errno| format!("unmount: {errno}"))?;
    drop(log_disk.map(LogDisk::pull));
    let end = recorder.position();
    log.extend(crate::take_log());
    if let Some(line) = log.iter().find(|line| line.starts_with("ERROR")) {
        return Err(format!("the kernel says: {line}"));
    }
    let mut story = Story { seed, setup: setup.clone(), recording: recorder.take(), actors, log };
    story.actors.iter_mut().for_each(|actor| actor.ended(end));
    Ok(story)
}

/// Plays the workload of a seed on a disk that fails, however it goes on; and how many requests failed.
/// Err: a step ended in another way than by the failure.
pub fn play_failing(seed: u64, setup: &Setup, fault: Fault) -> Result<(Story, u64), String> {
    set_time(seed, 0);
    crate::take_log();
    let recorder = Recorder::new();
    let disks = setup.make().map_err(|trouble| format!("{trouble}"))?;
    let (machine, log) = mount(setup, disks, &recorder, seed).map_err(|errno| format!("mount: {errno}"))?;
    if setup.journalled {
        journal_all(&machine).map_err(|errno| format!("chattr +j: {errno}"))?;
    }
    machine.faults().inject(fault);
    let history = act(seed, setup, &machine, &recorder, String::new(), true);
    let failed = machine.faults().failed();
    // In a machine that is switched off, with files open, whatever this says is not heard.
    let unmounted = machine.unmount().is_ok();
    if unmounted {
        drop(log.map(LogDisk::pull));
    }
    let mut history = history?;
    if unmounted && failed == 0 {
        history.ended(recorder.position());
    }
    let (setup, recording) = (setup.clone(), recorder.take());
    let log = crate::take_log();
    Ok((Story { seed, setup, recording, actors: vec![history], log }, failed))
}

/// Several actors at once. Their directories are on the medium before they begin. What the kernel says in
/// their threads goes to `log`.
fn crowd(
    seed: u64,
    setup: &Setup,
    machine: &mut Machine,
    recorder: &Arc<Recorder>,
    count: usize,
    log: &mut Vec<String>,
) -> Result<Vec<Result<History, String>>, String> {
    let prefixes: Vec<String> = (0..count).map(|n| format!("/w{n}")).collect();
    for prefix in &prefixes {
        machine.mkdir(prefix).map_err(|errno| format!("mkdir: {errno}"))?;
    }
    machine.sync().map_err(|errno| format!("sync: {errno}"))?;
    let machine = &*machine;
    let _crowd = super::shake::Crowd::begin();
    Ok(thread::scope(|scope| {
        let begin = |(n, prefix): (usize, String)| {
            let seed = seed ^ (n as u64 + 1).wrapping_mul(0x517c_c1b7_2722_0a95);
            scope.spawn(move || {
                let history = act(seed, setup, machine, recorder, prefix, false);
                (history, crate::take_log())
            })
        };
        let threads: Vec<_> = prefixes.into_iter().enumerate().map(begin).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| {
            let panicked = |_| (Err("an actor panicked".into()), Vec::new());
            let (history, said) = thread.join().unwrap_or_else(panicked);
            log.extend(said);
            history
        };
        threads.into_iter().map(join).collect()
    }))
}

/// One actor's steps. `failing`: the disk may fail, and the program hears of it.
fn act(
    seed: u64,
    setup: &Setup,
    machine: &Machine,
    recorder: &Arc<Recorder>,
    prefix: String,
    failing: bool,
) -> Result<History, String> {
    let mut model = Model::default();
    let mut history =
        History::new(prefix.clone(), recorder.position(), setup.ticking, setup.is_delayed(), &model);
    let mut hands = Hands { machine, prefix: &prefix, held: None };
    let (mut chooser, mut held) = (Chooser::new(Rng::new(seed), setup), None);
    for number in 1..=setup.steps {
        let step = chooser.next(&model, held);
        let file = step.file(&model, held);
        set_time(seed, if setup.ticking { number } else { 0 });
        let begun = recorder.position();
        let done = hands.perform(&step, file.unwrap_or(0), number as u32);
        let ended = recorder.position();
        let done = match done {
            Ok(count) => Ok(step
                .apply(&mut model, held, number as u32, count)
                .map_err(|errno| format!("step {number}, {step}: it was done, the model says {errno}"))?),
            Err(errno) if errno == Errno::ENOSPC || expected(&step, errno) => Err(errno),
            Err(Errno::EIO | Errno::EROFS) if failing => Err(Errno::EIO),
            Err(errno) => return Err(format!("step {number}, {step}: {errno}")),
        };
        // What a step has done that failed halfway nobody knows: the program gives up there.
        let over = failing && matches!(done, Err(Errno::EIO)) && !step.only_syncs();
        match &step {
            Step::Hold(_) => held = file,
            Step::LetGo => held = None,
            _ => {}
        }
        history.note(step, begun..ended, done, file, &model);
        if over {
            break;
        }
    }
    Ok(history)
}

/// Errors that a step may end with: what the chooser does not look at.
fn expected(step: &Step, errno: Errno) -> bool {
    match step {
        Step::Rmdir(_) => errno == Errno::ENOTEMPTY,
        Step::Rename { .. } | Step::Exchange { .. } => {
            matches!(errno, Errno::ENOTEMPTY | Errno::EISDIR | Errno::ENOTDIR | Errno::EINVAL)
        }
        Step::Fallocate { .. } => matches!(errno, Errno::EINVAL | Errno::EOPNOTSUPP),
        Step::RemoveXattr { .. } => errno == Errno::ENODATA,
        _ => false,
    }
}
