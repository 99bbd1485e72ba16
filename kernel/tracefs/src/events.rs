//! Which events are on, as the files of `events/` and `set_event` show and set it.

use alloc::vec::Vec;

use base::trace::{self, Event};
use base::{Errno, Result};
use kernfs::Text;
use kernfs::value::{self, Radix};

/// The groups of events, by name.
pub(crate) fn systems() -> Vec<&'static str> {
    let mut names: Vec<_> = trace::events().iter().map(|event| event.system()).collect();
    names.dedup();
    names
}

/// The events of a group; of all, where there is no name.
pub(crate) fn of(system: Option<&str>) -> Vec<&'static Event> {
    let mut all = trace::events();
    all.retain(|event| system.is_none_or(|name| event.system() == name));
    all
}

/// `1` when all are on, `0` when none is, `X` in between.
pub(crate) fn show_enable(events: &[&Event], text: &mut Text) {
    let on = events.iter().filter(|event| event.enabled()).count();
    let sign = match on {
        0 if events.is_empty() => '?',
        0 => '0',
        n if n == events.len() => '1',
        _ => 'X',
    };
    writeln!(text, "{sign}");
}

/// 0 or 1 for each.
pub(crate) fn set_enable(events: &[&Event], bytes: &[u8]) -> Result<()> {
    let on = match value::unsigned(bytes, Radix::Decimal)? {
        0 => false,
        1 => true,
        _ => return Err(Errno::EINVAL),
    };
    events.iter().try_for_each(|event| trace::set_event(event, on))
}

/// The names of events, a line each.
pub(crate) fn names<'a>(events: impl IntoIterator<Item = &'a &'static Event>, text: &mut Text) {
    for event in events {
        writeln!(text, "{}:{}", event.system(), event.name());
    }
}

/// Words between blanks; each names events to switch on, with `!` in front off.
pub(crate) fn set_event(bytes: &[u8]) -> Result<()> {
    for word in value::text(bytes)?.split_ascii_whitespace() {
        match word.strip_prefix('!') {
            Some(name) => trace::set_events(name, false)?,
            None => trace::set_events(word, true)?,
        }
    }
    Ok(())
}

/// Switches all off, as opening `set_event` with O_TRUNC does.
pub(crate) fn none() -> Result<()> {
    trace::events().into_iter().try_for_each(|event| trace::set_event(event, false))
}
