//! EXT4_IOC_SHUTDOWN: the file system stops as if the power went, or nearly so.
//!
//! ```text
//!   0 DEFAULT      everything is written and committed first
//!   1 LOGFLUSH     what the journal has is committed; data are not written
//!   2 NOLOGFLUSH   not even that
//! ```
//! Afterwards whatever reads or writes a file is EIO, until it is unmounted and mounted again.
//!
//! Source: `ext4_shutdown`; `linux/fs.h`, FS_IOC_SHUTDOWN.

use base::{Errno, Result};
use vfs::{Caller, SuperBlock};

use crate::fs::Ext4Fs;

const DEFAULT: u32 = 0;
const LOGFLUSH: u32 = 1;
const NOLOGFLUSH: u32 = 2;

/// The ioctl: a pointer to the flags. EPERM without privilege, EINVAL for other flags.
pub(crate) fn ioctl(fs: &Ext4Fs, arg: u64, caller: &Caller<'_>) -> Result<u64> {
    if !caller.capable {
        return Err(Errno::EPERM);
    }
    let flags = u32::from_ne_bytes(caller.get(arg)?);
    if flags > NOLOGFLUSH {
        return Err(Errno::EINVAL);
    }
    if fs.check_running().is_err() {
        return Ok(0);
    }
    log::warn!("EXT4-fs ({}): shut down requested ({flags})", fs.disk_name());
    match flags {
        DEFAULT => {
            SuperBlock::sync(fs, true)?;
            fs.shut_down();
        }
        LOGFLUSH => {
            fs.shut_down();
            if let Some(journal) = fs.journal() {
                // What the commit says is the journal's to tell; after it there is none any more.
                let _ = journal.force_commit();
                journal.abort(Errno::ESHUTDOWN);
            }
        }
        _ => {
            fs.shut_down();
            if let Some(journal) = fs.journal() {
                journal.abort(Errno::ESHUTDOWN);
            }
        }
    }
    Ok(0)
}
