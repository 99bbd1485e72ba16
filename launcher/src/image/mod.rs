//! From the linked kernel (ELF) to the flat arm64 Image that QEMU and boot loaders take.
//!
//! QEMU hands the device tree and `-append` only to a kernel in Linux's Image format: the bytes as
//! they lie in memory, of which the first 64 are a header (Linux, Documentation/arch/arm64/booting).
//! The linker script places that header first; here the loadable segments are laid out by physical
//! address. What a segment has in memory but not in the file (bss) is left out at the end: the
//! header's `image_size` covers it, and the boot code clears it. Behind the last segment goes the
//! symbol table, where the linker script has left room for one (see `symbols`).
//!
//! The build script uses this module too, so it depends on nothing but `symbols`.

use std::fmt;

use elf::ElfBytes;
use elf::abi::{EM_AARCH64, ET_DYN, ET_EXEC, PT_LOAD};
use elf::endian::LittleEndian;

use crate::symbols::{self, SymbolError};

/// `ARM\x64`, at this offset of the Image header.
const IMAGE_MAGIC: &[u8] = b"ARM\x64";
const IMAGE_MAGIC_AT: usize = 0x38;

/// Larger than any kernel of this project by far: a wild address must not become a giant file.
const MAX_IMAGE: u64 = 64 << 20;

/// Why there is no Image.
#[derive(Debug)]
pub enum ImageError {
    /// The file is not well-formed ELF.
    Elf(elf::ParseError),
    /// It is for another machine, or an object file.
    NotKernel,
    /// No segment has bytes to load.
    NothingToLoad,
    /// The segments lie further apart than `MAX_IMAGE`.
    TooLarge(u64),
    /// The result has no arm64 Image header.
    NoHeader,
    /// The symbol table cannot be appended.
    Symbols(SymbolError),
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImageError::Elf(error) => write!(f, "not a well-formed ELF file: {error}"),
            ImageError::NotKernel => f.write_str("not an AArch64 executable"),
            ImageError::NothingToLoad => f.write_str("no segment to load"),
            ImageError::TooLarge(size) => write!(f, "segments span {size} bytes, more than {MAX_IMAGE}"),
            ImageError::NoHeader => f.write_str("no arm64 Image header in front"),
            ImageError::Symbols(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ImageError {}

impl From<elf::ParseError> for ImageError {
    fn from(error: elf::ParseError) -> Self {
        ImageError::Elf(error)
    }
}

impl From<SymbolError> for ImageError {
    fn from(error: SymbolError) -> Self {
        ImageError::Symbols(error)
    }
}

/// The flat Image of a linked kernel.
pub fn flatten(file: &[u8]) -> Result<Vec<u8>, ImageError> {
    let elf = ElfBytes::<LittleEndian>::minimal_parse(file)?;
    if elf.ehdr.e_machine != EM_AARCH64 || ![ET_EXEC, ET_DYN].contains(&elf.ehdr.e_type) {
        return Err(ImageError::NotKernel);
    }
    let mut image = load(&elf)?;
    if !is_image(&image) {
        return Err(ImageError::NoHeader);
    }
    symbols::append(&elf, &mut image, MAX_IMAGE)?;
    Ok(image)
}

/// The loadable segments, laid out by physical address.
fn load(elf: &ElfBytes<'_, LittleEndian>) -> Result<Vec<u8>, ImageError> {
    let headers = elf.segments().ok_or(ImageError::NothingToLoad)?;
    let segments: Vec<_> = headers.iter().filter(|s| s.p_type == PT_LOAD && s.p_filesz > 0).collect();
    let base = segments.iter().map(|s| s.p_paddr).min().ok_or(ImageError::NothingToLoad)?;

    let mut image = Vec::new();
    for segment in &segments {
        let start = segment.p_paddr - base;
        let end = start.saturating_add(segment.p_filesz);
        if end > MAX_IMAGE {
            return Err(ImageError::TooLarge(end));
        }
        // Below 64 MiB: both fit a usize.
        let (start, end) = (start as usize, end as usize);
        if image.len() < end {
            image.resize(end, 0);
        }
        image[start..end].copy_from_slice(elf.segment_data(segment)?);
    }
    Ok(image)
}

/// Whether these bytes start with an arm64 Image header.
pub fn is_image(bytes: &[u8]) -> bool {
    bytes.get(IMAGE_MAGIC_AT..IMAGE_MAGIC_AT + IMAGE_MAGIC.len()) == Some(IMAGE_MAGIC)
}

#[cfg(test)]
mod tests;
