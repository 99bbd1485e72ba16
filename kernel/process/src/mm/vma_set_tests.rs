//! The set of areas against a model that is a map from page to what is there.

use super::*;
use crate::mm::layout::PAGE;
use crate::mm::vma::{Backing, PageSource, SourcePage};
use alloc::sync::Arc;
use base::{Errno, PageIndex, Result};
use core::fmt;
use proptest::prelude::*;
use std::collections::BTreeMap as Model;

struct NoPages;
impl PageSource for NoPages {
    fn page(&self, _index: PageIndex, _pattern: pagecache::Pattern) -> Result<SourcePage> {
        Err(Errno::EIO)
    }
    fn describe(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("/file")
    }
}

fn span(first: u64, pages: u64) -> Span {
    Span { start: first * PAGE, end: (first + pages) * PAGE }
}

fn anon(first: u64, pages: u64, flags: VmFlags) -> Vma {
    Vma { span: span(first, pages), flags, backing: Backing::Anonymous }
}

const RW: VmFlags = VmFlags::READ.union(VmFlags::WRITE);

impl VmaSet {
    fn check(&self) {
        let areas: Vec<_> = self.iter().collect();
        assert!(areas.iter().all(|a| !a.span.is_empty()), "1");
        for pair in areas.windows(2) {
            assert!(pair[0].span.end <= pair[1].span.start, "1");
            assert!(!pair[0].continues_in(pair[1]), "2");
        }
        assert!(self.areas.iter().all(|(start, v)| *start == v.span.start));
        assert_eq!(self.total, areas.iter().map(|a| a.span.len()).sum::<u64>(), "3");
        assert!(self.peak >= self.total, "3");
    }

    /// Each page: its protection and, for a file, which file page.
    fn pages(&self) -> Model<u64, (VmFlags, Option<u64>)> {
        let mut out = Model::new();
        for area in self.iter() {
            for at in area.span.pages() {
                out.insert(at / PAGE, (area.flags, area.file_page(at).map(|(_, p)| p.0)));
            }
        }
        out
    }
}

#[test]
fn neighbours_merge_and_split() {
    let mut set = VmaSet::new();
    set.insert(anon(10, 5, RW));
    set.insert(anon(20, 5, RW));
    assert_eq!(set.len(), 2);
    assert_eq!(set.insert(anon(15, 5, RW)), span(10, 15));
    assert_eq!(set.len(), 1);
    set.protect(span(12, 3), VmFlags::READ);
    assert_eq!(set.len(), 3);
    set.protect(span(12, 3), RW);
    assert_eq!(set.len(), 1);
    assert_eq!(set.remove(span(12, 1)).len(), 1);
    assert_eq!(set.covered_until(span(10, 15)), 12 * PAGE);
    set.check();
}

#[test]
fn a_file_area_keeps_its_offsets() {
    let mut set = VmaSet::new();
    let source: Arc<dyn PageSource> = Arc::new(NoPages);
    let backing = |first| Backing::File { source: source.clone(), first: PageIndex(first) };
    set.insert(Vma { span: span(10, 10), flags: RW, backing: backing(100) });
    set.remove(span(14, 2));
    let page =
        |set: &VmaSet, at: u64| set.find(at * PAGE).and_then(|v| v.file_page(at * PAGE)).map(|p| p.1.0);
    assert_eq!(page(&set, 13), Some(103));
    assert_eq!(page(&set, 14), None);
    assert_eq!(page(&set, 16), Some(106));
    // What continues the file merges, what does not stays apart.
    set.insert(Vma { span: span(14, 2), flags: RW, backing: backing(104) });
    assert_eq!(set.len(), 1);
    set.remove(span(14, 2));
    set.insert(Vma { span: span(14, 2), flags: RW, backing: backing(105) });
    assert_eq!(set.len(), 3);
    set.check();
}

#[test]
fn gaps_are_found_from_above() {
    let mut set = VmaSet::new();
    let within = span(100, 900);
    assert_eq!(set.find_gap_down(PAGE, within), Some(999 * PAGE));
    set.insert(anon(990, 10, RW));
    set.insert(anon(980, 5, RW));
    assert_eq!(set.find_gap_down(5 * PAGE, within), Some(985 * PAGE));
    assert_eq!(set.find_gap_down(6 * PAGE, within), Some(974 * PAGE));
    assert_eq!(set.find_gap_down(880 * PAGE, within), Some(100 * PAGE));
    assert_eq!(set.find_gap_down(881 * PAGE, within), None);
    assert_eq!(set.find_gap_down(u64::MAX, within), None);
}

