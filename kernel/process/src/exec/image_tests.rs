//! Headers, right ones and wrong ones.

use super::super::tests::{Elf, load_header};
use super::*;
use base::Errno;
use proptest::prelude::*;
use std::vec;

fn read(elf: &Elf) -> Result<Image, ExecError> {
    Image::read(&elf.file())
}

#[test]
fn a_static_program_is_where_it_was_linked_for() {
    let image = read(&Elf::new(abi::ET_EXEC)).unwrap();
    assert_eq!((image.entry, image.headers, image.header_count), (0x40_0100, 0x40_0040, 3));
    assert!(!image.stack_exec);
    let rx = VmFlags::READ | VmFlags::EXEC;
    let rw = VmFlags::READ | VmFlags::WRITE;
    let text = Segment { start: 0x40_0000, file_end: 0x40_1800, end: 0x40_1800, offset: 0, prot: rx };
    let data = Segment { start: 0x41_2800, file_end: 0x41_2900, end: 0x41_5000, offset: 0x2800, prot: rw };
    assert_eq!(image.segments, [text, data]);
    assert_eq!(image.end(), 0x41_5000);
}

#[test]
fn a_position_independent_one_is_moved() {
    let mut elf = Elf::new(abi::ET_DYN);
    elf.set_addresses(0);
    let image = read(&elf).unwrap();
    assert_eq!((image.entry, image.segments[0].start), (PIE_BASE + 0x100, PIE_BASE));
    assert_eq!(image.headers, PIE_BASE + 64);
    // One that was linked high is brought down to the same place.
    elf.set_addresses(0x7fff_0000_0000);
    assert_eq!(read(&elf).unwrap().entry, PIE_BASE + 0x100);
    // A larger alignment is kept.
    elf.set_addresses(0);
    elf.headers[1].p_align = 1 << 21;
    assert!(read(&elf).unwrap().segments[0].start.is_multiple_of(1 << 21));
}

#[test]
fn other_files_are_refused_by_name() {
    let bytes = |b: &[u8]| Image::read(&Elf::raw(b)).unwrap_err();
    assert_eq!(bytes(b""), ExecError::NotElf);
    assert_eq!(bytes(&[0; 200]), ExecError::NotElf);
    assert_eq!(bytes(b"#! /bin/sh -e\necho"), ExecError::Script(b"/bin/sh".to_vec()));
    assert_eq!(bytes(b"#!"), ExecError::Script(vec![]));
    let mut elf = Elf::new(abi::ET_EXEC);
    elf.machine = abi::EM_X86_64;
    assert_eq!(read(&elf).unwrap_err(), ExecError::WrongMachine { bits: 64, machine: 62 });
    let mut elf = Elf::new(abi::ET_REL);
    assert_eq!(read(&elf).unwrap_err(), ExecError::WrongType(1));
    elf.kind = abi::ET_DYN;
    elf.interp = Some(b"/lib/ld-linux-aarch64.so.1");
    let error = read(&elf).unwrap_err();
    assert_eq!(error, ExecError::NeedsInterpreter(b"/lib/ld-linux-aarch64.so.1".to_vec()));
    assert!(std::format!("{error}").contains("needs the dynamic linker /lib/ld-linux-aarch64.so.1"));
    assert_eq!(error.errno(), Errno::ENOEXEC);
}

#[test]
fn headers_that_lie_are_refused() {
    let corrupt = |change: &dyn Fn(&mut Elf)| {
        let mut elf = Elf::new(abi::ET_EXEC);
        change(&mut elf);
        match read(&elf) {
            Err(ExecError::Corrupt(why)) => why,
            other => panic!("{other:?}"),
        }
    };
    let segment = |f: fn(&mut ProgramHeader)| corrupt(&move |elf: &mut Elf| f(&mut elf.headers[1]));
    assert!(segment(|h| h.p_vaddr = u64::MAX - 0x800).contains("outside"));
    assert!(segment(|h| h.p_memsz = u64::MAX).contains("outside"));
    assert!(segment(|h| h.p_filesz = h.p_memsz + 1).contains("larger"));
    assert!(segment(|h| h.p_offset = 0x10_0800).contains("past the file's end"));
    assert!(segment(|h| h.p_offset = u64::MAX - 0x7ff).contains("past the file's end"));
    assert!(segment(|h| h.p_vaddr += 1).contains("disagree"));
    assert!(segment(|h| h.p_vaddr = 0x40_1800).contains("overlap"));
    assert!(segment(|h| h.p_vaddr = 0x800).contains("overlap"));
    assert!(corrupt(&|elf| elf.headers.truncate(0)).contains("no program headers"));
    assert!(corrupt(&|elf| elf.headers.iter_mut().for_each(|h| h.p_type = 0)).contains("nothing to load"));
    assert!(corrupt(&|elf| elf.entry = 1 << 48).contains("begins outside"));
    assert!(corrupt(&|elf| elf.phoff = Some(0x10_0000)).contains("past its end"));
    assert!(corrupt(&|elf| elf.phoff = Some(u64::MAX - 3)).contains("past its end"));
    assert!(corrupt(&|elf| elf.phentsize = 32).contains("wrong size"));
    assert!(corrupt(&|elf| elf.headers = vec![load_header(0, 0, 0, 0, 0); 1171]).contains("too many"));
}

#[test]
fn an_executable_stack_is_seen() {
    let mut elf = Elf::new(abi::ET_EXEC);
    elf.headers[2].p_flags = 7;
    assert!(read(&elf).unwrap().stack_exec);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_header_gets_past_the_door(
        kind in prop_oneof![Just(abi::ET_EXEC), Just(abi::ET_DYN)],
        changes in prop::collection::vec((0usize..300, any::<u8>()), 0..12),
        words in prop::collection::vec((0usize..36, prop_oneof![
            any::<u64>(), 0u64..0x100_0000, Just(u64::MAX), Just(1u64 << 47), Just(1u64 << 48), Just(1u64 << 63),
        ]), 0..4),
    ) {
        let mut bytes = Elf::new(kind).bytes();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        for (at, word) in words {
            bytes[at * 8 + 16..at * 8 + 24].copy_from_slice(&word.to_le_bytes());
        }
        let file = Elf::raw(&bytes);
        if let Ok(image) = Image::read(&file) {
            let mut before = MIN_ADDR;
            for s in &image.segments {
                prop_assert!(page_down(s.start) >= before && s.start <= s.file_end && s.file_end <= s.end);
                prop_assert!(s.end <= STACK_TOP);
                prop_assert!(s.offset.checked_add(s.file_end - s.start).is_some());
                prop_assert!(s.file_end == s.start || s.offset + (s.file_end - s.start) <= file.size());
                before = page_up(s.end).unwrap();
            }
            prop_assert!(image.entry < TASK_SIZE);
        }
    }
}
