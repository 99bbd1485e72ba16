//! Fast commits replayed.
//!
//! An image has a twin: the same image with some changes more, made by a mount. The changes are told in fast
//! commits on the first image, in the words and the order that Linux uses, and its mount must make it what the
//! twin is. e2fsck's own replay of the same fast commits is the other judge.

use std::collections::BTreeMap;

use base::Errno;
use block::Limits;
use ext4::checksum::crc32c;
use jbd2::Tid;
use jbd2::disk::{Compat, Incompat};
use jbd2::superblock::LogSuperblock;
use sim::crash::{CrashDisk, Keep, Recorder, cut};
use sim::{Image, Machine, Options, Tree};
use vfs::OpenFlags;

const TID: u32 = 77;
const BLOCK: usize = 1024;

/// A disk with room for fast commits in its journal.
fn fresh() -> Image {
    let mut all = vec!["-b", "1024", "-J", "size=4", "-O", "fast_commit,^resize_inode"];
    all.extend(["-E", "lazy_itable_init=0,nodiscard"]);
    Image::mkfs(32 << 20, &all).unwrap()
}

fn machine(image: &Image) -> Machine {
    Machine::mount(image).unwrap()
}

fn write(machine: &Machine, path: &str, pos: u64, bytes: &[u8]) {
    let file = machine.open(path, OpenFlags::CREAT | OpenFlags::WRONLY, 0o644).unwrap();
    sim::write_all(&file, bytes, pos).unwrap();
}

/// The words of fast commits.
struct Words<'a> {
    twin: &'a Image,
    bytes: Vec<u8>,
    from: usize,
}

