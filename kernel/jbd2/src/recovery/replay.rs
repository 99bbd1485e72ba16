//! The third pass: the copies go home, through the device's page cache, which sends neighbours together.

use alloc::sync::Arc;

use base::Errno;
use pagecache::BlockDevice;

use crate::disk::{Format, unescape};
use crate::log::{Log, LogReader};
use crate::recovery::RecoveryError;
use crate::recovery::plan::{Copy, Plan};
use crate::superblock::LogSuperblock;

/// Bytes that become dirty before they are written: much enough for large bios, and little of the memory.
const BATCH: usize = 4 << 20;

/// Writes them and waits; how many it were.
pub(super) fn replay(
    log: &Log,
    sb: &LogSuperblock,
    plan: &Plan,
    device: &Arc<BlockDevice>,
) -> Result<u64, RecoveryError> {
    let format = sb.format();
    let mut reader = LogReader::new(log, sb.ring());
    for batch in plan.live.chunks((BATCH / format.block_size).max(1)) {
        for copy in batch {
            bring_home(&mut reader, &format, copy, device)?;
        }
        device.sync().map_err(home_failed)?;
    }
    Ok(plan.live.len() as u64)
}

fn bring_home(
    reader: &mut LogReader<'_>,
    format: &Format,
    copy: &Copy,
    device: &Arc<BlockDevice>,
) -> Result<(), RecoveryError> {
    let bytes = reader.read_mut(copy.at).map_err(|errno| RecoveryError::Io(Some(copy.at), errno))?;
    if format.tag_checksum(copy.tid, bytes) != copy.checksum {
        return Err(RecoveryError::Copy(copy.home, copy.at));
    }
    if copy.escaped {
        unescape(bytes);
    }
    let buffer = device.getblk(copy.home).map_err(home_failed)?;
    buffer.write().copy_from_slice(bytes);
    Ok(())
}

fn home_failed(errno: Errno) -> RecoveryError {
    RecoveryError::Io(None, errno)
}
