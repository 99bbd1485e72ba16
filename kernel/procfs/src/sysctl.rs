//! /proc/sys: one value to a file, one line each.
//!
//! What Quill has no setting for is told as the value it acts by, and cannot be written: its mode has no
//! write bit. What can be set is a [`crate::Setting`].
//!
//! Source: Documentation/admin-guide/sysctl/{fs,kernel,vm}.rst.

use crate::fs::ProcFs;
use crate::source::ProcSource;
use crate::text::Text;

/// A number is never given to a process, there being but one; programs use it as a width.
const PID_MAX: u32 = 32768;
/// The most descriptors a process may be allowed (`FdTable`'s ceiling).
const NR_OPEN: u32 = 1 << 20;

pub(crate) fn aio_nr(_fs: &ProcFs, text: &mut Text) {
    writeln!(text, "{}", vfs::aio::nr());
}

pub(crate) fn file_max(_fs: &ProcFs, text: &mut Text) {
    // Memory alone limits how many files are open in all.
    writeln!(text, "{}", i64::MAX);
}

pub(crate) fn nr_open(_fs: &ProcFs, text: &mut Text) {
    writeln!(text, "{NR_OPEN}");
}

pub(crate) fn pipe_max_size(_fs: &ProcFs, text: &mut Text) {
    writeln!(text, "{}", vfs::pipe::MAX_SIZE);
}

pub(crate) fn hostname(fs: &ProcFs, text: &mut Text) {
    writeln!(text, "{}", fs.source.uts().nodename);
}

pub(crate) fn domainname(fs: &ProcFs, text: &mut Text) {
    let name = fs.source.uts().domainname;
    writeln!(text, "{}", if name.is_empty() { "(none)" } else { &name });
}

pub(crate) fn ostype(fs: &ProcFs, text: &mut Text) {
    writeln!(text, "{}", fs.source.uts().sysname);
}

pub(crate) fn osrelease(fs: &ProcFs, text: &mut Text) {
    writeln!(text, "{}", fs.source.uts().release);
}

pub(crate) fn version(fs: &ProcFs, text: &mut Text) {
    writeln!(text, "{}", fs.source.uts().version);
}

pub(crate) fn pid_max(_fs: &ProcFs, text: &mut Text) {
    writeln!(text, "{PID_MAX}");
}

/// The same as long as the system runs.
pub(crate) fn boot_id(fs: &ProcFs, text: &mut Text) {
    uuid_line(&fs.boot_id, text);
}

/// Another one for each reader.
pub(crate) fn uuid(fs: &ProcFs, text: &mut Text) {
    uuid_line(&make_uuid(&*fs.source), text);
}

/// A random UUID: version 4, variant 1 (RFC 9562).
pub(crate) fn make_uuid(source: &dyn ProcSource) -> [u8; 16] {
    let mut bytes = [0; 16];
    source.random(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    bytes
}

fn uuid_line(bytes: &[u8; 16], text: &mut Text) {
    for (i, byte) in bytes.iter().enumerate() {
        let dash = if matches!(i, 4 | 6 | 8 | 10) { "-" } else { "" };
        write!(text, "{dash}{byte:02x}");
    }
    writeln!(text);
}

/// 0: what is plainly too much is refused, the rest is promised.
pub(crate) fn overcommit_memory(_fs: &ProcFs, text: &mut Text) {
    writeln!(text, "0");
}
