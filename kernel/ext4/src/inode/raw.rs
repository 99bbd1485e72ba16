//! The inode's one door: table bytes in, a trusted [`Meta`] out, and back.
//!
//! # What it is
//! [`decode`] checks everything that does not need another block: the checksum, `i_extra_isize`, the
//! type in `i_mode`, the size against the type, flags that contradict the features. [`encode`] writes
//! a [`Meta`] over the old bytes and [`seal`] renews the checksum; what it does not know (xattrs behind the
//! extra fields, `i_dtime`, which the orphan list owns) stays as it was.
//!
//! # Worked example: times
//! `i_mtime` holds 32 bits of seconds, `i_mtime_extra` 2 more (the low bits) and 30 of nanoseconds.
//! 2038-01-19 03:14:08.5 is 0x8000_0000 seconds: as i32 that is -2^31, so the extra bits say "plus
//! 1 * 2^32": i_mtime 0x8000_0000, extra (500_000_000 << 2) | 1.
//!
//! Source: ext4 documentation, "Index Nodes", "Inode Timestamps", "Inode Checksums".

use core::fmt;

use base::{DevId, Timespec};
use vfs::FileType;
use zerocopy::byteorder::little_endian::U32;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use crate::checksum::crc32c;
use crate::disk::feature::{Incompat, RoCompat};
use crate::disk::inode::{
    BASE_SIZE, BLOCK_SIZE, CHECKSUM_HI_OFFSET, CHECKSUM_LO_OFFSET, DTIME_OFFSET, EXTRA_SIZE, InodeBase,
    InodeExtra, InodeFlags,
};
use crate::disk::{hi16, hi32, join16, join32, lo16, lo32};
use crate::geometry::Geometry;

/// Why an inode is refused: one variant per check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InodeError {
    /// The checksum does not match; the value on disk and the one computed.
    Checksum(u32, u32),
    /// `i_extra_isize` does not fit the inode.
    ExtraIsize(u16),
    /// The type bits of `i_mode` name no type.
    Mode(u16),
    /// `i_size` is larger than any file, or no size for this type.
    Size(u64),
    /// `i_file_acl` lies outside the file system.
    FileAcl(u64),
    /// A flag that the features of this disk do not allow.
    Flags(u32),
    /// `i_links_count` and `i_mode` are 0: the inode is free.
    Free,
}

impl fmt::Display for InodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InodeError::Checksum(disk, calc) => {
                write!(f, "i_checksum is {disk:#010x}, the inode's bytes give {calc:#010x}")
            }
            InodeError::ExtraIsize(v) => write!(f, "i_extra_isize {v} does not fit the inode"),
            InodeError::Mode(v) => write!(f, "i_mode {v:#o} names no type"),
            InodeError::Size(v) => write!(f, "i_size {v} is impossible for this type"),
            InodeError::FileAcl(v) => write!(f, "i_file_acl {v} lies outside the file system"),
            InodeError::Flags(v) => {
                write!(f, "i_flags {v:#x} contradict themselves, the type or the features")
            }
            InodeError::Free => f.write_str("the inode is not in use"),
        }
    }
}

/// What an inode says, in memory.
#[derive(Clone, Debug)]
pub struct Meta {
    /// Type and permissions.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Names; 1 for a directory with more subdirectories than fit (dir_nlink).
    pub nlink: u16,
    /// Flags.
    pub flags: InodeFlags,
    /// Space in use, in 512-byte units.
    pub blocks: u64,
    /// Last read.
    pub atime: Timespec,
    /// Last change of the content.
    pub mtime: Timespec,
    /// Last change of the inode.
    pub ctime: Timespec,
    /// Birth; None with 128-byte inodes.
    pub crtime: Option<Timespec>,
    /// Goes into every checksum of this inode.
    pub generation: u32,
    /// The block with extended attributes, 0 for none.
    pub file_acl: u64,
    /// Counts changes (i_version).
    pub version: u64,
    /// The project (`i_projid`), 0 where there is no room for one.
    pub projid: u32,
    /// Bytes of the extra fields in use.
    pub extra_isize: u16,
    /// The block map's root, a fast symbolic link's target, or a device number.
    pub block: [u8; BLOCK_SIZE],
}

/// What [`decode`] gives.
pub struct Decoded {
    /// What the inode says.
    pub meta: Meta,
    /// Its size in bytes.
    pub size: u64,
    /// The type in its mode.
    pub kind: FileType,
    /// `i_dtime`: the next orphan while the inode is on the orphan list.
    pub dtime: u32,
}

