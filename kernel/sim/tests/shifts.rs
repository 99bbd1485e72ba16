//! Operations that are too long for one transaction: the power goes between two of their handles.
//!
//! A file of thousands of pieces has hundreds of leaves, and collapsing or inserting a range gives all of them
//! other keys: several transactions, of which a crash may leave any number. What must hold then: the disk mounts, e2fsck
//! finds nothing, and every block of the file that is not a hole is one of the file's own, in its order.

use std::sync::OnceLock;

use sim::crash::cut::{disks_after, landing};
use sim::crash::{CrashDisk, Keep, Recorder, Recording};
use sim::{Image, Machine, Options};
use vfs::OpenFlags;

const BLOCK: usize = 1024;
/// Blocks with bytes, each behind a hole.
const PIECES: usize = 24_000;

const COLLAPSE_RANGE: u32 = 0x8;
const INSERT_RANGE: u32 = 0x20;

/// A disk with `/f` in pieces: block 2n holds the number n + 1.
fn fragmented() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(make)
}

fn make() -> Image {
    let image = Image::mkfs(64 << 20, &["-b", "1024", "-J", "size=1"]).unwrap();
    let machine = Machine::mount(&image).unwrap();
    machine.create("/f", 0o644).unwrap();
    let file = machine.open("/f", OpenFlags::RDWR, 0).unwrap();
    for n in 0..PIECES {
        sim::write_all(&file, &piece(n), (2 * n * BLOCK) as u64).unwrap();
    }
    drop(file);
    machine.unmount().unwrap()
}

fn piece(n: usize) -> Vec<u8> {
    (n as u32 + 1).to_le_bytes().repeat(BLOCK / 4)
}

/// What the disk saw of an operation on the file, and of a sync after it.
fn record(image: &Image, change: impl FnOnce(&Machine)) -> Recording {
    let recorder = Recorder::new();
    let limits = block::Limits { write_cache: true, fua: true, ..block::Limits::default() };
    let disk = CrashDisk::new(image.bytes.clone(), limits, &recorder, 7);
    let machine = Machine::mount_recorded(disk, &Options::default()).unwrap();
    change(&machine);
    machine.sync().unwrap();
    // The machine is switched off.
    drop(machine.give_up());
    recorder.take()
}

/// The pieces that are found, in order; every other block must be a hole.
fn pieces(bytes: &[u8]) -> Vec<usize> {
    let number = |block: &[u8]| u32::from_le_bytes(block[..4].try_into().unwrap()) as usize;
    let found = bytes.chunks(BLOCK).filter(|block| block.iter().any(|&byte| byte != 0));
    found
        .map(|block| {
            let n = number(block).checked_sub(1).expect("a block of the file");
            assert_eq!(block, &piece(n)[..block.len()], "piece {n}");
            n
        })
        .collect()
}

/// Cuts at boundaries and judges; `look` gets the file's bytes.
fn judge(recording: &Recording, look: impl Fn(&[u8])) {
    let boundaries = recording.boundaries();
    let step = (boundaries.len() / 8).max(1);
    for (n, &position) in boundaries.iter().enumerate().step_by(step) {
        for way in 0..2 {
            let keep = Keep::nth([0, 4][way], (n * 2 + way) as u64);
            let mut disks = disks_after(recording, &landing(recording, position, keep));
            let machine = Machine::mount(&Image { bytes: disks.remove(0) }).unwrap();
            look(&machine.read_file("/f").unwrap());
            let image = machine.unmount().unwrap();
            image.fsck().unwrap_or_else(|t| panic!("cut at {position} of {}: {t}", recording.events.len()));
        }
    }
}

/// How many transactions a recording has, at least: each ends with a FUA write.
fn commits(recording: &Recording) -> usize {
    recording.writes.iter().filter(|write| write.fua).count()
}

fn all() -> Vec<usize> {
    (0..PIECES).collect()
}

#[test]
fn a_collapse_is_cut_between_leaves() {
    let image = fragmented();
    let recording = record(image, |m| m.fallocate("/f", COLLAPSE_RANGE, 4096, 4096).unwrap());
    assert!(commits(&recording) > 3, "{}", recording.summary());
    judge(&recording, |bytes| {
        let found = pieces(bytes);
        let kept: Vec<usize> = all().into_iter().filter(|n| !(2..4).contains(n)).collect();
        assert!(found == all() || found == kept, "{} pieces", found.len());
    });
}

#[test]
fn an_insert_is_cut_between_leaves() {
    let image = fragmented();
    let recording = record(image, |m| m.fallocate("/f", INSERT_RANGE, 4096, 8192).unwrap());
    assert!(commits(&recording) > 3, "{}", recording.summary());
    judge(&recording, |bytes| assert_eq!(pieces(bytes), all()));
}
