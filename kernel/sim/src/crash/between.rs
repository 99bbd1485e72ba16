//! Whether a tree lies between two: what a program may leave of which is known only what it found and what it made.
//!
//! A program that was not written for the laboratory tells nobody which of its system calls have returned. Of a
//! whole run of it is known the tree before, which was unmounted and so is durable, and the tree after:
//!
//! | a name that is | may be |
//! |---|---|
//! | in both trees, the same | that, and nothing else |
//! | in both trees, not the same | the old or the new, whole; with [`Change::InPlace`] sector by sector |
//! | new | not there; or there with a front part of its bytes, its mode and owner not yet set |
//! | gone at the end | still there, as it was; or not there |
//! | in neither | there only as a new file that will replace another, named after it |
//!
//! With [`Change::Atomic`] the whole tree is one of the two. The link counts of directories follow from the names.
//!
//! The rule of new files wants `data=ordered` or `data=journal`: with `data=writeback` their bytes may be anything.

use base::units::SECTOR_SIZE;

use crate::tree::{Entry, Kind, Tree};

/// How a program goes from one tree to the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// By one system call that changes names or attributes: all of it or nothing.
    Atomic,
    /// Name by name; whoever replaces a file writes another and renames it.
    Whole,
    /// Files are written where they are.
    InPlace,
}

/// Judges what a crash left of a run. Err: in words, what is wrong.
pub fn check(found: &Tree, before: &Tree, after: &Tree, change: Change) -> Result<(), String> {
    if change == Change::Atomic {
        return same(found, before).or_else(|old| {
            same(found, after)
                .map_err(|new| format!("neither what was there: {old}; nor what was made: {new}"))
        });
    }
    let paths = found.0.keys().chain(before.0.keys()).chain(after.0.keys());
    paths.into_iter().try_for_each(|path| {
        let of = |tree: &'_ Tree| tree.0.get(path).cloned();
        let (old, new) = (before.0.get(path), after.0.get(path));
        let right = match (found.0.get(path), old, new) {
            (None, old, new) => old.is_none() || new.is_none(),
            (Some(found), Some(old), Some(new)) => {
                let mixed = || change == Change::InPlace && !is(old, new) && is_mixed(found, old, new);
                is(found, old) || is(found, new) || mixed()
            }
            (Some(found), Some(old), None) => is(found, old),
            (Some(found), None, Some(new)) => is_begun(found, new),
            (Some(found), None, None) => will_replace(found, path, before, after),
        };
        let say = |entry: Option<Entry>| entry.map_or("nothing".into(), |entry| entry.in_words());
        let wrong = || {
            format!(
                "{}: is {}; before the run {}, after it {}",
                String::from_utf8_lossy(path),
                say(of(found)),
                say(of(before)),
                say(of(after))
            )
        };
        if right { Ok(()) } else { Err(wrong()) }
    })
}

/// Whether two trees have the same names with the same content and attributes, but for times.
pub fn same(found: &Tree, wanted: &Tree) -> Result<(), String> {
    let paths = found.0.keys().chain(wanted.0.keys());
    let differs = |path: &&Vec<u8>| match (found.0.get(*path), wanted.0.get(*path)) {
        (Some(found), Some(wanted)) => !is(found, wanted),
        _ => true,
    };
    match paths.into_iter().find(differs) {
        None => Ok(()),
        Some(path) => {
            let say = |tree: &Tree| tree.0.get(path).map_or("nothing".into(), Entry::in_words);
            Err(format!("{} is {}, not {}", String::from_utf8_lossy(path), say(found), say(wanted)))
        }
    }
}

fn is(found: &Entry, wanted: &Entry) -> bool {
    found.kind == wanted.kind
        && found.mode == wanted.mode
        && found.owner == wanted.owner
        && found.xattrs == wanted.xattrs
        && (found.kind == Kind::Directory || found.nlink == wanted.nlink && found.same_as == wanted.same_as)
}

/// A name that is being made.
fn is_begun(found: &Entry, new: &Entry) -> bool {
    match (&found.kind, &new.kind) {
        (Kind::File(part), Kind::File(all)) => all.starts_with(part),
        (found, new) => found == new,
    }
}

