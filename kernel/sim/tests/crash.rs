//! The crash laboratory: a sample of its campaign, and the proof that it finds what it must find.
//! `make test-crash` does all of it.

use std::fs;
use std::path::Path;

use block::BioOp;
use sim::crash::cut::{Landed, Landing};
use sim::crash::failing::{self, What};
use sim::crash::judge::judge;
use sim::crash::{
    Abilities, Campaign, Data, Event, Lie, Outcome, Profile, Setup, Story, Way, judge_story, play, run_one,
    run_setup,
};

fn none_failed(outcome: &Outcome) {
    let failures: Vec<String> = outcome.failures.iter().map(|failure| format!("{failure}")).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// One boundary in so many of these workloads, in two ways.
fn sample(seeds: std::ops::Range<u64>) {
    let campaign = Campaign::sample(seeds.clone(), 16);
    let images: u64 = seeds
        .map(|seed| {
            let outcome = run_one(&campaign, seed, &mut || ());
            none_failed(&outcome);
            outcome.images
        })
        .sum();
    assert!(images > 300, "{images} images");
}

#[test]
fn the_power_goes_1() {
    sample(0..100);
}

#[test]
fn the_power_goes_2() {
    sample(100..200);
}

/// A disk that lies is found out: so the laboratory would notice a flush that is not sent, or a commit
/// block without FUA.
#[test]
fn a_disk_that_lies_is_found_out() {
    for lie in [Lie::IgnoresFlushes, Lie::IgnoresFua] {
        let campaign = Campaign { failures: 1, lie, ..Campaign::sample(0..1, 1) };
        let found = (0..6).filter(|&seed| {
            let setup = Setup { profile: Profile::Append, fua: true, ..Setup::of(seed, &Abilities::NOW) };
            !run_setup(&campaign, seed, setup, &mut || ()).failures.is_empty()
        });
        assert!(found.count() >= 3, "{lie:?}");
    }
}

/// What failed is kept: the disk before and after, each write, and what was done between them.
#[test]
fn a_failure_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let keep = Some(dir.path().to_owned());
    let campaign = Campaign {
        failures: 2,
        lie: Lie::IgnoresFlushes,
        at_once: Some(2),
        keep,
        ..Campaign::sample(0..1, 1)
    };
    let mut outcomes = (0..6).map(|seed| run_one(&campaign, seed, &mut || ()));
    let failures = outcomes.find(|outcome| outcome.failures.len() == 2).unwrap().failures;
    for failure in failures {
        let kept = Path::new(failure.kept.as_ref().unwrap());
        assert!(fs::read_to_string(kept.join("why.txt")).unwrap().contains(&failure.why));
        let story = fs::read_to_string(kept.join("story.txt")).unwrap();
        assert!(story.contains("/w1 1: ") && story.contains("write 0 of "), "{story}");
        let [start, before] = ["start-0.img", "before-0.img"].map(|name| fs::read(kept.join(name)).unwrap());
        // They may be the same: a disk that ignores flushes need not have kept anything.
        assert!(
            start.len() == before.len()
                && [&start, &before].iter().all(|disk| disk[1080..1082] == [0x53, 0xef])
        );
        assert!(kept.join("writes/0.bin").exists() && kept.join("log.txt").exists());
    }
}

/// Each request of a few workloads fails, once or from then on: what was acknowledged is there afterwards.
#[test]
fn any_request_may_fail() {
    for (seed, what) in (0..).zip(What::ALL) {
        let profile = [Profile::Append, Profile::Mixed, Profile::Replace][seed as usize % 3];
        let setup = Setup { profile, actors: 1, steps: 30, ..Setup::of(seed, &Abilities::NOW) };
        let every = if what == What::Once(BioOp::Flush) { 1 } else { 3 };
        none_failed(&failing::run(seed, &setup, what, every));
    }
}

/// Without a journal a crash leaves a disk that needs repair: whoever says otherwise has not looked.
#[test]
fn a_disk_without_a_journal_does_not_survive() {
    let campaign = Campaign { failures: 1, ..Campaign::sample(0..1, 3) };
    for seed in [1, 4, 22] {
        let setup = Setup::of(seed, &Abilities::NOW);
        let setup = Setup { no_journal: true, journalled: false, actors: 1, options: Vec::new(), ..setup };
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

/// With the data in the journal, bytes are of the moment of the names. A workload that was written in another mode, judged
/// by that rule, shows that the rule is one.
#[test]
fn data_that_do_not_go_through_the_journal_come_in_another_order() {
    let campaign = Campaign { failures: 1, ..Campaign::sample(0..1, 1) };
    let found = (0..4).filter(|&seed| {
        let ordered = Setup {
            data: Data::Ordered,
            journalled: false,
            actors: 1,
            options: Vec::new(),
            features: Vec::new(),
            profile: Profile::Overwrite,
            ..Setup::of(seed, &Abilities::NOW)
        };
        let story = play(seed, &ordered).unwrap();
        let strict = Setup { journalled: true, ..ordered };
        !judge_story(&campaign, Story { setup: strict, ..story }, &mut || ()).failures.is_empty()
    });
    assert!(found.count() >= 2);
}

/// With `journal_async_commit` a transaction's descriptor may be torn and its commit block right. e2fsck then drops
/// the whole log, with what was acknowledged: our mount has the word.
#[test]
fn a_torn_descriptor_behind_acknowledged_transactions() {
    const COMMIT: [u8; 8] = [0xc0, 0x3b, 0x39, 0x98, 0, 0, 0, 2];
    let setup = Setup {
        data: Data::Writeback,
        block: 1024,
        features: Vec::new(),
        options: vec!["journal_async_commit"],
        profile: Profile::Append,
        actors: 1,
        external: false,
        journalled: false,
        ..Setup::of(0, &Abilities::NOW)
    };
    let story = play(0, &setup).unwrap();
    let is_commit = |n: &usize| story.recording.writes[*n].bytes.starts_with(&COMMIT);
    let commit = (0..story.recording.writes.len()).filter(is_commit).nth(4).unwrap();
    let begun = |event: &Event| *event == Event::Begin(commit);
    let position = story.recording.events.iter().position(begun).unwrap() + 1;
    let sectors = story.recording.writes[commit - 1].bytes.len() / 512;
    let torn = Landed::Torn((0..sectors).map(|sector| sector != 1).collect());
    let landed = |n| if n + 1 == commit { torn.clone() } else { Landed::Whole };
    let landing: Landing = (0..=commit).map(|n| (n, landed(n))).collect();
    for way in [Way::Mount, Way::E2fsck] {
        judge(&story, position, &landing, way).unwrap();
    }
}
