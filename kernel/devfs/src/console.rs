//! The console as a terminal: /dev/console, /dev/tty, /dev/ttyAMA0.
//!
//! Below is a [`ConsoleDriver`] that moves raw bytes; `boot` implements it over the serial port and
//! does the framing (docs/console.md). Above is a terminal as Linux has it: settings, lines, echo,
//! window size. One program, one session: the terminal is its controlling terminal.
//!
//! A driver that says [`ConsoleDriver::framed`] carries the program's output and input unchanged, so
//! the terminal then begins with settings that change nothing ([`Termios::clean`]); the program may
//! set others.
//!
//! # Locking
//! `reader` (sleeping) is held by the one reader that pulls bytes from the driver, also while it
//! waits. `state` (sleeping) guards settings and gathered input and is never held while waiting.
//! `writer` (sleeping) keeps the pieces of one write together. Order: reader, state, writer.

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::{DevId, Errno, IovIter, Result, UserAddr, UserMemory};
use sync::Mutex;
use vfs::device::{self, Device};
use vfs::{Caller, File, FileOperations, FileType, Kiocb, KiocbFlags, OpenFlags};

use crate::line::{Event, Line};
use crate::termios::{self, Local, Output, Termios, cc};

/// What waiting for input came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InputState {
    /// [`ConsoleDriver::read`] has at least one byte.
    Ready,
    /// There is none and none will come.
    Ended,
    /// The time is over and there is none.
    Nothing,
}

/// The console's raw bytes, implemented in `boot`.
pub trait ConsoleDriver: Send + Sync {
    /// Sends the program's output. Returns when it is on its way.
    fn write(&self, bytes: &[u8]);

    /// Takes what has arrived, perhaps nothing. Never waits.
    fn read(&self, buf: &mut [u8]) -> usize;

    /// Waits until something has arrived, the input ended, or `timeout_ns` passed (None: for ever;
    /// 0: only looks). EINTR when a signal for the program came first.
    fn wait(&self, timeout_ns: Option<u64>) -> Result<InputState>;

    /// Whether the line is clean for all 8 bits (`quill.console=framed`).
    fn framed(&self) -> bool;

    /// The program's terminal asks for a signal to it: ^C and its like.
    fn signal(&self, _number: u8) {}
}

/// Enters the terminal under its three numbers.
pub fn register(driver: Arc<dyn ConsoleDriver>) {
    let tty = Arc::new(Tty::new(driver));
    for dev in [DevId::new(5, 0), DevId::new(5, 1), DevId::new(204, 64)] {
        device::register(FileType::CharDevice, dev, tty.clone());
    }
}

/// The terminal.
pub struct Tty {
    driver: Arc<dyn ConsoleDriver>,
    reader: Mutex<()>,
    writer: Mutex<()>,
    state: Mutex<State>,
}

struct State {
    termios: Termios,
    line: Line,
    /// `struct winsize`: rows, columns, and two sizes in pixels.
    window: [u8; 8],
    /// The foreground process group.
    group: i32,
}

impl Tty {
    /// A terminal over a driver.
    pub fn new(driver: Arc<dyn ConsoleDriver>) -> Tty {
        let termios = if driver.framed() { Termios::clean() } else { Termios::standard() };
        let state = State { termios, line: Line::new(), window: [0; 8], group: 1 };
        Tty { driver, reader: Mutex::new(()), writer: Mutex::new(()), state: Mutex::new(state) }
    }

    /// Sends bytes, with a carriage return before each newline when the settings say so.
    fn output(&self, bytes: &[u8], settings: Output) {
        if !settings.contains(Output::OPOST | Output::ONLCR) {
            return self.driver.write(bytes);
        }
        let mut first = true;
        for part in bytes.split(|&b| b == b'\n') {
            if !first {
                self.driver.write(b"\r\n");
            }
            first = false;
            if !part.is_empty() {
                self.driver.write(part);
            }
        }
    }

    /// Takes what has arrived through the line discipline.
    fn pull(&self) {
        let mut chunk = [0; 256];
        loop {
            let got = self.driver.read(&mut chunk);
            if got == 0 {
                return;
            }
            self.receive(&chunk[..got]);
        }
    }

    fn receive(&self, bytes: &[u8]) {
        let mut echo = Vec::new();
        let mut signals = Vec::new();
        let settings = {
            let mut state = self.state.lock();
            let State { termios, line, .. } = &mut *state;
            for &byte in bytes {
                if let Event::Signal(number) = line.push(byte, termios, &mut echo) {
                    signals.push(number);
                }
            }
            termios.output
        };
        if !echo.is_empty() {
            let _held = self.writer.lock();
            self.output(&echo, settings);
        }
        signals.into_iter().for_each(|s| self.driver.signal(s));
    }

