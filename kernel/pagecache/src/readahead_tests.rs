use super::*;

const LIMITS: Limits = Limits { ahead: 128, io: 320 };
const NEVER: u64 = u64::MAX;

fn window(start: u64, count: u64, mark: u64) -> Option<Window> {
    Some(Window { start, count, mark: Some(mark) })
}

#[test]
fn the_window_grows_and_marks_the_next() {
    let mut ra = Readahead::new();
    assert_eq!(ra.on_miss(0, 1, NEVER, LIMITS), window(0, 4, 1));
    assert_eq!(ra.on_expected(1, 1, LIMITS), window(4, 16, 4));
    assert_eq!(ra.on_expected(4, 1, LIMITS), window(20, 32, 20));
    let mut last = ra.on_expected(20, 1, LIMITS);
    for _ in 0..5 {
        last = last.and_then(|w| ra.on_expected(w.start, 1, LIMITS));
    }
    assert_eq!(last.map(|w| w.count), Some(128));
}

#[test]
fn a_random_read_reads_what_it_wants() {
    let mut ra = Readahead::new();
    assert_eq!(ra.on_miss(1000, 3, 7, LIMITS), None);
    assert_eq!(ra.on_history(1000, 3, 3, LIMITS), Window { start: 1000, count: 3, mark: None });
    assert_eq!(ra.on_miss(50, 1, 1002, LIMITS), None);
    assert_eq!(ra.on_miss(51, 1, 50, LIMITS), window(51, 4, 52));
}

#[test]
fn pages_before_it_make_it_a_stream() {
    let mut ra = Readahead::new();
    assert_eq!(ra.on_history(1000, 1, 20, LIMITS), Window { start: 1000, count: 21, mark: Some(1020) });
    assert_eq!(ra.on_history(20, 1, 20, LIMITS), Window { start: 20, count: 41, mark: Some(60) });
}

#[test]
fn a_large_read_goes_as_far_as_one_request() {
    let mut ra = Readahead::new();
    assert_eq!(ra.on_miss(0, 256, NEVER, LIMITS), window(0, 256, 128));
    assert_eq!(Readahead::new().on_miss(0, 100_000, NEVER, LIMITS), window(0, 320, 160));
    // In the middle of the file, too: it is no random read of a little.
    assert_eq!(Readahead::new().on_miss(5000, 100_000, NEVER, LIMITS), window(5000, 320, 5160));
    let small = Limits { ahead: 32, io: 8 };
    assert_eq!(Readahead::new().on_miss(0, 100, NEVER, small), window(0, 32, 16));
    assert_eq!(Readahead::new().on_miss(NEVER, 5, NEVER - 1, small).map(|w| w.start), Some(NEVER));
}

#[test]
fn a_mark_of_another_reader_goes_on_behind_his_pages() {
    let mut ra = Readahead::new();
    assert_eq!(ra.on_expected(40, 1, LIMITS), None);
    assert_eq!(ra.on_strange_mark(40, 60, 1, LIMITS), window(60, 42, 60));
    assert_eq!(ra.on_strange_mark(40, 200, 1, LIMITS), None);
}
