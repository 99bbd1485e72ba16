//! What the hot paths cost, in guest instructions. Under `-icount shift=0,sleep=off` the virtual
//! counter counts instructions, so these are counts, not times: the same in every run.

use libtest_mimic::Trial;
use qemu_tests::{Run, Verdict, ensure};

use crate::trial;

/// A line of the bench program, the most it may cost, and what Linux takes.
const BUDGETS: [(&str, u64, u64); 9] = [
    ("null syscall (getppid)", 200, 456),
    ("pwrite 1 byte, cached page", 720, 2545),
    ("pwrite 4 KiB, cached page", 1060, 3697),
    ("pread 4 KiB, cached page", 1000, 2802),
    ("stat", 2000, 4990),
    ("write 4 KiB, growing file", 3200, 11_436),
    ("write 4 KiB, growing file, with writeback", 4000, 13_520),
    ("create, write 1 KiB, close", 45_000, 131_500),
    ("unlink of each", 20_000, 40_000),
];

pub fn trials() -> Vec<Trial> {
    vec![trial("speed::instructions", instructions), trial("speed::image_size", image_size)]
}

fn instructions() -> Verdict {
    let counted = ["--cpu", "cortex-a72", "--qemu-arg=-icount", "--qemu-arg=shift=0,sleep=off"];
    let outcome = Run::user("bench").block_size(4096).options(counted).go().ends_with(0)?;
    for (what, most, linux) in BUDGETS {
        let cost = outcome
            .stdout
            .lines()
            .find_map(|line| {
                line.strip_prefix(what)?.strip_prefix(": ")?.split(' ').next()?.parse::<u64>().ok()
            })
            .ok_or(format!("no figure for {what}\n{outcome}"))?;
        ensure!(cost <= most, "{what}: {cost} instructions, at most {most} (Linux {linux})\n{outcome}");
    }
    Ok(())
}

/// The flat Image is at most 1.875 MiB. The aim is 1.5, which it kept until the journal came; what it grew by is
/// to be won back (README, "How fast").
fn image_size() -> Verdict {
    let image = qemu_tests::required("QUILL_IMAGE");
    let bytes = std::fs::metadata(&image).map_err(|e| format!("{image:?}: {e}"))?.len();
    ensure!(bytes <= 2 << 20, "the Image has {bytes} bytes");
    Ok(())
}
