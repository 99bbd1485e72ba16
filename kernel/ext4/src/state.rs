//! What the superblock says of the file system's life: in use or clean, mounts, times, errors.
//!
//! # The life of `s_state`
//! ```text
//!   clean (VALID) ──begin──▶ in use (0) ──finish──▶ clean, if it was clean and no error was found
//!                              └──corrupt──▶ ERROR: until e2fsck clears it
//! ```
//! With a journal VALID stays, and the feature needs_recovery says "in use": a replay makes the disk clean.
//!
//! # Backups
//! Copies of the superblock in other groups are for e2fsck, and Linux leaves them alone while it is
//! mounted: what changes then (counts, times, state, `s_feature_ro_compat`'s large_file) e2fsck does not
//! want from them. So does Quill: nothing but block [`crate::geometry::Geometry::super_block`] is written.
//!
//! # Locking
//! The superblock's buffer guard, inside [`Ext4Fs::with_superblock`].

use base::Result;
use block::Disk;

use crate::disk::feature::Incompat;
use crate::disk::superblock::{STATE_ERROR, STATE_VALID, Superblock};
use crate::fs::Ext4Fs;

/// Tells, at mount, what calls for e2fsck.
pub(crate) fn warn_about_state(fs: &Ext4Fs) {
    let sb = fs.superblock();
    let (state, count, max) = (sb.s_state.get(), sb.s_mnt_count.get(), sb.s_max_mnt_count.get());
    let name = fs.disk_name();
    if state & STATE_ERROR != 0 {
        log::warn!("EXT4-fs ({name}): the file system has errors: running e2fsck is recommended");
    } else if state & STATE_VALID == 0 {
        log::warn!("EXT4-fs ({name}): was not unmounted cleanly: running e2fsck is recommended");
    } else if max.cast_signed() > 0 && count >= max {
        log::warn!("EXT4-fs ({name}): maximal mount count reached: running e2fsck is recommended");
    } else if check_is_due(&sb) {
        log::warn!("EXT4-fs ({name}): checktime reached: running e2fsck is recommended");
    }
    if sb.s_error_count.get() > 0 {
        tell_errors(name, &sb);
    }
}

/// Whether `s_checkinterval` has passed since the last e2fsck.
fn check_is_due(sb: &Superblock) -> bool {
    let interval = u64::from(sb.s_checkinterval.get());
    let last = u64::from(sb.s_lastcheck.get()) | (u64::from(sb.s_lastcheck_hi) << 32);
    interval > 0 && last + interval <= base::time::coarse_now().sec.cast_unsigned()
}

/// The errors that earlier mounts noted (`print_daily_error_info`).
fn tell_errors(name: &str, sb: &Superblock) {
    log::warn!("EXT4-fs ({name}): error count since last fsck: {}", sb.s_error_count.get());
    let first = (sb.s_first_error_time.get(), &sb.s_first_error_func, sb.s_first_error_line.get());
    let last = (sb.s_last_error_time.get(), &sb.s_last_error_func, sb.s_last_error_line.get());
    for (which, (time, func, line), ino, block) in [
        ("initial", first, sb.s_first_error_ino.get(), sb.s_first_error_block.get()),
        ("last", last, sb.s_last_error_ino.get(), sb.s_last_error_block.get()),
    ] {
        let len = func.iter().position(|&b| b == 0).unwrap_or(func.len());
        let func = func[..len].escape_ascii();
        log::warn!(
            "EXT4-fs ({name}): {which} error at time {time}: {func}:{line}: inode {ino}: block {block}"
        );
    }
}

/// Marks the disk as in use (`ext4_setup_super`).
pub(crate) fn begin(fs: &Ext4Fs) -> Result<()> {
    let now = base::time::coarse_now().sec.cast_unsigned();
    let overhead = fs.overhead();
    let journal = fs.journal().is_some();
    fs.note_state_at_mount(fs.superblock().s_state.get());
    fs.with_superblock(|sb| {
        if journal {
            // The journal answers for the rest.
            sb.s_feature_incompat = (sb.s_feature_incompat.get() | Incompat::RECOVER.bits()).into();
        } else {
            sb.s_state = (sb.s_state.get() & !STATE_VALID).into();
        }
        if sb.s_max_mnt_count.get() == 0 {
            sb.s_max_mnt_count = 20.into();
        }
        sb.s_mnt_count = sb.s_mnt_count.get().saturating_add(1).into();
        (sb.s_mtime, sb.s_mtime_hi) = split_time(now);
        // The place is the vfs's knowledge; Quill's one disk is its root.
        sb.s_last_mounted = [0; 64];
        sb.s_last_mounted[0] = b'/';
        if sb.s_overhead_clusters.get() == 0 {
            // Counted once, as Linux does; more than 32 bits cannot be noted.
            sb.s_overhead_clusters = u32::try_from(overhead).unwrap_or(0).into();
        }
    });
    fs.update_superblock();
    fs.superblock_buffer().sync()?;
    // What is written from now on must not overtake the mark.
    fs.device().flush()?;
    fs.begin_journal()
}

/// 40 bits of seconds, as the superblock keeps them.
pub(crate) fn split_time(sec: u64) -> (zerocopy::byteorder::little_endian::U32, u8) {
    let [.., high, _, _, _] = sec.to_le_bytes();
    (crate::disk::lo32(sec), high)
}

/// Sectors written to a disk since it came.
pub(crate) fn sectors_written(disk: &Disk) -> u64 {
    disk.stats().write.sectors
}
