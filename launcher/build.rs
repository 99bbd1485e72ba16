//! Builds the kernel into the launcher: QUILL_ELF names the linked kernel, of which the flat Image
//! becomes a constant. Without it the launcher has no kernel of its own and asks for `--kernel`.

use std::path::{Path, PathBuf};
use std::{env, error, fs};

#[path = "src/image/mod.rs"]
mod image;
#[path = "src/symbols.rs"]
mod symbols;

fn main() -> Result<(), Box<dyn error::Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/image/mod.rs");
    println!("cargo::rerun-if-changed=src/symbols.rs");
    println!("cargo::rerun-if-env-changed=QUILL_ELF");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let constant = match env::var_os("QUILL_ELF") {
        Some(elf) => embed(Path::new(&elf), &out)?,
        None => "None",
    };
    fs::write(out.join("embedded.rs"), format!("const EMBEDDED: Option<&[u8]> = {constant};\n"))?;
    Ok(())
}

/// Flattens the kernel into `out` and returns the expression that includes it.
fn embed(elf: &Path, out: &Path) -> Result<&'static str, Box<dyn error::Error>> {
    println!("cargo::rerun-if-changed={}", elf.display());
    if !elf.exists() {
        return Ok("None");
    }
    let bytes = image::flatten(&fs::read(elf)?).map_err(|error| format!("{}: {error}", elf.display()))?;
    fs::write(out.join("Image"), bytes)?;
    Ok("Some(include_bytes!(concat!(env!(\"OUT_DIR\"), \"/Image\")))")
}
