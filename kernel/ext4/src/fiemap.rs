//! FS_IOC_FIEMAP and FIBMAP: where on the device a file's bytes lie.
//!
//! # What is told
//! ```text
//!   struct fiemap         start, length, flags, mapped_extents, extent_count         32 bytes, then
//!   struct fiemap_extent  logical, physical, length (bytes), flags                   56 bytes each
//!
//!   extents         each as the tree has it, cut to the blocks that the range touches; UNWRITTEN
//!   delayed         blocks that are reserved and have no place yet: DELALLOC, UNKNOWN, at 0
//!   block pointers  runs that go on in file and device are one: MERGED
//!   inline          the place of i_block in the inode's table: DATA_INLINE, NOT_ALIGNED
//!   FLAG_XATTR      the attributes: in the inode (as inline), else their block
//! ```
//! The last extent of the *range* is LAST, and only if the array had room for it. With an array of 0
//! extents are counted. `fm_flags` comes back without what was understood, and with EBADR as the flags
//! that were not.
//!
//! # Where Linux is not followed
//! The physical address of attributes in the inode is theirs; Linux leaves out where in its block of the
//! table the inode lies.
//!
//! # Locking
//! `i_rwsem` shared, so that no two steps see a different map; `data_sem` shared in each step.
//!
//! Source: the kernel's `filesystems/fiemap.rst`, `linux/fiemap.h`, `ext4_fiemap`, `ext4_bmap`.

use core::mem::offset_of;

use base::{Errno, FileBlock, Result};
use bitflags::bitflags;
use pagecache::ExtentKind;
use vfs::{Caller, FileType};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::disk::inode::{BASE_SIZE, InodeBase, InodeFlags};
use crate::extent::node::Entry;
use crate::extent::tree::{Lookup, Tree};
use crate::indirect;
use crate::inode::Node;
use crate::inode::cache::table_place;

bitflags! {
    /// FIEMAP_FLAG_*.
    #[derive(Clone, Copy)]
    struct Asked: u32 {
        /// Dirty pages are written first.
        const SYNC = 0x1;
        /// Of the attributes, not the content.
        const XATTR = 0x2;
        /// The map is brought into memory; it is, as far as there is room.
        const CACHE = 0x4;
    }
}

bitflags! {
    /// FIEMAP_EXTENT_*.
    #[derive(Clone, Copy, PartialEq, Eq)]
    struct Told: u32 {
        const LAST = 0x1;
        const UNKNOWN = 0x2;
        const DELALLOC = 0x4;
        const NOT_ALIGNED = 0x100;
        const DATA_INLINE = 0x200;
        const UNWRITTEN = 0x800;
        const MERGED = 0x1000;
    }
}

/// `struct fiemap`.
#[derive(FromBytes, IntoBytes, Immutable, Clone, Copy)]
#[repr(C)]
struct Fiemap {
    start: u64,
    length: u64,
    flags: u32,
    mapped_extents: u32,
    extent_count: u32,
    reserved: u32,
}

/// `struct fiemap_extent`.
#[derive(IntoBytes, Immutable, Clone, Copy)]
#[repr(C)]
struct FiemapExtent {
    logical: u64,
    physical: u64,
    length: u64,
    reserved64: [u64; 2],
    flags: u32,
    reserved: [u32; 3],
}

const HEAD: usize = size_of::<Fiemap>();
const EXTENT: usize = size_of::<FiemapExtent>();
/// The largest array whose bytes a u32 counts.
const MAX_EXTENTS: u32 = u32::MAX / EXTENT as u32;

/// FS_IOC_FIEMAP. EINVAL, EFBIG, EBADR, EFAULT, EIO, EUCLEAN.
pub(crate) fn fiemap(node: &Node, arg: u64, caller: &Caller<'_>) -> Result<u64> {
    let bytes: [u8; HEAD] = caller.get(arg)?;
    let mut head: Fiemap = zerocopy::transmute!(bytes);
    if head.extent_count > MAX_EXTENTS {
        return Err(Errno::EINVAL);
    }
    let first = arg.wrapping_add(HEAD as u64);
    let mut report = Report { caller, first, room: head.extent_count, mapped: 0, held: None };
    let done = tell(node, &mut head, &mut report);
    head.mapped_extents = report.mapped;
    caller.put(arg, head.as_bytes())?;
    done.map(|()| 0)
}

