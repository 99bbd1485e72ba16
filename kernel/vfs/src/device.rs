//! The device table: which device a node stands for.
//!
//! A node is found in any file system, on the disk or in /dev; its number says which device it
//! means. devfs fills the table, open(2) asks it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::{DevId, Errno, Result};
use sync::SpinLock;

use crate::attr::FileType;
use crate::file_ops::FileOperations;
use crate::flags::OpenFlags;

/// A device that can be opened.
pub trait Device: Send + Sync {
    /// The operations of one more open file of it.
    fn open(self: Arc<Self>, flags: OpenFlags) -> Result<Arc<dyn FileOperations>>;
}

struct Entry {
    kind: FileType,
    dev: DevId,
    device: Arc<dyn Device>,
}

static DEVICES: SpinLock<Vec<Entry>> = SpinLock::new(Vec::new());

/// Makes a device known under its number; the last registered wins.
pub fn register(kind: FileType, dev: DevId, device: Arc<dyn Device>) {
    let mut devices = DEVICES.lock();
    devices.retain(|e| e.kind != kind || e.dev != dev);
    devices.push(Entry { kind, dev, device });
}

/// The number means nothing any more; what is open stays open.
pub fn unregister(kind: FileType, dev: DevId) {
    let mut devices = DEVICES.lock();
    let at = devices.iter().position(|e| e.kind == kind && e.dev == dev);
    let gone = at.map(|at| devices.swap_remove(at));
    drop(devices);
    drop(gone);
}

/// Opens the device of a number. ENXIO when there is none.
pub fn open(kind: FileType, dev: DevId, flags: OpenFlags) -> Result<Arc<dyn FileOperations>> {
    let device = find(kind, dev).ok_or(Errno::ENXIO)?;
    device.open(flags)
}

fn find(kind: FileType, dev: DevId) -> Option<Arc<dyn Device>> {
    DEVICES.lock().iter().find(|e| e.kind == kind && e.dev == dev).map(|e| e.device.clone())
}
