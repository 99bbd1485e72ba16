//! What has been dirty for long goes: dirty_expire_centisecs, dirty_writeback_centisecs, and the order.

use base::time::monotonic_ns;
use pagecache::stats;
use sync::thread;
use writeback::params;

use crate::file::FILE_BLOCKS;
use crate::plant::{MS, Plant, SECOND, dirty, run};

/// Sleeps until `seconds` after `begin`.
fn until(begin: u64, seconds: u64) {
    thread::sleep_ns((begin + seconds * SECOND).saturating_sub(monotonic_ns()));
}

#[test]
fn a_page_goes_when_it_is_30_seconds_old_and_a_round_is_due() {
    run(|| {
        let plant = Plant::new(1, 1000);
        // Not in step with the rounds.
        thread::sleep_ns(1_700 * MS);
        let begin = monotonic_ns();
        dirty(&plant.files[0], 0..3);
        until(begin, 30);
        assert_eq!((plant.log().len(), stats::nr_dirty()), (0, 3));
        until(begin, 36);
        let log = plant.log();
        assert!(log.len() == 1 && log[0].pages == 3, "{log:?}");
        assert!((30 * SECOND..=35 * SECOND).contains(&(log[0].at - begin)), "{log:?}");
        plant.end();
    });
}

#[test]
fn both_times_can_be_set() {
    run(|| {
        params::set_dirty_expire_centisecs(1000);
        params::set_dirty_writeback_centisecs(100);
        let plant = Plant::new(1, 1000);
        thread::sleep_ns(300 * MS);
        let begin = monotonic_ns();
        dirty(&plant.files[0], [0]);
        until(begin, 20);
        let log = plant.log();
        assert!((10 * SECOND..=11 * SECOND).contains(&(log[0].at - begin)), "{log:?}");
        plant.end();
    });
}

#[test]
fn without_rounds_nothing_is_ever_old_and_with_them_it_is_at_once() {
    run(|| {
        params::set_dirty_writeback_centisecs(0);
        let plant = Plant::new(1, 1000);
        dirty(&plant.files[0], [0]);
        thread::sleep_ns(3600 * SECOND);
        assert_eq!(plant.log().len(), 0);
        let begin = monotonic_ns();
        params::set_dirty_writeback_centisecs(200);
        until(begin, 3);
        assert_eq!(plant.log().len(), 1);
        assert!(plant.log()[0].at - begin <= 2 * SECOND);
        plant.end();
    });
}

#[test]
fn who_goes_on_writing_does_not_make_the_file_younger() {
    run(|| {
        let plant = Plant::new(1, 1000);
        let begin = monotonic_ns();
        for second in 0..110 {
            until(begin, second);
            dirty(&plant.files[0], [second % 7]);
        }
        // What is dirtied right after a sweep is 30 s old when its file's turn comes again, and not before.
        let mut times: Vec<_> = plant.log().iter().map(|entry| (entry.at - begin) / SECOND).collect();
        times.dedup();
        assert!(times.len() == 3 && (30..=35).contains(&times[0]), "{times:?}");
        assert!(times.windows(2).all(|pair| (30..=36).contains(&(pair[1] - pair[0]))), "{times:?}");
        plant.end();
    });
}

#[test]
fn the_oldest_goes_first() {
    run(|| {
        let plant = Plant::new(6, 1000);
        let order = [3, 0, 5, 1, 4, 2];
        for file in order {
            dirty(&plant.files[file as usize], [7]);
            thread::sleep_ns(100 * MS);
        }
        thread::sleep_ns(40 * SECOND);
        let written: Vec<_> = plant.log().iter().map(|entry| entry.first / FILE_BLOCKS).collect();
        assert_eq!(written, order);
        plant.end();
    });
}

#[test]
fn a_young_file_does_not_go_with_an_old_one() {
    run(|| {
        let plant = Plant::new(2, 1000);
        let begin = monotonic_ns();
        dirty(&plant.files[0], [0]);
        until(begin, 20);
        dirty(&plant.files[1], [0]);
        until(begin, 40);
        assert_eq!((plant.written(0, 0).len(), plant.written(1, 0).len()), (1, 0));
        until(begin, 60);
        assert_eq!(plant.written(1, 0).len(), 1);
        assert!(plant.written(1, 0)[0].at >= begin + 50 * SECOND);
        plant.end();
    });
}

#[test]
fn what_is_dirtied_while_it_is_written_ages_from_then_on() {
    run(|| {
        // A page takes ten seconds.
        let plant = Plant::new(1, 1);
        plant.set_speed(1);
        let begin = monotonic_ns();
        dirty(&plant.files[0], 0..10);
        while plant.log().is_empty() {
            thread::sleep_ns(SECOND);
        }
        let first = plant.log()[0].at;
        dirty(&plant.files[0], [20]);
        until(first, 29);
        assert_eq!(plant.log().len(), 1, "{:?}", plant.log());
        until(first, 42);
        assert_eq!(plant.log().len(), 2, "{:?}", plant.log());
        assert!(first - begin >= 30 * SECOND);
        plant.end();
    });
}
