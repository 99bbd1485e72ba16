//! The time of day in tests: the host's, until a thread sets its own.
//!
//! A sequence must go the same way each time it is run, so its time of day comes from its seed.

use std::cell::Cell;
use std::sync::Once;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use base::time::Clock;

struct TestClock {
    begin: Instant,
}

thread_local! {
    static OWN: Cell<Option<u64>> = const { Cell::new(None) };
}

impl Clock for TestClock {
    fn monotonic_ns(&self) -> u64 {
        self.begin.elapsed().as_nanos() as u64
    }

    fn realtime_ns(&self) -> u64 {
        let host = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |span| span.as_nanos() as u64);
        OWN.get().unwrap_or_else(host)
    }
}

/// From now on it is `ns` after 1970 for this thread; None: what the host says.
pub fn set_time(ns: Option<u64>) {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        base::time::set_clock(Box::leak(Box::new(TestClock { begin: Instant::now() })));
    });
    OWN.set(ns);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_has_its_own_time() {
        set_time(Some(5_000_000_007));
        assert_eq!((base::time::now().sec, base::time::now().nsec), (5, 7));
        let other = std::thread::spawn(|| base::time::now().sec).join().unwrap();
        assert!(other > 1_000_000_000);
        set_time(None);
        assert!(base::time::now().sec > 1_000_000_000);
    }
}
