//! Signals: signal(7).
//!
//! * `info`: a signal's number and what is told of it (`siginfo_t`).
//! * `state`: dispositions, mask, what is pending: rt_sigaction(2), rt_sigprocmask(2), kill(2).
//! * `deliver`: before the program goes on: ignore, end the program, or call its handler.
//! * `frame`: the handler's stack frame as Linux/arm64 lays it out, and rt_sigreturn(2).

mod deliver;
mod frame;
mod info;
mod state;

pub use deliver::{Interrupted, deliver};
pub use frame::{FRAME_SIZE, sigreturn};
pub use info::{Detail, GIVEN, SigInfo, SigSet, Signal, code};
pub use state::{AltStack, How, MINSIGSTKSZ, SIG_DFL, SIG_IGN, SigAction, Signals, flags};
