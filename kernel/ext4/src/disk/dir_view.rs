//! A directory block as it is looked at: its bytes, and whether their checksum is known to be right.
//!
//! A block is summed once after it was read, not at each look; its buffer remembers that
//! (`pagecache::Buffer::is_checked`). What is behind the checksum, every length and offset, is checked
//! at each look all the same: that costs a few instructions, and a block may be summed well and damaged.
//!
//! [`View::chain`] is the fast walk of a search, as Linux's `search_dir` does it: it checks what leads to
//! the next entry; what an entry holds is checked when its name is the one that is sought.

use core::cell::Cell;
use core::ops::Deref;

use zerocopy::FromBytes;

use super::dir::{DirError, Entry, HEADER, Layout, check_tail, entries, entry_at, entry_len};

/// A look at a block of a directory.
pub(crate) struct View<'a> {
    bytes: &'a [u8],
    checked: Cell<bool>,
}

impl Deref for View<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

impl<'a> View<'a> {
    /// Of these bytes, `checked` before or not.
    pub fn new(bytes: &'a [u8], checked: bool) -> View<'a> {
        View { bytes, checked: Cell::new(checked) }
    }

    /// The bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether the checksum is right: known before, or found in this look.
    pub fn is_checked(&self) -> bool {
        self.checked.get()
    }

    /// Runs a check of the checksum, unless it was passed before.
    pub fn check(&self, sum: impl FnOnce(&[u8]) -> Result<(), DirError>) -> Result<(), DirError> {
        if !self.checked.get() {
            sum(self.bytes)?;
            self.checked.set(true);
        }
        Ok(())
    }

    /// The tail of a block of entries: its mark and its checksum.
    pub fn check_tail(&self, layout: &Layout) -> Result<(), DirError> {
        self.check(|bytes| check_tail(layout, bytes))
    }

    /// The fast walk over a block of entries.
    pub fn chain(&self, layout: &Layout) -> Chain<'a> {
        let end = layout.entries_end().min(self.bytes.len());
        let words = self.bytes.get(..end).and_then(|bytes| <[u32]>::ref_from_bytes(bytes).ok());
        Chain { layout: *layout, block: self.bytes, words: words.unwrap_or(&[]), at: 0, end }
    }
}

/// An entry as a search meets it: it lies inside the block.
#[derive(Clone, Copy)]
pub(crate) struct Link {
    /// Where it starts.
    pub offset: usize,
    /// How far the next one is.
    pub rec_len: usize,
    /// The inode, 0 when unused.
    pub ino: u32,
    /// What it says of its name's length.
    pub name_len: usize,
}

impl Link {
    /// Bytes the entry itself takes, if it tells the truth.
    #[inline(always)]
    pub fn used(&self) -> usize {
        if self.ino == 0 { 0 } else { entry_len(self.name_len) }
    }
}

/// The iterator of [`View::chain`]; it ends after its first error.
pub(crate) struct Chain<'a> {
    layout: Layout,
    block: &'a [u8],
    /// The same as aligned words: a block lies in a page, and an entry at a multiple of 4.
    words: &'a [u32],
    at: usize,
    end: usize,
}

impl<'a> Chain<'a> {
    /// Whether an entry is in use and has this name; then all of it is checked.
    #[inline(always)]
    pub fn names(&self, link: &Link, name: &[u8]) -> Result<Option<Entry<'a>>, DirError> {
        if link.name_len != name.len() || link.ino == 0 {
            return Ok(None);
        }
        let start = link.offset + HEADER;
        let there = self.block.get(start..start + name.len());
        // Names in one directory differ at their ends more often than at their beginnings.
        if there.is_none_or(|there| there.last() != name.last() || there != name) {
            return Ok(None);
        }
        self.entry(link.offset).map(Some)
    }

    /// The entry at an offset of the chain, checked.
    pub fn entry(&self, offset: usize) -> Result<Entry<'a>, DirError> {
        entry_at(&self.layout, self.block, offset)
    }

    /// What is wrong with the entry here, as the thorough walk names it.
    #[cold]
    fn complaint(&mut self) -> DirError {
        let at = core::mem::replace(&mut self.at, self.end);
        let mut walk = entries(&self.layout, self.block).skip_while(|e| matches!(e, Ok(e) if e.offset < at));
        walk.next().and_then(|e| e.err()).unwrap_or(DirError::RecLenPastEnd)
    }
}

