//! The machine's own tests, on the machine: `quill.selftest` on the kernel command line runs them
//! instead of a program.
//!
//! What can be tested on a host is tested there; here is what only hardware (or QEMU) can answer:
//! translation, traps, copies that fault, interrupts, threads. `quill.selftest=all` runs every test
//! and the status is the number of failures; `quill.selftest=panic` (or another of [`ENDS`]) makes the
//! kernel fail in one way, for a look at what it says.

mod block;
mod copies;
mod el0;
mod memory;
mod moves;
mod threads;

/// A test: fails with what was expected and not seen.
type Test = fn() -> Result<(), &'static str>;

const TESTS: &[(&str, Test)] = &[
    ("frames come and go", memory::frames),
    ("the heap gives everything back", memory::heap),
    ("DMA pages are contiguous zeros", memory::dma),
    ("no memory is no panic", memory::exhaustion),
    ("blocks are moved and set", moves::all),
    ("threads run, sleep and end", threads::run),
    ("a system call keeps every register", el0::registers),
    ("faults say what was tried", el0::faults),
    ("exceptions become signals", el0::exceptions),
    ("what EL0 may read it reads", el0::allowed),
    ("the timer interrupts a loop", el0::timer),
    ("FP registers belong to their thread", el0::fp),
    ("PSTATE is not the program's to choose", el0::pstate),
    ("pages are found, changed, taken away", el0::pages),
    ("copies stop at the exact byte", copies::exact),
    ("copies never reach the kernel", copies::kernel_addresses),
    ("copies respect protection", copies::protection),
    ("what a system call costs", el0::cost),
    ("what a page copy costs", copies::cost),
    ("what memory costs", memory::cost),
    ("what a block move costs", moves::cost),
    ("what a bio costs", block::cost),
];

/// Ways to fail.
const ENDS: &[(&str, fn())] = &[
    ("panic", || panic!("as asked")),
    ("null", memory::read_null),
    ("text", memory::write_text),
    ("data", memory::execute_data),
    ("overflow", memory::overflow_stack),
];

/// Runs what `which` names; the number of failures.
pub fn run(which: &str) -> u8 {
    if let Some((_, end)) = ENDS.iter().find(|(name, _)| *name == which) {
        end();
        log::error!("selftest: the kernel survived `{which}`");
        return 1;
    }
    let mut failures = 0;
    for (name, test) in TESTS {
        match test() {
            Ok(()) => log::info!("selftest: ok: {name}"),
            Err(why) => {
                log::error!("selftest: FAILED: {name}: {why}");
                failures += 1;
            }
        }
    }
    log::info!("selftest: {} run, {failures} failed", TESTS.len());
    failures
}

/// Fails a test with a sentence.
fn ensure(condition: bool, expected: &'static str) -> Result<(), &'static str> {
    if condition { Ok(()) } else { Err(expected) }
}
