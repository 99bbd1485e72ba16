//! The one serial line: program output, kernel log and input share it, by [`framing`](crate::framing).
//!
//! * [`write()`] sends, a few hundred bytes per lock, polling the transmitter.
//! * [`wait`] sleeps until input is there, [`read`] takes it. Bytes come by interrupt into a queue; when
//!   that is full the interrupt is off and the host waits, so nothing is lost.
//! * [`panic_write`] works whatever was going on: it uses no lock.
//!
//! # Locking
//! One spin lock for the UART and both directions; usable in interrupt handlers.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, Ordering};

use arrayvec::ArrayVec;
use base::{PhysAddr, Result};
use spin::Once;
use sync::{SpinLock, WaitQueue};

use crate::devicetree::Device;
use crate::framing::{Decoder, Encoder, End, Input, Stream};
use crate::mmio::Mmio;
use crate::uart::Uart;
use crate::{irq, mmu};

/// Bytes sent under one lock.
const CHUNK: usize = 256;
/// Bytes of input that may wait.
const QUEUE: usize = 4096;

struct Console {
    uart: Uart,
    encoder: Encoder,
    decoder: Decoder,
    input: ArrayVec<u8, QUEUE>,
    /// The first byte of `input` not yet read.
    head: usize,
    end_of_file: bool,
    /// The receive interrupt is off because the queue is full.
    throttled: bool,
}

static REGISTERS: Once<Mmio> = Once::new();
static CONSOLE: SpinLock<Option<Console>> = SpinLock::new(None);
static READERS: WaitQueue = WaitQueue::new();
static FRAMED: AtomicBool = AtomicBool::new(false);

/// Takes the UART over; output works from here on.
pub fn init(device: Device) -> Result<()> {
    let base = mmu::map_device(PhysAddr(device.registers.start), device.registers.len())?;
    // SAFETY: the device tree says that this is a PL011; it was just mapped and reaches no memory.
    let registers = unsafe { Mmio::new(base, device.registers.len() as usize) };
    REGISTERS.call_once(|| registers);
    *CONSOLE.lock() = Some(Console {
        uart: Uart::new(registers),
        encoder: Encoder::new(),
        decoder: Decoder::new(),
        input: ArrayVec::new(),
        head: 0,
        end_of_file: false,
        throttled: false,
    });
    Ok(())
}

/// Turns framing on: the launcher is at the other end, and waits for the first frame.
pub fn set_framed() {
    FRAMED.store(true, Ordering::Relaxed);
    if let Some(Console { uart, encoder, decoder, .. }) = CONSOLE.lock().as_mut() {
        encoder.set_framed();
        decoder.set_framed();
        encoder.announce(|byte| uart.send(byte));
    }
}

/// Whether the launcher is at the other end; then the tty changes no byte.
pub fn is_framed() -> bool {
    FRAMED.load(Ordering::Relaxed)
}

/// Sends bytes of a stream. Without a console they are lost.
pub fn write(stream: Stream, bytes: &[u8]) {
    for chunk in bytes.chunks(CHUNK) {
        if let Some(Console { uart, encoder, .. }) = CONSOLE.lock().as_mut() {
            encoder.write(stream, chunk, |byte| uart.send(byte));
        }
    }
}

/// Sends the last frame.
pub fn end(end: End) {
    if let Some(Console { uart, encoder, .. }) = CONSOLE.lock().as_mut() {
        encoder.end(end, |byte| uart.send(byte));
    }
}

/// For a panic, interrupts masked: sends log bytes past every lock, then perhaps the last frame.
pub fn panic_write(bytes: &[u8], last: Option<End>) {
    let Some(&registers) = REGISTERS.get() else { return };
    let mut uart = Uart::new(registers);
    let mut encoder = Encoder::unknown(is_framed());
    encoder.write(Stream::Log, bytes, |byte| uart.send(byte));
    if let Some(end) = last {
        encoder.end(end, |byte| uart.send(byte));
    }
}

/// Starts input. Needs the heap and the interrupt controller.
pub fn enable_input(device: Device) -> Result<()> {
    let Some(interrupt) = device.interrupt else { return Ok(()) };
    irq::register(interrupt, Box::new(receive))?;
    // What came before the interrupt was on raises none any more.
    receive();
    Ok(())
}

/// What there is of input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waiting {
    /// At least one byte.
    Bytes,
    /// None, and none will come: the launcher said so, or there is no console.
    Ended,
    /// None yet.
    Nothing,
}

/// Looks whether there is input.
pub fn waiting() -> Waiting {
    match CONSOLE.lock().as_ref() {
        None => Waiting::Ended,
        Some(console) if console.head < console.input.len() => Waiting::Bytes,
        Some(console) if console.end_of_file => Waiting::Ended,
        Some(_) => Waiting::Nothing,
    }
}

/// Sleeps until there is input, it has ended, a signal waits for the thread, or the time is over (None:
/// never).
pub fn wait(timeout_ns: Option<u64>) -> Waiting {
    READERS.wait_interruptible(timeout_ns, || waiting() != Waiting::Nothing);
    waiting()
}

/// Takes up to `buf.len()` bytes of input, perhaps none; never waits.
pub fn read(buf: &mut [u8]) -> usize {
    let mut guard = CONSOLE.lock();
    let Some(console) = guard.as_mut() else { return 0 };
    let waiting = &console.input[console.head..];
    let n = waiting.len().min(buf.len());
    buf[..n].copy_from_slice(&waiting[..n]);
    console.head += n;
    if console.head == console.input.len() {
        console.input.clear();
        console.head = 0;
        if core::mem::take(&mut console.throttled) {
            console.pump();
        }
    }
    n
}

/// The receive interrupt.
fn receive() {
    if let Some(console) = CONSOLE.lock().as_mut() {
        console.uart.clear_interrupt();
        console.pump();
    }
    READERS.wake_all();
}

impl Console {
    /// Moves bytes from the UART to the queue until one of them is out of them.
    fn pump(&mut self) {
        while !self.input.is_full() {
            let Some(byte) = self.uart.receive() else {
                return self.uart.enable_receive_interrupt();
            };
            match self.decoder.feed(byte) {
                Some(Input::Byte(byte)) => self.input.push(byte),
                Some(Input::EndOfFile) => self.end_of_file = true,
                None => {}
            }
        }
        self.throttled = true;
        self.uart.disable_receive_interrupt();
    }
}
