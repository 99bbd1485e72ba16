//! A program's page table with one file in it: page n of the file at address n pages.
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};

use base::{Frame, PAGE_SIZE, PageIndex, Result, UserAddr};

use super::support::TestFs;
use crate::*;

/// How far the mapping reaches.
pub const PAGES: u64 = 32;

#[derive(Default)]
pub struct Table {
    pages: Mutex<BTreeMap<u64, (Frame, bool)>>,
}

impl Table {
    /// Maps the file.
    pub fn map(fs: &TestFs) -> Arc<Table> {
        let table = Arc::new(Table::default());
        fs.mapping.map_range(table.weak(), UserAddr(0), 0, PAGES, true);
        table
    }

    fn weak(self: &Arc<Table>) -> Weak<dyn MappedBy> {
        let weak: Weak<Table> = Arc::downgrade(self);
        weak
    }

    pub fn unmap(self: Arc<Table>, fs: &TestFs) {
        self.pages.lock().unwrap().clear();
        fs.mapping.unmap_range(&self.weak(), UserAddr(0), PAGES * PAGE_SIZE as u64);
    }

    /// How many pages are there, and how many of them can be stored to.
    pub fn count(&self) -> (usize, usize) {
        let pages = self.pages.lock().unwrap();
        (pages.len(), pages.values().filter(|(_, write)| *write).count())
    }

    pub fn load(&self, fs: &TestFs, pos: u64) -> Result<u8> {
        self.fault(fs, pos, false)?;
        let mut byte = [0];
        self.pages.lock().unwrap()[&(pos / PAGE_SIZE as u64)].0.read(pos as usize % PAGE_SIZE, &mut byte);
        Ok(byte[0])
    }

    pub fn store(&self, fs: &TestFs, pos: u64, byte: u8) -> Result<()> {
        loop {
            self.fault(fs, pos, true)?;
            // As the processor does it: the look at the entry and the store are one.
            let pages = self.pages.lock().unwrap();
            if let Some((frame, true)) = pages.get(&(pos / PAGE_SIZE as u64)) {
                frame.write(pos as usize % PAGE_SIZE, &[byte]);
                return Ok(());
            }
        }
    }

    fn fault(&self, fs: &TestFs, pos: u64, write: bool) -> Result<()> {
        let index = pos / PAGE_SIZE as u64;
        if self.pages.lock().unwrap().get(&index).is_some_and(|(_, may)| *may || !write) {
            return Ok(());
        }
        let _steady = fs.mapping.invalidate_lock_shared();
        let page = if write {
            fs.page_mkwrite(&fs.mapping, PageIndex(index))?
        } else {
            lock_mapped_page(&fs.mapping, fs, &fs.ra, PageIndex(index), Pattern::Normal)?.0
        };
        self.pages.lock().unwrap().insert(index, (page.frame().clone(), write));
        Ok(())
    }
}

impl MappedBy for Table {
    fn write_protect(&self, addr: UserAddr, frame: &Frame) {
        if let Some(page) = self.pages.lock().unwrap().get_mut(&(addr.0 / PAGE_SIZE as u64))
            && page.0.same(frame)
        {
            page.1 = false;
        }
    }

    fn unmap_page(&self, addr: UserAddr, frame: &Frame) {
        let index = addr.0 / PAGE_SIZE as u64;
        let mut pages = self.pages.lock().unwrap();
        if pages.get(&index).is_some_and(|page| page.0.same(frame)) {
            pages.remove(&index);
        }
    }

    fn unmap_all(&self, addr: UserAddr, len: u64) {
        let (from, to) = (addr.0 / PAGE_SIZE as u64, (addr.0 + len) / PAGE_SIZE as u64);
        self.pages.lock().unwrap().retain(|&index, _| index < from || index >= to);
    }
}
