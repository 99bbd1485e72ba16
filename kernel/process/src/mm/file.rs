//! A file's pages, for mmap(2) and for the program's image.
//!
//! The page comes from the page cache and stays shared with it; who maps it holds a handle to its
//! frame, which keeps it from being reclaimed. Truncation does not reach into the page table: a page
//! that was touched before the file was cut short stays readable, where Linux would raise SIGBUS.

use alloc::sync::Arc;
use core::fmt;

use base::{Frame, PageIndex, Result};
use pagecache::{AddressSpace, AddressSpaceOperations, read_mapping_page};
use vfs::{FMode, File, Mmap, MountFlags, d_path};

use super::map::MapFile;
use super::vma::PageSource;

/// The pages of an open file.
struct FilePages {
    file: Arc<File>,
    mapping: Arc<AddressSpace>,
    ops: Arc<dyn AddressSpaceOperations>,
}

impl PageSource for FilePages {
    fn page(&self, index: PageIndex) -> Result<Frame> {
        Ok(read_mapping_page(&self.mapping, &*self.ops, index)?.frame().clone())
    }

    fn describe(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        let place = self.file.path();
        let mut top = place.mount.clone();
        while let Some(at) = top.mountpoint() {
            top = at.mount;
        }
        for chunk in d_path(place, &top.root()).utf8_chunks() {
            out.write_str(chunk.valid())?;
            chunk.invalid().iter().try_for_each(|byte| write!(out, "\\{byte:03o}"))?;
        }
        Ok(())
    }

    fn identity(&self) -> (u32, u32, u64) {
        let dev = self.file.inode().superblock().dev();
        (dev.major, dev.minor, self.file.inode().ino().0)
    }
}

impl MapFile {
    /// An open file, to be mapped. ENODEV when it cannot be; EBADF when it was opened with O_PATH.
    pub fn open(file: &Arc<File>) -> Result<MapFile> {
        file.check_open_for_io()?;
        let source = match file.ops().mmap(file)? {
            Mmap::Zero => None,
            Mmap::Pages { mapping, ops } => {
                Some(Arc::new(FilePages { file: file.clone(), mapping, ops }) as Arc<dyn PageSource>)
            }
        };
        Ok(MapFile {
            source,
            readable: file.mode().contains(FMode::READ),
            writable: file.mode().contains(FMode::WRITE),
            noexec: file.path().mount.flags().contains(MountFlags::NOEXEC),
        })
    }
}
