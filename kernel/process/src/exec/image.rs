//! The one door for a program's headers: from bytes that anybody may have written to an [`Image`] that
//! can be mapped without another look.
//!
//! Sources: elf(5); the ELF for the Arm 64-bit Architecture, 5.1.

use alloc::vec::Vec;

use base::user::TASK_SIZE;
use elf::abi;
use elf::endian::LittleEndian;
use elf::file::{Class, ELF64_EHDR_TAILSIZE, FileHeader, parse_ident};
use elf::segment::{ProgramHeader, SegmentTable};

use super::ProgramFile;
use super::error::ExecError;
use crate::mm::layout::{MIN_ADDR, PAGE, PIE_BASE, STACK_TOP, is_aligned, page_down, page_up};
use crate::mm::vma::VmFlags;

/// Bytes of one program header.
pub const PHENT: usize = 56;
/// As many program headers as Linux takes: 64 KiB of them.
const MAX_HEADERS: usize = 65536 / PHENT;
const IDENT: usize = abi::EI_NIDENT;
const EHDR: usize = IDENT + ELF64_EHDR_TAILSIZE;
/// The longest path of an interpreter.
const INTERP_MAX: u64 = 4096;

/// A part of the file that is to be in memory, at its final address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// The first byte.
    pub start: u64,
    /// One past the last byte that comes from the file.
    pub file_end: u64,
    /// One past the last byte.
    pub end: u64,
    /// The file's byte at `start`.
    pub offset: u64,
    /// READ, WRITE, EXEC.
    pub prot: VmFlags,
}

/// A program that can be mapped: segments ascend, share no page, lie within user addresses and, as far
/// as they come from the file, within it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Image {
    /// The segments.
    pub segments: Vec<Segment>,
    /// Where it begins.
    pub entry: u64,
    /// Where the program headers are in memory (AT_PHDR); 0 when no segment has them.
    pub headers: u64,
    /// How many there are.
    pub header_count: u16,
    /// Whether the stack is executable (PT_GNU_STACK).
    pub stack_exec: bool,
}

impl Image {
    /// Reads and checks the headers.
    pub fn read(file: &dyn ProgramFile) -> Result<Image, ExecError> {
        let mut head = [0; EHDR];
        let n = read_at(file, &mut head, 0)?;
        if head[..n].starts_with(b"#!") {
            return Err(script(file));
        }
        if n < EHDR {
            return Err(ExecError::NotElf);
        }
        let header = check_header(&head)?;
        let headers = read_headers(file, &header)?;
        if let Some(interp) = headers.iter().find(|h| h.p_type == abi::PT_INTERP) {
            return Err(interpreter(file, interp));
        }
        let bias = bias(&header, &headers)?;
        let segments = segments(&headers, bias, file.size())?;
        let entry = header.e_entry.checked_add(bias).filter(|&e| e < TASK_SIZE);
        Ok(Image {
            entry: entry.ok_or(ExecError::Corrupt("it begins outside user memory"))?,
            headers: headers_in_memory(&segments, &header),
            header_count: header.e_phnum,
            stack_exec: headers.iter().any(|h| h.p_type == abi::PT_GNU_STACK && h.p_flags & abi::PF_X != 0),
            segments,
        })
    }

    /// One past the last byte of all segments.
    pub fn end(&self) -> u64 {
        self.segments.last().map_or(MIN_ADDR, |s| s.end)
    }
}

fn read_at(file: &dyn ProgramFile, buf: &mut [u8], pos: u64) -> Result<usize, ExecError> {
    let mut done = 0;
    while done < buf.len() {
        let at = pos.checked_add(done as u64).ok_or(ExecError::Corrupt("an offset past 2^64"))?;
        match file.read_at(&mut buf[done..], at) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(errno) => return Err(ExecError::Failed("its headers cannot be read", errno)),
        }
    }
    Ok(done)
}

fn script(file: &dyn ProgramFile) -> ExecError {
    let mut line = [0; 128];
    let n = match read_at(file, &mut line, 2) {
        Ok(n) => n,
        Err(error) => return error,
    };
    let end = |b: &u8| matches!(b, b'\n' | 0);
    let line = line[..n].split(end).next().unwrap_or(&[]).trim_ascii();
    ExecError::Script(line.split(|&b| b == b' ').next().unwrap_or(line).to_vec())
}

fn interpreter(file: &dyn ProgramFile, header: &ProgramHeader) -> ExecError {
    let mut path = alloc::vec![0; header.p_filesz.min(INTERP_MAX) as usize];
    match read_at(file, &mut path, header.p_offset) {
        Ok(n) => path.truncate(n),
        Err(error) => return error,
    }
    let end = path.iter().position(|&b| b == 0).unwrap_or(path.len());
    path.truncate(end);
    ExecError::NeedsInterpreter(path)
}

