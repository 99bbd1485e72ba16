//! What an actor did, when, and what it was promised: the base of every judgement.
//!
//! After each step the history keeps the whole tree as it should be, a *moment*. A journaling file system
//! commits its changes in order, so that what a crash leaves are the names and attributes of **one**
//! moment; of which one is bounded by two numbers that a position of the recording gives:
//!
//! ```text
//!   step      1    2    3 fsync a    4    5 sync    6    7
//!                                        ┊ the power goes here
//!   floor:    the last step that changed `a`, or all before a sync that has ended
//!   ceiling:  the last step that had begun: 5
//! ```
//!
//! Sizes too have a rule of their own, with delayed allocation: the inode on the disk follows a write when the
//! bytes get their place ([`History::sizes`]).
//!
//! The bytes of a file follow their own rule: what an fsync of the file (or an O_SYNC write) has
//! acknowledged is there; what was written later may be, sector by sector. [`Promise`] has both.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};

use base::Result;

use super::step::{Effect, How, Mode, Step};
use crate::model::{Id, Model};
use crate::tree::Tree;

/// The tree after a step.
pub struct Moment {
    /// Names, attributes, bytes.
    pub tree: Tree,
    /// Whose inode each file is.
    pub ids: BTreeMap<Vec<u8>, Id>,
}

/// One step that was taken.
struct Taken {
    step: Step,
    begun: usize,
    ended: usize,
    effect: Effect,
    worked: bool,
    /// Of the file that a sync step names.
    file: Option<Id>,
}

/// The bytes of a file after a step that changed them.
struct Version {
    step: usize,
    bytes: Vec<u8>,
    shifted: bool,
}

/// All that one actor did.
pub struct History {
    /// Its directory.
    pub prefix: String,
    moments: Vec<Moment>,
    taken: Vec<Taken>,
    versions: BTreeMap<Id, Vec<Version>>,
    /// When its directory was on the medium.
    begun: usize,
    /// Each step changes the time of what it writes; else a write that keeps the size may change nothing
    /// but bytes, and the inode need not be committed.
    ticking: bool,
    /// Blocks come at writeback, and with them the size.
    delayed: bool,
    /// When everything was.
    end: usize,
}

/// What must hold at a position.
pub struct Promise {
    /// The first and the last step whose names and attributes may be found.
    pub steps: RangeInclusive<usize>,
    /// For each file, the places whose bytes are promised, and as of which step.
    pub bytes: BTreeMap<Id, Vec<Place>>,
}

/// Bytes of a file that are promised as of a step. An O_SYNC write promises what it writes and no more.
pub type Place = (Range<u64>, usize);

/// The step as of which these bytes are promised; 0 for none.
pub fn floor_of(places: &[Place], bytes: &Range<u64>) -> usize {
    let covers = |place: &&Place| place.0.start <= bytes.start && bytes.end <= place.0.end;
    places.iter().filter(covers).map(|(_, step)| *step).max().unwrap_or(0)
}

/// What a file may hold: the versions that may be found, and whether bytes moved between them.
pub struct Candidates<'a> {
    /// The oldest first; that one was acknowledged.
    pub versions: Vec<&'a [u8]>,
    /// Bytes of one place may be found at another.
    pub shifted: bool,
}

impl History {
    pub(super) fn new(prefix: String, begun: usize, ticking: bool, delayed: bool, model: &Model) -> History {
        let (moments, taken, versions) = (Vec::new(), Vec::new(), BTreeMap::new());
        let end = usize::MAX;
        let mut history = History { prefix, moments, taken, versions, begun, ticking, delayed, end };
        history.moments.push(moment(model));
        history
    }

    /// A step was taken between these positions; `file` is the one it names.
    pub(super) fn note(
        &mut self,
        step: Step,
        when: Range<usize>,
        done: Result<Effect>,
        file: Option<Id>,
        model: &Model,
    ) {
        let number = self.taken.len() + 1;
        let worked = done.is_ok();
        let effect = done.unwrap_or_default();
        if let Some(id) = effect.file
            && let Some(bytes) = model.bytes(id)
        {
            let version = Version { step: number, bytes: bytes.clone(), shifted: effect.shifted };
            self.versions.entry(id).or_default().push(version);
        }
        let Range { start: begun, end: ended } = when;
        self.taken.push(Taken { step, begun, ended, effect, worked, file });
        self.moments.push(moment(model));
    }

