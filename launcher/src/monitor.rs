//! QEMU's monitor, for the one thing the launcher wants of it: to press the power key.
//!
//! The line is a socket pair that QEMU inherits, so that there is no name in any folder and nobody
//! else at it. QEMU greets as soon as it listens; whoever has not greeted has no power key.
//! Source: QEMU, docs/interop/qmp-spec.rst.

use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::io::{FdFlags, fcntl_setfd};

/// How long the greeting may take. It was sent long ago, or never will be.
const PATIENCE: Duration = Duration::from_millis(200);

/// QEMU takes the commands one after the other.
const PRESS: &[u8] = b"{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"system_powerdown\"}\n";

/// The launcher's end.
#[derive(Debug)]
pub struct Monitor(UnixStream);

/// QEMU's end, to be kept until QEMU has inherited it.
#[derive(Debug)]
pub struct MonitorEnd(OwnedFd);

/// A line to a QEMU that is yet to be started.
pub fn line() -> Result<(Monitor, MonitorEnd)> {
    let (ours, theirs) = UnixStream::pair().context("cannot make QEMU's monitor")?;
    let theirs = OwnedFd::from(theirs);
    fcntl_setfd(&theirs, FdFlags::empty()).context("cannot hand QEMU its monitor")?;
    Ok((Monitor(ours), MonitorEnd(theirs)))
}

impl MonitorEnd {
    /// Its number, which is the same in QEMU.
    pub fn number(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Monitor {
    /// Presses the power key. Whether there was somebody to do so.
    pub fn power_down(&mut self) -> bool {
        let greeted = self.0.set_read_timeout(Some(PATIENCE)).is_ok()
            && self.0.read(&mut [0; 1024]).is_ok_and(|len| len > 0);
        greeted && self.0.write_all(PRESS).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_pressed_where_somebody_has_greeted() {
        let (mut ours, theirs) = line().expect("a line");
        let mut qemu = UnixStream::from(theirs.0);
        qemu.write_all(b"{\"QMP\": {}}\r\n").expect("sent");
        assert!(ours.power_down());
        drop(ours);
        let mut heard = String::new();
        qemu.read_to_string(&mut heard).expect("text");
        assert!(heard.ends_with("{\"execute\":\"system_powerdown\"}\n"), "{heard}");
    }

    #[test]
    fn silence_and_a_dead_line_are_told() {
        let (mut ours, theirs) = line().expect("a line");
        assert!(!ours.power_down(), "nobody has greeted");
        drop(theirs);
        assert!(!ours.power_down(), "nobody is there");
    }
}
