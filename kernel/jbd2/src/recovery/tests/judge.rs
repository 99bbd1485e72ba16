//! e2fsck replays the same logs, and so do we what debugfs writes: the images are the same afterwards.
//!
//! The programs of e2fsprogs are looked for where root has them, too.

use std::format;
use std::fs;
use std::io::{Seek, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::string::{String, ToString};
use std::vec::Vec;

use base::FsBlock;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::model::{kinds, transactions};
use super::writer::{Content, Image, Transaction, Writer};
use crate::disk::{Compat, Incompat};
use crate::log::LogMap;
use crate::units::{LogBlock, Tid};

/// Runs a program of e2fsprogs; what it said. `commands` go to its standard input.
pub(crate) fn run(program: &str, args: &[&str], commands: &str) -> String {
    let places = ["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin"];
    let found = places.iter().map(|dir| Path::new(dir).join(program)).find(|path| path.is_file());
    let mut input = tempfile::tempfile().unwrap();
    input.write_all(commands.as_bytes()).unwrap();
    input.rewind().unwrap();
    let mut command = Command::new(found.unwrap_or_else(|| program.into()));
    command.args(args).env("MKE2FS_SYNC", "0").stdin(Stdio::from(input));
    let output = command.output().expect("e2fsprogs are needed");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    said.to_string()
}

/// A file system, its image on the host, and some blocks that nobody uses.
pub(crate) struct Disk {
    dir: tempfile::TempDir,
    pub image: Image,
}

impl Disk {
    pub fn made(bits: u32, mkfs: &[&str]) -> Disk {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        let size = (1usize << bits).to_string();
        let mut args = std::vec!["-q", "-F", "-b", &size, "-E", "nodiscard", "-J", "size=4"];
        args.extend_from_slice(mkfs);
        let place = path.to_str().unwrap().to_string();
        args.extend_from_slice(&[&place, "24M"]);
        let said = run("mke2fs", &args, "");
        assert!(path.is_file(), "{said}");
        let bytes = fs::read(path).unwrap();
        let asked: String = (0..(4 << 20) >> bits).map(|n| format!("bmap <8> {n}\n")).collect();
        let said = run("debugfs", &["-f", "-", &place], &asked);
        let numbers = said.lines().filter_map(|line| line.trim().parse().ok());
        let map = LogMap::from_runs(numbers.map(|n| (FsBlock(n), 1))).unwrap();
        Disk { image: Image { bytes, map, bits }, dir }
    }

    pub fn path(&self) -> String {
        self.dir.path().join("image").to_str().unwrap().to_string()
    }

    /// Blocks at the end, which mke2fs leaves free.
    pub fn free(&self, n: u64) -> FsBlock {
        FsBlock((self.image.bytes.len() >> self.image.bits) as u64 - 100 + n)
    }

    /// What e2fsck makes of the image by a replay and nothing else.
    pub fn replayed_by_e2fsck(&self) -> Vec<u8> {
        fs::write(self.path(), &self.image.bytes).unwrap();
        run("debugfs", &["-w", "-R", "feature needs_recovery", &self.path()], "");
        let said = run("e2fsck", &["-y", "-E", "journal_only", &self.path()], "");
        assert!(!said.contains("corrupt"), "{said}");
        fs::read(self.path()).unwrap()
    }

    /// The two are the same, but for what e2fsck changes besides: superblocks, group descriptors. Those
    /// are as they were `before`, here.
    fn assert_same(&self, theirs: &[u8], before: &[u8]) {
        for block in 0..(theirs.len() >> self.image.bits) as u64 {
            let at = (block as usize) << self.image.bits;
            let of = |bytes: &'_ [u8]| bytes[at..at + self.image.size()].to_vec();
            let ours = self.image.block(FsBlock(block));
            let untouched = ours == of(before) && FsBlock(block) < self.free(0);
            let journal = FsBlock(block) == self.image.map.superblock();
            assert!(ours == of(theirs) || untouched || journal, "block {block} differs");
        }
    }
}

/// Moves the homes of a random transaction to free blocks.
fn to_free(disk: &Disk, transaction: &Transaction) -> Transaction {
    let free = |block: &FsBlock| disk.free(block.0 % 64);
    Transaction {
        blocks: transaction.blocks.iter().map(|(home, content)| (free(home), *content)).collect(),
        revokes: transaction.revokes.iter().map(free).collect(),
    }
}

#[test]
fn e2fsck_replays_our_logs_to_the_same_image() {
    let disks =
        [Disk::made(10, &["-t", "ext4"]), Disk::made(12, &["-t", "ext4"]), Disk::made(11, &["-t", "ext3"])];
    let cases = (
        prop::sample::select(&[0usize, 1, 2][..]),
        transactions(8),
        kinds(),
        any::<u32>(),
        1u32..1020,
        prop_oneof![Just(u32::MAX), 0u32..60],
    );
    let config = Config { cases: 40, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let result = runner.run(&cases, |(which, all, mut kind, tid, start, cut)| {
        // e2fsck looks at no copy of an async commit before it writes; whole ones are the same.
        kind.async_commit &= cut == u32::MAX;
        let mut disk = Disk { dir: tempfile::tempdir().unwrap(), image: disks[which].image.clone() };
        let mut sb = disk.image.superblock();
        let (compat, incompat) = kind.features();
        assert!(sb.set_features(compat, incompat));
        disk.image.put_superblock(&sb);
        let all: Vec<Transaction> = all.iter().map(|t| to_free(&disk, t)).collect();
        let mut writer = Writer::new(&mut disk.image, LogBlock(start), Tid(tid.max(1)));
        writer.left = cut;
        all.iter().for_each(|t| writer.transaction(t));
        let (theirs, before) = (disk.replayed_by_e2fsck(), disk.image.bytes.clone());
        disk.image.recover().unwrap();
        disk.assert_same(&theirs, &before);
        Ok(())
    });
    result.unwrap();
}

/// Writes a log with debugfs and replays it twice.
fn debugfs(bits: u32, mkfs: &[&str], open: &str) {
    let mut disk = Disk::made(bits, mkfs);
    let size = disk.image.size();
    let file = |name: &str, contents: &[Content]| {
        let bytes: Vec<u8> = contents.iter().flat_map(|c| c.bytes(size)).collect();
        let path = disk.dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_string()
    };
    let content = |byte, magic| Content { byte, magic };
    let first = file("first", &[content(1, false), content(2, true), content(3, false)]);
    let second = file("second", &[content(4, true), content(5, false)]);
    let first_free = disk.free(0).0;
    let free = |n| first_free + n;
    let commands = [
        format!("jo {open}"),
        format!("jw -b {},{},{} {first}", free(0), free(1), free(2)),
        format!("jw -r {},{}", free(0), free(5)),
        format!("jw -b {},{} {second}", free(2), free(5)),
        // Not committed.
        format!("jw -b {} -c {second}", free(1)),
        "jc".to_string(),
    ];
    let said = run("debugfs", &["-w", "-f", "-", &disk.path()], &(commands.join("\n") + "\n"));
    assert!(!said.contains("rror"), "{said}");
    disk.image.bytes = fs::read(disk.path()).unwrap();
    let (theirs, before) = (disk.replayed_by_e2fsck(), disk.image.bytes.clone());
    let report = disk.image.recover().unwrap();
    assert_eq!((report.replayed, report.revokes), (3, 2), "{said}");
    disk.assert_same(&theirs, &before);
    let block = |n| disk.image.block(FsBlock(free(n))).to_vec();
    assert_eq!(block(1), content(2, true).bytes(size));
    assert_eq!(block(2), content(4, true).bytes(size));
    assert_eq!(block(0), std::vec![0; size]);
}

#[test]
fn what_debugfs_writes_is_replayed() {
    debugfs(10, &["-t", "ext3"], "");
    debugfs(12, &["-t", "ext4"], "-c");
    debugfs(10, &["-t", "ext4"], "-c -v 2");
    debugfs(11, &["-t", "ext4", "-O", "^64bit"], "-c -v 3");
    debugfs(12, &["-t", "ext4", "-O", "^metadata_csum"], "");
}

#[test]
fn a_journal_for_fast_commits_has_an_area_at_its_end() {
    let disk = Disk::made(10, &["-t", "ext4", "-O", "fast_commit"]);
    let mut sb = disk.image.superblock_of(4112);
    assert_eq!((sb.ring().last, sb.fast_commits()), (LogBlock(4112), 0..0), "the first mount says so");
    assert!(sb.set_features(Compat::empty(), Incompat::FAST_COMMIT));
    assert_eq!((sb.ring().last, sb.fast_commits()), (LogBlock(4096), 4097..4112));
}
