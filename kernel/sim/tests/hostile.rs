//! Damaged images: bytes are changed where they hurt, and everything is tried. It works or it is an
//! error; it is never a panic and never endless.
//!
//! `QUILL_MUTATIONS` says how many images, `QUILL_FIRST_SEED` from which on, `QUILL_SEED` which one
//! alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sim::{Image, Machine, Options, Rng};

/// A small image with something of everything, and the byte ranges of its metadata.
fn subject(args: &[&str]) -> (Image, Vec<std::ops::Range<usize>>) {
    let block: usize = 1024;
    let mut all = vec!["-b", "1024", "-N", "256"];
    all.extend(args);
    let image = Image::mkfs(3 << 20, &all).unwrap();
    let m = Machine::mount(&image).unwrap();
    m.mkdir("/d").unwrap();
    for i in 0..90 {
        m.create(format!("/d/names enough for an index {i}"), 0o644).unwrap();
    }
    m.mkdir("/d/sub").unwrap();
    m.write_file("/d/sub/f", &Rng::new(1).bytes(5000)).unwrap();
    m.symlink("d/sub", "/fast").unwrap();
    m.symlink("x".repeat(200), "/slow").unwrap();
    // Every second block, so that the extents need a block of their own.
    m.create("/holes", 0o644).unwrap();
    for i in 0..60 {
        m.pwrite("/holes", i * 2048, &[i as u8; 1024]).unwrap();
    }
    let image = m.unmount().unwrap();
    image.fsck().unwrap();
    let mut ranges = vec![1024..1440, 2048..2112];
    let mut add = |number: usize, count: usize| ranges.push(number * block..(number + count) * block);
    let stats = image.debugfs("stats").unwrap();
    for (mark, count) in [("block bitmap at ", 1), ("inode bitmap at ", 1), ("inode table at ", 20)] {
        for part in stats.split(mark).skip(1) {
            let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
            add(digits.parse().unwrap(), count);
        }
    }
    for path in ["/", "/d", "/d/sub", "/slow"] {
        for number in image.debugfs(&format!("blocks {path}")).unwrap().split_whitespace() {
            if let Ok(number) = number.parse() {
                add(number, 1);
            }
        }
    }
    for part in image.debugfs("stat /holes").unwrap().split("(ETB0):").skip(1) {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        add(digits.parse().unwrap(), 1);
    }
    (image, ranges)
}

fn mutate(image: &Image, ranges: &[std::ops::Range<usize>], rng: &mut Rng) -> Image {
    let mut image = image.clone();
    for _ in 0..=rng.below(4) {
        let range = rng.pick(ranges).clone();
        let len = (range.end - range.start) as u64;
        // The first bytes of a block are headers more often than not.
        let at = range.start + if rng.one_in(2) { rng.below(len.min(64)) } else { rng.below(len) } as usize;
        match rng.below(4) {
            0 => image.bytes[at] = rng.bits() as u8,
            1 => image.bytes[at] ^= 1 << rng.below(8),
            2 => image.bytes[at] = *rng.pick(&[0, 0xff, 0x7f, 0x80]),
            _ => {
                let value = (rng.bits() as u32 >> rng.below(32)).to_le_bytes();
                image.bytes[at & !3..][..4].copy_from_slice(&value);
            }
        }
    }
    image
}

/// Everything a program may do to it; the answers do not matter.
fn exercise(image: &Image) {
    let options = Options { options: "errors=continue".into(), ..Options::default() };
    let Ok(m) = Machine::mount_with(image, &options) else { return };
    let mut todo = vec!["/".to_string()];
    let mut seen = 0;
    while let Some(dir) = todo.pop() {
        for (name, ..) in m.read_dir(&dir).unwrap_or_default() {
            seen += 1;
            if name == b"." || name == b".." || seen > 2000 {
                continue;
            }
            let path = format!("{}/{}", dir.trim_end_matches('/'), String::from_utf8_lossy(&name));
            let Ok(attr) = m.stat(&path) else { continue };
            if attr.mode & 0o170000 == 0o040000 && path.len() < 300 {
                todo.push(path.clone());
            }
            let _ = m.readlink(&path);
            if attr.size < 10 << 20 {
                let _ = m.read_file(&path);
            }
        }
    }
    let _ = m.pwrite("/holes", 1024, &[9; 3000]);
    let _ = m.pwrite("/d/sub/f", 7000, &[9; 3000]);
    let _ = m.write_file("/d/new", &[1; 2000]);
    let _ = m.mkdir("/d/newdir");
    for i in 0..10 {
        let _ = m.create(format!("/d/another name that needs a place {i}"), 0o644);
    }
    let _ = m.rename("/d/sub", "/moved");
    let _ = m.rename("/moved", "/d/newdir");
    let _ = m.symlink("y".repeat(100), "/d/link");
    let _ = m.truncate("/holes", 20_000);
    let _ = m.unlink("/holes");
    let _ = m.unlink("/slow");
    let _ = m.unlink("/d/names enough for an index 7");
    let _ = m.rmdir("/d/sub");
    let _ = m.sync();
    let _ = m.statfs();
    m.give_up();
}

/// Ends the process when one image takes a minute: that is endless.
fn watch(current: &Arc<AtomicU64>) {
    let current = current.clone();
    std::thread::spawn(move || {
        let mut last = u64::MAX;
        loop {
            std::thread::sleep(Duration::from_secs(60));
            let now = current.load(Ordering::Relaxed);
            if now == last && now != 0 {
                eprintln!("the image of seed {now:#x} is endless");
                std::process::abort();
            }
            last = now;
        }
    });
}

fn attack(args: &[&str], first: u64) {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        text.strip_prefix("0x").map_or(text.parse().ok(), |hex| u64::from_str_radix(hex, 16).ok())
    };
    let (image, ranges) = subject(args);
    exercise(&image);
    let count = number("QUILL_MUTATIONS").unwrap_or(1000);
    let seeds = match number("QUILL_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let first = number("QUILL_FIRST_SEED").unwrap_or(first);
            first..first + count
        }
    };
    let current = Arc::new(AtomicU64::new(0));
    watch(&current);
    for seed in seeds {
        current.store(seed, Ordering::Relaxed);
        let mut rng = Rng::new(seed);
        let bad = mutate(&image, &ranges, &mut rng);
        let tried = std::panic::catch_unwind(|| exercise(&bad));
        sim::take_log();
        if tried.is_err() {
            panic!("the image of seed {seed:#x} ({args:?}) made the kernel panic");
        }
    }
    current.store(0, Ordering::Relaxed);
}

#[test]
fn without_checksums() {
    attack(&["-O", "^metadata_csum,^has_journal"], 0x10_0000);
}

#[test]
fn without_checksums_and_index() {
    attack(&["-O", "^metadata_csum,^64bit,^dir_index,^has_journal"], 0x20_0000);
}

#[test]
fn with_checksums() {
    attack(&["-O", "^has_journal"], 0x30_0000);
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
