//! I/O priorities: what can be set, by whom, and what is told. Gives up the superuser's id.
#![no_std]
#![no_main]

use user::check::equal;
use user::sys::{self, *};
use user::{Args, program};

program!(main);

const PROCESS: i32 = 1;
const PGRP: i32 = 2;
const USER: i32 = 3;

fn main(_: Args) -> i32 {
    values();
    nice();
    others();
    without_capability();
    user::check::verdict()
}

fn set(prio: u32) -> isize {
    sys::ioprio_set(PROCESS, 0, prio)
}

fn get() -> isize {
    sys::ioprio_get(PROCESS, 0)
}

fn values() {
    equal("at first", get(), 0);
    for prio in [0, 0x2000, 0x4003, 0x6000, 0x2007, 0x4008, 0x6005, 0x7fff] {
        equal("set", set(prio), 0);
        equal("as it was set", get(), prio as isize);
    }
    equal("bits above the class", (set(0x1_4003), get()), (0, 0x4003));
    for prio in [1, 7, 0x8000, 0xe000, u32::MAX] {
        equal("nonsense", set(prio), EINVAL);
    }
    equal("unchanged", get(), 0x4003);
}

fn nice() {
    let pid = sys::getpid() as i32;
    equal("of the group", (sys::ioprio_set(PGRP, 0, 0x4002), get()), (0, 0x4002));
    equal("by pid", sys::ioprio_get(PROCESS, pid), 0x4002);
    equal("none", (set(0), get()), (0, 0));
}

fn others() {
    for which in [PROCESS, PGRP, USER] {
        equal("nobody", sys::ioprio_get(which, 99_999), ESRCH);
        equal("nobody", sys::ioprio_set(which, 99_999, 0x4000), ESRCH);
        equal("minus one", sys::ioprio_get(which, -1), ESRCH);
    }
    for which in [0, 4, -1] {
        equal("which", sys::ioprio_get(which, 0), EINVAL);
        equal("which", sys::ioprio_set(which, 0, 0x4000), EINVAL);
    }
    equal("the value comes first", sys::ioprio_set(PROCESS, 99_999, 0xffff), EINVAL);
}

fn without_capability() {
    equal("setresuid", sys::setresuid(1000, 1000, 1000), 0);
    equal("real time", set(0x2000), EPERM);
    equal("real time, before who", sys::ioprio_set(PROCESS, 99_999, 0x2000), EPERM);
    equal("idle", (set(0x6000), get()), (0, 0x6000));
    equal("best effort", (set(0x4000), get()), (0, 0x4000));
    equal("of the user", (sys::ioprio_set(USER, 1000, 0x4005), get()), (0, 0x4005));
    equal("none", set(0), 0);
    equal("what follows from nice 0", sys::ioprio_get(USER, 1000), 0x4004);
    equal("nicer", sys::setpriority(0, 0, 10), 0);
    equal("what follows from nice 10", sys::ioprio_get(USER, 1000), 0x4006);
}
