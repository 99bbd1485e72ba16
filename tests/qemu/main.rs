//! The tests that boot the kernel. `make test-qemu` runs them; a word selects by name, as in
//! `make test-qemu ARGS=...` or `cargo test -p qemu-tests -- wild`.

mod accounting;
mod answers;
mod bad_input;
mod bdev;
mod busybox;
mod corners;
mod crash;
mod crowd;
mod diff;
mod direct;
mod disk_events;
mod disks;
mod elevators;
mod ext4_linux;
mod fallocate;
mod fast_commit;
mod fsx;
mod journal;
mod large;
mod launcher;
mod libc;
mod machines;
mod mmaps;
mod pipes;
mod power;
mod pressure;
mod programs;
mod scratch;
mod selftest;
mod speed;
mod storage;
mod sysfs;
mod trace;
mod virtio;
mod wild;
mod xattr;

use libtest_mimic::{Arguments, Failed, Trial};
use qemu_tests::Verdict;

/// A test by name.
pub fn trial(name: impl Into<String>, test: impl FnOnce() -> Verdict + Send + 'static) -> Trial {
    Trial::test(name, move || test().map_err(Failed::from))
}

fn main() {
    let mut args = Arguments::from_args();
    // QEMU is single-threaded here; as many machines as there are CPUs.
    args.test_threads.get_or_insert_with(|| std::thread::available_parallelism().map_or(1, usize::from));
    let trials = [
        accounting::trials(),
        selftest::trials(),
        programs::trials(),
        diff::trials(),
        direct::trials(),
        pipes::trials(),
        power::trials(),
        pressure::trials(),
        machines::trials(),
        fsx::trials(),
        mmaps::trials(),
        wild::trials(),
        xattr::trials(),
        fallocate::trials(),
        fast_commit::trials(),
        bad_input::trials(),
        bdev::trials(),
        busybox::trials(),
        crash::trials(),
        answers::trials(),
        corners::trials(),
        crowd::trials(),
        libc::trials(),
        large::trials(),
        journal::trials(),
        launcher::trials(),
        speed::trials(),
        storage::trials(),
        elevators::trials(),
        ext4_linux::trials(),
        sysfs::trials(),
        trace::trials(),
        virtio::trials(),
        disk_events::trials(),
        disks::trials(),
    ];
    libtest_mimic::run(&args, trials.into_iter().flatten().collect()).exit();
}
