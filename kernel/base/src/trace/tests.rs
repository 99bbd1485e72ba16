//! The ring of the kernel is one, so these tests take turns.

use super::*;
use std::string::{String, ToString};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

static TURN: Mutex<()> = Mutex::new(());

static ONE: Event = Event::new("first", "one_up", &["u64 n"], |r, out| write!(out, "n={}", r.arg(0)));
static TWO: Event = Event::new("first", "one_down", &["u64 n"], |r, out| {
    write!(out, "{} {} n={}", Dev(r.arg(1)), r.text(), r.signed(0))
});
static THREE: Event = Event::new("second", "two_up", &[], |_, out| out.write_str("three"));

fn turn() -> MutexGuard<'static, ()> {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    register(&[&ONE, &TWO, &THREE]);
    _ = set_events("*:*", false);
    set_on(true);
    set_buffer_size(4096).unwrap();
    clear();
    turn
}

fn texts() -> Vec<String> {
    let mut reader = Reader::new();
    core::iter::from_fn(|| match reader.read() {
        Read::Record(record) => Some(record.to_string()),
        Read::Lost(n) => Some(std::format!("lost {n}")),
        Read::End => None,
    })
    .collect()
}

#[test]
fn what_is_off_is_not_even_computed() {
    let _turn = turn();
    ONE.emit(|| -> [u64; 1] { panic!("it is off") });
    set_events("one_up", true).unwrap();
    ONE.emit(|| [1]);
    TWO.emit(|| [2]);
    set_on(false);
    ONE.emit(|| [3]);
    set_on(true);
    set_event(&ONE, false).unwrap();
    ONE.emit(|| [4]);
    assert_eq!(texts(), ["n=1"]);
}

#[test]
fn events_are_chosen_as_with_set_event() {
    let _turn = turn();
    let chosen = |pattern: &str| {
        set_events("*:*", false).unwrap();
        set_events(pattern, true).unwrap();
        [&ONE, &TWO, &THREE].map(Event::enabled)
    };
    assert_eq!(chosen("first"), [true, true, false]);
    assert_eq!(chosen("first:"), [true, true, false]);
    assert_eq!(chosen("first:*"), [true, true, false]);
    assert_eq!(chosen("first:one_down"), [false, true, false]);
    assert_eq!(chosen("*_up"), [true, false, true]);
    assert_eq!(chosen("*:*"), [true, true, true]);
    assert_eq!(chosen(":two_up"), [false, false, true]);
    for wrong in ["", "third", "first:two_up", "first:one"] {
        assert_eq!(set_events(wrong, true), Err(crate::Errno::EINVAL), "{wrong}");
    }
}

#[test]
fn the_registry_is_in_order_and_numbers_stay() {
    let _turn = turn();
    let of_tests = ["first", "second"];
    let all: Vec<_> = events().into_iter().filter(|event| of_tests.contains(&event.system())).collect();
    let names: Vec<_> = all.iter().map(|event| event.name()).collect();
    assert_eq!(names, ["one_down", "one_up", "two_up"]);
    assert!(all.iter().all(|event| event_by_id(event.id()).unwrap().name() == event.name()));
    assert!(event_by_id(0).is_none() && event_by_id(u16::MAX).is_none());
    static NEVER: Event = Event::new("third", "never", &[], |_, _| Ok(()));
    assert_eq!(set_event(&NEVER, true), Err(crate::Errno::EINVAL));
}

#[test]
fn reading_leaves_and_consuming_takes() {
    let _turn = turn();
    set_events("first", true).unwrap();
    for n in 0..3 {
        ONE.emit(|| [n]);
    }
    assert_eq!(texts(), ["n=0", "n=1", "n=2"]);
    assert_eq!(texts().len(), 3);
    let Read::Record(first) = consume() else { panic!("nothing there") };
    assert_eq!((first.to_string().as_str(), first.event().unwrap().name()), ("n=0", "one_up"));
    assert_eq!(texts(), ["n=1", "n=2"]);
    assert_eq!(counts(), Counts { entries: 2, written: 3, overrun: 0, dropped: 0 });
    clear();
    assert_eq!((texts().len(), consume(), counts()), (0, Read::End, Counts::default()));
    ONE.emit(|| [9]);
    assert_eq!(texts(), ["n=9"]);
}

#[test]
fn a_full_ring_keeps_the_newest_and_counts_the_others() {
    let _turn = turn();
    set_events("one_up", true).unwrap();
    let mut early = Reader::new();
    let held = (4096 / ring::RECORD_BYTES) as u64;
    for n in 0..held + 5 {
        ONE.emit(|| [n]);
    }
    assert_eq!(counts(), Counts { entries: held, written: held + 5, overrun: 5, dropped: 0 });
    assert_eq!(texts()[0], "n=5");
    assert_eq!(early.read(), Read::Lost(5));
    assert!(matches!(early.read(), Read::Record(record) if record.arg(0) == 5));
    assert_eq!(consume(), Read::Lost(5));
    assert!(matches!(consume(), Read::Record(record) if record.arg(0) == 5));
    assert_eq!(counts(), Counts { entries: held - 1, written: held + 5, overrun: 5, dropped: 0 });
}

#[test]
fn another_size_starts_anew() {
    let _turn = turn();
    set_events("first", true).unwrap();
    ONE.emit(|| [1]);
    let mut reader = Reader::new();
    set_buffer_size(1 << 20).unwrap();
    assert_eq!((buffer_size(), texts().len()), (1 << 20, 0));
    TWO.emit_named(|| ([u64::MAX, 254 << 20 | 3], "a name of twenty ch"));
    assert_eq!(texts(), ["254,3 a name of twenty n=-1"]);
    assert!(matches!(reader.read(), Read::Record(_)), "a reader from before goes on");
    assert_eq!(reader.read(), Read::End);
    set_buffer_size(0).unwrap();
    assert_eq!(buffer_size(), crate::PAGE_SIZE);
}

#[test]
fn a_line_is_as_linux_has_it() {
    let context = Context {
        flags: RecordFlags::default().with(RecordFlags::IRQS_OFF, true).with(RecordFlags::HARDIRQ, true),
        ..Context::named(23, b"kworker/u2:1")
    };
    let _turn = turn();
    let fixed = record::Fixed { ns: 2_559_185_999, id: THREE.id(), context, args: &[], text: "" };
    let record = Record::from_words(&fixed.words());
    let line = record.line().to_string();
    assert_eq!(line, "    kworker/u2:1-23      [000] d.h..     2.559185: two_up: three");
    assert_eq!((record.comm(), record.pid(), record.ns()), ("kworker/u2:1", 23, 2_559_185_999));
    let cut = Context::named(1, "a name that is too lön".as_bytes());
    assert_eq!(cut.comm, *b"a name that is \0");
}

#[test]
fn flags_are_named() {
    let names = [(1, "A"), (2, "B"), (8, "D")];
    let shown = |bits| Symbols { bits, between: "|", names: &names }.to_string();
    assert_eq!(
        (shown(0), shown(3), shown(8), shown(0x1a)),
        ("".into(), "A|B".into(), "D".into(), "B|D|0x10".into())
    );
    assert_eq!(
        (Dev(8 << 20 | 1).to_string(), std::format!("{:#}", Dev(254 << 20))),
        ("8,1".into(), "254:0".into())
    );
}
