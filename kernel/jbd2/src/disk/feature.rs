//! Feature words of the journal's superblock.
//!
//! A journal with an incompat (or ro_compat) feature that is not known here is refused by name: its log
//! cannot be read. Who does not know a compat feature may go on.
//!
//! Source: the kernel's ext4 documentation, "Journal (jbd2)", tables of the features.

use core::fmt;

use bitflags::bitflags;

bitflags! {
    /// `s_feature_compat`.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Compat: u32 {
        /// Commit blocks bear a checksum of the transaction (v1).
        const CHECKSUM = 0x1;
    }
}

bitflags! {
    /// `s_feature_incompat`.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Incompat: u32 {
        /// There are revoke blocks.
        const REVOKE = 0x1;
        /// Block numbers have 64 bits.
        const BIT64 = 0x2;
        /// The commit block may have reached the disk before what it commits.
        const ASYNC_COMMIT = 0x4;
        /// Every block has a checksum, of 16 bits in the tags.
        const CSUM_V2 = 0x8;
        /// Every block has a checksum, of 32 bits in the tags.
        const CSUM_V3 = 0x10;
        /// The last blocks of the journal are the area of fast commits.
        const FAST_COMMIT = 0x20;
    }
}

/// dumpe2fs's name of one incompat bit.
fn incompat_name(bit: u32) -> Option<&'static str> {
    Some(match Incompat::from_bits(bit)? {
        Incompat::REVOKE => "journal_incompat_revoke",
        Incompat::BIT64 => "journal_64bit",
        Incompat::ASYNC_COMMIT => "journal_async_commit",
        Incompat::CSUM_V2 => "journal_checksum_v2",
        Incompat::CSUM_V3 => "journal_checksum_v3",
        Incompat::FAST_COMMIT => "fast_commit",
        _ => return None,
    })
}

/// The features of a word by name, and by number those that have none (as e2fsprogs calls them).
pub(crate) struct Names(pub u32);

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, at) in (0..u32::BITS).filter(|at| self.0 >> at & 1 == 1).enumerate() {
            let gap = if i == 0 { "" } else { " " };
            match incompat_name(1 << at) {
                Some(name) => write!(f, "{gap}{name}")?,
                None => write!(f, "{gap}FEATURE_I{at}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn features_have_names() {
        assert_eq!(Names(0x12).to_string(), "journal_64bit journal_checksum_v3");
        assert_eq!(Names(0x8000_0020).to_string(), "fast_commit FEATURE_I31");
        assert_eq!(Names(0).to_string(), "");
    }
}
