//! The areas of an address space, by address. Data only: no page table, no faults.
//!
//! # Invariants
//! 1. Areas are not empty and do not overlap.
//! 2. Neighbours that continue each other are one area.
//! 3. `total` is the sum of their lengths, `peak` the most that it ever was.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::layout::{GUARD_GAP, Span};
use super::vma::{VmFlags, Vma};

/// All areas.
#[derive(Default, Debug)]
pub struct VmaSet {
    areas: BTreeMap<u64, Vma>,
    total: u64,
    peak: u64,
}

impl VmaSet {
    /// No area.
    pub const fn new() -> VmaSet {
        VmaSet { areas: BTreeMap::new(), total: 0, peak: 0 }
    }

    /// How many areas.
    pub fn len(&self) -> usize {
        self.areas.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.areas.is_empty()
    }

    /// Upward.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Vma> {
        self.areas.values()
    }

    /// The area an address lies in.
    pub fn find(&self, addr: u64) -> Option<&Vma> {
        self.areas.range(..=addr).next_back().map(|(_, v)| v).filter(|v| v.span.contains(addr))
    }

    /// The first area that ends above an address.
    pub fn at_or_above(&self, addr: u64) -> Option<&Vma> {
        self.find(addr).or_else(|| self.areas.range(addr..).next().map(|(_, v)| v))
    }

    /// The last area that ends at or below an address.
    pub fn below(&self, addr: u64) -> Option<&Vma> {
        self.areas.range(..addr).next_back().map(|(_, v)| v).filter(|v| v.span.end <= addr)
    }

    /// The areas that have something in `span`, upward.
    pub fn overlapping(&self, span: Span) -> impl Iterator<Item = &Vma> {
        let first = self.find(span.start).map_or(span.start, |v| v.span.start);
        let areas = if span.is_empty() { first..first } else { first..span.end };
        self.areas.range(areas).map(|(_, v)| v)
    }

    /// Whether something lies in `span`.
    pub fn overlaps(&self, span: Span) -> bool {
        self.overlapping(span).next().is_some()
    }

    /// How far from `span.start` on there is no hole; at most `span.end`.
    pub fn covered_until(&self, span: Span) -> u64 {
        let mut at = span.start;
        for area in self.overlapping(span) {
            if area.span.start > at {
                break;
            }
            at = area.span.end;
        }
        at.min(span.end)
    }

    /// Adds an area where none is, joining it with neighbours it continues. Returns where it is now.
    pub fn insert(&mut self, mut area: Vma) -> Span {
        debug_assert!(!area.span.is_empty() && !self.overlaps(area.span));
        self.add(area.span.len());
        if let Some(before) = self.below(area.span.start)
            && before.continues_in(&area)
        {
            let before = before.span.start;
            if let Some(before) = self.areas.remove(&before) {
                area = Vma { span: Span { start: before.span.start, end: area.span.end }, ..before };
            }
        }
        if let Some(after) = self.areas.get(&area.span.end)
            && area.continues_in(after)
        {
            let after = after.span;
            self.areas.remove(&after.start);
            area.span.end = after.end;
        }
        let span = area.span;
        self.areas.insert(span.start, area);
        span
    }

    /// Takes away what lies in `span`, cutting areas at its ends. What was there is returned, upward;
    /// who drops it may thereby close files.
    pub fn remove(&mut self, span: Span) -> Vec<Vma> {
        if span.is_empty() {
            return Vec::new();
        }
        self.split_at(span.start);
        self.split_at(span.end);
        let starts: Vec<u64> = self.overlapping(span).map(|v| v.span.start).collect();
        let removed: Vec<Vma> = starts.iter().filter_map(|start| self.areas.remove(start)).collect();
        self.total -= removed.iter().map(|v| v.span.len()).sum::<u64>();
        removed
    }

    /// Changes READ, WRITE and EXEC of what lies in `span`. Returns the changed parts as they are now.
    pub fn protect(&mut self, span: Span, prot: VmFlags) -> Vec<Vma> {
        self.change(span, VmFlags::PROT, prot)
    }

    /// Sets those flags among `mask` that are in `to`, and clears the others, of what lies in `span`. Returns
    /// the changed parts as they are now.
    pub fn change(&mut self, span: Span, mask: VmFlags, to: VmFlags) -> Vec<Vma> {
        let mut parts = self.remove(span);
        for part in &mut parts {
            part.flags = part.flags.difference(mask) | (to & mask);
            self.insert(part.clone());
        }
        parts
    }

    /// How many areas more there may be after a change at the ends of `span`.
    pub fn splits(&self, span: Span) -> usize {
        let cut = |at| self.find(at).is_some_and(|v| v.span.start < at);
        usize::from(cut(span.start)) + usize::from(cut(span.end))
    }

    /// Lets the stack that begins at `start` begin lower. There must be room.
    pub fn grow_down(&mut self, start: u64, new_start: u64) {
        debug_assert!(new_start <= start);
        if let Some(mut stack) = self.areas.remove(&start) {
            stack.span.start = new_start;
            self.add(start - new_start);
            debug_assert!(!self.overlaps(stack.span));
            self.areas.insert(new_start, stack);
        }
    }

    /// The highest free `len` bytes within `within`. A stack keeps its guard gap free below it.
    pub fn find_gap_down(&self, len: u64, within: Span) -> Option<u64> {
        let mut end = within.end;
        for area in self.areas.values().rev() {
            if area.span.start >= within.end {
                // It may still keep others away by its gap.
                end = end.min(Self::keeps_from(area));
                continue;
            }
            let start = area.span.end.max(within.start);
            if let Some(at) = Self::fit(len, start, end) {
                return Some(at);
            }
            end = end.min(Self::keeps_from(area));
            if end <= within.start {
                return None;
            }
        }
        Self::fit(len, within.start, end)
    }

    fn fit(len: u64, start: u64, end: u64) -> Option<u64> {
        end.checked_sub(len).filter(|&at| at >= start)
    }

    /// Where an area begins to keep others away (`vm_start_gap`).
    fn keeps_from(area: &Vma) -> u64 {
        let gap = if area.flags.contains(VmFlags::GROWSDOWN) { GUARD_GAP } else { 0 };
        area.span.start.saturating_sub(gap)
    }

    /// The bytes of all areas, and of those RLIMIT_DATA counts.
    pub fn totals(&self) -> (u64, u64) {
        let data = self.iter().filter(|v| v.flags.is_data()).map(|v| v.span.len()).sum();
        (self.total, data)
    }

    /// The most bytes that all areas ever had.
    pub fn peak(&self) -> u64 {
        self.peak
    }

    fn add(&mut self, len: u64) {
        self.total += len;
        self.peak = self.peak.max(self.total);
    }

    fn split_at(&mut self, at: u64) {
        let Some(start) = self.find(at).map(|v| v.span.start).filter(|&start| start < at) else { return };
        if let Some(area) = self.areas.get_mut(&start) {
            let tail = area.part(Span { start: at, end: area.span.end });
            area.span.end = at;
            self.areas.insert(at, tail);
        }
    }
}

#[cfg(test)]
#[path = "vma_set_tests.rs"]
mod tests;
