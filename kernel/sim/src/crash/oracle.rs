//! Whether what a crash left is what was promised.
//!
//! * The names, kinds, modes, owners, links, targets, extended attributes and sizes are those of one
//!   moment between floor and ceiling (see [`super::history`]). This says at once that a rename is atomic,
//!   that what fsync acknowledged is there, and that nothing came in another order than it was done.
//! * Each sector of each file holds what that place held at some moment since the last acknowledgement.
//!   In particular no bytes of another file, and none of an older life of this one.
//!
//! With `data=journal` or `chattr +j` data and names are of the same transactions: each sector is that of the very
//! moment, or the next step's where that was under way. With `data=writeback` a place that was not acknowledged may hold anything.

use std::collections::{BTreeMap, BTreeSet};

use base::units::SECTOR_SIZE;

use super::history::{Candidates, History, Place, Promise, floor_of};
use super::pattern;
use crate::model::Id;
use crate::tree::{Entry, Kind, Tree};

/// How much may be found in places whose bytes were not acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stale {
    /// Nothing but what the file held there at the moment whose names are found: data go through the journal.
    InOrder,
    /// Nothing but what the file held there at some moment since then.
    Never,
    /// Anything: `data=writeback`.
    Allowed,
}

/// Judges the tree below an actor's directory. Err: in words, what is wrong.
///
/// Names and attributes may fit several steps, of which a file that was replaced by another of the same size
/// has the bytes of one alone.
pub fn check(found: &Tree, history: &History, position: usize, stale: Stale) -> Result<(), String> {
    let promise = history.promise(position);
    let fits = |step: &usize| differences(found, history, *step, &promise).is_empty();
    let mut wrong = None;
    for step in promise.steps.clone().rev().filter(fits) {
        match check_files(found, history, &promise, step, stale) {
            Ok(()) => return Ok(()),
            Err(why) => wrong = wrong.or(Some(why)),
        }
    }
    Err(wrong.unwrap_or_else(|| no_such_step(found, history, &promise)))
}

/// The bytes of all files, which are those of this step.
fn check_files(
    found: &Tree,
    history: &History,
    promise: &Promise,
    step: usize,
    stale: Stale,
) -> Result<(), String> {
    let ids = &history.moment(step).ids;
    let mut seen = BTreeSet::new();
    for (path, entry) in &found.0 {
        let (Kind::File(bytes), Some(&id)) = (&entry.kind, ids.get(path)) else { continue };
        if !seen.insert(id) {
            continue;
        }
        let mut places = promise.bytes.get(&id).cloned().unwrap_or_default();
        let mut ceiling = *promise.steps.end();
        if stale == Stale::InOrder {
            places.push((0..u64::MAX, step));
            // Of the next step a part may be there, if it takes several handles.
            ceiling = ceiling.min(step + 1);
        }
        let file = Bytes { id, history, ceiling, stale };
        file.check(bytes, &places)
            .map_err(|why| format!("{} (file {id}): {why}", String::from_utf8_lossy(path)))?;
    }
    Ok(())
}

/// What to say when names and attributes fit no step that may be found.
fn no_such_step(found: &Tree, history: &History, promise: &Promise) -> String {
    let (floor, ceiling) = (*promise.steps.start(), *promise.steps.end());
    let by_step = promise.steps.clone().rev().map(|step| (step, differences(found, history, step, promise)));
    let (step, wrong) = by_step.min_by_key(|(_, wrong)| wrong.len()).unwrap_or_default();
    // What was promised and then lost looks like an older step.
    let older = (0..floor).rev().find(|&step| differences(found, history, step, promise).is_empty());
    let lost = older.map_or(String::new(), |step| format!(" It is the tree of step {}.", history.step(step)));
    format!(
        "the tree is that of no step from {} (acknowledged) to {} (begun).{lost} Nearest is {}:\n    {}",
        history.step(floor),
        history.step(ceiling),
        history.step(step),
        wrong[..wrong.len().min(6)].join("\n    ")
    )
}

