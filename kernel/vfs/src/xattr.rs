//! Extended attributes: name and value pairs of an inode.
//!
//! ```text
//!   system call ──▶ get, set, remove, list ──▶ namespace and who may ──▶ Xattrs of the file system
//!                                            └─▶ system.posix_acl_* ──▶ acl::get_xattr, acl::set_xattr
//! ```
//! A file system that stores attributes gives [`Xattrs`] out of `Inode::as_xattrs`; one that does
//! not answers EOPNOTSUPP here.
//!
//! # Who may
//! | namespace | read | write |
//! |---|---|---|
//! | `user.` | files and directories, by permission bits; ENODATA on others | the same; EPERM on others, and on a sticky directory of somebody else |
//! | `trusted.` | the superuser; ENODATA for others | the superuser, EPERM |
//! | `security.` | anybody | the superuser, EPERM |
//! | `system.posix_acl_*` | anybody | the owner, EPERM |
//!
//! # Locking
//! `i_rwsem` exclusively around a change; none to read.
//!
//! Sources: xattr(7), setxattr(2), getxattr(2), listxattr(2), removexattr(2).

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::{Errno, Result};
use bitflags::bitflags;

use crate::acl::{self, AclKind};
use crate::attr::{FileType, S_ISVTX};
use crate::cred::{Cred, Want};
use crate::freeze::WriteAccess;
use crate::inode::Inode;
use crate::mount::Path;
use crate::namei::permission;

/// The longest name (XATTR_NAME_MAX).
pub const NAME_MAX: usize = 255;
/// The longest value (XATTR_SIZE_MAX).
pub const SIZE_MAX: usize = 65536;
/// The longest list of names (XATTR_LIST_MAX).
pub const LIST_MAX: usize = 65536;
/// The attribute with a program's capabilities: a write to the file takes it away.
pub const CAPABILITY: Name<'static> = Name { space: Namespace::Security, rest: b"capability" };

bitflags! {
    /// The flags of setxattr(2).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct XattrFlags: u32 {
        /// EEXIST when it is there.
        const CREATE = 1;
        /// ENODATA when it is not.
        const REPLACE = 2;
    }
}

/// The part of a name before its first dot, for those that a file system stores as they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Namespace {
    /// `user.`
    User,
    /// `trusted.`
    Trusted,
    /// `security.`
    Security,
}

impl Namespace {
    /// With its dot.
    pub const fn prefix(self) -> &'static [u8] {
        match self {
            Namespace::User => b"user.",
            Namespace::Trusted => b"trusted.",
            Namespace::Security => b"security.",
        }
    }
}

/// A name: its namespace, and what follows, 1 to 255 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Name<'a> {
    /// The namespace.
    pub space: Namespace,
    /// What follows the dot.
    pub rest: &'a [u8],
}

