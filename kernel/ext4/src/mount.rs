//! Mounting: from a block device to an [`Ext4Fs`], through one door.
//!
//! # Steps, and what each may say
//! ```text
//!   superblock   Geometry::check          EINVAL "not ext4, or not for Quill", EUCLEAN "damaged"
//!   options      Options::parse           EINVAL
//!   recovery     journal::load            EROFS, EUCLEAN; then from the superblock on again
//!   descriptors  Groups::read, zones      EUCLEAN
//!   may write?   Access::of               never an error: it becomes read-only, with a reason in the log
//!   journal      journal::load            EINVAL, EUCLEAN, ENODEV
//!   root         iget(2)                  EUCLEAN
//!   begin        marks the disk "in use"  EIO
//!   orphans      orphan::clean_up         EIO
//! ```
//!
//! # The disk while it is mounted
//! With a journal the feature needs_recovery is set meanwhile. Without one `s_state` loses EXT4_VALID_FS and
//! gets it back at unmount: nothing but a whole e2fsck can answer for a disk that was not unmounted.

use alloc::string::String;
use alloc::sync::Arc;

use base::{Errno, FsBlock, Ino, Result};
use block::Disk;
use pagecache::{BlockDevice, Claim};
use vfs::{FileSystemType, FileType, MountFlags, SuperBlock};
use writeback::Bdi;
use zerocopy::FromBytes;

use crate::balloc::trim;
use crate::disk::feature::{Compat, Incompat, RoCompat, incompat_names, ro_compat_names};
use crate::disk::inode::ROOT_INO;
use crate::disk::superblock::{OFFSET, SIZE, Superblock};
use crate::fs::{Ext4Fs, Parts};
use crate::geometry::{Geometry, SuperError, features};
use crate::group::Groups;
use crate::journal::{load, mode};
use crate::mounted;
use crate::options::{Flag, Flavor, Options};
use crate::orphan;
use crate::state::{begin, warn_about_state};

/// ext4, for [`vfs::register_filesystem`].
pub static FS_TYPE: &dyn FileSystemType = &ExtType(Flavor::Ext4);
/// ext2 and ext3: the same code, for disks that have no newer feature.
pub static OLDER_TYPES: [&dyn FileSystemType; 2] = [&ExtType(Flavor::Ext3), &ExtType(Flavor::Ext2)];

struct ExtType(Flavor);

impl FileSystemType for ExtType {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn requires_dev(&self) -> bool {
        true
    }

    fn mount(
        &self,
        source: Option<Arc<BlockDevice>>,
        flags: MountFlags,
        options: &str,
    ) -> Result<Arc<dyn SuperBlock>> {
        let device = source.ok_or(Errno::ENOTBLK)?;
        Ok(mount_as(self.0, &device, flags, options)?)
    }
}

/// Mounts what is on a device, as ext4.
pub fn mount(device: &Arc<BlockDevice>, read_only: bool, options: &str) -> Result<Arc<Ext4Fs>> {
    let flags = if read_only { MountFlags::RDONLY } else { MountFlags::empty() };
    mount_as(Flavor::Ext4, device, flags, options)
}

fn mount_as(
    flavor: Flavor,
    device: &Arc<BlockDevice>,
    flags: MountFlags,
    options: &str,
) -> Result<Arc<Ext4Fs>> {
    let read_only = flags.contains(MountFlags::RDONLY);
    let mut options = Options::parse(options, flavor)?.with_mount_flags(flags);
    let mut claim = device.claim()?;
    let (mut sb, mut geometry) = checked_superblock(device)?;
    mode::check_mount(device.disk(), &geometry, &mut options)?;
    let complain = |e: SuperError| {
        log::error!("EXT4-fs ({}): {e}", device.disk().name());
        e.errno()
    };
    check_flavor(&sb, flavor, read_only || device.disk().read_only()).map_err(complain)?;
    if flavor != Flavor::Ext4 {
        let name = flavor.name();
        log::info!(
            "EXT4-fs ({}): mounting {name} file system using the ext4 subsystem",
            device.disk().name()
        );
    }
    let recovers = geometry.has_incompat(Incompat::RECOVER) && load::is_wanted(&geometry, &options);
    if recovers {
        claim = recover(device, claim, geometry, &options, read_only)?;
        (sb, geometry) = checked_superblock(device)?;
    }
    let access = Access::of(device.disk(), &sb, &options);
    if let Access::No(why) = &access
        && !read_only
    {
        log::warn!("EXT4-fs ({}): mounted read-only: {why}", device.disk().name());
    }
    let fs = assemble(device, claim, geometry, options, read_only, &access)?;
    start(&fs, recovers).inspect_err(|_| {
        fs.set_root(None);
        // The reason the mount failed counts, not these.
        let _ = fs.end_journal();
        let _ = fs.bdi().stop();
        fs.give_up_claim();
    })?;
    Ok(fs)
}

