//! Kernels made by hand: an ELF header, loadable segments, and sometimes symbols.

use proptest::prelude::*;

use super::*;

/// The ELF header's length, a program header's, a section header's and a symbol's.
const EHDR: usize = 64;
const PHDR: usize = 56;
const SHDR: usize = 64;
const SYM: usize = 24;

const BASE: u64 = 0xffff_8000_0000_0000;

/// An AArch64 executable with the given loadable segments (physical address, bytes) and symbols
/// (name, value, whether it is a function).
fn elf(segments: &[(u64, &[u8])], symbols: &[(&str, u64, bool)]) -> Vec<u8> {
    let data_at = EHDR + PHDR * segments.len();
    let data_len: usize = segments.iter().map(|(_, bytes)| bytes.len()).sum();
    let sections_at = data_at + data_len;
    let mut file = ehdr(segments.len(), sections_at, if symbols.is_empty() { 0 } else { 3 });
    let mut at = data_at;
    for (address, bytes) in segments {
        file.extend([1, 0, 0, 0, 5, 0, 0, 0]); // PT_LOAD, read and execute
        words(
            &mut file,
            &[at as u64, BASE + address, *address, bytes.len() as u64, bytes.len() as u64, 4096],
        );
        at += bytes.len();
    }
    segments.iter().for_each(|(_, bytes)| file.extend(*bytes));
    if !symbols.is_empty() {
        add_symbols(&mut file, symbols);
    }
    file
}

fn ehdr(segments: usize, sections_at: usize, sections: u16) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend([2, 0, 183, 0, 1, 0, 0, 0]); // ET_EXEC, EM_AARCH64, version
    words(&mut file, &[0, EHDR as u64, if sections == 0 { 0 } else { sections_at as u64 }]);
    file.extend([0; 4]);
    let segments = u16::try_from(segments).expect("few segments");
    for half in [EHDR as u16, PHDR as u16, segments, SHDR as u16, sections, 0] {
        file.extend(half.to_le_bytes());
    }
    file
}

/// Three section headers (none, SHT_SYMTAB, SHT_STRTAB), then what they describe.
fn add_symbols(file: &mut Vec<u8>, symbols: &[(&str, u64, bool)]) {
    let (mut table, mut names) = (vec![0; SYM], vec![0]);
    for (name, value, is_function) in symbols {
        table.extend(u32::try_from(names.len()).expect("few names").to_le_bytes());
        table.extend([if *is_function { 2 } else { 0 }, 0, 1, 0]);
        words(&mut table, &[*value, 4]);
        names.extend(name.bytes().chain([0]));
    }
    let table_at = (file.len() + 3 * SHDR) as u64;
    let names_at = table_at + table.len() as u64;
    file.extend([0; SHDR]);
    for (kind, at, len, link, entry) in
        [(2u32, table_at, table.len(), 2u32, SYM), (3, names_at, names.len(), 0, 0)]
    {
        file.extend([0; 4]);
        file.extend(kind.to_le_bytes());
        words(file, &[0, 0, at, len as u64]);
        file.extend(link.to_le_bytes());
        file.extend([0; 4]);
        words(file, &[8, entry as u64]);
    }
    file.extend(table);
    file.extend(names);
}

fn words(out: &mut Vec<u8>, words: &[u64]) {
    words.iter().for_each(|word| out.extend(word.to_le_bytes()));
}

fn header() -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[0x38..0x3c].copy_from_slice(b"ARM\x64");
    bytes
}

/// A kernel with room for `room` bytes of symbols at 0x1000.
fn with_room(room: u64) -> Vec<u8> {
    let symbols = [
        ("__image_start", BASE, false),
        ("__symbols_start", BASE + 0x1000, false),
        ("__symbols_end", BASE + 0x1000 + room, false),
        ("b", BASE + 0x30, true),
        ("_ZN4core3fmt5write17h0123456789abcdefE", BASE + 0x20, true),
        ("elsewhere", 0x20, true),
    ];
    elf(&[(0x4020_0000, &header())], &symbols)
}

#[test]
fn segments_lie_by_physical_address_whatever_their_order() {
    let image = flatten(&elf(&[(0x4020_0100, b"data"), (0x4020_0000, &header())], &[])).expect("an image");
    assert_eq!(image.len(), 0x104);
    assert!(is_image(&image) && image.ends_with(b"data") && image[64..0x100].iter().all(|&b| b == 0));
}

#[test]
fn what_is_no_kernel_is_refused() {
    let mut foreign = elf(&[(0, &header())], &[]);
    foreign[18] = 62; // EM_X86_64
    for file in [vec![], b"\x7fELF".to_vec(), foreign, elf(&[], &[]), elf(&[(0, b"code")], &[])] {
        assert!(flatten(&file).is_err(), "{} bytes", file.len());
    }
    assert!(matches!(flatten(&elf(&[(0, &header()), (1 << 40, b"far")], &[])), Err(ImageError::TooLarge(_))));
}

#[test]
fn functions_are_listed_where_there_is_room() {
    let image = flatten(&with_room(0x100)).expect("an image");
    let table = &image[0x1000..];
    assert!(
        table.starts_with(b"QSYMTAB1\x02\0\0\0\x13\0\0\0\x20\0\0\0\0\0\0\0\x30\0\0\0\x11\0\0\0"),
        "{table:x?}"
    );
    assert!(table.ends_with(b"core::fmt::write\0b\0"), "{table:x?}");
    assert!(matches!(
        flatten(&with_room(50)),
        Err(ImageError::Symbols(SymbolError::TooLarge { needed: 51, .. }))
    ));
}

proptest! {
    #[test]
    fn no_file_panics(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
                      cut in any::<prop::sample::Index>()) {
        let mut file = with_room(0x100);
        for (at, byte) in changes {
            let index = at.index(file.len());
            file[index] = byte;
        }
        let _ = flatten(&file);
        file.truncate(cut.index(file.len()));
        let _ = flatten(&file);
    }
}
