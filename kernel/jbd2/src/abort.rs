//! The end of a journal: orderly, or because it cannot go on.
//!
//! After an abort no transaction commits and no handle starts. What was committed is in the log and is
//! replayed at the next mount; what was not never reaches the disk: its blocks stay JOURNALLED, and so not DIRTY.

use alloc::sync::Arc;

use base::{Errno, Result};

use crate::journal::Journal;
use crate::thread;

impl Journal {
    /// Ready for handles: the log is empty (or was replayed). Sets its features, starts the thread, and from
    /// now on changes of the file system's metadata come here. EUCLEAN when the log is not empty.
    pub fn begin(self: &Arc<Self>) -> Result<()> {
        if self.needs_recovery() {
            log::error!("{self}: the log is not empty");
            return Err(Errno::EUCLEAN);
        }
        self.reset()?;
        self.open()
    }

    /// The log is as it shall be: lets handles in.
    pub(crate) fn open(self: &Arc<Self>) -> Result<()> {
        if self.options().thread {
            *self.thread().lock() = Some(thread::start(self)?);
        }
        self.state().lock().open = true;
        self.setup().fs_device.set_journal(Some(self.clone()));
        Ok(())
    }

    /// Gives the journal up: the file system's changes since the last commit are lost, and there will be no
    /// more. The first error counts; it is told the log, the journal's superblock (unless it is ESHUTDOWN) and
    /// the file system.
    pub fn abort(&self, error: Errno) {
        {
            let mut state = self.state().lock();
            if state.aborted.is_some() {
                return;
            }
            state.aborted = Some(error);
        }
        self.set_dead();
        self.moved.wake_all();
        self.drained.wake_all();
        log::error!("{self}: aborting the journal: {error}");
        if error != Errno::ESHUTDOWN
            && let Err(error) = self.record_errno(-i32::from(error.number()))
        {
            log::error!("{self}: the journal's superblock cannot be written: {error}");
        }
        (self.setup().on_abort)(error);
    }

    /// Commits everything and takes it home, so that the log is empty (`jbd2_journal_flush`). Who wants it to
    /// stay so holds handles back ([`Journal::lock_updates`]). EIO after an abort, EBUSY when others go on
    /// changing faster than this ends.
    pub fn flush(&self) -> Result<()> {
        self.take_role()?.empty_log()
    }

    /// Unmount: what [`Journal::flush`] does, and the journal lets go of the device. No handle is active. After
    /// an abort nothing is written, and what the device's cache held is dropped: it is not what counts.
    pub fn end(&self) -> Result<()> {
        self.bell().stop();
        let thread = self.thread().lock().take();
        if let Some(thread) = thread {
            thread.join();
        }
        let done = if self.state().lock().open { self.flush() } else { Ok(()) };
        self.setup().fs_device.set_journal(None);
        let callbacks = {
            let mut lists = self.lists().lock();
            let callbacks = core::mem::take(&mut lists.running.callbacks);
            *lists = crate::transaction::Lists::default();
            callbacks
        };
        let mut state = self.state().lock();
        (state.open, state.running) = (false, None);
        drop(state);
        callbacks.into_iter().for_each(|call| call(Err(Errno::EIO)));
        if done.is_err() {
            self.setup().fs_device.drop_cache();
        }
        done
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.bell().stop();
    }
}