/// Checks what is asked, in Linux's order, and answers. `head.flags` becomes what the program sees.
fn tell(node: &Node, head: &mut Fiemap, report: &mut Report<'_>) -> Result<()> {
    head.flags &= !Asked::CACHE.bits();
    let most = node.max_bytes();
    // For extents the end itself is too far, for pointers a range of nothing.
    let extents = node.flags().contains(InodeFlags::EXTENTS);
    match head.start {
        _ if head.length == 0 => return Err(Errno::EINVAL),
        start if start > most || (extents && start == most) => return Err(Errno::EFBIG),
        start if start == most => return Err(Errno::EINVAL),
        _ => {}
    }
    let end = head.start.saturating_add(head.length).min(most);
    let attributes = head.flags & Asked::XATTR.bits() != 0;
    head.flags &= !Asked::XATTR.bits();
    let unknown = head.flags & !Asked::SYNC.bits();
    if unknown != 0 {
        head.flags = unknown;
        return Err(Errno::EBADR);
    }
    if head.flags & Asked::SYNC.bits() != 0 {
        pagecache::filemap_write_and_wait_range(node.mapping(), node, 0..u64::MAX)?;
    }
    let _shared = node.rwsem().read();
    let lone = if attributes { node.attribute_place()? } else { node.inline_place()? };
    match lone {
        Some(piece) if head.start < piece.length => report.add(piece).map(drop)?,
        Some(_) => {}
        None if attributes => {}
        None => blocks(node, head.start, end, report)?,
    }
    report.end()
}

/// The runs of blocks that `start..end`, not empty, touches.
fn blocks(node: &Node, start: u64, end: u64, report: &mut Report<'_>) -> Result<()> {
    let bits = node.fs().geometry().block_bits;
    let mapped = if node.flags().contains(InodeFlags::EXTENTS) { Told::empty() } else { Told::MERGED };
    // At most 2^32 - 1, as `max_bytes` is that many blocks.
    let (mut at, end) = (start >> bits, end.div_ceil(1 << bits));
    while let Some(block) = u32::try_from(at).ok().filter(|_| at < end) {
        // At least one block further each time.
        at = match node.stored_run(block, end - at)? {
            Stored::Hole { next } => next.max(at + 1),
            Stored::Delayed { end: stop } => {
                let length = stop.min(end) - at;
                let flags = Told::DELALLOC | Told::UNKNOWN;
                let piece = Piece { logical: at << bits, physical: 0, length: length << bits, flags };
                if !report.add(piece)? {
                    break;
                }
                at + length
            }
            Stored::Run(run) => {
                let length = run.end().min(end) - at;
                let flags = if run.unwritten { Told::UNWRITTEN } else { mapped };
                let physical = run.part(block, 1).start << bits;
                let piece = Piece { logical: at << bits, physical, length: length << bits, flags };
                if !report.add(piece)? {
                    break;
                }
                at + length
            }
        };
    }
    Ok(())
}

/// What the map holds at a block.
enum Stored {
    Run(Entry),
    /// Reserved, up to a block.
    Delayed {
        end: u64,
    },
    /// `next`: the first block that may be mapped.
    Hole {
        next: u64,
    },
}

impl Node {
    /// The map itself is asked: the cache of extents may know only a part of one.
    fn stored_run(&self, block: u32, count: u64) -> Result<Stored> {
        let _shared = self.data_sem().read();
        if self.flags().contains(InodeFlags::EXTENTS) {
            return Ok(match Tree::of(self).lookup(block)? {
                Lookup::Found(run) => Stored::Run(run),
                Lookup::Hole { next, .. } => self.reserved_run(block, next),
            });
        }
        let found = indirect::lookup(self, block, count)?;
        Ok(match found.kind {
            ExtentKind::Mapped { block: start } => {
                // Pointers of one block: a u32 holds their number.
                let len = u32::try_from(found.len).map_err(|_| Errno::EIO)?;
                Stored::Run(Entry { block, len, start: start.0, unwritten: false })
            }
            _ => self.reserved_run(block, u64::from(block).saturating_add(found.len)),
        })
    }

    /// What is at a block of a hole that ends at `next`; or, of pointers, that has one of its borders there.
    fn reserved_run(&self, block: u32, next: u64) -> Stored {
        match self.delayed.next_from(block).filter(|run| u64::from(run.block) < next) {
            Some(run) if run.block <= block => Stored::Delayed { end: run.end() },
            Some(run) => Stored::Hole { next: run.block.into() },
            None => Stored::Hole { next },
        }
    }

    /// Where the bytes of an inline file or directory lie: those of `i_block`, and on from there.
    fn inline_place(&self) -> Result<Option<Piece>> {
        if !self.is_inline() {
            return Ok(None);
        }
        let flags = Told::DATA_INLINE | Told::NOT_ALIGNED;
        let physical = self.table_byte()? + offset_of!(InodeBase, i_block) as u64;
        Ok(Some(Piece { logical: 0, physical, length: self.size(), flags }))
    }

