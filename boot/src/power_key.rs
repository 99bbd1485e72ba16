//! The power key: whoever presses it wants the machine off, in an orderly way.
//!
//! ```text
//!   pressed ─► SIGTERM to the program ─► it ends ─► files closed, file systems synced and unmounted ─► off
//!                     └─ five seconds later it has not ─► SIGKILL ─┘
//! ```
//! On QEMU's virt the key is a line of the PL061 that QMP's `system_powerdown` presses. The launcher
//! does so when it is interrupted. Linux hands the key to a daemon, which does the same.
//!
//! # Locking
//! The interrupt handler sets a flag and wakes; the rest is done by a thread.

use core::sync::atomic::{AtomicBool, Ordering};

use alloc::boxed::Box;
use machine::devicetree::DeviceTree;
use machine::gpio;
use process::signal::{SigInfo, Signal};
use sync::WaitQueue;

use crate::proc_source;

/// How long the program may take to end by itself.
const PATIENCE_NS: u64 = 5_000_000_000;

static PRESSED: AtomicBool = AtomicBool::new(false);
/// The key was pressed, or the program has ended.
static CHANGED: WaitQueue = WaitQueue::new();

/// Listens for the key, if there is one. What is pressed before the program runs is not forgotten.
pub fn listen(tree: DeviceTree<'_>) {
    let Some(key) = tree.power_key() else { return };
    if let Err(error) = gpio::on_press(key, Box::new(press)) {
        log::warn!("the power key cannot be used: {error}");
    }
}

fn press() {
    PRESSED.store(true, Ordering::Relaxed);
    CHANGED.wake_all();
}

/// Starts the thread that acts on it; the program is there.
pub fn serve() {
    if let Err(error) = sync::thread::spawn("power-key", end_program) {
        log::warn!("the power key cannot be used: {error}");
    }
}

/// The program has ended.
pub fn program_ended() {
    CHANGED.wake_all();
}

fn end_program() {
    CHANGED.wait_until(|| PRESSED.load(Ordering::Relaxed));
    log::info!("the power key was pressed: the program gets SIGTERM");
    proc_source::signal(SigInfo::kernel(Signal::TERM));
    let has_ended = || !proc_source::program_runs();
    if !CHANGED.wait_until_timeout(PATIENCE_NS, has_ended) {
        log::warn!("the program has not ended {} s after SIGTERM: SIGKILL", PATIENCE_NS / 1_000_000_000);
        proc_source::signal(SigInfo::kernel(Signal::KILL));
    }
}
