//! QEMU's process: started, asked to end, stopped; it never outlives its value.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::monitor::Monitor;

/// How long QEMU may take to end after the guest has said that it is done.
pub const GRACE: Duration = Duration::from_secs(5);

/// A QEMU, and the line to its monitor.
pub struct Qemu {
    child: Child,
    monitor: Monitor,
}

/// Its standard streams.
pub struct Pipes {
    pub stdin: ChildStdin,
    pub stdout: ChildStdout,
    pub stderr: ChildStderr,
}

impl Qemu {
    /// Starts it in a process group of its own: a terminal's Ctrl-C reaches the launcher, which decides.
    pub fn start(mut command: Command, monitor: Monitor) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.process_group(0).spawn().context("cannot start QEMU")?;
        Ok(Qemu { child, monitor })
    }

    /// Its streams, once.
    pub fn take_pipes(&mut self) -> Result<Pipes> {
        let child = &mut self.child;
        match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
            (Some(stdin), Some(stdout), Some(stderr)) => Ok(Pipes { stdin, stdout, stderr }),
            _ => anyhow::bail!("QEMU has no pipes"),
        }
    }

    /// Presses the guest's power key. Whether there is one to press.
    pub fn power_down(&mut self) -> bool {
        self.monitor.power_down()
    }

    /// Kills it.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.kill().context("cannot stop QEMU")
    }

    fn kill(&mut self) -> io::Result<ExitStatus> {
        // Fails only for a process that has been waited for, which is as good as killed.
        let _ = self.child.kill();
        self.child.wait()
    }

    /// Waits for it, but not for one that hangs on its way out.
    pub fn wait_briefly(&mut self) -> Result<ExitStatus> {
        let patience = Instant::now() + GRACE;
        while Instant::now() < patience {
            if let Some(status) = self.child.try_wait().context("cannot wait for QEMU")? {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(2));
        }
        self.stop()
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
