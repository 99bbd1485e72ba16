//! The power goes: what the disks may hold then.
//!
//! At a position of a recording a write is *durable* when its disk ended a flush that began after the
//! write had ended, or when it was FUA and has ended. Every other write that has begun is *pending*: it
//! sits in the disk's cache, or is on its way there. Durable writes are on the medium. Of the pending
//! ones any subset may be, each whole or torn between sectors.
//!
//! ```text
//!   begin 0 · end 0 · begin 1 · flush · flush ends · end 1 · begin 2 ┊ cut
//!   durable: 0            pending: 1 (it had not ended when the flush began), 2
//! ```
//!
//! Writes of the same sector land in the order in which they began.
//!
//! # The superblock is not torn
//! The 1024 bytes at byte 1024 of a disk, the ext4 superblock, are kept or lost together. Its checksum
//! lies in its second sector and the fields that change in its first, so that no driver could write it
//! elsewhere than through its journal if halves of it were lost: Linux, too, writes it in place when it
//! mounts, and there e2fsck falls back to a copy.

use base::units::SECTOR_SIZE;

use super::record::{Event, Recording};
use crate::random::Rng;

/// Which of the pending writes reached the medium.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    /// All.
    All,
    /// None.
    Nothing,
    /// All but one, which the seed chooses.
    AllButOne(u64),
    /// One alone.
    OnlyOne(u64),
    /// Some of them, some of those torn.
    Some(u64),
}

impl Keep {
    /// The `n`th way in which the power can go, from a seed.
    pub fn nth(n: u64, seed: u64) -> Keep {
        match n {
            0 => Keep::Nothing,
            1 => Keep::All,
            2 => Keep::AllButOne(seed),
            3 => Keep::OnlyOne(seed),
            n => Keep::Some(seed ^ n.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        }
    }
}

/// How much of a write is on the medium.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Landed {
    /// All of it.
    Whole,
    /// These sectors of it.
    Torn(Vec<bool>),
}

/// What is on the media: writes by number, in the order in which they began.
pub type Landing = Vec<(usize, Landed)>;

/// The writes that are durable and those that are pending at a position, each in order.
fn sorted(recording: &Recording, position: usize) -> (Vec<usize>, Vec<usize>) {
    let mut begun = Vec::new();
    let mut ended = vec![false; recording.writes.len()];
    let mut durable = vec![false; recording.writes.len()];
    // What each flush that has not ended will make durable.
    let mut covered: Vec<(usize, Vec<usize>)> = Vec::new();
    for event in &recording.events[..position] {
        match *event {
            Event::Begin(write) => begun.push(write),
            Event::End(write) => {
                ended[write] = true;
                durable[write] = recording.writes[write].fua;
            }
            Event::BeginFlush(disk, flush) => {
                let here = |w: &usize| ended[*w] && !durable[*w] && recording.writes[*w].disk == disk;
                covered.push((flush, begun.iter().copied().filter(here).collect()));
            }
            Event::EndFlush(_, flush) => {
                if let Some(index) = covered.iter().position(|(number, _)| *number == flush) {
                    covered.swap_remove(index).1.into_iter().for_each(|write| durable[write] = true);
                }
            }
        }
    }
    begun.into_iter().partition(|write| durable[*write])
}

/// What lands when the power goes at a position.
pub fn landing(recording: &Recording, position: usize, keep: Keep) -> Landing {
    let (durable, pending) = sorted(recording, position);
    let mut landing: Landing = durable.into_iter().map(|write| (write, Landed::Whole)).collect();
    let count = pending.len() as u64;
    let chosen = |seed: u64| pending[Rng::new(seed).below(count.max(1)) as usize];
    match keep {
        Keep::Nothing => {}
        _ if pending.is_empty() => {}
        Keep::All => landing.extend(pending.iter().map(|&write| (write, Landed::Whole))),
        Keep::AllButOne(seed) => {
            let lost = chosen(seed);
            landing.extend(pending.iter().filter(|&&w| w != lost).map(|&write| (write, Landed::Whole)));
        }
        Keep::OnlyOne(seed) => landing.push((chosen(seed), Landed::Whole)),
        Keep::Some(seed) => {
            let mut rng = Rng::new(seed);
            let often = 1 + rng.below(7);
            for &write in &pending {
                if rng.below(8) < often {
                    landing.push((write, how_much(recording, write, &mut rng)));
                }
            }
        }
    }
    landing.sort_by_key(|(write, _)| *write);
    landing
}

