//! Several threads on one mount: each in a directory of its own, all in one that they share.

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::thread;

use base::Errno;
use sim::{Image, Machine, Rng};

const THREADS: u64 = 4;

/// Writes, renames and removes files below `/t<number>`; what must be there at the end is returned.
fn work(m: &Machine, number: u64, steps: u64) -> BTreeMap<String, Vec<u8>> {
    let mut rng = Rng::new(number);
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for step in 0..steps {
        let path = format!("/t{number}/f{}", rng.below(12));
        match rng.below(8) {
            0..=3 => {
                let bytes = {
                    let len = rng.length(60_000) as usize;
                    rng.bytes(len)
                };
                m.write_file(&path, &bytes).unwrap();
                files.insert(path, bytes);
            }
            4 => {
                let gone = files.remove(&path).is_some();
                assert_eq!(m.unlink(&path), if gone { Ok(()) } else { Err(Errno::ENOENT) });
            }
            5 => {
                let to = format!("/t{number}/f{}", rng.below(12));
                if let Some(bytes) = files.get(&path).cloned() {
                    m.rename(&path, &to).unwrap();
                    files.remove(&path);
                    files.insert(to, bytes);
                }
            }
            6 if step % 4 == 0 => match files.contains_key(&path) {
                true => m.fsync(&path).unwrap(),
                false => m.sync().unwrap(),
            },
            _ => {
                if let Some(bytes) = files.get(&path) {
                    assert_eq!(&m.read_file(&path).unwrap(), bytes, "{path}");
                }
            }
        }
        // All threads fight for the same few names; exactly what happens is theirs to settle.
        let (a, b) = (format!("/shared/n{}", rng.below(4)), format!("/shared/n{}", rng.below(4)));
        match rng.below(6) {
            0 => drop(m.create(&a, 0o644)),
            1 => drop(m.rename(&a, &b)),
            2 => drop(m.unlink(&a)),
            3 => drop(m.link(&a, &b)),
            4 => drop(m.mkdir(&a)),
            _ => drop(m.rmdir(&a)),
        }
    }
    files
}

#[test]
fn threads_share_a_mount() {
    for args in [&["-b", "1024"][..], &["-b", "4096"]] {
        let m = Machine::mount(&Image::mkfs(32 << 20, args).unwrap()).unwrap();
        m.mkdir("/shared").unwrap();
        for number in 0..THREADS {
            m.mkdir(format!("/t{number}")).unwrap();
        }
        let start = Barrier::new(THREADS as usize);
        let all: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|number| {
                    let (m, start) = (&m, &start);
                    scope.spawn(move || {
                        start.wait();
                        work(m, number, 150)
                    })
                })
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        let image = m.unmount().unwrap();
        image.fsck().unwrap();
        let m = Machine::mount(&image).unwrap();
        for (path, bytes) in all.iter().flatten() {
            assert_eq!(&m.read_file(path).unwrap(), bytes, "{path}");
        }
        m.unmount().unwrap();
    }
}

/// Directories move into each other from two sides: no deadlock, no loop, nothing lost.
#[test]
fn directories_cross() {
    let m = Machine::mount(&Image::mkfs(16 << 20, &["-b", "1024"]).unwrap()).unwrap();
    for dir in ["/a", "/b", "/a/x", "/b/y"] {
        m.mkdir(dir).unwrap();
    }
    // A file in each, because an empty directory may be replaced.
    for file in ["/a/keep", "/b/keep", "/a/x/f", "/b/y/f"] {
        m.write_file(file, file.as_bytes()).unwrap();
    }
    thread::scope(|scope| {
        for seed in 0..THREADS {
            let m = &m;
            scope.spawn(move || {
                let mut rng = Rng::new(seed);
                let places =
                    ["/a", "/b", "/a/x", "/b/y", "/a/y", "/b/x", "/x", "/y", "/a/x/y", "/b/y/x", "/a/b"];
                for _ in 0..400 {
                    let _ = m.rename_flags(rng.pick(&places), rng.pick(&places), *rng.pick(&[0, 0, 1, 2]));
                }
            });
        }
    });
    let tree = sim::Tree::of_machine(&m).unwrap();
    assert_eq!(tree.0.len(), 8, "{:?}", tree.0.keys());
    m.unmount().unwrap().fsck().unwrap();
}
