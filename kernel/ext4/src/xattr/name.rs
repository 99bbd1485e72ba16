//! Namespaces as the disk numbers them (`e_name_index`).
//!
//! Source: ext4 documentation, "Extended Attributes", table of name indexes.

use alloc::vec::Vec;

use vfs::acl::AclKind;
use vfs::xattr::Namespace;

/// `user.`
pub const USER: u8 = 1;
/// `system.posix_acl_access`, all of the name.
pub const ACL_ACCESS: u8 = 2;
/// `system.posix_acl_default`, all of the name.
pub const ACL_DEFAULT: u8 = 3;
/// `trusted.`
pub const TRUSTED: u8 = 4;
/// `security.`
pub const SECURITY: u8 = 6;
/// `system.`: the rest of an inline file, `system.data`, and nothing that a program sees.
pub const SYSTEM: u8 = 7;

/// The number of a namespace.
pub fn index(space: Namespace) -> u8 {
    match space {
        Namespace::User => USER,
        Namespace::Trusted => TRUSTED,
        Namespace::Security => SECURITY,
    }
}

/// The number of a list.
pub fn acl_index(kind: AclKind) -> u8 {
    match kind {
        AclKind::Access => ACL_ACCESS,
        AclKind::Default => ACL_DEFAULT,
    }
}

/// The name as programs know it. None for what they never see.
pub fn whole(index: u8, name: &[u8]) -> Option<Vec<u8>> {
    let prefix = match index {
        USER => Namespace::User.prefix(),
        TRUSTED => Namespace::Trusted.prefix(),
        SECURITY => Namespace::Security.prefix(),
        ACL_ACCESS => AclKind::Access.xattr_name(),
        ACL_DEFAULT => AclKind::Default.xattr_name(),
        _ => return None,
    };
    Some([prefix, name].concat())
}
