//! A tracefs with events of its own, through the vfs. The ring is one, so the tests take turns.

use alloc::format;
use alloc::string::String;
use core::ops::Deref;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use base::trace::{self, Event};
use base::{Errno, Result};
use kernfs::testing::{Found, User};
use vfs::{Cred, FileSystemType, FileType, MountFlags, OpenFlags, lseek::lseek};

use crate::fs_type;

const RDONLY: OpenFlags = OpenFlags::empty();
const EINVAL: Result<()> = Err(Errno::EINVAL);

static READ: Event = Event::new("disk", "disk_read", &["u64 n"], |r, out| write!(out, "n={}", r.arg(0)));
static WRITE: Event = Event::new("disk", "disk_write", &["u64 n"], |r, out| write!(out, "n={}", r.arg(0)));
static TICK: Event = Event::new("timer", "timer_tick", &[], |_, out| out.write_str("tick"));

static TURN: Mutex<()> = Mutex::new(());
static SLEPT: AtomicUsize = AtomicUsize::new(0);

/// Something happens while a reader sleeps; if it sleeps on, a signal comes.
fn sleep(_ns: u64) -> Result<()> {
    match SLEPT.fetch_add(1, Ordering::Relaxed) {
        0 => Ok(()),
        1 => {
            READ.emit(|| [77]);
            Ok(())
        }
        _ => Err(Errno::EINTR),
    }
}

struct World {
    user: User,
    _turn: MutexGuard<'static, ()>,
}

impl Deref for World {
    type Target = User;

    fn deref(&self) -> &User {
        &self.user
    }
}

impl World {
    fn new() -> World {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        trace::register(&[&READ, &WRITE, &TICK]);
        _ = trace::set_events("*:*", false);
        trace::set_on(true);
        trace::set_buffer_size(trace::DEFAULT_SIZE).unwrap();
        trace::clear();
        SLEPT.store(0, Ordering::Relaxed);
        let user = User::default();
        let sb = fs_type(sleep).mount(None, MountFlags::empty(), "").unwrap();
        user.mount("/t", sb, "tracefs");
        World { user, _turn }
    }

    fn set(&self, name: &str, value: &str) -> Result<()> {
        self.echo(value, &format!("/t/{name}"))
    }

    fn get(&self, name: &str) -> String {
        self.cat(&format!("/t/{name}"))
    }

    /// What `trace` shows without its head.
    fn lines(&self) -> String {
        let text = self.get("trace");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| format!("{}\n", line.split_once(": ").unwrap().1)).collect()
    }
}

#[test]
fn the_tree_is_linux_s() {
    let world = World::new();
    let all = world.check_tree("/t");
    for Found { path, kind, .. } in &all {
        let attr = world.lstat(path).unwrap().attr;
        assert_eq!((attr.size, attr.mode & 0o7), (0, 0), "{path}");
        let pipe = path.ends_with("trace_pipe");
        assert!(*kind == FileType::Directory || pipe || world.bytes(path).is_ok(), "{path}");
    }
    for (path, mode) in [
        ("/t", 0o040700),
        ("/t/trace", 0o100640),
        ("/t/trace_pipe", 0o100440),
        ("/t/events", 0o040750),
        ("/t/events/disk/enable", 0o100640),
        ("/t/events/disk/disk_read/id", 0o100440),
    ] {
        assert_eq!(world.lstat(path).unwrap().attr.mode, mode, "{path}");
    }
    assert_eq!(world.ls("/t/events").unwrap(), [".", "..", "disk", "timer", "enable"]);
    assert_eq!(world.get("available_events"), "disk:disk_read\ndisk:disk_write\ntimer:timer_tick\n");
    assert_eq!(world.get("events/timer/timer_tick/id"), format!("{}\n", TICK.id()));
    let sb = world.lookup("/t", vfs::namei::LookupFlags::FOLLOW).unwrap().mount.superblock().clone();
    assert_eq!((sb.statfs().unwrap().magic, sb.fs_type()), (0x7472_6163, "tracefs"));
}

#[test]
fn events_are_enabled_one_by_one_in_groups_and_by_name() {
    let world = World::new();
    let enable =
        || ["events/enable", "events/disk/enable", "events/disk/disk_read/enable"].map(|f| world.get(f));
    assert_eq!(enable(), ["0\n", "0\n", "0\n"]);
    world.set("events/disk/disk_read/enable", "1").unwrap();
    assert_eq!(enable(), ["X\n", "X\n", "1\n"]);
    assert_eq!(world.get("set_event"), "disk:disk_read\n");
    world.set("events/disk/enable", "1").unwrap();
    assert_eq!(enable(), ["X\n", "1\n", "1\n"]);
    world.set("events/enable", "1").unwrap();
    assert_eq!(enable(), ["1\n", "1\n", "1\n"]);
    for bad in ["2", "x", "", "-1"] {
        assert_eq!(world.set("events/disk/enable", bad), EINVAL, "{bad}");
    }
    // `>` empties the list before it adds to it, `>>` only adds.
    world.set("set_event", "timer:timer_tick").unwrap();
    assert_eq!(world.get("set_event"), "timer:timer_tick\n");
    let append = |text: &[u8]| world.write(&world.open("/t/set_event", OpenFlags::WRONLY).unwrap(), text);
    assert_eq!(append(b"disk:* !disk:disk_write\n"), Ok(24));
    assert_eq!(world.get("set_event"), "disk:disk_read\ntimer:timer_tick\n");
    assert_eq!(append(b"nothing\n"), Err(Errno::EINVAL));
    world.set("set_event", "").unwrap();
    assert_eq!(enable()[0], "0\n");
}

