//! Mount options: the comma list of mount(2) and `rootflags=`.
//!
//! What Quill does not do is refused by name, not passed over; what asks for exactly what Quill does
//! anyway is taken. Source: ext4 documentation, "Options".

use alloc::string::String;

use base::{Errno, Result};

use crate::geometry::ErrorPolicy;

/// The options of a mount.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// `errors=`; None: what the superblock says.
    pub errors: Option<ErrorPolicy>,
    /// `grpid`: new files take their directory's group.
    pub bsd_groups: Option<bool>,
    /// `minixdf`: statfs counts the overhead as blocks.
    pub minix_df: bool,
    /// `norecovery`: a journal that needs replay is no obstacle to a read-only mount.
    pub no_recovery: bool,
    /// `noacl`: no access control lists.
    pub no_acl: bool,
    /// `nouser_xattr`: no attributes named `user.`.
    pub no_user_xattr: bool,
}

/// Options that ask for what Quill does anyway.
const TAKEN: [&str; 12] = [
    "defaults",
    "rw",
    "ro",
    "relatime",
    "noatime",
    "nodelalloc",
    "nodiscard",
    "barrier",
    "barrier=1",
    "bsddf",
    "noload",
    "data=writeback",
];

impl Options {
    /// Reads the comma list. EINVAL, with a line in the log that names the option.
    pub fn parse(text: &str) -> Result<Options> {
        let mut options = Options::default();
        for word in text.split(',').map(str::trim).filter(|w| !w.is_empty()) {
            options.take(word)?;
        }
        Ok(options)
    }

    fn take(&mut self, word: &str) -> Result<()> {
        match word {
            "errors=continue" => self.errors = Some(ErrorPolicy::Continue),
            "errors=remount-ro" => self.errors = Some(ErrorPolicy::RemountReadOnly),
            "errors=panic" => self.errors = Some(ErrorPolicy::Panic),
            "grpid" | "bsdgroups" => self.bsd_groups = Some(true),
            "nogrpid" | "sysvgroups" => self.bsd_groups = Some(false),
            "minixdf" => self.minix_df = true,
            "norecovery" => self.no_recovery = true,
            "acl" => self.no_acl = false,
            "noacl" => self.no_acl = true,
            "user_xattr" => self.no_user_xattr = false,
            "nouser_xattr" => self.no_user_xattr = true,
            _ if TAKEN.contains(&word) => {
                if word == "noload" {
                    self.no_recovery = true;
                }
            }
            _ => {
                log::error!("EXT4-fs: mount option \"{word}\" is not supported");
                return Err(Errno::EINVAL);
            }
        }
        Ok(())
    }

    /// As /proc/mounts shows them, each with a leading comma.
    pub fn text(&self) -> String {
        let mut out = String::new();
        out.push_str(match self.errors {
            Some(ErrorPolicy::Continue) => ",errors=continue",
            Some(ErrorPolicy::RemountReadOnly) => ",errors=remount-ro",
            Some(ErrorPolicy::Panic) => ",errors=panic",
            None => "",
        });
        if self.bsd_groups == Some(true) {
            out.push_str(",grpid");
        }
        if self.minix_df {
            out.push_str(",minixdf");
        }
        if self.no_user_xattr {
            out.push_str(",nouser_xattr");
        }
        if self.no_acl {
            out.push_str(",noacl");
        }
        if self.no_recovery {
            out.push_str(",norecovery");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_options() {
        let o = Options::parse("rw,errors=remount-ro,grpid,,minixdf").unwrap();
        assert_eq!(o.text(), ",errors=remount-ro,grpid,minixdf");
        assert_eq!(Options::parse("").unwrap(), Options::default());
    }

    #[test]
    fn what_is_not_done_is_refused() {
        for word in ["data=journal", "data=ordered", "delalloc", "discard", "usrquota", "x"] {
            assert_eq!(Options::parse(word), Err(Errno::EINVAL), "{word}");
        }
    }
}
