//! /proc/version, /proc/cmdline, /proc/filesystems.

use crate::fs::ProcFs;
use crate::text::Text;

/// `Linux version 6.1.0 (who@where) (compiler) #1 …`
pub(crate) fn version(fs: &ProcFs, text: &mut Text) {
    let uts = fs.source.uts();
    writeln!(text, "{} version {} {} {}", uts.sysname, uts.release, uts.built, uts.version);
}

/// The kernel's command line.
pub(crate) fn cmdline(fs: &ProcFs, text: &mut Text) {
    text.bytes(&fs.source.command_line());
    writeln!(text);
}

/// The types that can be mounted; "nodev" before those that need no disk.
pub(crate) fn filesystems(_fs: &ProcFs, text: &mut Text) {
    for kind in vfs::filesystems() {
        writeln!(text, "{}\t{}", if kind.requires_dev() { "" } else { "nodev" }, kind.name());
    }
}
