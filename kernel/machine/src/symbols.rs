//! Names for addresses of the kernel, from the table that `quill image` appends to the Image.
//!
//! The table lies where the linker script left room ([`crate::layout::symbols`]); its form is told in
//! launcher/src/symbols.rs:
//! ```text
//!   0 "QSYMTAB1"   8 u32 count   12 u32 length of the names
//!  16 count times: u32 offset of the function, u32 offset of its name;  then the names, each with a 0
//! ```
//! Without a table (an ELF file under gdb, a plain objcopy) the room holds anything; every number is
//! checked before it is used.

const MAGIC: &[u8; 8] = b"QSYMTAB1";
const HEADER: usize = 16;

/// A table that was found.
#[derive(Clone, Copy, Debug)]
pub struct Symbols<'a> {
    index: &'a [u8],
    names: &'a [u8],
}

impl<'a> Symbols<'a> {
    /// The table at the start of `room`, if one is there.
    pub fn find(room: &'a [u8]) -> Option<Symbols<'a>> {
        if room.get(..8)? != MAGIC {
            return None;
        }
        let (count, names) = (u32_at(room, 8)? as usize, u32_at(room, 12)? as usize);
        let index_end = count.checked_mul(8)?.checked_add(HEADER)?;
        let names_end = index_end.checked_add(names)?;
        Some(Symbols { index: room.get(HEADER..index_end)?, names: room.get(index_end..names_end)? })
    }

    /// Bytes that the table occupies from the start of its room.
    pub fn len(&self) -> usize {
        HEADER + self.index.len() + self.names.len()
    }

    /// Whether it names nothing.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The function that an offset into the image belongs to, and how far into it that is.
    pub fn lookup(&self, offset: u32) -> Option<(&'a str, u32)> {
        let (mut low, mut high) = (0, self.index.len() / 8);
        // The last function that starts at or before `offset` is in [low - 1, high).
        while low < high {
            let middle = low + (high - low) / 2;
            if u32_at(self.index, middle * 8)? <= offset {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let entry = low.checked_sub(1)?;
        let name = self.names.get(u32_at(self.index, entry * 8 + 4)? as usize..)?;
        let end = name.iter().position(|&byte| byte == 0)?;
        Some((core::str::from_utf8(&name[..end]).ok()?, offset - u32_at(self.index, entry * 8)?))
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn example() -> Vec<u8> {
        let mut table = MAGIC.to_vec();
        for number in [2u32, 7, 0x40, 0, 0x80, 2] {
            table.extend(number.to_le_bytes());
        }
        table.extend(b"a\0b::c\0");
        table.resize(64, 0xff);
        table
    }

    #[test]
    fn an_address_belongs_to_the_function_before_it() {
        let bytes = example();
        let table = Symbols::find(&bytes).unwrap();
        assert_eq!(table.len(), 39);
        assert_eq!(table.lookup(0x3f), None);
        assert_eq!(table.lookup(0x40), Some(("a", 0)));
        assert_eq!(table.lookup(0x7f), Some(("a", 0x3f)));
        assert_eq!(table.lookup(0x1000), Some(("b::c", 0xf80)));
    }

    #[test]
    fn no_table_is_no_trouble() {
        assert!(Symbols::find(&[]).is_none());
        assert!(Symbols::find(&[0; 4096]).is_none());
        assert!(Symbols::find(&example()[..38]).is_none());
    }

    proptest! {
        #[test]
        fn garbage_never_panics(at in 8usize..39, byte in any::<u8>(), offset in any::<u32>()) {
            let mut bytes = example();
            bytes[at] = byte;
            if let Some(table) = Symbols::find(&bytes) {
                let _ = table.lookup(offset);
            }
        }
    }
}
