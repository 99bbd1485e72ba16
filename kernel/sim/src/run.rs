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

use base::{Errno, Result};
use vfs::{File, OpenFlags};

use crate::image::Image;
use crate::machine::{self, Machine};
use crate::model::{Id, Model};
use crate::random::Rng;
use crate::tree::Tree;

/// How often which kind of operation comes.
#[derive(Clone, Copy, Debug)]
pub struct Weights {
    /// Files are made and written.
    pub data: u64,
    /// Names are made, moved and removed.
    pub names: u64,
    /// sync, fsync.
    pub sync: u64,
    /// Unmount, check, mount.
    pub remount: u64,
}

impl Default for Weights {
    fn default() -> Weights {
        Weights { data: 50, names: 50, sync: 4, remount: 1 }
    }
}

/// One random sequence.
pub struct Run {
    seed: u64,
    rng: Rng,
    model: Model,
    machine: Option<Machine>,
    open: Vec<(Arc<File>, Id)>,
    step: usize,
    last: VecDeque<String>,
    /// Bytes that all files may have together.
    budget: usize,
    /// The largest file.
    max_file: u64,
    mount_options: machine::Options,
    /// Whether a thread disturbs.
    disturbed: bool,
    disturber: Option<(Arc<AtomicBool>, thread::JoinHandle<()>)>,
}

/// How many operations a failure shows.
const SHOWN: usize = 12;

impl Run {
    /// On a fresh image, which must be empty but for lost+found.
    pub fn new(seed: u64, image: &Image) -> Run {
        let room = image.bytes.len() / 3;
        Run {
            seed,
            rng: Rng::new(seed),
            model: Model::default(),
            machine: None,
            open: Vec::new(),
            step: 0,
            last: VecDeque::new(),
            budget: room,
            max_file: (room as u64 / 2).min(700_000),
            mount_options: machine::Options::default(),
            disturbed: false,
            disturber: None,
        }
        .mounted(image)
    }

    /// The same while another thread syncs and frees memory at moments of its own. What a failure
    /// shows then depends on the moment; the operations are still the seed's.
    pub fn disturbed(mut self) -> Run {
        self.disturbed = true;
        self.disturb();
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
        let total = weights.data + weights.names + weights.sync + weights.remount;
        while self.step < steps {
            self.step += 1;
            let choice = self.rng.below(total);
            if choice < weights.data {
                self.data();
            } else if choice < weights.data + weights.names {
                self.names();
            } else if choice < weights.data + weights.names + weights.sync {
                self.sync();
            } else {
                self.check_and_remount();
            }
        }
        let image = self.unmount_and_check();
        (image, self.model.tree())
    }

