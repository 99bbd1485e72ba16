//! A directory block as it is looked at: its bytes, and whether their checksum is known to be right.
//!
//! A block is summed once after it was read, not at each look; its buffer remembers that
//! (`pagecache::Buffer::is_checked`). What is behind the checksum, every length and offset, is checked
//! at each look all the same: that costs a few instructions, and a block may be summed well and damaged.
//!
//! [`View::chain`] is the fast walk of a search, as Linux's `search_dir` does it: it checks what leads to
//! the next entry; what an entry holds is checked when its name is the one that is sought. It goes by
//! words: entries lie at multiples of 4, and so do blocks in memory (one that does not is walked slowly).

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
    pub fn chain<'l>(&self, layout: &'l Layout) -> Chain<'a, 'l> {
        let end = layout.entries_end().min(self.bytes.len());
        let words = self.bytes.get(..end).and_then(|bytes| <[u32]>::ref_from_bytes(bytes).ok());
        Chain { layout, block: self.bytes, words: words.unwrap_or(&[]), at: 0, end }
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

/// A name that is sought, ready to be compared.
pub(crate) struct Needle<'n> {
    name: &'n [u8],
    /// The word of an entry that its last byte is in …
    last_at: usize,
    /// … what that word says …
    last: u32,
    /// … in the bytes that are the name's.
    mask: u32,
}

impl<'n> Needle<'n> {
    /// Of a name of 1 to 255 bytes.
    pub fn of(name: &'n [u8]) -> Needle<'n> {
        let start = name.len().saturating_sub(1) / 4 * 4;
        let (mut last, mut mask) = ([0; 4], [0; 4]);
        for ((word, mask), byte) in last.iter_mut().zip(&mut mask).zip(name.iter().skip(start)) {
            (*word, *mask) = (*byte, 0xff);
        }
        let (last, mask) = (u32::from_le_bytes(last), u32::from_le_bytes(mask));
        Needle { name, last_at: (HEADER + start) / 4, last, mask }
    }
}

/// The iterator of [`View::chain`]; it ends after its first error.
pub(crate) struct Chain<'a, 'l> {
    layout: &'l Layout,
    block: &'a [u8],
    /// The same as aligned words; none when the block is not.
    words: &'a [u32],
    at: usize,
    end: usize,
}

impl<'a> Chain<'a, '_> {
    /// Whether an entry is in use and has this name; then all of it is checked.
    #[inline(always)]
    pub fn names(&self, link: &Link, needle: &Needle<'_>) -> Result<Option<Entry<'a>>, DirError> {
        if link.name_len != needle.name.len() || link.ino == 0 {
            return Ok(None);
        }
        // Names in one directory differ at their ends more often than at their beginnings.
        match self.words.get(link.offset / 4 + needle.last_at) {
            Some(word) if (u32::from_le(*word) ^ needle.last) & needle.mask != 0 => Ok(None),
            _ => self.compare(link, needle.name),
        }
    }

    fn compare(&self, link: &Link, name: &[u8]) -> Result<Option<Entry<'a>>, DirError> {
        let start = link.offset + HEADER;
        match self.block.get(start..start + name.len()) {
            Some(there) if there == name => self.entry(link.offset).map(Some),
            _ => Ok(None),
        }
    }

    /// The two words at an offset: the inode; `rec_len` and the length of the name. Behind the end both
    /// are 0, which is no length.
    #[inline(always)]
    fn head(&self, offset: usize) -> (u32, u32) {
        match self.words.get(offset / 4..offset / 4 + 2) {
            Some(&[ino, lengths]) => (u32::from_le(ino), u32::from_le(lengths)),
            _ => self.head_of_bytes(offset),
        }
    }

    #[cold]
    fn head_of_bytes(&self, offset: usize) -> (u32, u32) {
        match self.block.get(..self.end).and_then(|block| block.get(offset..)?.first_chunk::<8>()) {
            Some(&[a, b, c, d, e, f, g, h]) => {
                (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
            }
            None => (0, 0),
        }
    }

    /// The entry at an offset of the chain, checked.
    pub fn entry(&self, offset: usize) -> Result<Entry<'a>, DirError> {
        entry_at(self.layout, self.block, offset)
    }

    /// What is wrong with the entry here, as the thorough walk names it.
    #[cold]
    fn complaint(&mut self) -> DirError {
        let at = core::mem::replace(&mut self.at, self.end);
        let mut walk = entries(self.layout, self.block).skip_while(|e| matches!(e, Ok(e) if e.offset < at));
        walk.next().and_then(|e| e.err()).unwrap_or(DirError::RecLenPastEnd)
    }
}

impl Iterator for Chain<'_, '_> {
    type Item = Result<Link, DirError>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let offset = self.at;
        if offset >= self.end {
            return None;
        }
        let (ino, lengths) = self.head(offset);
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
        let found =
            chain.find_map(|l| view.chain(&LAYOUT).names(&l.unwrap(), &Needle::of(b"hello")).unwrap());
        assert_eq!(found.map(|e| e.ino), Some(20));
    }

    #[test]
    fn names_are_told_apart_whatever_lies_behind_them_and_wherever_the_block_lies() {
        let names: [&[u8]; 6] = [b"a", b"abcd", b"abcde", b"abcdf", b"abcdefgh", b"bbcd"];
        // One of the two copies begins at an odd address.
        let mut room = vec![0; 1025];
        for shift in [0, 1] {
            let block = &mut room[shift..][..1024];
            init_first(&LAYOUT, block, 12, 2, 2);
            set_rec_len(block, 12, 12);
            for (name, offset) in names.iter().zip((24..).step_by(32)) {
                put_entry(block, offset, 32, 20, 1, name);
                block[offset + HEADER + name.len()..offset + 32].fill(b'x');
            }
            set_rec_len(block, 24 + 32 * 5, LAYOUT.entries_end() - 24 - 32 * 5);
            for (name, offset) in names.iter().zip((24..).step_by(32)) {
                let view = View::new(block, true);
                let hit = view
                    .chain(&LAYOUT)
                    .filter_map(|link| view.chain(&LAYOUT).names(&link.unwrap(), &Needle::of(name)).unwrap());
                assert_eq!(hit.map(|e| e.offset).collect::<vec::Vec<_>>(), [offset]);
            }
        }
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
