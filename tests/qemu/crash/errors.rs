//! Requests of a booted machine that fail, by QEMU's `blkdebug`: writes of the log, of commit blocks, of what goes
//! home, of data, and flushes.
//!
//! A first run is recorded; then each of some places that it wrote to fails, once or from then on. The program goes
//! on as far as it can, the kernel does not panic, and writes no more where the journal was given up; what it leaves
//! can be mounted, and is sound after e2fsck has taken note of the error. (That what was acknowledged is there is for
//! `kernel/sim` to show, where each request may fail.)

use qemu_tests::{Verdict, ensure};
use sim::crash::booted::file_system;
use sim::crash::{Data, Profile, Script, Setup, logwrites};
use sim::{Image, Machine, Tree};

use super::bench::{Bench, text};

/// The script without marks: only what the file system writes is to fail.
const WORDS: &str = "init=/bin/script -- /script /w0 -";

/// So many places, half of them in each of two modes of data.
pub fn failed(places: u64) -> Verdict {
    let mut struck = 0;
    for (seed, data) in [(5, Data::Ordered), (6, Data::Journal)] {
        let setup = Setup { profile: Profile::Mixed, ..super::setup(seed, data) };
        let script = Script::new(seed, &setup);
        for rule in rules(&script, &setup, places.div_ceil(2))? {
            struck += u32::from(fails(&script, &setup, &rule).map_err(|why| format!("{rule}: {why}"))?);
        }
    }
    ensure!(struck > 0, "nothing has failed");
    Ok(())
}

/// What `blkdebug` is told for places of a recorded run, and for the flushes.
fn rules(script: &Script, setup: &Setup, places: u64) -> Result<Vec<String>, String> {
    let bench = Bench::new()?;
    super::prepare(&bench, script)?;
    bench.boot_logged(setup, WORDS)?;
    let written = logwrites::entries(&bench.get("log")?)?;
    let written: Vec<u64> =
        written.iter().filter(|entry| !entry.bytes.is_empty()).map(|e| e.sector).collect();
    ensure!(!written.is_empty(), "nothing was written");
    // The first ones mark the disk as mounted.
    let place = |n: u64| written[written.len() * (2 * n as usize + 1) / (2 * places as usize)];
    let once = |n: u64| if n.is_multiple_of(2) { "on" } else { "off" };
    let writes = (0..places).map(|n| {
        format!(
            "inject-error.0.iotype=write,inject-error.0.sector={},inject-error.0.once={}",
            place(n),
            once(n)
        )
    });
    let flushes = (0..2).map(|n| format!("inject-error.0.iotype=flush,inject-error.0.once={}", once(n)));
    Ok(writes.chain(flushes).collect())
}

/// A run in which this fails; whether it did.
fn fails(script: &Script, setup: &Setup, rule: &str) -> Result<bool, String> {
    let bench = Bench::new()?;
    super::prepare(&bench, script)?;
    let said = bench.boot_failing(rule, setup, WORDS)?;
    ensure!(!said.contains("panic"), "a panic\n{said}");
    let gave_up = said.contains("aborting the journal");
    // While it is being unmounted it is read-only already.
    let told = said.contains("read-only") || said.contains("unmounting failed");
    ensure!(!gave_up || told, "nobody says that it is read-only\n{said}");
    let disk = bench.get("disk")?;
    let left = Image { bytes: file_system(&disk).to_vec() };
    let machine = Machine::mount(&left).map_err(|errno| format!("not mounted: {errno}\n{said}"))?;
    Tree::of_machine(&machine).map_err(|errno| format!("not read: {errno}\n{said}"))?;
    let repaired = machine.unmount().map_err(text)?.repaired().map_err(text)?;
    repaired.fsck().map_err(|trouble| format!("{trouble}\n{said}"))?;
    Ok(said.contains("I/O error") || gave_up)
}
