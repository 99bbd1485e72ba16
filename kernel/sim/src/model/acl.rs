//! POSIX access control lists in the model: written from acl(5), without a look at the kernel's.

use base::Result;

use super::attrs::flag;
use super::{Id, Model};

/// The attributes they are seen as.
pub const ACCESS: &str = "system.posix_acl_access";
/// Of a directory: what new entries begin with.
pub const DEFAULT: &str = "system.posix_acl_default";

const USER_OBJ: u16 = 1;
const USER: u16 = 2;
const GROUP_OBJ: u16 = 4;
const GROUP: u16 = 8;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;
/// The id of an entry that needs none.
const NOBODY: u32 = u32::MAX;

/// A list: tag, permissions, id; in the order of tags and ids.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Acl(Vec<(u16, u16, u32)>);

impl Acl {
    /// A list of these permissions, with named users and groups.
    pub fn new(
        owner: u16,
        group: u16,
        other: u16,
        users: &[(u32, u16)],
        groups: &[(u32, u16)],
        mask: u16,
    ) -> Acl {
        let mut list = vec![(USER_OBJ, owner, NOBODY)];
        list.extend(users.iter().map(|&(id, perm)| (USER, perm, id)));
        list.push((GROUP_OBJ, group, NOBODY));
        list.extend(groups.iter().map(|&(id, perm)| (GROUP, perm, id)));
        if !users.is_empty() || !groups.is_empty() {
            list.push((MASK, mask, NOBODY));
        }
        list.push((OTHER, other, NOBODY));
        Acl(list)
    }

    /// As the attribute has it.
    pub fn value(&self) -> Vec<u8> {
        let mut value = 2u32.to_le_bytes().to_vec();
        for (tag, perm, id) in &self.0 {
            value.extend(tag.to_le_bytes());
            value.extend(perm.to_le_bytes());
            value.extend(id.to_le_bytes());
        }
        value
    }

    fn from_value(value: &[u8]) -> Acl {
        let half = |at: &[u8]| u16::from_le_bytes([at[0], at[1]]);
        let entry = |e: &[u8]| (half(e), half(&e[2..]), u32::from_le_bytes([e[4], e[5], e[6], e[7]]));
        Acl(value[4..].chunks(8).map(entry).collect())
    }

    fn position(&self, tag: u16) -> Option<usize> {
        self.0.iter().position(|entry| entry.0 == tag)
    }

    /// Which entries the three digits of a mode are.
    fn digits(&self) -> Vec<(usize, u32)> {
        let class = self.position(MASK).or(self.position(GROUP_OBJ));
        let all = [(self.position(USER_OBJ), 6), (class, 3), (self.position(OTHER), 0)];
        all.into_iter().filter_map(|(at, shift)| Some((at?, shift))).collect()
    }

    /// The mode that goes with it.
    fn mode(&self) -> u32 {
        self.digits().iter().fold(0, |mode, &(at, shift)| mode | u32::from(self.0[at].1) << shift)
    }

    /// Whether a mode says it all.
    fn is_plain(&self) -> bool {
        self.0.len() == 3
    }

    fn set_mode(&mut self, mode: u32) {
        for (at, shift) in self.digits() {
            self.0[at].1 = (mode >> shift & 7) as u16;
        }
    }
}

impl Model {
    fn list(&self, id: Id, name: &str) -> Option<Acl> {
        self.inodes[id].xattrs.get(name).map(|value| Acl::from_value(value))
    }

    /// setfacl(1) of an access list; none is left when the mode says it all.
    pub fn set_access(&mut self, path: &[u8], acl: &Acl) -> Result<()> {
        let id = self.find(path)?;
        self.forbid(id, flag::IMMUTABLE | flag::APPEND)?;
        let mode = self.inodes[id].mode & !0o777 | acl.mode();
        if mode != self.inodes[id].mode {
            self.inodes[id].mode = mode;
            self.touch_change(id);
        }
        let value = (!acl.is_plain()).then(|| acl.value());
        self.put_xattr(id, ACCESS, value);
        Ok(())
    }

    /// setfacl(1) `-d` on a directory.
    pub fn set_default(&mut self, path: &[u8], acl: &Acl) -> Result<()> {
        let id = self.find(path)?;
        self.forbid(id, flag::IMMUTABLE | flag::APPEND)?;
        self.put_xattr(id, DEFAULT, Some(acl.value()));
        Ok(())
    }

    /// setfacl(1) `-b`, `-k`: no error when there is none.
    pub fn remove_acl(&mut self, path: &[u8], name: &str) -> Result<()> {
        let id = self.find(path)?;
        self.forbid(id, flag::IMMUTABLE | flag::APPEND)?;
        self.put_xattr(id, name, None);
        Ok(())
    }

    /// What a new inode gets of its directory's default list.
    pub(super) fn inherit(&mut self, dir: Id, id: Id) {
        let Some(default) = self.list(dir, DEFAULT) else { return };
        if self.is_symlink(id) {
            return;
        }
        let mut access = default.clone();
        let mode = self.inodes[id].mode;
        access.set_mode(default.mode() & mode);
        self.inodes[id].mode = mode & !0o777 | access.mode();
        if !access.is_plain() {
            self.inodes[id].xattrs.insert(ACCESS.into(), access.value());
        }
        if self.is_dir(id) {
            self.inodes[id].xattrs.insert(DEFAULT.into(), default.value());
        }
    }

    /// The list follows chmod(2).
    pub(super) fn mode_to_list(&mut self, id: Id) {
        if let Some(mut acl) = self.list(id, ACCESS) {
            acl.set_mode(self.inodes[id].mode);
            self.inodes[id].xattrs.insert(ACCESS.into(), acl.value());
        }
    }
}