    /// Everything was unmounted at this position.
    pub(super) fn ended(&mut self, position: usize) {
        self.end = position;
    }

    /// How many steps.
    pub fn len(&self) -> usize {
        self.taken.len()
    }

    /// Whether nothing was done.
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    /// The tree after so many steps.
    pub fn moment(&self, step: usize) -> &Moment {
        &self.moments[step]
    }

    /// A step, in words.
    pub fn step(&self, number: usize) -> String {
        match number.checked_sub(1).and_then(|index| self.taken.get(index)) {
            Some(taken) => format!("{number}: {}{}", taken.step, if taken.worked { "" } else { " (failed)" }),
            None => format!("{number}"),
        }
    }

    /// The steps that began at a position, in words.
    pub fn begun_at(&self, position: usize) -> impl Iterator<Item = String> {
        let here = self.taken.iter().enumerate().filter(move |(_, taken)| taken.begun == position);
        here.map(|(index, _)| self.step(index + 1))
    }

    /// Whether its directory was promised to be there.
    pub fn has_begun(&self, position: usize) -> bool {
        position >= self.begun
    }

    /// What must hold when the power goes at a position.
    pub fn promise(&self, position: usize) -> Promise {
        let ceiling = self.taken.iter().take_while(|taken| taken.begun < position).count();
        let mut floor = 0;
        let mut bytes: BTreeMap<Id, Vec<Place>> = BTreeMap::new();
        let mut all = 0;
        for (index, taken) in self.taken[..ceiling].iter().enumerate() {
            if taken.ended > position || !taken.worked {
                continue;
            }
            let number = index + 1;
            match (promised(&taken.step), taken.file) {
                (Some(Kind::Everything), _) => (floor, all) = (number, number),
                (Some(Kind::File(place)), Some(id)) => {
                    floor = floor.max(self.last_change(id, number, |taken| self.moves_inode(taken, id)));
                    bytes.entry(id).or_default().push((place, number));
                }
                (Some(Kind::Data(place)), Some(id)) => {
                    floor = floor.max(self.last_change(id, number, |taken| self.moves_size(taken, id)));
                    bytes.entry(id).or_default().push((place, number));
                }
                _ => {}
            }
        }
        if position >= self.end {
            (floor, all) = (self.taken.len(), self.taken.len());
        }
        for &id in self.versions.keys() {
            bytes.entry(id).or_default().push((0..u64::MAX, all));
        }
        Promise { steps: floor..=ceiling, bytes }
    }

    /// The last step up to `number` that changed an inode in this way; 0 for none.
    fn last_change(&self, id: Id, number: usize, way: impl Fn(&(usize, &Taken)) -> bool) -> usize {
        let before = self.taken[..number].iter().enumerate().rev();
        let mut of_it = before.filter(|(_, taken)| taken.worked && taken.effect.touched.contains(&id));
        of_it.find(|item| way(item)).map_or(0, |(index, _)| index + 1)
    }

    /// Whether a step must have changed the inode itself: what fsync must bring along.
    fn moves_inode(&self, taken: &(usize, &Taken), id: Id) -> bool {
        let bytes = matches!(taken.1.step, Step::Write { .. } | Step::WriteHeld { .. });
        self.ticking || !bytes || self.moves_size(taken, id)
    }

    /// Whether a step made a file or changed its size: what fdatasync must bring along.
    fn moves_size(&self, (index, taken): &(usize, &Taken), id: Id) -> bool {
        let len = |step: usize| self.version_at(id, step).map(|version| version.bytes.len());
        taken.effect.file == Some(id) && len(*index) != len(index + 1)
    }

    fn version_at(&self, id: Id, step: usize) -> Option<&Version> {
        self.versions.get(&id)?.iter().rev().find(|version| version.step <= step)
    }

