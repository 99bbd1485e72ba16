//! Sorting where few or rare things are sorted: a heap, whose code is small. An instance of `slice::sort_unstable_by_key`
//! has 4 KiB or more, and the Image has 2 MiB.
//!
//! ```
//! let mut runs = [(7, 'c'), (1, 'a'), (3, 'b')];
//! base::sort::by_key(&mut runs, |run| run.0);
//! assert_eq!(runs, [(1, 'a'), (3, 'b'), (7, 'c')]);
//! ```

/// Sorts by a key, O(n log n) in the worst case and O(n) for what is in order; equal ones in any order.
pub fn by_key<T, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K) {
    if items.is_sorted_by_key(&key) {
        return;
    }
    for root in (0..items.len() / 2).rev() {
        sift_down(items, root, &key);
    }
    for end in (1..items.len()).rev() {
        items.swap(0, end);
        sift_down(&mut items[..end], 0, &key);
    }
}

/// Everything below `root` is a heap, the greatest on top; `root` finds its place in it.
fn sift_down<T, K: Ord>(items: &mut [T], mut root: usize, key: &impl Fn(&T) -> K) {
    loop {
        let mut child = 2 * root + 1;
        if child >= items.len() {
            return;
        }
        if child + 1 < items.len() && key(&items[child]) < key(&items[child + 1]) {
            child += 1;
        }
        if key(&items[root]) >= key(&items[child]) {
            return;
        }
        items.swap(root, child);
        root = child;
    }
}

#[cfg(test)]
mod tests {
    use super::by_key;
    use alloc::vec::Vec;

    #[test]
    fn as_the_slices_own() {
        let mut word = 1u64;
        for len in 0..200 {
            let mut items: Vec<u64> = (0..len)
                .map(|_| {
                    word = word.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    word >> 33 & 63
                })
                .collect();
            let mut expected = items.clone();
            expected.sort_unstable();
            by_key(&mut items, |item| *item);
            assert_eq!(items, expected);
            // What is in order, and the other way round.
            by_key(&mut items, |item| *item);
            assert_eq!(items, expected);
            by_key(&mut items, |item| u64::MAX - item);
            expected.reverse();
            assert_eq!(items, expected);
        }
    }
}