#[test]
fn trace_looks_and_takes_nothing_away() {
    let world = World::new();
    assert!(
        world.get("trace").starts_with("# tracer: nop\n#\n# entries-in-buffer/entries-written: 0/0   #P:1\n")
    );
    world.set("events/disk/enable", "1").unwrap();
    (0..3).for_each(|n| READ.emit(|| [n]));
    world.set("tracing_on", "0").unwrap();
    READ.emit(|| [9]);
    assert_eq!(world.get("tracing_on"), "0\n");
    let lines = "disk_read: n=0\ndisk_read: n=1\ndisk_read: n=2\n";
    assert_eq!((world.lines().as_str(), world.lines().as_str()), (lines, lines));
    let file = world.open("/t/trace", OpenFlags::WRONLY | OpenFlags::TRUNC).unwrap();
    assert_eq!(world.write(&file, b"\n"), Ok(1));
    assert_eq!(world.lines(), "");
}

#[test]
fn trace_in_small_steps_and_from_the_middle_is_the_same_text() {
    let world = World::new();
    world.set("events/disk/enable", "1").unwrap();
    (0..500).for_each(|n| WRITE.emit(|| [n]));
    let file = world.open("/t/trace", RDONLY).unwrap();
    let mut text = alloc::vec::Vec::new();
    loop {
        let piece = world.read(&file, 777).unwrap();
        if piece.is_empty() {
            break;
        }
        text.extend(piece);
        // What comes while it is read belongs to the next reading.
        WRITE.emit(|| [1000]);
    }
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), 500);
    assert!(text.ends_with("disk_write: n=499\n"));
    assert_eq!(lseek(&file, 20_000, 0), Ok(20_000));
    let middle = world.read(&file, 100).unwrap();
    assert_eq!(middle, &text.as_bytes()[20_000..20_100]);
    assert_eq!((lseek(&file, 0, 2), lseek(&file, 1 << 40, 0)), (Err(Errno::EINVAL), Ok(1 << 40)));
    assert_eq!(world.read(&file, 100).as_deref(), Ok(&b""[..]));
}

#[test]
fn trace_pipe_takes_away_and_waits() {
    let world = World::new();
    world.set("events/disk/enable", "1").unwrap();
    let pipe = world.open("/t/trace_pipe", RDONLY).unwrap();
    let hasty = world.open("/t/trace_pipe", OpenFlags::NONBLOCK).unwrap();
    assert_eq!(world.read(&hasty, 100), Err(Errno::EAGAIN));
    assert_eq!((pipe.ops().poll(&pipe), lseek(&pipe, 0, 0)), (0, Err(Errno::ESPIPE)));
    READ.emit(|| [1]);
    assert_eq!(pipe.ops().poll(&pipe), 0x41);
    let line = String::from_utf8(world.read(&pipe, 1000).unwrap()).unwrap();
    assert!(line.ends_with("disk_read: n=1\n") && line.lines().count() == 1, "{line:?}");
    assert_eq!(world.lines(), "");
    // Nothing is there: it sleeps twice.
    let line = String::from_utf8(world.read(&pipe, 1000).unwrap()).unwrap();
    assert!(line.ends_with("disk_read: n=77\n"), "{line:?}");
    assert_eq!(world.read(&pipe, 1000), Err(Errno::EINTR));
    // Stopped, and something was read: the end. Who has read nothing waits on.
    world.set("tracing_on", "0").unwrap();
    assert_eq!(world.read(&pipe, 1000).as_deref(), Ok(&b""[..]));
    assert_eq!(world.read(&hasty, 1000), Err(Errno::EAGAIN));
}

#[test]
fn what_was_overwritten_is_told() {
    let world = World::new();
    world.set("buffer_size_kb", "4").unwrap();
    assert_eq!((world.get("buffer_size_kb").as_str(), world.set("buffer_size_kb", "0")), ("4\n", EINVAL));
    world.set("events/disk/enable", "1").unwrap();
    (0..100).for_each(|n| READ.emit(|| [n]));
    let text = world.get("trace_pipe");
    assert!(text.starts_with("CPU:0 [LOST ") && text.contains("EVENTS]\n"), "{text}");
}

#[test]
fn who_may_and_what_cannot_be_written() {
    let mut world = World::new();
    for path in ["/t/available_events", "/t/trace_pipe", "/t/events/disk/disk_read/id"] {
        let file = world.open(path, OpenFlags::WRONLY).unwrap();
        assert_eq!(world.write(&file, b"1"), Err(Errno::EINVAL), "{path}");
    }
    assert_eq!(world.set("tracing_on", "x"), EINVAL);
    assert_eq!(
        (world.set("current_tracer", "nop"), world.set("current_tracer", "function")),
        (Ok(()), EINVAL)
    );
    world.user.cred = Cred::user(7, 7);
    assert_eq!(world.try_open("/t/tracing_on", RDONLY), Err(Errno::EACCES));
}
