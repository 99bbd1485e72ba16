//! Unpredictable bytes: a ChaCha20 stream keyed from all that the machine has of chance.
//!
//! The boot loader's rng-seed (QEMU gives 32 fresh bytes per start), the CPU's RNDR where there is
//! one, the counter and the date. Without the first two the output is only different each time, and
//! the log says so.
//!
//! # Locking
//! One spin lock around the generator.

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use sync::SpinLock;

use crate::{cpu, timer};

static GENERATOR: SpinLock<Option<ChaCha20Rng>> = SpinLock::new(None);

/// Keys the generator. Returns whether the key is worth the name.
pub fn init(seed: &[u8], realtime_ns: u64) -> bool {
    let mut key = [0u8; 32];
    let mut mix = |at: usize, bytes: &[u8]| {
        bytes.iter().enumerate().for_each(|(i, &byte)| key[(at + i) % 32] ^= byte);
    };
    mix(0, seed);
    mix(0, &timer::ticks().to_le_bytes());
    mix(8, &realtime_ns.to_le_bytes());
    let mut from_cpu = 0;
    for at in [0, 8, 16, 24] {
        if let Some(word) = cpu::random() {
            mix(at, &word.to_le_bytes());
            from_cpu += 1;
        }
    }
    *GENERATOR.lock() = Some(ChaCha20Rng::from_seed(key));
    seed.len() >= 32 || from_cpu == 4
}

/// Fills `out`. Zeros before [`init`].
pub fn fill(out: &mut [u8]) {
    match GENERATOR.lock().as_mut() {
        Some(generator) => generator.fill_bytes(out),
        None => out.fill(0),
    }
}
