//! POSIX access control lists: who may do what, entry by entry.
//!
//! An [`Acl`] is a list in a fixed order: the owner, named users, the owning group, named groups,
//! the mask, the others. An inode's *access* list refines its permission bits; a directory's
//! *default* list is what new entries begin with.
//!
//! # Worked example
//! `user::rw- user:7:rwx group::r-- mask::rw- other::---` is mode 0660: the group bits are the mask's,
//! and user 7 may read and write, since the mask takes the `x`. chmod 0640 sets the mask to `r--`, and
//! user 7 may only read.
//!
//! ```text
//!   from_xattr ─▶ validate ─▶ Inode::set_acl          what setxattr(2) gives
//!   permits                                          what a permission check asks
//!   create_masq, chmod_masq, equivalent_mode         how list and mode follow each other
//! ```
//! Sources: acl(5) of the POSIX.1e draft as Linux keeps it, xattr(7), `linux/posix_acl_xattr.h`.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::{Errno, Result};

use crate::attr::{FileType, Ownership, S_ISGID};
use crate::cred::{Cred, Want};
use crate::inode::Inode;

/// Which of an inode's two lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AclKind {
    /// Who may do what.
    Access,
    /// Of a directory: what new entries begin with.
    Default,
}

impl AclKind {
    /// The attribute it is seen as.
    pub const fn xattr_name(self) -> &'static [u8] {
        match self {
            AclKind::Access => b"system.posix_acl_access",
            AclKind::Default => b"system.posix_acl_default",
        }
    }
}

/// Whom an entry is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tag {
    /// The owner.
    UserObj,
    /// This user.
    User(u32),
    /// The owning group.
    GroupObj,
    /// This group.
    Group(u32),
    /// The most that named users and all groups may.
    Mask,
    /// Everybody else.
    Other,
}

impl Tag {
    /// From the number that disk and attribute have, `id` for those that need one.
    pub const fn from_number(tag: u16, id: u32) -> Option<Tag> {
        Some(match tag {
            0x01 => Tag::UserObj,
            0x02 => Tag::User(id),
            0x04 => Tag::GroupObj,
            0x08 => Tag::Group(id),
            0x10 => Tag::Mask,
            0x20 => Tag::Other,
            _ => return None,
        })
    }

    /// The number, and the id where there is one.
    pub const fn number(self) -> (u16, Option<u32>) {
        match self {
            Tag::UserObj => (0x01, None),
            Tag::User(id) => (0x02, Some(id)),
            Tag::GroupObj => (0x04, None),
            Tag::Group(id) => (0x08, Some(id)),
            Tag::Mask => (0x10, None),
            Tag::Other => (0x20, None),
        }
    }
}

/// One entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Whom it is about.
    pub tag: Tag,
    /// What he may: read 4, write 2, execute 1.
    pub perm: u16,
}

/// A list that [`Acl::validate`] has passed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Acl(Vec<Entry>);

const VERSION: u32 = 2;
const HEAD: usize = 4;
const ENTRY: usize = 8;
const UNDEFINED_ID: u32 = u32::MAX;

impl Acl {
    /// A list whose order and entries are as they must be (`posix_acl_valid`). EINVAL.
    pub fn validate(entries: Vec<Entry>) -> Result<Acl> {
        // What may come next: 1 the owner, 2 users or the group, 3 groups, mask or others, 4 others, 0 nothing.
        let (mut next, mut needs_mask) = (1, false);
        for entry in &entries {
            next = match (entry.tag, next) {
                _ if entry.perm & !7 != 0 => return Err(Errno::EINVAL),
                (Tag::UserObj, 1) => 2,
                (Tag::User(id), 2) if id != UNDEFINED_ID => 2,
                (Tag::GroupObj, 2) => 3,
                (Tag::Group(id), 3) if id != UNDEFINED_ID => 3,
                (Tag::Mask, 3) => 4,
                (Tag::Other, 4) => 0,
                (Tag::Other, 3) if !needs_mask => 0,
                _ => return Err(Errno::EINVAL),
            };
            needs_mask |= matches!(entry.tag, Tag::User(_) | Tag::Group(_));
        }
        if next == 0 { Ok(Acl(entries)) } else { Err(Errno::EINVAL) }
    }

