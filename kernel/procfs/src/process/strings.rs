//! Files that are bytes of the program as they are: cmdline, environ, auxv, comm, maps.

use base::Result;

use crate::source::ProcessView;
use crate::text::Text;

/// The most bytes of a name.
const COMM_LEN: usize = 15;

pub(crate) fn cmdline(process: &dyn ProcessView, text: &mut Text) {
    text.bytes(&process.cmdline());
}

pub(crate) fn environ(process: &dyn ProcessView, text: &mut Text) {
    text.bytes(&process.environ());
}

pub(crate) fn auxv(process: &dyn ProcessView, text: &mut Text) {
    text.bytes(&process.auxv());
}

pub(crate) fn maps(process: &dyn ProcessView, text: &mut Text) {
    text.bytes(process.maps().as_bytes());
}

pub(crate) fn comm(process: &dyn ProcessView, text: &mut Text) {
    text.bytes(&process.comm());
    writeln!(text);
}

/// What is longer than a name is cut; a NUL ends it.
pub(crate) fn set_comm(process: &dyn ProcessView, bytes: &[u8]) -> Result<()> {
    let name = &bytes[..bytes.len().min(COMM_LEN)];
    let end = name.iter().position(|&b| b == 0).unwrap_or(name.len());
    process.set_comm(&name[..end])
}