/// How the tree differs from that of a step.
fn differences(found: &Tree, history: &History, step: usize, promise: &Promise) -> Vec<String> {
    let moment = history.moment(step);
    let paths = found.0.keys().chain(moment.tree.0.keys().filter(|path| !found.0.contains_key(*path)));
    let wrong = |path: &Vec<u8>| {
        let text = match (found.0.get(path), moment.tree.0.get(path)) {
            (Some(found), Some(wanted)) => {
                let sizes = moment.ids.get(path).map(|&id| history.sizes(id, step, promise));
                differs(found, wanted, sizes)?
            }
            (Some(found), None) => format!("is there ({})", found.in_words()),
            (None, _) => "is not there".into(),
        };
        Some(format!("{}: {text}", String::from_utf8_lossy(path)))
    };
    paths.filter_map(wrong).collect()
}

/// How one name differs; `sizes` are those that a file may have.
fn differs(found: &Entry, wanted: &Entry, sizes: Option<std::ops::RangeInclusive<usize>>) -> Option<String> {
    let kinds = match (&found.kind, &wanted.kind, sizes) {
        (Kind::File(bytes), Kind::File(_), Some(sizes)) => sizes.contains(&bytes.len()),
        (found, wanted, _) => found == wanted,
    };
    let same = kinds
        && found.mode == wanted.mode
        && found.owner == wanted.owner
        && found.nlink == wanted.nlink
        && found.same_as == wanted.same_as
        && found.xattrs == wanted.xattrs;
    (!same).then(|| format!("is {}, not {}", found.in_words(), wanted.in_words()))
}

/// A file whose bytes are judged.
struct Bytes<'a> {
    id: Id,
    history: &'a History,
    ceiling: usize,
    stale: Stale,
}

impl Bytes<'_> {
    /// Sector by sector; what of a sector is promised is what covers all of it.
    fn check(&self, bytes: &[u8], places: &[Place]) -> Result<(), String> {
        let mut of_floor: BTreeMap<usize, Candidates<'_>> = BTreeMap::new();
        for (index, sector) in bytes.chunks(SECTOR_SIZE).enumerate() {
            let at = index * SECTOR_SIZE;
            let floor = floor_of(places, &(at as u64..(at + sector.len()) as u64));
            let fresh = || self.history.candidates(self.id, floor, self.ceiling);
            let candidates = of_floor.entry(floor).or_insert_with(fresh);
            check_sector(self.id, at, sector, candidates, self.stale).map_err(|why| {
                format!("at byte {at:#x} {why}, promised as of step {}", self.history.step(floor))
            })?;
        }
        Ok(())
    }
}

fn check_sector(
    id: Id,
    at: usize,
    sector: &[u8],
    candidates: &Candidates<'_>,
    stale: Stale,
) -> Result<(), String> {
    let fits = |version: &&[u8]| {
        let there = version.get(at..).unwrap_or(&[]);
        let (same, rest) = sector.split_at(there.len().min(sector.len()));
        same == &there[..same.len()] && rest.iter().all(|&byte| byte == 0)
    };
    let moved = || candidates.shifted && (is_own(id, sector) || lies_elsewhere(candidates, sector));
    if candidates.versions.iter().any(fits) || moved() {
        return Ok(());
    }
    if stale == Stale::Allowed && changes(candidates, at) {
        return Ok(());
    }
    let first = candidates.versions.first().and_then(|version| version.get(at..));
    let wanted =
        first.map_or("nothing".into(), |rest| pattern::describe(&rest[..rest.len().min(SECTOR_SIZE)]));
    Err(format!("lies {}, acknowledged is {wanted}", pattern::describe(sector)))
}

