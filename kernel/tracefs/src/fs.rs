//! The file system: its type, its files, and its answers to kernfs.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use base::trace::{self, Event};
use base::{Errno, Ino, PAGE_SIZE, Result};
use kernfs::value::{self, Radix};
use kernfs::{Emit, FsType, LongWrite, Rules, Text, Tree};
use vfs::{FileOperations, FileType, OpenFlags};

use crate::events;
use crate::stream::{Sleep, Trace, TracePipe};

/// The type, for `vfs::register_filesystem`; `sleep` is how a reader of trace_pipe waits: for some
/// nanoseconds, EINTR when a signal came.
pub fn fs_type(sleep: fn(u64) -> Result<()>) -> FsType {
    FsType::new(TraceFs { sleep })
}

struct TraceFs {
    sleep: Sleep,
}

/// A node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Id {
    Root,
    /// A file of the root, by its place in [`TOP`].
    Top(u8),
    /// `events/`, and the file in it.
    Events,
    EventsEnable,
    /// The directory of a group of events, and the file in it.
    System(&'static str),
    SystemEnable(&'static str),
    /// The directory of an event by its number, and the files in it.
    Event(u16),
    EventEnable(u16),
    EventNumber(u16),
}

/// Takes what was written.
type Store = fn(&[u8]) -> Result<()>;

/// What a file of the root does.
struct Top {
    name: &'static str,
    mode: u32,
    show: fn(&mut Text),
    store: Option<Store>,
}

const fn shown(name: &'static str, show: fn(&mut Text)) -> Top {
    Top { name, mode: 0o440, show, store: None }
}

const fn settable(name: &'static str, show: fn(&mut Text), store: Store) -> Top {
    Top { name, mode: 0o640, show, store: Some(store) }
}

/// `trace` and `trace_pipe` have operations of their own.
const TRACE: &str = "trace";
const TRACE_PIPE: &str = "trace_pipe";
const SET_EVENT: &str = "set_event";

/// Every file of the root. A row's place is part of its inode number.
static TOP: &[Top] = &[
    shown("available_events", |text| events::names(&trace::events(), text)),
    shown("available_tracers", |text| writeln!(text, "nop")),
    settable("buffer_size_kb", |text| writeln!(text, "{}", trace::buffer_size() / 1024), set_buffer_size),
    shown("buffer_total_size_kb", |text| writeln!(text, "{}", trace::buffer_size() / 1024)),
    settable("current_tracer", |text| writeln!(text, "nop"), set_tracer),
    settable(SET_EVENT, show_set_event, events::set_event),
    settable(TRACE, |_| {}, |_| Ok(())),
    shown(TRACE_PIPE, |_| {}),
    settable("tracing_on", |text| writeln!(text, "{}", u32::from(trace::is_on())), set_tracing_on),
];

fn show_set_event(text: &mut Text) {
    events::names(trace::events().iter().filter(|event| event.enabled()), text);
}

/// There is one tracer: the one that traces events alone.
fn set_tracer(bytes: &[u8]) -> Result<()> {
    if value::word(bytes)? == "nop" { Ok(()) } else { Err(Errno::EINVAL) }
}

fn set_tracing_on(bytes: &[u8]) -> Result<()> {
    trace::set_on(value::unsigned(bytes, Radix::Decimal)? != 0);
    Ok(())
}

fn set_buffer_size(bytes: &[u8]) -> Result<()> {
    let kib = value::unsigned(bytes, Radix::Decimal)?;
    if kib == 0 {
        return Err(Errno::EINVAL);
    }
    trace::set_buffer_size(usize::try_from(kib.saturating_mul(1024)).unwrap_or(usize::MAX))
}

fn event(id: u16) -> Result<&'static Event> {
    trace::event_by_id(id).ok_or(Errno::ENODEV)
}

fn place(index: usize) -> u8 {
    u8::try_from(index).unwrap_or(u8::MAX)
}

impl TraceFs {
    fn children(&self, dir: Id) -> Vec<(String, Id)> {
        let named = |name: &str, id| (name.to_string(), id);
        match dir {
            Id::Root => {
                let files = TOP.iter().enumerate().map(|(index, top)| named(top.name, Id::Top(place(index))));
                files.chain([named("events", Id::Events)]).collect()
            }
            Id::Events => {
                let systems = events::systems().into_iter().map(|name| named(name, Id::System(name)));
                systems.chain([named("enable", Id::EventsEnable)]).collect()
            }
            Id::System(system) => {
                let all = events::of(Some(system));
                let events = all.iter().map(|event| named(event.name(), Id::Event(event.id())));
                events.chain([named("enable", Id::SystemEnable(system))]).collect()
            }
            Id::Event(id) => {
                [named("enable", Id::EventEnable(id)), named("id", Id::EventNumber(id))].to_vec()
            }
            _ => Vec::new(),
        }
    }

