//! Counts what holds and what does not, and says where.

use core::fmt::Debug;
use core::panic::Location;
use core::sync::atomic::{AtomicU32, Ordering};

static PASSED: AtomicU32 = AtomicU32::new(0);
static FAILED: AtomicU32 = AtomicU32::new(0);

/// Notes whether `got` is what was wanted; a line of output when it is not.
#[track_caller]
pub fn equal<T: PartialEq + Debug>(what: &str, got: T, want: T) {
    if got == want {
        PASSED.fetch_add(1, Ordering::Relaxed);
    } else {
        FAILED.fetch_add(1, Ordering::Relaxed);
        crate::println!("{}: {what}: got {got:?}, want {want:?}", Location::caller().line());
    }
}

/// Notes whether something holds.
#[track_caller]
pub fn holds(what: &str, it_does: bool) {
    equal(what, it_does, true);
}

/// Prints the count; the exit status for it: 0 when everything held.
pub fn verdict() -> i32 {
    let (passed, failed) = (PASSED.load(Ordering::Relaxed), FAILED.load(Ordering::Relaxed));
    crate::println!("{passed} checks held, {failed} did not");
    i32::from(failed > 0)
}
