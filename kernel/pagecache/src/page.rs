//! Interface first; the body follows.
use base::{Frame, PageIndex};
use alloc::sync::Arc;
/// A page of a file in memory.
pub struct Page { frame: Frame, index: PageIndex }
/// A page whose lock this value holds; drop unlocks.
pub struct LockedPage { page: Arc<Page> }
impl Page {
    /// The bytes. A second handle to it (a page table's) keeps the page from being reclaimed.
    pub fn frame(&self) -> &Frame { &self.frame }
    /// Which page of the file.
    pub fn index(&self) -> PageIndex { self.index }
}
impl core::ops::Deref for LockedPage { type Target = Page; fn deref(&self) -> &Page { &self.page } }