/// The superblock and what it says, checked.
fn checked_superblock(device: &Arc<BlockDevice>) -> Result<(Superblock, Geometry)> {
    let sb = read_superblock(device)?;
    let geometry = Geometry::check(&sb, device.size()).map_err(|e| {
        log::error!("EXT4-fs ({}): {e}", device.disk().name());
        e.errno()
    })?;
    Ok((sb, geometry))
}

/// Replays the journal. EROFS when the disk cannot be written.
fn recover(
    device: &Arc<BlockDevice>,
    claim: Claim,
    geometry: Geometry,
    options: &Options,
    read_only: bool,
) -> Result<Claim> {
    let name = device.disk().name();
    if device.disk().read_only() {
        log::error!("EXT4-fs ({name}): write access unavailable, cannot proceed (try mounting with noload)");
        return Err(Errno::EROFS);
    }
    if read_only {
        log::info!("EXT4-fs ({name}): INFO: recovery required on readonly filesystem");
        log::info!("EXT4-fs ({name}): write access will be enabled during recovery");
    }
    let scout = assemble(device, claim, geometry, options.clone(), true, &Access::No(String::new()))?;
    let done = load::recover(&scout);
    let claim = scout.take_claim().ok_or(Errno::EIO)?;
    scout.give_up_claim();
    let changes = done?;
    if changes.is_empty() {
        return Ok(claim);
    }
    let (sb, geometry) = checked_superblock(device)?;
    let access = Access::of(device.disk(), &sb, options);
    let scout = assemble(device, claim, geometry, options.clone(), false, &access)?;
    let done = load::recover_fast_commits(&scout, changes);
    let stopped = scout.bdi().stop();
    let claim = scout.take_claim().ok_or(Errno::EIO)?;
    scout.give_up_claim();
    done.and(stopped).map(|()| claim)
}

/// An ext2 or ext3 has only the features of its time (`ext2_feature_set_ok`, `ext3_feature_set_ok`).
fn check_flavor(sb: &Superblock, flavor: Flavor, read_only: bool) -> core::result::Result<(), SuperError> {
    let known = match flavor {
        Flavor::Ext2 => Incompat::EXT2,
        Flavor::Ext3 => Incompat::EXT3,
        Flavor::Ext4 => return Ok(()),
    };
    let (compat, incompat, ro_compat) = features(sb);
    let foreign = incompat & !known.bits();
    if foreign != 0 {
        return Err(SuperError::Flavor(flavor.name(), incompat_names(foreign)));
    }
    if flavor == Flavor::Ext3 && compat & Compat::HAS_JOURNAL.bits() == 0 {
        return Err(SuperError::Flavor(flavor.name(), "no has_journal".into()));
    }
    let foreign = ro_compat & !RoCompat::EXT3.bits();
    if foreign != 0 && !read_only {
        return Err(SuperError::Flavor(flavor.name(), ro_compat_names(foreign)));
    }
    Ok(())
}

fn assemble(
    device: &Arc<BlockDevice>,
    claim: Claim,
    geometry: Geometry,
    options: Options,
    read_only: bool,
    access: &Access,
) -> Result<Arc<Ext4Fs>> {
    let name = device.disk().name();
    device.set_block_size(geometry.block_bits).inspect_err(|e| {
        let (block, disks) = (1u64 << geometry.block_bits, device.disk().logical_block_size());
        log::error!("EXT4-fs ({name}): blocks of {block} bytes on a disk with blocks of {disks}: {e}");
    })?;
    let complain = |(group, e)| {
        log::error!("EXT4-fs ({name}): group descriptor {group}: {e}");
        Errno::EUCLEAN
    };
    let groups = Groups::read(&geometry, device)?.map_err(complain)?;
    let zones = groups.zones(&geometry).map_err(complain)?;
    let must_not_write = matches!(access, Access::No(_));
    let read_only = read_only || must_not_write;
    // A mount that is read-only by choice may be remounted.
    let bdi = if must_not_write { Bdi::new(device) } else { Bdi::start(device)? };
    let superblock = device.bread(geometry.super_block())?;
    let parts = Parts {
        geometry,
        device: device.clone(),
        bdi,
        claim,
        superblock,
        groups,
        zones,
        options,
        read_only,
        must_not_write,
    };
    Ok(Ext4Fs::new(parts))
}