impl<'a> Words<'a> {
    fn new(twin: &'a Image) -> Words<'a> {
        let mut words = Words { twin, bytes: Vec::new(), from: 0 };
        words.tag(9, &[0u32.to_le_bytes(), TID.to_le_bytes()].concat());
        words
    }

    fn tag(&mut self, kind: u16, value: &[u8]) {
        let left = BLOCK - self.bytes.len() % BLOCK;
        if left < 8 + value.len() {
            self.bytes.extend(7u16.to_le_bytes());
            self.bytes.extend(((left - 4) as u16).to_le_bytes());
            self.bytes.resize(self.bytes.len() + left - 4, 0);
        }
        self.bytes.extend(kind.to_le_bytes());
        self.bytes.extend((value.len() as u16).to_le_bytes());
        self.bytes.extend(value);
    }

    /// The inode's bytes in the twin.
    fn inode(&mut self, ino: u32) -> &mut Self {
        let said = self.twin.debugfs(&format!("imap <{ino}>")).unwrap();
        let at = |word: &str| {
            let rest = said.split(word).nth(1).unwrap();
            let number: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
            number
        };
        let block: usize = at("located at block ").parse().unwrap();
        let offset = usize::from_str_radix(at("offset 0x").as_str(), 16).unwrap();
        let raw = self.twin.bytes[block * BLOCK + offset..][..160].to_vec();
        self.tag(6, &[&ino.to_le_bytes()[..], &raw].concat());
        self
    }

    fn name(&mut self, kind: u16, parent: u32, ino: u32, name: &str) -> &mut Self {
        let value = [&parent.to_le_bytes()[..], &ino.to_le_bytes(), name.as_bytes()].concat();
        self.tag(kind, &value);
        self
    }

    fn creat(&mut self, parent: u32, ino: u32, name: &str) -> &mut Self {
        self.name(3, parent, ino, name)
    }

    fn link(&mut self, parent: u32, ino: u32, name: &str) -> &mut Self {
        self.name(4, parent, ino, name)
    }

    fn unlink(&mut self, parent: u32, ino: u32, name: &str) -> &mut Self {
        self.name(5, parent, ino, name)
    }

    /// Where the twin has `blocks` of a file.
    fn ranges(&mut self, ino: u32, blocks: std::ops::Range<u32>) -> &mut Self {
        let map = places(self.twin, ino, blocks);
        for (block, place) in map {
            match place {
                0 => self.tag(2, &[ino, block, 1].map(u32::to_le_bytes).concat()),
                _ => self.add(ino, block, place as u32),
            }
        }
        self
    }

    /// A block of a file.
    fn add(&mut self, ino: u32, block: u32, place: u32) {
        let (len, high) = (1u16.to_le_bytes(), 0u16.to_le_bytes());
        let extent = [&block.to_le_bytes()[..], &len, &high, &place.to_le_bytes()];
        self.tag(1, &[&ino.to_le_bytes()[..], &extent.concat()].concat());
    }

    /// Ends a fast commit.
    fn tail(&mut self) -> &mut Self {
        if BLOCK - self.bytes.len() % BLOCK < 16 {
            self.tag(7, &[]);
        }
        let left = BLOCK - self.bytes.len() % BLOCK;
        self.bytes.extend(8u16.to_le_bytes());
        self.bytes.extend(((left - 4) as u16).to_le_bytes());
        self.bytes.extend(TID.to_le_bytes());
        let crc = crc32c(0, &self.bytes[self.from..]);
        self.bytes.extend(crc.to_le_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(BLOCK), 0);
        self.from = self.bytes.len();
        self
    }

    /// An image whose journal has these words, and the data that the twin's files have.
    fn told_on(&self, before: &Image) -> Image {
        let mut image = before.clone();
        for (at, block) in self.twin.bytes.chunks(BLOCK).enumerate() {
            if is_free(before, at) && !is_free(self.twin, at) {
                image.bytes[at * BLOCK..][..BLOCK].copy_from_slice(block);
            }
        }
        let journal = places(before, 8, 0..1 << 16);
        let at = |n: u32| journal[&n] as usize * BLOCK;
        let mut sb = LogSuperblock::load(&image.bytes[at(0)..][..BLOCK], 1 << 16, crc32c).unwrap();
        assert!(sb.set_features(Compat::empty(), sb.incompat() | Incompat::FAST_COMMIT));
        sb.set_tail(Tid(TID), Some(sb.first()));
        image.bytes[at(0)..][..BLOCK].copy_from_slice(sb.block());
        for (i, block) in self.bytes.chunks(BLOCK).enumerate() {
            image.bytes[at(sb.fast_commits().start + i as u32)..][..BLOCK].copy_from_slice(block);
        }
        image.changed("feature needs_recovery").unwrap()
    }
}

/// Where a file's blocks lie; 0: nowhere.
fn places(image: &Image, ino: u32, blocks: std::ops::Range<u32>) -> BTreeMap<u32, u64> {
    let mut map: BTreeMap<u32, u64> = blocks.map(|block| (block, 0)).collect();
    let said = image.debugfs(&format!("stat <{ino}>")).unwrap();
    let list = said.split("EXTENTS:").nth(1).unwrap_or_default().trim();
    for piece in list.split(", ").filter(|piece| !piece.starts_with("(ETB") && piece.contains(':')) {
        let (file, disk) = piece.split_once("):").unwrap();
        let bounds = |text: &str| {
            let (a, b) = text.split_once('-').unwrap_or((text, text));
            (a.parse::<u64>().unwrap(), b.parse::<u64>().unwrap())
        };
        let (first, last) = bounds(file.trim_start_matches('('));
        let (start, _) = bounds(disk);
        for block in first..=last {
            if let Some(place) = map.get_mut(&(block as u32)) {
                *place = start + block - first;
            }
        }
    }
    map
}

/// Whether a block is marked free: the bitmaps of a disk of four groups lie where the descriptors say.
fn is_free(image: &Image, block: usize) -> bool {
    let (group, bit) = ((block.max(1) - 1) / 8192, (block.max(1) - 1) % 8192);
    let desc = &image.bytes[2 * BLOCK + group * 64..][..64];
    let bitmap = u32::from_le_bytes([desc[0], desc[1], desc[2], desc[3]]) as usize;
    let uninit = desc[0x12] & 2 != 0;
    !uninit && image.bytes[bitmap * BLOCK + bit / 8] >> (bit % 8) & 1 == 0
}

/// Names, kinds, links, sizes and contents, from the root down.
fn tree(image: &Image) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut left = vec![String::new()];
    while let Some(dir) = left.pop() {
        let said = image.debugfs(&format!("ls -p \"/{dir}\"")).unwrap();
        for line in said.lines().filter(|line| line.starts_with('/')) {
            let field: Vec<&str> = line.split('/').collect();
            let (mode, name, size) = (field[2], field[5], field[6]);
            if [".", "..", "lost+found"].contains(&name) {
                continue;
            }
            let path = format!("{dir}/{name}");
            let stat = image.debugfs(&format!("stat \"{path}\"")).unwrap();
            let links = stat.split("Links: ").nth(1).unwrap().split_whitespace().next().unwrap();
            let content = image.cat(&path).unwrap_or_default();
            let sum = crc32c(0, &content);
            let what = if mode.starts_with("04") { String::new() } else { format!("{size} {sum:x}") };
            all.insert(path.clone(), format!("{mode} links {links} {what}"));
            if mode.starts_with("04") {
                left.push(path);
            }
        }
    }
    all
}