/// The seed of all checksums of an inode.
pub fn csum_seed(geo: &Geometry, ino: u32, generation: u32) -> u32 {
    crc32c(crc32c(geo.csum_seed, &ino.to_le_bytes()), &generation.to_le_bytes())
}

/// Reads an inode from its slot in the table. `raw` is `geo.inode_size` bytes.
pub fn decode(geo: &Geometry, ino: u32, raw: &[u8]) -> Result<Decoded, InodeError> {
    let base = InodeBase::read_from_prefix(raw).map_err(|_| InodeError::ExtraIsize(0))?.0;
    let (extra, extra_isize) = read_extra(raw)?;
    check_checksum(geo, ino, raw, &base, &extra, extra_isize)?;
    if base.i_mode.get() == 0 && base.i_links_count.get() == 0 {
        return Err(InodeError::Free);
    }
    let mode = base.i_mode.get();
    let kind = FileType::of_mode(u32::from(mode)).ok_or(InodeError::Mode(mode))?;
    let flags = InodeFlags::from_bits_retain(base.i_flags.get());
    check_flags(geo, flags, kind)?;
    let size = read_size(geo, &base, kind)?;
    let file_acl = u64::from(base.i_file_acl_lo.get()) | (u64::from(base.i_file_acl_high.get()) << 32);
    if file_acl != 0 && geo.locate(base::FsBlock(file_acl)).is_none() {
        return Err(InodeError::FileAcl(file_acl));
    }
    let time = |sec: U32, extra: U32, end: u16| {
        decode_time(sec.get(), if extra_isize >= end { extra.get() } else { 0 })
    };
    let meta = Meta {
        mode,
        uid: join16(base.i_uid, base.i_uid_high),
        gid: join16(base.i_gid, base.i_gid_high),
        nlink: base.i_links_count.get(),
        flags,
        blocks: read_blocks(geo, &base, flags),
        ctime: time(base.i_ctime, extra.i_ctime_extra, 8),
        mtime: time(base.i_mtime, extra.i_mtime_extra, 12),
        atime: time(base.i_atime, extra.i_atime_extra, 16),
        crtime: has_birth(extra_isize).then(|| time(extra.i_crtime, extra.i_crtime_extra, 24)),
        generation: base.i_generation.get(),
        file_acl,
        version: join32(base.i_version_lo, if extra_isize >= 28 { extra.i_version_hi } else { 0.into() }),
        projid: if has_project(extra_isize) { extra.i_projid.get() } else { 0 },
        extra_isize,
        block: base.i_block,
    };
    Ok(Decoded { meta, size, kind, dtime: base.i_dtime.get() })
}

/// Writes an inode over its slot in the table; [`seal`] has to follow.
pub fn encode(geo: &Geometry, meta: &Meta, size: u64, raw: &mut [u8]) {
    let Ok((mut base, _)) = InodeBase::read_from_prefix(raw) else { return };
    base.i_mode = meta.mode.into();
    (base.i_uid, base.i_uid_high) = (lo16(meta.uid), hi16(meta.uid));
    (base.i_gid, base.i_gid_high) = (lo16(meta.gid), hi16(meta.gid));
    base.i_links_count = meta.nlink.into();
    (base.i_size_lo, base.i_size_high) = (lo32(size), hi32(size));
    base.i_generation = meta.generation.into();
    base.i_file_acl_lo = lo32(meta.file_acl);
    base.i_file_acl_high = lo16((meta.file_acl >> 32) as u32);
    (base.i_version_lo, base.i_block) = (lo32(meta.version), meta.block);
    base.i_flags = encode_blocks(geo, &mut base, meta).bits().into();
    let time =
        |t: Timespec, end: u16| if meta.extra_isize >= end { encode_time(t) } else { encode_short_time(t) };
    let (ctime, mtime, atime) = (time(meta.ctime, 8), time(meta.mtime, 12), time(meta.atime, 16));
    (base.i_atime, base.i_ctime, base.i_mtime) = (atime.0, ctime.0, mtime.0);
    raw[..BASE_SIZE].copy_from_slice(base.as_bytes());
    let used = usize::from(meta.extra_isize).min(EXTRA_SIZE).min(raw.len() - BASE_SIZE);
    if used > 0 {
        let crtime = meta.crtime.map(|t| time(t, 24)).unwrap_or_default();
        let extra = InodeExtra {
            i_extra_isize: meta.extra_isize.into(),
            i_checksum_hi: 0.into(),
            i_ctime_extra: ctime.1,
            i_mtime_extra: mtime.1,
            i_atime_extra: atime.1,
            i_crtime: crtime.0,
            i_crtime_extra: crtime.1,
            i_version_hi: hi32(meta.version),
            i_projid: meta.projid.into(),
        };
        raw[BASE_SIZE..BASE_SIZE + used].copy_from_slice(&extra.as_bytes()[..used]);
    }
}

