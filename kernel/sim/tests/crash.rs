//! The crash laboratory itself: it finds what it must find, and finds it again.

use sim::crash::{Abilities, Campaign, Data, Setup, play, run_setup};

/// Without a journal a crash leaves a disk that needs repair: whoever says otherwise has not looked.
#[test]
fn a_disk_without_a_journal_does_not_survive() {
    let campaign = Campaign { failures: 1, ..Campaign::sample(0..1, 3) };
    for seed in [1, 4, 22] {
        let setup = Setup { no_journal: true, actors: 1, ..Setup::of(seed, &Abilities::NOW) };
        let outcome = run_setup(&campaign, seed, setup, &mut || ());
        assert!(outcome.boundaries > 20, "{outcome:?}");
        assert_eq!(outcome.failures.len(), 1, "{outcome:?}");
    }
}

/// A failure is repeated by its seed: so the same is played each time.
#[test]
fn a_workload_is_the_same_each_time() {
    let setup = Setup { data: Data::Writeback, actors: 1, ..Setup::of(3, &Abilities::NOW) };
    let [one, other] = [0; 2].map(|_| play(3, &setup).unwrap());
    assert_eq!(one.recording.events, other.recording.events);
    assert!(one.recording.writes.iter().zip(&other.recording.writes).all(|(a, b)| a.bytes == b.bytes));
}