    /// Waits until a read has something to return. False: the end of all input. EAGAIN when it may
    /// not wait, EINTR.
    fn wait_for_input(&self, want: usize, may_wait: bool) -> Result<bool> {
        // VTIME runs from the last byte, and from the read on when VMIN is 0.
        loop {
            self.pull();
            let (ready, timeout) = self.readiness(want);
            if ready {
                return Ok(true);
            }
            // A read that would not wait anyway (VMIN and VTIME 0) is none that O_NONBLOCK refuses.
            let refuse = !may_wait && timeout != Some(0);
            match self.driver.wait(if refuse { Some(0) } else { timeout })? {
                InputState::Ready => {}
                InputState::Ended => {
                    let mut state = self.state.lock();
                    state.line.finish();
                    return Ok(state.line.ready());
                }
                InputState::Nothing if refuse => return Err(Errno::EAGAIN),
                // Who waits for ever goes on waiting.
                InputState::Nothing if timeout.is_none() => {}
                // VTIME is over: what there is, perhaps nothing.
                InputState::Nothing => return Ok(self.state.lock().line.ready()),
            }
        }
    }

    /// Whether a read of `want` bytes returns now, and how long it may wait for more.
    fn readiness(&self, want: usize) -> (bool, Option<u64>) {
        let state = self.state.lock();
        if state.termios.local.contains(Local::ICANON) {
            return (state.line.ready(), None);
        }
        let min = usize::from(state.termios.chars[cc::VMIN]);
        let time = u64::from(state.termios.chars[cc::VTIME]) * 100_000_000;
        let have = state.line.available();
        let timeout = match (min, time) {
            (0, time) => Some(time),
            (_, 0) => None,
            // The clock of VTIME starts with the first byte.
            (_, time) => (have > 0).then_some(time),
        };
        (have > 0 && have >= min.min(want), timeout)
    }

    fn set_termios(&self, memory: &dyn UserMemory, arg: u64, two: bool, flush: bool) -> Result<u64> {
        let mut bytes = [0; termios::SIZE2];
        let size = if two { termios::SIZE2 } else { termios::SIZE };
        memory.read_exact(UserAddr(arg), &mut bytes[..size])?;
        let mut state = self.state.lock();
        let before = state.termios.local;
        state.termios.set_from(&bytes, two);
        if (before ^ state.termios.local).contains(Local::ICANON) {
            state.line.mode_changed();
        }
        if flush {
            state.line.flush();
        }
        Ok(0)
    }

    /// Throws away what has arrived.
    fn flush_input(&self) {
        let mut chunk = [0; 256];
        while self.driver.read(&mut chunk) > 0 {}
        self.state.lock().line.flush();
    }
}

impl Device for Tty {
    fn open(self: Arc<Self>, _flags: OpenFlags) -> Result<Arc<dyn FileOperations>> {
        Ok(self)
    }
}

impl FileOperations for Tty {
    fn can_read(&self) -> bool {
        true
    }

    fn can_write(&self) -> bool {
        true
    }

    fn seekable(&self) -> bool {
        false
    }

    fn read_iter(&self, _file: &File, iocb: &mut Kiocb, to: &mut IovIter<'_>) -> Result<usize> {
        let want = to.count();
        if want == 0 {
            return Ok(0);
        }
        let may_wait = !iocb.flags.intersects(KiocbFlags::NONBLOCK | KiocbFlags::NOWAIT);
        let _one = self.reader.lock();
        if !self.wait_for_input(want, may_wait)? {
            return Ok(0);
        }
        let (bytes, canonical) = {
            let state = self.state.lock();
            let canonical = state.termios.local.contains(Local::ICANON);
            (state.line.peek(want, canonical), canonical)
        };
        // The copy may sleep, so without the lock; `reader` keeps others from these bytes.
        let done = to.copy_from_slice(&bytes);
        if done > 0 || (bytes.is_empty() && canonical) {
            self.state.lock().line.consume(done);
        }
        if done == 0 && !bytes.is_empty() { Err(Errno::EFAULT) } else { Ok(done) }
    }

    fn write_iter(&self, _file: &File, _iocb: &mut Kiocb, from: &mut IovIter<'_>) -> Result<usize> {
        let settings = self.state.lock().termios.output;
        let mut chunk = [0; 512];
        let mut done = 0;
        let _held = self.writer.lock();
        while from.count() > 0 {
            let want = chunk.len().min(from.count());
            let got = from.copy_to_slice(&mut chunk[..want]);
            self.output(&chunk[..got], settings);
            done += got;
            if got < want {
                return if done > 0 { Ok(done) } else { Err(Errno::EFAULT) };
            }
        }
        Ok(done)
    }

