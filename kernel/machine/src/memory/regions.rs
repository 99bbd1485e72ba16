//! Sets of physical memory: what the device tree says is RAM, less what is taken.

use arrayvec::ArrayVec;

/// Pieces at most. More are left unused: real machines have a handful.
pub const MAX: usize = 32;

/// Bytes `[start, end)` of physical memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Region {
    /// First byte.
    pub start: u64,
    /// Past the last byte.
    pub end: u64,
}

impl Region {
    /// `len` bytes from `start` on, cut at 2^64.
    pub const fn new(start: u64, len: u64) -> Region {
        Region { start, end: start.saturating_add(len) }
    }

    /// Bytes in it.
    pub const fn len(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.start >= self.end
    }
}

/// A few regions.
pub type Regions = ArrayVec<Region, MAX>;

/// Takes `hole` out of every region.
pub fn subtract(regions: &Regions, hole: Region) -> Regions {
    let mut left = Regions::new();
    for r in regions {
        let before = Region { start: r.start, end: r.end.min(hole.start) };
        let after = Region { start: r.start.max(hole.end), end: r.end };
        if hole.is_empty() {
            let _ = left.try_push(*r);
            continue;
        }
        for part in [before, after] {
            if !part.is_empty() {
                let _ = left.try_push(part);
            }
        }
    }
    left
}

/// Shrinks every region to multiples of `align`, a power of two, and drops the empty ones.
pub fn align_inward(regions: &Regions, align: u64) -> Regions {
    let shrink = |r: &Region| Region {
        start: r.start.saturating_add(align - 1) & !(align - 1),
        end: r.end & !(align - 1),
    };
    regions.iter().map(shrink).filter(|r| !r.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(regions: &[(u64, u64)]) -> Regions {
        regions.iter().map(|&(start, end)| Region { start, end }).collect()
    }

    #[test]
    fn holes_cut_split_and_swallow() {
        let ram = set(&[(100, 200), (300, 400)]);
        assert_eq!(
            subtract(&ram, Region { start: 120, end: 130 }),
            set(&[(100, 120), (130, 200), (300, 400)])
        );
        assert_eq!(subtract(&ram, Region { start: 150, end: 350 }), set(&[(100, 150), (350, 400)]));
        assert_eq!(subtract(&ram, Region { start: 0, end: 1000 }), set(&[]));
        assert_eq!(subtract(&ram, Region { start: 100, end: 100 }), ram);
        assert_eq!(subtract(&ram, Region { start: 200, end: 300 }), ram);
    }

    #[test]
    fn alignment_only_shrinks() {
        assert_eq!(align_inward(&set(&[(1, 9000), (10, 20)]), 4096), set(&[(4096, 8192)]));
    }

    #[test]
    fn lengths_saturate() {
        assert_eq!(Region::new(u64::MAX - 1, 100).len(), 1);
    }
}
