//! Pages for a commit.
//!
//! A commit that finds no memory cannot be put off: handles wait for it, and so does who would free memory by
//! writing. To give the journal up would lose what a program that takes too much, and is ended for it, has not
//! even asked for. So it is waited for, as Linux does (`__GFP_NOFAIL`), though not for ever.

use base::{Frame, Result};
use sync::thread;

/// How often it is looked for, and how long apart: a minute.
const TRIES: usize = 600;
const WAIT_NS: u64 = 100_000_000;

/// A page with unspecified contents. May sleep; the caller holds nothing that who frees memory wants. ENOMEM when
/// there is none for a minute.
pub(crate) fn page() -> Result<Frame> {
    for _ in 1..TRIES {
        if let Ok(frame) = pagecache::alloc_page() {
            return Ok(frame);
        }
        thread::sleep_ns(WAIT_NS);
    }
    pagecache::alloc_page()
}
