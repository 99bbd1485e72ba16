//! Puts the program, and the folders that any program expects, on a disk.
//!
//! All of it goes through debugfs, so it needs no root on the host and every file belongs to root
//! in the guest. The program is read back afterwards and compared: debugfs reports success even
//! for a file that it had to cut short.

use std::collections::VecDeque;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

use super::Placed;
use super::image::{Image, Ino, Kind, ROOT};

/// The folders of a fresh disk with their permissions: mount points, and what programs expect.
const SKELETON: [(&str, u32); 7] = [
    ("bin", 0o755),
    ("dev", 0o755),
    ("etc", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("sys", 0o555),
    ("tmp", 0o1777),
];

/// More symbolic links than this on the way to /bin are a circle.
const MAX_LINKS: usize = 8;

/// Makes the folders of a fresh disk that are not there yet.
pub fn skeleton(image: &Image<'_>) -> Result<()> {
    let present = image.list(ROOT)?;
    let missing = SKELETON.iter().filter(|(name, _)| !present.iter().any(|entry| entry.name == *name));
    let commands: Vec<String> = missing.flat_map(|(name, mode)| folder_commands(name, *mode)).collect();
    if commands.is_empty() { Ok(()) } else { image.change(&commands) }
}

fn folder_commands(name: &str, mode: u32) -> [String; 2] {
    [format!("mkdir /{name}"), format!("set_inode_field /{name} mode 0{:o}", 0o040_000 | mode)]
}

/// Puts the program into `/bin`, in place of what has its name there.
pub fn program(image: &Image<'_>, program: Placed<'_>) -> Result<()> {
    let shown = program.file.display();
    let failed = || format!("cannot place {shown} on the disk");
    write(image, program).with_context(failed)
}

fn write(image: &Image<'_>, Placed { file, name }: Placed<'_>) -> Result<()> {
    ensure!(!name.contains(|c: char| c == '"' || c.is_control()), "its name cannot be passed to debugfs");
    let bin = bin_folder(image)?;
    let mut commands = vec![format!("cd <{}>", bin.0)];
    match image.list(bin)?.into_iter().find(|entry| entry.name == name).map(|entry| entry.kind()) {
        Some(Kind::Folder) => bail!("/bin/{name} is a folder"),
        Some(_) => commands.push(format!("rm \"{name}\"")),
        None => {}
    }
    link_source(file, &image.work().join("program"))?;
    commands.push(format!("write program \"{name}\""));
    for (field, value) in [("mode", "0100755"), ("uid", "0"), ("gid", "0")] {
        commands.push(format!("set_inode_field \"{name}\" {field} {value}"));
    }
    image.change(&commands)?;
    verify(image, bin, file, name)
}

/// Gives the program a name on the host that debugfs takes, whatever its own name.
fn link_source(file: &Path, link: &Path) -> Result<()> {
    let absolute = std::path::absolute(file).context("cannot tell where it is")?;
    std::os::unix::fs::symlink(absolute, link).context("cannot prepare it")
}

fn verify(image: &Image<'_>, bin: Ino, file: &Path, name: &str) -> Result<()> {
    let placed = image.list(bin)?.into_iter().find(|entry| entry.name == name);
    let ino = placed.context("debugfs did not create it")?.ino;
    let expected = std::fs::read(file).context("cannot read it")?;
    ensure!(image.read(ino)? == expected, "it is not whole there; is the disk full?");
    Ok(())
}

/// The folder that `/bin` leads to; it is made when it is missing.
fn bin_folder(image: &Image<'_>) -> Result<Ino> {
    if let Some(bin) = resolve(image, "bin")? {
        return Ok(bin);
    }
    image.change(&folder_commands("bin", 0o755))?;
    resolve(image, "bin")?.context("debugfs did not create /bin")
}

/// Follows a path from the root; `None` when a component is missing.
fn resolve(image: &Image<'_>, path: &str) -> Result<Option<Ino>> {
    let mut rest: VecDeque<String> = components(path);
    let (mut at, mut links) = (ROOT, 0);
    while let Some(name) = rest.pop_front() {
        let Some(entry) = image.list(at)?.into_iter().find(|entry| entry.name == name) else {
            return Ok(None);
        };
        match entry.kind() {
            Kind::Folder => at = entry.ino,
            Kind::Symlink if links < MAX_LINKS => {
                links += 1;
                let target = image.link_target(entry.ino)?;
                if target.starts_with('/') {
                    at = ROOT;
                }
                for component in components(&target).into_iter().rev() {
                    rest.push_front(component);
                }
            }
            Kind::Symlink | Kind::File | Kind::Other => bail!("/{path} on the disk is not a folder"),
        }
    }
    Ok(Some(at))
}

fn components(path: &str) -> VecDeque<String> {
    path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}
