//! Access control lists, as ext4 stores them: a short form of the attribute.
//!
//! ```text
//!   version 1, 4 bytes | tag, perm | tag, perm, id | …     the id only for named users and groups
//! ```
//! A list is the attribute of name index 2 (access) or 3 (default), with an empty rest of the name.
//! What was read is kept with the inode ([`AclCache`]), a list's absence too, since every permission
//! check of who is not the owner asks.
//!
//! # Locking
//! The cache is a spin lock for the length of a clone. A list is changed under `i_rwsem` held alone;
//! who reads meanwhile may keep the old one for that read, but not in the cache: the generation tells.
//!
//! Source: ext4 documentation, "POSIX ACLs"; acl(5).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use base::{Errno, Result};
use sync::SpinLock;
use vfs::acl::{Acl, AclKind, Entry, Tag};
use vfs::xattr::XattrFlags;
use vfs::{FileType, S_IALLUGO};

use crate::inode::{Node, Touch};
use crate::journal::credits;
use crate::xattr::name::acl_index;

/// `a_version`.
const VERSION: u32 = 1;

/// The lists of an inode, as far as they were looked at.
#[derive(Default)]
pub struct AclCache(SpinLock<Cached>);

#[derive(Default)]
struct Cached {
    /// Counts changes.
    generation: u64,
    /// Access and default; the outer None is "not looked yet".
    lists: [Option<Option<Arc<Acl>>>; 2],
}

fn slot(kind: AclKind) -> usize {
    usize::from(kind == AclKind::Default)
}

impl AclCache {
    /// What is known of a list, and the generation to [`AclCache::fill`] it with.
    fn get(&self, kind: AclKind) -> (Option<Option<Arc<Acl>>>, u64) {
        let cached = self.0.lock();
        (cached.lists[slot(kind)].clone(), cached.generation)
    }

    /// Keeps what was read, unless it has changed since.
    fn fill(&self, kind: AclKind, acl: Option<Arc<Acl>>, generation: u64) {
        let mut cached = self.0.lock();
        if cached.generation == generation {
            cached.lists[slot(kind)] = Some(acl);
        }
    }

    /// There are none.
    pub fn note_none(&self) {
        self.0.lock().lists = [Some(None), Some(None)];
    }

    /// A list has changed.
    fn set(&self, kind: AclKind, acl: Option<Arc<Acl>>) {
        let mut cached = self.0.lock();
        cached.generation += 1;
        cached.lists[slot(kind)] = Some(acl);
    }
}

/// Why a stored list is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum AclError {
    Version,
    Short,
    Tag(u16),
    Order,
}

impl fmt::Display for AclError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AclError::Version => f.write_str("a_version of the access control list is not 1"),
            AclError::Short => f.write_str("the access control list ends in an entry"),
            AclError::Tag(tag) => write!(f, "e_tag {tag:#x} of the access control list"),
            AclError::Order => f.write_str("the access control list's entries do not make one"),
        }
    }
}

fn decode(mut bytes: &[u8]) -> core::result::Result<Acl, AclError> {
    let mut take = |n: usize| {
        let (head, rest) = bytes.split_at_checked(n).ok_or(AclError::Short)?;
        bytes = rest;
        Ok((head, rest.is_empty()))
    };
    let (version, mut done) = take(4)?;
    if version != VERSION.to_le_bytes() {
        return Err(AclError::Version);
    }
    let mut entries = Vec::new();
    while !done {
        let (head, last) = take(4)?;
        let tag = u16::from_le_bytes([head[0], head[1]]);
        let perm = u16::from_le_bytes([head[2], head[3]]);
        done = last;
        let mut id = 0;
        if Tag::from_number(tag, 0).ok_or(AclError::Tag(tag))?.number().1.is_some() {
            let (raw, last) = take(4)?;
            id = u32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]);
            done = last;
        }
        entries.extend(Tag::from_number(tag, id).map(|tag| Entry { tag, perm }));
    }
    Acl::validate(entries).map_err(|_| AclError::Order)
}

fn encode(acl: &Acl) -> Vec<u8> {
    let mut bytes = VERSION.to_le_bytes().to_vec();
    for entry in acl.entries() {
        let (tag, id) = entry.tag.number();
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&entry.perm.to_le_bytes());
        bytes.extend(id.into_iter().flat_map(u32::to_le_bytes));
    }
    bytes
}