/// Both judges on an image with fast commits.
fn judged(told: &Image, twin: &Image) {
    let mounted = machine(told).unmount().unwrap();
    mounted.fsck().unwrap();
    assert_eq!(tree(&mounted), tree(twin), "after a mount");
    let repaired = told.repaired().unwrap();
    repaired.fsck().unwrap();
    assert_eq!(tree(&repaired), tree(twin), "after e2fsck");
}

/// An image with fast commits of all kinds of changes to files, and its twin.
fn busy() -> (Image, Image) {
    let start = machine(&fresh());
    start.mkdir("/d").unwrap();
    write(&start, "/d/old", 0, &[1; 5000]);
    write(&start, "/d/gone", 0, &[2; 3000]);
    write(&start, "/d/long", 0, &[3; 40_000]);
    let before = start.unmount().unwrap();

    let changes = machine(&before);
    write(&changes, "/d/new", 0, &[4; 2500]);
    write(&changes, "/d/old", 10_000, &[5; 4000]);
    changes.truncate("/d/long", 9000).unwrap();
    changes.unlink("/d/gone").unwrap();
    changes.link("/d/old", "/second").unwrap();
    changes.symlink("to/somewhere", "/d/symlink").unwrap();
    changes.rename("/d/long", "/d/longer").unwrap();
    let ino = |path: &str| changes.stat(path).unwrap().ino.0 as u32;
    let (d, new, old, long) = (ino("/d"), ino("/d/new"), ino("/d/old"), ino("/d/longer"));
    let symlink = ino("/d/symlink");
    let gone = machine(&before).stat("/d/gone").unwrap().ino.0 as u32;
    let twin = changes.unmount().unwrap();

    let mut words = Words::new(&twin);
    words.inode(new).ranges(new, 0..3).creat(d, new, "new");
    words.ranges(old, 9..14).inode(old).tail();
    words.unlink(d, gone, "gone").link(2, old, "second");
    words.inode(symlink).creat(d, symlink, "symlink");
    words.link(d, long, "longer").unlink(d, long, "long");
    words.ranges(old, 0..14).inode(old).ranges(long, 0..40).inode(long).tail();
    (words.told_on(&before), twin)
}

#[test]
fn files_come_grow_shrink_and_go() {
    let (told, twin) = busy();
    judged(&told, &twin);
}

#[test]
fn a_crash_during_the_replay_finds_either_them_or_what_they_say() {
    let (told, twin) = busy();
    let wanted = Tree::of_machine(&machine(&twin)).unwrap().contents_only();
    let recorder = Recorder::new();
    let limits = Limits { write_cache: true, ..Limits::default() };
    let disk = CrashDisk::new(told.bytes, limits, &recorder, 1);
    Machine::mount_recorded(disk, &Options::default()).unwrap().unmount().unwrap();
    let recording = recorder.take();
    for position in recording.boundaries() {
        for n in 0..4 {
            let keep = Keep::nth(n, position as u64);
            let landing = cut::landing(&recording, position, keep);
            let bytes = cut::disks_after(&recording, &landing).remove(0);
            let at = format!("cut at {position}, {keep:?}");
            let again = Machine::mount(&Image { bytes }).unwrap_or_else(|e| panic!("{at}: {e}"));
            let found = Tree::of_machine(&again).unwrap().contents_only();
            assert!(found.difference(&wanted).is_none(), "{at}: {:?}", found.difference(&wanted));
            again.unmount().unwrap().fsck().unwrap_or_else(|e| panic!("{at}: {e}"));
        }
    }
}

