//! How a run ended: one sentence for people, one exit status for scripts.

use std::time::Duration;

use crate::OWN_TROUBLE;
use crate::console::End;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The guest said so itself.
    Guest(End),
    /// The time limit passed; QEMU was stopped.
    TimedOut(Duration),
    /// The launcher got this signal, and the guest ended in an orderly way or had not begun.
    Interrupted(i32),
    /// The launcher got this signal, and QEMU was killed.
    Killed(i32),
    /// Whoever read the program's output has gone away.
    OutputClosed,
    /// QEMU ended, and the guest had not said how the program did.
    Silent {
        /// QEMU's exit status, in words.
        status: String,
        /// The last line that QEMU wrote to its stderr.
        message: Option<String>,
    },
}

/// The status for a kernel panic: EX_SOFTWARE of sysexits.h.
const PANIC: u8 = 70;
/// The status for a time limit, as timeout(1) uses it.
const TIMED_OUT: u8 = 124;
/// What a shell reports for a program that signal `n` has ended is this plus `n`.
const SIGNAL_BASE: u8 = 128;
const SIGPIPE: u8 = 13;

impl Outcome {
    /// The same, QEMU not having ended by itself.
    pub fn killed(self) -> Self {
        match self {
            Outcome::Interrupted(signal) => Outcome::Killed(signal),
            other => other,
        }
    }

    pub fn status(&self) -> u8 {
        match self {
            Outcome::Guest(End::Exit(status) | End::Refused(status)) => *status,
            Outcome::Guest(End::Panic) => PANIC,
            Outcome::TimedOut(_) => TIMED_OUT,
            Outcome::Interrupted(signal) | Outcome::Killed(signal) => {
                u8::try_from(*signal).map_or(OWN_TROUBLE, |n| SIGNAL_BASE.saturating_add(n))
            }
            Outcome::OutputClosed => SIGNAL_BASE + SIGPIPE,
            Outcome::Silent { .. } => OWN_TROUBLE,
        }
    }

    /// What to tell the user; `None` where the exit status or the kernel log has said it all.
    pub fn sentence(&self, program: &str) -> Option<String> {
        match self {
            Outcome::Guest(End::Exit(_) | End::Refused(_)) | Outcome::OutputClosed => None,
            Outcome::Guest(End::Panic) => Some("the kernel panicked; its last words stand above".to_owned()),
            Outcome::TimedOut(limit) => {
                Some(format!("{program} did not end within {} s; QEMU was stopped", limit.as_secs_f64()))
            }
            Outcome::Interrupted(signal) => Some(format!("stopped by signal {signal}")),
            Outcome::Killed(signal) => {
                Some(format!("stopped by signal {signal}; QEMU was killed before the disk was unmounted"))
            }
            Outcome::Silent { status, message } => {
                let message = message.as_deref().map(|line| format!(": {line}")).unwrap_or_default();
                Some(format!("QEMU ended ({status}) before the kernel said how {program} did{message}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses() {
        let silent = Outcome::Silent { status: "exit status: 1".into(), message: None };
        let expected = [
            (Outcome::Guest(End::Exit(0)), 0),
            (Outcome::Guest(End::Exit(139)), 139),
            (Outcome::Guest(End::Refused(125)), 125),
            (Outcome::Guest(End::Panic), 70),
            (Outcome::TimedOut(Duration::from_secs(1)), 124),
            (Outcome::Interrupted(2), 130),
            (Outcome::Interrupted(15), 143),
            (Outcome::Killed(2), 130),
            (Outcome::OutputClosed, 141),
            (silent, 125),
        ];
        for (outcome, status) in expected {
            assert_eq!(outcome.status(), status, "{outcome:?}");
        }
    }

    #[test]
    fn sentences_name_what_happened() {
        assert_eq!(Outcome::Guest(End::Exit(3)).sentence("p"), None);
        let limit = Outcome::TimedOut(Duration::from_millis(2500)).sentence("/bin/p");
        assert_eq!(limit.as_deref(), Some("/bin/p did not end within 2.5 s; QEMU was stopped"));
        let silent =
            Outcome::Silent { status: "exit status: 1".into(), message: Some("no such device".into()) };
        let sentence = silent.sentence("/bin/p").unwrap_or_default();
        assert!(sentence.contains("exit status: 1") && sentence.ends_with(": no such device"), "{sentence}");
    }
}
