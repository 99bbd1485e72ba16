//! Merging: which request a bio can become part of, and which two requests have become neighbours.
//!
//! ```text
//!   back merge    request [100, 108) + bio [108, 116)   →  request [100, 116)
//!   front merge   bio [92, 100) + request [100, 108)    →  request [92, 108)
//!   discard merge discard [8, 16) + discard [90, 99)    →  one discard of two ranges, if the device
//!                                                         takes several
//!   join          a bio fills the gap between two requests: all three become one
//! ```
//!
//! Merged are reads with reads, writes with writes, discards with discards; never across a flush that
//! the queue has taken in between, never beyond the limits of the device. Flushes, write-zeroes and
//! writes with PREFLUSH or FUA stay alone.

use crate::attributes::Merges;
use crate::bio::{Bio, BioFlags, BioOp};
use crate::driver::Limits;
use crate::elevator::Elevator;
use crate::pool::{Pool, RequestId};
use crate::request::{Origin, Request, Shape};

/// The answer of [`elv_merge`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Merge {
    /// It needs a request of its own.
    No,
    /// It goes to the end of this one.
    Back(RequestId),
    /// It goes to the front of this one.
    Front(RequestId),
    /// A discard that goes into this one, wherever it lies.
    Discard(RequestId),
}

/// What merging on a queue has to respect.
pub(crate) struct Rules {
    pub limits: Limits,
    pub merges: Merges,
}

/// Whether a bio may become part of a request, or be joined by others, at all.
pub(crate) fn mergeable(op: BioOp, flags: BioFlags) -> bool {
    matches!(op, BioOp::Read | BioOp::Write | BioOp::Discard)
        && !flags.intersects(BioFlags::PREFLUSH | BioFlags::FUA)
}

/// Whether discards of this device name several ranges: they then join by number, not by place.
pub(crate) fn scatters(op: BioOp, limits: &Limits) -> bool {
    op == BioOp::Discard && limits.max_discard_segments > 1
}

/// Whether `next` may follow `first` within one request. Both are mergeable.
pub(crate) fn fits(first: &Shape, next: &Shape, limits: &Limits) -> bool {
    first.op == next.op
        && first.end() == next.sector
        && !scatters(first.op, limits)
        && first.sectors + next.sectors <= most_sectors(first.op, limits)
        && first.segments + next.segments <= limits.max_segments
}

/// Whether a discard may go into a request of discards, on a device where they scatter.
pub(crate) fn fits_scattered(request: &Request, bio: &Shape, limits: &Limits) -> bool {
    request.op() == bio.op
        && scatters(bio.op, limits)
        && request.bios() < limits.max_discard_segments as usize
        && request.sectors().saturating_add(bio.sectors) <= most_sectors(bio.op, limits)
}

/// Whether two requests of one plug list may become one.
pub(crate) fn follows(first: &Request, next: &Request, rules: &Rules) -> bool {
    rules.merges == Merges::All
        && mergeable(first.op(), first.flags())
        && mergeable(next.op(), next.flags())
        && fits(&first.shape(), &next.shape(), &rules.limits)
}

fn most_sectors(op: BioOp, limits: &Limits) -> u64 {
    u64::from(match op {
        BioOp::Discard => limits.max_discard_sectors,
        _ => limits.max_sectors,
    })
}

/// Where in the pool a mergeable bio of this shape belongs. The request that was touched last is tried
/// first: bios come in rows.
pub(crate) fn elv_merge(pool: &Pool, bio: &Shape, front_merges: bool, rules: &Rules) -> Merge {
    let limits = &rules.limits;
    if rules.merges == Merges::None {
        return Merge::No;
    }
    if let Some((id, request)) = pool.last() {
        if fits(&request.shape(), bio, limits) {
            return Merge::Back(id);
        }
        if front_merges && fits(bio, &request.shape(), limits) {
            return Merge::Front(id);
        }
        if fits_scattered(request, bio, limits) {
            return Merge::Discard(id);
        }
    }
    if rules.merges == Merges::Simple {
        return Merge::No;
    }
    if let Some((id, request)) = pool.ending_at(bio.op, bio.sector)
        && fits(&request.shape(), bio, limits)
    {
        return Merge::Back(id);
    }
    if front_merges
        && let Some((id, request)) = pool.beginning_at(bio.op, bio.end())
        && fits(bio, &request.shape(), limits)
    {
        return Merge::Front(id);
    }
    Merge::No
}

