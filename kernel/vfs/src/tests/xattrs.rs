//! Extended attributes through the vfs: who may what, and the errnos of xattr(7).

use std::string::String;
use std::vec::Vec;

use base::{Errno, Result};

use super::{OK, World, err};
use crate::xattr::{self, XattrFlags};
use crate::{Cred, answers};

fn tree() -> World {
    let w = World::new();
    w.mkdir("d").unwrap();
    w.put("f", "content");
    w.symlink("f", "l").unwrap();
    w
}

fn set_as(w: &World, path: &str, name: &str, value: &[u8], flags: u32, cred: &Cred) -> Result<()> {
    let place = w.lookup(path, Default::default()).unwrap();
    let write = place.mount.want_write()?;
    let flags = XattrFlags::from_bits_retain(flags);
    xattr::set(&place, name.as_bytes(), value, flags, cred, &write)
}

fn get_as(w: &World, path: &str, name: &str, cred: &Cred) -> Result<Vec<u8>> {
    let place = w.lookup(path, Default::default()).unwrap();
    xattr::get(place.inode().unwrap(), name.as_bytes(), cred)
}

fn remove(w: &World, path: &str, name: &str) -> Result<()> {
    let place = w.lookup(path, Default::default()).unwrap();
    let write = place.mount.want_write()?;
    xattr::remove(&place, name.as_bytes(), &Cred::ROOT, &write)
}

fn list(w: &World, path: &str, cred: &Cred) -> String {
    let place = w.lookup(path, Default::default()).unwrap();
    let names = xattr::list(place.inode().unwrap(), cred).unwrap();
    String::from_utf8(names).unwrap().replace('\0', " ")
}

#[test]
fn set_replace_and_remove() {
    let w = tree();
    let set = |value: &[u8], flags| set_as(&w, "f", "trusted.a", value, flags, &Cred::ROOT);
    let get = || get_as(&w, "f", "trusted.a", &Cred::ROOT);
    answers! {
        get() => Err(Errno::ENODATA),
        set(b"x", 2) => err(Errno::ENODATA),
        set(b"1", 1) => OK,
        set(b"2", 1) => err(Errno::EEXIST),
        set(b"", 2) => OK,
        get() => Ok(Vec::new()),
        set(b"3", 0) => OK,
        get() => Ok(b"3".to_vec()),
        list(&w, "f", &Cred::ROOT) => "trusted.a ",
        list(&w, "f", &Cred::user(1, 1)) => "",
        remove(&w, "f", "trusted.a") => OK,
        remove(&w, "f", "trusted.a") => err(Errno::ENODATA),
        list(&w, "d", &Cred::ROOT) => "",
    }
}

#[test]
fn namespaces_and_who_may() {
    let w = tree();
    let nobody = Cred::user(9, 9);
    let set = |path, name, cred: &Cred| set_as(&w, path, name, b"v", 0, cred);
    answers! {
        set("f", "user.a", &nobody) => err(Errno::EACCES),
        set("f", "user.a", &Cred::ROOT) => err(Errno::EOPNOTSUPP),
        set("l", "user.a", &Cred::ROOT) => err(Errno::EPERM),
        get_as(&w, "l", "user.a", &Cred::ROOT) => Err(Errno::ENODATA),
        set("f", "trusted.a", &nobody) => err(Errno::EPERM),
        set("l", "trusted.a", &Cred::ROOT) => OK,
        get_as(&w, "l", "trusted.a", &nobody) => Err(Errno::ENODATA),
        set("f", "security.a", &nobody) => err(Errno::EPERM),
        set("d", "security.a", &Cred::ROOT) => OK,
        get_as(&w, "d", "security.a", &nobody) => Ok(b"v".to_vec()),
        set("f", "trusted.", &Cred::ROOT) => err(Errno::EINVAL),
        set("f", "other.a", &Cred::ROOT) => err(Errno::EOPNOTSUPP),
        set("f", "system.posix_acl_access", &Cred::ROOT) => err(Errno::EINVAL),
        get_as(&w, "f", "system.posix_acl_access", &Cred::ROOT) => Err(Errno::EOPNOTSUPP),
    }
}

#[test]
fn a_programs_capabilities_go_with_its_bytes_and_its_owner() {
    let w = tree();
    let caps = [&[1, 0, 0, 2][..], &[0; 16]].concat();
    let set = |value: &[u8], cred: &Cred| set_as(&w, "f", "security.capability", value, 0, cred);
    let get = || get_as(&w, "f", "security.capability", &Cred::ROOT);
    assert_eq!(set(b"x", &Cred::user(1, 1)), err(Errno::EINVAL));
    assert_eq!(set(&caps, &Cred::user(1, 1)), err(Errno::EPERM));
    assert_eq!(set(&caps, &Cred::ROOT), OK);
    assert_eq!(get(), Ok(caps.clone()));
    crate::attr_ops::chown(&w.place("f"), Some(1), None, &Cred::ROOT).unwrap();
    assert_eq!(get(), Err(Errno::ENODATA));
    set(&caps, &Cred::ROOT).unwrap();
    crate::attr_ops::truncate(&w.place("f"), 3, u64::MAX, &Cred::ROOT).unwrap();
    assert_eq!(get(), Err(Errno::ENODATA));
}
