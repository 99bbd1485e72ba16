//! A recording of a booted machine, cut in as many ways as are wanted, each image judged.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use sim::Machine;
use sim::crash::{Keep, Recording, Setup, cut, judge};

/// Ways in which the power goes at one place.
const WAYS: u64 = 8;

/// One image in so many is replayed by e2fsck first.
const BY_E2FSCK: u64 = 6;

/// Judges about `images` images that differ, or as many as there are: each is mounted, looked at by `look` and
/// unmounted, and e2fsck finds nothing. `promised` says what must hold at a place: images that are equal are judged
/// again where that is not. How many there were.
pub fn judged<P: Hash>(
    setup: &Setup,
    recording: &Recording,
    images: u64,
    promised: &dyn Fn(usize) -> P,
    look: &dyn Fn(&Machine, usize) -> Result<(), String>,
) -> Result<u64, String> {
    let boundaries = recording.boundaries();
    // Most of the ways are the same where little is pending.
    let every = (boundaries.len() as u64 * 2 / images.max(1)).max(1) as usize;
    let (mut seen, mut judged) = (HashSet::new(), 0);
    for (index, &position) in boundaries.iter().enumerate().step_by(every) {
        for way in 0..WAYS {
            let landing = cut::landing(recording, position, Keep::nth(way, index as u64));
            let mut hasher = DefaultHasher::new();
            (&landing, promised(position)).hash(&mut hasher);
            if !seen.insert(hasher.finish()) {
                continue;
            }
            let disks = cut::disks_after(recording, &landing);
            let at = |machine: &Machine| look(machine, position);
            let verdict = if judged % BY_E2FSCK == 0 {
                judge::recover_by_e2fsck(setup, 0, disks.clone(), &at)
            } else {
                Ok(())
            };
            verdict.and_then(|()| judge::recover(setup, 0, disks, &at).map(|_| ())).map_err(|why| {
                format!("cut at {position} of {}, way {way}: {why}", recording.events.len())
            })?;
            judged += 1;
        }
    }
    Ok(judged)
}
