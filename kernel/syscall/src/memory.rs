//! The address space: brk(2), mmap(2), munmap(2), mprotect(2), mremap(2), madvise(2), mincore(2),
//! msync(2), mlock(2).

use base::{Errno, Result, UserAddr};
use process::mm::{MapFile, MapFlags, MapRequest};

use crate::args::Args;
use crate::context::Cx;

/// brk(2) as the kernel has it: answers where the break is, moved or not.
pub fn brk(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    Ok(cx.process.mm().brk(args.addr(0)).0)
}

/// mmap(2).
pub fn mmap(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let flags = args.uint(3);
    let anonymous = MapFlags::from_bits_retain(flags).contains(MapFlags::ANONYMOUS);
    let offset = args.ulong(5);
    if !offset.is_multiple_of(base::PAGE_SIZE as u64) {
        return Err(Errno::EINVAL);
    }
    let file = match anonymous {
        true => None,
        false => Some(MapFile::open(&cx.process.files().get(args.int(4))?)?),
    };
    let request =
        MapRequest { addr: args.ulong(0), len: args.ulong(1), prot: args.uint(2), flags, file, offset };
    Ok(cx.process.mm().mmap(&request)?.0)
}

/// The address without a tag in its highest byte, which the processor does not look at (`untagged_addr`). brk(2) and
/// mmap(2) take none.
fn untagged(addr: UserAddr) -> UserAddr {
    let kernels = addr.0 & 1 << 55 != 0;
    if kernels { addr } else { UserAddr(addr.0 & (u64::MAX >> 8)) }
}

/// munmap(2).
pub fn munmap(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    cx.process.mm().munmap(untagged(args.addr(0)), args.ulong(1)).map(|()| 0)
}

/// mprotect(2).
pub fn mprotect(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    cx.process.mm().mprotect(untagged(args.addr(0)), args.ulong(1), args.uint(2)).map(|()| 0)
}

/// mremap(2).
pub fn mremap(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let (old_len, new_len) = (args.ulong(1), args.ulong(2));
    let moved =
        cx.process.mm().mremap(untagged(args.addr(0)), old_len, new_len, args.uint(3), args.addr(4))?;
    Ok(moved.0)
}

/// madvise(2).
pub fn madvise(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    cx.process.mm().madvise(untagged(args.addr(0)), args.ulong(1), args.uint(2)).map(|()| 0)
}

/// mincore(2): a byte per page.
pub fn mincore(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    let (present, end) = cx.process.mm().mincore(untagged(args.addr(0)), args.ulong(1))?;
    cx.memory().write_all(args.addr(2), &present)?;
    end.map(|()| 0)
}

/// msync(2).
pub fn msync(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    cx.process.mm().msync(untagged(args.addr(0)), args.ulong(1), args.uint(2)).map(|()| 0)
}

/// mlock(2).
pub fn mlock(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    cx.process.mm().mlock(untagged(args.addr(0)), args.ulong(1), 0).map(|()| 0)
}

/// mlock2(2): with MLOCK_ONFAULT nothing is brought in now.
pub fn mlock2(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    cx.process.mm().mlock(untagged(args.addr(0)), args.ulong(1), args.uint(2)).map(|()| 0)
}

/// munlock(2).
pub fn munlock(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    cx.process.mm().munlock(untagged(args.addr(0)), args.ulong(1)).map(|()| 0)
}

/// mlockall(2).
pub fn mlockall(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    cx.process.mm().mlockall(args.uint(0)).map(|()| 0)
}

/// munlockall(2).
pub fn munlockall(cx: &mut Cx<'_>, _: Args) -> Result<u64> {
    cx.process.mm().munlockall();
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_not_looked_at() {
        let untagged = |addr| untagged(UserAddr(addr)).0;
        assert_eq!((untagged(0x1000), untagged(0xab00_ffff_0000_1000)), (0x1000, 0xffff_0000_1000));
        assert_eq!(untagged(0xfff0_0000_0000_1000), 0xfff0_0000_0000_1000, "nobody's");
    }
}
