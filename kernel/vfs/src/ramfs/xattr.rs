//! Extended attributes of ramfs: `trusted.` and `security.`, as Linux's tmpfs and devtmpfs keep them.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use base::{Errno, Result};
use sync::Mutex;

use super::Node;
use crate::xattr::{Name, Namespace, XattrFlags, Xattrs};

/// Whole names and their values.
pub type Attributes = Mutex<BTreeMap<Vec<u8>, Vec<u8>>>;

/// The whole name. EOPNOTSUPP for `user.`.
fn key(name: Name<'_>) -> Result<Vec<u8>> {
    match name.space {
        Namespace::User => Err(Errno::EOPNOTSUPP),
        space => Ok([space.prefix(), name.rest].concat()),
    }
}

impl Xattrs for Node {
    fn get(&self, name: Name<'_>) -> Result<Vec<u8>> {
        self.xattrs.lock().get(&key(name)?).cloned().ok_or(Errno::ENODATA)
    }

    fn set(&self, name: Name<'_>, value: Option<&[u8]>, flags: XattrFlags) -> Result<()> {
        let key = key(name)?;
        let mut attributes = self.xattrs.lock();
        match (attributes.contains_key(&key), value) {
            (true, Some(_)) if flags.contains(XattrFlags::CREATE) => return Err(Errno::EEXIST),
            (false, _) if flags.contains(XattrFlags::REPLACE) => return Err(Errno::ENODATA),
            (_, Some(value)) => drop(attributes.insert(key, value.to_vec())),
            (true, None) => drop(attributes.remove(&key)),
            (false, None) => return Ok(()),
        }
        drop(attributes);
        self.change_links(|n| n);
        Ok(())
    }

    fn list(&self, each: &mut dyn FnMut(&[u8])) -> Result<()> {
        self.xattrs.lock().keys().for_each(|name| each(name));
        Ok(())
    }
}
