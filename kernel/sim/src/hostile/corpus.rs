//! The images that are damaged, and where on them what lies.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::seal::{Seal, Sealer};
use super::{Target, age, mutate};
use crate::image::Image;
use crate::random::Rng;
use crate::tools::Trouble;

/// A kind of disk to damage; blocks are of 1 KiB.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// What is special about it.
    pub name: &'static str,
    /// Arguments of mke2fs.
    pub args: &'static [&'static str],
}

/// All of them.
pub const VARIANTS: &[Variant] = &[
    Variant { name: "no checksums", args: &["-O", "^metadata_csum,^has_journal"] },
    Variant {
        name: "no checksums, inodes of 128 bytes, no index",
        args: &["-I", "128", "-O", "^metadata_csum,^64bit,^dir_index,^has_journal"],
    },
    Variant { name: "checksums", args: &["-O", "^has_journal"] },
    Variant { name: "orphan file", args: &["-O", "orphan_file,^metadata_csum", "-J", "size=1"] },
    Variant {
        name: "orphan file, checksums",
        args: &["-O", "orphan_file,metadata_csum_seed", "-J", "size=1"],
    },
    Variant { name: "ext2", args: &["-t", "ext2"] },
    Variant {
        name: "uninit_bg, small groups",
        args: &["-O", "uninit_bg,^metadata_csum,^has_journal", "-g", "512"],
    },
    Variant { name: "inline data", args: &["-O", "inline_data,^has_journal"] },
    Variant {
        name: "inline data, large inodes, values in inodes",
        args: &["-I", "512", "-O", "inline_data,ea_inode,project,^has_journal"],
    },
    Variant { name: DEEP, args: &["-O", "large_dir,^has_journal"] },
];

/// The variant whose directory has so many long names that its index has nodes.
const DEEP: &str = "a deep index";
const BLOCK: usize = 1024;

/// An image and the places of its structures.
pub struct Subject {
    /// Undamaged; two files have no name any more and wait for the mount to free them.
    pub image: Image,
    sealer: Sealer,
    places: BTreeMap<Target, Vec<Place>>,
}

/// Where a structure lies.
#[derive(Clone)]
struct Place {
    bytes: Range<usize>,
    /// What is sealed, and how: the whole structure where `bytes` is a part of it.
    sealed: Range<usize>,
    seal: Seal,
}

impl Subject {
    /// Makes one.
    pub fn new(variant: &Variant) -> Result<Subject, Trouble> {
        let image = age::aged(&made(variant)?)?;
        let stats = image.debugfs("stats")?;
        let groups = stats.matches("block bitmap at ").count();
        let size =
            usize::from(u16::from_le_bytes([image.bytes[1024 + 254], image.bytes[1024 + 255]])).max(32);
        let table = 2 * BLOCK..2 * BLOCK + groups * size;
        let sealer = Sealer::new(&image.bytes, table.clone(), size);
        let mut subject = Subject { image, sealer, places: BTreeMap::new() };
        subject.add(Target::Groups, table, Seal::Groups);
        subject.find_tables(&stats)?;
        subject.find_files()?;
        Ok(subject)
    }

    /// Whether there is anything of the kind on it.
    pub fn has(&self, target: Target) -> bool {
        self.places.contains_key(&target)
    }

    /// The image with damage to one kind of structure; mostly its checksums are right.
    pub fn mutant(&self, target: Target, rng: &mut Rng) -> Image {
        let mut image = self.image.clone();
        let Some(places) = self.places.get(&target) else { return image };
        let ranges: Vec<_> = places.iter().map(|place| place.bytes.clone()).collect();
        mutate::damage(&mut image.bytes, &ranges, rng);
        if !rng.one_in(8) {
            self.seal(&mut image, places);
        }
        image
    }

    fn seal(&self, image: &mut Image, places: &[Place]) {
        let sound = &self.image.bytes;
        for place in places {
            if image.bytes[place.bytes.clone()] != sound[place.bytes.clone()] {
                self.sealer.seal(&mut image.bytes, sound, &place.sealed, place.seal);
            }
        }
    }

    /// Seals what is undamaged: nothing may change.
    #[cfg(test)]
    fn resealed(&self) -> Image {
        let mut image = self.image.clone();
        for place in self.places.values().flatten() {
            self.sealer.seal(&mut image.bytes, &self.image.bytes, &place.sealed, place.seal);
        }
        image
    }

    fn add(&mut self, target: Target, bytes: Range<usize>, seal: Seal) {
        self.add_part(target, bytes.clone(), bytes, seal);
    }

