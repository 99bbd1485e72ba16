//! What mke2fs can put on a disk: the rows on which the random sequences run.
//!
//! A row is a name, the arguments of mke2fs, debugfs commands for what mke2fs cannot be told, and the
//! size of the disk. Disks are small, so that a sequence fills much of one, and a thousand sequences
//! take minutes.

use crate::image::Image;
use crate::tools::Trouble;

/// One kind of disk.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What is special about it.
    pub name: &'static str,
    /// Arguments of mke2fs.
    pub args: &'static [&'static str],
    /// Commands of debugfs after that.
    pub tune: &'static [&'static str],
    /// Size of the disk.
    pub mib: u64,
}

impl Row {
    /// A fresh image. `garbage`: on a disk that was full of old bytes.
    pub fn image(&self, garbage: bool) -> Result<Image, Trouble> {
        let make = if garbage { Image::mkfs_over_garbage } else { Image::mkfs };
        let image = make(self.mib << 20, self.args)?;
        self.tune.iter().try_fold(image, |image, command| image.changed(command))
    }

    const fn tuned(self, tune: &'static [&'static str]) -> Row {
        Row { tune, ..self }
    }
}

/// A row whose arguments are words.
const fn row(name: &'static str, mib: u64, args: &'static [&'static str]) -> Row {
    Row { name, args, tune: &[], mib }
}

/// An ext4 of 1 KiB blocks with other features.
macro_rules! small {
    ($features:literal) => {
        row(concat!("1k ", $features), 8, &["-b", "1024", "-O", $features])
    };
    ($features:literal, $($more:literal),+) => {
        row(concat!("1k ", $features $(, " ", $more)+), 8, &["-b", "1024", "-O", $features, $($more),+])
    };
}

/// The same of 4 KiB blocks.
macro_rules! large {
    ($features:literal) => {
        row(concat!("4k ", $features), 12, &["-b", "4096", "-O", $features])
    };
    ($features:literal, $($more:literal),+) => {
        row(concat!("4k ", $features $(, " ", $more)+), 12, &["-b", "4096", "-O", $features, $($more),+])
    };
}

/// All rows.
pub const MATRIX: &[Row] = &[
    row("1k default", 8, &["-b", "1024"]),
    row("2k default", 8, &["-b", "2048"]),
    row("4k default", 12, &["-b", "4096"]),
    small!("^has_journal"),
    small!("^metadata_csum"),
    large!("^metadata_csum,^64bit"),
    small!("^64bit"),
    row("2k ^dir_index", 8, &["-b", "2048", "-O", "^dir_index"]),
    large!("^has_journal"),
    small!("^has_journal,^flex_bg,^resize_inode"),
    large!("^filetype,^dir_nlink,large_dir"),
    small!("uninit_bg,^metadata_csum"),
    large!("uninit_bg,^metadata_csum,^64bit", "-g", "1024"),
    small!("meta_bg,^resize_inode", "-g", "2048"),
    row("2k sparse_super2,metadata_csum_seed", 8, &["-b", "2048", "-O", "sparse_super2,metadata_csum_seed"]),
    small!("^sparse_super,^flex_bg,^resize_inode", "-g", "2048"),
    row("1k ext2", 8, &["-t", "ext2", "-b", "1024"]),
    row("4k ext2", 12, &["-t", "ext2", "-b", "4096"]),
    row("2k ext3", 8, &["-t", "ext3", "-b", "2048"]),
    small!("^extent,^64bit"),
    row("1k small groups, few inodes", 8, &["-b", "1024", "-g", "1024", "-N", "512"]),
    row("1k inodes of 128 bytes", 8, &["-b", "1024", "-I", "128"]),
    row("4k inodes of 128 bytes", 12, &["-b", "4096", "-I", "128"]),
    row("1k inodes of 1024 bytes", 8, &["-b", "1024", "-I", "1024"]),
    row("4k inodes of 1024 bytes", 12, &["-b", "4096", "-I", "1024"]),
    small!("^extra_isize,^huge_file,^large_file"),
    small!("inline_data"),
    large!("inline_data"),
    small!("ea_inode,large_dir"),
    large!("ea_inode,inline_data", "-I", "512"),
    small!("orphan_file"),
    large!("orphan_file,^metadata_csum"),
    small!("stable_inodes,^dir_nlink,^ext_attr"),
    row("1k hash legacy, signed", 8, &["-b", "1024"]).tuned(&["ssv def_hash_version 0", "ssv flags 1"]),
    row("1k hash legacy, unsigned", 8, &["-b", "1024"]).tuned(&["ssv def_hash_version 0", "ssv flags 2"]),
    row("1k hash half_md4, unsigned", 8, &["-b", "1024"]).tuned(&["ssv def_hash_version 1", "ssv flags 2"]),
    row("1k hash tea, signed", 8, &["-b", "1024"]).tuned(&["ssv def_hash_version 2", "ssv flags 1"]),
    row("1k hash tea, unsigned", 8, &["-b", "1024"]).tuned(&["ssv def_hash_version 2", "ssv flags 2"]),
    row("1k ext3", 8, &["-t", "ext3", "-b", "1024"]),
    row("4k ext3", 12, &["-t", "ext3", "-b", "4096"]),
    small!("^extent,^64bit,^flex_bg"),
    small!("inline_data,^metadata_csum", "-I", "1024"),
    small!("project"),
    large!("project,inline_data,orphan_file"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_can_be_made_and_is_clean() {
        for row in MATRIX {
            for garbage in [false, true] {
                let image = row.image(garbage).unwrap_or_else(|t| panic!("{}: {t}", row.name));
                image.fsck().unwrap_or_else(|t| panic!("{}: {t}", row.name));
            }
        }
    }
}
