//! What programs do: profiles, and the choice of the next step.
//!
//! A profile says how often which kind of step comes, and a few have a habit of several steps in a row: a
//! file is replaced by writing a new one, syncing it and renaming it over the old.

use std::collections::VecDeque;

use base::units::SECTOR_SIZE;

use super::setup::Setup;
use super::step::{How, Mode, Step};
use crate::model::{Id, Model};
use crate::random::Rng;

/// A kind of program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Profile {
    /// A bit of everything.
    Mixed,
    /// A log: appends, each with fsync.
    Append,
    /// A configuration that is replaced again and again.
    Replace,
    /// A data base: pages are overwritten in place, with O_SYNC and fdatasync.
    Overwrite,
    /// Files grow and shrink.
    Truncate,
    /// Room is taken, given back, moved.
    Fallocate,
    /// Deep directories, moved about.
    Deep,
    /// Links of both kinds.
    Links,
    /// Extended attributes.
    Xattrs,
    /// Files that are unlinked while open.
    Unlinked,
    /// Many small files, each synced: the journal wraps.
    Many,
    /// Large files, nothing synced for long.
    Large,
    /// Files are written by O_DIRECT and through shared mappings, beside write(2).
    Around,
}

/// How often each kind of step comes.
struct Weights {
    create: u64,
    write: u64,
    truncate: u64,
    fallocate: u64,
    remove: u64,
    rename: u64,
    directory: u64,
    link: u64,
    xattr: u64,
    held: u64,
    sync: u64,
    /// Writes by O_DIRECT and mappings.
    around: u64,
    /// One write in so many is O_SYNC or O_DSYNC; 0: none.
    synchronous: u64,
    /// The longest write.
    longest: u64,
}

const PLAIN: Weights = Weights {
    create: 6,
    write: 10,
    truncate: 2,
    fallocate: 2,
    remove: 4,
    rename: 4,
    directory: 3,
    link: 2,
    xattr: 2,
    held: 2,
    sync: 7,
    around: 0,
    synchronous: 6,
    longest: 20_000,
};

impl Profile {
    /// All.
    pub const ALL: [Profile; 13] = [
        Profile::Mixed,
        Profile::Append,
        Profile::Replace,
        Profile::Overwrite,
        Profile::Truncate,
        Profile::Fallocate,
        Profile::Deep,
        Profile::Links,
        Profile::Xattrs,
        Profile::Unlinked,
        Profile::Many,
        Profile::Large,
        Profile::Around,
    ];

    /// In a word or two.
    pub const fn name(self) -> &'static str {
        match self {
            Profile::Mixed => "mixed",
            Profile::Append => "append and fsync",
            Profile::Replace => "replace by rename",
            Profile::Overwrite => "overwrite",
            Profile::Truncate => "truncate",
            Profile::Fallocate => "fallocate",
            Profile::Deep => "deep directories",
            Profile::Links => "links",
            Profile::Xattrs => "attributes",
            Profile::Unlinked => "unlinked while open",
            Profile::Many => "many small files",
            Profile::Large => "large files",
            Profile::Around => "direct and mapped",
        }
    }

    /// How many steps make a run.
    pub const fn steps(self) -> usize {
        match self {
            Profile::Many => 150,
            Profile::Large => 24,
            _ => 45,
        }
    }

    const fn weights(self) -> Weights {
        match self {
            Profile::Mixed => PLAIN,
            Profile::Append => Weights { write: 14, sync: 14, truncate: 0, rename: 1, ..PLAIN },
            Profile::Replace => Weights { create: 2, write: 2, rename: 14, sync: 3, ..PLAIN },
            Profile::Overwrite => Weights { create: 3, write: 24, synchronous: 2, longest: 9000, ..PLAIN },
            Profile::Truncate => Weights { truncate: 16, write: 12, ..PLAIN },
            Profile::Fallocate => Weights { fallocate: 20, write: 12, ..PLAIN },
            Profile::Deep => Weights { directory: 16, rename: 10, create: 8, write: 4, ..PLAIN },
            Profile::Links => Weights { link: 16, remove: 8, rename: 6, ..PLAIN },
            Profile::Xattrs => Weights { xattr: 18, create: 8, ..PLAIN },
            Profile::Unlinked => Weights { held: 18, remove: 10, ..PLAIN },
            Profile::Many => {
                Weights { create: 24, remove: 10, directory: 4, sync: 16, longest: 3000, ..PLAIN }
            }
            Profile::Large => Weights { write: 20, sync: 3, synchronous: 0, longest: 260_000, ..PLAIN },
            Profile::Around => Weights { around: 22, truncate: 4, fallocate: 4, ..PLAIN },
        }
    }
}