/// Whether all that can be told of a sector is that it is the file's own, or zeros.
fn is_own(id: Id, sector: &[u8]) -> bool {
    let cells = sector.chunks(pattern::CELL);
    let mut whole = cells.filter_map(pattern::origin).peekable();
    let zeros = sector.iter().all(|&byte| byte == 0);
    zeros || whole.peek().is_some() && whole.all(|origin| origin.file == id as u32 & 0xffff)
}

/// Whether one of the versions has exactly these bytes in another place: of a few bytes no one can tell whose
/// they are.
fn lies_elsewhere(candidates: &Candidates<'_>, sector: &[u8]) -> bool {
    let same = |there: &[u8]| {
        let (bytes, rest) = sector.split_at(there.len().min(sector.len()));
        bytes == &there[..bytes.len()] && rest.iter().all(|&byte| byte == 0)
    };
    candidates.versions.iter().any(|version| version.chunks(SECTOR_SIZE).any(same))
}

/// Whether the bytes of a place were changed since they were acknowledged.
fn changes(candidates: &Candidates<'_>, at: usize) -> bool {
    let sector = |version: &&[u8]| {
        let mut sector = version.get(at..).unwrap_or(&[]).to_vec();
        sector.resize(SECTOR_SIZE, 0);
        sector
    };
    let mut all = candidates.versions.iter().map(sector);
    let first = all.next();
    // In between, the block may have been given away and come back.
    all.any(|sector| Some(sector) != first) || first.is_none_or(|bytes| bytes.iter().all(|&byte| byte == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates<'a>(versions: &[&'a [u8]]) -> Candidates<'a> {
        Candidates { versions: versions.to_vec(), shifted: false }
    }

    fn check_bytes(bytes: &[u8], candidates: &Candidates<'_>, stale: Stale) -> Result<(), String> {
        let mut sectors = bytes.chunks(SECTOR_SIZE).enumerate();
        sectors.try_for_each(|(n, sector)| check_sector(3, n * SECTOR_SIZE, sector, candidates, stale))
    }

    #[test]
    fn a_few_bytes_may_have_moved() {
        let (mut old, mut new) = (vec![0; 2141], vec![0; 2000]);
        old[2127..].fill(7);
        new[1103..1115].fill(7);
        let mut found = old.clone();
        found[2139..].fill(0);
        let versions = [&old[..], &new[..]];
        let shifted = Candidates { versions: versions.to_vec(), shifted: true };
        assert_eq!(check_bytes(&found, &shifted, Stale::Never), Ok(()));
        assert!(check_bytes(&found, &candidates(&versions), Stale::Never).is_err());
    }

    #[test]
    fn a_sector_is_of_one_version_that_may_be_found() {
        let (old, new) = (pattern::fill(3, 1, 0, 1024), pattern::fill(3, 2, 0, 1500));
        let both = candidates(&[&old, &new]);
        let check = |bytes: &[u8], stale| check_bytes(bytes, &both, stale);
        assert_eq!(check(&old, Stale::Never), Ok(()));
        assert_eq!(check(&new, Stale::Never), Ok(()));
        assert_eq!(check(&[&old[..512], &new[512..1500]].concat(), Stale::Never), Ok(()));
        // Longer than it was, but not yet written there.
        assert_eq!(check(&[&old[..], &[0; 400]].concat(), Stale::Never), Ok(()));
        // Torn within a sector; of an older life; of another file.
        assert!(check(&[&old[..100], &new[100..512]].concat(), Stale::Never).is_err());
        assert!(check(&pattern::fill(3, 0, 0, 512), Stale::Never).is_err());
        let other = pattern::fill(4, 1, 0, 512);
        assert!(check(&other, Stale::Never).unwrap_err().contains("file 4, write 1"));
        assert_eq!(check(&other, Stale::Allowed), Ok(()));
        // What is acknowledged and was left alone stays, whatever the mode.
        let one = candidates(&[&old]);
        assert!(check_bytes(&other, &one, Stale::Allowed).is_err());
        assert!(check_bytes(&[0; 512], &one, Stale::Never).is_err());
    }
}