impl Iterator for Chain<'_> {
    type Item = Result<Link, DirError>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let offset = self.at;
        if offset >= self.end {
            return None;
        }
        // Behind the end both are 0, which is no length.
        let ino = self.words.get(offset / 4).map_or(0, |word| u32::from_le(*word));
        let lengths = self.words.get(offset / 4 + 1).map_or(0, |word| u32::from_le(*word));
        let (rec_len, name_len) = ((lengths & 0xffff) as usize, (lengths >> 16 & 0xff) as usize);
        if rec_len < entry_len(1) || !rec_len.is_multiple_of(4) || rec_len > self.end - offset {
            return Some(Err(self.complaint()));
        }
        self.at = offset + rec_len;
        Some(Ok(Link { offset, rec_len, ino, name_len }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::dir::{init_first, put_entry, seal, set_rec_len};
    use alloc::vec;

    const LAYOUT: Layout = Layout { block_size: 1024, csum_seed: Some(9), filetype: true, max_ino: 100 };

    #[test]
    fn a_sum_is_computed_once() {
        let mut block = vec![0; 1024];
        init_first(&LAYOUT, &mut block, 12, 2, 2);
        let view = View::new(&block, false);
        assert_eq!(view.check_tail(&LAYOUT), Ok(()));
        assert!(view.is_checked());
        block[100] ^= 1;
        assert_eq!(View::new(&block, false).check_tail(&LAYOUT), Err(DirError::Checksum));
        assert_eq!(View::new(&block, true).check_tail(&LAYOUT), Ok(()));
    }

    #[test]
    fn the_fast_walk_agrees_with_the_thorough_one() {
        let mut block = vec![0; 1024];
        init_first(&LAYOUT, &mut block, 12, 2, 2);
        set_rec_len(&mut block, 12, 12);
        put_entry(&mut block, 24, 988, 20, 1, b"hello");
        seal(&LAYOUT, &mut block);
        let view = View::new(&block, true);
        let fast: vec::Vec<_> =
            view.chain(&LAYOUT).map(|l| l.map(|l| (l.offset, l.ino, l.rec_len))).collect();
        let slow: vec::Vec<_> =
            entries(&LAYOUT, &block).map(|e| e.map(|e| (e.offset, e.ino, e.rec_len))).collect();
        assert_eq!(fast, slow);
        let mut chain = view.chain(&LAYOUT);
        let found = chain.find_map(|l| view.chain(&LAYOUT).names(&l.unwrap(), b"hello").unwrap());
        assert_eq!(found.map(|e| e.ino), Some(20));
    }

    #[test]
    fn a_broken_chain_is_named_and_ends() {
        for (at, bytes, error) in [
            (28, [8u8, 0], DirError::RecLenTooSmall),
            (28, [14, 0], DirError::RecLenMisaligned),
            (28, [0, 4], DirError::RecLenPastEnd),
        ] {
            let mut block = vec![0; 1024];
            init_first(&LAYOUT, &mut block, 12, 2, 2);
            set_rec_len(&mut block, 12, 12);
            put_entry(&mut block, 24, 988, 20, 1, b"hello");
            block[at..at + 2].copy_from_slice(&bytes);
            let view = View::new(&block, true);
            let walked: vec::Vec<_> = view.chain(&LAYOUT).collect();
            assert_eq!(walked.len(), 3);
            assert_eq!(walked.last().and_then(|l| l.err()), Some(error));
        }
    }
}
