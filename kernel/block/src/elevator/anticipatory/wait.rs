//! The wait for the next read of a thread: its state and its time. The drawing is in `mod.rs`.

use sync::thread::ThreadId;

use super::MS;

/// How far away is close when the wait begins, in sectors: 4 MiB.
const REACH: u64 = 8192;
/// After so many milliseconds everything is close.
const REACH_GROWS_MS: u64 = 20;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum State {
    #[default]
    Off,
    /// For the read of `thread` that the disk has, and then for its next one.
    WaitReq,
    /// For the next read, since `start`.
    WaitNext,
    /// No longer: the next request goes, whichever it is.
    Finished,
}

#[derive(Default)]
pub(super) struct Wait {
    pub state: State,
    /// Whose read went to the disk last; None when that was a write, or nothing yet.
    pub thread: Option<ThreadId>,
    /// When a read of that thread completed, since its last one went to the disk.
    start: Option<u64>,
}

impl Wait {
    pub fn is_on(&self) -> bool {
        matches!(self.state, State::WaitReq | State::WaitNext)
    }

    /// Off becomes one of the waiting states.
    pub fn begin(&mut self) {
        self.state = if self.start.is_some() { State::WaitNext } else { State::WaitReq };
    }

    pub fn finish(&mut self) {
        self.state = State::Finished;
    }

    /// Whether the longest wait has passed since the thread got its data.
    pub fn is_over(&self, now: u64, longest: u64) -> bool {
        self.start.is_some_and(|start| now >= start.saturating_add(longest))
    }

    /// Ends a wait that has been too long; for whom it was.
    pub fn expire(&mut self, now: u64, longest: u64) -> Option<ThreadId> {
        if self.state != State::WaitNext || !self.is_over(now, longest) {
            return None;
        }
        self.finish();
        self.thread
    }

    /// When it will be too long; the greatest time when a completion comes before that.
    pub fn until(&self, longest: u64) -> Option<u64> {
        match (self.state, self.start) {
            (State::WaitNext, Some(start)) => Some(start.saturating_add(longest)),
            (State::WaitReq, _) => Some(u64::MAX),
            _ => None,
        }
    }

    /// How far away is close, in sectors.
    pub fn reach(&self, now: u64) -> u64 {
        let waited = match (self.state, self.start) {
            (State::Off, _) | (_, None) => 0,
            (_, Some(start)) => now.saturating_sub(start) / MS,
        };
        if waited > REACH_GROWS_MS { u64::MAX } else { REACH << waited }
    }

    pub fn read_sent(&mut self, thread: ThreadId) {
        *self = Wait { state: State::Off, thread: Some(thread), start: None };
    }

    pub fn write_sent(&mut self) {
        *self = Wait::default();
    }

    pub fn read_completed(&mut self, thread: ThreadId, now: u64) {
        if self.thread == Some(thread) {
            self.start = Some(now);
            if self.state == State::WaitReq {
                self.state = State::WaitNext;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ThreadId = ThreadId(1);

    #[test]
    fn time_runs_from_the_completion() {
        let mut wait = Wait::default();
        wait.read_sent(A);
        wait.begin();
        assert_eq!((wait.state, wait.until(6 * MS)), (State::WaitReq, Some(u64::MAX)));
        assert_eq!(wait.expire(100 * MS, 6 * MS), None);
        wait.read_completed(ThreadId(2), 99 * MS);
        assert_eq!(wait.state, State::WaitReq);
        wait.read_completed(A, 100 * MS);
        assert_eq!((wait.state, wait.until(6 * MS)), (State::WaitNext, Some(106 * MS)));
        assert_eq!(wait.expire(105 * MS, 6 * MS), None);
        assert_eq!(wait.expire(106 * MS, 6 * MS), Some(A));
        assert_eq!((wait.state, wait.until(6 * MS)), (State::Finished, None));
    }

    #[test]
    fn close_is_wider_the_longer_it_waits() {
        let mut wait = Wait::default();
        wait.read_sent(A);
        assert_eq!(wait.reach(500 * MS), 8192, "the read is still at the disk");
        wait.read_completed(A, 1000 * MS);
        wait.begin();
        assert_eq!(wait.reach(1000 * MS), 8192);
        assert_eq!(wait.reach(1003 * MS), 8192 * 8);
        assert_eq!(wait.reach(1021 * MS), u64::MAX);
    }
}
