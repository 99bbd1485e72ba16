//! Files for the flusher: block n of file f lies at `f * FILE_BLOCKS + n`, attributes are a counter.
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use base::{Errno, FileBlock, FsBlock, Ino, IovIter, Result};
use block::Disk;
use pagecache::{
    AddressSpace, AddressSpaceOperations, Extent, ExtentKind, FileRa, LockedPage, MapMode, block_write_end,
    generic_file_read, generic_perform_write, mpage_writepages,
};
use sync::Mutex;
use writeback::{Bdi, DirtyFlags, DirtyInode, DirtyState, WritebackControl, balance_dirty_pages_ratelimited};

/// Most blocks of one file.
pub const FILE_BLOCKS: u64 = 4096;

pub struct File {
    me: Weak<File>,
    pub number: u64,
    bdi: Arc<Bdi>,
    mapping: Arc<AddressSpace>,
    ra: FileRa,
    state: DirtyState,
    size: AtomicU64,
    inode_lock: Mutex<()>,
    /// How often the attributes were written.
    pub inode_writes: AtomicUsize,
}

impl File {
    pub fn new(bdi: &Arc<Bdi>, number: u64) -> Arc<File> {
        Arc::new_cyclic(|me| File {
            me: me.clone(),
            number,
            bdi: bdi.clone(),
            mapping: AddressSpace::new(),
            ra: FileRa::new(),
            state: DirtyState::new(),
            size: AtomicU64::new(0),
            inode_lock: Mutex::new(()),
            inode_writes: AtomicUsize::new(0),
        })
    }

    pub fn mark(&self, what: DirtyFlags) {
        self.bdi.mark_inode_dirty(&self.state, what, || Some(self.me.upgrade()?));
    }

    pub fn write(&self, pos: u64, bytes: &[u8]) -> Result<usize> {
        let _lock = self.inode_lock.lock();
        generic_perform_write(&self.mapping, self, pos, &mut IovIter::from_kernel(bytes))
    }

    pub fn read(&self, pos: u64, len: usize) -> Result<Vec<u8>> {
        let mut out = vec![0; len];
        let n = generic_file_read(&self.mapping, self, &self.ra, pos, &mut IovIter::to_kernel(&mut out))?;
        out.truncate(n);
        Ok(out)
    }

    pub fn fsync(&self, datasync: bool) -> Result<()> {
        self.bdi.write_inode_now(self, 0..u64::MAX, datasync)
    }
}

impl AddressSpaceOperations for File {
    fn block_bits(&self) -> u32 {
        12
    }

    fn disk(&self) -> &Arc<Disk> {
        self.bdi.device().disk()
    }

    fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    fn map(&self, first: FileBlock, _count: u64, how: MapMode) -> Result<Extent> {
        if matches!(how, MapMode::Write { .. }) {
            self.bdi.check_alive()?;
        }
        let len = FILE_BLOCKS.checked_sub(first.0).filter(|&n| n > 0).ok_or(Errno::EFBIG)?;
        let block = FsBlock(self.number * FILE_BLOCKS + first.0);
        Ok(Extent { kind: ExtentKind::Mapped { block }, len, new: false })
    }

    fn write_end(
        &self,
        mapping: &AddressSpace,
        page: LockedPage,
        pos: u64,
        len: usize,
        copied: usize,
    ) -> Result<usize> {
        let done = block_write_end(mapping, &page, pos, len, copied);
        let end = pos + done as u64;
        let grown = self.size.fetch_max(end, Ordering::AcqRel) < end;
        drop(page);
        let attributes = if grown { DirtyFlags::DATASYNC } else { DirtyFlags::INODE };
        self.mark(DirtyFlags::PAGES | attributes);
        Ok(done)
    }

    fn balance_dirty(&self, pages: usize) {
        balance_dirty_pages_ratelimited(&self.bdi, pages);
    }
}

impl DirtyInode for File {
    fn ino(&self) -> Ino {
        Ino(self.number)
    }

    fn dirty_state(&self) -> &DirtyState {
        &self.state
    }

    fn mapping(&self) -> &Arc<AddressSpace> {
        &self.mapping
    }

    fn writepages(&self, control: &mut WritebackControl) -> Result<()> {
        mpage_writepages(&self.mapping, self, control)
    }

    fn write_inode(&self, _sync: bool) -> Result<()> {
        self.inode_writes.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }
}
