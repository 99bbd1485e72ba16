//! dirty_background_ratio and _bytes: where the flusher begins and where it stops.

use pagecache::stats;
use sync::thread;
use writeback::params;

use crate::plant::{BACKGROUND, MS, Plant, SECOND, dirty, run};

#[test]
fn the_flusher_begins_above_the_background_ratio_and_stops_below() {
    run(|| {
        let plant = Plant::new(20, 10_000);
        for file in &plant.files[..9] {
            dirty(file, 0..100);
        }
        thread::sleep_ns(20 * SECOND);
        assert_eq!((plant.log().len(), stats::nr_dirty()), (0, 900));
        for file in &plant.files[9..14] {
            dirty(file, 0..100);
        }
        thread::sleep_ns(SECOND);
        // The oldest went, and no more than was needed.
        let left = stats::nr_dirty();
        assert!((BACKGROUND - 100..=BACKGROUND).contains(&left), "{left} pages");
        assert!(plant.files[..3].iter().all(|file| !pages(file)));
        assert!(plant.files[6..14].iter().all(|file| pages(file)));
        plant.end();
    });
}

fn pages(file: &crate::file::File) -> bool {
    writeback::DirtyInode::mapping(file).has_dirty()
}

#[test]
fn in_bytes_too_and_at_once() {
    run(|| {
        params::set_dirty_background_bytes(50 * 4096);
        let plant = Plant::new(10, 10_000);
        dirty(&plant.files[0], 0..50);
        thread::sleep_ns(SECOND);
        assert_eq!(plant.log().len(), 0);
        (1..10).for_each(|file| dirty(&plant.files[file], 0..40));
        thread::sleep_ns(SECOND);
        assert!(stats::nr_dirty() <= 50, "{} pages", stats::nr_dirty());
        params::set_dirty_background_bytes(4096);
        assert_eq!(params::dirty_background(), (0, 4096));
        // Found out when the next round is due.
        thread::sleep_ns(6 * SECOND);
        assert!(stats::nr_dirty() <= 1, "{} pages", stats::nr_dirty());
        plant.end();
    });
}

#[test]
fn a_writer_below_half_way_to_the_limit_never_waits() {
    run(|| {
        let plant = Plant::new(1, 10_000);
        let writer = crate::plant::Writer::start(&plant.files[0], MS / 2);
        thread::sleep_ns(10 * SECOND);
        // 2000 pages a second on a disk that takes 10,000.
        assert_eq!(writer.take_waits(), (0, 0));
        assert!(writer.pages() > 19_000);
        writer.stop();
        plant.end();
    });
}
