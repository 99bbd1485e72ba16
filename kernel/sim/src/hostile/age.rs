//! What only a kernel leaves on a disk, put there by Quill: unwritten extents, files that lost their
//! names while they were open, access control lists, flags.

use vfs::OpenFlags;

use crate::image::Image;
use crate::machine::Machine;
use crate::tools::Trouble;

/// The image after some use. Two files lose their names while they are open, and the power goes. A disk
/// that Quill only reads stays as it is.
pub(super) fn aged(image: &Image) -> Result<Image, Trouble> {
    let trouble = |errno| Trouble(format!("the subject of the damage: {errno}"));
    let m = Machine::mount(image).map_err(trouble)?;
    if m.vfs_mount().superblock().read_only() {
        m.give_up();
        return Ok(image.clone());
    }
    reserve(&m);
    let mut open = Vec::new();
    for path in ["/doomed", "/cut"] {
        open.push(m.open(path, OpenFlags::RDWR, 0).map_err(trouble)?);
        m.unlink(path).map_err(trouble)?;
    }
    m.sync().map_err(trouble)?;
    let image = m.snapshot();
    drop(open);
    m.give_up();
    Ok(image)
}

/// Unwritten extents between written ones, in a tree of two levels, and behind the end. A disk without
/// extents has none.
fn reserve(m: &Machine) {
    const KEEP_SIZE: u32 = 1;
    let _ = m.create("/reserved", 0o600);
    let _ = m.fallocate("/reserved", KEEP_SIZE, 0, 90 << 10);
    for block in (0..60).step_by(5) {
        let _ = m.pwrite("/reserved", block << 10, &[5; 2048]);
    }
}
