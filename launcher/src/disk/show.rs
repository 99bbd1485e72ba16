//! What is on the disk after a run, in the words of the host's own tools.

use std::io::Write;
use std::path::Path;

use anyhow::Result;

use super::e2fs;
use super::image::{Entry, Image, Ino, Kind, ROOT};

/// Text files up to this size are printed.
const MAX_TEXT: u64 = 2048;
/// Entries of the tree that are printed; of a larger tree the rest is counted.
const MAX_ENTRIES: usize = 400;
/// Folders deeper than this are not entered: nobody reads them, and a broken disk may have a circle.
const MAX_DEPTH: usize = 16;

/// Prints the tree and the short text files in it.
pub fn show(disk: &Path, work: &Path, out: &mut impl Write) -> Result<()> {
    writeln!(out, "--- {} as debugfs sees it", disk.display())?;
    let mut tree = Tree { image: Image::new(disk, work), out, printed: 0, left_out: 0 };
    tree.folder(ROOT, "", 0)?;
    let left_out = tree.left_out;
    if left_out > 0 {
        writeln!(out, "... and {left_out} more")?;
    }
    Ok(())
}

/// Runs `e2fsck -fn`, prints its verdict and returns whether the disk is clean.
pub fn check(disk: &Path, out: &mut impl Write) -> Result<bool> {
    let verdict = e2fs::check(disk)?;
    writeln!(out, "--- e2fsck -fn: {}", if verdict.is_clean { "clean" } else { "NOT clean" })?;
    let lines = verdict.report.lines().filter(|line| !line.is_empty());
    // Of a clean disk the summary is enough: the passes before it found nothing.
    let skipped = if verdict.is_clean { lines.clone().count().saturating_sub(1) } else { 0 };
    for line in lines.skip(skipped) {
        writeln!(out, "{line}")?;
    }
    Ok(verdict.is_clean)
}

struct Tree<'a, W> {
    image: Image<'a>,
    out: &'a mut W,
    printed: usize,
    left_out: usize,
}

impl<W: Write> Tree<'_, W> {
    fn folder(&mut self, folder: Ino, path: &str, depth: usize) -> Result<()> {
        let mut entries = self.image.list(folder)?;
        entries.retain(|entry| entry.name != "." && entry.name != "..");
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        for entry in entries {
            if self.printed == MAX_ENTRIES {
                self.left_out += 1;
                continue;
            }
            self.printed += 1;
            self.entry(&entry, &format!("{path}/{}", entry.name), depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry, path: &str, depth: usize) -> Result<()> {
        let link = match entry.kind() {
            Kind::Symlink => format!(" -> {}", self.image.link_target(entry.ino)?),
            Kind::Folder | Kind::File | Kind::Other => String::new(),
        };
        let Entry { mode, uid, gid, size, .. } = entry;
        writeln!(
            self.out,
            "{} {uid:>4} {gid:>4} {size:>10} {}{}",
            permissions(*mode),
            printable(path),
            printable(&link)
        )?;
        match entry.kind() {
            Kind::Folder if depth < MAX_DEPTH => self.folder(entry.ino, path, depth + 1),
            Kind::File if (1..=MAX_TEXT).contains(size) => self.text(entry.ino),
            Kind::Folder | Kind::File | Kind::Symlink | Kind::Other => Ok(()),
        }
    }

    /// A file's lines, if it is text.
    fn text(&mut self, file: Ino) -> Result<()> {
        let bytes = self.image.read(file)?;
        let Ok(text) = String::from_utf8(bytes) else { return Ok(()) };
        if !text.contains(|c: char| c.is_control() && c != '\n' && c != '\t') {
            text.lines().try_for_each(|line| writeln!(self.out, "    | {line}"))?;
        }
        Ok(())
    }
}

/// Names come from the guest: what would steer a terminal is shown escaped.
fn printable(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

/// `drwxr-xr-x`, as `ls -l` prints it.
fn permissions(mode: u32) -> String {
    let kind = match mode & 0o170_000 {
        0o040_000 => 'd',
        0o100_000 => '-',
        0o120_000 => 'l',
        0o060_000 => 'b',
        0o020_000 => 'c',
        0o010_000 => 'p',
        0o140_000 => 's',
        _ => '?',
    };
    let special = [(0o4000, 2, 's'), (0o2000, 5, 's'), (0o1000, 8, 't')];
    let mut letters: Vec<char> = "rwxrwxrwx".chars().collect();
    for (bit, letter) in letters.iter_mut().enumerate() {
        if mode & (0o400 >> bit) == 0 {
            *letter = '-';
        }
    }
    for (bit, at, letter) in special {
        if mode & bit != 0 {
            letters[at] = if letters[at] == 'x' { letter } else { letter.to_ascii_uppercase() };
        }
    }
    std::iter::once(kind).chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_as_ls_prints_them() {
        let expected = [
            (0o040_755, "drwxr-xr-x"),
            (0o041_777, "drwxrwxrwt"),
            (0o100_640, "-rw-r-----"),
            (0o104_755, "-rwsr-xr-x"),
            (0o102_644, "-rw-r-Sr--"),
            (0o120_777, "lrwxrwxrwx"),
        ];
        for (mode, text) in expected {
            assert_eq!(permissions(mode), text, "{mode:o}");
        }
    }

    #[test]
    fn names_cannot_steer_the_terminal() {
        assert_eq!(printable("a\x1b[2Jé\n"), "a\\u{1b}[2Jé\\n");
    }
}
