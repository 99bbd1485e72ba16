//! An open file: its text, made at the start and kept for who reads on.
//!
//! As Linux's seq_file: a read at position 0 makes the text anew, a read behind it goes on in the
//! same text, so a reader in small steps sees one moment, and a reader that seeks back to 0 (or
//! reads there with pread) sees now.
//!
//! # Locking
//! `text` is a sleeping lock, held while the text is made and copied out.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::{Errno, IovIter, PAGE_SIZE, Result};
use sync::Mutex;
use vfs::{File, FileOperations, Inode, Kiocb, Whence, lseek};

use crate::node::Node;
use crate::text::Text;
use crate::tree::{LongWrite, Tree};

/// See the module's manual.
pub(crate) struct OpenText<T: Tree> {
    node: Arc<Node<T>>,
    text: Mutex<Option<Vec<u8>>>,
}

impl<T: Tree> OpenText<T> {
    pub fn new(node: Arc<Node<T>>) -> OpenText<T> {
        OpenText { node, text: Mutex::new(None) }
    }

    fn make(&self) -> Result<Vec<u8>> {
        let mut text = Text::default();
        self.node.tree().show(self.node.id, &mut text)?;
        Ok(text.into_bytes())
    }
}

impl<T: Tree> FileOperations for OpenText<T> {
    fn can_read(&self) -> bool {
        self.node.tree().can_read(self.node.id)
    }

    fn can_write(&self) -> bool {
        self.node.tree().can_write(self.node.id)
    }

    fn read_iter(&self, _file: &File, iocb: &mut Kiocb, to: &mut IovIter<'_>) -> Result<usize> {
        let mut kept = self.text.lock();
        if iocb.pos == 0 || kept.is_none() {
            *kept = Some(self.make()?);
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
        let len = from.count();
        let mut bytes = alloc::vec![0; len.min(PAGE_SIZE)];
        if from.copy_to_slice(&mut bytes) < bytes.len() {
            return Err(Errno::EFAULT);
        }
        if !self.node.tree().ignores_write(self.node.id, iocb.pos) {
            self.node.tree().store(self.node.id, &bytes)?;
        }
        let done = match T::RULES.long_write {
            LongWrite::Cut => bytes.len(),
            LongWrite::Swallowed => len,
        };
        iocb.pos = iocb.pos.saturating_add(done as u64);
        Ok(done)
    }

    fn llseek(&self, file: &File, pos: u64, offset: i64, whence: Whence) -> Result<u64> {
        if matches!(whence, Whence::Set | Whence::Cur) || T::RULES.seeks_from_end {
            return lseek::generic(pos, offset, whence, self.node.size(), file.max_bytes());
        }
        Err(Errno::EINVAL)
    }
}
