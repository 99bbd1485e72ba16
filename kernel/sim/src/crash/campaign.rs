//! Many workloads, cut everywhere.
//!
//! Each workload is cut at every boundary of its recording (see [`super::record`]) in several ways. Images
//! that are equal and promise no more than one that was judged are left out. A failure is told with the
//! line that repeats it.

use std::collections::HashSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::path::PathBuf;
use std::time::Instant;

use super::cut::{self, Keep};
use super::judge::{self, Way};
use super::keep;
use super::play::{self, Story};
use super::record::Lie;
use super::setup::{Abilities, Setup};
use crate::random::Rng;

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// Seeds of workloads.
    pub seeds: Range<u64>,
    /// Ways in which the power goes at each boundary.
    pub subsets: u64,
    /// One boundary in so many is cut; 1: all.
    pub every: u64,
    /// One image in so many is recovered by e2fsck first, and one in so many cut again.
    pub others: u64,
    /// How each image is recovered.
    pub way: Way,
    /// Only this cut: position and subset.
    pub only: Option<(usize, u64)>,
    /// What the disks lie about.
    pub lie: Lie,
    /// What the file system can do.
    pub abilities: Abilities,
    /// Stop a workload after so many failures.
    pub failures: usize,
    /// So many programs at once; None: as the seed says.
    pub at_once: Option<usize>,
    /// Where failures are kept ([`super::keep`]).
    pub keep: Option<PathBuf>,
}

impl Campaign {
    /// These workloads, every boundary in eight ways.
    pub fn full(seeds: Range<u64>) -> Campaign {
        Campaign {
            seeds,
            subsets: 8,
            every: 1,
            others: 16,
            way: Way::Mount,
            only: None,
            lie: Lie::None,
            abilities: Abilities::NOW,
            failures: 3,
            at_once: None,
            keep: None,
        }
    }

    /// What is played for a seed.
    pub fn setup(&self, seed: u64) -> Setup {
        let setup = Setup::of(seed, &self.abilities);
        let Some(actors) = self.at_once else { return setup };
        Setup { actors, steps: (setup.profile.steps() / actors).max(1), ..setup }
    }

    /// A sample: some boundaries, in a way each.
    pub fn sample(seeds: Range<u64>, every: u64) -> Campaign {
        Campaign { subsets: 2, every, ..Campaign::full(seeds) }
    }
}

/// A case that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The workload.
    pub seed: u64,
    /// Where the power went, and in which way; None: the run itself failed, without a crash.
    pub cut: Option<(usize, u64)>,
    /// How it was recovered.
    pub way: Way,
    /// What the workload was.
    pub setup: String,
    /// What is wrong.
    pub why: String,
    /// The folder where it is kept, or why it is not.
    pub kept: Option<String>,
}

impl Failure {
    /// What to type to see it again.
    pub fn repeat(&self) -> String {
        let cut = self.cut.map_or(String::new(), |(position, subset)| format!(" --cut {position}.{subset}"));
        format!("cargo run --release -p sim --bin crash -- --seed {}{cut}", self.seed)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.cut.map_or(String::new(), |(position, _)| format!(", cut at {position}"));
        writeln!(f, "seed {} ({}){place}, recovered by {:?}: {}", self.seed, self.setup, self.way, self.why)?;
        if let Some(kept) = &self.kept {
            writeln!(f, "  kept: {kept}")?;
        }
        write!(f, "  again: {}", self.repeat())
    }
}

/// What came of a workload.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// What it was.
    pub setup: Setup,
    /// Boundaries of its recording.
    pub boundaries: usize,
    /// Images that were judged.
    pub images: u64,
    /// Images that would have been the same as another.
    pub same: u64,
    /// What went wrong.
    pub failures: Vec<Failure>,
}

/// Plays and judges one workload. `told` hears of each image.
pub fn run_one(campaign: &Campaign, seed: u64, told: &mut dyn FnMut()) -> Outcome {
    run_setup(campaign, seed, campaign.setup(seed), told)
}

