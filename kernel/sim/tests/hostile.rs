//! Damaged images: bytes are changed where they hurt, and everything is tried. It works or it is an
//! error; it is never a panic and never endless.
//!
//! ```text
//! QUILL_MUTATIONS=100000 cargo test --release -p sim --test hostile inode     so many of each variant
//! QUILL_FUZZ_SECONDS=1800 cargo test --release -p sim --test hostile htree    so long, of the processor
//! QUILL_SEED=0x51 cargo test -p sim --test hostile inode                      that one alone
//! ```

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use sim::hostile::{Subject, Target, VARIANTS, Variant, exercise};
use sim::{Image, Machine, Options, Rng};

/// One image's share of the processor; one that spins or sleeps without end is given both.
const ENDLESS: Duration = Duration::from_secs(60);
const ASLEEP: Duration = Duration::from_secs(600);

/// Ends the process when one image takes a minute of the processor, or ten by the clock: that is endless.
fn watch(current: &Arc<AtomicU64>) {
    let current = current.clone();
    let attacker = std::fs::read_link("/proc/thread-self").unwrap();
    std::thread::spawn(move || {
        let used = || (processor_time(&attacker), Instant::now());
        let (mut last, mut since) = (0, used());
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let seed = current.load(Ordering::Relaxed);
            let now = used();
            if seed != last {
                (last, since) = (seed, now);
            } else if seed != 0 && (now.0 - since.0 > ENDLESS || now.1 - since.1 > ASLEEP) {
                eprintln!("the image of seed {seed:#x} is endless");
                std::process::abort();
            }
        }
    });
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    text.strip_prefix("0x").map_or(text.parse().ok(), |hex| u64::from_str_radix(hex, 16).ok())
}

/// The subjects that have any of it; all are made once.
fn subjects(target: Target) -> Vec<&'static (&'static str, Subject)> {
    static ALL: OnceLock<Vec<(&str, Subject)>> = OnceLock::new();
    let make = |v: &Variant| (v.name, Subject::new(v).unwrap_or_else(|t| panic!("{}: {t}", v.name)));
    let all = ALL.get_or_init(|| VARIANTS.iter().map(make).collect());
    all.iter().filter(|(_, subject)| subject.has(target)).collect()
}

/// One damaged image: a panic of the kernel is told with the line that brings it back.
fn attack_once(target: Target, name: &str, subject: &Subject, seed: u64) {
    let bad = subject.mutant(target, &mut Rng::new(seed));
    let tried = std::panic::catch_unwind(|| exercise(&bad));
    sim::take_log();
    if tried.is_err() {
        panic!("{target:?} of \"{name}\" made the kernel panic: QUILL_SEED={seed:#x}");
    }
}

fn attack(target: Target) {
    let subjects = subjects(target);
    assert!(!subjects.is_empty(), "no image has any {target:?}");
    let current = Arc::new(AtomicU64::new(0));
    watch(&current);
    let first = number("QUILL_SEED").or(number("QUILL_FIRST_SEED")).unwrap_or(1);
    let count = if number("QUILL_SEED").is_some() { 1 } else { number("QUILL_MUTATIONS").unwrap_or(100) };
    let long = number("QUILL_FUZZ_SECONDS").map(Duration::from_secs);
    let me = std::fs::read_link("/proc/thread-self").unwrap();
    let begin = processor_time(&me);
    let used = || processor_time(&me) - begin;
    let more = |done: u64| long.map_or(done < count, |long| used() < long);
    let mut runs = 0;
    for seed in (first..).take_while(|seed| more(seed - first)) {
        for (name, subject) in &subjects {
            current.store(seed, Ordering::Relaxed);
            attack_once(target, name, subject, seed);
            runs += 1;
        }
    }
    println!("{target:?}: {runs} images in {:?} of the processor", used());
    current.store(0, Ordering::Relaxed);
}

/// What a thread (`PID/task/TID`) has used of it, by Linux's count.
fn processor_time(thread: &Path) -> Duration {
    let text = std::fs::read_to_string(Path::new("/proc").join(thread).join("schedstat")).unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|t| t.parse().ok()).unwrap_or(0))
}

