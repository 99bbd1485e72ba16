//! The kernel's log in tests: kept per thread, shown when asked for, silent otherwise.

use std::cell::RefCell;
use std::sync::Once;

use log::{LevelFilter, Log, Metadata, Record};

struct Keeper;

static KEEPER: Keeper = Keeper;
static INSTALL: Once = Once::new();

/// Messages kept for one thread at most.
const KEPT: usize = 10_000;

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Installs the logger; `QUILL_LOG=1` prints everything as well. The first call does it.
pub fn quiet() {
    INSTALL.call_once(|| {
        if log::set_logger(&KEEPER).is_ok() {
            log::set_max_level(LevelFilter::Info);
        }
    });
}

/// What this thread has logged since the last call.
pub fn take_log() -> Vec<String> {
    LINES.with_borrow_mut(std::mem::take)
}

impl Log for Keeper {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = format!("{}: {}", record.level(), record.args());
        if std::env::var_os("QUILL_LOG").is_some() {
            eprintln!("{line}");
        }
        LINES.with_borrow_mut(|lines| {
            if lines.len() < KEPT {
                lines.push(line);
            }
        });
    }

    fn flush(&self) {}
}
