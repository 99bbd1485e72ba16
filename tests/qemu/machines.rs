//! The machines Quill runs on: memory sizes, CPUs, interrupt controllers, transports.

use libtest_mimic::Trial;
use qemu_tests::Run;

use crate::trial;

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for memory in ["32M", "64M", "1G", "3G", "8G"] {
        trials.push(demo(format!("memory::{memory}"), vec!["--memory", memory]));
    }
    for cpu in ["cortex-a53", "cortex-a72", "max,pauth-impdef=on"] {
        trials.push(demo(format!("cpu::{cpu}"), vec!["--cpu", cpu]));
    }
    for machine in ["mmio", "mmio-legacy", "pci"] {
        trials.push(demo(format!("disk::{machine}"), vec!["--machine", machine]));
    }
    trials.push(demo("gic::2".into(), vec!["--qemu-arg=-M", "--qemu-arg=gic-version=2"]));
    trials.push(demo("gic::3".into(), vec!["--qemu-arg=-M", "--qemu-arg=gic-version=3"]));
    trials.push(demo("el2::3".into(), vec!["--qemu-arg=-M", "--qemu-arg=virtualization=on"]));
    trials.push(demo("cpus::4".into(), vec!["--cpus", "4"]));
    trials
}

fn demo(name: String, options: Vec<&'static str>) -> Trial {
    trial(format!("machines::{name}"), move || {
        Run::user("demo").options(options).go().ends_with(0)?.says("done:").map(drop)
    })
}