    fn add_part(&mut self, target: Target, bytes: Range<usize>, sealed: Range<usize>, seal: Seal) {
        if sealed.end <= self.image.bytes.len() {
            self.places.entry(target).or_default().push(Place { bytes, sealed, seal });
        }
    }

    fn add_block(&mut self, target: Target, number: usize, seal: Seal) {
        self.add(target, number * BLOCK..(number + 1) * BLOCK, seal);
    }

    fn find_tables(&mut self, stats: &str) -> Result<(), Trouble> {
        self.add(Target::Superblock, 1024..2048, Seal::Superblock);
        for (group, number) in (0..).zip(numbers_after(stats, "block bitmap at ")) {
            self.add_block(Target::Bitmaps, number, Seal::BlockBitmap(group));
        }
        for (group, number) in (0..).zip(numbers_after(stats, "inode bitmap at ")) {
            self.add_block(Target::Bitmaps, number, Seal::InodeBitmap(group));
        }
        for inode in [2, 7, 8, 11] {
            self.find_inode(&format!("<{inode}>"), &[Target::Inode])?;
        }
        self.find_values()?;
        if let Some(&inode) = numbers_after(stats, "Orphan file inode:").first() {
            let path = format!("<{inode}>");
            let ino = self.find_inode(&path, &[Target::Inode])?;
            for number in self.blocks(&path)? {
                self.add_block(Target::Orphans, number, Seal::Orphans(ino));
            }
        }
        Ok(())
    }

    /// The inodes of values that have one, in the first group.
    fn find_values(&mut self) -> Result<(), Trouble> {
        const EA_INODE: u8 = 0x20;
        let size = usize::from(self.image.inode_size());
        let first = self.sealer.inode(11).map_or(0, |place| place.start);
        let values =
            (12..64).filter(|ino| self.image.bytes[first + (ino - 11) * size + 0x22] & EA_INODE != 0);
        for ino in values.collect::<Vec<_>>() {
            self.find_inode(&format!("<{ino}>"), &[Target::Xattr])?;
        }
        Ok(())
    }

    fn find_files(&mut self) -> Result<(), Trouble> {
        for path in [
            "/",
            "/d",
            "/d/sub",
            "/d/sub/f",
            "/holes",
            "/reserved",
            "/tiny",
            "/small",
            "/small/tiny",
            "/fast",
            "/slow",
            "/d/name 7 of the many that an index wants",
        ] {
            if self.image.debugfs(&format!("imap \"{path}\""))?.contains("located at") {
                self.find_file(path)?;
            }
        }
        Ok(())
    }

    fn find_file(&mut self, path: &str) -> Result<(), Trouble> {
        let ino = self.find_inode(path, &[Target::Inode, Target::Body])?;
        let stat = self.image.debugfs(&format!("stat \"{path}\""))?;
        for number in numbers_after(&stat, "File ACL: ").into_iter().filter(|&number| number != 0) {
            self.add_block(Target::Xattr, number, Seal::Xattr);
        }
        for mark in ["(ETB0):", "(ETB1):"] {
            for number in numbers_after(&stat, mark) {
                self.add_block(Target::Extents, number, Seal::Extents(ino));
            }
        }
        for mark in ["(IND):", "(DIND):", "(TIND):"] {
            for number in numbers_after(&stat, mark) {
                self.add_block(Target::Indirect, number, Seal::None);
            }
        }
        if !stat.contains("Type: directory") {
            return Ok(());
        }
        let indexed = self.image.debugfs(&format!("htree \"{path}\""))?.contains("Root node dump");
        for number in self.blocks(path)? {
            if indexed {
                let seal = Sealer::of_indexed(&self.image.bytes, number * BLOCK, ino);
                self.add_block(Target::Htree, number, seal);
            } else {
                self.add_block(Target::Directory, number, Seal::Leaf(ino));
            }
        }
        Ok(())
    }

    /// Finds an inode by path or number. Its number.
    fn find_inode(&mut self, path: &str, targets: &[Target]) -> Result<u32, Trouble> {
        let text = self.image.debugfs(&format!("imap \"{path}\""))?;
        let trouble = || Trouble(format!("imap {path}: {text}"));
        let hex = text.split("offset 0x").nth(1).ok_or_else(trouble)?.trim();
        let offset = usize::from_str_radix(hex, 16).map_err(|_| trouble())?;
        let block = *numbers_after(&text, "located at block ").first().ok_or_else(trouble)?;
        let ino = *numbers_after(&text, "Inode ").first().ok_or_else(trouble)? as u32;
        let begin = block * BLOCK + offset;
        let whole = begin..begin + usize::from(self.image.inode_size());
        self.sealer.add_inode(ino, whole.clone());
        for &target in targets {
            let seal = Seal::Inode(ino);
            if target == Target::Body {
                self.add_part(target, begin + 0x28..begin + 0x64, whole.clone(), seal);
                if whole.len() > 128 {
                    self.add_part(target, begin + 0xa0..whole.end, whole.clone(), seal);
                }
            } else {
                self.add(target, whole.clone(), seal);
            }
        }
        Ok(ino)
    }