fn check_header(head: &[u8; EHDR]) -> Result<FileHeader<LittleEndian>, ExecError> {
    if head[..4] != abi::ELFMAGIC {
        return Err(ExecError::NotElf);
    }
    let bits = match head[abi::EI_CLASS] {
        abi::ELFCLASS32 => 32,
        abi::ELFCLASS64 => 64,
        _ => 0,
    };
    let other = |machine| ExecError::WrongMachine { bits, machine };
    if bits != 64 || head[abi::EI_DATA] != abi::ELFDATA2LSB {
        return Err(other(u16::from_le_bytes([head[18], head[19]])));
    }
    let ident = parse_ident::<LittleEndian>(head).map_err(|_| ExecError::NotElf)?;
    let header = FileHeader::parse_tail(ident, &head[IDENT..]).map_err(|_| ExecError::NotElf)?;
    debug_assert!(header.class == Class::ELF64);
    if header.e_machine != abi::EM_AARCH64 {
        return Err(other(header.e_machine));
    }
    if !matches!(header.e_type, abi::ET_EXEC | abi::ET_DYN) {
        return Err(ExecError::WrongType(header.e_type));
    }
    if usize::from(header.e_phentsize) != PHENT {
        return Err(ExecError::Corrupt("program headers of a wrong size"));
    }
    if header.e_phnum == 0 || usize::from(header.e_phnum) > MAX_HEADERS {
        return Err(ExecError::Corrupt("no program headers, or too many"));
    }
    Ok(header)
}

fn read_headers(
    file: &dyn ProgramFile,
    header: &FileHeader<LittleEndian>,
) -> Result<Vec<ProgramHeader>, ExecError> {
    let mut bytes = alloc::vec![0; usize::from(header.e_phnum) * PHENT];
    if read_at(file, &mut bytes, header.e_phoff)? < bytes.len() {
        return Err(ExecError::Corrupt("the program headers lie past its end (cut short?)"));
    }
    Ok(SegmentTable::new(LittleEndian, Class::ELF64, &bytes).iter().collect())
}

fn loads(headers: &[ProgramHeader]) -> impl Iterator<Item = &ProgramHeader> {
    headers.iter().filter(|h| h.p_type == abi::PT_LOAD && h.p_memsz > 0)
}

/// What is added to every address: 0 for ET_EXEC; for ET_DYN what brings its first page to PIE_BASE,
/// aligned as its strictest segment wants.
fn bias(header: &FileHeader<LittleEndian>, headers: &[ProgramHeader]) -> Result<u64, ExecError> {
    if header.e_type == abi::ET_EXEC {
        return Ok(0);
    }
    let align = loads(headers).map(|h| h.p_align).filter(|a| a.is_power_of_two()).max().unwrap_or(PAGE);
    let first = loads(headers).map(|h| h.p_vaddr).min().unwrap_or(0) & !(align.max(PAGE) - 1);
    let base = PIE_BASE.checked_next_multiple_of(align.max(PAGE)).filter(|&b| b < STACK_TOP);
    let base = base.ok_or(ExecError::Corrupt("an impossible alignment"))?;
    // Two's complement: a first address above the base gives a bias that wraps back.
    Ok(base.wrapping_sub(first))
}

fn segments(headers: &[ProgramHeader], bias: u64, file_len: u64) -> Result<Vec<Segment>, ExecError> {
    let mut out: Vec<Segment> = Vec::new();
    for header in loads(headers) {
        let next = segment(header, bias, file_len)?;
        // page_up cannot overflow: `end` is below the stack.
        let before = out.last().map_or(MIN_ADDR, |s| page_up(s.end).unwrap_or(u64::MAX));
        if page_down(next.start) < before {
            return Err(ExecError::Corrupt("segments that overlap, descend, or lie at address 0"));
        }
        out.push(next);
    }
    if out.is_empty() { Err(ExecError::Corrupt("nothing to load")) } else { Ok(out) }
}

fn segment(header: &ProgramHeader, bias: u64, file_len: u64) -> Result<Segment, ExecError> {
    let start = header.p_vaddr.wrapping_add(bias);
    let end = start.checked_add(header.p_memsz).filter(|&end| end <= STACK_TOP);
    let end = end.ok_or(ExecError::Corrupt("a segment outside user memory"))?;
    if header.p_filesz > header.p_memsz {
        return Err(ExecError::Corrupt("a segment larger in the file than in memory"));
    }
    let in_file = header.p_offset.checked_add(header.p_filesz).is_some_and(|end| end <= file_len);
    if header.p_filesz > 0 && !in_file {
        return Err(ExecError::Corrupt("a segment lies past the file's end (cut short?)"));
    }
    if header.p_filesz > 0 && !is_aligned(start.wrapping_sub(header.p_offset)) {
        return Err(ExecError::Corrupt("a segment whose address and offset disagree within the page"));
    }
    // PF_R is 4 and PF_X 1, PROT_READ 1 and PROT_EXEC 4.
    let mut prot = VmFlags::empty();
    prot.set(VmFlags::READ, header.p_flags & abi::PF_R != 0);
    prot.set(VmFlags::WRITE, header.p_flags & abi::PF_W != 0);
    prot.set(VmFlags::EXEC, header.p_flags & abi::PF_X != 0);
    Ok(Segment { start, file_end: start + header.p_filesz, end, offset: header.p_offset, prot })
}

fn headers_in_memory(segments: &[Segment], header: &FileHeader<LittleEndian>) -> u64 {
    let size = u64::from(header.e_phnum) * PHENT as u64;
    let holds = |s: &&Segment| {
        let end = header.e_phoff.checked_add(size);
        s.offset <= header.e_phoff && end.is_some_and(|end| end - s.offset <= s.file_end - s.start)
    };
    segments.iter().find(holds).map_or(0, |s| s.start + (header.e_phoff - s.offset))
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
