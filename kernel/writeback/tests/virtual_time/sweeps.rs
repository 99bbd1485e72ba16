//! Turns: who is written first and who waits, and the sweeps that must end whatever a writer does.

use base::time::monotonic_ns;
use pagecache::stats;
use sync::thread;
use writeback::{DirtyInode, WritebackControl};

use crate::plant::{MS, Plant, SECOND, Writer, dirty, ok, run};

const FAST: u64 = MS / 50;

#[test]
fn small_files_do_not_wait_for_a_large_one() {
    run(|| {
        let plant = Plant::new(11, 500);
        writeback::set_memory(100_000);
        dirty(&plant.files[0], 0..4000);
        (1..11).for_each(|file| dirty(&plant.files[file], [0]));
        // Old, all of them: the large one's turn is 1024 pages, two seconds.
        thread::sleep_ns(30 * SECOND);
        while plant.log().is_empty() {
            thread::sleep_ns(100 * MS);
        }
        let begin = plant.log()[0].at;
        while (1..11).any(|file| plant.written(file, 0).is_empty()) {
            thread::sleep_ns(100 * MS);
        }
        let took = monotonic_ns() - begin;
        assert!(took <= 3 * SECOND, "{} ms", took / MS);
        assert!(plant.files[0].mapping().has_dirty() || plant.files[0].mapping().has_writeback());
        thread::sleep_ns(20 * SECOND);
        assert_eq!(stats::nr_dirty(), 0, "and the large one is written in the same round");
        plant.end();
    });
}

#[test]
fn no_part_of_a_file_waits_for_one_that_is_written_again_and_again() {
    run(|| {
        let plant = Plant::new(1, 100_000);
        writeback::set_memory(100_000);
        let file = &plant.files[0];
        dirty(file, 0..3000);
        for _ in 0..3 {
            // A turn; meanwhile more than one turn's share of the begin is dirty again.
            ok(file.writepages(&mut WritebackControl::background(1024)));
            thread::sleep_ns(SECOND);
            dirty(file, 0..1500);
        }
        let mut seen = vec![false; 4096];
        for entry in plant.log() {
            (entry.first..entry.first + entry.pages).for_each(|page| seen[page as usize] = true);
        }
        let left = seen[..3000].iter().filter(|seen| !**seen).count();
        assert_eq!(left, 0, "{left} pages");
        plant.end();
    });
}

#[test]
fn a_sync_ends_behind_a_fast_writer() {
    run(|| {
        let plant = Plant::new(2, 1_000);
        let writer = Writer::start(&plant.files[0], FAST);
        thread::sleep_ns(20 * SECOND);
        dirty(&plant.files[1], [5]);
        for _ in 0..3 {
            // Up to 2000 pages were dirty: two seconds, and half as many came before them.
            let begin = monotonic_ns();
            ok(plant.bdi.sync(true));
            let took = monotonic_ns() - begin;
            assert!(took <= 5 * SECOND, "sync took {} ms", took / MS);
            assert!(!plant.files[1].mapping().has_dirty());
            let begin = monotonic_ns();
            ok(plant.files[0].fsync(false));
            let took = monotonic_ns() - begin;
            assert!(took <= 5 * SECOND, "fsync took {} ms", took / MS);
        }
        writer.stop();
        plant.end();
    });
}

#[test]
fn an_fsync_of_a_small_file_beside_a_fast_writer() {
    run(|| {
        let plant = Plant::new(2, 1_000);
        let writer = Writer::start(&plant.files[0], FAST);
        thread::sleep_ns(20 * SECOND);
        for page in 0..5 {
            dirty(&plant.files[1], [page]);
            let begin = monotonic_ns();
            ok(plant.files[1].fsync(false));
            // No more than what the disk has been given already.
            let took = monotonic_ns() - begin;
            assert!(took <= 3 * SECOND, "{} ms", took / MS);
            assert_eq!(plant.files[1].read(page * 4096, 1), Ok(vec![1]));
        }
        writer.stop();
        plant.end();
    });
}
