//! Which events there are, and which are on.
//!
//! # Locking
//! `REGISTERING` is a spin lock that only threads take, at boot. Finding an event takes none.

use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use spin::{Mutex, Once};

use super::{Event, buffer};
use crate::errno::{Errno, Result};

/// Events beyond so many are not registered.
const MOST: usize = 256;

static EVENTS: [Once<&'static Event>; MOST] = [const { Once::new() }; MOST];
/// How many there are.
static REGISTERING: Mutex<u16> = Mutex::new(0);

/// Makes the events of a layer known. Once each; a second time is nothing.
pub fn register(events: &[&'static Event]) {
    let mut count = REGISTERING.lock();
    for &event in events {
        if event.id() == 0
            && let Some(place) = EVENTS.get(usize::from(*count))
        {
            place.call_once(|| event);
            *count += 1;
            event.id.store(*count, Ordering::Relaxed);
        }
    }
}

/// Every event, by system and name.
pub fn events() -> Vec<&'static Event> {
    let mut all: Vec<&'static Event> = EVENTS.iter().map_while(|place| place.get().copied()).collect();
    crate::sort::by_key(&mut all, |event| (event.system(), event.name()));
    all
}

/// The event of that number.
pub fn event_by_id(id: u16) -> Option<&'static Event> {
    let index = usize::from(id).checked_sub(1)?;
    EVENTS.get(index)?.get().copied()
}

/// Enables or disables one event. EINVAL when it is not registered; ENOMEM when there is no room for
/// the ring.
pub fn set_event(event: &Event, on: bool) -> Result<()> {
    if event.id() == 0 {
        return Err(Errno::EINVAL);
    }
    if on {
        buffer::prepare()?;
    }
    event.enabled.store(on, Ordering::Relaxed);
    Ok(())
}

/// Enables or disables what a text names, as Linux's `set_event` takes it: `system:event`, `system:`,
/// `system:*`, or one word that is an event's or a system's name; `*` stands for any text. EINVAL
/// when nothing is of that name, ENOMEM.
pub fn set_events(pattern: &str, on: bool) -> Result<()> {
    let named = |event: &Event| match pattern.split_once(':') {
        Some((system, name)) => {
            let any = |pattern: &str, text| pattern.is_empty() || matches(pattern, text);
            any(system, event.system()) && any(name, event.name())
        }
        None => matches(pattern, event.system()) || matches(pattern, event.name()),
    };
    let chosen: Vec<_> = events().into_iter().filter(|event| named(event)).collect();
    if chosen.is_empty() {
        return Err(Errno::EINVAL);
    }
    chosen.into_iter().try_for_each(|event| set_event(event, on))
}

/// Whether a pattern with `*` matches the whole text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let mut pieces = rest.split('*').peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return text.ends_with(piece);
        }
        match text.split_once(piece) {
            Some((_, behind)) => text = behind,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, text) in [
            ("block", "block"),
            ("*", ""),
            ("*", "x"),
            ("block_*", "block_plug"),
            ("*_rq_*", "block_rq_issue"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("block", "blocks"), ("*x", "y"), ("a*b", "ac"), ("*_rq_*", "block_rq"), ("ab*b", "ab")]
        {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }
}