    fn top(&self, id: Id) -> Option<&'static Top> {
        match id {
            Id::Top(index) => TOP.get(usize::from(index)),
            _ => None,
        }
    }

    /// The events that an `enable` file stands for.
    fn switched(&self, id: Id) -> Result<Vec<&'static Event>> {
        match id {
            Id::EventsEnable => Ok(events::of(None)),
            Id::SystemEnable(system) => Ok(events::of(Some(system))),
            Id::EventEnable(id) => Ok([event(id)?].to_vec()),
            _ => Err(Errno::EINVAL),
        }
    }
}

impl Tree for TraceFs {
    type Id = Id;

    const RULES: Rules = Rules {
        name: "tracefs",
        magic: 0x7472_6163,
        block_size: PAGE_SIZE as u32,
        no_new_names: None,
        keeps_changes: true,
        seeks_from_end: false,
        long_write: LongWrite::Cut,
    };

    fn root(&self) -> Id {
        Id::Root
    }

    /// A group has the number of its first event.
    fn ino(&self, id: Id) -> Ino {
        let first = |system| events::of(Some(system)).first().map_or(0, |event| event.id());
        let of = |kind: u64, number: u16| Ino(kind << 16 | u64::from(number));
        match id {
            Id::Root => Ino(1),
            Id::Events => Ino(2),
            Id::EventsEnable => Ino(3),
            Id::Top(index) => Ino(4 + u64::from(index)),
            Id::System(system) => of(1, first(system)),
            Id::SystemEnable(system) => of(2, first(system)),
            Id::Event(id) => of(3, id),
            Id::EventEnable(id) => of(4, id),
            Id::EventNumber(id) => of(5, id),
        }
    }

    fn kind(&self, id: Id) -> FileType {
        match id {
            Id::Root | Id::Events | Id::System(_) | Id::Event(_) => FileType::Directory,
            Id::Top(_) | Id::EventsEnable | Id::SystemEnable(_) | Id::EventEnable(_) | Id::EventNumber(_) => {
                FileType::Regular
            }
        }
    }

    /// Nothing is for others than root.
    fn mode(&self, id: Id) -> u32 {
        match id {
            Id::Root => 0o700,
            Id::Events | Id::System(_) | Id::Event(_) => 0o750,
            Id::Top(_) => self.top(id).map_or(0, |top| top.mode),
            Id::EventsEnable | Id::SystemEnable(_) | Id::EventEnable(_) => 0o640,
            Id::EventNumber(_) => 0o440,
        }
    }

    fn lookup(&self, dir: Id, name: &[u8]) -> Option<Id> {
        self.children(dir).into_iter().find(|(n, _)| n.as_bytes() == name).map(|(_, id)| id)
    }

    /// An entry stands at its place in the listing.
    fn list(&self, dir: Id, from: u64, emit: &mut Emit<'_, Id>) -> Result<()> {
        for (position, (name, id)) in (0..).zip(self.children(dir)) {
            if position >= from && !emit(position, name.as_bytes(), id) {
                break;
            }
        }
        Ok(())
    }

    fn show(&self, id: Id, text: &mut Text) -> Result<()> {
        match id {
            Id::Top(_) => (self.top(id).ok_or(Errno::ENODEV)?.show)(text),
            Id::EventNumber(id) => writeln!(text, "{id}"),
            _ => events::show_enable(&self.switched(id)?, text),
        }
        Ok(())
    }

    fn store(&self, id: Id, bytes: &[u8]) -> Result<()> {
        match self.top(id) {
            Some(top) => top.store.ok_or(Errno::EINVAL)?(bytes),
            None => events::set_enable(&self.switched(id)?, bytes),
        }
    }

    fn can_write(&self, id: Id) -> bool {
        match id {
            Id::EventNumber(_) => false,
            _ => self.top(id).is_none_or(|top| top.store.is_some()),
        }
    }

    fn open(&self, id: Id, flags: OpenFlags) -> Result<Option<Arc<dyn FileOperations>>> {
        let Some(top) = self.top(id) else { return Ok(None) };
        let empties = flags.contains(OpenFlags::TRUNC) && flags.access_mode() != 0;
        match top.name {
            TRACE => {
                if empties {
                    trace::clear();
                }
                Ok(Some(Arc::new(Trace::new())))
            }
            TRACE_PIPE => Ok(Some(Arc::new(TracePipe::new(self.sleep)))),
            SET_EVENT if empties => events::none().map(|()| None),
            _ => Ok(None),
        }
    }
}
