//! anon_inodefs: the file system of open files that have no place in any tree, such as an eventfd.
//!
//! Its one inode, mode 0600 of no kind, is what fstat(2) tells of all of them. /proc/self/fd shows
//! `anon_inode:[name]`.

use alloc::format;
use alloc::sync::Arc;

use base::Result;
use sync::Once;

use crate::file::File;
use crate::file_ops::FileOperations;
use crate::flags::OpenFlags;
use crate::pseudo::{Node, PseudoFs};
use crate::superblock::MountFlags;

/// ANON_INODE_FS_MAGIC of statfs(2).
const MAGIC: u64 = 0x0904_1934;

fn instance() -> &'static PseudoFs {
    static INSTANCE: Once<PseudoFs> = Once::new();
    INSTANCE.call_once(|| PseudoFs::new(instance, "anon_inodefs", MAGIC, MountFlags::empty()))
}

/// The inode of all.
fn inode() -> Arc<Node> {
    static INODE: Once<Arc<Node>> = Once::new();
    INODE.call_once(|| Arc::new(Node::shared(instance, 0o600, instance().next_ino()))).clone()
}

/// An open file with these operations (`anon_inode_getfile`).
pub(crate) fn open(name: &str, ops: Arc<dyn FileOperations>, flags: OpenFlags) -> Result<Arc<File>> {
    File::new(instance().place(&format!("anon_inode:[{name}]"), inode()), ops, flags, false)
}
