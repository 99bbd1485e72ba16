//! A running QEMU: hands its output on, feeds it input, and stops it when it must stop.
//!
//! One thread decides; it never writes and never waits for anything but a report or its deadline, so
//! that neither a program that floods its console nor a reader who has fallen asleep can hold off a
//! time limit or a signal. The others:
//!
//! | thread | does | reports |
//! |---|---|---|
//! | `pump` | decodes the guest's wire, writes stdout, stderr and the trace | the guest's word, the end of the wire, a failed write |
//! | `relay_input` | encodes standard input | |
//! | `relay_errors` | copies QEMU's own stderr | its last line, when joined |
//! | `report_signals` | waits for signals | each |
//!
//! Standard input is held back until the guest has sent its first byte (or [`INPUT_PATIENCE`] has
//! passed): before the kernel has set up its serial port, input would be lost.
//!
//! # How a run is interrupted
//! A signal, or a reader who goes away, presses the guest's power key: the program gets SIGTERM, the disk
//! is unmounted, and the launcher ends as it would have. A second signal, a guest that takes longer than
//! [`STOPPING`], or one that has not begun, and QEMU is killed. The time limit kills at once.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::process::{ChildStdin, ChildStdout};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::console::{Decoder, END_OF_INPUT, End, Event, Stream, encode_input};
use crate::outcome::Outcome;
use crate::process::{GRACE, Pipes, Qemu};

/// How long the guest may take to end after its power key was pressed: it gives the program 5 s.
const STOPPING: Duration = Duration::from_secs(20);
/// A signal so soon after the first is the same one: timeout(1) sends it to the process and to its group.
const SAME_SIGNAL: Duration = Duration::from_millis(300);
/// How long the output of a QEMU that was stopped may take to be written.
const DRAIN: Duration = Duration::from_secs(1);
/// How long input waits for a guest that says nothing.
const INPUT_PATIENCE: Duration = Duration::from_secs(2);
const BUFFER: usize = 64 * 1024;

/// Takes over the signals that end a run, so that they end QEMU first. To be called before there
/// is anything to clean up.
pub fn catch_signals() -> Result<Signals> {
    Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot catch signals")
}

/// Runs QEMU until the guest is done, the limit has passed or a signal has come.
///
/// The trace goes to `trace`, or to stderr.
pub fn run(qemu: Qemu, limit: Option<Duration>, signals: Signals, trace: Option<File>) -> Result<Outcome> {
    let session = Session::start(qemu, signals, trace)?;
    session.watch(limit)
}

/// What the threads have to say.
enum Report {
    /// The guest's first word about its end.
    End(End),
    /// The wire has ended, and all that came over it is written.
    WireEnded,
    /// The program's output cannot be written.
    OutputFailed(io::Error),
    Signal(i32),
}

struct Session {
    qemu: Qemu,
    reports: Receiver<Report>,
    /// Returns the last line of QEMU's stderr.
    errors: JoinHandle<Option<String>>,
}

impl Session {
    fn start(mut qemu: Qemu, signals: Signals, trace: Option<File>) -> Result<Self> {
        let Pipes { stdin, stdout, stderr } = qemu.take_pipes()?;
        let (sender, reports) = channel();
        let (input_gate, gate) = channel();
        let signal_sender = sender.clone();
        thread::spawn(move || report_signals(signals, &signal_sender));
        thread::spawn(move || pump(stdout, trace, &input_gate, &sender));
        thread::spawn(move || relay_input(stdin, &gate));
        let errors = thread::spawn(move || relay_errors(stderr));
        Ok(Session { qemu, reports, errors })
    }

