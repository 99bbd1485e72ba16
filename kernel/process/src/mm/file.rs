//! A file's pages, for mmap(2) and for the program's image.
//!
//! The page comes from the page cache and stays shared with it; who maps it holds a handle to its frame,
//! which keeps it from being reclaimed. The file knows where it is mapped ([`pagecache::MappedBy`]):
//! truncation takes its pages out of the page table, and an access behind the end is SIGBUS; writeback takes
//! the right to write away, so that a store makes the page dirty again ([`PageSource::page_mkwrite`]).
//!
//! A disk's own pages (`/dev/vda`) can be mapped, but not to be written through a shared mapping: they are
//! metadata, whose bytes change under locks of their own ([`sync::ByteLock`]) that a store would come around,
//! as the journal and the checksums of a file system mounted on the disk would not know of it. Such a mapping
//! is ENODEV; write(2), with O_DIRECT or not, is the way.

use alloc::sync::Arc;
use core::fmt;

use base::{PageIndex, Result};
use pagecache::{
    AddressSpace, AddressSpaceOperations, LockedPage, Pattern, force_readahead, lock_mapped_page,
};
use vfs::{FMode, File, FileType, Fixed, Mmap, MountFlags, d_path};

use super::layout::PAGE;
use super::map::MapFile;
use super::vma::{PageSource, SourcePage};

/// The pages of an open file.
struct FilePages {
    file: Arc<File>,
    mapping: Arc<AddressSpace>,
    ops: Arc<dyn AddressSpaceOperations>,
}

impl PageSource for FilePages {
    fn page(&self, index: PageIndex, pattern: Pattern) -> Result<SourcePage> {
        let (page, major) = lock_mapped_page(&self.mapping, &*self.ops, self.file.ra(), index, pattern)?;
        Ok(SourcePage::locked(page, major))
    }

    fn may_map_writable(&self) -> bool {
        self.mapping.may_map_writable()
    }

    fn page_mkwrite(&self, index: PageIndex, pattern: Pattern) -> Result<SourcePage> {
        let _fault = self.file.path().mount.start_fault();
        // Read in as any other first: with what is around it.
        let major = self.mapping.find_get_page(index).is_none() && self.page(index, pattern)?.major;
        self.ops.page_mkwrite(&self.mapping, index).map(|page| SourcePage::locked(page, major))
    }

    fn balance_dirty(&self) {
        self.ops.balance_dirty(1);
    }

    fn mapping(&self) -> Option<&Arc<AddressSpace>> {
        Some(&self.mapping)
    }

    fn file(&self) -> Option<&Arc<File>> {
        Some(&self.file)
    }

    fn is_cached(&self, index: PageIndex) -> bool {
        self.mapping.find_get_page(index).is_some_and(|page| page.is_uptodate())
    }

    fn will_need(&self, first: PageIndex, pages: u64) {
        let bytes = pages.saturating_mul(PAGE);
        force_readahead(&self.mapping, &*self.ops, first.byte()..first.byte().saturating_add(bytes));
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

impl SourcePage {
    /// A page of the cache, locked until this is dropped.
    fn locked(page: LockedPage, major: bool) -> SourcePage {
        SourcePage::held(page.frame().clone(), Some(page)).by_reading(major)
    }
}

impl MapFile {
    /// An open file, to be mapped, if it can be. EBADF when it was opened with O_PATH.
    pub fn open(file: &Arc<File>) -> Result<MapFile> {
        file.check_open_for_io()?;
        let source = file.ops().mmap(file).map(|how| match how {
            Mmap::Zero => None,
            Mmap::Pages { mapping, ops } => {
                Some(Arc::new(FilePages { file: file.clone(), mapping, ops }) as Arc<dyn PageSource>)
            }
        });
        let has_size = matches!(file.inode().file_type(), FileType::Regular | FileType::BlockDevice);
        Ok(MapFile {
            source,
            max_bytes: if has_size { i64::MAX as u64 } else { u64::MAX },
            readable: file.mode().contains(FMode::READ),
            writable: file.mode().contains(FMode::WRITE),
            append_only: file.inode().fixed().contains(Fixed::APPEND),
            noexec: file.path().mount.flags().contains(MountFlags::NOEXEC),
        })
    }
}
