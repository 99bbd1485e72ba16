//! Random operations done to an image and to the model at once.
//!
//! A [`Run`] is one sequence: a seed, an image, operations. Each operation must end as the model
//! says, errno for errno; every now and then the image is unmounted, checked by e2fsck, mounted again
//! and compared name for name and byte for byte. A failure panics with the seed, the number of the
//! step and the last operations:
//!
//! ```text
//! QUILL_SEED=0x1f2e cargo test -p sim --test property      does that one sequence again
//! QUILL_SEQUENCES=1000 cargo test -p sim --test property   does more of them
//! ```

use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use base::Result;
use base::time::NSEC_PER_SEC;
use block::Limits;
use block::elevator::NAMES;
use vfs::{File, MountFlags};

use crate::image::Image;
use crate::machine::{self, Machine};
use crate::model::{Abilities, Id, Model};
use crate::random::Rng;
use crate::tree::Tree;

/// How often which kind of operation comes.
#[derive(Clone, Copy, Debug)]
pub struct Weights {
    /// Files are made and written.
    pub data: u64,
    /// Names are made, moved and removed.
    pub names: u64,
    /// Modes, owners, times, extended attributes, lists, flags.
    pub attributes: u64,
    /// sync, fsync.
    pub sync: u64,
    /// Unmount, check, mount.
    pub remount: u64,
}

impl Default for Weights {
    fn default() -> Weights {
        Weights { data: 50, names: 40, attributes: 15, sync: 4, remount: 1 }
    }
}

/// One random sequence.
pub struct Run {
    seed: u64,
    pub(crate) rng: Rng,
    pub(crate) model: Model,
    machine: Option<Machine>,
    pub(crate) open: Vec<(Arc<File>, Id)>,
    step: usize,
    last: VecDeque<String>,
    /// Bytes that all files may have together.
    pub(crate) budget: usize,
    /// The largest file.
    pub(crate) max_file: u64,
    /// Whether the disk may be full at any moment.
    pub(crate) crowded: bool,
    /// How often it was.
    pub(crate) refusals: usize,
    mount_options: machine::Options,
    /// Whether a thread disturbs.
    disturbed: bool,
    disturber: Option<(Arc<AtomicBool>, thread::JoinHandle<()>)>,
}

/// How many operations a failure shows.
const SHOWN: usize = 20;

impl Run {
    /// On a fresh image, which must be empty but for lost+found.
    pub fn new(seed: u64, image: &Image) -> Run {
        let room = image.bytes.len() / 3;
        let flags = some_flags(seed);
        Run {
            seed,
            rng: Rng::new(seed),
            model: Model::new(Abilities::of(image, flags)),
            machine: None,
            open: Vec::new(),
            step: 0,
            last: VecDeque::new(),
            budget: room,
            max_file: (room as u64 / 2).min(700_000),
            crowded: false,
            refusals: 0,
            mount_options: machine::Options {
                // Below 4.
                elevator: NAMES[(seed % NAMES.len() as u64) as usize],
                limits: some_limits(&mut Rng::new(!seed)),
                flags,
                options: some_options(seed, image),
                ..machine::Options::default()
            },
            disturbed: false,
            disturber: None,
        }
        .at_its_time()
        .mounted(image)
    }

    /// It is some seconds after a moment of the seed's own, a few for each step.
    fn at_its_time(mut self) -> Run {
        self.set_time();
        self
    }

    fn set_time(&mut self) {
        let begin = 1_000_000_000 + self.seed % 500_000_000;
        let ns = begin * NSEC_PER_SEC + self.step as u64 * 7_123_456_789;
        crate::clock::set_time(Some(ns));
        self.model.set_time(ns);
    }

    /// The same while another thread syncs and frees memory at moments of its own. What a failure
    /// shows then depends on the moment; the operations are still the seed's.
    pub fn disturbed(mut self) -> Run {
        self.disturbed = true;
        self.disturb();
        self
    }

