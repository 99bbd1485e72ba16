//! pipefs: the file system that pipes without a name are of. Each has its inode there.

use alloc::format;
use alloc::sync::Arc;

use sync::Once;

use crate::attr::FileType;
use crate::cred::Cred;
use crate::mount::Path;
use crate::pseudo::{Node, PseudoFs};
use crate::superblock::MountFlags;

/// "PIPEFS_MAGIC" of statfs(2).
const MAGIC: u64 = 0x5049_5045;

fn instance() -> &'static PseudoFs {
    static INSTANCE: Once<PseudoFs> = Once::new();
    INSTANCE.call_once(|| PseudoFs::new(instance, "pipefs", MAGIC, MountFlags::NOSUID))
}

/// The place of a new pipe, owned by who makes it.
pub(super) fn place(cred: &Cred) -> Path {
    let fs = instance();
    let ino = fs.next_ino();
    fs.place(&format!("pipe:[{ino}]"), Arc::new(Node::new(instance, FileType::Fifo, 0o600, ino, cred)))
}
