//! Cutting a bio at the limits of its queue.
//!
//! A bio may be of any length; a request may not. What is too long goes as several bios, each cut at a
//! multiple of the logical block, and the first one's `end_io` is shared among them: it runs when the
//! last part has ended, with the first error that any part had.
//!
//! Worked example: 20 pages at sector 0 on a device that takes 8 segments become bios of 8, 8 and 4
//! pages at sectors 0, 64 and 128.

use alloc::sync::Arc;

use base::units::SECTOR_SIZE;
use base::{Errno, Result};
use smallvec::SmallVec;
use sync::SpinLock;

use crate::bio::{Bio, BioOp, BioVec, EndIo};
use crate::driver::Limits;

/// The parts of one bio; most bios are one part.
pub(crate) type Parts = SmallVec<[Bio; 1]>;

/// How many pieces of memory the driver will see for these pieces of pages: physically adjacent
/// ones count once, none is longer than the limit or crosses the boundary.
pub(crate) fn count_segments(vecs: &[BioVec], limits: &Limits) -> u32 {
    if is_one_segment(vecs, limits) {
        return 1;
    }
    let mut counter = SegmentCounter::new(limits, u32::MAX);
    vecs.iter().for_each(|v| _ = counter.add(v.phys(), v.len));
    counter.count
}

/// Whether these are one piece of a page that certainly is one segment: most bios are.
fn is_one_segment(vecs: &[BioVec], limits: &Limits) -> bool {
    matches!(vecs, [only] if only.len <= limits.max_segment_size && limits.seg_boundary_mask == u64::MAX)
}

/// How many bytes from address `at` on may be in a segment that ends there and is `len` long already.
/// 0: `at` begins a new one.
pub(crate) fn room(at: u64, len: u32, max_size: u32, boundary: u64) -> u32 {
    let past = at & boundary;
    if past == 0 && len > 0 {
        return 0;
    }
    let to_boundary = (boundary - past).saturating_add(1);
    u32::try_from(to_boundary).unwrap_or(u32::MAX).min(max_size - len)
}

/// Cuts `bio` into parts that each fit the limits. EOPNOTSUPP when the device lacks the operation,
/// EINVAL when one logical block cannot be reached within the limits; the bio ends with that error.
pub(crate) fn split(mut bio: Bio, limits: &Limits) -> core::result::Result<Parts, (Bio, Errno)> {
    let mut parts = Parts::new();
    let max_bytes = u64::from(limits.max_sectors) * SECTOR_SIZE as u64;
    if bio.op().has_data() && is_one_segment(bio.vecs(), limits) && bio.len() <= max_bytes {
        parts.push(bio);
        return Ok(parts);
    }
    let mut fit = match fitting_bytes(&bio, limits) {
        Ok(fit) => fit,
        Err(errno) => return Err((bio, errno)),
    };
    if fit == bio.len() {
        parts.push(bio);
        return Ok(parts);
    }
    let end = bio.take_end_io();
    while fit < bio.len() {
        parts.push(bio.cut_front(fit));
        fit = match fitting_bytes(&bio, limits) {
            Ok(fit) => fit,
            Err(errno) => {
                let whole = Bio::new(bio.op(), bio.sector());
                let Some(end) = end else { return Err((whole, errno)) };
                return Err((whole.end_at(end), errno));
            }
        };
    }
    parts.push(bio);
    let chain = Arc::new(Chain::new(parts.len(), end));
    let chained = parts.into_iter().map(|part| {
        let chain = chain.clone();
        part.end_io(move |result| chain.part_ended(result))
    });
    Ok(chained.collect())
}

/// How many bytes from its front fit in one request.
fn fitting_bytes(bio: &Bio, limits: &Limits) -> Result<u64> {
    let most_sectors = match bio.op() {
        BioOp::Flush => return Ok(0),
        BioOp::Discard => discard_sectors(bio, limits),
        BioOp::WriteZeroes => u64::from(limits.max_write_zeroes_sectors),
        BioOp::Read | BioOp::Write => u64::from(limits.max_sectors),
    };
    if most_sectors == 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let most = most_sectors * SECTOR_SIZE as u64;
    let fit = if bio.op().has_data() { bytes_in_segments(bio, most, limits) } else { most.min(bio.len()) };
    if fit == bio.len() {
        return Ok(fit);
    }
    let whole_blocks = fit - fit % u64::from(limits.logical_block_size);
    if whole_blocks == 0 { Err(Errno::EINVAL) } else { Ok(whole_blocks) }
}

