//! An open file of /proc: its text, made at the start and kept for who reads on.
//!
//! As Linux's seq_file: a read at position 0 makes the text anew, a read behind it goes on in the
//! same text, so a reader in small steps sees one moment, and a reader that seeks back to 0 (or
//! reads there with pread) sees now. A seek from the end is EINVAL, since nobody knows the end.
//!
//! # Locking
//! `text` is a sleeping lock, held while the text is made and copied out.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::{Errno, IovIter, Result};
use sync::Mutex;
use vfs::{File, FileOperations, Kiocb, Whence, lseek};

use crate::node::Node;
use crate::table::{What, text_of};

/// The most that one write may bring.
const WRITE_MAX: usize = 4096;

/// See the module's manual.
pub(crate) struct OpenText {
    node: Arc<Node>,
    text: Mutex<Option<Vec<u8>>>,
}

impl OpenText {
    pub fn new(node: Arc<Node>) -> OpenText {
        OpenText { node, text: Mutex::new(None) }
    }
}

impl FileOperations for OpenText {
    fn can_read(&self) -> bool {
        true
    }

    /// Files about the program that take nothing have no write at all, which is EINVAL; the system's
    /// have one that says EIO. Linux keeps the same difference.
    fn can_write(&self) -> bool {
        !matches!(self.node.row_what(), Some(What::Process(_)))
    }

    fn read_iter(&self, _file: &File, iocb: &mut Kiocb, to: &mut IovIter<'_>) -> Result<usize> {
        let mut kept = self.text.lock();
        if iocb.pos == 0 || kept.is_none() {
            *kept = Some(text_of(self.node.id, &self.node.fs).ok_or(Errno::ESRCH)?.into_bytes());
        }
        let text = kept.as_deref().unwrap_or_default();
        let rest = usize::try_from(iocb.pos).ok().and_then(|from| text.get(from..)).unwrap_or_default();
        let wanted = rest.len().min(to.count());
        let done = to.copy_from_slice(&rest[..wanted]);
        if done == 0 && wanted > 0 {
            return Err(Errno::EFAULT);
        }
        iocb.pos += done as u64;
        Ok(done)
    }

    fn write_iter(&self, _file: &File, iocb: &mut Kiocb, from: &mut IovIter<'_>) -> Result<usize> {
        let Some(What::Writable(_, take)) = self.node.row_what() else { return Err(Errno::EIO) };
        let len = from.count();
        let mut bytes = alloc::vec![0; len.min(WRITE_MAX)];
        if from.copy_to_slice(&mut bytes) < bytes.len() {
            return Err(Errno::EFAULT);
        }
        take(&*self.node.process()?, &bytes)?;
        iocb.pos = iocb.pos.saturating_add(len as u64);
        Ok(len)
    }

    fn llseek(&self, file: &File, pos: u64, offset: i64, whence: Whence) -> Result<u64> {
        match whence {
            Whence::Set | Whence::Cur => lseek::generic(pos, offset, whence, 0, file.max_bytes()),
            _ => Err(Errno::EINVAL),
        }
    }
}
