//! The host's Linux as the judge: the same calls on the same tree, here and there, with the same
//! answers. Paths have dots, doubled and trailing slashes; links lead to directories, to nothing, in
//! circles.
//!
//! Both worlds work deep below a row of directories, so that `..` does not leave them. The test does
//! nothing where the host is no Linux or has no file system in memory to work on.
#![cfg(target_os = "linux")]

use alloc::format;
use alloc::string::String;
use core::sync::atomic::{AtomicU32, Ordering};
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, symlink};
use std::path::PathBuf;
use std::vec::Vec;

use proptest::prelude::*;

use super::World;
use crate::OpenFlags;
use crate::namei::LookupFlags;

const DEPTH: usize = 10;

/// Linux's x86-64 and generic values of flags that arm64 numbers otherwise.
#[cfg(target_arch = "x86_64")]
const HOST: (i32, i32) = (0o200000, 0o400000);
#[cfg(not(target_arch = "x86_64"))]
const HOST: (i32, i32) = (0o40000, 0o100000);

#[derive(Clone, Debug)]
enum Op {
    Mkdir(String),
    Open(String, u32),
    Unlink(String),
    Rmdir(String),
    Rename(String, String),
    Link(String, String),
    Symlink(String, String),
    Readlink(String),
    Stat(String),
    Lstat(String),
}