/// Who chooses the next step.
pub(super) struct Chooser {
    rng: Rng,
    profile: Profile,
    weights: Weights,
    /// Steps that follow one another.
    coming: VecDeque<Step>,
    room: u64,
    block: u64,
    names: u64,
}

impl Chooser {
    pub fn new(rng: Rng, setup: &Setup) -> Chooser {
        Chooser {
            rng,
            profile: setup.profile,
            weights: setup.profile.weights(),
            coming: VecDeque::new(),
            room: setup.room() / setup.actors as u64,
            block: u64::from(setup.block),
            names: if setup.profile == Profile::Many { 120 } else { 14 },
        }
    }

    /// The next one. `held`: the file that is open.
    pub fn next(&mut self, model: &Model, held: Option<Id>) -> Step {
        if let Some(step) = self.coming.pop_front() {
            return step;
        }
        // A choice may find nothing to do it to.
        for _ in 0..20 {
            if let Some(step) = self.choose(model, held) {
                return step;
            }
        }
        Step::Sync
    }

    fn choose(&mut self, model: &Model, held: Option<Id>) -> Option<Step> {
        let w = &self.weights;
        let shares = [
            w.create,
            w.write,
            w.truncate,
            w.fallocate,
            w.remove,
            w.rename,
            w.directory,
            w.link,
            w.xattr,
            w.held,
            w.sync,
            w.around,
        ];
        let mut lot = self.rng.below(shares.iter().sum());
        let kind = shares.iter().position(|&share| {
            let hit = lot < share;
            lot = lot.saturating_sub(share);
            hit
        })?;
        if model.total() as u64 > self.room && matches!(kind, 1 | 3 | 9 | 11) {
            return self.remove(model);
        }
        match kind {
            0 => self.create(model),
            1 => self.write(model),
            2 => self.truncate(model),
            3 => self.fallocate(model),
            4 => self.remove(model),
            5 => self.rename(model),
            6 => self.directory(model),
            7 => self.link(model),
            8 => self.attribute(model),
            9 => self.open(model, held),
            10 => self.sync(model, held),
            _ => self.around(model),
        }
    }

    /// A path that is there, of these kinds.
    fn existing(&mut self, model: &Model, kinds: &str) -> Option<String> {
        let mut paths = model.paths();
        paths.retain(|(_, kind)| kinds.contains(*kind));
        paths.sort();
        let path = (!paths.is_empty()).then(|| self.rng.pick(&paths).0.clone())?;
        String::from_utf8(path).ok()
    }

    fn dir(&mut self, model: &Model) -> String {
        let deep = self.profile == Profile::Deep;
        if self.rng.one_in(if deep { 6 } else { 2 }) {
            return String::new();
        }
        self.existing(model, "d").unwrap_or_default()
    }

    /// A path that is not there.
    fn fresh(&mut self, model: &Model) -> Option<String> {
        for _ in 0..8 {
            let number = self.rng.below(self.names);
            let name = match self.rng.below(8) {
                0 => format!("{number:0>200}"),
                _ => format!("n{number}"),
            };
            let path = format!("{}/{name}", self.dir(model));
            if model.find(path.as_bytes()).is_err() && path.len() < 2000 {
                return Some(path);
            }
        }
        None
    }

