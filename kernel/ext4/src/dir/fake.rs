//! A directory in a vector of blocks, for tests.

use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use base::{Errno, Result};

use super::hash::{HashKind, Hasher};
use super::{DirBlocks, Shape, first_block};
use crate::disk::dir::{DirError, Layout};
use crate::disk::dir_view::View;

pub(super) struct FakeDir {
    pub shape: Shape,
    pub blocks: RefCell<Vec<Vec<u8>>>,
    pub indexed: Cell<bool>,
    /// Blocks it may grow to.
    pub room: Cell<usize>,
    /// The last damage reported.
    pub damage: Cell<Option<DirError>>,
}

impl FakeDir {
    pub fn new(block_size: usize, csum: bool, dir_index: bool) -> FakeDir {
        let layout =
            Layout { block_size, csum_seed: csum.then_some(0x1234), filetype: true, max_ino: 1 << 30 };
        let hasher = Hasher { kind: HashKind::HalfMd4, unsigned: false, seed: [1, 2, 3, 4] };
        let shape = Shape { layout, dir_index, large_dir: false, hasher };
        FakeDir {
            shape,
            blocks: RefCell::new(alloc::vec![first_block(&shape, 12, 2)]),
            indexed: Cell::new(false),
            room: Cell::new(usize::MAX),
            damage: Cell::new(None),
        }
    }
}

impl DirBlocks for FakeDir {
    fn shape(&self) -> &Shape {
        &self.shape
    }

    fn count(&self) -> u32 {
        self.blocks.borrow().len() as u32
    }

    fn read<R>(&self, block: u32, f: impl FnOnce(&View<'_>) -> R) -> Result<R> {
        let look = |bytes: &Vec<u8>| f(&View::new(bytes, false));
        self.blocks.borrow().get(block as usize).map(look).ok_or(Errno::EIO)
    }

    fn modify<R>(&self, block: u32, f: impl FnOnce(&mut [u8]) -> R) -> Result<R> {
        self.blocks.borrow_mut().get_mut(block as usize).map(|bytes| f(bytes)).ok_or(Errno::EIO)
    }

    fn append(&self, bytes: &[u8]) -> Result<u32> {
        let mut blocks = self.blocks.borrow_mut();
        if blocks.len() >= self.room.get() {
            return Err(Errno::ENOSPC);
        }
        blocks.push(bytes.to_vec());
        Ok(blocks.len() as u32 - 1)
    }

    fn is_indexed(&self) -> bool {
        self.indexed.get()
    }

    fn set_indexed(&self, indexed: bool) {
        self.indexed.set(indexed);
    }

    fn drop_index(&self, error: DirError) {
        self.damage.set(Some(error));
        self.indexed.set(false);
    }

    fn corrupt(&self, _block: u32, error: DirError) -> Errno {
        self.damage.set(Some(error));
        Errno::EUCLEAN
    }
}