fn start(fs: &Arc<Ext4Fs>, recovered: bool) -> Result<()> {
    mounted::register(fs);
    if load::is_wanted(fs.geometry(), &fs.options()) {
        load::attach(fs)?;
    }
    let root = fs.iget(Ino(u64::from(ROOT_INO))).map_err(|e| {
        log::error!("EXT4-fs ({}): the root inode cannot be read", fs.disk_name());
        if e == Errno::ESTALE { Errno::EUCLEAN } else { e }
    })?;
    if root.kind() != FileType::Directory || root.size() == 0 {
        return Err(root.corrupt("the root is no directory"));
    }
    fs.set_root(Some(root));
    warn_about_state(fs);
    if !fs.read_only() {
        begin(fs)?;
        orphan::clean_up(fs)?;
    } else if recovered && fs.set_read_only(false).is_ok() {
        // As with Linux, a disk whose journal was replayed is left clean also by a mount that then only reads.
        begin(fs)?;
        orphan::clean_up(fs)?;
        fs.finish()?;
    }
    if fs.is_on(Flag::DISCARD) && !trim::supported(fs) {
        log::warn!("EXT4-fs ({}): mounted with \"discard\", but the disk cannot discard", fs.disk_name());
    }
    fs.lazy_init.start(fs);
    let mode = if fs.read_only() { "ro" } else { "r/w" };
    let journal = match fs.journal() {
        Some(_) => alloc::format!("with {} data mode", fs.data_mode().name()),
        None => "without journal".into(),
    };
    fs.say(format_args!(
        "mounted {mode} {journal}, {} blocks of {} bytes",
        fs.geometry().blocks_count,
        fs.geometry().block_size()
    ));
    Ok(())
}

/// The first superblock's bytes. EINVAL for a device too small to have one.
fn read_superblock(device: &Arc<BlockDevice>) -> Result<Superblock> {
    let name = device.disk().name();
    if device.size() < OFFSET + SIZE as u64 {
        log::error!("EXT4-fs ({name}): the disk is too small for a file system ({} bytes)", device.size());
        return Err(Errno::EINVAL);
    }
    // The smallest blocks that the disk can read (`sb_min_blocksize`): the superblock is the second
    // KiB, whatever they are.
    let bits = device.disk().logical_block_size().ilog2().max(10);
    device.set_block_size(bits).inspect_err(|_| {
        log::error!("EXT4-fs ({name}): the disk's blocks of {} bytes are too large", 1u64 << bits);
    })?;
    let buffer = device.bread(FsBlock(OFFSET >> bits)).inspect_err(|e| {
        log::error!("EXT4-fs ({name}): unable to read the superblock: {e}");
    })?;
    let bytes = buffer.read();
    let from = OFFSET as usize % bytes.len();
    let bytes = bytes.get(from..from + SIZE).ok_or(Errno::EIO)?;
    Superblock::read_from_bytes(bytes).map_err(|_| Errno::EIO)
}

/// Whether the disk may be written, and if not, why.
enum Access {
    Yes,
    No(String),
}

impl Access {
    fn of(disk: &Disk, sb: &Superblock, options: &Options) -> Access {
        let unknown = features(sb).2 & !RoCompat::SUPPORTED.bits();
        if disk.read_only() {
            return Access::No("the disk is write-protected".into());
        }
        if unknown != 0 {
            let names = ro_compat_names(unknown);
            return Access::No(alloc::format!("s_feature_ro_compat has what Quill cannot write: {names}"));
        }
        if options.is_on(Flag::NORECOVERY, Flag::empty()) {
            return Access::No("the option norecovery asks for it".into());
        }
        Access::Yes
    }
}
