//! Random sequences of operations against the model, on every block size and feature set.

use sim::{MATRIX, Rng, Run, Tree, Weights};

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// One sequence; the seed says which row of the matrix, which weights, how long.
fn sequence(seed: u64) {
    let mut rng = Rng::new(seed ^ 0x5eed);
    let row = &MATRIX[(seed % MATRIX.len() as u64) as usize];
    let name = row.name;
    let image = row.image(rng.one_in(2)).unwrap_or_else(|t| panic!("{name}: {t}"));
    let (data, names, attributes) = (1 + rng.below(60), 1 + rng.below(60), 1 + rng.below(30));
    let weights = Weights { data, names, attributes, sync: 4, remount: 1 };
    let steps = 60 + rng.below(240) as usize;
    let run = Run::new(seed, &image);
    let run = if rng.one_in(3) { run.disturbed() } else { run };
    let run = if rng.one_in(6) { run.crowded() } else { run };
    let (image, tree) = run.go(steps, &weights);
    if rng.one_in(4) {
        // A judge that shares no code with Quill.
        let host = tempfile::tempdir().unwrap();
        image.dump_to(host.path()).unwrap();
        let theirs = Tree::of_host(host.path()).unwrap().contents_only();
        if let Some(text) = theirs.difference(&tree.contents_only()) {
            panic!("seed {seed:#x} ({name}): debugfs and the model differ\n{text}");
        }
    }
}

/// `part` of two, so that two threads share the work.
fn half(part: u64) {
    if let Some(seed) = number("QUILL_SEED") {
        if part == 0 {
            sequence(seed);
        }
        return;
    }
    let count = number("QUILL_SEQUENCES").unwrap_or(1000);
    let first = number("QUILL_FIRST_SEED").unwrap_or(0x1000);
    for seed in (first..first + count).filter(|seed| seed % 2 == part) {
        sequence(seed);
    }
}

#[test]
fn random_sequences_even() {
    half(0);
}

#[test]
fn random_sequences_odd() {
    half(1);
}

#[test]
fn the_matrix() {
    for row in MATRIX {
        println!("{}: {} MiB, mke2fs {} {}", row.name, row.mib, row.args.join(" "), row.tune.join("; "));
    }
}
