//! With which I/O priority a transaction is committed.
//!
//! In Linux the journal's thread commits, and has a priority of its own (`journal_ioprio`). Here it may be any thread;
//! whoever commits has that priority meanwhile, and its own afterwards. What a thread does of its own accord, fast
//! commits and checkpoints that it waits for, it does with its own, as in Linux.
//!
//! Source: ext4(5), `journal_ioprio`; `DEFAULT_JOURNAL_IOPRIO`.

use block::ioprio::{self, IoClass, IoPrio};

/// Somewhat better than that of others, who wait for it.
pub const DEFAULT: IoPrio = IoPrio::new(IoClass::BestEffort, 3);

/// The present thread's requests have another priority as long as this lives.
pub(crate) struct Meanwhile {
    before: IoPrio,
}

impl Meanwhile {
    pub(crate) fn of(prio: IoPrio) -> Meanwhile {
        let before = ioprio::current_set();
        ioprio::set_current(prio);
        Meanwhile { before }
    }
}

impl Drop for Meanwhile {
    fn drop(&mut self) {
        ioprio::set_current(self.before);
    }
}