    /// Where the attributes lie.
    fn attribute_place(&self) -> Result<Option<Piece>> {
        let geometry = self.fs().geometry();
        if self.has_body_attributes() {
            let offset = BASE_SIZE + usize::from(self.with_meta(|m| m.extra_isize));
            let length = geometry.inode_size.saturating_sub(offset) as u64;
            let flags = Told::DATA_INLINE | Told::NOT_ALIGNED;
            let physical = self.table_byte()? + offset as u64;
            return Ok(Some(Piece { logical: 0, physical, length, flags }));
        }
        let block = self.with_meta(|m| m.file_acl);
        let piece = || Piece {
            logical: 0,
            physical: block << geometry.block_bits,
            length: geometry.block_size() as u64,
            flags: Told::empty(),
        };
        Ok((block != 0).then(piece))
    }

    /// The byte of the device where the inode begins.
    fn table_byte(&self) -> Result<u64> {
        let (block, offset) = table_place(self.fs(), self.ino32())?;
        Ok((block.0 << self.fs().geometry().block_bits) + offset as u64)
    }
}

/// An extent to tell of; in bytes.
#[derive(Clone, Copy)]
struct Piece {
    logical: u64,
    physical: u64,
    length: u64,
    flags: Told,
}

impl Piece {
    /// Whether `next` goes on where this ends, both being runs of pointers.
    fn goes_on(&self, next: &Piece) -> bool {
        (self.flags & next.flags).contains(Told::MERGED)
            && self.logical + self.length == next.logical
            && self.physical.checked_add(self.length) == Some(next.physical)
    }
}

/// The program's array. One extent is held back until it is known whether it is the last.
struct Report<'a> {
    caller: &'a Caller<'a>,
    /// Where the array begins.
    first: u64,
    /// Extents it holds; 0 to count only.
    room: u32,
    mapped: u32,
    held: Option<Piece>,
}

impl Report<'_> {
    /// The next extent. False when the array is full: then this is not in it. EFAULT.
    fn add(&mut self, next: Piece) -> Result<bool> {
        if let Some(held) = self.held.as_mut().filter(|held| held.goes_on(&next)) {
            held.length += next.length;
            return Ok(true);
        }
        if let Some(held) = self.held.replace(next) {
            self.put(&held)?;
        }
        Ok(!self.is_full())
    }

    /// No more extents.
    fn end(&mut self) -> Result<()> {
        match self.held.take() {
            Some(held) if !self.is_full() => self.put(&Piece { flags: held.flags | Told::LAST, ..held }),
            _ => Ok(()),
        }
    }

    fn is_full(&self) -> bool {
        self.room != 0 && self.mapped >= self.room
    }

    fn put(&mut self, piece: &Piece) -> Result<()> {
        if self.room != 0 {
            let extent = FiemapExtent {
                logical: piece.logical,
                physical: piece.physical,
                length: piece.length,
                reserved64: [0; 2],
                flags: piece.flags.bits(),
                reserved: [0; 3],
            };
            let at = self.first.wrapping_add(u64::from(self.mapped) * EXTENT as u64);
            self.caller.put(at, extent.as_bytes())?;
        }
        self.mapped = self.mapped.saturating_add(1);
        Ok(())
    }
}

/// FIBMAP: the device's block of a block of a file; 0 for a hole, an unwritten block, and bytes in the
/// inode. What is dirty is written first. ENOTTY for a directory, EPERM, EFAULT, EINVAL; ERANGE when an
/// int cannot hold it.
pub(crate) fn fibmap(node: &Node, arg: u64, caller: &Caller<'_>) -> Result<u64> {
    if node.kind() != FileType::Regular {
        return Err(Errno::ENOTTY);
    }
    if !caller.capable {
        return Err(Errno::EPERM);
    }
    let block = u32::try_from(i32::from_ne_bytes(caller.get(arg)?)).map_err(|_| Errno::EINVAL)?;
    let found = i32::try_from(bmap(node, block)).map_err(|_| Errno::ERANGE);
    caller.put(arg, &found.unwrap_or(0).to_ne_bytes())?;
    found.map(|_| 0)
}

/// As Linux's: what fails reads as nothing there.
fn bmap(node: &Node, block: u32) -> u64 {
    let _shared = node.rwsem().read();
    if node.empty_log_for_reader().is_err() {
        return 0;
    }
    if node.is_inline() || pagecache::filemap_write_and_wait_range(node.mapping(), node, 0..u64::MAX).is_err()
    {
        return 0;
    }
    node.locate(FileBlock(block.into())).ok().flatten().map_or(0, |at| at.0)
}