    /// From the value of the attribute: version 2, then 8 bytes an entry (`posix_acl_from_xattr`).
    /// None for a list without entries. EINVAL, EOPNOTSUPP for another version.
    pub fn from_xattr(value: &[u8]) -> Result<Option<Vec<Entry>>> {
        let (head, rest) = value.split_first_chunk::<HEAD>().ok_or(Errno::EINVAL)?;
        if u32::from_le_bytes(*head) != VERSION {
            return Err(Errno::EOPNOTSUPP);
        }
        let (raw, odd) = rest.as_chunks::<ENTRY>();
        if !odd.is_empty() {
            return Err(Errno::EINVAL);
        }
        let entry = |e: &[u8; ENTRY]| {
            let tag = u16::from_le_bytes([e[0], e[1]]);
            let id = u32::from_le_bytes([e[4], e[5], e[6], e[7]]);
            let perm = u16::from_le_bytes([e[2], e[3]]);
            Tag::from_number(tag, id).map(|tag| Entry { tag, perm }).ok_or(Errno::EINVAL)
        };
        let entries = raw.iter().map(entry).collect::<Result<Vec<Entry>>>()?;
        Ok((!entries.is_empty()).then_some(entries))
    }

    /// The value of the attribute.
    pub fn to_xattr(&self) -> Vec<u8> {
        let mut value = VERSION.to_le_bytes().to_vec();
        for entry in &self.0 {
            let (tag, id) = entry.tag.number();
            value.extend_from_slice(&tag.to_le_bytes());
            value.extend_from_slice(&entry.perm.to_le_bytes());
            value.extend_from_slice(&id.unwrap_or(UNDEFINED_ID).to_le_bytes());
        }
        value
    }

    /// The entries, in their order.
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    fn perm(&self, tag: Tag) -> Option<u16> {
        self.0.iter().find(|e| e.tag == tag).map(|e| e.perm)
    }

    fn perm_mut(&mut self, tag: Tag) -> Option<&mut u16> {
        self.0.iter_mut().find(|e| e.tag == tag).map(|e| &mut e.perm)
    }

    /// The entry that the group bits of the mode stand for.
    fn group_class(&mut self) -> Option<&mut u16> {
        let tag = if self.perm(Tag::Mask).is_some() { Tag::Mask } else { Tag::GroupObj };
        self.perm_mut(tag)
    }

    /// Whether the list lets this one do it (`posix_acl_permission`).
    pub fn permits(&self, owner: &Ownership, want: Want, cred: &Cred) -> bool {
        let mask = self.perm(Tag::Mask).unwrap_or(7);
        let allows = |perm: u16| Want::from_bits(perm.into()).has(want);
        let mut in_a_group = false;
        for entry in &self.0 {
            match entry.tag {
                Tag::UserObj if owner.uid == cred.fsuid => return allows(entry.perm),
                Tag::User(uid) if uid == cred.fsuid => return allows(entry.perm & mask),
                Tag::GroupObj | Tag::Group(_) => {
                    let gid = if let Tag::Group(gid) = entry.tag { gid } else { owner.gid };
                    if cred.in_group(gid) {
                        in_a_group = true;
                        if allows(entry.perm) {
                            return allows(entry.perm & mask);
                        }
                    }
                }
                Tag::Other => return !in_a_group && allows(entry.perm),
                _ => {}
            }
        }
        false
    }

    /// The permission bits that say as much as the list can be said in bits, and whether that is all
    /// of it (`posix_acl_equiv_mode`).
    pub fn equivalent_mode(&self) -> (u32, bool) {
        let (mut mode, mut whole) = (0, true);
        for entry in &self.0 {
            let perm = u32::from(entry.perm);
            match entry.tag {
                Tag::UserObj => mode |= perm << 6,
                Tag::GroupObj => mode |= perm << 3,
                Tag::Other => mode |= perm,
                Tag::Mask => {
                    mode = (mode & !0o070) | (perm << 3);
                    whole = false;
                }
                Tag::User(_) | Tag::Group(_) => whole = false,
            }
        }
        (mode, whole)
    }

