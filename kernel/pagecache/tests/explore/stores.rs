//! Stores to a mapped page against writeback, reclaim and those who take the page away.

use crate::support::*;

const TIMES: usize = 100;

#[test]
fn no_store_is_lost() {
    explore::check(TIMES, || {
        let file = File::new();
        let table = Table::map(&file);
        let flusher = again(&file, |file| file.flush());
        let reclaim = again(&file, |_| shrink());
        for byte in 1..4 {
            table.store(&file, byte);
            assert_eq!(table.load(&file), byte);
        }
        assert_eq!(file.fsync(), Ok(()));
        assert_eq!(file.on_disk(0), 3);
        file.over(&[flusher, reclaim]);
        assert_eq!(file.read(0).0, 3);
        file.end();
    });
}

#[test]
fn stores_of_two_programs_and_msync() {
    explore::check(TIMES, || {
        let file = File::new();
        let one = Table::map(&file);
        let two = Table::map(&file);
        let other = beside(&file, move |file| {
            two.store(file, 7);
            assert_eq!(file.fsync(), Ok(()));
            two.store(file, 8);
        });
        let flusher = again(&file, |file| file.flush());
        other.join();
        one.store(&file, 9);
        assert_eq!(file.fsync(), Ok(()));
        assert_eq!(file.on_disk(0), 9);
        file.over(&[flusher]);
        file.end();
    });
}

#[test]
fn a_store_behind_a_direct_write_is_not_lost() {
    explore::check(TIMES, || {
        let file = File::new();
        let table = Table::map(&file);
        table.store(&file, 1);
        let writer = beside(&file, |file| {
            if !file.write_direct(0, 2) {
                file.write(0, 2);
            }
        });
        writer.join();
        assert_eq!(table.load(&file), 2);
        table.store(&file, 3);
        assert_eq!(file.fsync(), Ok(()));
        assert_eq!(file.on_disk(0), 3);
        file.end();
    });
}

#[test]
fn a_store_beside_a_direct_write_leaves_cache_and_disk_of_one_mind() {
    explore::check(TIMES, || {
        let file = File::new();
        let table = Table::map(&file);
        let writer = beside(&file, |file| {
            if !file.write_direct(0, 2) {
                file.write(0, 2);
            }
        });
        table.store(&file, 3);
        writer.join();
        let seen = table.load(&file);
        assert!(seen == 2 || seen == 3);
        assert_eq!(file.fsync(), Ok(()));
        assert_eq!((file.on_disk(0), file.read(0).0), (seen, seen));
        file.end();
    });
}
