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