#[test]
fn superblock() {
    attack(Target::Superblock);
}

#[test]
fn groups() {
    attack(Target::Groups);
}

#[test]
fn bitmaps() {
    attack(Target::Bitmaps);
}

#[test]
fn inode() {
    attack(Target::Inode);
}

#[test]
fn body() {
    attack(Target::Body);
}

#[test]
fn extents() {
    attack(Target::Extents);
}

#[test]
fn indirect() {
    attack(Target::Indirect);
}

#[test]
fn directory() {
    attack(Target::Directory);
}

#[test]
fn htree() {
    attack(Target::Htree);
}

#[test]
fn xattr() {
    attack(Target::Xattr);
}

#[test]
fn orphans() {
    attack(Target::Orphans);
}

/// Undamaged, all of it works, and what comes out is clean.
#[test]
fn the_subjects_are_sound() {
    for variant in VARIANTS {
        let subject = Subject::new(variant).unwrap_or_else(|t| panic!("{}: {t}", variant.name));
        let image = exercise(&subject.image).unwrap_or_else(|| panic!("{}: no mount", variant.name));
        image.fsck().unwrap_or_else(|t| panic!("{}: {t}", variant.name));
    }
    for target in Target::ALL {
        assert!(!subjects(target).is_empty(), "no image has any {target:?}");
    }
}

/// A directory that is its own grandchild, and a directory of two names: every operation ends.
#[test]
fn a_directory_inside_itself() {
    let m = Machine::mount(&Image::mkfs(8 << 20, &[]).unwrap()).unwrap();
    for dir in ["/d", "/d/sub", "/e"] {
        m.mkdir(dir).unwrap();
    }
    m.write_file("/d/f", b"f").unwrap();
    let image = m.unmount().unwrap();
    let image = image.changed("link /d /d/sub/loop").unwrap();
    let image = image.changed("link /d/sub /e/twin").unwrap();
    let current = Arc::new(AtomicU64::new(1));
    watch(&current);
    let m = Machine::mount_with(&image, &Options { options: "errors=continue".into(), ..Options::default() })
        .unwrap();
    assert_eq!(m.read_file("/d/sub/loop/f"), Err(base::Errno::ELOOP));
    assert_eq!(m.read_file("/d/f").unwrap(), b"f");
    let places = [
        "/d",
        "/d/f",
        "/d/sub",
        "/d/sub/loop",
        "/d/sub/loop/f",
        "/d/sub/loop/sub",
        "/e/twin",
        "/e/twin/loop",
        "/e/twin/loop/f",
        "/e/twin/loop/sub",
        "/d/new",
        "/d/sub/loop/new",
        "/e/twin/new",
        "/e/new",
        "/new",
    ];
    for old in places {
        for new in places {
            for flags in [0, 1, 2] {
                let _ = m.rename_flags(old, new, flags);
            }
            let _ = m.link(old, new);
        }
        let _ = m.rmdir(old);
        let _ = m.unlink(old);
        let _ = m.mkdir(old);
        let _ = m.create(old, 0o644);
        let _ = m.read_dir(old);
    }
    m.give_up();
    current.store(0, Ordering::Relaxed);
}

/// Two directories with one block: it was checked as the first one's, and is changed as the second
/// one's. What the fuzzer found: the checksum's debug assertion.
#[test]
fn directories_that_share_a_block() {
    let m = Machine::mount(&Image::mkfs(8 << 20, &["-b", "1024", "-O", "^has_journal"]).unwrap()).unwrap();
    m.mkdir("/a").unwrap();
    m.mkdir("/b").unwrap();
    let image = m.unmount().unwrap();
    // The first extent's ee_start_lo.
    let block = image.debugfs("blocks /a").unwrap();
    let image = image.changed(&format!("set_inode_field /b block[5] {}", block.trim())).unwrap();
    let options = Options { options: "errors=continue".into(), ..Options::default() };
    let m = Machine::mount_with(&image, &options).unwrap();
    m.create("/a/f", 0o644).unwrap();
    let _ = m.read_dir("/b");
    let _ = m.create("/b/g", 0o644);
    let _ = m.unlink("/b/f");
    let _ = m.unlink("/a/f");
    m.give_up();
}
