//! The loop around the program: enter EL0, come back, look why.
//!
//! ```text
//!   cpu.run() ─┬─ Syscall     dispatch, answer in x0
//!              ├─ PageFault   bring the page in, or raise SIGSEGV / SIGBUS
//!              ├─ Exception   raise what it says
//!              └─ Interrupt   let somebody else run, if somebody wants to
//!   a signal waits?  deliver it: a handler's frame, nothing, or the end; what it interrupted is done again, or not
//! ```

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::Errno;
use base::arch::{Trap, UserCpu};
use process::Process;
use process::signal::{Detail, Interrupted, SigInfo, Signal};
use vfs::Cred;

use crate::args::Args;
use crate::context::{Cx, System};
use crate::{table, trace};

/// How a program ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// By exit(2), with this status.
    Exited(u8),
    /// By a signal.
    Killed(Signal),
    /// By reboot(2).
    Rebooted(Reboot),
}

/// What reboot(2) asks for the machine, once everything is on the disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reboot {
    /// To start again, with this word for the boot loader.
    Restart(Option<Vec<u8>>),
    /// To stand still, switched on.
    Halt,
    /// To be switched off.
    PowerOff,
}

impl End {
    /// What a shell makes of it: the status, or 128 + signal; 0 after reboot(2), which is what it asked for.
    pub const fn status(&self) -> u8 {
        match self {
            End::Exited(status) => *status,
            End::Killed(signal) => signal.exit_status(),
            End::Rebooted(_) => 0,
        }
    }
}

/// Runs the program to its end.
pub fn run(process: &Arc<Process>, cpu: &mut dyn UserCpu, system: &dyn System) -> End {
    trace::set_task(process);
    vfs::current::set_current(process.cred());
    process.signals().adopt_thread();
    let end = run_on(process, cpu, system);
    process.aio().exit();
    process.signals().forget_thread();
    vfs::current::set_current(Arc::new(Cred::ROOT));
    trace::forget_task();
    end
}

fn run_on(process: &Arc<Process>, cpu: &mut dyn UserCpu, system: &dyn System) -> End {
    loop {
        let mut interrupted = None;
        match cpu.run() {
            Trap::Syscall => {
                if let Some(end) = system_call(process, cpu, system, &mut interrupted) {
                    return end;
                }
            }
            Trap::PageFault { addr, access, .. } => {
                if let Err(info) = process.mm().fault(addr, access) {
                    process.signals().force(info);
                }
            }
            Trap::Interrupt => {
                if ::sync::thread::need_resched() {
                    ::sync::thread::yield_now();
                }
            }
            Trap::Exception { signal, code, addr, what, esr } => {
                log::info!("{what} at {:#x}, ESR {esr:#x}", addr.0);
                let signal = Signal::from_user(signal.into()).unwrap_or(Signal::ILL);
                process.signals().force(SigInfo::fault(signal, code, addr));
            }
        }
        if process.signals().attention()
            && let Some(info) = process.deliver_signals(cpu, interrupted)
        {
            tell(&info, cpu);
            return End::Killed(info.signal);
        }
    }
}

/// One system call; Some when the program ended by it. A signal may have interrupted it.
#[inline]
fn system_call(
    process: &Arc<Process>,
    cpu: &mut dyn UserCpu,
    system: &dyn System,
    interrupted: &mut Interrupted,
) -> Option<End> {
    let regs = cpu.regs();
    let number = regs.x[8];
    let args = Args([regs.x[0], regs.x[1], regs.x[2], regs.x[3], regs.x[4], regs.x[5]]);
    let mut cx = Cx::new(process, regs, system);
    let answer = if trace::enabled() {
        trace::traced(&mut cx, number, args)
    } else {
        table::dispatch(&mut cx, number, args)
    };
    let (end, keep) = (cx.end, cx.keep_registers);
    if !keep {
        regs.x[0] = match answer {
            Ok(value) => value,
            Err(error) => {
                if error == Errno::EINTR && table::restarts(number, args) {
                    *interrupted = Some(args.ulong(0));
                }
                error.as_return()
            }
        };
    }
    end
}

/// A line for who wonders why the program is gone.
#[cold]
fn tell(info: &SigInfo, cpu: &mut dyn UserCpu) {
    let pc = cpu.regs().pc;
    let (signal, text) = (info.signal, info.signal.text());
    match info.detail {
        Detail::Address(addr) => {
            log::warn!(
                "the program was ended by signal {signal:?}, {text}: address {:#x}, pc {pc:#x}",
                addr.0
            );
        }
        _ => log::warn!("the program was ended by signal {signal:?}, {text}: pc {pc:#x}"),
    }
}
