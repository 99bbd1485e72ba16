//! reboot(2).
//!
//! Linux's reboot stops the machine where it stands and leaves it to init to have synced and unmounted.
//! Here the program *is* init: a restart, a halt and a power-off each end it as exit(2) does, so that
//! its files are closed and the file systems synced and unmounted first. No reboot loses a write.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicI32, Ordering};

use base::{Errno, Result};

use crate::args::Args;
use crate::context::Cx;
use crate::run::{End, Reboot};

/// `LINUX_REBOOT_MAGIC1`, and the four birthdays that the second may be. Source:
/// `include/uapi/linux/reboot.h`.
const MAGIC1: u32 = 0xfee1_dead;
const MAGIC2: [u32; 4] = [672_274_793, 85_072_278, 369_367_448, 537_993_216];

const CMD_RESTART: u32 = 0x0123_4567;
const CMD_HALT: u32 = 0xcdef_0123;
const CMD_CAD_ON: u32 = 0x89ab_cdef;
const CMD_CAD_OFF: u32 = 0;
const CMD_POWER_OFF: u32 = 0x4321_fedc;
const CMD_RESTART2: u32 = 0xa1b2_c3d4;

/// The most bytes of RESTART2's command that count.
const COMMAND_MAX: usize = 255;

/// Whether Ctrl-Alt-Del restarts at once: not 0. There is no such key on a serial line; it is kept for
/// who asks, in `/proc/sys/kernel/ctrl-alt-del`.
static CTRL_ALT_DEL: AtomicI32 = AtomicI32::new(1);

/// Whether Ctrl-Alt-Del would restart at once: not 0.
pub fn ctrl_alt_del() -> i32 {
    CTRL_ALT_DEL.load(Ordering::Relaxed)
}

/// Sets it.
pub fn set_ctrl_alt_del(value: i32) {
    CTRL_ALT_DEL.store(value, Ordering::Relaxed);
}

/// reboot(2). EPERM before EINVAL for the magic numbers, and EINVAL for a command that there is not:
/// a kernel to kexec and a place to hibernate to are never there.
pub fn reboot(cx: &mut Cx<'_>, args: Args) -> Result<u64> {
    if !cx.process.cred().capable() {
        return Err(Errno::EPERM);
    }
    if args.uint(0) != MAGIC1 || !MAGIC2.contains(&args.uint(1)) {
        return Err(Errno::EINVAL);
    }
    let reboot = match args.uint(2) {
        CMD_CAD_ON => return cad(1),
        CMD_CAD_OFF => return cad(0),
        CMD_RESTART => Reboot::Restart(None),
        CMD_RESTART2 => Reboot::Restart(Some(command(cx, args)?)),
        CMD_HALT => Reboot::Halt,
        CMD_POWER_OFF => Reboot::PowerOff,
        _ => return Err(Errno::EINVAL),
    };
    cx.end = Some(End::Rebooted(reboot));
    Ok(0)
}

fn cad(value: i32) -> Result<u64> {
    set_ctrl_alt_del(value);
    Ok(0)
}

/// What RESTART2 wants to be told to the boot loader: a string, cut.
fn command(cx: &Cx<'_>, args: Args) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    while text.len() < COMMAND_MAX {
        let mut byte = [0];
        cx.memory().read_exact(args.addr(3).add(text.len() as u64), &mut byte)?;
        if byte == [0] {
            break;
        }
        text.push(byte[0]);
    }
    Ok(text)
}
