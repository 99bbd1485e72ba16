//! What `/proc/self` tells of the address space.

use core::fmt::{self, Write};
use core::sync::atomic::Ordering;

use alloc::string::String;

use super::layout::STACK_TOP;
use super::resident::Kind;
use super::vma::{Backing, VmFlags, Vma};
use super::{Areas, Mm};

/// Sizes in bytes, faults in counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sizes {
    /// All areas.
    pub total: u64,
    /// The most there ever was.
    pub peak_total: u64,
    /// Private writable ones.
    pub data: u64,
    /// The stack's area.
    pub stack: u64,
    /// Executable ones.
    pub text: u64,
    /// Locked ones.
    pub locked: u64,
    /// Pages in memory.
    pub resident: u64,
    /// The most there ever were.
    pub peak_resident: u64,
    /// How much of it is files' pages.
    pub resident_file: u64,
    /// How much of it is pages of shared mappings without a file.
    pub resident_shmem: u64,
    /// Faults that found in memory what they needed.
    pub minor_faults: u64,
    /// Faults that did not.
    pub major_faults: u64,
}

impl Mm {
    /// The lines of `/proc/self/maps`.
    pub fn write_maps(&self, out: &mut dyn Write) -> fmt::Result {
        let areas = self.areas.read();
        areas.set.iter().try_for_each(|area| line(&areas, area, out))
    }

    /// The numbers of `/proc/self/status` and `stat`.
    pub fn sizes(&self) -> Sizes {
        let areas = self.areas.read();
        let (total, data) = areas.set.totals();
        let sum = |flag| areas.set.iter().filter(|v| v.flags.contains(flag)).map(|v| v.span.len()).sum();
        let page = super::layout::PAGE;
        Sizes {
            total,
            peak_total: areas.set.peak(),
            data,
            stack: sum(VmFlags::GROWSDOWN),
            text: sum(VmFlags::EXEC),
            locked: sum(VmFlags::LOCKED),
            resident: self.pages.resident().pages() * page,
            peak_resident: self.pages.resident().peak() * page,
            resident_file: self.pages.resident().pages_of(Kind::File) * page,
            resident_shmem: self.pages.resident().pages_of(Kind::Shmem) * page,
            minor_faults: self.minor_faults.load(Ordering::Relaxed),
            major_faults: self.major_faults.load(Ordering::Relaxed),
        }
    }
}

fn line(areas: &Areas, area: &Vma, out: &mut dyn Write) -> fmt::Result {
    let on = |flag, c| if area.flags.contains(flag) { c } else { '-' };
    let (offset, (major, minor, ino)) = match &area.backing {
        Backing::Anonymous => (0, (0, 0, 0)),
        Backing::File { source, first } => (first.byte(), source.identity()),
    };
    let mut text = String::new();
    write!(
        text,
        "{:08x}-{:08x} {}{}{}{} {offset:08x} {major:02x}:{minor:02x} {ino} ",
        area.span.start,
        area.span.end,
        on(VmFlags::READ, 'r'),
        on(VmFlags::WRITE, 'w'),
        on(VmFlags::EXEC, 'x'),
        if area.flags.contains(VmFlags::SHARED) { 's' } else { 'p' },
    )?;
    let name = match &area.backing {
        _ if area.span.end == STACK_TOP => "[stack]",
        _ if area.span.start >= areas.heap_start
            && area.span.end <= areas.heap_end.next_multiple_of(4096) =>
        {
            "[heap]"
        }
        _ => "",
    };
    match &area.backing {
        Backing::File { source, .. } => {
            write!(out, "{text:<73}")?;
            source.describe(out)?;
            out.write_char('\n')
        }
        Backing::Anonymous if !name.is_empty() => writeln!(out, "{text:<73}{name}"),
        Backing::Anonymous => writeln!(out, "{text}"),
    }
}
