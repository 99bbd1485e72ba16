//! The symbol table behind the kernel's Image, from which a panic names the functions in its backtrace.
//!
//! A linked kernel that wants one leaves room for it after its last loaded byte, between the symbols
//! `__symbols_start` and `__symbols_end`, and marks its first byte with `__image_start`. The room is
//! not in the ELF file; the table exists in the flat Image alone (so a kernel must expect to find
//! zeros there). All numbers are little endian:
//!
//! ```text
//!    0  "QSYMTAB1"
//!    8  u32  count of functions
//!   12  u32  length of the names, in bytes
//!   16  count times:  u32 start of the function, from __image_start   (ascending, no two alike)
//!                     u32 start of its name, from the first name
//!   ..  the names: UTF-8, each ended by a zero byte
//! ```
//!
//! An address belongs to the last function that starts at or before it. Worked example: functions
//! `a` at 0x40 and `b::c` at 0x80 give `51 53 59 4d 54 41 42 31`, `2, 7`, `0x40, 0`, `0x80, 2`,
//! `a\0b::c\0`: 39 bytes.

use std::collections::BTreeMap;
use std::fmt;

use elf::ElfBytes;
use elf::abi::STT_FUNC;
use elf::endian::LittleEndian;

const MAGIC: &[u8; 8] = b"QSYMTAB1";

/// Names are cut here: a generic function's full name can fill a screen.
const MAX_NAME: usize = 100;

/// Why there is no symbol table.
#[derive(Debug)]
pub enum SymbolError {
    /// The ELF file's own table is malformed.
    Elf(elf::ParseError),
    /// The marks of the linker script contradict each other or the segments.
    Layout,
    /// The table does not fit its room.
    TooLarge { needed: usize, room: u64 },
}

impl fmt::Display for SymbolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SymbolError::Elf(error) => write!(f, "its symbol table is malformed: {error}"),
            SymbolError::Layout => f.write_str("__symbols_start does not lie behind the loaded segments"),
            SymbolError::TooLarge { needed, room } => {
                write!(f, "the symbol table needs {needed} bytes and has {room}; raise its room in linker.ld")
            }
        }
    }
}

impl From<elf::ParseError> for SymbolError {
    fn from(error: elf::ParseError) -> Self {
        SymbolError::Elf(error)
    }
}

/// Appends the table to the flat image; does nothing for a kernel that has no room or no symbols.
/// An image of more than `limit` bytes is refused.
pub fn append(elf: &ElfBytes<'_, LittleEndian>, image: &mut Vec<u8>, limit: u64) -> Result<(), SymbolError> {
    let Some((symbols, names)) = elf.symbol_table()? else { return Ok(()) };
    let (mut marks, mut functions) = (Marks::default(), Vec::new());
    for symbol in symbols.iter() {
        let name = names.get(symbol.st_name as usize)?;
        marks.note(name, symbol.st_value);
        if symbol.st_symtype() == STT_FUNC {
            functions.push((symbol.st_value, name));
        }
    }
    let Some(room) = marks.room(image.len() as u64, limit)? else { return Ok(()) };
    let offsets = functions.iter().filter_map(|(address, name)| {
        let offset = address.checked_sub(room.image_start)?;
        Some((u32::try_from(offset).ok()?, readable(name)))
    });
    let table = encode(&offsets.collect());
    if table.len() as u64 > room.len {
        return Err(SymbolError::TooLarge { needed: table.len(), room: room.len });
    }
    image.resize(room.offset, 0);
    image.extend(table);
    Ok(())
}

/// Where the linker script says that things are.
#[derive(Default)]
struct Marks {
    image_start: Option<u64>,
    start: Option<u64>,
    end: Option<u64>,
}

/// The room for the table.
struct Room {
    /// The address from which functions are counted.
    image_start: u64,
    /// From the image's first byte to the table's.
    offset: usize,
    len: u64,
}

impl Marks {
    fn note(&mut self, name: &str, address: u64) {
        match name {
            "__image_start" => self.image_start = Some(address),
            "__symbols_start" => self.start = Some(address),
            "__symbols_end" => self.end = Some(address),
            _ => {}
        }
    }

    /// The room, which lies behind the `loaded` bytes and within `limit`.
    fn room(&self, loaded: u64, limit: u64) -> Result<Option<Room>, SymbolError> {
        let (Some(image_start), Some(start), Some(end)) = (self.image_start, self.start, self.end) else {
            return Ok(None);
        };
        let offset = start.checked_sub(image_start).filter(|offset| (loaded..=limit).contains(offset));
        let offset = offset.and_then(|offset| usize::try_from(offset).ok()).ok_or(SymbolError::Layout)?;
        let len = end.checked_sub(start).ok_or(SymbolError::Layout)?;
        Ok(Some(Room { image_start, offset, len }))
    }
}

/// The name as people write it: demangled, without the hash, not too long.
fn readable(name: &str) -> String {
    let mut text = format!("{:#}", rustc_demangle::demangle(name)).replace('\0', "");
    if let Some((cut, _)) = text.char_indices().nth(MAX_NAME) {
        text.truncate(cut);
    }
    text
}

/// The table of these functions.
fn encode(functions: &BTreeMap<u32, String>) -> Vec<u8> {
    let (mut index, mut names) = (Vec::new(), Vec::new());
    for (offset, name) in functions {
        index.extend(offset.to_le_bytes());
        index.extend(length(&names).to_le_bytes());
        names.extend(name.as_bytes());
        names.push(0);
    }
    let mut table = MAGIC.to_vec();
    table.extend((length(&index) / 8).to_le_bytes());
    table.extend(length(&names).to_le_bytes());
    table.extend(index);
    table.extend(names);
    table
}

/// A length as the table has it. One that does not fit belongs to a table that fits no room.
fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worked_example() {
        let functions = BTreeMap::from([(0x80, "b::c".to_owned()), (0x40, "a".to_owned())]);
        let mut expected = b"QSYMTAB1".to_vec();
        for number in [2u32, 7, 0x40, 0, 0x80, 2] {
            expected.extend(number.to_le_bytes());
        }
        expected.extend(b"a\0b::c\0");
        assert_eq!((encode(&functions), expected.len()), (expected, 39));
    }

    #[test]
    fn names_are_demangled_and_cut() {
        assert_eq!(readable("_ZN4core3fmt5write17h0123456789abcdefE"), "core::fmt::write");
        assert_eq!(readable("memcpy"), "memcpy");
        assert_eq!(readable(&"é".repeat(200)).chars().count(), MAX_NAME);
    }

    #[test]
    fn the_room_must_lie_behind_what_is_loaded() {
        let marks = |start, end| Marks { image_start: Some(0x1000), start: Some(start), end: Some(end) };
        assert!(
            marks(0x3000, 0x4000)
                .room(0x2000, 1 << 20)
                .is_ok_and(|room| room.is_some_and(|r| r.len == 0x1000))
        );
        for (start, end) in [(0x2fff, 0x4000), (0x3000, 0x2000), (0x200_0000, 0x300_0000), (0, 1)] {
            assert!(marks(start, end).room(0x2000, 1 << 20).is_err(), "{start:x} {end:x}");
        }
        assert!(Marks::default().room(0, 0).is_ok_and(|room| room.is_none()));
    }
}
