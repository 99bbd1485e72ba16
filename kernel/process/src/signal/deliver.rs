//! Before the program goes on: what its pending signals do to it.

use base::arch::UserCpu;

use super::frame;
use super::info::{SigInfo, Signal};
use super::state::{SIG_DFL, SIG_IGN, Signals};
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

/// Delivers what is pending: each handler gets its frame, the last one's is on top. `restorer` is where
/// a handler without SA_RESTORER returns to. Some is the signal that ends the program.
pub fn deliver(signals: &Signals, mm: &Mm, cpu: &mut dyn UserCpu, restorer: u64) -> Option<SigInfo> {
    if let Some(fp) = signals.take_fp() {
        cpu.set_fp(&fp);
    }
    while let Some(next) = signals.take_next() {
        match next.action.handler {
            SIG_IGN => {}
            SIG_DFL if ignored_by_default(next.info.signal) => {}
            SIG_DFL => return Some(next.info),
            _ => {
                if frame::push(signals, mm, cpu, &next, restorer).is_err() {
                    return Some(SigInfo::kernel(Signal::SEGV));
                }
                signals.begin_handler(&next);
            }
        }
    }
    // No handler ran that would bring back the mask of before a wait.
    signals.resume_mask();
    None
}
