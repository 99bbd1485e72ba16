//! The PL011: bytes out at once, bytes in by interrupt.
//!
//! Source: Arm DDI 0183, chapter 3. QEMU's model needs no baud rate; what a boot loader set is kept.

use crate::mmio::Mmio;

const DR: usize = 0x00;
const FR: usize = 0x18;
const IMSC: usize = 0x38;
const ICR: usize = 0x44;
const LCR_H: usize = 0x2c;
const CR: usize = 0x30;

const FR_RX_EMPTY: u32 = 1 << 4;
const FR_TX_FULL: u32 = 1 << 5;
/// Receive, and receive timeout: fewer bytes than the FIFO's mark, and no more coming.
const RECEIVE: u32 = 1 << 4 | 1 << 6;
/// DR bits 8 to 11: framing, parity, break, overrun.
const ERRORS: u32 = 0xf00;
/// A transmitter that is full this long is dead; the byte is dropped rather than the kernel stuck.
const PATIENCE: u32 = 10_000_000;

/// One PL011.
pub struct Uart {
    registers: Mmio,
}

impl Uart {
    /// Takes a UART over: 8 bits, FIFOs, transmitter and receiver on, no interrupts yet.
    pub fn new(registers: Mmio) -> Uart {
        registers.write(IMSC, 0);
        registers.write(LCR_H, 3 << 5 | 1 << 4);
        registers.write(CR, 1 | 1 << 8 | 1 << 9);
        Uart { registers }
    }

    /// Sends a byte as soon as there is room for it.
    pub fn send(&mut self, byte: u8) {
        for _ in 0..PATIENCE {
            if self.registers.read(FR) & FR_TX_FULL == 0 {
                return self.registers.write(DR, u32::from(byte));
            }
        }
    }

    /// The next byte that came in. Broken ones are skipped.
    pub fn receive(&mut self) -> Option<u8> {
        while self.registers.read(FR) & FR_RX_EMPTY == 0 {
            let data = self.registers.read(DR);
            if data & ERRORS == 0 {
                return Some(data as u8);
            }
        }
        None
    }

    /// Interrupts at bytes that come in, and at once when some came while it was off. Nothing is
    /// acknowledged here: a byte that came since the line was last seen empty would be forgotten.
    pub fn enable_receive_interrupt(&mut self) {
        self.registers.write(IMSC, RECEIVE);
    }

    /// No more of them: the host waits.
    pub fn disable_receive_interrupt(&mut self) {
        self.registers.write(IMSC, 0);
    }

    /// Acknowledges the receive interrupt; called before the bytes are taken.
    pub fn clear_interrupt(&mut self) {
        self.registers.write(ICR, RECEIVE);
    }
}
