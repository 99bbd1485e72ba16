//! The log that QEMU's `blklogwrites` keeps of a disk, as a [`Recording`].
//!
//! The format is that of Linux's dm-log-writes. Sector 0 has the head; from sector 1 on follow entries: a
//! sector that says what was done, then the data of a write, to the end of its last sector.
//!
//! ```text
//!   head:  magic u64 · version u64 = 1 · entries u64 · sector size u32
//!   entry: sector u64 · sectors u64 · flags u64 (1 flush, 2 FUA, 4 discard, 8 mark) · bytes of a mark u64
//! ```
//! QEMU writes an entry when the request is done, so nothing is ever in flight here: a write ends where
//! it begins, and a flush covers all that is before it. An entry that is both is a flush, then a write.
//!
//! Source: Documentation/admin-guide/device-mapper/log-writes.rst; docs of `blklogwrites` in QEMU.

use std::ops::Range;

use base::units::SECTOR_SIZE;

use super::record::{Recording, Write};

const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;
const MARK: u64 = 8;

/// One entry of a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// First sector of 512 bytes.
    pub sector: u64,
    /// What was written there; of a discard, zeros.
    pub bytes: Vec<u8>,
    flags: u64,
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// The entries of a log. Err: why it is none.
pub fn entries(log: &[u8]) -> Result<Vec<Entry>, String> {
    let magic = word(log, 0).ok_or("the log is empty")?;
    if magic != MAGIC || word(log, 8) != Some(1) {
        return Err(format!("not a log of writes: magic {magic:#x}"));
    }
    let count = word(log, 16).unwrap_or(0);
    let size = word(log, 24).map_or(0, |word| word as u32) as usize;
    if size < SECTOR_SIZE || !size.is_power_of_two() {
        return Err(format!("sectors of {size} bytes"));
    }
    let mut entries = Vec::new();
    let mut at = size;
    for number in 0..count {
        let cut = || format!("the log ends within entry {number} of {count}");
        let [sector, sectors, flags, extra] =
            [0, 8, 16, 24].map(|field| word(log, at + field)).map(Option::unwrap_or_default);
        at += size;
        let len = usize::try_from(sectors).ok().and_then(|n| n.checked_mul(size)).ok_or_else(cut)?;
        let bytes = match flags {
            flags if flags & DISCARD != 0 => vec![0; len],
            flags if flags & MARK != 0 => {
                at += (extra as usize).next_multiple_of(size);
                continue;
            }
            _ => {
                let bytes = log.get(at..at + len).ok_or_else(cut)?.to_vec();
                at += len;
                bytes
            }
        };
        let sector = sector.checked_mul((size / SECTOR_SIZE) as u64).ok_or_else(cut)?;
        entries.push(Entry { sector, bytes, flags });
    }
    Ok(entries)
}

/// The recording of the part of a disk that these sectors are; `elsewhere` hears of the writes to other
/// parts, with the position.
pub fn recording(
    disk: &[u8],
    part: Range<u64>,
    entries: Vec<Entry>,
    mut elsewhere: impl FnMut(usize, &Entry),
) -> Result<Recording, String> {
    let bytes = |sector: u64| sector as usize * SECTOR_SIZE;
    let own = disk.get(bytes(part.start)..bytes(part.end)).ok_or("the disk is too small")?;
    let mut recording = Recording::new(vec![own.to_vec()]);
    for entry in entries {
        if entry.flags & FLUSH != 0 {
            let flush = recording.begin_flush(0);
            recording.end_flush(0, flush);
        }
        if entry.bytes.is_empty() {
            continue;
        }
        let end = entry.sector + (entry.bytes.len() / SECTOR_SIZE) as u64;
        if entry.sector < part.start || end > part.end {
            elsewhere(recording.events.len(), &entry);
            continue;
        }
        let sector = entry.sector - part.start;
        let fua = entry.flags & FUA != 0;
        let write = recording.begin(Write { disk: 0, sector, bytes: entry.bytes.into(), fua });
        recording.end(write);
    }
    Ok(recording)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crash::record::Event;

    fn entry(log: &mut Vec<u8>, sector: u64, sectors: u64, flags: u64, data: &[u8]) {
        let mut head = Vec::new();
        for word in [sector, sectors, flags, 0] {
            head.extend_from_slice(&word.to_le_bytes());
        }
        head.resize(512, 0);
        log.extend_from_slice(&head);
        log.extend_from_slice(data);
    }

    fn head(count: u64) -> Vec<u8> {
        let mut log = Vec::new();
        for word in [MAGIC, 1, count, 512] {
            log.extend_from_slice(&word.to_le_bytes());
        }
        log.resize(512, 0);
        log
    }

    #[test]
    fn a_log_is_read() {
        let mut log = head(4);
        entry(&mut log, 9, 1, 0, &[7; 512]);
        entry(&mut log, 0, 0, FLUSH, &[]);
        entry(&mut log, 10, 2, DISCARD, &[]);
        entry(&mut log, 1, 1, 0, &[8; 512]);
        let entries = entries(&log).unwrap();
        let mut marks = Vec::new();
        let recording =
            recording(&[1; 16 * 512], 8..16, entries, |at, mark| marks.push((at, mark.bytes[0]))).unwrap();
        assert_eq!(marks, [(6, 8)]);
        assert_eq!(
            recording.writes.iter().map(|w| (w.sector, w.bytes[0])).collect::<Vec<_>>(),
            [(1, 7), (2, 0)]
        );
        assert_eq!(recording.events[2], Event::BeginFlush(0, 1));
        assert_eq!(recording.disks[0].len(), 8 * 512);
    }

    #[test]
    fn a_log_that_is_none_is_refused() {
        assert!(entries(b"").is_err());
        assert!(entries(&[0; 512]).is_err());
        let mut log = head(1);
        entry(&mut log, 0, 9, 0, &[0; 512]);
        assert!(entries(&log).unwrap_err().contains("entry 0 of 1"));
    }
}
