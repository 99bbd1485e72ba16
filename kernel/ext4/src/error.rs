//! What happens when the disk contradicts itself.
//!
//! Every check that fails while the file system is mounted ends in [`Ext4Fs::corrupt`]: one line in
//! the log that names inode, block and check, a note in the superblock (`s_error_count`, first and
//! last error with time, inode, block, error code, the check's words where Linux puts a function's name,
//! and the line of the source that found it), and what `errors=` demands. The caller gets EUCLEAN to hand
//! up. Metadata that cannot be read at all goes the same way through [`Ext4Fs::failed`], with EIO.
//!
//! # With a journal
//! The note is a change of metadata like others; where the caller has no handle it joins the transaction that
//! runs. errors=remount-ro gives the journal up: then the superblock is written by itself, past the journal,
//! and so it is when the journal gives itself up because the disk fails.
//!
//! # Locking
//! Takes the superblock's buffer alone, so no caller may hold that buffer's guard.

use alloc::string::ToString;
use core::fmt::Display;
use core::panic::Location;

use base::{Errno, FileBlock, FsBlock};

use crate::disk::superblock::{STATE_ERROR, Superblock};
use crate::fs::Ext4Fs;
use crate::geometry::ErrorPolicy;

/// An errno's number in the superblock's own list (`EXT4_ERR_*`).
fn code(errno: Errno) -> u8 {
    match errno {
        Errno::EIO => 2,
        Errno::ENOMEM => 3,
        Errno::EBADMSG => 4,
        Errno::EUCLEAN => 5,
        Errno::ENOSPC => 6,
        Errno::EROFS => 8,
        Errno::ESHUTDOWN => 16,
        _ => 1,
    }
}

/// Where a contradiction was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Site {
    /// The inode, 0 for none.
    pub ino: u32,
    /// The block of the disk, 0 for none.
    pub block: u64,
    /// The block of the file, if that is what is known.
    pub file_block: Option<FileBlock>,
}

impl Site {
    /// An inode.
    pub fn inode(ino: u32) -> Site {
        Site { ino, ..Site::default() }
    }

    /// A block of the disk.
    pub fn block(block: FsBlock) -> Site {
        Site { block: block.0, ..Site::default() }
    }

    /// A block of the disk that belongs to an inode.
    pub fn at(ino: u32, block: FsBlock) -> Site {
        Site { ino, block: block.0, file_block: None }
    }

    /// A block of an inode's file.
    pub fn in_file(ino: u32, block: FileBlock) -> Site {
        Site { ino, block: 0, file_block: Some(block) }
    }
}

impl core::fmt::Display for Site {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if self.ino != 0 {
            write!(f, "inode #{}: ", self.ino)?;
        }
        if self.block != 0 {
            write!(f, "block {}: ", self.block)?;
        }
        match self.file_block {
            Some(block) => write!(f, "file block {block}: "),
            None => Ok(()),
        }
    }
}

impl Ext4Fs {
    /// The disk contradicts itself at `site`: tells it, notes it, acts on it. Returns EUCLEAN.
    #[cold]
    #[track_caller]
    pub fn corrupt(&self, site: Site, check: impl Display) -> Errno {
        self.error(site, Errno::EUCLEAN, Location::caller().line(), &check)
    }

    /// Metadata that is needed cannot be read or written: the same, with `errno`, which is returned.
    #[cold]
    #[track_caller]
    pub fn failed(&self, site: Site, errno: Errno, what: impl Display) -> Errno {
        self.error(site, errno, Location::caller().line(), &what)
    }

    /// Ends writing because somebody asked for it (`mount -o remount,abort`).
    #[track_caller]
    pub(crate) fn abort(&self) {
        log::error!("EXT4-fs error (device {}): Abort forced by user", self.disk_name());
        self.note_error(Site::default(), Errno::ESHUTDOWN, Location::caller().line(), "Abort forced by user");
        self.give_up(Errno::EIO, "the option abort asks for it");
    }

    /// Nothing is written from now on, and nothing that is not committed yet.
    fn give_up(&self, errno: Errno, why: &str) {
        self.become_read_only(why);
        if let Some(journal) = self.journal() {
            // It tells [`Ext4Fs::note_abort`], the first time.
            journal.abort(errno);
        }
    }

    /// The journal has been given up, for that reason, by itself or by [`Ext4Fs::give_up`]: the superblock, which
    /// no transaction takes along any more, goes to the disk on its own.
    #[track_caller]
    pub(crate) fn note_abort(&self, errno: Errno) {
        if !self.read_only() {
            self.note_error(Site::default(), errno, Location::caller().line(), "Detected aborted journal");
            self.become_read_only("the journal was aborted");
            if self.error_policy() == ErrorPolicy::Panic {
                panic!("EXT4-fs (device {}): panic forced after error (errors=panic)", self.disk_name())
            }
        }
        if let Err(e) = self.write_superblock_past_journal() {
            log::error!("EXT4-fs ({}): the superblock cannot be written: {e}", self.disk_name());
        }
    }

    fn error(&self, site: Site, errno: Errno, line: u32, check: &dyn Display) -> Errno {
        log::error!("EXT4-fs error (device {}): {site}{check}", self.disk_name());
        self.note_error(site, errno, line, &check.to_string());
        match self.error_policy() {
            ErrorPolicy::Continue => {}
            ErrorPolicy::RemountReadOnly => self.give_up(errno, "an error was found"),
            ErrorPolicy::Panic => {
                panic!("EXT4-fs (device {}): panic forced after error (errors=panic)", self.disk_name())
            }
        }
        errno
    }

    /// Writes the error into the superblock, unless nothing may be written.
    fn note_error(&self, site: Site, errno: Errno, line: u32, check: &str) {
        if self.read_only() {
            return;
        }
        let now = base::time::coarse_now().sec.cast_unsigned();
        self.with_superblock(|sb| {
            sb.s_state = (sb.s_state.get() | STATE_ERROR).into();
            let block = if site.block != 0 { site.block } else { site.file_block.map_or(0, |b| b.0) };
            note_last(sb, site.ino, block, now, check);
            sb.s_last_error_errcode = code(errno);
            sb.s_last_error_line = line.into();
            if sb.s_first_error_time.get() == 0 {
                sb.s_first_error_time = (now as u32).into();
                sb.s_first_error_time_hi = (now >> 32) as u8;
                sb.s_first_error_ino = site.ino.into();
                sb.s_first_error_block = block.into();
                sb.s_first_error_func = sb.s_last_error_func;
                sb.s_first_error_errcode = sb.s_last_error_errcode;
                sb.s_first_error_line = sb.s_last_error_line;
            }
            sb.s_error_count = sb.s_error_count.get().saturating_add(1).into();
        });
    }
}

fn note_last(sb: &mut Superblock, ino: u32, block: u64, now: u64, check: &str) {
    sb.s_last_error_time = (now as u32).into();
    sb.s_last_error_time_hi = (now >> 32) as u8;
    sb.s_last_error_ino = ino.into();
    sb.s_last_error_block = block.into();
    // Linux puts a function's name here; Quill puts the check, as far as it fits.
    sb.s_last_error_func = [0; 32];
    let text = check.as_bytes();
    let len = text.len().min(sb.s_last_error_func.len() - 1);
    sb.s_last_error_func[..len].copy_from_slice(&text[..len]);
}