/// Sets `i_dtime` alone; [`seal`] has to follow when it says that something changed.
pub fn set_dtime(dtime: u32, raw: &mut [u8]) -> bool {
    let Some(field) = raw.get_mut(DTIME_OFFSET..DTIME_OFFSET + 4) else { return false };
    let new = dtime.to_le_bytes();
    let changed = *field != new;
    if changed {
        field.copy_from_slice(&new);
    }
    changed
}

/// `i_generation`, which goes into the checksum.
pub fn generation(raw: &[u8]) -> u32 {
    InodeBase::ref_from_prefix(raw).map_or(0, |(base, _)| base.i_generation.get())
}

/// `i_links_count`.
pub fn links(raw: &[u8]) -> u16 {
    InodeBase::ref_from_prefix(raw).map_or(0, |(base, _)| base.i_links_count.get())
}

/// Whether it is a directory's.
pub fn is_directory(raw: &[u8]) -> bool {
    let mode = InodeBase::ref_from_prefix(raw).map_or(0, |(base, _)| base.i_mode.get());
    FileType::of_mode(u32::from(mode)) == Some(FileType::Directory)
}

/// Writes an inode that a fast commit told of, and that the disk does not have, over its slot. It has no blocks
/// and no attributes yet, and a directory no names. `extents`: whether directories are mapped by those.
/// [`seal`] has to follow.
pub fn put_fresh(slot: &mut [u8], raw: &[u8], directory: bool, extents: bool) {
    slot.fill(0);
    let len = raw.len().min(slot.len());
    slot[..len].copy_from_slice(&raw[..len]);
    let Ok((base, _)) = InodeBase::mut_from_prefix(slot) else { return };
    let mut flags = InodeFlags::from_bits_retain(base.i_flags.get());
    flags.remove(InodeFlags::HUGE_FILE);
    if directory {
        flags.remove(InodeFlags::INLINE_DATA | InodeFlags::INDEX);
        flags.set(InodeFlags::EXTENTS, extents);
        (base.i_size_lo, base.i_size_high) = (0.into(), 0.into());
        base.i_block.fill(0);
    }
    if flags.contains(InodeFlags::EXTENTS) {
        crate::extent::node::init(&mut base.i_block, 0);
    }
    base.i_flags = flags.bits().into();
    base.i_dtime = 0.into();
    (base.i_blocks_lo, base.i_blocks_high) = (0.into(), 0.into());
    (base.i_file_acl_lo, base.i_file_acl_high) = (0.into(), 0.into());
}

/// Writes what a fast commit told of an inode over its slot, but for what the disk knows better: its blocks and
/// their number, its attributes, its place on the orphan list. [`seal`] has to follow.
pub fn put_known(slot: &mut [u8], raw: &[u8]) {
    let Ok((old, _)) = InodeBase::read_from_prefix(slot) else { return };
    let len = raw.len().min(slot.len());
    slot[..len].copy_from_slice(&raw[..len]);
    let Ok((base, _)) = InodeBase::mut_from_prefix(slot) else { return };
    let was = InodeFlags::from_bits_retain(old.i_flags.get());
    let mut flags = InodeFlags::from_bits_retain(base.i_flags.get());
    if !flags.contains(InodeFlags::INLINE_DATA) {
        base.i_block = old.i_block;
        // Its content has moved out of the inode.
        if flags.contains(InodeFlags::EXTENTS) && !was.contains(InodeFlags::EXTENTS) {
            crate::extent::node::init(&mut base.i_block, 0);
        }
    }
    flags.set(InodeFlags::HUGE_FILE, was.contains(InodeFlags::HUGE_FILE));
    base.i_flags = flags.bits().into();
    base.i_dtime = old.i_dtime;
    (base.i_blocks_lo, base.i_blocks_high) = (old.i_blocks_lo, old.i_blocks_high);
    (base.i_file_acl_lo, base.i_file_acl_high) = (old.i_file_acl_lo, old.i_file_acl_high);
}