/// How many sectors of a discard go first. It is cut where the device's granules end, so that no granule is
/// given up in two halves, which many devices would not do at all.
fn discard_sectors(bio: &Bio, limits: &Limits) -> u64 {
    let most = u64::from(limits.max_discard_sectors);
    let granule = (u64::from(limits.discard_granularity) / SECTOR_SIZE as u64).max(1);
    if bio.sectors() <= most || most < granule {
        return most;
    }
    let first = u64::from(limits.discard_alignment) / SECTOR_SIZE as u64 % granule;
    let end = bio.sector().0.saturating_add(most);
    let beyond = (end + granule - first) % granule;
    // A device whose granule is as long as its longest discard, and a bio between two granules.
    if beyond < most { most - beyond } else { most }
}

/// How many of the first `most` bytes of a bio fit in the segments that a request may have.
fn bytes_in_segments(bio: &Bio, most: u64, limits: &Limits) -> u64 {
    let mut counter = SegmentCounter::new(limits, limits.max_segments);
    let mut fit = 0;
    for vec in bio.vecs() {
        // At most `vec.len`, so it fits.
        let len = u64::from(vec.len).min(most - fit) as u32;
        let taken = counter.add(vec.phys(), len);
        fit += u64::from(taken);
        if taken < vec.len {
            break;
        }
    }
    fit
}

/// Counts segments the way [`crate::Request::segments`] will cut them.
struct SegmentCounter {
    max_size: u32,
    boundary: u64,
    /// Most segments.
    most: u32,
    count: u32,
    /// Where the last segment ends, and how long it is.
    end: u64,
    last_len: u32,
}

impl SegmentCounter {
    fn new(limits: &Limits, most: u32) -> SegmentCounter {
        let (max_size, boundary) = (limits.max_segment_size, limits.seg_boundary_mask);
        SegmentCounter { max_size, boundary, most, count: 0, end: 0, last_len: 0 }
    }

    /// Adds `len` bytes at `at`, as far as there are segments for them. How many it took.
    fn add(&mut self, at: u64, len: u32) -> u32 {
        let mut taken = 0;
        if self.count > 0 && at == self.end {
            taken = len.min(room(at, self.last_len, self.max_size, self.boundary));
            self.last_len += taken;
        }
        while taken < len && self.count < self.most {
            let begin = at + u64::from(taken);
            self.last_len = (len - taken).min(room(begin, 0, self.max_size, self.boundary));
            self.count += 1;
            taken += self.last_len;
        }
        self.end = at + u64::from(taken);
        taken
    }
}

/// What the parts of one bio share.
struct Chain(SpinLock<ChainState>);

struct ChainState {
    left: usize,
    error: Option<Errno>,
    end: Option<EndIo>,
}

impl Chain {
    fn new(left: usize, end: Option<EndIo>) -> Chain {
        Chain(SpinLock::new(ChainState { left, error: None, end }))
    }