    /// Decides on the first thing that happens; QEMU has ended when this returns.
    fn watch(self, limit: Option<Duration>) -> Result<Outcome> {
        match self.next(limit) {
            Some(Report::End(end)) => self.leave(end),
            Some(Report::WireEnded) => self.fell_silent(),
            Some(Report::OutputFailed(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.power_down(Outcome::OutputClosed)
            }
            Some(Report::OutputFailed(error)) => {
                self.power_down(Outcome::OutputClosed)?;
                Err(error).context("cannot write the program's output")
            }
            Some(Report::Signal(signal)) => self.power_down(Outcome::Interrupted(signal)),
            None => self.stop(Outcome::TimedOut(limit.unwrap_or_default())),
        }
    }

    /// The next report; `None` when none came in time.
    fn next(&self, limit: Option<Duration>) -> Option<Report> {
        let report = match limit {
            Some(limit) => self.reports.recv_timeout(limit),
            None => self.reports.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match report {
            Ok(report) => Some(report),
            Err(RecvTimeoutError::Timeout) => None,
            // The pump says so before it ends; without it there is nothing more to come.
            Err(RecvTimeoutError::Disconnected) => Some(Report::WireEnded),
        }
    }

    /// The guest is done: what is still on the wire is written, and QEMU may end by itself.
    fn leave(mut self, end: End) -> Result<Outcome> {
        match self.next(Some(GRACE)) {
            Some(_) => self.qemu.wait_briefly()?,
            None => self.qemu.stop()?,
        };
        Ok(Outcome::Guest(end))
    }

    /// Presses the power key and lets the guest end: the disk is then as after any other run.
    fn power_down(mut self, outcome: Outcome) -> Result<Outcome> {
        if !self.qemu.power_down() {
            return self.stop(outcome);
        }
        let pressed = Instant::now();
        loop {
            match self.next(Some(STOPPING.saturating_sub(pressed.elapsed()))) {
                Some(Report::End(End::Panic)) => return self.leave(End::Panic),
                Some(Report::End(end)) => return self.leave(end).map(|_| outcome),
                Some(Report::WireEnded) => return self.fell_silent().map(|_| outcome),
                Some(Report::Signal(_)) if pressed.elapsed() < SAME_SIGNAL => {}
                Some(Report::Signal(_)) | None => return self.stop(outcome.killed()),
                // Nobody reads any more.
                Some(Report::OutputFailed(_)) => {}
            }
        }
    }

    /// Stops QEMU. What it has said until then is written, if that goes quickly.
    fn stop(mut self, outcome: Outcome) -> Result<Outcome> {
        self.qemu.stop()?;
        let word = self.next(Some(DRAIN));
        // A guest that was done just before has the last word, unless a signal says otherwise.
        match (word, &outcome) {
            (Some(Report::End(end)), Outcome::TimedOut(_)) => Ok(Outcome::Guest(end)),
            _ => Ok(outcome),
        }
    }

    /// QEMU has closed its output: it has ended or is about to, and the guest has not said why.
    fn fell_silent(mut self) -> Result<Outcome> {
        let status = self.qemu.wait_briefly()?.to_string();
        let message = self.errors.join().unwrap_or_default();
        Ok(Outcome::Silent { status, message })
    }
}

fn report_signals(mut signals: Signals, reports: &Sender<Report>) {
    for signal in &mut signals {
        if reports.send(Report::Signal(signal)).is_err() {
            break;
        }
    }
}

/// Takes the guest's wire apart and writes it out, until it ends. Reports to a
/// session that is over are lost on purpose.
fn pump(mut wire: ChildStdout, trace: Option<File>, input_gate: &Sender<()>, reports: &Sender<Report>) {
    let mut decoder = Decoder::new();
    let mut sink = Sink { reports, trace, is_done: false, has_failed: false };
    let mut buffer = vec![0; BUFFER];
    while let Ok(len @ 1..) = retry(|| wire.read(&mut buffer)) {
        let _ = input_gate.send(());
        decoder.feed(&buffer[..len], |event| sink.take(event));
    }
    decoder.finish(|event| sink.take(event));
    let _ = reports.send(Report::WireEnded);
}

/// Writes what the decoder finds; reports the first end and the first error. After an error what the
/// guest says is read and dropped, so that it can go on to its end.
struct Sink<'a> {
    reports: &'a Sender<Report>,
    trace: Option<File>,
    is_done: bool,
    has_failed: bool,
}

impl Sink<'_> {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Data(Stream::Program, bytes) if !self.has_failed => {
                let written = write_out(&mut io::stdout().lock(), bytes);
                written.unwrap_or_else(|error| self.fail(error));
            }
            Event::Data(Stream::Program, _) => {}
            // Without a stderr there is nobody to tell.
            Event::Data(Stream::Log, bytes) => drop(write_out(&mut io::stderr().lock(), bytes)),
            Event::Data(Stream::Trace, bytes) => self.trace(bytes),
            Event::End(end) if !self.is_done => {
                self.is_done = true;
                let _ = self.reports.send(Report::End(end));
            }
            Event::End(_) => {}
        }
    }

    /// To the file, or to stderr.
    fn trace(&mut self, bytes: &[u8]) {
        match &mut self.trace {
            None => drop(write_out(&mut io::stderr().lock(), bytes)),
            Some(file) if !self.has_failed => {
                if let Err(error) = write_out(file, bytes) {
                    self.fail(io::Error::other(format!("the trace: {error}")));
                }
            }
            Some(_) => {}
        }
    }

    fn fail(&mut self, error: io::Error) {
        self.has_failed = true;
        let _ = self.reports.send(Report::OutputFailed(error));
    }
}

/// Unbuffered: what the program has written is out when this returns.
fn write_out(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    out.write_all(bytes)?;
    out.flush()
}

/// Copies standard input to the guest; a guest that is gone ends it.
fn relay_input(mut guest: ChildStdin, gate: &Receiver<()>) {
    let _ = gate.recv_timeout(INPUT_PATIENCE);
    let mut stdin = io::stdin().lock();
    let mut buffer = vec![0; BUFFER];
    while let Ok(len @ 1..) = retry(|| stdin.read(&mut buffer)) {
        if write_out(&mut guest, &encode_input(&buffer[..len])).is_err() {
            return;
        }
    }
    let _ = write_out(&mut guest, &END_OF_INPUT);
}

/// Copies QEMU's own messages to stderr as they come, and returns the last line.
fn relay_errors(stderr: impl Read) -> Option<String> {
    let (mut reader, mut last) = (BufReader::new(stderr), None);
    loop {
        let mut line = Vec::new();
        match reader.read_until(b'\n', &mut line) {
            Ok(1..) => {
                let _ = write_out(&mut io::stderr().lock(), &line);
                let text = String::from_utf8_lossy(&line).trim().to_owned();
                last = Some(text).filter(|text| !text.is_empty()).or(last);
            }
            _ => return last,
        }
    }
}

/// Repeats a call that a signal interrupts.
fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