/// Writes the last bytes of an inode, where attributes lie; [`seal`] has to follow.
pub fn set_tail(tail: &[u8], raw: &mut [u8]) {
    if let Some(at) = raw.len().checked_sub(tail.len()).filter(|&at| at >= BASE_SIZE) {
        raw[at..].copy_from_slice(tail);
    }
}

/// Whether so many bytes of extra fields reach past `i_projid`.
pub fn has_project(extra_isize: u16) -> bool {
    usize::from(extra_isize) >= EXTRA_SIZE
}

/// Whether so many bytes of extra fields reach past `i_crtime`.
pub fn has_birth(extra_isize: u16) -> bool {
    extra_isize >= 20
}

/// Renews the checksum over an inode's bytes; `seed` is its [`csum_seed`].
pub fn seal(geo: &Geometry, seed: u32, raw: &mut [u8]) {
    if !geo.metadata_csum() {
        return;
    }
    let high = has_checksum_hi(raw);
    put_checksum(0, high, raw);
    put_checksum(crc32c(seed, raw), high, raw);
}

fn put_checksum(crc: u32, high: bool, raw: &mut [u8]) {
    let [a, b, c, d] = crc.to_le_bytes();
    (raw[CHECKSUM_LO_OFFSET], raw[CHECKSUM_LO_OFFSET + 1]) = (a, b);
    if high {
        (raw[CHECKSUM_HI_OFFSET], raw[CHECKSUM_HI_OFFSET + 1]) = (c, d);
    }
}

fn check_checksum(
    geo: &Geometry,
    ino: u32,
    raw: &[u8],
    base: &InodeBase,
    extra: &InodeExtra,
    extra_isize: u16,
) -> Result<(), InodeError> {
    if !geo.metadata_csum() {
        return Ok(());
    }
    let high = extra_isize >= 4;
    let zero = [0u8; 2];
    let mut crc = crc32c(csum_seed(geo, ino, base.i_generation.get()), &raw[..CHECKSUM_LO_OFFSET]);
    crc = crc32c(crc, &zero);
    crc = crc32c(crc, &raw[CHECKSUM_LO_OFFSET + 2..BASE_SIZE]);
    if raw.len() > BASE_SIZE {
        crc = crc32c(crc, &raw[BASE_SIZE..CHECKSUM_HI_OFFSET]);
        let hi = if high { &zero[..] } else { &raw[CHECKSUM_HI_OFFSET..CHECKSUM_HI_OFFSET + 2] };
        crc = crc32c(crc32c(crc, hi), &raw[CHECKSUM_HI_OFFSET + 2..]);
    }
    let disk = if high {
        join16(base.i_checksum_lo, extra.i_checksum_hi)
    } else {
        crc &= 0xffff;
        u32::from(base.i_checksum_lo.get())
    };
    if disk == crc { Ok(()) } else { Err(InodeError::Checksum(disk, crc)) }
}

/// The extra fields, zero where the inode has none, and how many bytes of them count.
fn read_extra(raw: &[u8]) -> Result<(InodeExtra, u16), InodeError> {
    let mut extra = InodeExtra::new_zeroed();
    let room = raw.len().saturating_sub(BASE_SIZE);
    if room == 0 {
        return Ok((extra, 0));
    }
    let there = room.min(EXTRA_SIZE);
    extra.as_mut_bytes()[..there].copy_from_slice(&raw[BASE_SIZE..BASE_SIZE + there]);
    let size = extra.i_extra_isize.get();
    if usize::from(size) > room || size % 4 != 0 {
        return Err(InodeError::ExtraIsize(size));
    }
    Ok((extra, size))
}

fn has_checksum_hi(raw: &[u8]) -> bool {
    raw.get(BASE_SIZE..BASE_SIZE + 2).is_some_and(|size| {
        let size = usize::from(u16::from_le_bytes([size[0], size[1]]));
        size >= 4 && size.is_multiple_of(4) && size <= raw.len() - BASE_SIZE
    })
}

fn check_flags(geo: &Geometry, flags: InodeFlags, kind: FileType) -> Result<(), InodeError> {
    // It changes what the content means, and its feature is refused at mount.
    let foreign = flags.contains(InodeFlags::ENCRYPT);
    let sized = matches!(kind, FileType::Regular | FileType::Directory | FileType::Symlink);
    let inline = flags.contains(InodeFlags::INLINE_DATA)
        && (!geo.has_incompat(Incompat::INLINE_DATA) || flags.contains(InodeFlags::EXTENTS) || !sized);
    if foreign || inline { Err(InodeError::Flags(flags.bits())) } else { Ok(()) }
}