    fn len_of(&self, model: &Model, path: &str) -> u64 {
        let bytes = model.find(path.as_bytes()).ok().and_then(|id| model.bytes(id));
        bytes.map_or(0, |bytes| bytes.len() as u64)
    }

    fn place(&mut self, len: u64) -> u64 {
        match self.rng.below(5) {
            0 => 0,
            1 => len + self.rng.length(3 * self.block),
            2 => self.rng.below(len + 1) / self.block * self.block,
            3 if self.profile == Profile::Overwrite => self.rng.below(len + 1),
            _ => len,
        }
    }

    fn amount(&mut self) -> usize {
        let longest = self.weights.longest;
        1 + match self.rng.below(4) {
            0 => self.rng.below(longest),
            1 => self.rng.below(4) * self.block,
            _ => self.rng.length(longest.min(6 * self.block)),
        } as usize
    }

    fn create(&mut self, model: &Model) -> Option<Step> {
        let path = self.fresh(model)?;
        if self.rng.one_in(2) {
            let len = self.amount();
            self.coming.push_back(Step::Write { path: path.clone(), pos: 0, len, how: How::Plain });
            if self.rng.one_in(2) {
                self.coming.push_back(Step::Fsync(path.clone()));
            }
        }
        Some(Step::Create(path))
    }

    fn write(&mut self, model: &Model) -> Option<Step> {
        let Some(path) = self.existing(model, "f") else { return self.create(model) };
        let old = self.len_of(model, &path);
        let pos = if self.profile == Profile::Append { old } else { self.place(old) };
        // The pattern numbers cells up to 1 MiB.
        if pos > 600_000 {
            return None;
        }
        let how = match self.weights.synchronous {
            0 => How::Plain,
            n if self.rng.one_in(n) => *self.rng.pick(&[How::Sync, How::Dsync]),
            _ => How::Plain,
        };
        if self.profile == Profile::Append {
            self.coming.push_back(Step::Fsync(path.clone()));
        }
        Some(Step::Write { path, pos, len: self.amount(), how })
    }

    /// A write that goes around write(2) or around the cache.
    fn around(&mut self, model: &Model) -> Option<Step> {
        let path = self.existing(model, "f")?;
        let old = self.len_of(model, &path);
        let how = *self.rng.pick(&[How::Direct, How::DirectDsync, How::Mapped, How::Msync]);
        let (pos, len) = (self.place(old), self.amount());
        if matches!(how, How::Mapped | How::Msync) {
            let pos = pos.min(old.checked_sub(1)?);
            return Some(Step::Write { path, pos, len: len.min((old - pos) as usize), how });
        }
        const UNIT: usize = SECTOR_SIZE;
        let (pos, len) = (pos / UNIT as u64 * UNIT as u64, len.next_multiple_of(UNIT));
        (pos < 600_000).then_some(Step::Write { path, pos, len, how })
    }

    fn truncate(&mut self, model: &Model) -> Option<Step> {
        let path = self.existing(model, "f")?;
        let old = self.len_of(model, &path);
        let len = match self.rng.below(4) {
            0 => 0,
            1 => old + self.rng.length(4 * self.block),
            2 => self.rng.below(old + 1) / self.block * self.block,
            _ => self.rng.below(old + 1),
        };
        (len < 800_000).then_some(Step::Truncate { path, len })
    }

    fn fallocate(&mut self, model: &Model) -> Option<Step> {
        let path = self.existing(model, "f")?;
        let old = self.len_of(model, &path);
        let modes = [Mode::Extend, Mode::KeepSize, Mode::Punch, Mode::Zero, Mode::Collapse, Mode::Insert];
        let mode = *self.rng.pick(&modes);
        let (mut pos, mut len) = (self.rng.below(old + 1), 1 + self.rng.length(8 * self.block));
        if matches!(mode, Mode::Collapse | Mode::Insert) {
            pos = pos / self.block * self.block;
            len = (len / self.block + 1) * self.block;
            if (if mode == Mode::Collapse { pos + len } else { pos }) >= old {
                return None;
            }
        }
        (pos + len < 600_000 && old < 600_000).then_some(Step::Fallocate { path, mode, pos, len })
    }