/// The same on a setup of one's own.
pub fn run_setup(campaign: &Campaign, seed: u64, setup: Setup, told: &mut dyn FnMut()) -> Outcome {
    let mut outcome = Outcome::new(seed, &setup);
    let played = std::panic::catch_unwind(|| play::play(seed, &outcome.setup));
    let story = match played.unwrap_or_else(|_| Err("a panic".into())) {
        Ok(story) => story,
        Err(why) => {
            outcome.fail(None, Way::Mount, format!("the run itself: {why}"));
            return outcome;
        }
    };
    judge_story(campaign, story, told)
}

/// Judges a story: cuts it everywhere that the campaign says.
pub fn judge_story(campaign: &Campaign, story: Story, told: &mut dyn FnMut()) -> Outcome {
    let story = Story { recording: story.recording.with_lie(campaign.lie), ..story };
    let mut outcome = Outcome::new(story.seed, &story.setup);
    cut_everywhere(campaign, &story, &mut outcome, told);
    outcome
}

impl Outcome {
    pub(super) fn new(seed: u64, setup: &Setup) -> Outcome {
        Outcome { seed, setup: setup.clone(), boundaries: 0, images: 0, same: 0, failures: Vec::new() }
    }

    fn fail(&mut self, cut: Option<(usize, u64)>, way: Way, why: String) {
        let setup = self.setup.name();
        self.failures.push(Failure { seed: self.seed, cut, way, setup, why, kept: None });
    }

    /// Its last failure is kept, if the campaign says so.
    fn keep(&mut self, campaign: &Campaign, story: &Story) {
        let (Some(dir), Some(failure)) = (&campaign.keep, self.failures.last_mut()) else { return };
        failure.kept = Some(match keep::keep(dir, story, failure) {
            Ok(folder) => folder.display().to_string(),
            Err(error) => format!("no: {error}"),
        });
    }
}

fn cut_everywhere(campaign: &Campaign, story: &Story, outcome: &mut Outcome, told: &mut dyn FnMut()) {
    let boundaries = story.recording.boundaries();
    outcome.boundaries = boundaries.len();
    let mut judged = HashSet::new();
    // Not every second one: a commit has a rhythm.
    let mut lot = Rng::new(story.seed ^ 0xc07);
    for position in boundaries {
        let here = lot.one_in(campaign.every);
        match campaign.only {
            Some((only, _)) if only != position => continue,
            None if !here => continue,
            _ => {}
        }
        for subset in 0..campaign.subsets {
            if campaign.only.is_some_and(|(_, only)| only != subset) {
                continue;
            }
            let landing = landing(story, position, subset);
            if !judged.insert(key(story, position, &landing)) {
                outcome.same += 1;
                continue;
            }
            outcome.images += 1;
            told();
            for way in ways(campaign, story, position, subset) {
                if let Err(why) = judge::judge(story, position, &landing, way) {
                    outcome.fail(Some((position, subset)), way, why);
                    outcome.keep(campaign, story);
                    if outcome.failures.len() >= campaign.failures {
                        return;
                    }
                    break;
                }
            }
        }
    }
}

/// What lands at a cut that a campaign makes.
pub(super) fn landing(story: &Story, position: usize, subset: u64) -> cut::Landing {
    let keep = Keep::nth(subset, story.seed ^ (position as u64) << 20);
    cut::landing(&story.recording, position, keep)
}

/// All for a case that is repeated; else mostly the first.
fn ways(campaign: &Campaign, story: &Story, position: usize, subset: u64) -> Vec<Way> {
    let mut rng = Rng::new(story.seed ^ (position as u64) << 8 ^ subset);
    let all = campaign.only.is_some();
    let mut ways = vec![campaign.way];
    for way in [Way::E2fsck, Way::Twice] {
        if campaign.way != Way::Mount {
            break;
        }
        if all || rng.one_in(campaign.others) {
            ways.push(way);
        }
    }
    ways
}

/// What makes two cases the same: what is on the media, and what is promised at least.
fn key(story: &Story, position: usize, landing: &cut::Landing) -> u64 {
    let mut hasher = DefaultHasher::new();
    landing.hash(&mut hasher);
    for actor in &story.actors {
        let promise = actor.promise(position);
        (promise.steps.start(), promise.bytes).hash(&mut hasher);
    }
    hasher.finish()
}

/// The clock of a campaign, for who shows how it goes.
pub fn rate(images: u64, begin: Instant) -> f64 {
    images as f64 / begin.elapsed().as_secs_f64().max(0.001)
}