/// Merges a bio into the pool, and then the request it went into with its neighbour. Ok: how many
/// requests disappeared by that (0 or 1). Err: the bio, which needs a request of its own.
pub(crate) fn merge_bio(
    pool: &mut Pool,
    elevator: &mut dyn Elevator,
    bio: Bio,
    shape: &Shape,
    origin: &Origin,
    rules: &Rules,
) -> Result<usize, Bio> {
    if !mergeable(bio.op(), bio.flags) {
        return Err(bio);
    }
    let limits = &rules.limits;
    let merge = elv_merge(pool, shape, elevator.front_merges(), rules);
    match merge {
        Merge::No => Err(bio),
        Merge::Back(id) | Merge::Front(id) | Merge::Discard(id) if !may_merge(pool, elevator, id, origin) => {
            Err(bio)
        }
        Merge::Back(id) => {
            pool.push_back(id, bio, *shape);
            Ok(usize::from(join_with_next(pool, elevator, id, limits)))
        }
        Merge::Front(id) => {
            pool.push_front(id, bio, *shape);
            elevator.front_merged(pool, id, shape.end());
            Ok(usize::from(join_with_previous(pool, elevator, id, limits)))
        }
        Merge::Discard(id) => {
            pool.push_discard(id, bio, *shape);
            Ok(0)
        }
    }
}

/// Joins a request that has just entered the pool with its neighbours on both sides. Returns how many
/// requests disappeared.
pub(crate) fn join_neighbours(
    pool: &mut Pool,
    elevator: &mut dyn Elevator,
    id: RequestId,
    limits: &Limits,
) -> usize {
    let next = join_with_next(pool, elevator, id, limits);
    let previous = join_with_previous(pool, elevator, id, limits);
    usize::from(next) + usize::from(previous)
}

fn join_with_next(pool: &mut Pool, elevator: &mut dyn Elevator, id: RequestId, limits: &Limits) -> bool {
    let Some(shape) = pool.get(id).map(|r| r.shape()) else { return false };
    let next = pool.beginning_at(shape.op, shape.end()).map(|(next, request)| (next, request.shape()));
    match next {
        Some((next, after)) if next != id && fits(&shape, &after, limits) => join(pool, elevator, id, next),
        _ => false,
    }
}

fn join_with_previous(pool: &mut Pool, elevator: &mut dyn Elevator, id: RequestId, limits: &Limits) -> bool {
    let Some(shape) = pool.get(id).map(|r| r.shape()) else { return false };
    let previous =
        pool.ending_at(shape.op, shape.sector).map(|(previous, request)| (previous, request.shape()));
    match previous {
        Some((previous, before)) if previous != id && fits(&before, &shape, limits) => {
            join(pool, elevator, previous, id)
        }
        _ => false,
    }
}

fn may_merge(pool: &Pool, elevator: &dyn Elevator, id: RequestId, origin: &Origin) -> bool {
    pool.get(id).is_some_and(|request| elevator.may_merge(request, origin))
}

fn join(pool: &mut Pool, elevator: &mut dyn Elevator, kept: RequestId, gone: RequestId) -> bool {
    let Some(origin) = pool.get(gone).map(Request::origin) else { return false };
    if !may_merge(pool, elevator, kept, &origin) {
        return false;
    }
    elevator.joining(pool, kept, gone);
    pool.join(kept, gone);
    true
}