    fn part_ended(&self, result: Result<()>) {
        let (end, result) = {
            let mut state = self.0.lock();
            state.left -= 1;
            state.error = state.error.or(result.err());
            if state.left > 0 {
                return;
            }
            (state.end.take(), state.error.map_or(Ok(()), Err))
        };
        if let Some(end) = end {
            end.run(result);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{Frame, Sector, frame};
    use std::sync::Mutex;
    use std::vec::Vec;

    fn pages(n: usize) -> Vec<Frame> {
        (0..n).map(|_| frame::alloc_zeroed().unwrap()).collect()
    }

    fn bio_of(frames: &[Frame]) -> Bio {
        let mut bio = Bio::new(BioOp::Write, Sector(0));
        frames.iter().for_each(|f| bio.add(f, 0, 4096));
        bio
    }

    fn shapes(parts: &Parts) -> Vec<(u64, u64)> {
        parts.iter().map(|p| (p.sector().0, p.sectors())).collect()
    }

    fn split_ok(bio: Bio, limits: &Limits) -> Parts {
        split(bio, limits).map_err(|(_, e)| e).unwrap()
    }

    #[test]
    fn a_bio_that_fits_stays_whole() {
        assert_eq!(shapes(&split_ok(bio_of(&pages(4)), &Limits::default())), [(0, 32)]);
    }

    #[test]
    fn cut_at_max_sectors() {
        let limits = Limits { max_sectors: 20, ..Limits::default() };
        assert_eq!(shapes(&split_ok(bio_of(&pages(6)), &limits)), [(0, 20), (20, 20), (40, 8)]);
        let limits = Limits { max_sectors: 20, logical_block_size: 4096, ..Limits::default() };
        assert_eq!(shapes(&split_ok(bio_of(&pages(6)), &limits)), [(0, 16), (16, 16), (32, 16)]);
    }

    #[test]
    fn cut_at_segments() {
        // Every other page, so that no two are adjacent in memory: at most one segment a page.
        let frames: Vec<Frame> = pages(40).into_iter().step_by(2).collect();
        let limits = Limits { max_segments: 8, max_segment_size: 4096, ..Limits::default() };
        let parts = split_ok(bio_of(&frames), &limits);
        assert_eq!(shapes(&parts), [(0, 64), (64, 64), (128, 32)]);
        assert!(parts.iter().all(|p| count_segments(p.vecs(), &limits) <= 8));
    }

    #[test]
    fn small_segments_cut_within_a_page() {
        let limits = Limits { max_segments: 3, max_segment_size: 512, ..Limits::default() };
        let parts = split_ok(bio_of(&pages(1)), &limits);
        assert_eq!(shapes(&parts), [(0, 3), (3, 3), (6, 2)]);
        assert!(parts.iter().all(|p| count_segments(p.vecs(), &limits) <= 3));
    }

    #[test]
    fn a_segment_stays_within_its_boundary() {
        let frames = pages(2);
        let within = |mask| Limits { seg_boundary_mask: mask, ..Limits::default() };
        let bio = bio_of(&frames);
        let apart = u32::from(frames[0].phys().0 + 4096 != frames[1].phys().0);
        assert_eq!(count_segments(bio.vecs(), &within(0x1ff)), 16);
        assert_eq!(count_segments(bio.vecs(), &within(0xfff)), 2);
        assert_eq!(count_segments(bio.vecs(), &within(u64::MAX)), 1 + apart);
        assert_eq!([room(0xff0, 0, 512, 0xfff), room(0x1000, 16, 512, 0xfff)], [16, 0]);
        assert_eq!([room(0x1000, 0, 512, 0xfff), room(8, 8, 512, u64::MAX)], [512, 504]);
        let limits = Limits { max_segments: 3, ..within(0x1ff) };
        assert_eq!(shapes(&split_ok(bio_of(&frames[..1]), &limits)), [(0, 3), (3, 3), (6, 2)]);
    }

    #[test]
    fn a_discard_is_cut_where_granules_end() {
        let limits = Limits {
            max_discard_sectors: 100,
            discard_granularity: 16 * 512,
            discard_alignment: 4 * 512,
            ..Limits::default()
        };
        let cut = |sector, sectors| {
            shapes(&split_ok(Bio::without_data(BioOp::Discard, Sector(sector), sectors), &limits))
        };
        // Granules begin at 4, 20, 36, …
        assert_eq!(cut(10, 100), [(10, 100)]);
        assert_eq!(cut(10, 200), [(10, 90), (100, 96), (196, 14)]);
        assert_eq!(cut(4, 200), [(4, 96), (100, 96), (196, 8)]);
        assert_eq!(cut(0, 120), [(0, 100), (100, 20)]);
    }

    #[test]
    fn write_zeroes_is_cut_like_the_rest() {
        let limits = Limits { max_write_zeroes_sectors: 12, logical_block_size: 4096, ..Limits::default() };
        let bio = Bio::without_data(BioOp::WriteZeroes, Sector(8), 24);
        assert_eq!(shapes(&split_ok(bio, &limits)), [(8, 8), (16, 8), (24, 8)]);
    }

    #[test]
    fn the_last_part_ends_the_whole_with_the_first_error() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let limits = Limits { max_sectors: 8, ..Limits::default() };
        let sink = seen.clone();
        let bio = bio_of(&pages(3)).end_io(move |r| sink.lock().unwrap().push(r));
        let mut parts = split_ok(bio, &limits).into_iter();
        parts.next().unwrap().complete(Ok(()));
        parts.next().unwrap().complete(Err(Errno::ENOSPC));
        assert!(seen.lock().unwrap().is_empty());
        parts.next().unwrap().complete(Err(Errno::EIO));
        assert_eq!(*seen.lock().unwrap(), [Err(Errno::ENOSPC)]);
    }

    #[test]
    fn a_device_without_discard_says_so() {
        let bio = Bio::without_data(BioOp::Discard, Sector(0), 8);
        assert_eq!(split(bio, &Limits::default()).unwrap_err().1, Errno::EOPNOTSUPP);
        let limits = Limits { max_discard_sectors: 3, ..Limits::default() };
        let parts = split_ok(Bio::without_data(BioOp::Discard, Sector(0), 8), &limits);
        assert_eq!(shapes(&parts), [(0, 3), (3, 3), (6, 2)]);
    }
}
