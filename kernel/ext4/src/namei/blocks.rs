//! An ext4 inode's blocks as [`crate::dir`] wants them.

use base::{Errno, FileBlock, Result};
use pagecache::Buffer;

use crate::dir::hash::{HashKind, Hasher};
use crate::dir::{DirBlocks, Shape};
use crate::disk::dir::{DirError, Layout};
use crate::disk::dir_view::View;
use crate::disk::feature::{Compat, Incompat};
use crate::disk::inode::InodeFlags;
use crate::error::Site;
use crate::inline;
use crate::inode::Node;

/// A directory while one operation works on it.
pub(crate) struct NodeDir<'a> {
    node: &'a Node,
    shape: Shape,
}

impl<'a> NodeDir<'a> {
    /// Of an inode that is a directory.
    pub fn new(node: &'a Node) -> NodeDir<'a> {
        let geometry = node.fs().geometry();
        let layout = Layout {
            block_size: geometry.block_size(),
            csum_seed: geometry.metadata_csum().then_some(node.csum_seed()),
            filetype: geometry.has_incompat(Incompat::FILETYPE),
            max_ino: geometry.inodes_count,
        };
        let hasher = Hasher {
            // A superblock that names no hash Quill knows: new indexes get the common one.
            kind: HashKind::from_disk(geometry.hash_version).unwrap_or(HashKind::HalfMd4),
            unsigned: geometry.hash_unsigned,
            seed: geometry.hash_seed,
        };
        let shape = Shape {
            layout,
            dir_index: geometry.has_compat(Compat::DIR_INDEX),
            large_dir: geometry.has_incompat(Incompat::LARGEDIR),
            hasher,
        };
        NodeDir { node, shape }
    }

    /// A directory that cannot be read is an error of the file system (`__ext4_read_dirblock`).
    #[cold]
    fn unreadable(&self, block: FileBlock, error: Errno) -> Errno {
        if error != Errno::EIO {
            return error;
        }
        let site = Site::in_file(self.node.ino32(), block);
        self.node.fs().failed(site, error, "error reading directory block")
    }

    fn buffer(&self, block: u32) -> Result<Buffer> {
        let at = FileBlock(u64::from(block));
        let found = self.node.bread_dir(at).map_err(|e| self.unreadable(at, e))?;
        found.ok_or_else(|| self.corrupt(block, DirError::Hole))
    }
}

impl DirBlocks for NodeDir<'_> {
    fn shape(&self) -> &Shape {
        &self.shape
    }

    fn count(&self) -> u32 {
        let blocks = u32::try_from(self.node.block_count()).unwrap_or(u32::MAX);
        // One, whatever a damaged i_size says.
        if self.node.is_inline() { blocks.min(1) } else { blocks }
    }

    fn read<R>(&self, block: u32, f: impl FnOnce(&View<'_>) -> R) -> Result<R> {
        if let Some(bytes) = inline::dir::block(self.node, &self.shape.layout)? {
            // Made from checked entries a moment ago.
            return Ok(f(&View::new(&bytes, true)));
        }
        let buffer = self.buffer(block)?;
        let bytes = buffer.read();
        let known = buffer.is_checked();
        let view = View::new(&bytes, known);
        let seen = f(&view);
        if view.is_checked() && !known {
            buffer.set_checked();
        }
        Ok(seen)
    }

    fn modify<R>(&self, block: u32, f: impl FnOnce(&mut [u8]) -> R) -> Result<R> {
        if let Some(mut bytes) = inline::dir::block(self.node, &self.shape.layout)? {
            let done = f(&mut bytes);
            inline::dir::store(self.node, &self.shape.layout, &bytes)?;
            return Ok(done);
        }
        let buffer = self.buffer(block)?;
        let mut bytes = buffer.write();
        Ok(f(&mut bytes))
    }

    fn append(&self, bytes: &[u8]) -> Result<u32> {
        if inline::dir::create(self.node, &self.shape.layout, bytes)? {
            return Ok(0);
        }
        inline::dir::leave(self.node, &self.shape.layout)?;
        let (block, buffer) = self.node.append_dir_block()?;
        buffer.write().copy_from_slice(bytes);
        u32::try_from(block.0).map_err(|_| Errno::EFBIG)
    }

    fn is_indexed(&self) -> bool {
        self.node.flags().contains(InodeFlags::INDEX)
    }

    fn set_indexed(&self, indexed: bool) {
        self.node.set_flags(InodeFlags::INDEX, indexed);
        self.node.mark_dirty();
    }

    fn drop_index(&self, error: DirError) {
        let (disk, ino) = (self.node.fs().disk_name(), self.node.ino32());
        log::warn!(
            "EXT4-fs warning ({disk}): inode #{ino}: {error}; the directory is read without its index"
        );
        self.node.set_flags(InodeFlags::INDEX, false);
    }

    fn corrupt(&self, block: u32, error: DirError) -> Errno {
        self.node.corrupt_file_block(FileBlock(u64::from(block)), error)
    }
}
