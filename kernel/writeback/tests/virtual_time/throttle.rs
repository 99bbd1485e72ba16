//! dirty_ratio: writers who are faster than the disk.

use sync::thread;

use crate::plant::{LIMIT, MS, Plant, SECOND, Writer, run};

/// A page in 20 µs: faster than any disk here.
const FAST: u64 = MS / 50;

#[test]
fn a_fast_writer_comes_to_the_speed_of_the_disk_and_stays_below_the_limit() {
    for speed in [100, 1_000] {
        run(move || {
            let plant = Plant::new(1, speed);
            let writer = Writer::start(&plant.files[0], FAST);
            thread::sleep_ns(20 * SECOND);
            // At the begin nobody knew the disk.
            let most = writer.take_most();
            assert!(most <= LIMIT + 32, "{speed}: {most} pages unwritten");
            writer.take_waits();
            let rate = writer.rate(15);
            assert!(rate.abs_diff(speed) <= speed / 8, "{rate} pages a second on a disk of {speed}");
            let most = writer.take_most();
            assert!(most < LIMIT, "{speed}: {most} pages unwritten");
            let (longest, _) = writer.take_waits();
            // Two pauses, and while the disk is learnt a few of its requests.
            let most = 400 * MS + 100 * SECOND / speed;
            assert!(longest <= most, "{speed}: a write of {} ms", longest / MS);
            writer.stop();
            plant.end();
        });
    }
}

#[test]
fn equal_writers_get_equal_parts() {
    run(|| {
        let plant = Plant::new(4, 1_000);
        let writers: Vec<_> = plant.files.iter().map(|file| Writer::start(file, FAST)).collect();
        thread::sleep_ns(25 * SECOND);
        let before: Vec<_> = writers.iter().map(Writer::pages).collect();
        thread::sleep_ns(25 * SECOND);
        let rates: Vec<_> = writers.iter().zip(before).map(|(w, b)| (w.pages() - b) / 25).collect();
        assert!(rates.iter().all(|rate| rate.abs_diff(250) < 62), "{rates:?}");
        writers.into_iter().for_each(Writer::stop);
        plant.end();
    });
}

#[test]
fn a_small_writer_on_the_same_disk_hardly_waits() {
    run(|| {
        let plant = Plant::new(2, 1_000);
        let large = Writer::start(&plant.files[0], FAST);
        // 20 pages a second, where its part would be 500.
        let small = Writer::start(&plant.files[1], 50 * MS);
        thread::sleep_ns(20 * SECOND);
        small.take_waits();
        let rate = small.rate(30);
        let (longest, waited) = small.take_waits();
        assert!(rate >= 19, "{rate} pages a second");
        assert!(longest <= 200 * MS && waited <= 600 * MS, "{} ms, {} ms", longest / MS, waited / MS);
        [large, small].into_iter().for_each(Writer::stop);
        plant.end();
    });
}

#[test]
fn a_small_writer_on_a_fast_disk_does_not_wait_for_a_slow_one() {
    run(|| {
        let slow = Plant::new(1, 50);
        let fast = Plant::new(1, 20_000);
        let large = Writer::start(&slow.files[0], FAST);
        // 100 pages a second.
        let small = Writer::start(&fast.files[0], 10 * MS);
        thread::sleep_ns(60 * SECOND);
        let (longest, waited) = small.take_waits();
        assert!(longest <= 10 * MS && waited <= 50 * MS, "{} ms, {} ms", longest / MS, waited / MS);
        assert!(small.pages() > 5_900, "{} pages", small.pages());
        assert!(large.pages() < 2_200 + 80 * 50, "{} pages", large.pages());
        [large, small].into_iter().for_each(Writer::stop);
        slow.end();
        fast.end();
    });
}

#[test]
fn a_disk_that_becomes_slow_and_fast_again_is_followed() {
    run(|| {
        let plant = Plant::new(1, 1_000);
        let writer = Writer::start(&plant.files[0], FAST);
        thread::sleep_ns(20 * SECOND);
        for speed in [200, 1_000] {
            plant.set_speed(speed);
            thread::sleep_ns(30 * SECOND);
            let rate = writer.rate(20);
            assert!(rate.abs_diff(speed) <= speed / 6, "{rate} pages a second on a disk of {speed}");
        }
        let most = writer.take_most();
        assert!(most <= LIMIT + 32, "{most} pages unwritten");
        writer.stop();
        plant.end();
    });
}
