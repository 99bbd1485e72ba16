//! Random sequences of operations against the model, on every block size and feature set.

use sim::{Image, Rng, Run, Tree, Weights};

/// What mke2fs is told, and how large the disk is in MiB.
const MATRIX: [(&str, &[&str], u64); 15] = [
    ("1k default", &["-b", "1024"], 16),
    ("2k default", &["-b", "2048"], 16),
    ("4k default", &["-b", "4096"], 24),
    ("1k ^metadata_csum", &["-b", "1024", "-O", "^metadata_csum"], 16),
    ("4k ^metadata_csum,^64bit", &["-b", "4096", "-O", "^metadata_csum,^64bit"], 24),
    ("1k ^64bit", &["-b", "1024", "-O", "^64bit"], 16),
    ("2k ^dir_index", &["-b", "2048", "-O", "^dir_index"], 16),
    ("4k ^has_journal", &["-b", "4096", "-O", "^has_journal"], 16),
    (
        "1k ^has_journal,^flex_bg,^resize_inode",
        &["-b", "1024", "-O", "^has_journal,^flex_bg,^resize_inode"],
        16,
    ),
    ("1k 128-byte inodes", &["-b", "1024", "-I", "128"], 16),
    ("4k ^filetype,^dir_nlink,large_dir", &["-b", "4096", "-O", "^filetype,^dir_nlink,large_dir"], 24),
    ("1k uninit_bg,^metadata_csum", &["-b", "1024", "-O", "uninit_bg,^metadata_csum"], 16),
    ("1k meta_bg,^resize_inode", &["-b", "1024", "-O", "meta_bg,^resize_inode", "-g", "2048"], 16),
    ("2k sparse_super2,metadata_csum_seed", &["-b", "2048", "-O", "sparse_super2,metadata_csum_seed"], 16),
    ("1k small groups", &["-b", "1024", "-g", "1024", "-N", "512"], 16),
];

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
    let (name, args, mib) = MATRIX[(seed % MATRIX.len() as u64) as usize];
    let make = if rng.one_in(2) { Image::mkfs } else { Image::mkfs_over_garbage };
    let image = make(mib << 20, args).unwrap_or_else(|t| panic!("{name}: {t}"));
    let weights = Weights { data: 1 + rng.below(60), names: 1 + rng.below(60), sync: 4, remount: 1 };
    let steps = 60 + rng.below(240) as usize;
    let run = Run::new(seed, &image);
    let run = if rng.one_in(3) { run.disturbed() } else { run };
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
    let count = number("QUILL_SEQUENCES").unwrap_or(120);
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
    for (name, args, mib) in MATRIX {
        println!("{name}: {mib} MiB, mke2fs {}", args.join(" "));
    }
}
