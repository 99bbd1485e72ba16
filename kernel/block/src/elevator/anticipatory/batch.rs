//! Batches: for a time only reads go, then for a time only writes; and how many writes that is.
//!
//! A disk with a write cache takes a hundred writes in no time and is then busy with them for a
//! second. So the time of a batch of writes is taken from its first dispatch to the first completion
//! of a read after it, and the count is set so that this comes to `write_batch_expire`:
//!
//! | it took                   | and                            | the count is |
//! |---------------------------|--------------------------------|--------------|
//! | more than three times that| reads waited all the time      | halved       |
//! | more                      | reads waited all the time      | one less     |
//! | less                      | the count was used up          | one more     |
//! | less than a third         | the count was used up          | doubled      |

use super::Tunables;
use crate::bio::Direction;

/// Before anything is known: a hundredth of a second's worth of `write_batch_expire`.
const FIRST_COUNT: u32 = 12;

pub(super) struct Batch {
    pub direction: Direction,
    /// The last batch is over, what it sent is not.
    pub turning: bool,
    /// When it began: for reads, when nobody else waited or when the first completed.
    pub began: u64,
    /// It is one of reads, none of which has completed.
    fresh: bool,
    /// How many writes make a batch.
    count: u32,
    /// How many of them may still go.
    left: u32,
    /// At some time no read waited: how long it took says nothing.
    idled: bool,
}

impl Default for Batch {
    fn default() -> Batch {
        Batch {
            direction: Direction::Read,
            turning: false,
            began: 0,
            fresh: false,
            count: FIRST_COUNT,
            left: 0,
            idled: false,
        }
    }
}

impl Batch {
    pub fn note_idle(&mut self, reads: bool, writes: bool) {
        if self.direction == Direction::Write && !reads && (self.left == 0 || !writes) {
            self.idled = true;
        }
    }

    /// Whether it is the other direction's turn, if that waits.
    pub fn is_over(&self, now: u64, tunables: &Tunables) -> bool {
        let longest = match self.direction {
            Direction::Read => tunables.read_batch_expire_ns,
            Direction::Write => tunables.write_batch_expire_ns,
        };
        let spent = self.direction == Direction::Write && self.left == 0;
        !self.fresh && (spent || now.saturating_sub(self.began) > longest)
    }

    /// The other direction is next.
    pub fn turn(&mut self) {
        self.direction = match self.direction {
            Direction::Read => Direction::Write,
            Direction::Write => Direction::Read,
        };
        self.turning = true;
        self.fresh = false;
    }

    /// All that the last batch sent has completed.
    pub fn begin(&mut self, now: u64) {
        self.turning = false;
        match self.direction {
            // `began` is still when the writes began; see `read_completed`.
            Direction::Read => self.fresh = true,
            Direction::Write => {
                self.began = now;
                self.left = self.count;
                self.idled = false;
            }
        }
    }

    pub fn write_sent(&mut self) {
        self.left = self.left.saturating_sub(1);
    }

    pub fn read_completed(&mut self, now: u64, write_batch_expire: u64) {
        if self.fresh {
            self.learn(now.saturating_sub(self.began), write_batch_expire);
            self.began = now;
            self.fresh = false;
        }
    }

    /// The last batch of writes took so long.
    fn learn(&mut self, took: u64, target: u64) {
        let count = match took {
            _ if took > target && self.idled => self.count,
            _ if took > target.saturating_mul(3) => self.count / 2,
            _ if took > target => self.count - 1,
            _ if took == target || self.left > 0 => self.count,
            _ if took.saturating_mul(3) < target => self.count.saturating_mul(2),
            _ => self.count.saturating_add(1),
        };
        self.count = count.max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = super::super::MS;

    /// The count after a batch of writes that took so long and left so many.
    fn after(took_ms: u64, left: u32, idled: bool) -> u32 {
        let mut batch = Batch::default();
        batch.turn();
        batch.begin(1000 * MS);
        (left..12).for_each(|_| batch.write_sent());
        batch.note_idle(!idled, false);
        batch.turn();
        batch.begin((1000 + took_ms) * MS - 1);
        batch.read_completed((1000 + took_ms) * MS, 125 * MS);
        assert!(!batch.fresh);
        batch.read_completed(u64::MAX, 125 * MS);
        batch.count
    }

    #[test]
    fn the_count_of_writes_is_learned() {
        assert_eq!(after(500, 0, false), 6);
        assert_eq!(after(200, 0, false), 11);
        assert_eq!(after(125, 0, false), 12);
        assert_eq!(after(100, 0, false), 13);
        assert_eq!(after(20, 0, false), 24);
        // Less than the count went: it does not matter how large it is.
        assert_eq!(after(20, 5, false), 12);
        // No read waited: the writes may have taken their time.
        assert_eq!(after(500, 0, true), 12);
    }

    #[test]
    fn it_never_falls_below_one() {
        let mut batch = Batch { count: 1, ..Batch::default() };
        batch.learn(1000, 10);
        batch.learn(11, 10);
        assert_eq!(batch.count, 1);
    }

    #[test]
    fn reads_are_reckoned_from_their_first_completion() {
        let tunables = Tunables::default();
        let mut batch = Batch { direction: Direction::Write, ..Batch::default() };
        batch.turn();
        batch.begin(0);
        assert!(!batch.is_over(u64::MAX, &tunables), "none has completed");
        batch.read_completed(2000 * MS, 125 * MS);
        assert!(!batch.is_over(2500 * MS, &tunables));
        assert!(batch.is_over(2500 * MS + 1, &tunables));
    }
}