    /// The same on a disk that has hardly any room left: every operation may meet ENOSPC, and then has
    /// changed nothing, or what it says.
    pub fn crowded(mut self) -> Run {
        (self.crowded, self.budget) = (true, usize::MAX);
        self.crowd();
        self
    }

    fn mounted(mut self, image: &Image) -> Run {
        match Machine::mount_with(image, &self.mount_options) {
            Ok(machine) => self.machine = Some(machine),
            Err(errno) => self.fail(&format!("mount: {errno}")),
        }
        self
    }

    /// Does so many operations and checks at the end. Gives back the image and what should be in it.
    pub fn go(mut self, steps: usize, weights: &Weights) -> (Image, Tree) {
        let total = weights.data + weights.names + weights.attributes + weights.sync + weights.remount;
        while self.step < steps {
            self.step += 1;
            self.set_time();
            let choice = self.rng.below(total);
            let data = weights.data;
            let names = data + weights.names;
            let attributes = names + weights.attributes;
            match choice {
                n if n < data => self.data(),
                n if n < names => self.names(),
                n if n < attributes => self.attributes(),
                n if n < attributes + weights.sync => self.sync(),
                _ => self.check_and_remount(),
            }
        }
        let image = self.unmount_and_check();
        crate::clock::set_time(None);
        (image, self.model.tree())
    }

    pub(crate) fn fail(&self, why: &str) -> ! {
        let last: Vec<&str> = self.last.iter().map(String::as_str).collect();
        let log = crate::take_log();
        let log = &log[log.len().saturating_sub(15)..];
        panic!(
            "seed {:#x}, step {}: {why}\nlast operations:\n  {}\nkernel log:\n  {}",
            self.seed,
            self.step,
            last.join("\n  "),
            log.join("\n  ")
        );
    }

    pub(crate) fn note(&mut self, what: String) {
        if self.last.len() == SHOWN {
            self.last.pop_front();
        }
        self.last.push_back(format!("{}: {what}", self.step));
    }

    pub(crate) fn machine(&self) -> &Machine {
        match &self.machine {
            Some(machine) => machine,
            None => self.fail("nothing is mounted"),
        }
    }

    /// Both must end alike.
    pub(crate) fn same<T: PartialEq + Debug>(&self, real: Result<T>, model: Result<T>) {
        if real != model {
            self.fail(&format!("the file system says {real:?}, the model {model:?}"));
        }
    }

    fn sync(&mut self) {
        if self.rng.one_in(3) {
            self.note("memory runs short".into());
            return forget(&mut self.rng);
        }
        if self.rng.one_in(3) {
            self.note("sync".into());
            let real = self.machine().sync();
            return self.same(real, Ok(()));
        }
        let Some(path) = self.existing("fd") else { return };
        self.note(format!("fsync {}", brief(&path)));
        let real = self.machine().fsync(&path);
        self.same(real, Ok(()));
    }

