//! Random operations on paths, against a model that is only a map from path to what is there.
//!
//! The model knows no cache, no locks and no mounts; it says for each call whether it works and with
//! which errno it fails. Names are few, so that operations meet.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use std::vec::Vec;

use base::{Errno, Result};
use proptest::prelude::*;

use super::World;

#[derive(Clone, Debug, PartialEq)]
enum What {
    Dir,
    File(u32),
}

#[derive(Default)]
struct Model {
    tree: BTreeMap<String, What>,
    next: u32,
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(p, _)| p)
}

impl Model {
    /// Whether the directory of a path is there.
    fn reach(&self, path: &str) -> Result<()> {
        let mut at = String::new();
        for part in parent(path).split('/').filter(|p| !p.is_empty()) {
            at = format!("{at}/{part}");
            match self.tree.get(&at) {
                None => return Err(Errno::ENOENT),
                Some(What::File(_)) => return Err(Errno::ENOTDIR),
                Some(What::Dir) => {}
            }
        }
        Ok(())
    }

    fn is_empty(&self, dir: &str) -> bool {
        !self.tree.keys().any(|k| parent(k) == dir)
    }

    fn mkdir(&mut self, p: &str) -> Result<()> {
        self.reach(p)?;
        if self.tree.contains_key(p) {
            return Err(Errno::EEXIST);
        }
        self.tree.insert(p.to_string(), What::Dir);
        Ok(())
    }

    fn create(&mut self, p: &str) -> Result<()> {
        self.reach(p)?;
        match self.tree.get(p) {
            Some(What::Dir) => Err(Errno::EISDIR),
            Some(What::File(_)) => Ok(()),
            None => {
                self.next += 1;
                self.tree.insert(p.to_string(), What::File(self.next));
                Ok(())
            }
        }
    }

    fn unlink(&mut self, p: &str) -> Result<()> {
        self.reach(p)?;
        match self.tree.get(p) {
            None => Err(Errno::ENOENT),
            Some(What::Dir) => Err(Errno::EISDIR),
            Some(_) => {
                self.tree.remove(p);
                Ok(())
            }
        }
    }

    fn rmdir(&mut self, p: &str) -> Result<()> {
        self.reach(p)?;
        match self.tree.get(p) {
            None => Err(Errno::ENOENT),
            Some(What::File(_)) => Err(Errno::ENOTDIR),
            Some(What::Dir) if !self.is_empty(p) => Err(Errno::ENOTEMPTY),
            Some(_) => {
                self.tree.remove(p);
                Ok(())
            }
        }
    }

    fn link(&mut self, from: &str, to: &str) -> Result<()> {
        self.reach(from)?;
        let what = self.tree.get(from).cloned().ok_or(Errno::ENOENT)?;
        self.reach(to)?;
        if self.tree.contains_key(to) {
            return Err(Errno::EEXIST);
        }
        if what == What::Dir {
            return Err(Errno::EPERM);
        }
        self.tree.insert(to.to_string(), what);
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str, exchange: bool) -> Result<()> {
        self.reach(from)?;
        self.reach(to)?;
        let source = self.tree.get(from).cloned().ok_or(Errno::ENOENT)?;
        let target = self.tree.get(to).cloned();
        if exchange && target.is_none() {
            return Err(Errno::ENOENT);
        }
        let below = |a: &str, b: &str| a.starts_with(&format!("{b}/"));
        if below(to, from) && source == What::Dir {
            return Err(Errno::EINVAL);
        }
        if below(from, to) {
            return Err(if exchange { Errno::EINVAL } else { Errno::ENOTEMPTY });
        }
        if from == to || (target.is_some() && target == Some(source.clone()) && source != What::Dir) {
            return Ok(());
        }
        if !exchange {
            match (&source, &target) {
                (What::Dir, Some(What::File(_))) => return Err(Errno::ENOTDIR),
                (What::File(_), Some(What::Dir)) => return Err(Errno::EISDIR),
                (What::Dir, Some(What::Dir)) if !self.is_empty(to) => return Err(Errno::ENOTEMPTY),
                _ => {}
            }
        }
        let (a, b) = (self.take(from), self.take(to));
        self.put(to, a);
        if exchange {
            self.put(from, b);
        }
        Ok(())
    }

    fn take(&mut self, top: &str) -> Vec<(String, What)> {
        let inside = |k: &str| k == top || k.starts_with(&format!("{top}/"));
        let keys: Vec<String> = self.tree.keys().filter(|k| inside(k)).cloned().collect();
        keys.into_iter()
            .filter_map(|k| self.tree.remove(&k).map(|w| (k[top.len()..].to_string(), w)))
            .collect()
    }

    fn put(&mut self, top: &str, what: Vec<(String, What)>) {
        self.tree.extend(what.into_iter().map(|(rest, w)| (format!("{top}{rest}"), w)));
    }
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(&["a", "b", "c"][..]), 1..4)
        .prop_map(|parts| parts.iter().map(|p| format!("/{p}")).collect())
}

fn check(w: &World, model: &Model) {
    let mut seen = Vec::new();
    let mut dirs = Vec::from([String::new()]);
    while let Some(dir) = dirs.pop() {
        for name in w.ls(&format!("{dir}/")).unwrap().into_iter().filter(|n| n != "." && n != "..") {
            let path = format!("{dir}/{name}");
            if w.stat(&path).unwrap().attr.mode & 0o170000 == 0o040000 {
                dirs.push(path.clone());
            }
            seen.push(path);
        }
    }
    seen.sort();
    let expected: Vec<String> = model.tree.keys().cloned().collect();
    assert_eq!(seen, expected);
    let mut names: BTreeMap<u32, u32> = BTreeMap::new();
    for what in model.tree.values() {
        if let What::File(n) = what {
            *names.entry(*n).or_default() += 1;
        }
    }
    for (path, what) in &model.tree {
        let nlink = w.stat(path).unwrap().attr.nlink;
        match what {
            What::File(n) => assert_eq!(nlink, names[n], "{path}"),
            What::Dir => {
                let subdirs = model.tree.iter().filter(|(k, v)| **v == What::Dir && parent(k) == path);
                assert_eq!(nlink as usize, 2 + subdirs.count(), "{path}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn paths_behave_like_the_model(
        ops in prop::collection::vec((0..8u8, path(), path()), 1..60)
    ) {
        let w = World::new();
        let mut m = Model::default();
        for (op, p, q) in &ops {
            let (got, want) = match op {
                0 | 1 => (w.mkdir(p), m.mkdir(p)),
                2 => (w.touch(p), m.create(p)),
                3 => (w.unlink(p), m.unlink(p)),
                4 => (w.rmdir(p), m.rmdir(p)),
                5 => (w.link(p, q), m.link(p, q)),
                6 => (w.rename(p, q), m.rename(p, q, false)),
                _ => (w.rename2(p, q, 2), m.rename(p, q, true)),
            };
            prop_assert_eq!(got, want, "{} {} {}", op, p, q);
        }
        check(&w, &m);
    }
}