    fn fail(&self, why: &str) -> ! {
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

    fn note(&mut self, what: String) {
        if self.last.len() == SHOWN {
            self.last.pop_front();
        }
        self.last.push_back(format!("{}: {what}", self.step));
    }

    fn machine(&self) -> &Machine {
        match &self.machine {
            Some(machine) => machine,
            None => self.fail("nothing is mounted"),
        }
    }

    /// Both must end alike.
    fn same<T: PartialEq + Debug>(&self, real: Result<T>, model: Result<T>) {
        if real != model {
            self.fail(&format!("the file system says {real:?}, the model {model:?}"));
        }
    }

    // --- choosing ---

    fn existing(&mut self, kinds: &str) -> Option<Vec<u8>> {
        let mut paths = self.model.paths();
        paths.retain(|(_, kind)| kinds.contains(*kind));
        paths.sort();
        (!paths.is_empty()).then(|| self.rng.pick(&paths).0.clone())
    }

    fn directory(&mut self) -> Vec<u8> {
        if self.rng.one_in(3) { Vec::new() } else { self.existing("d").unwrap_or_default() }
    }

    fn name(&mut self) -> Vec<u8> {
        let number = self.rng.below(40);
        match self.rng.below(12) {
            0 => format!("{number:0>255}").into_bytes(),
            1 => [&b"\xff\x80 \t"[..], format!("{number}").as_bytes()].concat(),
            2 => format!("{}{number}", "long".repeat(1 + self.rng.below(50) as usize)).into_bytes(),
            _ => format!("n{number}").into_bytes(),
        }
    }

    /// A path in an existing directory, mostly of a name that is not there.
    fn some_path(&mut self) -> Vec<u8> {
        if self.rng.one_in(6)
            && let Some(path) = self.existing("dfl")
        {
            return path;
        }
        let dir = self.directory();
        [&dir[..], b"/", &self.name()].concat()
    }

    fn pos(&mut self, len: usize) -> u64 {
        match self.rng.below(4) {
            0 => self.rng.length(self.max_file),
            1 => len as u64,
            _ => self.rng.below(len as u64 + 1),
        }
    }

    // --- data ---

    fn data(&mut self) {
        match self.rng.below(12) {
            0..=2 => self.create(),
            3..=6 => self.pwrite(),
            7 => self.truncate(),
            8 => self.open_or_close(),
            9 | 10 => self.use_open(),
            _ => self.read(),
        }
    }

    fn create(&mut self) {
        let path = self.some_path();
        self.note(format!("create {}", brief(&path)));
        let mode = 0o600 | self.rng.below(0o100) as u32;
        let real = self.machine().create(&path, mode);
        let expected = self.model.create(&path, mode);
        self.same(real, expected);
    }

    fn pwrite(&mut self) {
        let Some(path) = self.existing("f") else { return self.create() };
        let Ok(id) = self.model.find(&path) else { return };
        let len = self.model.bytes(id).map_or(0, Vec::len);
        if self.model.total() > self.budget {
            return self.unlink_one();
        }
        let pos = self.pos(len);
        let count = self.rng.length(self.max_file.saturating_sub(pos).min(100_000)) as usize;
        let bytes = self.rng.bytes(count);
        self.note(format!("pwrite {} at {pos:#x}, {count:#x} bytes (was {len:#x})", brief(&path)));
        let real = self.machine().pwrite(&path, pos, &bytes);
        let expected = self.model.pwrite(id, pos as usize, &bytes);
        self.same(real, expected);
    }

    fn truncate(&mut self) {
        let Some(path) = self.existing("f") else { return };
        let Ok(id) = self.model.find(&path) else { return };
        let len = self.model.bytes(id).map_or(0, Vec::len);
        let to = self.pos(len);
        self.note(format!("truncate {} from {len:#x} to {to:#x}", brief(&path)));
        let real = self.machine().truncate(&path, to);
        let expected = self.model.truncate(id, to as usize);
        self.same(real, expected);
    }

    fn read(&mut self) {
        let Some(path) = self.existing("f") else { return };
        let Ok(id) = self.model.find(&path) else { return };
        self.note(format!("read {}", brief(&path)));
        let real = self.machine().read_file(&path);
        let expected = self.model.bytes(id).cloned().ok_or(Errno::EINVAL);
        if real != expected {
            self.fail("the file does not read as it was written");
        }
    }

    /// Opens a file to keep, or closes one; what is open lives on when its names go.
    fn open_or_close(&mut self) {
        if self.open.len() > 3 || (!self.open.is_empty() && self.rng.one_in(2)) {
            let index = self.rng.below(self.open.len() as u64) as usize;
            self.note("close".into());
            self.open.swap_remove(index);
            return;
        }
        let Some(path) = self.existing("f") else { return };
        let Ok(id) = self.model.find(&path) else { return };
        self.note(format!("open {}", brief(&path)));
        match self.machine().open(&path, OpenFlags::RDWR, 0) {
            Ok(file) => self.open.push((file, id)),
            Err(errno) => self.fail(&format!("open: {errno}")),
        }
    }

    fn use_open(&mut self) {
        if self.open.is_empty() {
            return self.pwrite();
        }
        let index = self.rng.below(self.open.len() as u64) as usize;
        let (file, id) = self.open[index].clone();
        let len = self.model.bytes(id).map_or(0, Vec::len);
        if self.rng.one_in(3) {
            self.note("read an open file".into());
            let real = machine::read_all(&file);
            if real.ok().as_ref() != self.model.bytes(id) {
                self.fail("an open file does not read as it was written");
            }
            return;
        }
        let pos = self.pos(len);
        let count = self.rng.length(self.max_file.saturating_sub(pos).min(20_000)) as usize;
        let bytes = self.rng.bytes(count);
        self.note(format!("write to an open file at {pos:#x}, {count:#x} bytes"));
        let real = machine::write_all(&file, &bytes, pos);
        let expected = self.model.pwrite(id, pos as usize, &bytes);
        self.same(real, expected);
    }

    // --- names ---

    fn names(&mut self) {
        match self.rng.below(16) {
            0 | 1 => self.mkdir(),
            2 => self.symlink(),
            3 | 4 => self.link(),
            5 | 6 => self.unlink_one(),
            7 => self.rmdir(),
            8..=10 => self.rename(),
            11 => self.rename_special(),
            12 => self.chmod(),
            13 => self.many(),
            _ => self.create(),
        }
    }

    fn mkdir(&mut self) {
        let path = self.some_path();
        self.note(format!("mkdir {}", brief(&path)));
        let real = self.machine().mkdir(&path);
        let expected = self.model.mkdir(&path);
        self.same(real, expected);
    }

    fn symlink(&mut self) {
        let path = self.some_path();
        let len = *self.rng.pick(&[1usize, 5, 58, 59, 60, 61, 200, 1000]);
        let target = vec![b'a' + self.rng.below(26) as u8; len];
        self.note(format!("symlink of {len} bytes, {}", brief(&path)));
        let real = self.machine().symlink(&target, &path);
        let expected = self.model.symlink(&target, &path);
        self.same(real, expected);
    }

    fn link(&mut self) {
        let Some(old) = self.existing("fld") else { return };
        let new = self.some_path();
        self.note(format!("link {} {}", brief(&old), brief(&new)));
        let real = self.machine().link(&old, &new);
        let expected = self.model.link(&old, &new);
        self.same(real, expected);
    }

    fn unlink_one(&mut self) {
        let kinds = if self.rng.one_in(8) { "d" } else { "fl" };
        let Some(path) = self.existing(kinds) else { return };
        self.note(format!("unlink {}", brief(&path)));
        let real = self.machine().unlink(&path);
        let expected = self.model.unlink(&path);
        self.same(real, expected);
    }

    fn rmdir(&mut self) {
        let kinds = if self.rng.one_in(8) { "fl" } else { "d" };
        let Some(path) = self.existing(kinds) else { return };
        self.note(format!("rmdir {}", brief(&path)));
        let real = self.machine().rmdir(&path);
        let expected = self.model.rmdir(&path);
        self.same(real, expected);
    }

    fn rename(&mut self) {
        let Some(old) = self.existing("dfl") else { return };
        let new = self.some_path();
        self.note(format!("rename {} {}", brief(&old), brief(&new)));
        let real = self.machine().rename(&old, &new);
        let expected = self.model.rename(&old, &new, false, false);
        self.same(real, expected);
    }

    fn rename_special(&mut self) {
        let Some(old) = self.existing("dfl") else { return };
        let exchange = self.rng.one_in(2);
        let there = self.existing("dfl");
        let new = if exchange && !self.rng.one_in(8) { there.unwrap_or_default() } else { self.some_path() };
        let flags = if exchange { 2 } else { 1 };
        self.note(format!("renameat2({flags}) {} {}", brief(&old), brief(&new)));
        let real = self.machine().rename_flags(&old, &new, flags);
        let expected = self.model.rename(&old, &new, !exchange, exchange);
        self.same(real, expected);
    }

    fn chmod(&mut self) {
        let Some(path) = self.existing("dfl") else { return };
        let mode = self.rng.below(0o1000) as u32;
        self.note(format!("chmod {mode:o} {}", brief(&path)));
        let real = self.machine().chmod(&path, mode);
        let expected = self.model.chmod(&path, mode);
        self.same(real, expected);
    }

    /// Many names in one directory, so that it needs blocks and an index; or many fewer.
    fn many(&mut self) {
        let dir = self.directory();
        let (first, count) = (self.rng.below(100), 1 + self.rng.below(60));
        let remove = self.rng.one_in(3);
        let verb = if remove { "remove" } else { "make" };
        self.note(format!("{verb} many-{first} and {count} more in {}", brief(&dir)));
        for number in first..first + count {
            let path =
                [&dir[..], b"/", format!("many names make a directory large {number}").as_bytes()].concat();
            let (real, expected) = if remove {
                (self.machine().unlink(&path), self.model.unlink(&path))
            } else {
                (self.machine().create(&path, 0o644), self.model.create(&path, 0o644))
            };
            self.same(real, expected);
        }
    }

    // --- looking ---

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

    fn compare(&self) {
        match Tree::of_machine(self.machine()) {
            Ok(tree) => {
                if let Some(text) = tree.without_times().difference(&self.model.tree()) {
                    self.fail(&format!(
                        "the trees differ (first the file system's, then the model's)\n{text}"
                    ));
                }
            }
            Err(errno) => self.fail(&format!("the tree cannot be read: {errno}")),
        }
    }

    fn unmount_keeping(&mut self) -> Image {
        self.calm();
        self.open.clear();
        match self.machine.take().map(Machine::unmount) {
            Some(Ok(image)) => image,
            Some(Err(errno)) => self.fail(&format!("unmount: {errno}")),
            None => self.fail("nothing is mounted"),
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
fn brief(path: &[u8]) -> String {
    let short = |name: &[u8]| match name.len() {
        0..=48 => name.escape_ascii().to_string(),
        len => format!("({len} bytes, …{})", name[len - 8..].escape_ascii()),
    };
    path.split(|&b| b == b'/').map(short).collect::<Vec<_>>().join("/")
}
