//! The kernel to boot: the one built into this program, or another given by `--kernel`.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::cli::ImageArgs;
use crate::image;

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// What an ELF file starts with.
const ELF_MAGIC: &[u8] = b"\x7fELF";

/// Puts the kernel's Image into `dir` for QEMU to read.
pub fn stage(chosen: Option<&Path>, dir: &Path) -> Result<PathBuf> {
    let staged = dir.join("Image");
    fs::write(&staged, load(chosen)?).with_context(|| format!("cannot write {}", staged.display()))?;
    Ok(staged)
}

/// `quill image`: writes the Image where the user wants it.
pub fn write_image(args: &ImageArgs) -> Result<()> {
    let bytes = load(args.kernel.as_deref())?;
    fs::write(&args.output, bytes).with_context(|| format!("cannot write {}", args.output.display()))
}

/// The bytes of the flat Image.
fn load(chosen: Option<&Path>) -> Result<Cow<'static, [u8]>> {
    let Some(path) = chosen else {
        return EMBEDDED.map(Cow::Borrowed).context(
            "there is no kernel image in this launcher; give one with --kernel, or build both with `make build`",
        );
    };
    let bytes = fs::read(path).with_context(|| format!("cannot read the kernel {}", path.display()))?;
    if bytes.starts_with(ELF_MAGIC) {
        let flat = image::flatten(&bytes).with_context(|| format!("{} is not a kernel", path.display()))?;
        return Ok(Cow::Owned(flat));
    }
    if !image::is_image(&bytes) {
        bail!("{} is not a kernel: neither an ELF file nor an arm64 Image", path.display());
    }
    Ok(Cow::Owned(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An AArch64 executable with the given loadable segments: (physical address, bytes).
    fn elf(segments: &[(u64, &[u8])]) -> Vec<u8> {
        let count = u16::try_from(segments.len()).expect("few segments");
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(16, 0);
        file.extend([2, 0, 183, 0, 1, 0, 0, 0]); // ET_EXEC, EM_AARCH64, version
        for word in [0u64, 64, 0] {
            file.extend(word.to_le_bytes()); // entry, program headers at 64, no section headers
        }
        file.extend([0; 4]);
        for half in [64, 56, count, 64, 0, 0] {
            file.extend(half.to_le_bytes());
        }
        let mut at = 64 + 56 * segments.len() as u64;
        for (address, bytes) in segments {
            file.extend([1, 0, 0, 0, 5, 0, 0, 0]); // PT_LOAD, read and execute
            let len = bytes.len() as u64;
            for word in [at, *address, *address, len, len, 4096] {
                file.extend(word.to_le_bytes());
            }
            at += len;
        }
        segments.iter().for_each(|(_, bytes)| file.extend(*bytes));
        file
    }

    fn header() -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[0x38..0x3c].copy_from_slice(b"ARM\x64");
        bytes
    }

    #[test]
    fn segments_lie_by_physical_address_whatever_their_order() {
        let image =
            image::flatten(&elf(&[(0x4020_0100, b"data"), (0x4020_0000, &header())])).expect("an image");
        assert_eq!(image.len(), 0x104);
        assert!(
            image::is_image(&image) && image.ends_with(b"data") && image[64..0x100].iter().all(|&b| b == 0)
        );
    }

    #[test]
    fn what_is_no_kernel_is_refused() {
        let mut foreign = elf(&[(0, &header())]);
        foreign[18] = 62; // EM_X86_64
        for file in [vec![], b"\x7fELF".to_vec(), foreign, elf(&[]), elf(&[(0, b"code")])] {
            assert!(image::flatten(&file).is_err(), "{} bytes", file.len());
        }
        assert!(image::flatten(&elf(&[(0, &header()), (1 << 40, b"far")])).is_err());
    }

    proptest! {
        #[test]
        fn no_file_panics(at in 0usize..200, byte in any::<u8>(), cut in 0usize..300) {
            let mut file = elf(&[(0x1000, &header()), (0x2000, b"data")]);
            let index = at % file.len();
            file[index] = byte;
            file.truncate(cut);
            let _ = image::flatten(&file);
        }
    }
}
