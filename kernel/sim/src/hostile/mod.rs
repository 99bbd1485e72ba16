//! Hostile disks: bytes are changed where a kernel believes them, and everything is tried. It works
//! or it is an error; it is never a panic and never endless.
//!
//! # How to use it
//! A [`Subject`] is an image with something of everything on it, made by e2fsprogs, and the places of
//! its structures. [`Subject::mutant`] damages those of one [`Target`]; [`exercise`] mounts what came
//! out and does everything to it that a program may.
//!
//! ```no_run
//! use sim::{Rng, hostile::{Subject, Target, VARIANTS, exercise}};
//! let subject = Subject::new(&VARIANTS[0]).unwrap();
//! exercise(&subject.mutant(Target::Inode, &mut Rng::new(1)));
//! ```
//!
//! # How deep it goes
//! Most mutants get right checksums again (`seal.rs`): the damage is then seen by what is behind the
//! checksum; the others show that the checksum is looked at. The damage is made by structure and from a
//! seed, with no feedback from coverage: that needs a compiler that Quill is not built with.

mod age;
mod corpus;
mod exercise;
mod mutate;
mod seal;

pub use corpus::{Subject, VARIANTS, Variant};
pub use exercise::exercise;

/// What is damaged.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Target {
    /// The superblock's 1024 bytes.
    Superblock,
    /// The group descriptors.
    Groups,
    /// Block and inode bitmaps.
    Bitmaps,
    /// Inodes of the tree, the root's and the reserved ones.
    Inode,
    /// What an inode holds besides its fields: the map's root or content, attributes.
    Body,
    /// Blocks of an extent tree.
    Extents,
    /// Blocks of pointers to blocks.
    Indirect,
    /// Blocks of directories without an index.
    Directory,
    /// Blocks of a directory with one.
    Htree,
    /// Blocks of extended attributes, and inodes that hold a value.
    Xattr,
    /// The blocks of the orphan file.
    Orphans,
}

impl Target {
    /// All of them.
    pub const ALL: [Target; 11] = [
        Target::Superblock,
        Target::Groups,
        Target::Bitmaps,
        Target::Inode,
        Target::Body,
        Target::Extents,
        Target::Indirect,
        Target::Directory,
        Target::Htree,
        Target::Xattr,
        Target::Orphans,
    ];
}
