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
//! The variants without checksums are where damage goes deepest: with them a changed block is
//! refused at the door unless the damage hits what no checksum covers.

mod corpus;
mod exercise;
mod mutate;

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
    /// Blocks of an extent tree.
    Extents,
    /// Blocks of pointers to blocks.
    Indirect,
    /// Blocks of directories without an index.
    Directory,
    /// Blocks of a directory with one.
    Htree,
    /// Blocks of extended attributes.
    Xattr,
    /// The blocks of the orphan file.
    Orphans,
}

impl Target {
    /// All of them.
    pub const ALL: [Target; 10] = [
        Target::Superblock,
        Target::Groups,
        Target::Bitmaps,
        Target::Inode,
        Target::Extents,
        Target::Indirect,
        Target::Directory,
        Target::Htree,
        Target::Xattr,
        Target::Orphans,
    ];
}
