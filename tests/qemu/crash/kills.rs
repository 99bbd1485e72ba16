//! QEMU is killed at random moments and its disk is looked at as it is: what the host's file has is what
//! the guest's disk had, so nothing is lost but what the kernel had not written.
//!
//! The program's last mark (see `user/src/bin/script.rs`) says how far it had come; so all that its fsyncs
//! had acknowledged by then must be there.

use std::thread;
use std::time::{Duration, Instant};

use qemu_tests::{Verdict, ensure};
use sim::Rng;
use sim::crash::{Abilities, Data, Profile, Script, Setup};

use super::bench::{Bench, text};

/// A kill at a moment of its own for each number, somewhere in what it does; the step it had come to.
fn kill(bench: &Bench, setup: &Setup, number: u64) -> Result<u32, String> {
    let mut child = bench.boot(setup, "init=/bin/script -- /script /w0 /dev/vda2")?;
    let mut lot = Rng::new(number);
    // By what it has done, for a busy host lets it do little in a given time; then anywhere in the next steps.
    let step = lot.below(setup.steps as u64 * 9 / 10) as u32;
    let begin = Instant::now();
    while bench.last_mark().is_none_or(|mark| mark.number < step) {
        ensure!(begin.elapsed() < Duration::from_secs(150), "it does not come to step {step}");
        ensure!(child.try_wait().map_err(text)?.is_none(), "it ended by itself");
        thread::sleep(Duration::from_millis(1));
    }
    thread::sleep(Duration::from_micros(lot.below(20_000)));
    child.kill().map_err(text)?;
    child.wait().map_err(text)?;
    Ok(bench.last_mark().map_or(0, |mark| mark.number))
}

fn setup(number: u64) -> Setup {
    let abilities = Abilities::NOW;
    let data = abilities.data[number as usize % abilities.data.len()];
    let profile = [Profile::Mixed, Profile::Many, Profile::Append, Profile::Replace][number as usize % 4];
    let setup = Setup {
        actors: 1,
        garbage: false,
        journalled: false,
        fua: false,
        external: false,
        data,
        profile,
        ..Setup::of(number, &abilities)
    };
    Setup { steps: 400, features: Vec::new(), options: Vec::new(), ..setup }
}

/// Killed so often, recovered by our mount.
pub fn killed(times: u64) -> Verdict {
    for number in 0..times {
        let setup = setup(number);
        let bench = Bench::new()?;
        let script = Script::new(number, &setup);
        super::prepare(&bench, &script)?;
        let done = kill(&bench, &setup, number)?;
        let disk = bench.get("disk")?;
        script.judge_killed(&disk, "/w0").map_err(|why| format!("kill {number} at step {done}: {why}"))?;
        println!("killed at step {done} of {}: {}", script.len(), setup.name());
    }
    Ok(())
}

/// Killed, mounted by Linux, which replays and unmounts; what it leaves must be as promised too.
pub fn exchanged(times: u64) -> Verdict {
    for number in 0..times {
        let data = if number.is_multiple_of(2) { Data::Ordered } else { Data::Journal };
        let setup = Setup { data, ..setup(number) };
        let bench = Bench::new()?;
        let script = Script::new(number, &setup);
        super::prepare(&bench, &script)?;
        let done = kill(&bench, &setup, number + 7)?;
        let commands = ["/bin/busybox mount -t ext4 /dev/vdb1 /x", "/bin/busybox umount /x"];
        bench.linux_plain(&commands)?;
        script
            .judge_killed(&bench.get("disk")?, "/w0")
            .map_err(|why| format!("kill {number} at step {done}, replayed by Linux: {why}"))?;
    }
    Ok(())
}
