//! The memory of a request as a device sees it: pieces of pages that lie side by side are one segment, as
//! far as the device's limits for one go.
//!
//! ```text
//!   pieces      page 7 [0, 4096)   page 8 [0, 4096)   page 3 [1024, 2048)
//!   segments    0x7000, 8192                          0x3400, 1024
//! ```
//! `count_segments` in split.rs counts what comes out here, without a list.

use base::PhysAddr;

use crate::bio::BioVec;
use crate::split::room;

/// A run of bytes as a device sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Its first byte.
    pub phys: PhysAddr,
    /// Its length.
    pub len: u32,
}

/// The segments of some pieces of pages.
pub(crate) struct Segments<'a, I: Iterator<Item = &'a BioVec>> {
    vecs: I,
    /// What was taken from `vecs` and not yet given out.
    next: Option<Segment>,
    max_size: u32,
    boundary: u64,
}

impl<'a, I: Iterator<Item = &'a BioVec>> Segments<'a, I> {
    /// None longer than `max_size`, none across the boundary.
    pub fn new(vecs: I, max_size: u32, boundary: u64) -> Segments<'a, I> {
        Segments { vecs, next: None, max_size, boundary }
    }

    fn piece(&mut self) -> Option<Segment> {
        self.next.take().or_else(|| {
            let vec = self.vecs.next()?;
            Some(Segment { phys: PhysAddr(vec.phys()), len: vec.len })
        })
    }
}

impl<'a, I: Iterator<Item = &'a BioVec>> Iterator for Segments<'a, I> {
    type Item = Segment;

    fn next(&mut self) -> Option<Segment> {
        let mut piece = self.piece()?;
        let mut run = Segment { phys: piece.phys, len: 0 };
        loop {
            let end = run.phys.0 + u64::from(run.len);
            let taken = piece.len.min(room(end, run.len, self.max_size, self.boundary));
            run.len += taken;
            if taken < piece.len {
                let rest = PhysAddr(piece.phys.0 + u64::from(taken));
                self.next = Some(Segment { phys: rest, len: piece.len - taken });
                return Some(run);
            }
            match self.piece() {
                Some(more) if more.phys.0 == end + u64::from(taken) => piece = more,
                other => {
                    self.next = other;
                    return Some(run);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::bio::{Bio, BioOp};
    use crate::driver::Limits;
    use crate::request::{Request, Shape};
    use base::Sector;
    use base::frame;
    use std::vec::Vec;

    #[test]
    fn adjacent_memory_is_one_segment() {
        let limits = Limits::default();
        let page = frame::alloc_zeroed().unwrap();
        let bio = |sector: u64, offset| {
            let mut bio = Bio::new(BioOp::Read, Sector(sector));
            bio.add(&page, offset, 1024);
            bio
        };
        let (a, b, c) = (bio(0, 0), bio(2, 1024), bio(4, 3072));
        let shapes = [&a, &b, &c].map(|x| Shape::of(x, &limits));
        let mut request = Request::new(a, shapes[0], 0);
        request.push_back(b, shapes[1]);
        request.push_back(c, shapes[2]);
        let phys = page.phys().0;
        let got: Vec<_> = request.segments(65536).map(|s| (s.phys.0 - phys, s.len)).collect();
        assert_eq!(got, [(0, 2048), (3072, 1024)]);
        let cut: Vec<_> = request.segments(512).map(|s| (s.phys.0 - phys, s.len)).collect();
        assert_eq!(cut, [(0, 512), (512, 512), (1024, 512), (1536, 512), (3072, 512), (3584, 512)]);
        let odd: Vec<_> = request.segments(1536).map(|s| (s.phys.0 - phys, s.len)).collect();
        assert_eq!(odd, [(0, 1536), (1536, 512), (3072, 1024)]);
        request.end_bios(Ok(()));
    }
}