/// A file that is being written where it is: each sector is the old one or the new one.
fn is_mixed(found: &Entry, old: &Entry, new: &Entry) -> bool {
    let (Kind::File(found), Kind::File(old), Kind::File(new)) = (&found.kind, &old.kind, &new.kind) else {
        return false;
    };
    let of = |all: &[u8], at: usize, sector: &[u8]| {
        let there = all.get(at..).unwrap_or(&[]);
        let (bytes, rest) = sector.split_at(there.len().min(sector.len()));
        bytes == &there[..bytes.len()] && rest.iter().all(|&byte| byte == 0)
    };
    let mut sectors = found.chunks(SECTOR_SIZE).enumerate();
    found.len() <= old.len().max(new.len())
        && sectors.all(|(n, sector)| of(old, n * SECTOR_SIZE, sector) || of(new, n * SECTOR_SIZE, sector))
}

/// A file in neither tree: another name behind that of a file that changes, and a part of its new bytes.
fn will_replace(found: &Entry, path: &[u8], before: &Tree, after: &Tree) -> bool {
    let changes = |(name, new): &(&Vec<u8>, &Entry)| before.0.get(*name).is_some_and(|old| !is(old, new));
    let replaced = after.0.iter().filter(changes).find(|(name, _)| path.starts_with(name));
    replaced.is_some_and(|(_, new)| is_begun(found, new))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn file(bytes: &[u8]) -> Entry {
        let same_as = Vec::new();
        let kind = Kind::File(bytes.to_vec());
        let (times, xattrs, flags, project) = (None, BTreeMap::new(), None, None);
        Entry { kind, mode: 0o644, owner: (0, 0), nlink: 1, same_as, times, xattrs, flags, project }
    }

    fn tree(files: &[(&str, &[u8])]) -> Tree {
        Tree(files.iter().map(|(name, bytes)| (name.as_bytes().to_vec(), file(bytes))).collect())
    }

    #[test]
    fn what_does_not_change_stays() {
        let (before, after) = (tree(&[("/a", b"1"), ("/b", b"2")]), tree(&[("/a", b"1"), ("/b", b"3")]));
        for change in [Change::Whole, Change::InPlace] {
            assert_eq!(check(&before, &before, &after, change), Ok(()));
            assert_eq!(check(&after, &before, &after, change), Ok(()));
            assert!(check(&tree(&[("/b", b"2")]), &before, &after, change).is_err());
            assert!(check(&tree(&[("/a", b"1")]), &before, &after, change).is_err());
            assert!(check(&tree(&[("/a", b""), ("/b", b"2")]), &before, &after, change).is_err());
        }
    }

    #[test]
    fn a_file_is_replaced_whole_or_in_place() {
        let (old, new) = ([1; 1024], [2; 1024]);
        let mixed = [[1; 512], [2; 512]].concat();
        let (before, after) = (tree(&[("/a", &old)]), tree(&[("/a", &new)]));
        let found = |bytes: &[u8], change| check(&tree(&[("/a", bytes)]), &before, &after, change).is_ok();
        assert!(!found(&mixed, Change::Whole) && found(&mixed, Change::InPlace));
        assert!(!found(b"", Change::Whole) && found(b"", Change::InPlace));
        assert!(!found(&[3; 1024], Change::InPlace) && !found(&[1; 1025], Change::InPlace));
        let beside = |name| check(&tree(&[("/a", &old), (name, &new[..7])]), &before, &after, Change::Whole);
        assert_eq!(beside("/aXyZ123"), Ok(()));
        assert!(beside("/b").is_err());
    }

    #[test]
    fn names_come_and_go() {
        let (before, after) = (tree(&[("/old", b"12")]), tree(&[("/new", b"34")]));
        let found = |files: &[(&str, &[u8])], change| check(&tree(files), &before, &after, change).is_ok();
        for fine in [&[("/old", &b"12"[..]), ("/new", b"3")][..], &[], &[("/new", b"")]] {
            assert!(found(fine, Change::Whole) && !found(fine, Change::Atomic), "{fine:?}");
        }
        for wrong in [[("/old", &b"1"[..])], [("/new", b"12")], [("/other", b"")]] {
            assert!(!found(&wrong, Change::Whole), "{wrong:?}");
        }
        assert!(found(&[("/old", b"12")], Change::Atomic) && found(&[("/new", b"34")], Change::Atomic));
    }
}