    fn poll(&self, _file: &File) -> u32 {
        const IN: u32 = 0x41;
        const OUT: u32 = 0x104;
        // A reader that waits holds `reader` and will take what comes.
        if let Some(_one) = self.reader.try_lock() {
            self.pull();
        }
        let ended = self.driver.wait(Some(0)) == Ok(InputState::Ended);
        let ready = ended || self.readiness(1).0;
        if ready { IN | OUT } else { OUT }
    }

    fn ioctl(&self, _file: &File, cmd: u32, arg: u64, caller: &Caller<'_>) -> Result<u64> {
        self.control(cmd, arg, caller.memory)
    }
}

/// The commands of ioctl_tty(2).
impl Tty {
    fn control(&self, cmd: u32, arg: u64, memory: &dyn UserMemory) -> Result<u64> {
        let put = |bytes: &[u8]| memory.write_all(UserAddr(arg), bytes).map(|()| 0);
        match cmd {
            TCGETS => put(&self.state.lock().termios.to_bytes()[..termios::SIZE]),
            TCGETS2 => put(&self.state.lock().termios.to_bytes()),
            TCSETS | TCSETSW | TCSETSF => self.set_termios(memory, arg, false, cmd == TCSETSF),
            TCSETS2 | TCSETSW2 | TCSETSF2 => self.set_termios(memory, arg, true, cmd == TCSETSF2),
            TIOCGWINSZ => {
                let window = self.state.lock().window;
                put(&window)
            }
            TIOCSWINSZ => {
                let mut window = [0; 8];
                memory.read_exact(UserAddr(arg), &mut window)?;
                self.state.lock().window = window;
                Ok(0)
            }
            TIOCGPGRP => {
                let group = self.state.lock().group;
                put(&group.to_le_bytes())
            }
            TIOCSPGRP => {
                let mut group = [0; 4];
                memory.read_exact(UserAddr(arg), &mut group)?;
                self.set_group(i32::from_le_bytes(group))
            }
            // The session's leader is the program.
            TIOCGSID => put(&1i32.to_le_bytes()),
            FIONREAD => {
                if let Some(_one) = self.reader.try_lock() {
                    self.pull();
                }
                let n = i32::try_from(self.state.lock().line.available()).unwrap_or(i32::MAX);
                put(&n.to_le_bytes())
            }
            // What was written is on its way already.
            TIOCOUTQ => put(&0i32.to_le_bytes()),
            TCFLSH => match arg {
                0 | 2 => {
                    self.flush_input();
                    Ok(0)
                }
                1 => Ok(0),
                _ => Err(Errno::EINVAL),
            },
            TCSBRK | TCSBRKP | TCXONC | TIOCSCTTY | TIOCNOTTY | TIOCEXCL | TIOCNXCL => Ok(0),
            _ => Err(Errno::ENOTTY),
        }
    }

    fn set_group(&self, group: i32) -> Result<u64> {
        match group {
            ..=0 => Err(Errno::EINVAL),
            _ => {
                self.state.lock().group = group;
                Ok(0)
            }
        }
    }
}

const TCGETS: u32 = 0x5401;
const TCSETS: u32 = 0x5402;
const TCSETSW: u32 = 0x5403;
const TCSETSF: u32 = 0x5404;
const TCSBRK: u32 = 0x5409;
const TCXONC: u32 = 0x540a;
const TCFLSH: u32 = 0x540b;
const TIOCEXCL: u32 = 0x540c;
const TIOCNXCL: u32 = 0x540d;
const TIOCSCTTY: u32 = 0x540e;
const TIOCGPGRP: u32 = 0x540f;
const TIOCSPGRP: u32 = 0x5410;
const TIOCOUTQ: u32 = 0x5411;
const TIOCGWINSZ: u32 = 0x5413;
const TIOCSWINSZ: u32 = 0x5414;
const FIONREAD: u32 = 0x541b;
const TIOCNOTTY: u32 = 0x5422;
const TCSBRKP: u32 = 0x5425;
const TIOCGSID: u32 = 0x5429;
const TCGETS2: u32 = 0x802c_542a;
const TCSETS2: u32 = 0x402c_542b;
const TCSETSW2: u32 = 0x402c_542c;
const TCSETSF2: u32 = 0x402c_542d;
