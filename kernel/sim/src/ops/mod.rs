//! The operations of a [`Run`]: each does one thing to the file system and to the model, and compares
//! the answers.

mod attrs;
mod data;
mod names;

use base::{Errno, Result};

use crate::model::Model;
use crate::run::Run;

/// Blocks that may be left when there is no room: a name may need several at once.
const FEW_BLOCKS: u64 = 24;

impl Run {
    /// A path that is there, of these kinds: `d`, `f`, `l`, `s`.
    pub(crate) fn existing(&mut self, kinds: &str) -> Option<Vec<u8>> {
        let mut paths = self.model.paths();
        paths.retain(|(_, kind)| kinds.contains(*kind));
        paths.sort();
        (!paths.is_empty()).then(|| self.rng.pick(&paths).0.clone())
    }

    fn directory(&mut self) -> Vec<u8> {
        if self.rng.one_in(3) { Vec::new() } else { self.existing("d").unwrap_or_default() }
    }

    fn name(&mut self) -> Vec<u8> {
        let number = self.rng.below(40);
        match self.rng.below(12) {
            0 => format!("{number:0>255}").into_bytes(),
            1 => [&b"\xff\x80 \t"[..], format!("{number}").as_bytes()].concat(),
            2 => format!("{}{number}", "long".repeat(1 + self.rng.below(50) as usize)).into_bytes(),
            _ => format!("n{number}").into_bytes(),
        }
    }

    /// A path in an existing directory, mostly of a name that is not there.
    fn some_path(&mut self) -> Vec<u8> {
        if self.rng.one_in(6)
            && let Some(path) = self.existing("dfls")
        {
            return path;
        }
        let dir = self.directory();
        [&dir[..], b"/", &self.name()].concat()
    }

    /// What the file system answered, and what the model says to the same. On a crowded disk there may
    /// be no room: then nothing has changed.
    fn both(&mut self, real: Result<()>, model: impl FnOnce(&mut Model) -> Result<()>) {
        if self.crowded && real == Err(Errno::ENOSPC) {
            return self.no_room();
        }
        let expected = model(&mut self.model);
        self.same(real, expected);
    }

    /// "No space left": then there must be hardly any.
    fn no_room(&mut self) {
        self.refusals += 1;
        let Ok(told) = self.machine().statfs() else { self.fail("statfs fails") };
        if told.blocks_free > FEW_BLOCKS + self.model.abilities().reserve && told.files_free > 0 {
            self.fail(&format!(
                "ENOSPC with {} blocks and {} inodes free",
                told.blocks_free, told.files_free
            ));
        }
    }
}
