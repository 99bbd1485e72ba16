//! The ext4 disk of a run: made fresh, copied or used in place, with the program on it.
//!
//! | options | the disk that the guest writes to |
//! |---|---|
//! | none, `--root DIR` | a fresh image in the work folder, gone at the end |
//! | … `--keep FILE` | a fresh image at FILE |
//! | `--disk A` | A itself |
//! | `--disk A --keep FILE` | a copy of A at FILE; A stays as it was |
//!
//! A file at FILE is replaced only when the new image is complete, and before QEMU starts: however
//! the run ends, even by power failure of the host, the disk is there as it was then.

mod copy;
mod e2fs;
mod image;
mod place;
mod show;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use tempfile::NamedTempFile;

use crate::cli::RunArgs;
use crate::size::ByteSize;

pub use show::{check, show};

/// The size of a fresh disk: the smallest on which mke2fs chooses 4 KiB blocks.
const DEFAULT_SIZE: ByteSize = ByteSize::mib(512);

/// The size of a fresh disk that goes to the machine's memory, which QEMU fills from the middle on.
const DEFAULT_RAMDISK_SIZE: ByteSize = ByteSize::mib(64);

/// ext4's largest usual block; a disk is a whole number of them.
const SIZE_UNIT: u64 = 4096;

/// A host program and the name it gets in the disk's `/bin`.
#[derive(Clone, Copy, Debug)]
pub struct Placed<'a> {
    pub file: &'a Path,
    pub name: &'a str,
}

/// Makes the disk ready that `args` ask for, and returns its path; `None` for a run without a disk.
/// `work` is an empty folder that lives as long as the run.
pub fn prepare(args: &RunArgs, program: Option<Placed<'_>>, work: &Path) -> Result<Option<PathBuf>> {
    if args.no_disk {
        ensure!(
            program.is_none(),
            "without a disk there is no place for a host program; name one with \":PATH\""
        );
        return Ok(None);
    }
    let Some(disk) = &args.disk else {
        let make = |path: &Path| fresh(args, program, path, work);
        return arrive(args.keep.as_deref(), work, make).map(Some);
    };
    ensure!(disk.exists(), "there is no disk {}", disk.display());
    match args.keep.as_deref().filter(|keep| !is_same_file(disk, keep)) {
        Some(keep) => {
            let make = |path: &Path| {
                copy::sparse(disk, path).with_context(|| format!("cannot copy {}", disk.display()))?;
                existing(path, program, work)
            };
            arrive(Some(keep), work, make).map(Some)
        }
        None => {
            existing(disk, program, work)?;
            Ok(Some(disk.clone()))
        }
    }
}

/// Makes an image under a temporary name and moves it where it belongs once it is whole.
fn arrive(keep: Option<&Path>, work: &Path, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let target = keep.map_or_else(|| work.join("disk.img"), Path::to_path_buf);
    ensure!(!target.exists() || target.is_file(), "{} is not a regular file", target.display());
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file =
        new_file(folder).with_context(|| format!("cannot write in the folder {}", folder.display()))?;
    make(file.path())?;
    file.persist(&target).with_context(|| format!("cannot create {}", target.display()))?;
    Ok(target)
}

/// A new file with the permissions that any program would give it (the umask applies).
fn new_file(folder: &Path) -> std::io::Result<NamedTempFile> {
    tempfile::Builder::new()
        .prefix(".quill-")
        .suffix(".img")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)
}

/// A fresh file system in the empty file `path`.
fn fresh(args: &RunArgs, program: Option<Placed<'_>>, path: &Path, work: &Path) -> Result<()> {
    let default = if args.ramdisk { DEFAULT_RAMDISK_SIZE } else { DEFAULT_SIZE };
    let size = args.size.unwrap_or(default);
    ensure!(size.is_multiple_of(SIZE_UNIT), "the size of a disk must be a multiple of 4K; {size} is not");
    if let Some(root) = &args.root {
        ensure!(root.is_dir(), "there is no folder {}", root.display());
    }
    let options = shell_words::split(args.mkfs.as_deref().unwrap_or_default())
        .context("--mkfs cannot be split into words")?;
    e2fs::make(path, size, args.root.as_deref(), &options)?;
    let image = image::Image::new(path, work);
    place::skeleton(&image)?;
    program.map_or(Ok(()), |program| place::program(&image, program))
}

/// A disk that is there: only the program is added.
fn existing(path: &Path, program: Option<Placed<'_>>, work: &Path) -> Result<()> {
    let Some(program) = program else { return Ok(()) };
    e2fs::ensure_writable(path)?;
    place::program(&image::Image::new(path, work), program)
}

fn is_same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
