//! The images that are damaged, and where on them what lies.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::os::unix::fs::symlink;
use std::path::Path;

use vfs::OpenFlags;

use super::{Target, mutate};
use crate::image::Image;
use crate::machine::Machine;
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
    Variant { name: "ext2", args: &["-t", "ext2"] },
    Variant {
        name: "uninit_bg, small groups",
        args: &["-O", "uninit_bg,^metadata_csum,^has_journal", "-g", "512"],
    },
];

const BLOCK: usize = 1024;
/// Directory entries so long that an index pays.
const NAMES: usize = 60;

/// An image and the places of its structures.
pub struct Subject {
    /// Undamaged; two files have no name any more and wait for the mount to free them.
    pub image: Image,
    places: BTreeMap<Target, Vec<Range<usize>>>,
}

impl Subject {
    /// Makes one.
    pub fn new(variant: &Variant) -> Result<Subject, Trouble> {
        let image = with_orphans(&made(variant.args)?)?;
        let mut subject = Subject { image, places: BTreeMap::new() };
        subject.find_tables()?;
        subject.find_files()?;
        Ok(subject)
    }

    /// Whether there is anything of the kind on it.
    pub fn has(&self, target: Target) -> bool {
        self.places.contains_key(&target)
    }

    /// The image with damage to one kind of structure.
    pub fn mutant(&self, target: Target, rng: &mut Rng) -> Image {
        let mut image = self.image.clone();
        if let Some(places) = self.places.get(&target) {
            mutate::damage(&mut image.bytes, places, rng);
        }
        image
    }

    fn add(&mut self, target: Target, place: Range<usize>) {
        if place.end <= self.image.bytes.len() {
            self.places.entry(target).or_default().push(place);
        }
    }

    fn add_block(&mut self, target: Target, number: usize) {
        self.add(target, number * BLOCK..(number + 1) * BLOCK);
    }

    fn find_tables(&mut self) -> Result<(), Trouble> {
        self.add(Target::Superblock, 1024..2048);
        let stats = self.image.debugfs("stats")?;
        let groups = stats.matches("block bitmap at ").count();
        let size =
            usize::from(u16::from_le_bytes([self.image.bytes[1024 + 254], self.image.bytes[1024 + 255]]));
        self.add(Target::Groups, 2 * BLOCK..2 * BLOCK + groups * size.max(32));
        for mark in ["block bitmap at ", "inode bitmap at "] {
            for number in numbers_after(&stats, mark) {
                self.add_block(Target::Bitmaps, number);
            }
        }
        let orphans = numbers_after(&stats, "Orphan file inode:").first().copied();
        for inode in [2, 7, 8, 11].into_iter().chain(orphans) {
            self.find_inode(&format!("<{inode}>"))?;
        }
        if let Some(inode) = orphans {
            for number in self.blocks(&format!("<{inode}>"))? {
                self.add_block(Target::Orphans, number);
            }
        }
        Ok(())
    }

    fn find_files(&mut self) -> Result<(), Trouble> {
        let indexed = self.image.debugfs("stat /d")?.contains("Flags: 0x81000")
            || self.image.debugfs("htree /d").is_ok_and(|text| text.contains("Root node dump"));
        for path in [
            "/",
            "/d",
            "/d/sub",
            "/d/sub/f",
            "/holes",
            "/fast",
            "/slow",
            "/d/name 7 of the many that an index wants",
        ] {
            self.find_inode(path)?;
            let stat = self.image.debugfs(&format!("stat \"{path}\""))?;
            let directory = stat.contains("Type: directory");
            for number in numbers_after(&stat, "File ACL: ").into_iter().filter(|&number| number != 0) {
                self.add_block(Target::Xattr, number);
            }
            for mark in ["(ETB0):", "(ETB1):"] {
                for number in numbers_after(&stat, mark) {
                    self.add_block(Target::Extents, number);
                }
            }
            for mark in ["(IND):", "(DIND):", "(TIND):"] {
                for number in numbers_after(&stat, mark) {
                    self.add_block(Target::Indirect, number);
                }
            }
            let target = if path == "/d" && indexed { Target::Htree } else { Target::Directory };
            for number in self.blocks(path)?.into_iter().filter(|_| directory) {
                self.add_block(target, number);
            }
        }
        Ok(())
    }

    fn find_inode(&mut self, path: &str) -> Result<(), Trouble> {
        let text = self.image.debugfs(&format!("imap \"{path}\""))?;
        let offset =
            text.split("offset 0x").nth(1).map(str::trim).and_then(|hex| usize::from_str_radix(hex, 16).ok());
        if let (Some(&block), Some(offset)) = (numbers_after(&text, "located at block ").first(), offset) {
            let begin = block * BLOCK + offset;
            self.add(Target::Inode, begin..begin + usize::from(self.image.inode_size()));
        }
        Ok(())
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

fn tree(root: &Path) -> std::io::Result<()> {
    fs::create_dir_all(root.join("d/sub"))?;
    for i in 0..NAMES {
        fs::write(root.join(format!("d/name {i} of the many that an index wants")), "")?;
    }
    fs::write(root.join("d/sub/f"), Rng::new(1).bytes(5000))?;
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

fn made(args: &[&str]) -> Result<Image, Trouble> {
    let dir = tempfile::tempdir()?;
    tree(dir.path())?;
    let mut all = vec!["-b", "1024", "-N", "128"];
    all.extend(args);
    let image = Image::mkfs_with(3 << 20, &all, dir.path())?.optimized()?;
    let long = "v".repeat(150);
    let commands = [
        "ea_set /d/sub/f user.short value".to_owned(),
        format!("ea_set /d/sub/f user.long {long}"),
        format!("ea_set /d/sub/f user.longer {long}{long}"),
        format!("ea_set /d/sub trusted.of_a_directory {long}{long}"),
    ];
    commands.iter().try_fold(image, |image, command| image.changed(command))
}

/// Two files lose their names while they are open, and the power goes. A disk that Quill only reads
/// stays as it is.
fn with_orphans(image: &Image) -> Result<Image, Trouble> {
    let trouble = |errno| Trouble(format!("the subject of the damage: {errno}"));
    let m = Machine::mount(image).map_err(trouble)?;
    if m.vfs_mount().superblock().read_only() {
        m.give_up();
        return Ok(image.clone());
    }
    let mut open = Vec::new();
    for path in ["/doomed", "/cut"] {
        open.push(m.open(path, OpenFlags::RDWR, 0).map_err(trouble)?);
        m.unlink(path).map_err(trouble)?;
    }
    m.sync().map_err(trouble)?;
    let image = m.snapshot();
    drop(open);
    m.give_up();
    Ok(image)
}
