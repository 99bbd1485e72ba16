//! The PL061, as far as a key needs it: one line in, an interrupt when it goes down.
//!
//! ```ignore
//! gpio::on_press(key, Box::new(|| …))?;    // called in the interrupt handler
//! ```
//! The other lines are left as they are. The controller looks for edges: a key that is held down
//! interrupts once.
//!
//! Source: Arm DDI 0190, chapter 3.

use alloc::boxed::Box;

use base::{Errno, PhysAddr, Result};

use crate::devicetree::GpioKey;
use crate::mmio::Mmio;
use crate::{irq, mmu};

/// Direction, a bit a line: 1 is out.
const GPIODIR: usize = 0x400;
/// 1 interrupts by level, 0 by edges.
const GPIOIS: usize = 0x404;
/// 1 interrupts at both edges.
const GPIOIBE: usize = 0x408;
/// 1 interrupts at the rising edge, 0 at the falling one.
const GPIOIEV: usize = 0x40c;
/// 1 lets the line's interrupt through.
const GPIOIE: usize = 0x410;
/// What interrupts and is let through.
const GPIOMIS: usize = 0x418;
/// Writing 1 forgets the edge.
const GPIOIC: usize = 0x41c;
/// 1 takes the line from software.
const GPIOAFSEL: usize = 0x420;
/// Registers up to here are used.
const WINDOW: u64 = 0x424;

/// A key, taken over.
struct Key {
    registers: Mmio,
    /// Its line's bit.
    bit: u32,
    active_low: bool,
}

/// Calls `pressed` whenever the key goes down from now on, and at once when it is down. ENODEV for a
/// controller without an interrupt or with fewer registers than a PL061 has.
pub fn on_press(key: GpioKey, pressed: irq::Handler) -> Result<()> {
    let window = key.controller.registers;
    let interrupt = key.controller.interrupt.filter(|_| window.len() >= WINDOW).ok_or(Errno::ENODEV)?;
    let base = mmu::map_device(PhysAddr(window.start), window.len())?;
    // SAFETY: the device tree says that this is a PL061; it was just mapped and reaches no memory.
    let registers = unsafe { Mmio::new(base, window.len() as usize) };
    let key = Key { registers, bit: 1 << key.line, active_low: key.active_low };
    key.listen();
    if key.is_down() {
        pressed();
    }
    irq::register(
        interrupt,
        Box::new(move || {
            if key.take_edge() {
                pressed();
            }
        }),
    )
}

impl Key {
    /// The line is an input and interrupts at the edge that pressing makes.
    fn listen(&self) {
        self.set(GPIOIE, false);
        self.set(GPIOAFSEL, false);
        self.set(GPIODIR, false);
        self.set(GPIOIS, false);
        self.set(GPIOIBE, false);
        self.set(GPIOIEV, !self.active_low);
        self.registers.write(GPIOIC, self.bit);
        self.set(GPIOIE, true);
    }

    /// Whether it is held down now.
    fn is_down(&self) -> bool {
        // GPIODATA's address says in bits 9 to 2 which lines are read.
        let high = self.registers.read((self.bit << 2) as usize) & self.bit != 0;
        high != self.active_low
    }

    /// Whether it was pressed since the last time.
    fn take_edge(&self) -> bool {
        let was = self.registers.read(GPIOMIS) & self.bit != 0;
        if was {
            self.registers.write(GPIOIC, self.bit);
        }
        was
    }

    /// Its bit in a register.
    fn set(&self, register: usize, on: bool) {
        let others = self.registers.read(register) & !self.bit;
        self.registers.write(register, if on { others | self.bit } else { others });
    }
}
