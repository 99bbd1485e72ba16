//! A running QEMU: hands its output on, feeds it input, and stops it when it must stop.
//!
//! Four threads speak to the one that decides, over a bounded channel: one reads the guest's wire,
//! one QEMU's stderr, one waits for signals, one relays standard input. The deciding thread alone
//! decodes the wire, writes to stdout and stderr, and kills.
//!
//! Standard input is held back until the guest has sent its first byte (or [`INPUT_PATIENCE`] has
//! passed): before the kernel has set up its serial port, input would be lost.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::console::{Decoder, END_OF_INPUT, End, Event, Stream, encode_input};
use crate::outcome::Outcome;

/// How long QEMU may take to end after the guest has said that it is done.
const GRACE: Duration = Duration::from_secs(5);
/// How long input waits for a guest that says nothing.
const INPUT_PATIENCE: Duration = Duration::from_secs(2);
/// Messages on their way: enough to keep the threads busy, few enough to hold QEMU back.
const QUEUE: usize = 16;
const BUFFER: usize = 64 * 1024;

/// Takes over the signals that end a run, so that they end QEMU first. To be called before there
/// is anything to clean up.
pub fn catch_signals() -> Result<Signals> {
    Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot catch signals")
}

/// Runs QEMU until the guest is done, the limit has passed or a signal has come.
pub fn run(command: Command, limit: Option<Duration>, signals: Signals) -> Result<Outcome> {
    let session = Session::start(command, signals)?;
    session.watch(limit)
}

/// What the threads have to say.
enum Message {
    Output(Vec<u8>),
    OutputEnded,
    Signal(i32),
}

/// QEMU's process; it never outlives this value.
struct Qemu(Child);

impl Qemu {
    fn stop(&mut self) -> io::Result<ExitStatus> {
        // Fails only for a process that has been waited for, which is as good as killed.
        let _ = self.0.kill();
        self.0.wait()
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

struct Session {
    qemu: Qemu,
    messages: Receiver<Message>,
    /// Wakes the thread that relays input.
    input_gate: Sender<()>,
    /// Returns the last line of QEMU's stderr.
    errors: JoinHandle<Option<String>>,
    decoder: Decoder,
    end: Option<End>,
}

impl Session {
    fn start(mut command: Command, signals: Signals) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Its own process group: a terminal's Ctrl-C reaches the launcher, which decides.
        let mut child = command.process_group(0).spawn().context("cannot start QEMU")?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let qemu = Qemu(child);
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else { anyhow::bail!("QEMU has no pipes") };

        let (sender, messages) = sync_channel(QUEUE);
        let (input_gate, gate) = channel();
        spawn_signals(signals, sender.clone());
        thread::spawn(move || read_output(stdout, &sender));
        thread::spawn(move || relay_input(stdin, &gate));
        let errors = thread::spawn(move || relay_errors(stderr));
        Ok(Session { qemu, messages, input_gate, errors, decoder: Decoder::new(), end: None })
    }

    /// Decides, until there is an outcome; QEMU has ended then.
    fn watch(mut self, limit: Option<Duration>) -> Result<Outcome> {
        let started = Instant::now();
        loop {
            let deadline = match self.end {
                Some(_) => Some(GRACE),
                None => limit.map(|limit| limit.saturating_sub(started.elapsed())),
            };
            match receive(&self.messages, deadline) {
                Ok(Message::Output(wire)) => {
                    // The thread may have gone: it ends with the input.
                    let _ = self.input_gate.send(());
                    if self.output(&wire)? {
                        self.qemu.stop().context("cannot stop QEMU")?;
                        return Ok(self.end.map_or(Outcome::OutputClosed, Outcome::Guest));
                    }
                }
                Ok(Message::Signal(signal)) => {
                    self.qemu.stop().context("cannot stop QEMU")?;
                    return Ok(Outcome::Interrupted(signal));
                }
                Ok(Message::OutputEnded) | Err(RecvTimeoutError::Disconnected) => return self.ended(),
                Err(RecvTimeoutError::Timeout) => {
                    self.qemu.stop().context("cannot stop QEMU")?;
                    let timed_out = Outcome::TimedOut(limit.unwrap_or(GRACE));
                    return Ok(self.end.map_or(timed_out, Outcome::Guest));
                }
            }
        }
    }

    /// QEMU has closed its output: it has ended or is about to.
    fn ended(mut self) -> Result<Outcome> {
        self.flush_decoder()?;
        let status = self.wait_briefly()?;
        if let Some(end) = self.end {
            return Ok(Outcome::Guest(end));
        }
        let message = self.errors.join().unwrap_or_default();
        Ok(Outcome::Silent { status: status.to_string(), message })
    }

    /// Waits for QEMU, but not for one that hangs on its way out.
    fn wait_briefly(&mut self) -> Result<ExitStatus> {
        let patience = Instant::now() + GRACE;
        while Instant::now() < patience {
            if let Some(status) = self.qemu.0.try_wait().context("cannot wait for QEMU")? {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(2));
        }
        self.qemu.stop().context("cannot stop QEMU")
    }

    /// Hands on one piece of the wire. True when nobody reads the program's output any more.
    fn output(&mut self, wire: &[u8]) -> Result<bool> {
        let mut sink = Sink { end: &mut self.end, error: None };
        self.decoder.feed(wire, |event| sink.take(event));
        sink.result()
    }

    fn flush_decoder(&mut self) -> Result<bool> {
        let mut sink = Sink { end: &mut self.end, error: None };
        self.decoder.finish(|event| sink.take(event));
        sink.result()
    }
}

/// Writes what the decoder finds; remembers the first end and the first error.
struct Sink<'a> {
    end: &'a mut Option<End>,
    error: Option<io::Error>,
}

impl Sink<'_> {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Data(Stream::Program, bytes) if self.error.is_none() => {
                self.error = write_out(&mut io::stdout().lock(), bytes).err();
            }
            Event::Data(Stream::Program, _) => {}
            // Without a stderr there is nobody to tell.
            Event::Data(Stream::Log, bytes) => drop(write_out(&mut io::stderr().lock(), bytes)),
            Event::End(end) => *self.end = self.end.or(Some(end)),
        }
    }

    /// True for a closed pipe, an error for any other failure.
    fn result(self) -> Result<bool> {
        match self.error {
            None => Ok(false),
            Some(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(true),
            Some(error) => Err(error).context("cannot write the program's output"),
        }
    }
}

/// Unbuffered: what the program has written is out when this returns.
fn write_out(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    out.write_all(bytes)?;
    out.flush()
}

fn receive(messages: &Receiver<Message>, deadline: Option<Duration>) -> Result<Message, RecvTimeoutError> {
    match deadline {
        Some(left) => messages.recv_timeout(left),
        None => messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
    }
}

fn spawn_signals(mut signals: Signals, sender: SyncSender<Message>) {
    thread::spawn(move || {
        for signal in &mut signals {
            if sender.send(Message::Signal(signal)).is_err() {
                break;
            }
        }
    });
}

fn read_output(mut stdout: ChildStdout, sender: &SyncSender<Message>) {
    let mut buffer = vec![0; BUFFER];
    while let Ok(len @ 1..) = retry(|| stdout.read(&mut buffer)) {
        if sender.send(Message::Output(buffer[..len].to_vec())).is_err() {
            return;
        }
    }
    // When nobody listens any more, the end has been decided already.
    let _ = sender.send(Message::OutputEnded);
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