    /// From now on a thread writes back and frees memory all the time.
    fn disturb(&mut self) {
        let stop = Arc::new(AtomicBool::new(false));
        let (ended, mount) = (stop.clone(), self.machine().vfs_mount().clone());
        let mut rng = Rng::new(self.seed ^ 0xd15);
        let thread = thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                let synced = vfs::fsync::sync_filesystem(&mount);
                assert!(synced.is_ok(), "sync in the background: {synced:?}");
                forget(&mut rng);
                thread::sleep(Duration::from_micros(200 + rng.below(3000)));
            }
        });
        self.disturber = Some((stop, thread));
    }

    fn calm(&mut self) {
        if let Some((stop, thread)) = self.disturber.take() {
            stop.store(true, Ordering::Relaxed);
            if thread.join().is_err() {
                self.fail("the thread in the background failed");
            }
        }
    }

    fn check_and_remount(&mut self) {
        self.note("unmount, check, mount".into());
        let image = self.unmount_keeping();
        if let Err(trouble) = image.fsck() {
            self.fail(&format!("{trouble}"));
        }
        match Machine::mount_with(&image, &self.mount_options) {
            Ok(machine) => self.machine = Some(machine),
            Err(errno) => self.fail(&format!("mount: {errno}")),
        }
        self.compare();
        if self.disturbed {
            self.disturb();
        }
    }

    fn compare(&mut self) {
        match Tree::of_machine(self.machine()) {
            Ok(tree) => {
                let fine = self.model.abilities().fine;
                if let Some(text) = tree.with_times(fine).difference(&self.model.tree().with_times(fine)) {
                    self.fail(&format!(
                        "the trees differ (first the file system's, then the model's)\n{text}"
                    ));
                }
            }
            Err(errno) => self.fail(&format!("the tree cannot be read: {errno}")),
        }
        self.model.read_links();
    }

    fn unmount_keeping(&mut self) -> Image {
        self.calm();
        self.open.clear();
        // What is delayed has reserved its blocks, but not those that its tree may need.
        let synced = self.rng.one_in(2) && self.machine().sync().is_ok();
        let told = self.machine().statfs();
        match self.machine.take().map(Machine::unmount) {
            Some(Ok(image)) => {
                let (blocks, files) = (image.word(0x0c), image.word(0x10));
                let free = |s: vfs::StatFs| {
                    (if synced { s.blocks_free } else { s.blocks_free.min(blocks) }, s.files_free)
                };
                self.same(told.map(free), Ok((blocks, files)));
                self.check_log();
                image
            }
            Some(Err(errno)) => self.fail(&format!("unmount: {errno}")),
            None => self.fail("nothing is mounted"),
        }
    }

    /// Every change of metadata must belong to an operation, and to no more blocks than it asked for.
    fn check_log(&mut self) {
        let log = crate::take_log();
        if let Some(line) = log.iter().find(|line| line.contains(" is changed ")) {
            self.fail(line);
        }
    }

    /// The end: what e2fsck and debugfs say, without Quill.
    fn unmount_and_check(&mut self) -> Image {
        self.note("the end".into());
        self.compare();
        let image = self.unmount_keeping();
        if let Err(trouble) = image.fsck() {
            self.fail(&format!("{trouble}"));
        }
        image
    }
}

/// Frees clean pages, metadata and names, many or all: they must come back from the disk.
fn forget(rng: &mut Rng) {
    vfs::dentry::shrink(rng.below(200) as usize);
    if rng.one_in(3) {
        vfs::dentry::shrink(usize::MAX);
        pagecache::drop_caches();
    } else {
        pagecache::reclaim(rng.below(200) as usize);
    }
}

/// A path in words that fit a line: of a long name the length and the end.
pub(crate) fn brief(path: &[u8]) -> String {
    let short = |name: &[u8]| match name.len() {
        0..=48 => name.escape_ascii().to_string(),
        len => format!("({len} bytes, …{})", name[len - 8..].escape_ascii()),
    };
    path.split(|&b| b == b'/').map(short).collect::<Vec<_>>().join("/")
}

/// Of half of the runs Linux's default; each read moves atime, or none does.
fn some_flags(seed: u64) -> MountFlags {
    match seed / 7 % 4 {
        0 => MountFlags::empty(),
        1 => MountFlags::NOATIME,
        _ => MountFlags::RELATIME,
    }
}

/// One run in four has its data in the journal, if there is one.
fn some_options(seed: u64, image: &Image) -> String {
    const HAS_JOURNAL: u64 = 0x4;
    let journal = image.word(0x5c) & HAS_JOURNAL != 0 && (seed / 11).is_multiple_of(4);
    if journal { "data=journal".into() } else { String::new() }
}

/// A disk of any ability, from one page at a time to all that the block layer would send.
fn some_limits(rng: &mut Rng) -> Limits {
    Limits {
        max_segments: *rng.pick(&[1, 2, 7, 126, 128]),
        max_segment_size: *rng.pick(&[4096, 8192, 65536]),
        max_sectors: *rng.pick(&[8, 24, 255, 2560]),
        queue_depth: *rng.pick(&[1, 2, 64]),
        ..Limits::default()
    }
}