    fn remove(&mut self, model: &Model) -> Option<Step> {
        if self.rng.one_in(4) {
            return self.existing(model, "d").map(Step::Rmdir);
        }
        self.existing(model, "fl").map(Step::Unlink)
    }

    fn rename(&mut self, model: &Model) -> Option<Step> {
        if self.profile == Profile::Replace && !self.rng.one_in(3) {
            return self.replace(model);
        }
        let old = self.existing(model, "dfl")?;
        if self.rng.one_in(5) {
            let new = self.existing(model, "dfl")?;
            return (new != old).then_some(Step::Exchange { old, new });
        }
        let there = if self.rng.one_in(2) { self.existing(model, "dfl") } else { None };
        let new = there.or_else(|| self.fresh(model))?;
        (new != old).then_some(Step::Rename { old, new })
    }

    /// Write a new file, sync it, rename it over the old.
    fn replace(&mut self, model: &Model) -> Option<Step> {
        let (temporary, old) = (self.fresh(model)?, self.existing(model, "f")?);
        let len = self.amount();
        self.coming.push_back(Step::Write { path: temporary.clone(), pos: 0, len, how: How::Plain });
        if !self.rng.one_in(4) {
            self.coming.push_back(Step::Fsync(temporary.clone()));
        }
        self.coming.push_back(Step::Rename { old: temporary.clone(), new: old.clone() });
        if self.rng.one_in(3) {
            let dir = old.rsplit_once('/').map_or("", |(dir, _)| dir).to_owned();
            self.coming.push_back(Step::Fsync(dir));
        }
        Some(Step::Create(temporary))
    }

    fn directory(&mut self, model: &Model) -> Option<Step> {
        if self.rng.one_in(6) {
            return self.existing(model, "d").map(Step::Rmdir);
        }
        self.fresh(model).map(Step::Mkdir)
    }

    fn link(&mut self, model: &Model) -> Option<Step> {
        let new = self.fresh(model)?;
        if self.rng.one_in(3) {
            let len = *self.rng.pick(&[1usize, 40, 59, 60, 300]);
            return Some(Step::Symlink { target: "t".repeat(len), path: new });
        }
        let old = self.existing(model, "fl")?;
        Some(Step::Link { old, new })
    }

    fn attribute(&mut self, model: &Model) -> Option<Step> {
        let path = self.existing(model, "df")?;
        let name = format!("user.a{}", self.rng.below(4));
        match self.rng.below(5) {
            0 => Some(Step::RemoveXattr { path, name }),
            1 => Some(Step::Chmod { path, mode: 0o400 | self.rng.below(0o1000) as u32 }),
            _ => Some(Step::SetXattr { path, name, len: 1 + self.rng.length(220) as usize }),
        }
    }

    fn open(&mut self, model: &Model, held: Option<Id>) -> Option<Step> {
        let Some(id) = held else { return self.existing(model, "f").map(Step::Hold) };
        let old = model.bytes(id).map_or(0, |bytes| bytes.len() as u64);
        match self.rng.below(6) {
            0 => Some(Step::LetGo),
            1 => Some(Step::FsyncHeld),
            _ => {
                let pos = self.place(old);
                (pos < 600_000).then(|| Step::WriteHeld { pos, len: self.amount() })
            }
        }
    }

    fn sync(&mut self, model: &Model, held: Option<Id>) -> Option<Step> {
        match self.rng.below(10) {
            0 => Some(Step::Sync),
            1 | 2 => Some(Step::WriteBack),
            3 => self.existing(model, "d").or(Some(String::new())).map(Step::Fsync),
            4 | 5 => self.existing(model, "f").map(Step::Fdatasync),
            6 if held.is_some() => Some(Step::FsyncHeld),
            _ => self.existing(model, "f").map(Step::Fsync),
        }
    }
}
