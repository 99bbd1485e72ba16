//! The serial line as the terminal's driver.

use base::{Errno, Result};
use devfs::{ConsoleDriver, InputState};
use machine::console::{self, Waiting};
use machine::framing::Stream;
use process::signal::{SigInfo, Signal};
use sync::thread;

use crate::proc_source;

/// The machine's console, for `devfs::register`.
pub struct Terminal;

impl ConsoleDriver for Terminal {
    fn write(&self, bytes: &[u8]) {
        console::write(Stream::Program, bytes);
    }

    fn read(&self, buf: &mut [u8]) -> usize {
        console::read(buf)
    }

    fn wait(&self, timeout_ns: Option<u64>) -> Result<InputState> {
        match console::wait(timeout_ns) {
            Waiting::Bytes => Ok(InputState::Ready),
            Waiting::Ended => Ok(InputState::Ended),
            Waiting::Nothing if thread::signal_pending() => Err(Errno::EINTR),
            Waiting::Nothing => Ok(InputState::Nothing),
        }
    }

    fn framed(&self) -> bool {
        console::is_framed()
    }

    fn signal(&self, number: u8) {
        if let Ok(signal) = Signal::from_user(number.into()) {
            proc_source::signal(SigInfo::kernel(signal));
        }
    }
}

/// Sleeps for a reader that waits. EINTR when a signal for the program came.
pub fn sleep(ns: u64) -> Result<()> {
    thread::sleep_ns(ns);
    if thread::signal_pending() { Err(Errno::EINTR) } else { Ok(()) }
}