    /// What may be found in a file of which the bytes of step `floor` are promised.
    pub fn candidates(&self, id: Id, floor: usize, ceiling: usize) -> Candidates<'_> {
        let all = self.versions.get(&id).map_or(&[][..], Vec::as_slice);
        let first = all.iter().rposition(|version| version.step <= floor).unwrap_or(0);
        let may = || all[first..].iter().filter(|version| version.step <= ceiling);
        let mut versions: Vec<&[u8]> = may().map(|version| &version.bytes[..]).collect();
        // Before its first version it was empty.
        if all.first().is_some_and(|version| version.step > floor) {
            versions.insert(0, &[]);
        }
        Candidates { versions, shifted: may().skip(1).any(|version| version.shifted) }
    }

    /// The sizes a file may have when the tree is that of `step` and later steps have begun: a write in
    /// several handles may be cut in between. With delayed allocation what was written since the size was
    /// last sure need not count yet.
    pub fn sizes(&self, id: Id, step: usize, promise: &Promise) -> RangeInclusive<usize> {
        let ceiling = *promise.steps.end();
        let len = |step: usize| self.version_at(id, step).map_or(0, |version| version.bytes.len());
        let (now, next) = (len(step), if step < ceiling { len(step + 1) } else { len(step) });
        let grows = |taken: &Taken| {
            matches!(taken.step, Step::Write { .. } | Step::WriteHeld { .. } | Step::Fallocate { .. })
        };
        let partly = step < ceiling && self.taken.get(step).is_some_and(grows);
        let all = if partly { now.min(next)..=now.max(next) } else { now..=now };
        if self.delayed { self.sure_size(id, step, promise).min(*all.start())..=*all.end() } else { all }
    }

    /// The size that the inode on the disk has at least, in the tree of `step`.
    fn sure_size(&self, id: Id, step: usize, promise: &Promise) -> usize {
        let len = |step: usize| self.version_at(id, step).map_or(0, |version| version.bytes.len());
        let places = promise.bytes.get(&id).map_or(&[][..], Vec::as_slice);
        let mut sure = 0;
        for number in 1..=step {
            let taken = &self.taken[number - 1];
            if taken.worked && self.sets_size(taken, id, number) {
                sure = len(number);
            }
            for (place, _) in places.iter().filter(|(_, as_of)| *as_of == number) {
                // All up to there was written.
                sure = sure.max(len(number).min(usize::try_from(place.end).unwrap_or(usize::MAX)));
            }
        }
        sure
    }

    /// Whether a step sets the size, in memory and on the disk, or lets the file be written before it is
    /// renamed over another.
    fn sets_size(&self, taken: &Taken, id: Id, number: usize) -> bool {
        let before = &self.moments[number - 1].ids;
        match &taken.step {
            Step::Create(_) | Step::Truncate { .. } => taken.effect.file == Some(id),
            Step::Fallocate { mode, .. } => {
                taken.effect.file == Some(id)
                    && !matches!(mode, Mode::KeepSize | Mode::Punch)
                    && self.moves_size(&(number - 1, taken), id)
            }
            Step::Rename { old, new } => {
                let of = |path: &str| before.get(path.as_bytes()).copied();
                of(old) == Some(id) && of(new).is_some_and(|victim| victim != id)
            }
            _ => false,
        }
    }
}

/// What a step promises, and of which bytes.
enum Kind {
    Everything,
    File(Range<u64>),
    Data(Range<u64>),
}

/// What a step promises when it has ended well.
fn promised(step: &Step) -> Option<Kind> {
    let whole = 0..u64::MAX;
    match step {
        Step::Sync => Some(Kind::Everything),
        Step::Fsync(_) | Step::FsyncHeld => Some(Kind::File(whole)),
        Step::Fdatasync(_) => Some(Kind::Data(whole)),
        Step::Write { how: How::Sync, pos, len, .. } => Some(Kind::File(*pos..*pos + *len as u64)),
        Step::Write { how: How::Dsync | How::DirectDsync | How::Msync, pos, len, .. } => {
            Some(Kind::Data(*pos..*pos + *len as u64))
        }
        _ => None,
    }
}

fn moment(model: &Model) -> Moment {
    let files = model.paths().into_iter().filter(|(_, kind)| *kind == 'f');
    let ids = files.filter_map(|(path, _)| model.find(&path).ok().map(|id| (path, id))).collect();
    Moment { tree: model.tree(), ids }
}