    /// What a new inode gets from its directory's default list: the list cut to the mode it was
    /// asked to have, None when bits say the same; and its mode (`posix_acl_create_masq`).
    pub fn for_new(&self, mode: u32) -> (Option<Acl>, u32) {
        let mut acl = self.clone();
        let cut = |perm: Option<&mut u16>, shift: u32| {
            // Three bits: they fit.
            let asked = ((mode >> shift) & 7) as u16;
            perm.map_or(0, |perm| {
                *perm &= asked;
                u32::from(*perm) << shift
            })
        };
        let bits =
            cut(acl.perm_mut(Tag::UserObj), 6) | cut(acl.group_class(), 3) | cut(acl.perm_mut(Tag::Other), 0);
        let whole = acl.equivalent_mode().1;
        ((!whole).then_some(acl), (mode & !0o777) | bits)
    }

    /// The list after chmod(2) (`posix_acl_chmod`).
    pub fn after_chmod(&self, mode: u32) -> Acl {
        let mut acl = self.clone();
        let set = |perm: Option<&mut u16>, shift: u32| {
            if let Some(perm) = perm {
                *perm = ((mode >> shift) & 7) as u16;
            }
        };
        set(acl.perm_mut(Tag::UserObj), 6);
        set(acl.group_class(), 3);
        set(acl.perm_mut(Tag::Other), 0);
        acl
    }
}

/// getxattr(2) of a list. EOPNOTSUPP on a symbolic link and where there are none, ENODATA.
pub(crate) fn get_xattr(inode: &dyn Inode, kind: AclKind) -> Result<Vec<u8>> {
    if inode.file_type() == FileType::Symlink {
        return Err(Errno::EOPNOTSUPP);
    }
    Ok(inode.acl(kind)?.ok_or(Errno::ENODATA)?.to_xattr())
}

/// setxattr(2) and removexattr(2) of a list (`set_posix_acl`). To take one away that is not there is
/// no error. The caller holds `i_rwsem`.
pub(crate) fn set_xattr(inode: &dyn Inode, kind: AclKind, value: Option<&[u8]>, cred: &Cred) -> Result<()> {
    let entries = match value {
        Some(value) => Acl::from_xattr(value)?,
        None => None,
    };
    // Whether there are lists at all.
    inode.acl(kind)?;
    if inode.file_type() == FileType::Symlink {
        return Err(Errno::EOPNOTSUPP);
    }
    if kind == AclKind::Default && inode.file_type() != FileType::Directory {
        return if entries.is_some() { Err(Errno::EACCES) } else { Ok(()) };
    }
    let owner = inode.ownership();
    if !cred.owns(&owner) {
        return Err(Errno::EPERM);
    }
    let acl = entries.map(Acl::validate).transpose()?;
    if kind == AclKind::Default {
        return inode.set_acl(kind, acl, None);
    }
    let Some(acl) = acl else { return inode.set_acl(kind, None, None) };
    let (bits, whole) = acl.equivalent_mode();
    let mut mode = (owner.mode & !0o777) | bits;
    if !cred.in_group(owner.gid) && !cred.capable() {
        mode &= !S_ISGID;
    }
    inode.set_acl(kind, (!whole).then_some(acl), (mode != owner.mode).then_some(mode))
}

/// The umask, where it counts: a directory with a default list decides by that alone. The caller
/// is about to make an entry of `mode` in it.
pub(crate) fn mode_for_new(dir: &dyn Inode, mode: u32, umask: u32) -> Result<u32> {
    match dir.acl(AclKind::Default) {
        Ok(Some(_)) => Ok(mode),
        Ok(None) | Err(Errno::EOPNOTSUPP) => Ok(mode & !umask),
        Err(e) => Err(e),
    }
}

