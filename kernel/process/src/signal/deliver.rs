//! Before the program goes on: what its pending signals do to it.

use base::arch::UserCpu;

use super::frame;
use super::info::{SigInfo, Signal};
use super::state::{SIG_DFL, SIG_IGN, Signals, flags};
use crate::mm::Mm;

/// Whether the default is to do nothing. Stopping the only program would be for ever, so the signals
/// that stop do nothing either.
pub(super) const fn ignored_by_default(signal: Signal) -> bool {
    matches!(
        signal,
        Signal::CHLD
            | Signal::URG
            | Signal::WINCH
            | Signal::CONT
            | Signal::STOP
            | Signal::TSTP
            | Signal::TTIN
            | Signal::TTOU
    )
}

/// The system call that a signal has interrupted, if it is one that can be done again (Linux's ERESTARTSYS): its
/// first argument, in whose place the answer is now. It is done again when no handler runs, or when the first
/// that runs was set with SA_RESTART.
pub type Interrupted = Option<u64>;

/// Delivers what is pending: each handler gets its frame, the last one's is on top. `restorer` is where
/// a handler without SA_RESTORER returns to. Some is the signal that ends the program.
pub fn deliver(
    signals: &Signals,
    mm: &Mm,
    cpu: &mut dyn UserCpu,
    restorer: u64,
    mut interrupted: Interrupted,
) -> Option<SigInfo> {
    if let Some(fp) = signals.take_fp() {
        cpu.set_fp(&fp);
    }
    while let Some(next) = signals.take_next() {
        match next.action.handler {
            SIG_IGN => {}
            SIG_DFL if ignored_by_default(next.info.signal) => {}
            SIG_DFL => return Some(next.info),
            _ => {
                if let Some(argument) = interrupted.take()
                    && next.action.flags & flags::SA_RESTART != 0
                {
                    again(cpu, argument);
                }
                if frame::push(signals, mm, cpu, &next, restorer).is_err() {
                    return Some(SigInfo::kernel(Signal::SEGV));
                }
                signals.begin_handler(&next);
            }
        }
    }
    if let Some(argument) = interrupted {
        again(cpu, argument);
    }
    // No handler ran that would bring back the mask of before a wait.
    signals.resume_mask();
    None
}

/// Back to the svc, with its first argument.
fn again(cpu: &mut dyn UserCpu, argument: u64) {
    const SVC: u64 = 4;
    let regs = cpu.regs();
    regs.pc = regs.pc.wrapping_sub(SVC);
    regs.x[0] = argument;
}