/// A third is torn: a front, a back, or here and there.
fn how_much(recording: &Recording, write: usize, rng: &mut Rng) -> Landed {
    let write = &recording.writes[write];
    let sectors = write.bytes.len() / SECTOR_SIZE;
    if sectors < 2 || !rng.one_in(3) {
        return Landed::Whole;
    }
    let at = rng.below(sectors as u64) as usize;
    let mut kept: Vec<bool> = match rng.below(3) {
        0 => (0..sectors).map(|sector| sector < at).collect(),
        1 => (0..sectors).map(|sector| sector >= at).collect(),
        _ => (0..sectors).map(|_| rng.one_in(2)).collect(),
    };
    // Sectors 2 and 3 of the disk.
    let place =
        |sector: u64| usize::try_from(sector.checked_sub(write.sector)?).ok().filter(|&i| i < sectors);
    if let (Some(first), Some(second)) = (place(2), place(3)) {
        kept[second] = kept[first];
    }
    Landed::Torn(kept)
}

/// The disks as the next boot finds them.
pub fn disks_after(recording: &Recording, landing: &Landing) -> Vec<Vec<u8>> {
    let mut disks = recording.disks.clone();
    for (number, landed) in landing {
        let write = &recording.writes[*number];
        let at = write.sector as usize * SECTOR_SIZE;
        let disk = &mut disks[write.disk][at..at + write.bytes.len()];
        match landed {
            Landed::Whole => disk.copy_from_slice(&write.bytes),
            Landed::Torn(kept) => {
                let pieces = disk.chunks_mut(SECTOR_SIZE).zip(write.bytes.chunks(SECTOR_SIZE));
                for ((old, new), _) in pieces.zip(kept).filter(|(_, kept)| **kept) {
                    old.copy_from_slice(new);
                }
            }
        }
    }
    disks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crash::record::Write;

    fn write(recording: &mut Recording, sector: u64, byte: u8, sectors: usize, fua: bool) -> usize {
        let bytes = vec![byte; sectors * SECTOR_SIZE].into();
        recording.begin(Write { disk: 0, sector, bytes, fua })
    }

    fn after(recording: &Recording, keep: Keep) -> Vec<u8> {
        let landing = landing(recording, recording.events.len(), keep);
        disks_after(recording, &landing)[0].iter().step_by(SECTOR_SIZE).copied().collect()
    }

    /// The drawing in the module's head.
    #[test]
    fn a_flush_covers_what_had_ended() {
        let mut recording = Recording::new(vec![vec![0; 8 * SECTOR_SIZE]]);
        let zero = write(&mut recording, 0, 1, 1, false);
        recording.end(zero);
        let one = write(&mut recording, 1, 2, 1, false);
        let flush = recording.begin_flush(0);
        assert_eq!(sorted(&recording, recording.events.len()).0, []);
        recording.end_flush(0, flush);
        recording.end(one);
        write(&mut recording, 2, 3, 1, false);
        assert_eq!(sorted(&recording, recording.events.len()), (vec![0], vec![1, 2]));
        assert_eq!(after(&recording, Keep::Nothing), [1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(after(&recording, Keep::All), [1, 2, 3, 0, 0, 0, 0, 0]);
        assert!(
            [[1, 2, 0], [1, 0, 3]].contains(&after(&recording, Keep::OnlyOne(5))[..3].try_into().unwrap())
        );
    }

    #[test]
    fn fua_is_durable_when_it_ends_and_not_before() {
        let mut recording = Recording::new(vec![vec![0; 2 * SECTOR_SIZE]]);
        let number = write(&mut recording, 1, 7, 1, true);
        assert_eq!(after(&recording, Keep::Nothing), [0, 0]);
        recording.end(number);
        assert_eq!(after(&recording, Keep::Nothing), [0, 7]);
    }

    /// Two writes of a sector: the later one may be lost, the earlier one never comes back over it.
    #[test]
    fn the_same_sector_twice() {
        let mut recording = Recording::new(vec![vec![0; SECTOR_SIZE]]);
        let first = write(&mut recording, 0, 1, 1, false);
        recording.end(first);
        let second = write(&mut recording, 0, 2, 1, false);
        recording.end(second);
        assert_eq!(after(&recording, Keep::All), [2]);
        let seen: std::collections::BTreeSet<u8> =
            (0..50).map(|seed| after(&recording, Keep::Some(seed))[0]).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn some_are_torn_but_not_the_superblock() {
        let mut recording = Recording::new(vec![vec![0; 8 * SECTOR_SIZE]]);
        write(&mut recording, 0, 9, 8, false);
        let mut torn = 0;
        for seed in 0..500 {
            let sectors = after(&recording, Keep::Some(seed));
            assert_eq!(sectors[2], sectors[3]);
            torn += usize::from(sectors.contains(&0) && sectors.contains(&9));
        }
        assert!(torn > 50, "{torn}");
    }
}
