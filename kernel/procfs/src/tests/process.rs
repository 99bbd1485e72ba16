//! The form of every file about the program.

use super::*;

#[test]
fn plain_bytes() {
    let world = World::new();
    for (name, bytes) in [
        ("cmdline", &b"/bin/prog\0-v\0\xff\0"[..]),
        ("environ", b"HOME=/\0TERM=linux\0"),
        ("comm", b"prog\n"),
        ("maps", b"00400000-00401000 r-xp 00000000 fe:00 12 /bin/prog\n"),
    ] {
        for dir in ["self", "1", "thread-self", "1/task/1"] {
            assert_eq!(world.bytes(&std::format!("/proc/{dir}/{name}")).as_deref(), Ok(bytes), "{name}");
        }
    }
    assert_eq!(world.bytes("/proc/self/auxv").unwrap().len(), 32);
}

#[test]
fn io() {
    let text = "rchar: 1\nwchar: 2\nsyscr: 3\nsyscw: 4\nread_bytes: 5\nwrite_bytes: 6\n\
                cancelled_write_bytes: 7\n";
    assert_eq!(World::new().cat("/proc/self/io"), text);
}

#[test]
fn limits() {
    // Written so that blanks at the ends of lines can be seen.
    let text = World::new().cat("/proc/self/limits").replace(" \n", "_\n");
    let expected = "\
Limit                     Soft Limit           Hard Limit           Units    _
Max cpu time              unlimited            unlimited            seconds  _
Max file size             unlimited            unlimited            bytes    _
Max data size             unlimited            unlimited            bytes    _
Max stack size            8388608              unlimited            bytes    _
Max core file size        unlimited            unlimited            bytes    _
Max resident set          unlimited            unlimited            bytes    _
Max processes             unlimited            unlimited            processes_
Max open files            1024                 4096                 files    _
Max locked memory         unlimited            unlimited            bytes    _
Max address space         unlimited            unlimited            bytes    _
Max file locks            unlimited            unlimited            locks    _
Max pending signals       96365                96365                signals  _
Max msgqueue size         unlimited            unlimited            bytes    _
Max nice priority         0                    0                   _
Max realtime priority     unlimited            unlimited           _
Max realtime timeout      unlimited            unlimited            us       _
";
    assert_eq!(text, expected);
}

#[test]
fn stat_has_52_fields() {
    let world = World::new();
    let text = world.cat("/proc/self/stat");
    assert_eq!(
        text,
        "1 (prog) R 0 1 1 0 -1 0 11 0 12 0 100 50 0 0 20 0 1 0 300 5242880 512 18446744073709551615 \
         1 2 5 0 0 512 2 4096 16386 0 0 0 17 0 0 0 0 0 0 3 4 6 7 8 9 10 0\n"
    );
    assert_eq!(text.split_whitespace().count(), 52);
    // A name may hold anything; it ends at the last parenthesis.
    *world.process().comm.lock().unwrap() = b"a) R (b".to_vec();
    assert!(world.cat("/proc/self/stat").starts_with("1 (a) R (b) R 0"));
}

#[test]
fn statm() {
    assert_eq!(World::new().cat("/proc/self/statm"), "1280 512 256 5 0 133 0\n");
}

#[test]
fn status() {
    let world = World::new();
    *world.process().comm.lock().unwrap() = b"a\\\nb".to_vec();
    let expected = "\
Name:\ta\\\\\\nb
Umask:\t0022
State:\tR (running)
Tgid:\t1
Ngid:\t0
Pid:\t1
PPid:\t0
TracerPid:\t0
Uid:\t0\t0\t0\t0
Gid:\t0\t0\t0\t0
FDSize:\t64
Groups:\t_
NStgid:\t1
NSpid:\t1
NSpgid:\t1
NSsid:\t1
VmPeak:\t    6144 kB
VmSize:\t    5120 kB
VmLck:\t       0 kB
VmPin:\t       0 kB
VmHWM:\t    3072 kB
VmRSS:\t    2048 kB
RssAnon:\t    1024 kB
RssFile:\t    1024 kB
RssShmem:\t       0 kB
VmData:\t     400 kB
VmStk:\t     132 kB
VmExe:\t      20 kB
VmLib:\t       0 kB
VmPTE:\t      44 kB
VmSwap:\t       0 kB
CoreDumping:\t0
THP_enabled:\t0
Threads:\t1
SigQ:\t1/96365
SigPnd:\t0000000000000000
ShdPnd:\t0000000000000200
SigBlk:\t8000000000000002
SigIgn:\t0000000000001000
SigCgt:\t0000000100004002
CapInh:\t0000000000000000
CapPrm:\t000001ffffffffff
CapEff:\t000001ffffffffff
CapBnd:\t000001ffffffffff
CapAmb:\t0000000000000000
NoNewPrivs:\t0
Seccomp:\t0
Seccomp_filters:\t0
Speculation_Store_Bypass:\tunknown
SpeculationIndirectBranch:\tunknown
Cpus_allowed:\t1
Cpus_allowed_list:\t0
Mems_allowed:\t1
Mems_allowed_list:\t0
voluntary_ctxt_switches:\t21
nonvoluntary_ctxt_switches:\t22
";
    assert_eq!(world.cat("/proc/self/status").replace("Groups:\t \n", "Groups:\t_\n"), expected);
}

#[test]
fn status_of_a_user() {
    let world = World::new();
    *world.process().cred.lock().unwrap() = Cred { groups: [4, 20].to_vec(), euid: 9, ..Cred::user(7, 8) };
    let text = world.cat("/proc/self/status");
    assert!(text.contains("\nUid:\t7\t9\t7\t7\nGid:\t8\t8\t8\t8\n"), "{text}");
    assert!(text.contains("\nGroups:\t4 20 \n"), "{text}");
    assert!(text.contains("\nCapEff:\t0000000000000000\nCapBnd:\t000001ffffffffff\n"), "{text}");
}