/// What a file system that stores attributes does. Locks as the module's manual says.
pub trait Xattrs: Send + Sync {
    /// The value. ENODATA; EOPNOTSUPP for a namespace that is not kept.
    fn get(&self, name: Name<'_>) -> Result<Vec<u8>>;

    /// Sets it, or with None takes it away; to take away what is not there is ENODATA with REPLACE,
    /// else no error and no change. EEXIST, ENODATA, ENOSPC, EOPNOTSUPP.
    fn set(&self, name: Name<'_>, value: Option<&[u8]>, flags: XattrFlags) -> Result<()>;

    /// Tells every name, whole, in any order; ACLs too (`system.posix_acl_access`).
    fn list(&self, each: &mut dyn FnMut(&[u8])) -> Result<()>;
}

/// What a whole name means.
enum Resolved<'a> {
    Plain(Name<'a>),
    Acl(AclKind),
}

/// EOPNOTSUPP for a namespace that does not exist, EINVAL for one without a name behind it.
fn resolve(name: &[u8]) -> Result<Resolved<'_>> {
    for space in [Namespace::User, Namespace::Trusted, Namespace::Security] {
        if let Some(rest) = name.strip_prefix(space.prefix()) {
            return if rest.is_empty() {
                Err(Errno::EINVAL)
            } else {
                Ok(Resolved::Plain(Name { space, rest }))
            };
        }
    }
    for kind in [AclKind::Access, AclKind::Default] {
        if name == kind.xattr_name() {
            return Ok(Resolved::Acl(kind));
        }
    }
    Err(Errno::EOPNOTSUPP)
}

/// Whether it may be read or written (`xattr_permission`), before anybody looks whether it is there.
fn may(inode: &dyn Inode, name: &[u8], want: Want, cred: &Cred) -> Result<()> {
    let writes = want.has(Want::WRITE);
    let hidden = Err(if writes { Errno::EPERM } else { Errno::ENODATA });
    if writes && !inode.fixed().is_empty() {
        return Err(Errno::EPERM);
    }
    if name.starts_with(b"security.") || name.starts_with(b"system.") {
        return Ok(());
    }
    if name.starts_with(b"trusted.") {
        return if cred.capable() { Ok(()) } else { hidden };
    }
    if name.starts_with(b"user.") {
        let owner = inode.ownership();
        match inode.file_type() {
            FileType::Regular => {}
            FileType::Directory if writes && owner.mode & S_ISVTX != 0 && !cred.owns(&owner) => {
                return Err(Errno::EPERM);
            }
            FileType::Directory => {}
            _ => return hidden,
        }
    }
    permission(inode, want, cred)
}

/// `security.` is the superuser's to write, and a program's capabilities have a form.
fn check_security(name: &[u8], value: Option<&[u8]>, cred: &Cred) -> Result<()> {
    if !name.starts_with(b"security.") {
        return Ok(());
    }
    if name == b"security.capability"
        && let Some(value) = value
        && capability_form(value).is_none()
    {
        return Err(Errno::EINVAL);
    }
    if cred.capable() { Ok(()) } else { Err(Errno::EPERM) }
}

/// The bytes of `struct vfs_cap_data` of revisions 2 and 3 (capabilities(7)).
const CAP_V2: usize = 20;
const CAP_V3: usize = 24;

/// The revision of a `security.capability`; None when it is none.
fn capability_form(value: &[u8]) -> Option<u8> {
    let word = u32::from_le_bytes(*value.first_chunk()?);
    match (word & 0xff00_0000, value.len()) {
        (0x0200_0000, CAP_V2) => Some(2),
        (0x0300_0000, CAP_V3) => Some(3),
        _ => None,
    }
}

/// What getxattr(2) tells of a stored `security.capability` (`cap_inode_getsecurity`): one whose
/// root is the real one in the older form.
fn tell_capability(mut value: Vec<u8>) -> Result<Vec<u8>> {
    match capability_form(&value) {
        Some(3) if value[CAP_V2..] == [0; 4] => {
            value.truncate(CAP_V2);
            value[3] = 2;
            Ok(value)
        }
        Some(_) => Ok(value),
        None => Err(Errno::EINVAL),
    }
}

/// getxattr(2) after the lookup: the whole value. ENODATA, EOPNOTSUPP, EACCES.
pub fn get(inode: &Arc<dyn Inode>, name: &[u8], cred: &Cred) -> Result<Vec<u8>> {
    may(&**inode, name, Want::READ, cred)?;
    match resolve(name)? {
        Resolved::Acl(kind) => acl::get_xattr(&**inode, kind),
        Resolved::Plain(plain) => {
            let value = inode.as_xattrs().ok_or(Errno::EOPNOTSUPP)?.get(plain)?;
            if plain == CAPABILITY { tell_capability(value) } else { Ok(value) }
        }
    }
}

/// setxattr(2) after the lookup and the checks of its arguments ([`NAME_MAX`], [`SIZE_MAX`]).
pub fn set(
    place: &Path,
    name: &[u8],
    value: &[u8],
    flags: XattrFlags,
    cred: &Cred,
    _write: &WriteAccess<'_>,
) -> Result<()> {
    let inode = place.inode()?;
    if name == b"security.capability" {
        check_security(name, Some(value), cred)?;
    }
    let _held = inode.rwsem().write();
    may(&**inode, name, Want::WRITE, cred)?;
    check_security(name, Some(value), cred)?;
    match resolve(name)? {
        Resolved::Acl(kind) => acl::set_xattr(&**inode, kind, Some(value), cred),
        Resolved::Plain(plain) => inode.as_xattrs().ok_or(Errno::EOPNOTSUPP)?.set(plain, Some(value), flags),
    }
}

/// removexattr(2) after the lookup. ENODATA when it is not there.
pub fn remove(place: &Path, name: &[u8], cred: &Cred, _write: &WriteAccess<'_>) -> Result<()> {
    let inode = place.inode()?;
    let _held = inode.rwsem().write();
    may(&**inode, name, Want::WRITE, cred)?;
    check_security(name, None, cred)?;
    match resolve(name)? {
        Resolved::Acl(kind) => acl::set_xattr(&**inode, kind, None, cred),
        Resolved::Plain(plain) => {
            inode.as_xattrs().ok_or(Errno::EOPNOTSUPP)?.set(plain, None, XattrFlags::REPLACE)
        }
    }
}

/// listxattr(2) after the lookup: the names, a NUL behind each. `trusted.` is shown to the superuser
/// alone. A file system without attributes has an empty list.
pub fn list(inode: &Arc<dyn Inode>, cred: &Cred) -> Result<Vec<u8>> {
    let mut names = Vec::new();
    let Some(xattrs) = inode.as_xattrs() else { return Ok(names) };
    xattrs.list(&mut |name| {
        if cred.capable() || !name.starts_with(b"trusted.") {
            names.extend_from_slice(name);
            names.push(0);
        }
    })?;
    Ok(names)
}

/// Takes a program's capabilities from a file whose content or owner changes
/// (`security_inode_killpriv`). The caller holds `i_rwsem` exclusively.
pub fn kill_capability(inode: &dyn Inode) -> Result<()> {
    let Some(xattrs) = inode.as_xattrs() else { return Ok(()) };
    match xattrs.set(CAPABILITY, None, XattrFlags::empty()) {
        Err(Errno::EOPNOTSUPP) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let plain = |name| match resolve(name) {
            Ok(Resolved::Plain(n)) => Ok(n.rest.to_vec()),
            Ok(Resolved::Acl(kind)) => Ok(kind.xattr_name().to_vec()),
            Err(e) => Err(e),
        };
        assert_eq!(plain(b"user.a.b"), Ok(b"a.b".to_vec()));
        assert_eq!(plain(b"user."), Err(Errno::EINVAL));
        assert_eq!(plain(b"user"), Err(Errno::EOPNOTSUPP));
        assert_eq!(plain(b"os2.x"), Err(Errno::EOPNOTSUPP));
        assert_eq!(plain(b"system.posix_acl_default"), Ok(b"system.posix_acl_default".to_vec()));
        assert_eq!(plain(b"system.posix_acl_defaultx"), Err(Errno::EOPNOTSUPP));
        assert_eq!(plain(b"system.data"), Err(Errno::EOPNOTSUPP));
    }

    #[test]
    fn capabilities_have_a_form() {
        let v2: Vec<u8> = [&[1, 0, 0, 2][..], &[0; 16]].concat();
        let v3: Vec<u8> = [&[1, 0, 0, 3][..], &[7; 16], &[0; 4]].concat();
        let other_root: Vec<u8> = [&[1, 0, 0, 3][..], &[7; 16], &[9; 4]].concat();
        assert_eq!(tell_capability(v2.clone()), Ok(v2));
        assert_eq!(tell_capability(v3), Ok([&[1, 0, 0, 2][..], &[7; 16]].concat()));
        assert_eq!(tell_capability(other_root.clone()), Ok(other_root));
        assert_eq!(tell_capability(b"x".to_vec()), Err(Errno::EINVAL));
    }
}