    fn blocks(&self, path: &str) -> Result<Vec<usize>, Trouble> {
        let text = self.image.debugfs(&format!("blocks \"{path}\""))?;
        Ok(text.split_whitespace().filter_map(|number| number.parse().ok()).collect())
    }
}

/// The number after each mark.
fn numbers_after(text: &str, mark: &str) -> Vec<usize> {
    let digits = |part: &str| part.trim_start().chars().take_while(char::is_ascii_digit).collect::<String>();
    text.split(mark).skip(1).filter_map(|part| digits(part).parse().ok()).collect()
}

fn tree(root: &Path, deep: bool) -> std::io::Result<()> {
    fs::create_dir_all(root.join("d/sub"))?;
    fs::create_dir(root.join("small"))?;
    let name = |i: usize| root.join(format!("d/name {i} of the many that an index wants"));
    for i in 0..60 {
        fs::write(name(i), "")?;
    }
    for i in (0..).take(if deep { 520 } else { 0 }) {
        fs::hard_link(name(0), root.join(format!("d/{i:-^220}")))?;
    }
    fs::write(root.join("d/sub/f"), Rng::new(1).bytes(5000))?;
    fs::write(root.join("tiny"), Rng::new(3).bytes(90))?;
    fs::write(root.join("small/tiny"), Rng::new(4).bytes(30))?;
    symlink("d/sub", root.join("fast"))?;
    symlink("x".repeat(200), root.join("slow"))?;
    for name in ["doomed", "cut"] {
        fs::write(root.join(name), Rng::new(2).bytes(20_000))?;
    }
    // Every second block, so that the extents need blocks of their own.
    let mut holes = vec![0; 60 * 2048];
    for at in (0..holes.len()).step_by(2048) {
        holes[at..at + 1024].fill(1);
    }
    fs::write(root.join("holes"), holes)
}

fn made(variant: &Variant) -> Result<Image, Trouble> {
    let dir = tempfile::tempdir()?;
    tree(dir.path(), variant.name == DEEP)?;
    let mut all = vec!["-b", "1024", "-N", "128"];
    all.extend(variant.args);
    let image = Image::mkfs_with(3 << 20, &all, dir.path())?;
    let long = "v".repeat(150);
    let mut commands = vec![
        "ea_set /tiny user.s tiny".to_owned(),
        "ea_set /d/sub/f user.short value".to_owned(),
        format!("ea_set /d/sub/f user.long {long}"),
        format!("ea_set /d/sub/f user.longer {long}{long}"),
        format!("ea_set /d/sub trusted.of_a_directory {long}{long}"),
    ];
    if variant.args.iter().any(|arg| arg.contains("ea_inode")) {
        commands.push(format!("ea_set /d/sub/f user.huge {}", long.repeat(20)));
    }
    let image = commands.iter().try_fold(image, |image, command| image.changed(command))?;
    // Also counts what debugfs forgets to.
    image.optimized()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_on_what_is_sound_changes_nothing() {
        for variant in VARIANTS {
            let subject = Subject::new(variant).unwrap_or_else(|t| panic!("{}: {t}", variant.name));
            let resealed = subject.resealed();
            for (target, places) in &subject.places {
                for Place { bytes, seal, .. } in places {
                    let same = resealed.bytes[bytes.clone()] == subject.image.bytes[bytes.clone()];
                    assert!(same, "{}: {target:?}, {seal:?} at {:#x}", variant.name, bytes.start);
                }
            }
        }
    }

    #[test]
    fn the_deep_index_has_nodes() {
        let deep = VARIANTS.iter().find(|v| v.name == DEEP).unwrap();
        let subject = Subject::new(deep).unwrap();
        let seals = subject.places[&Target::Htree].iter().map(|place| place.seal);
        let nodes = seals.filter(|seal| matches!(seal, Seal::Index(_, 8))).count();
        assert!(nodes > 1, "{nodes}");
    }
}