/// What the access list says, where there is one that matters: not for the owner, and not when the
/// group bits are all clear (`check_acl`).
pub(crate) fn permits(inode: &dyn Inode, owner: &Ownership, want: Want, cred: &Cred) -> Result<Option<bool>> {
    if owner.uid == cred.fsuid || owner.mode & 0o070 == 0 {
        return Ok(None);
    }
    let acl: Option<Arc<Acl>> = match inode.acl(AclKind::Access) {
        Err(Errno::EOPNOTSUPP) => None,
        other => other?,
    };
    Ok(acl.map(|acl| acl.permits(owner, want, cred)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(tag: Tag, perm: u16) -> Entry {
        Entry { tag, perm }
    }

    fn example() -> Acl {
        Acl::validate(alloc::vec![
            entry(Tag::UserObj, 6),
            entry(Tag::User(7), 7),
            entry(Tag::GroupObj, 4),
            entry(Tag::Group(20), 2),
            entry(Tag::Mask, 6),
            entry(Tag::Other, 0),
        ])
        .unwrap()
    }

    #[test]
    fn the_order_is_fixed() {
        let plain = [entry(Tag::UserObj, 7), entry(Tag::GroupObj, 5), entry(Tag::Other, 1)];
        assert!(Acl::validate(plain.to_vec()).is_ok());
        assert_eq!(Acl::validate(plain[..2].to_vec()), Err(Errno::EINVAL));
        let mut without_mask = example().0;
        without_mask.remove(4);
        assert_eq!(Acl::validate(without_mask), Err(Errno::EINVAL));
        let mut swapped = example().0;
        swapped.swap(1, 3);
        assert_eq!(Acl::validate(swapped), Err(Errno::EINVAL));
        assert_eq!(Acl::validate(alloc::vec![entry(Tag::UserObj, 8)]), Err(Errno::EINVAL));
        assert_eq!(Acl::validate(Vec::new()), Err(Errno::EINVAL));
    }

    #[test]
    fn the_attribute_and_back() {
        let value = example().to_xattr();
        assert_eq!(value.len(), 4 + 6 * 8);
        assert_eq!(Acl::from_xattr(&value), Ok(Some(example().0)));
        assert_eq!(Acl::from_xattr(&2u32.to_le_bytes()), Ok(None));
        assert_eq!(Acl::from_xattr(&1u32.to_le_bytes()), Err(Errno::EOPNOTSUPP));
        assert_eq!(Acl::from_xattr(&value[..value.len() - 1]), Err(Errno::EINVAL));
        assert_eq!(Acl::from_xattr(b""), Err(Errno::EINVAL));
    }

    #[test]
    fn the_mask_bounds_all_but_owner_and_others() {
        let owner = Ownership { mode: 0o100660, uid: 1, gid: 10 };
        let acl = example();
        let may = |cred: &Cred, bits| acl.permits(&owner, Want::from_bits(bits), cred);
        assert!(may(&Cred::user(1, 1), 6) && !may(&Cred::user(1, 1), 1));
        assert!(may(&Cred::user(7, 7), 6) && !may(&Cred::user(7, 7), 1));
        assert!(may(&Cred::user(8, 10), 4) && !may(&Cred::user(8, 10), 2));
        assert!(may(&Cred::user(8, 20), 2) && !may(&Cred::user(8, 20), 4));
        // No single group entry allows both.
        let both = Cred { groups: [20].to_vec(), ..Cred::user(8, 10) };
        assert!(may(&both, 4) && may(&both, 2) && !may(&both, 6));
        assert!(!may(&Cred::user(9, 9), 4) && may(&Cred::user(9, 9), 0));
    }

    #[test]
    fn list_and_mode_follow_each_other() {
        assert_eq!(example().equivalent_mode(), (0o660, false));
        let after = example().after_chmod(0o741);
        assert_eq!(after.equivalent_mode(), (0o741, false));
        assert_eq!(after.perm(Tag::GroupObj), Some(4));
        let (new, mode) = example().for_new(0o102_644);
        assert_eq!(mode, 0o102_640);
        assert_eq!(new.unwrap().perm(Tag::Mask), Some(4));
        let plain = Acl::validate(
            [(Tag::UserObj, 7), (Tag::GroupObj, 5), (Tag::Other, 5)].map(|(t, p)| entry(t, p)).to_vec(),
        );
        assert_eq!(plain.unwrap().for_new(0o666), (None, 0o644));
    }
}