#[test]
fn blocks_go_from_one_file_to_another() {
    let start = machine(&fresh());
    write(&start, "/a", 0, &[1; 20_000]);
    write(&start, "/b", 0, &[2; 1000]);
    let before = start.unmount().unwrap();
    let changes = machine(&before);
    changes.truncate("/a", 16_384).unwrap();
    write(&changes, "/b", 0, &[3; 5120]);
    let twin = changes.unmount().unwrap();
    let (a, b) = (12, 13);
    // The second's new blocks are told to be the first's last ones.
    let places = places(&before, a, 16..20);
    let mut words = Words::new(&twin);
    words.ranges(b, 0..1);
    for (block, place) in &places {
        words.add(b, block - 15, *place as u32);
    }
    words.inode(b).ranges(a, 0..20).inode(a).tail();
    let mut told = words.told_on(&before);
    for place in places.values() {
        told.bytes[*place as usize * BLOCK..][..BLOCK].fill(3);
    }
    let first = self::places(&before, b, 0..1)[&0] as usize;
    told.bytes[first * BLOCK..][..BLOCK].fill(3);
    judged(&told, &twin);
}

#[test]
fn a_torn_fast_commit_and_those_behind_it_are_not_replayed() {
    let before = machine(&fresh()).unmount().unwrap();
    let changes = machine(&before);
    write(&changes, "/one", 0, &[1; 1500]);
    let middle = changes.unmount().unwrap();
    let changes = machine(&middle);
    write(&changes, "/two", 0, &[2; 1500]);
    let twin = changes.unmount().unwrap();
    let mut words = Words::new(&twin);
    words.inode(12).ranges(12, 0..2).creat(2, 12, "one").tail();
    let whole = words.bytes.len();
    words.inode(13).ranges(13, 0..2).creat(2, 13, "two").tail();
    judged(&words.told_on(&before), &twin);
    words.bytes[whole + 8] ^= 1;
    let mounted = machine(&words.told_on(&before)).unmount().unwrap();
    mounted.fsck().unwrap();
    assert_eq!(tree(&mounted), tree(&middle));
    words.bytes[8] ^= 1;
    let mounted = machine(&words.told_on(&before)).unmount().unwrap();
    mounted.fsck().unwrap();
    assert_eq!(tree(&mounted), tree(&before));
}

#[test]
fn directories_come_and_go() {
    let start = machine(&fresh());
    start.mkdir("/full").unwrap();
    start.mkdir("/full/empty").unwrap();
    let before = start.unmount().unwrap();
    let empty = machine(&before).stat("/full/empty").unwrap().ino.0 as u32;
    let changes = machine(&before);
    changes.rmdir("/full/empty").unwrap();
    changes.mkdir("/full/new").unwrap();
    changes.mkdir("/full/new/below").unwrap();
    let ino = |path: &str| changes.stat(path).unwrap().ino.0 as u32;
    let (full, new, below) = (ino("/full"), ino("/full/new"), ino("/full/new/below"));
    let twin = changes.unmount().unwrap();
    let mut words = Words::new(&twin);
    words.unlink(full, empty, "empty").inode(new).creat(full, new, "new");
    words.inode(below).creat(new, below, "below").tail();
    // e2fsck leaves the link counts of the parents to its later passes.
    judged(&words.told_on(&before), &twin);
}

#[test]
fn contradictions_are_refused() {
    let before = machine(&fresh()).unmount().unwrap();
    let changes = machine(&before);
    write(&changes, "/one", 0, &[1; 1500]);
    let twin = changes.unmount().unwrap();
    let refused = |fill: &dyn Fn(&mut Words<'_>)| {
        let mut words = Words::new(&twin);
        fill(&mut words);
        words.tail();
        let told = words.told_on(&before);
        sim::take_log();
        let error = Machine::mount(&told).err();
        assert!(error.is_some(), "{:?}", sim::take_log());
        error.unwrap()
    };
    // Blocks of the file system's own, and of no disk.
    assert_eq!(refused(&|w| w.inode(12).add(12, 0, 1)), Errno::EUCLEAN);
    assert_eq!(refused(&|w| w.inode(12).add(12, 0, 1 << 30)), Errno::EUCLEAN);
    // A directory that is none, and inodes that are none.
    assert_eq!(refused(&|w| w.inode(12).creat(12, 12, "x").add(12, 0, 9000)), Errno::EUCLEAN);
    assert_eq!(refused(&|w| w.creat(8, 12, "x").add(12, 0, 9000)), Errno::EUCLEAN);
    assert_eq!(refused(&|w| w.creat(2, 99_999, "x").add(12, 0, 9000)), Errno::EUCLEAN);
}
