//! Extended attributes: setxattr(2), getxattr(2), listxattr(2), removexattr(2), by path, by path
//! without following a link at the end, and by descriptor.
//!
//! The order of errors is Linux's: the place, EROFS, the flags EINVAL, the name ERANGE or EFAULT, the
//! size E2BIG, the value EFAULT, and then what [`vfs::xattr`] says.

use alloc::vec;
use alloc::vec::Vec;

use base::{Errno, Result, UserAddr};
use vfs::Path;
use vfs::namei::LookupFlags;
use vfs::xattr::{self, XattrFlags};

use crate::args::Args;
use crate::context::Cx;
use crate::path::{AT_FDCWD, UserPath};

/// How the first argument names the inode.
#[derive(Clone, Copy)]
enum Way {
    Path,
    Link,
    Descriptor,
}

fn place(cx: &Cx<'_>, args: Args, way: Way) -> Result<Path> {
    let flags = match way {
        Way::Descriptor => return Ok(cx.process.files().get_io(args.int(0))?.path().clone()),
        Way::Path => LookupFlags::FOLLOW,
        Way::Link => LookupFlags::empty(),
    };
    UserPath::get(cx, AT_FDCWD, args.addr(0))?.lookup(flags)
}

/// The name argument. ERANGE when it is empty or too long.
fn name(cx: &Cx<'_>, at: UserAddr) -> Result<Vec<u8>> {
    match cx.memory().read_cstr(at, xattr::NAME_MAX) {
        Ok(name) if name.is_empty() => Err(Errno::ERANGE),
        Err(Errno::ENAMETOOLONG) => Err(Errno::ERANGE),
        other => other,
    }
}

fn set(cx: &Cx<'_>, args: Args, way: Way) -> Result<u64> {
    let place = place(cx, args, way)?;
    let write = place.mount.want_write()?;
    let flags = XattrFlags::from_bits(args.uint(4)).ok_or(Errno::EINVAL)?;
    let name = name(cx, args.addr(1))?;
    if args.size(3) > xattr::SIZE_MAX {
        return Err(Errno::E2BIG);
    }
    let mut value = vec![0; args.size(3)];
    cx.memory().read_exact(args.addr(2), &mut value)?;
    xattr::set(&place, &name, &value, flags, &cx.process.cred(), &write)?;
    Ok(0)
}

fn remove(cx: &Cx<'_>, args: Args, way: Way) -> Result<u64> {
    let place = place(cx, args, way)?;
    let write = place.mount.want_write()?;
    let name = name(cx, args.addr(1))?;
    xattr::remove(&place, &name, &cx.process.cred(), &write)?;
    Ok(0)
}

/// Gives out bytes into a buffer of `size`; with size 0 only tells how many they are. ERANGE when it
/// is too small, E2BIG when no buffer would do.
fn give(cx: &Cx<'_>, bytes: &[u8], at: UserAddr, size: usize, most: usize) -> Result<u64> {
    if size == 0 {
        return Ok(bytes.len() as u64);
    }
    if bytes.len() > size.min(most) {
        return Err(if size >= most { Errno::E2BIG } else { Errno::ERANGE });
    }
    cx.memory().write_all(at, bytes)?;
    Ok(bytes.len() as u64)
}

fn get(cx: &Cx<'_>, args: Args, way: Way) -> Result<u64> {
    let place = place(cx, args, way)?;
    let name = name(cx, args.addr(1))?;
    let value = xattr::get(place.inode()?, &name, &cx.process.cred())?;
    give(cx, &value, args.addr(2), args.size(3), xattr::SIZE_MAX)
}

fn list(cx: &Cx<'_>, args: Args, way: Way) -> Result<u64> {
    let place = place(cx, args, way)?;
    let names = xattr::list(place.inode()?, &cx.process.cred())?;
    give(cx, &names, args.addr(1), args.size(2), xattr::LIST_MAX)
}

/// setxattr(2).
pub fn setxattr(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    set(cx, args, Way::Path)
}

/// lsetxattr(2).
pub fn lsetxattr(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    set(cx, args, Way::Link)
}

/// fsetxattr(2).
pub fn fsetxattr(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    set(cx, args, Way::Descriptor)
}

/// getxattr(2).
pub fn getxattr(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    get(cx, args, Way::Path)
}

/// lgetxattr(2).
pub fn lgetxattr(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    get(cx, args, Way::Link)
}

/// fgetxattr(2).
pub fn fgetxattr(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    get(cx, args, Way::Descriptor)
}

/// listxattr(2).
pub fn listxattr(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    list(cx, args, Way::Path)
}

/// llistxattr(2).
pub fn llistxattr(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    list(cx, args, Way::Link)
}

/// flistxattr(2).
pub fn flistxattr(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    list(cx, args, Way::Descriptor)
}

/// removexattr(2).
pub fn removexattr(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    remove(cx, args, Way::Path)
}

/// lremovexattr(2).
pub fn lremovexattr(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    remove(cx, args, Way::Link)
}

/// fremovexattr(2).
pub fn fremovexattr(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    remove(cx, args, Way::Descriptor)
}
