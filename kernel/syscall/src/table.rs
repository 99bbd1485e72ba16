//! The system call table: a row for every number of Linux's generic table.
//!
//! A row is a number, Linux's name, and where there is one the function that answers. A row without
//! a function, and a number without a row, answer ENOSYS (`sys_ni_syscall`) and say so once in the
//! log at debug level.
//!
//! Source: `include/uapi/asm-generic/unistd.h`; arm64 uses the generic table, without the calls that
//! exist for 32-bit time only. The test at the end compares every row with an independent list.

use core::sync::atomic::{AtomicU64, Ordering};

use base::{Errno, Result};

use crate::args::Args;
use crate::context::Cx;
use crate::{
    aio, attr, dir, eventfd, fd, ids, ioprio, memory, open, pipe, poll, read, reboot, signal, sigwait, stat,
    sync, system, task, time, write, xattr,
};

/// What answers a call: the value for x0, or the error.
pub type Handler = fn(&mut Cx<'_>, Args) -> Result<u64>;

/// One row of the table.
#[derive(Clone, Copy)]
pub struct Row {
    /// Linux's name without `sys_`; empty for a number that names nothing.
    pub name: &'static str,
    handler: Option<Handler>,
}

/// One more than the largest number that has a row.
pub const ROWS: usize = 470;

macro_rules! table {
    ($($number:literal $name:ident $(=> $handler:path)?;)*) => {{
        let mut rows = [Row { name: "", handler: None }; ROWS];
        $(rows[$number] = Row { name: stringify!($name), handler: table!(@ $($handler)?) };)*
        rows
    }};
    (@ $handler:path) => { Some($handler as Handler) };
    (@) => { None };
}

static TABLE: [Row; ROWS] = table! {
    0 io_setup => aio::io_setup;
    1 io_destroy => aio::io_destroy;
    2 io_submit => aio::io_submit;
    3 io_cancel => aio::io_cancel;
    4 io_getevents => aio::io_getevents;
    5 setxattr => xattr::setxattr;
    6 lsetxattr => xattr::lsetxattr;
    7 fsetxattr => xattr::fsetxattr;
    8 getxattr => xattr::getxattr;
    9 lgetxattr => xattr::lgetxattr;
    10 fgetxattr => xattr::fgetxattr;
    11 listxattr => xattr::listxattr;
    12 llistxattr => xattr::llistxattr;
    13 flistxattr => xattr::flistxattr;
    14 removexattr => xattr::removexattr;
    15 lremovexattr => xattr::lremovexattr;
    16 fremovexattr => xattr::fremovexattr;
    17 getcwd => dir::getcwd;
    18 lookup_dcookie;
    19 eventfd2 => eventfd::eventfd2;
    20 epoll_create1; 21 epoll_ctl; 22 epoll_pwait;
    23 dup => fd::dup;
    24 dup3 => fd::dup3;
    25 fcntl => fd::fcntl;
    26 inotify_init1; 27 inotify_add_watch; 28 inotify_rm_watch;
    29 ioctl => fd::ioctl;
    30 ioprio_set => ioprio::ioprio_set;
    31 ioprio_get => ioprio::ioprio_get;
    32 flock => fd::flock;
    33 mknodat => dir::mknodat;
    34 mkdirat => dir::mkdirat;
    35 unlinkat => dir::unlinkat;
    36 symlinkat => dir::symlinkat;
    37 linkat => dir::linkat;
    38 renameat => dir::renameat;
    39 umount2; 40 mount; 41 pivot_root; 42 nfsservctl;
    43 statfs => stat::statfs;
    44 fstatfs => stat::fstatfs;
    45 truncate => attr::truncate;
    46 ftruncate => attr::ftruncate;
    47 fallocate => attr::fallocate;
    48 faccessat => stat::faccessat;
    49 chdir => dir::chdir;
    50 fchdir => dir::fchdir;
    51 chroot => dir::chroot;
    52 fchmod => attr::fchmod;
    53 fchmodat => attr::fchmodat;
    54 fchownat => attr::fchownat;
    55 fchown => attr::fchown;
    56 openat => open::openat;
    57 close => open::close;
    58 vhangup; 59 pipe2 => pipe::pipe2; 60 quotactl;
    61 getdents64 => dir::getdents64;
    62 lseek => fd::lseek;
    63 read => read::read;
    64 write => write::write;
    65 readv => read::readv;
    66 writev => write::writev;
    67 pread64 => read::pread64;
    68 pwrite64 => write::pwrite64;
    69 preadv => read::preadv;
    70 pwritev => write::pwritev;
    71 sendfile => write::sendfile;
    72 pselect6 => poll::pselect6;
    73 ppoll => poll::ppoll;
    74 signalfd4; 75 vmsplice => pipe::vmsplice; 76 splice => pipe::splice; 77 tee => pipe::tee;
    78 readlinkat => stat::readlinkat;
    79 newfstatat => stat::newfstatat;
    80 fstat => stat::fstat;
    81 sync => sync::sync;
    82 fsync => sync::fsync;
    83 fdatasync => sync::fdatasync;
    84 sync_file_range => sync::sync_file_range;
    85 timerfd_create; 86 timerfd_settime; 87 timerfd_gettime;
    88 utimensat => attr::utimensat;
    89 acct; 90 capget; 91 capset;
    92 personality => task::personality;
    93 exit => task::exit;
    94 exit_group => task::exit_group;
    95 waitid;
    96 set_tid_address => task::set_tid_address;
    97 unshare;
    98 futex => task::futex;
    99 set_robust_list => task::set_robust_list;
    100 get_robust_list;
    101 nanosleep => time::nanosleep;
    102 getitimer => time::getitimer;
    103 setitimer => time::setitimer;
    104 kexec_load; 105 init_module; 106 delete_module; 107 timer_create; 108 timer_gettime;
    109 timer_getoverrun; 110 timer_settime; 111 timer_delete;
    112 clock_settime;
    113 clock_gettime => time::clock_gettime;
    114 clock_getres => time::clock_getres;
    115 clock_nanosleep => time::clock_nanosleep;
    116 syslog;
    117 ptrace; 118 sched_setparam; 119 sched_setscheduler;
    120 sched_getscheduler => task::sched_getscheduler;
    121 sched_getparam => task::sched_getparam;
    122 sched_setaffinity => task::sched_setaffinity;
    123 sched_getaffinity => task::sched_getaffinity;
    124 sched_yield => task::sched_yield;
    125 sched_get_priority_max => task::sched_get_priority_max;
    126 sched_get_priority_min => task::sched_get_priority_min;
    127 sched_rr_get_interval;
    128 restart_syscall;
    129 kill => signal::kill;
    130 tkill => signal::tkill;
    131 tgkill => signal::tgkill;
    132 sigaltstack => signal::sigaltstack;
    133 rt_sigsuspend => sigwait::rt_sigsuspend;
    134 rt_sigaction => signal::rt_sigaction;
    135 rt_sigprocmask => signal::rt_sigprocmask;
    136 rt_sigpending => signal::rt_sigpending;
    137 rt_sigtimedwait => sigwait::rt_sigtimedwait;
    138 rt_sigqueueinfo => sigwait::rt_sigqueueinfo;
    139 rt_sigreturn => signal::rt_sigreturn;
    140 setpriority => task::setpriority;
    141 getpriority => task::getpriority;
    142 reboot => reboot::reboot;
    143 setregid => ids::setregid;
    144 setgid => ids::setgid;
    145 setreuid => ids::setreuid;
    146 setuid => ids::setuid;
    147 setresuid => ids::setresuid;
    148 getresuid => ids::getresuid;
    149 setresgid => ids::setresgid;
    150 getresgid => ids::getresgid;
    151 setfsuid => ids::setfsuid;
    152 setfsgid => ids::setfsgid;
    153 times => time::times;
    154 setpgid;
    155 getpgid => ids::getpgid;
    156 getsid => ids::getsid;
    157 setsid;
    158 getgroups => ids::getgroups;
    159 setgroups => ids::setgroups;
    160 uname => system::uname;
    161 sethostname;
    162 setdomainname;
    163 getrlimit => system::getrlimit;
    164 setrlimit => system::setrlimit;
    165 getrusage => system::getrusage;
    166 umask => attr::umask;
    167 prctl => task::prctl;
    168 getcpu => task::getcpu;
    169 gettimeofday => time::gettimeofday;
    170 settimeofday; 171 adjtimex;
    172 getpid => ids::getpid;
    173 getppid => ids::getppid;
    174 getuid => ids::getuid;
    175 geteuid => ids::geteuid;
    176 getgid => ids::getgid;
    177 getegid => ids::getegid;
    178 gettid => ids::gettid;
    179 sysinfo => system::sysinfo;
    180 mq_open; 181 mq_unlink; 182 mq_timedsend; 183 mq_timedreceive; 184 mq_notify; 185 mq_getsetattr;
    186 msgget; 187 msgctl; 188 msgrcv; 189 msgsnd; 190 semget; 191 semctl; 192 semtimedop; 193 semop;
    194 shmget; 195 shmctl; 196 shmat; 197 shmdt; 198 socket; 199 socketpair; 200 bind; 201 listen;
    202 accept; 203 connect; 204 getsockname; 205 getpeername; 206 sendto; 207 recvfrom; 208 setsockopt;
    209 getsockopt; 210 shutdown; 211 sendmsg; 212 recvmsg;
    213 readahead => fd::readahead;
    214 brk => memory::brk;
    215 munmap => memory::munmap;
    216 mremap => memory::mremap;
    217 add_key; 218 request_key; 219 keyctl; 220 clone; 221 execve;
    222 mmap => memory::mmap;
    223 fadvise64 => fd::fadvise64;
    224 swapon; 225 swapoff;
    226 mprotect => memory::mprotect;
    227 msync => memory::msync;
    228 mlock => memory::mlock;
    229 munlock => memory::munlock;
    230 mlockall => memory::mlockall;
    231 munlockall => memory::munlockall;
    232 mincore => memory::mincore;
    233 madvise => memory::madvise;
    234 remap_file_pages; 235 mbind; 236 get_mempolicy; 237 set_mempolicy; 238 migrate_pages;
    239 move_pages;
    240 rt_tgsigqueueinfo => sigwait::rt_tgsigqueueinfo;
    241 perf_event_open; 242 accept4; 243 recvmmsg;
    244 arch_specific_syscall; 260 wait4;
    261 prlimit64 => system::prlimit64;
    262 fanotify_init; 263 fanotify_mark; 264 name_to_handle_at; 265 open_by_handle_at; 266 clock_adjtime;
    267 syncfs => sync::syncfs;
    268 setns; 269 sendmmsg; 270 process_vm_readv; 271 process_vm_writev; 272 kcmp; 273 finit_module;
    274 sched_setattr; 275 sched_getattr;
    276 renameat2 => dir::renameat2;
    277 seccomp;
    278 getrandom => system::getrandom;
    279 memfd_create; 280 bpf; 281 execveat; 282 userfaultfd;
    283 membarrier;
    284 mlock2 => memory::mlock2;
    285 copy_file_range => pipe::copy_file_range;
    286 preadv2 => read::preadv2;
    287 pwritev2 => write::pwritev2;
    288 pkey_mprotect; 289 pkey_alloc; 290 pkey_free;
    291 statx => stat::statx;
    292 io_pgetevents => aio::io_pgetevents;
    293 rseq; 294 kexec_file_load; 424 pidfd_send_signal; 425 io_uring_setup;
    426 io_uring_enter; 427 io_uring_register; 428 open_tree; 429 move_mount; 430 fsopen; 431 fsconfig;
    432 fsmount; 433 fspick; 434 pidfd_open; 435 clone3;
    436 close_range => open::close_range;
    437 openat2; 438 pidfd_getfd;
    439 faccessat2 => stat::faccessat2;
    440 process_madvise; 441 epoll_pwait2; 442 mount_setattr; 443 quotactl_fd; 444 landlock_create_ruleset;
    445 landlock_add_rule; 446 landlock_restrict_self; 447 memfd_secret; 448 process_mrelease;
    449 futex_waitv; 450 set_mempolicy_home_node; 451 cachestat;
    452 fchmodat2 => attr::fchmodat2;
    453 map_shadow_stack; 454 futex_wake; 455 futex_wait; 456 futex_requeue; 457 statmount; 458 listmount;
    459 lsm_get_self_attr; 460 lsm_set_self_attr; 461 lsm_list_modules; 462 mseal; 463 setxattrat;
    464 getxattrat; 465 listxattrat; 466 removexattrat; 467 open_tree_attr; 468 file_getattr;
    469 file_setattr;
};

/// Which empty rows were already named in the log, a bit each.
static NAMED: [AtomicU64; ROWS.div_ceil(64)] = [const { AtomicU64::new(0) }; ROWS.div_ceil(64)];

/// Calls number `nr`; the value for x0, or the error.
#[inline]
pub fn dispatch(cx: &mut Cx<'_>, nr: u64, args: Args) -> Result<u64> {
    match TABLE.get(nr as usize) {
        Some(Row { handler: Some(handler), .. }) => handler(cx, args),
        _ => Err(not_implemented(nr)),
    }
}

/// The name of a number, for traces and the log.
pub fn name(nr: u64) -> &'static str {
    TABLE.get(nr as usize).map_or("", |row| row.name)
}