/// The host's tree, taken away at the end.
struct Host(PathBuf);

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Host {
    fn new() -> Option<Host> {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let base = PathBuf::from(format!("/dev/shm/quill-vfs-{}-{n}", std::process::id()));
        fs::create_dir(&base).ok()?;
        fs::create_dir_all(base.join("d/".repeat(DEPTH))).ok()?;
        Some(Host(base))
    }

    fn path(&self, path: &str) -> String {
        format!("{}/{}{path}", self.0.display(), "d/".repeat(DEPTH))
    }

    fn run(&self, op: &Op) -> io::Result<String> {
        let p = |path: &String| self.path(path);
        let done = |r: io::Result<()>| r.map(|()| String::new());
        match op {
            Op::Mkdir(a) => done(fs::create_dir(p(a))),
            Op::Open(a, flags) => self.open(&p(a), OpenFlags::from_user(*flags)),
            Op::Unlink(a) => done(fs::remove_file(p(a))),
            Op::Rmdir(a) => done(fs::remove_dir(p(a))),
            Op::Rename(a, b) => done(fs::rename(p(a), p(b))),
            Op::Link(a, b) => done(fs::hard_link(p(a), p(b))),
            Op::Symlink(target, b) => done(symlink(target, p(b))),
            Op::Readlink(a) => fs::read_link(p(a)).map(|t| format!("{}", t.display())),
            Op::Stat(a) => fs::metadata(p(a)).map(|m| kind(m.mode(), m.nlink())),
            Op::Lstat(a) => fs::symlink_metadata(p(a)).map(|m| kind(m.mode(), m.nlink())),
        }
    }

    fn open(&self, path: &str, flags: OpenFlags) -> io::Result<String> {
        let mut options = fs::OpenOptions::new();
        let mut custom = 0;
        let mut set = |flag, value| {
            if flags.contains(flag) {
                custom |= value;
            }
        };
        // The standard library adds the access mode, and checks its own idea of the others.
        set(OpenFlags::CREAT, 0o100);
        set(OpenFlags::EXCL, 0o200);
        set(OpenFlags::TRUNC, 0o1000);
        set(OpenFlags::DIRECTORY, HOST.0);
        set(OpenFlags::NOFOLLOW, HOST.1);
        set(OpenFlags::PATH, 0o10000000);
        let write = flags.access_mode() != 0;
        options.read(flags.access_mode() != 1).write(write).mode(0o666).custom_flags(custom);
        let file = options.open(path)?;
        file.metadata().map(|m| kind(m.mode(), m.nlink()))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // What is left over is in memory and says whose it was.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Type and links: what both tell alike.
fn kind(mode: u32, nlink: u64) -> String {
    format!("{:o} {nlink}", mode & 0o170000)
}

fn ours(w: &World, op: &Op) -> base::Result<String> {
    let done = |r: base::Result<()>| r.map(|()| String::new());
    let told = |s: base::Result<crate::attr_ops::Stat>| s.map(|s| kind(s.attr.mode, u64::from(s.attr.nlink)));
    match op {
        Op::Mkdir(a) => done(w.mkdir(a)),
        Op::Open(a, flags) => {
            let file = w.open(a, OpenFlags::from_user(*flags))?;
            told(Ok(crate::attr_ops::stat(&**file.inode())))
        }
        Op::Unlink(a) => done(w.unlink(a)),
        Op::Rmdir(a) => done(w.rmdir(a)),
        Op::Rename(a, b) => done(w.rename(a, b)),
        Op::Link(a, b) => done(w.link(a, b)),
        Op::Symlink(target, b) => done(w.symlink(target, b)),
        Op::Readlink(a) => {
            let place = w.lookup(a, LookupFlags::empty())?;
            crate::namei::readlink_at(&place).map(|t| String::from_utf8(t).unwrap())
        }
        Op::Stat(a) => told(w.stat(a)),
        Op::Lstat(a) => told(w.lstat(a)),
    }
}

fn path() -> impl Strategy<Value = String> {
    let part = prop::sample::select(&["a", "a", "b", "b", "c", "l", "l", "m", ".", ".."][..]);
    let end = prop::sample::select(&["", "", "", "", "/", "//", "/.", "/.."][..]);
    (prop::collection::vec((part, prop::bool::weighted(0.1)), 1..4), end).prop_map(|(parts, end)| {
        let joined: Vec<String> = parts
            .iter()
            .map(|(name, twice)| if *twice { format!("{name}/") } else { String::from(*name) })
            .collect();
        format!("{}{end}", joined.join("/"))
    })
}

fn flags() -> impl Strategy<Value = u32> {
    let access = prop::sample::select(&[0u32, 1, 2][..]);
    let others = [
        OpenFlags::empty(),
        OpenFlags::CREAT,
        OpenFlags::CREAT,
        OpenFlags::CREAT | OpenFlags::EXCL,
        OpenFlags::TRUNC,
        OpenFlags::CREAT | OpenFlags::TRUNC,
        OpenFlags::DIRECTORY,
        OpenFlags::NOFOLLOW,
        OpenFlags::NOFOLLOW | OpenFlags::DIRECTORY,
        OpenFlags::NOFOLLOW | OpenFlags::CREAT,
        OpenFlags::PATH,
        OpenFlags::PATH | OpenFlags::NOFOLLOW,
        OpenFlags::PATH | OpenFlags::DIRECTORY,
    ];
    (access, prop::sample::select(others.to_vec())).prop_map(|(a, o)| a | o.bits())
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => path().prop_map(Op::Mkdir),
        4 => (path(), flags()).prop_map(|(p, f)| Op::Open(p, f)),
        2 => path().prop_map(Op::Unlink),
        1 => path().prop_map(Op::Rmdir),
        3 => (path(), path()).prop_map(|(a, b)| Op::Rename(a, b)),
        2 => (path(), path()).prop_map(|(a, b)| Op::Link(a, b)),
        3 => (path(), path()).prop_map(|(a, b)| Op::Symlink(a, b)),
        1 => path().prop_map(Op::Readlink),
        1 => path().prop_map(Op::Stat),
        1 => path().prop_map(Op::Lstat),
    ]
}

fn deep() -> World {
    let mut w = World::new();
    for _ in 0..DEPTH {
        w.mkdir("d").unwrap();
        w.chdir("d").unwrap();
    }
    w
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn the_same_answers_as_the_host(ops in prop::collection::vec(op(), 1..80)) {
        let Some(host) = Host::new() else { return Ok(()) };
        let w = deep();
        for op in &ops {
            let theirs = host.run(op).map_err(|e| e.raw_os_error().unwrap_or(0));
            let mine = ours(&w, op).map_err(|e| i32::from(e.number()));
            prop_assert_eq!(mine, theirs, "{:?} of {:?}", op, ops);
        }
    }
}
