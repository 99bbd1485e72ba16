//! A request fails: the program is told, and it was not told lies before.
//!
//! A workload is played once on a good disk to count its requests, then once for each of them with that
//! one failing, or that one and all after it. The program goes on as far as it can. Then the power goes,
//! and what it had been promised must be there: a failed write of the log, of the data, of a checkpoint
//! or a failed flush may cost what was not yet acknowledged, and the right to write, but nothing else.

use block::BioOp;

use super::campaign::{Failure, Outcome};
use super::cut::{self, Keep};
use super::judge::{self, Way};
use super::oracle::Stale;
use super::play;
use super::setup::Setup;
use crate::faults::Fault;

/// What fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// One request of this kind.
    Once(BioOp),
    /// One, and all after it.
    Always(BioOp),
}

impl What {
    /// The faults that are tried.
    pub const ALL: [What; 5] = [
        What::Once(BioOp::Write),
        What::Always(BioOp::Write),
        What::Once(BioOp::Flush),
        What::Always(BioOp::Flush),
        What::Once(BioOp::Read),
    ];

    fn fault(self, after: u64) -> Fault {
        match self {
            What::Once(op) => Fault::nth(op, after),
            What::Always(op) => Fault { after, ..Fault::every(op) },
        }
    }
}

/// Lets one request in `every` of a workload fail, one at a time.
pub fn run(seed: u64, setup: &Setup, what: What, every: u64) -> Outcome {
    let mut outcome = Outcome::new(seed, setup);
    let mut place = 0;
    // Until the fault comes too late to strike.
    loop {
        let played = std::panic::catch_unwind(|| play::play_failing(seed, setup, what.fault(place)));
        let (story, failed) = match played.unwrap_or_else(|_| Err("a panic".into())) {
            Ok(played) => played,
            Err(why) => {
                outcome.failures.push(failure(seed, setup, what, place, 0, why));
                return outcome;
            }
        };
        if failed == 0 {
            return outcome;
        }
        outcome.boundaries += 1;
        let end = story.recording.events.len();
        for subset in [0, 1, 4] {
            let landing = cut::landing(&story.recording, end, Keep::nth(subset, seed ^ place));
            outcome.images += 1;
            if let Err(why) = judge::judge_lenient(&story, end, &landing, Stale::Allowed) {
                outcome.failures.push(failure(seed, setup, what, place, subset, why));
            }
        }
        if outcome.failures.len() > 2 {
            return outcome;
        }
        place += every;
    }
}

fn failure(seed: u64, setup: &Setup, what: What, place: u64, subset: u64, why: String) -> Failure {
    let why = format!("{what:?} fails after {place}, way {subset}: {why}");
    Failure { seed, cut: None, way: Way::Mount, setup: setup.name(), why, kept: None }
}