/// Whether a call that ended with EINTR is done again after a handler with SA_RESTART (signal(7)): what waits
/// for a pipe, a terminal, an eventfd or a lock, but nothing that has a time limit of its own.
#[cold]
pub fn restarts(nr: u64, args: Args) -> bool {
    const FUTEX_COMMAND: u32 = 0x7f;
    const FUTEX_WAIT: u32 = 0;
    const FUTEX_WAIT_BITSET: u32 = 9;
    match name(nr) {
        "flock" | "read" | "write" | "readv" | "writev" | "preadv2" | "pwritev2" => true,
        "sendfile" | "splice" | "tee" | "vmsplice" | "ioctl" => true,
        "futex" => {
            matches!(args.uint(1) & FUTEX_COMMAND, FUTEX_WAIT | FUTEX_WAIT_BITSET)
                && args.optional_addr(3).is_none()
        }
        _ => false,
    }
}

#[cold]
fn not_implemented(nr: u64) -> Errno {
    if let Some(row) = TABLE.get(nr as usize) {
        let bit = 1 << (nr % 64);
        if NAMED[nr as usize / 64].fetch_or(bit, Ordering::Relaxed) & bit == 0 {
            log::debug!("syscall {nr} ({}) is not implemented", row.name);
        }
    }
    Errno::ENOSYS
}

#[cfg(test)]
mod tests {
    use super::*;
    use syscalls::aarch64::Sysno;

    #[test]
    fn every_row_has_linux_name() {
        let mut compared = 0;
        for (nr, row) in TABLE.iter().enumerate() {
            let Some(sysno) = Sysno::new(nr) else { continue };
            // 64-bit time for 32-bit machines.
            if (403..=423).contains(&nr) {
                continue;
            }
            // The header names two rows twice; this list took the other name of one.
            let name = if sysno.name() == "fstatat" { "newfstatat" } else { sysno.name() };
            assert_eq!(row.name, name, "row {nr}");
            compared += 1;
        }
        assert!(compared > 300, "the independent list has {compared} rows");
    }

    #[test]
    fn the_calls_that_programs_count_on_are_there() {
        for nr in [56, 57, 63, 64, 65, 66, 67, 68, 93, 94, 113, 214, 222, 278, 291] {
            assert!(TABLE[nr].handler.is_some(), "row {nr} ({})", TABLE[nr].name);
        }
    }
}