#[test]
fn a_stack_keeps_its_guard_gap() {
    let mut set = VmaSet::new();
    set.insert(anon(1000, 10, RW | VmFlags::GROWSDOWN));
    let highest = 1000 * PAGE - GUARD_GAP;
    assert_eq!(set.find_gap_down(PAGE, span(100, 1200)), Some(1299 * PAGE));
    assert_eq!(set.find_gap_down(400 * PAGE, span(100, 1200)), Some(highest - 400 * PAGE));
    // A stack that lies above the range keeps its gap in the range.
    assert_eq!(set.find_gap_down(PAGE, span(100, 890)), Some(highest - PAGE));
    set.grow_down(1000 * PAGE, 990 * PAGE);
    assert_eq!(set.find(990 * PAGE).map(|v| v.span), Some(span(990, 20)));
}

#[derive(Clone, Debug)]
enum Step {
    Map { at: u64, pages: u64, flags: VmFlags, file: Option<u64> },
    Unmap { at: u64, pages: u64 },
    Protect { at: u64, pages: u64, prot: VmFlags },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let prot = || (0u32..8).prop_map(VmFlags::from_bits_truncate);
    let map = (0u64..60, 1u64..20, prot(), prop::option::of(0u64..4)).prop_map(|(at, pages, flags, file)| {
        // Offsets that make neighbouring file areas continue each other now and then.
        Step::Map { at, pages, flags, file: file.map(|f| f * 1000 + at) }
    });
    let unmap = (0u64..60, 0u64..20).prop_map(|(at, pages)| Step::Unmap { at, pages });
    let protect =
        (0u64..60, 0u64..20, prot()).prop_map(|(at, pages, prot)| Step::Protect { at, pages, prot });
    prop::collection::vec(prop_oneof![map, unmap, protect], 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_set_is_a_map_from_pages(steps in steps()) {
        let source: Arc<dyn PageSource> = Arc::new(NoPages);
        let (mut set, mut model) = (VmaSet::new(), Model::new());
        for step in steps {
            match step {
                Step::Map { at, pages, flags, file } => {
                    set.remove(span(at, pages));
                    let backing = match file {
                        None => Backing::Anonymous,
                        Some(first) => Backing::File { source: source.clone(), first: PageIndex(first) },
                    };
                    set.insert(Vma { span: span(at, pages), flags, backing });
                    for i in 0..pages {
                        model.insert(at + i, (flags, file.map(|f| f + i)));
                    }
                }
                Step::Unmap { at, pages } => {
                    let gone: u64 = set.remove(span(at, pages)).iter().map(|v| v.span.len() / PAGE).sum();
                    let before = model.len();
                    model.retain(|&p, _| p < at || p >= at + pages);
                    prop_assert_eq!(gone as usize, before - model.len());
                }
                Step::Protect { at, pages, prot } => {
                    set.protect(span(at, pages), prot);
                    model.range_mut(at..at + pages).for_each(|(_, page)| page.0 = prot);
                }
            }
            set.check();
            prop_assert_eq!(set.pages(), model.clone());
            let (all, data) = set.totals();
            prop_assert_eq!(all, model.len() as u64 * PAGE);
            prop_assert_eq!(data, model.values().filter(|v| v.0.is_data()).count() as u64 * PAGE);
        }
        for want in [1u64, 3, 10, 40] {
            let within = span(0, 80);
            let fits = |at: u64| (at..at + want).all(|p| !model.contains_key(&p));
            let best = (0..=80 - want).rev().find(|&at| fits(at)).map(|at| at * PAGE);
            prop_assert_eq!(set.find_gap_down(want * PAGE, within), best);
        }
        for at in 0..80u64 {
            let end = (at..80).find(|p| !model.contains_key(p)).unwrap_or(80);
            prop_assert_eq!(set.covered_until(span(at, 80 - at)), end * PAGE);
            prop_assert_eq!(set.find(at * PAGE).is_some(), model.contains_key(&at));
            let above = set.at_or_above(at * PAGE).map(|v| v.span.start.max(at * PAGE));
            prop_assert_eq!(above, model.range(at..).next().map(|(p, _)| p * PAGE));
        }
    }
}

#[test]
fn splits_are_counted_before_they_happen() {
    let mut set = VmaSet::new();
    set.insert(anon(10, 10, RW));
    for (cut, expected) in [(span(10, 10), 0), (span(12, 8), 1), (span(12, 2), 2), (span(5, 7), 1)] {
        assert_eq!(set.splits(cut), expected);
    }
}