impl Node {
    /// A list of this inode. EOPNOTSUPP under the option noacl; EUCLEAN, EIO.
    pub fn acl(&self, kind: AclKind) -> Result<Option<Arc<Acl>>> {
        if self.fs().no_acl() {
            return Err(Errno::EOPNOTSUPP);
        }
        if self.kind() == FileType::Symlink
            || (kind == AclKind::Default && self.kind() != FileType::Directory)
        {
            return Ok(None);
        }
        let (known, generation) = self.acls.get(kind);
        if let Some(acl) = known {
            return Ok(acl);
        }
        let acl = match self.xattr(acl_index(kind), b"")? {
            Some(bytes) => Some(Arc::new(decode(&bytes).map_err(|e| self.corrupt(e))?)),
            None => None,
        };
        self.acls.fill(kind, acl.clone(), generation);
        Ok(acl)
    }

    /// Sets or takes away a list, and the mode with it. The caller holds `rwsem` alone. ENOSPC.
    pub fn set_acl(&self, kind: AclKind, acl: Option<Acl>, mode: Option<u32>) -> Result<()> {
        let bytes = acl.as_ref().map(encode);
        self.fs().transact(credits::setattr(), || {
            self.set_xattr(acl_index(kind), b"", bytes.as_deref(), XattrFlags::empty())?;
            if let Some(mode) = mode {
                // 12 bits: they fit 16.
                self.with_meta(|m| m.mode = (m.mode & !(S_IALLUGO as u16)) | (mode & S_IALLUGO) as u16);
                self.touch(Touch::Changed);
                self.mark_dirty();
            }
            Ok(())
        })?;
        self.acls.set(kind, acl.map(Arc::new));
        Ok(())
    }

    /// Gives a new inode in `dir` what the directory's default list says (`ext4_init_acl`): its lists,
    /// and the mode cut to them. ENOSPC.
    pub(crate) fn inherit_acl(&self, dir: &Node) -> Result<()> {
        if self.kind() == FileType::Symlink {
            return Ok(());
        }
        let default = match dir.acl(AclKind::Default) {
            Ok(Some(default)) => default,
            Ok(None) | Err(Errno::EOPNOTSUPP) => return Ok(()),
            Err(e) => return Err(e),
        };
        let (access, mode) = default.for_new(self.ownership().mode);
        if self.kind() == FileType::Directory {
            self.set_acl(AclKind::Default, Some((*default).clone()), None)?;
        }
        match access {
            Some(acl) => self.set_acl(AclKind::Access, Some(acl), Some(mode)),
            None => {
                self.with_meta(|m| m.mode = (m.mode & !(S_IALLUGO as u16)) | (mode & S_IALLUGO) as u16);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> Acl {
        let entries =
            [(Tag::UserObj, 7), (Tag::User(1000), 5), (Tag::GroupObj, 5), (Tag::Mask, 7), (Tag::Other, 0)];
        Acl::validate(entries.map(|(tag, perm)| Entry { tag, perm }).to_vec()).unwrap()
    }

    #[test]
    fn the_short_form_and_back() {
        let bytes = encode(&list());
        // Four entries of 4 bytes, one of 8, and the version.
        assert_eq!(bytes.len(), 4 + 4 * 4 + 8);
        assert_eq!(decode(&bytes), Ok(list()));
    }

    #[test]
    fn refusals() {
        let bytes = encode(&list());
        assert_eq!(decode(b""), Err(AclError::Short));
        assert_eq!(decode(&[2, 0, 0, 0]), Err(AclError::Version));
        assert_eq!(decode(&[1, 0, 0, 0]), Err(AclError::Order));
        assert_eq!(decode(&bytes[..bytes.len() - 1]), Err(AclError::Short));
        assert_eq!(decode(&bytes[..10]), Err(AclError::Short));
        let mut strange = bytes.clone();
        strange[4] = 0x40;
        assert_eq!(decode(&strange), Err(AclError::Tag(0x40)));
        strange[4] = 0x20;
        assert_eq!(decode(&strange), Err(AclError::Order));
    }
}
