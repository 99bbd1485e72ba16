//! Tracing (docs/tracing.md): the events of every layer made known, those of the command line turned
//! on, and what was recorded shown at the end.
//!
//! ```text
//!   trace_event=block,ext4:*    on from boot on, as with Linux
//!   trace_buf_size=4M           the ring's size
//!   tp_printk                   each event is also a line of the log
//!   quill.trace                 at the end everything goes over the console
//!   quill.trace=block,vfs       and these are on from the program's start on
//! ```

use core::fmt::{self, Write as _};

use arrayvec::ArrayString;
use base::trace::{self, Event, Read, Reader, Record, RecordFlags};
use machine::cmdline::Options;
use machine::console;
use machine::framing::Stream;
use machine::irq;

/// Bytes given to the console at once.
const CHUNK: usize = 1024;

/// Every layer's events, from the top of the path down.
const LAYERS: [&[&Event]; 8] = [
    &syscall::trace::EVENTS,
    &vfs::trace::EVENTS,
    &ext4::trace::EVENTS,
    &jbd2::trace::EVENTS,
    &pagecache::trace::EVENTS,
    &writeback::trace::EVENTS,
    &block::trace::EVENTS,
    &machine::virtio::trace::EVENTS,
];

/// Makes the events known, and turns on what the command line says. Needs the heap and threads.
pub fn start(options: &Options) {
    LAYERS.iter().for_each(|events| trace::register(events));
    trace::set_context(context);
    if let Some(size) = options.trace_buf_size
        && let Err(error) = trace::set_buffer_size(size)
    {
        log::warn!("trace_buf_size={size}: {error}");
    }
    if options.tp_printk {
        trace::set_printer(print);
    }
    enable(&options.trace_event);
}

/// The program is about to start: turns on what is to be traced of it.
pub fn program_starts(options: &Options) {
    enable(options.trace.as_deref().unwrap_or_default());
}

fn enable(list: &str) {
    for name in list.split(',').filter(|name| !name.is_empty()) {
        if let Err(error) = trace::set_events(name, true) {
            log::warn!("tracing of `{name}`: {error}");
        }
    }
}

fn context() -> trace::Context {
    let context = sync::thread::context();
    let flags = context.flags.with(RecordFlags::HARDIRQ, irq::handling());
    trace::Context { flags, ..context }
}

fn print(record: &Record) {
    log::info!("{}: {record}", record.event().map_or("", Event::name));
}

/// Sends what was recorded over the console, if the command line asks for it. From here on nothing
/// is recorded any more.
pub fn show(options: &Options) {
    if options.trace.is_none() {
        return;
    }
    trace::set_on(false);
    let mut out = Out(ArrayString::new());
    // `Out` takes whatever it is given.
    _ = write_all(&mut out);
    out.send();
}

fn write_all(out: &mut Out) -> fmt::Result {
    trace::write_header(out)?;
    let mut reader = Reader::new();
    loop {
        match reader.read() {
            Read::Record(record) => writeln!(out, "{}", record.line())?,
            Read::Lost(count) => writeln!(out, "CPU:0 [LOST {count} EVENTS]")?,
            Read::End => return Ok(()),
        }
    }
}

/// Gathers text for the console.
struct Out(ArrayString<CHUNK>);

impl Out {
    fn send(&mut self) {
        console::write(Stream::Trace, self.0.as_bytes());
        self.0.clear();
    }
}

impl fmt::Write for Out {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.len() > self.0.remaining_capacity() {
            self.send();
        }
        if self.0.try_push_str(text).is_err() {
            console::write(Stream::Trace, text.as_bytes());
        }
        Ok(())
    }
}
