use super::*;
use proptest::prelude::*;
use std::vec::Vec;

fn free_of(bitmap: &[u8], end: u32) -> Vec<bool> {
    (0..end).map(|i| !bits::is_set(bitmap, i)).collect()
}

/// The longest run of true.
fn longest_of(free: &[bool]) -> u32 {
    free.split(|f| !f).map(|run| run.len() as u32).max().unwrap_or(0)
}

#[test]
fn the_worked_example() {
    let bitmap = [0b0010_0001, 0];
    let mut buddy = Buddy::build(&bitmap, 10);
    let counts: Vec<u32> = buddy.levels.iter().map(|l| l.count).take(3).collect();
    assert_eq!(counts, [2, 3, 0]);
    let before = buddy.clone();
    buddy.take(2, 3);
    assert_eq!(buddy.run_at(1, 9), Some(Run { start: 1, len: 1 }));
    buddy.give(2, 3);
    assert_eq!(buddy, before);
    assert_eq!(buddy.run_at(1, 9), Some(Run { start: 1, len: 4 }));
    assert_eq!(buddy.best_fit(0, 2), Some(Run { start: 2, len: 2 }));
    assert_eq!(buddy.best_fit(4, 2), Some(Run { start: 6, len: 2 }));
    assert_eq!(buddy.best_fit(0, 3), None);
    assert_eq!(buddy.longest(0, 100), Some(Run { start: 1, len: 4 }));
}

#[test]
fn a_whole_group() {
    let mut buddy = Buddy::build(&[0; 4096], 32768);
    assert_eq!(buddy.largest(), Some(15));
    assert_eq!(buddy.best_fit(5, 20_000), Some(Run { start: 0, len: 20_000 }));
    buddy.take(0, 32768);
    assert_eq!((buddy.largest(), buddy.longest(0, 1), buddy.next_run(0)), (None, None, None));
    assert_eq!(buddy.best_fit(0, u32::MAX), None);
}

proptest! {
    /// Built from any bitmap, and changed in any way, it is what a new one of the same bitmap would be.
    #[test]
    fn it_is_always_the_bitmaps_summary(
        bytes in prop::collection::vec(prop_oneof![Just(0u8), Just(0xff), any::<u8>()], 8..200),
        cut in 0u32..8,
        changes in prop::collection::vec((any::<u16>(), 1u32..300), 0..40),
    ) {
        let mut bitmap = bytes;
        let end = bitmap.len() as u32 * 8 - cut;
        bits::force_set(&mut bitmap, end, cut);
        let mut buddy = Buddy::build(&bitmap, end);
        for (at, len) in changes {
            let (at, len) = (u32::from(at) % end, len);
            let len = len.min(end - at);
            if bits::set(&mut bitmap, at, len).is_ok() {
                buddy.take(at, len);
            } else if bits::clear(&mut bitmap, at, len).is_ok() {
                buddy.give(at, len);
            }
            prop_assert_eq!(&buddy, &Buddy::build(&bitmap, end));
        }
    }

    /// Every answer is free, no larger than asked for, and there when it must be.
    #[test]
    fn what_it_finds_is_free(
        bytes in prop::collection::vec(prop_oneof![Just(0u8), Just(0xff), any::<u8>()], 8..200),
        near in any::<u16>(),
        want in 1u32..600,
    ) {
        let end = bytes.len() as u32 * 8;
        let near = u32::from(near) % end;
        let free = free_of(&bytes, end);
        let buddy = Buddy::build(&bytes, end);
        let longest = longest_of(&free);
        let found = [buddy.best_fit(near, want), buddy.longest(near, want), buddy.run_at(near, want)];
        for run in found.into_iter().flatten() {
            prop_assert!(run.len >= 1 && run.len <= want);
            prop_assert!(free[run.start as usize..(run.start + run.len) as usize].iter().all(|&f| f));
        }
        prop_assert_eq!(found[1].is_some(), longest > 0);
        prop_assert_eq!(found[2].is_some(), free[near as usize]);
        // A run of 2 n - 1 holds an aligned chunk of n.
        if longest >= 2 * want.next_power_of_two() {
            prop_assert_eq!(found[0].map(|r| r.len), Some(want));
        }
        // The runs, one after the other, are the bitmap.
        let mut seen = std::vec![false; end as usize];
        let mut at = 0;
        while let Some(run) = buddy.next_run(at) {
            seen[run.start as usize..(run.start + run.len) as usize].fill(true);
            at = run.start + run.len;
        }
        prop_assert_eq!(seen, free);
    }
}
