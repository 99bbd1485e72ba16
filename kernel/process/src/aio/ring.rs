//! The ring of events that the program may read by itself (`struct aio_ring`).
//!
//! ```text
//!   byte  0 id   4 nr   8 head   12 tail   16 magic   20 compat   24 incompat   28 header length
//!        32 events of 32 bytes: data, obj, res, res2
//! ```
//! `head` is the program's to move; all words are its to spoil, so the kernel keeps its own `tail` and takes
//! `head` modulo `nr`. The ring may be moved by mremap(2), never grown: the context's number goes with it.
//!
//! # Example
//! io_setup(1): room for 8 and two more, in one page: 127 slots, so 126 requests, as in Linux.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering, fence};

use base::{Errno, Frame, PAGE_SIZE, PageIndex, Result, UserAddr};
use pagecache::Pattern;

use super::Event;
use crate::mm::vma::{PageSource, SourcePage};
use crate::mm::{MapFile, MapRequest, Mm};

const HEADER: usize = 32;
const EVENT: usize = 32;
const HEAD: usize = 8;
const TAIL: usize = 12;
const MAGIC: u32 = 0xa10a_10a1;
/// Most bytes of events.
const LARGEST: u32 = 0x1000_0000;
/// Linux makes room for four requests of each CPU at least; there is one.
const FEWEST: u32 = 4;

/// How many slots a context for so many requests asks for. EINVAL, EAGAIN.
pub fn slots(requests: u32) -> Result<u32> {
    let slots = requests.max(FEWEST).checked_mul(2).ok_or(Errno::EINVAL)?;
    if slots > LARGEST / EVENT as u32 {
        return Err(Errno::EINVAL);
    }
    // Head and tail never meet when it is full.
    Ok(slots + 2)
}

/// The ring's pages, which are the program's too: a shared mapping of a file that is nowhere else, so that
/// what madvise(2) takes out of the page table comes back as it was.
pub struct Ring {
    pages: Arc<RingPages>,
    slots: u32,
}

struct RingPages {
    frames: Vec<Frame>,
    /// Where the program has them, by its last mremap.
    at: AtomicU64,
}

impl PageSource for RingPages {
    fn page(&self, index: PageIndex, _pattern: Pattern) -> Result<SourcePage> {
        let page = usize::try_from(index.0).ok().and_then(|n| self.frames.get(n)).ok_or(Errno::EINVAL)?;
        Ok(SourcePage::held(page.clone(), None))
    }

    fn may_map_writable(&self) -> bool {
        true
    }

    fn page_mkwrite(&self, index: PageIndex, pattern: Pattern) -> Result<SourcePage> {
        self.page(index, pattern)
    }

    fn is_cached(&self, _index: PageIndex) -> bool {
        true
    }

    fn may_grow(&self) -> bool {
        false
    }

    fn moved(&self, to: UserAddr) {
        self.at.store(to.0, Ordering::Relaxed);
    }

    fn describe(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("/[aio] (deleted)")
    }
}

impl Ring {
    /// Maps one of at least so many slots. ENOMEM.
    pub fn map(mm: &Mm, slots: u32, id: u32) -> Result<Ring> {
        let bytes = HEADER + slots as usize * EVENT;
        let len = bytes.next_multiple_of(PAGE_SIZE);
        let frames: Result<Vec<Frame>> = (0..len / PAGE_SIZE).map(|_| zeroed()).collect();
        let pages = Arc::new(RingPages { frames: frames?, at: AtomicU64::new(0) });
        let file = MapFile {
            source: Ok(Some(pages.clone())),
            max_bytes: u64::MAX,
            readable: true,
            writable: true,
            append_only: false,
            noexec: true,
        };
        // Readable, writable; shared.
        let request =
            MapRequest { len: len as u64, prot: 3, flags: 1, file: Some(file), ..MapRequest::default() };
        pages.moved(mm.mmap(&request)?);
        // At most a little more than was asked for: fits.
        let slots = ((len - HEADER) / EVENT) as u32;
        let ring = Ring { pages, slots };
        let header = [id, slots, 0, 0, MAGIC, 1, 0, HEADER as u32];
        header.iter().enumerate().for_each(|(i, &word)| ring.set_word(4 * i, word));
        Ok(ring)
    }

    /// Where it lies, which is the context's number.
    pub fn address(&self) -> u64 {
        self.pages.at.load(Ordering::Relaxed)
    }

    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        (self.pages.frames.len() * PAGE_SIZE) as u64
    }

    /// How many events it has room for, and one more.
    pub fn slots(&self) -> u32 {
        self.slots
    }

    /// Where the next event is read.
    pub fn head(&self) -> u32 {
        let mut word = [0; 4];
        if let Some(page) = self.pages.frames.first() {
            page.read(HEAD, &mut word);
        }
        u32::from_ne_bytes(word) % self.slots
    }

    /// The reader has come here.
    pub fn set_head(&self, head: u32) {
        self.set_word(HEAD, head);
    }

    /// Events up to here can be read: after they were put.
    pub fn set_tail(&self, tail: u32) {
        fence(Ordering::Release);
        self.set_word(TAIL, tail);
    }

    /// How many events wait between the head and this tail.
    pub fn waiting(&self, tail: u32) -> u32 {
        // Both below `slots`, which is far below 2^31.
        (tail + self.slots - self.head()) % self.slots
    }

    /// Puts an event into a slot.
    pub fn put(&self, slot: u32, event: &Event) {
        let mut bytes = [0; EVENT];
        // `res2` stays 0.
        let words = [event.data, event.obj, event.res as u64];
        bytes.chunks_exact_mut(8).zip(words).for_each(|(to, word)| to.copy_from_slice(&word.to_ne_bytes()));
        let at = Ring::place(slot);
        if let Some(page) = self.pages.frames.get(at / PAGE_SIZE) {
            page.write(at % PAGE_SIZE, &bytes);
        }
    }

    /// Takes the bytes of a slot's event.
    pub fn get(&self, slot: u32) -> [u8; EVENT] {
        let mut bytes = [0; EVENT];
        let at = Ring::place(slot);
        if let Some(page) = self.pages.frames.get(at / PAGE_SIZE) {
            page.read(at % PAGE_SIZE, &mut bytes);
        }
        bytes
    }

    /// Events do not cross pages: header, event and page are multiples of each other.
    fn place(slot: u32) -> usize {
        HEADER + slot as usize * EVENT
    }

    fn set_word(&self, at: usize, word: u32) {
        if let Some(page) = self.pages.frames.first() {
            page.write(at, &word.to_ne_bytes());
        }
    }
}

fn zeroed() -> Result<Frame> {
    let page = pagecache::alloc_page()?;
    page.zero();
    Ok(page)
}
