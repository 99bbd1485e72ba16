//! Copying an image without filling its holes: most of a fresh disk is zeros that take no space.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

/// Small enough to find holes between metadata blocks, large enough to be fast.
const CHUNK: usize = 64 * 1024;

/// Copies `from` to the file `to`, which exists and is empty. Runs of zeros become holes.
pub fn sparse(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut target = OpenOptions::new().write(true).truncate(true).open(to)?;
    let mut chunk = vec![0; CHUNK];
    let mut len = 0;
    loop {
        let read = source.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        let bytes = &chunk[..read];
        if bytes.iter().any(|&byte| byte != 0) {
            target.seek(SeekFrom::Start(len))?;
            target.write_all(bytes)?;
        }
        len += read as u64;
    }
    target.set_len(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn a_copy_has_the_same_bytes_and_the_holes() {
        let folder = tempfile::tempdir().expect("a folder");
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        let mut bytes = vec![0; 4 << 20];
        bytes[..3].copy_from_slice(b"abc");
        bytes[2 << 20..][..3].copy_from_slice(b"def");
        std::fs::write(&a, &bytes).expect("written");
        File::create(&b).expect("created");

        sparse(&a, &b).expect("copied");
        assert!(std::fs::read(&b).expect("read") == bytes);
        // `blocks` counts 512-byte units; the full file would have 8192 of them.
        assert!(b.metadata().expect("metadata").blocks() < 4096);
    }
}