/// The largest `i_size` that any inode may say.
const MAX_SIZE: u64 = 1 << 47;

fn read_size(geo: &Geometry, base: &InodeBase, kind: FileType) -> Result<u64, InodeError> {
    let size = join32(base.i_size_lo, base.i_size_high);
    let fits = match kind {
        FileType::Regular => size <= MAX_SIZE,
        // A directory's size has 32 bits, and with large_dir as many as a file's.
        FileType::Directory if geo.has_incompat(Incompat::LARGEDIR) => size <= MAX_SIZE,
        FileType::Directory => size <= u64::from(u32::MAX),
        FileType::Symlink => size <= 4096,
        _ => true,
    };
    if fits { Ok(size) } else { Err(InodeError::Size(size)) }
}

fn read_blocks(geo: &Geometry, base: &InodeBase, flags: InodeFlags) -> u64 {
    let lo = u64::from(base.i_blocks_lo.get());
    if !geo.has_ro_compat(RoCompat::HUGE_FILE) {
        return lo;
    }
    let count = lo | (u64::from(base.i_blocks_high.get()) << 32);
    if flags.contains(InodeFlags::HUGE_FILE) { count << (geo.block_bits - 9) } else { count }
}

/// Writes `i_blocks`, in file-system blocks when 48 bits of sectors are too few, and says which flags
/// the inode then has.
fn encode_blocks(geo: &Geometry, base: &mut InodeBase, meta: &Meta) -> InodeFlags {
    let mut flags = meta.flags;
    flags.remove(InodeFlags::HUGE_FILE);
    let mut count = meta.blocks;
    if geo.has_ro_compat(RoCompat::HUGE_FILE) && count >= 1 << 48 {
        count >>= geo.block_bits - 9;
        flags.insert(InodeFlags::HUGE_FILE);
    }
    base.i_blocks_lo = lo32(count);
    base.i_blocks_high = lo16((count >> 32) as u32);
    flags
}

fn decode_time(sec: u32, extra: u32) -> Timespec {
    let epoch = i64::from(extra & 3) << 32;
    Timespec { sec: i64::from(sec.cast_signed()) + epoch, nsec: (extra >> 2).min(999_999_999) }
}

/// `i_xtime` and `i_xtime_extra`. A moment that 34 bits cannot say becomes the nearest that they can.
fn encode_time(t: Timespec) -> (U32, U32) {
    const FIRST: i64 = -(1 << 31);
    const LAST: i64 = (3i64 << 32) + (1 << 31) - 1;
    let sec = t.sec.clamp(FIRST, LAST);
    let low = lo32(sec.cast_unsigned());
    let epoch = (sec - i64::from(low.get().cast_signed())) >> 32;
    (low, U32::new(((epoch & 3) as u32) | (t.nsec << 2)))
}

/// `i_xtime` without extra bits: the nearest moment that 32 can say.
fn encode_short_time(t: Timespec) -> (U32, U32) {
    let sec = t.sec.clamp(i64::from(i32::MIN), i64::from(i32::MAX));
    (lo32(sec.cast_unsigned()), U32::ZERO)
}

/// The device number in `i_block`: the old 16-bit form in the first word, or the new in the second.
pub fn decode_device(block: &[u8; BLOCK_SIZE]) -> DevId {
    let word = |at: usize| u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
    match word(0) {
        0 => {
            let new = word(4);
            DevId::new((new & 0xfff00) >> 8, (new & 0xff) | ((new >> 12) & 0xf_ff00))
        }
        old => DevId::new((old >> 8) & 0xff, old & 0xff),
    }
}

/// The inverse of [`decode_device`].
pub fn encode_device(dev: DevId) -> [u8; BLOCK_SIZE] {
    let mut block = [0; BLOCK_SIZE];
    if dev.major < 256 && dev.minor < 256 {
        block[..4].copy_from_slice(&((dev.major << 8) | dev.minor).to_le_bytes());
    } else {
        let new = (dev.minor & 0xff) | ((dev.major & 0xfff) << 8) | ((dev.minor & 0xf_ff00) << 12);
        block[4..8].copy_from_slice(&new.to_le_bytes());
    }
    block
}

#[cfg(test)]
#[path = "raw_tests.rs"]
mod tests;
