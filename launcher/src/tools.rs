//! The programs that the launcher needs: where they are, and which package brings a missing one.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};

/// Folders to look in besides PATH: e2fsprogs lives in sbin, and Homebrew's is not linked at all.
const MORE_FOLDERS: [&str; 8] = [
    "/usr/local/sbin",
    "/usr/sbin",
    "/sbin",
    "/opt/homebrew/bin",
    "/opt/homebrew/opt/e2fsprogs/sbin",
    "/opt/homebrew/opt/e2fsprogs/bin",
    "/usr/local/opt/e2fsprogs/sbin",
    "/usr/local/opt/e2fsprogs/bin",
];

/// A program of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    Qemu,
    Mke2fs,
    Debugfs,
    E2fsck,
}

impl Tool {
    const fn name(self) -> &'static str {
        match self {
            Tool::Qemu => "qemu-system-aarch64",
            Tool::Mke2fs => "mke2fs",
            Tool::Debugfs => "debugfs",
            Tool::E2fsck => "e2fsck",
        }
    }

    /// The packages of Debian and Homebrew.
    const fn package(self) -> (&'static str, &'static str) {
        match self {
            Tool::Qemu => ("qemu-system-arm", "qemu"),
            Tool::Mke2fs | Tool::Debugfs | Tool::E2fsck => ("e2fsprogs", "e2fsprogs"),
        }
    }

    /// The program's path, or a sentence that says what is missing and where to get it.
    pub fn find(self) -> Result<PathBuf> {
        if self == Tool::Qemu
            && let Some(path) = env::var_os("QUILL_QEMU").filter(|path| !path.is_empty())
        {
            let path = PathBuf::from(path);
            ensure!(
                is_executable(&path),
                "QUILL_QEMU names {}, which is not an executable file",
                path.display()
            );
            return Ok(path);
        }
        if let Some(path) = find_program(self.name()) {
            return Ok(path);
        }
        let (debian, brew) = self.package();
        bail!(
            "{} is not installed; it comes with the package {debian} (apt install {debian}, brew install {brew})",
            self.name()
        )
    }
}

/// The first executable of that name on PATH or in the folders known besides it.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(MORE_FOLDERS.iter().map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|candidate| is_executable(candidate))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_and_missing_ones_are_not() {
        assert!(find_program("sh").is_some_and(|path| path.is_absolute()));
        assert_eq!(find_program("no-such-program-anywhere"), None);
    }

    #[test]
    fn every_tool_names_its_package() {
        for tool in [Tool::Qemu, Tool::Mke2fs, Tool::Debugfs, Tool::E2fsck] {
            assert!(!tool.package().0.is_empty() && !tool.name().is_empty());
        }
    }
}
