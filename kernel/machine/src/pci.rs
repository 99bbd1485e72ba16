//! PCI behind the generic host: finds the functions of bus 0, places their registers, routes INTx.
//!
//! No firmware has run when QEMU starts the kernel itself, so every base address register (BAR) is
//! assigned here: 64-bit ones from the wide window, others from the one below 4 GiB, each aligned to
//! its size; then memory decoding and bus mastering are switched on. I/O BARs stay unassigned.
//! Buses behind bridges are not looked at. Source: PCI Local Bus Specification 3.0, chapter 6.

use alloc::vec::Vec;
use core::ptr::NonNull;

use base::{PhysAddr, Result};

use crate::devicetree::{Interrupt, PciHost, PciWindow};
use crate::mmio::Mmio;
use crate::mmu;

/// Configuration space of one bus.
const BUS_BYTES: u64 = 1 << 20;
const FUNCTION_BYTES: usize = 4096;

const ID: usize = 0x00;
const COMMAND: usize = 0x04;
const HEADER: usize = 0x0c;
const BAR0: usize = 0x10;
const INTERRUPT: usize = 0x3c;

const COMMAND_MEMORY: u32 = 1 << 1;
const COMMAND_MASTER: u32 = 1 << 2;
const COMMAND_INTX_OFF: u32 = 1 << 10;
const BAR_IO: u32 = 1;
const BAR_WIDE: u32 = 2 << 1;

/// A function of bus 0, ready to be used.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    /// 0 to 31.
    pub device: u8,
    /// 0 to 7.
    pub function: u8,
    /// Who made it.
    pub vendor_id: u16,
    /// What it is.
    pub device_id: u16,
    /// Its INTx line, when it has one; shared with others.
    pub interrupt: Option<Interrupt>,
}

/// Bus 0 and what is on it.
#[derive(Debug)]
pub struct Bus {
    /// The configuration space (ECAM) of bus 0, mapped for ever, 1 MiB.
    pub ecam: NonNull<u8>,
    /// Every function, BARs assigned and decoded.
    pub functions: Vec<Function>,
}

/// Looks at bus 0 and sets it up. Fails when its configuration space can't be mapped.
pub fn init(host: &PciHost<'_>) -> Result<Bus> {
    let len = host.ecam.len().min(BUS_BYTES);
    let ecam = mmu::map_device(PhysAddr(host.ecam.start), len)?;
    // SAFETY: the device tree says that this is configuration space; it was just mapped. What it can
    // do to memory, bus mastering, is left to each driver's rings.
    let space = unsafe { Mmio::new(ecam, len as usize) };
    let mut windows = Windows::new(&host.windows);
    let mut functions = Vec::new();
    for slot in 0..len as usize / FUNCTION_BYTES {
        let (device, function) = ((slot / 8) as u8, (slot % 8) as u8);
        let config = space.part(slot * FUNCTION_BYTES, FUNCTION_BYTES);
        let id = config.read(ID);
        // All ones: nobody there. Functions beyond 0 count only where 0 says that there are more.
        if id as u16 == 0xffff || function > 0 && !is_multifunction(&space, device) {
            continue;
        }
        let is_endpoint = config.read(HEADER) >> 16 & 0x7f == 0;
        if is_endpoint {
            place(&config, &mut windows);
        }
        let pin = (config.read(INTERRUPT) >> 8) as u8;
        let interrupt = if pin == 0 { None } else { host.interrupt(0, device, function, pin) };
        functions.push(Function {
            device,
            function,
            vendor_id: id as u16,
            device_id: (id >> 16) as u16,
            interrupt,
        });
    }
    Ok(Bus { ecam, functions })
}

fn is_multifunction(space: &Mmio, device: u8) -> bool {
    let first = space.part(usize::from(device) * 8 * FUNCTION_BYTES, FUNCTION_BYTES);
    first.read(ID) as u16 != 0xffff && first.read(HEADER) >> 23 & 1 == 1
}

/// Assigns the BARs of an endpoint and lets it decode them.
fn place(config: &Mmio, windows: &mut Windows) {
    config.write(COMMAND, COMMAND_INTX_OFF);
    let mut n = 0;
    while n < 6 {
        let at = BAR0 + 4 * n;
        config.write(at, u32::MAX);
        let low = config.read(at);
        let wide = low & BAR_IO == 0 && low & 6 == BAR_WIDE && n < 5;
        if low & BAR_IO == 0 && low != 0 {
            let mut mask = u64::from(low & !0xf) | 0xffff_ffff_0000_0000;
            if wide {
                config.write(at + 4, u32::MAX);
                mask = u64::from(low & !0xf) | u64::from(config.read(at + 4)) << 32;
            }
            let size = (!mask).wrapping_add(1);
            // Without room the BAR stays 0, and the driver finds no registers.
            let bus = windows.take(size, wide).unwrap_or(0);
            config.write(at, bus as u32);
            if wide {
                config.write(at + 4, (bus >> 32) as u32);
            }
        }
        n += if wide { 2 } else { 1 };
    }
    config.write(COMMAND, COMMAND_MEMORY | COMMAND_MASTER);
}

/// What is left of the host's windows.
struct Windows {
    narrow: Option<(u64, u64)>,
    wide: Option<(u64, u64)>,
}

impl Windows {
    /// Takes windows whose bus addresses are the CPU's: the only kind virt has, and the only one that
    /// a driver can map by what it reads from a BAR.
    fn new(windows: &[PciWindow]) -> Windows {
        let find = |wide: bool| {
            let window = windows.iter().find(|w| w.wide == wide && w.bus == w.cpu.start)?;
            Some((window.cpu.start, window.cpu.end))
        };
        Windows { narrow: find(false), wide: find(true) }
    }

    /// `size` bytes aligned to their size: the bus address.
    fn take(&mut self, size: u64, wide: bool) -> Option<u64> {
        let window = if wide && self.wide.is_some() { &mut self.wide } else { &mut self.narrow };
        let (next, end) = window.as_mut()?;
        let start = next.checked_next_multiple_of(size)?;
        *next = start.checked_add(size).filter(|after| after <= end)?;
        Some(start)
    }
}
