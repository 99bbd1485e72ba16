//! The files of `queue/`: what a request may be, and what may be set while the disk works.
//!
//! Numbers are decimal and at most 32 bits; what the queue refuses is EINVAL (`block`'s attributes.rs
//! says what). Switches take any number: 0 is off, the others are on.
//!
//! Source: Documentation/ABI/stable/sysfs-block, Documentation/block/switching-sched.rst.

use alloc::sync::Arc;

use base::units::SECTOR_SIZE;
use base::{Errno, Result};
use block::{Limits, Merges, RequestQueue, elevator};
use kernfs::Text;
use kernfs::value::{self, Radix};

use crate::attribute::{Attribute, settable, shown};
use crate::disk::cache_name;

type Queue = Arc<RequestQueue>;

/// Every file. A row's place is part of its inode number: new rows come at the end.
#[rustfmt::skip]
pub(crate) static ATTRIBUTES: &[Attribute<Queue>] = &[
    // Disks are no source of Quill's random numbers.
    shown("add_random", zero),
    shown("chunk_sectors", zero),
    shown("dax", zero),
    shown("discard_granularity", |q, t| number(t, granularity(&q.limits()))),
    shown("discard_max_bytes", |q, t| number(t, bytes(q.limits().max_discard_sectors))),
    shown("discard_max_hw_bytes", |q, t| number(t, bytes(q.limits().max_discard_sectors))),
    shown("discard_zeroes_data", zero),
    shown("fua", |q, t| number(t, q.limits().fua)),
    shown("hw_sector_size", |q, t| number(t, q.limits().logical_block_size)),
    shown("io_poll", zero),
    settable("io_timeout", |q, t| number(t, q.io_timeout_ms()), |q, b| q.set_io_timeout_ms(int(b)?)),
    settable("iostats", |q, t| number(t, q.iostats()), |q, b| { q.set_iostats(int(b)? != 0); Ok(()) }),
    shown("logical_block_size", |q, t| number(t, q.limits().logical_block_size)),
    shown("max_discard_segments", |q, t| number(t, q.limits().max_discard_segments)),
    shown("max_hw_sectors_kb", |q, t| number(t, q.max_hw_sectors_kb())),
    shown("max_integrity_segments", zero),
    settable("max_sectors_kb", |q, t| number(t, q.max_sectors_kb()), |q, b| q.set_max_sectors_kb(int(b)?)),
    shown("max_segment_size", |q, t| number(t, q.limits().max_segment_size)),
    shown("max_segments", |q, t| number(t, q.limits().max_segments)),
    shown("minimum_io_size", |q, t| number(t, q.limits().io_min.max(q.limits().physical_block_size))),
    settable("nomerges", nomerges, set_nomerges),
    settable("nr_requests", |q, t| writeln!(t, "{}", q.nr_requests()), |q, b| q.set_nr_requests(int(b)? as usize)),
    shown("nr_zones", zero),
    shown("optimal_io_size", |q, t| number(t, q.limits().io_opt)),
    shown("physical_block_size", |q, t| number(t, q.limits().physical_block_size)),
    settable("read_ahead_kb", |q, t| number(t, q.readahead_bytes() / 1024), set_read_ahead),
    settable("rotational", |q, t| number(t, q.rotational()), |q, b| { q.set_rotational(int(b)? != 0); Ok(()) }),
    settable("scheduler", scheduler, set_scheduler),
    shown("virt_boundary_mask", zero),
    settable("write_cache", |q, t| writeln!(t, "{}", cache_name(q.write_cache())), set_write_cache),
    shown("write_same_max_bytes", zero),
    shown("write_zeroes_max_bytes", |q, t| number(t, bytes(q.limits().max_write_zeroes_sectors))),
    shown("zone_append_max_bytes", zero),
    shown("zone_write_granularity", zero),
    shown("zoned", |_, t| writeln!(t, "none")),
];

/// What Quill and its devices have not.
fn zero(_queue: &Queue, text: &mut Text) {
    number(text, 0u32);
}

fn number(text: &mut Text, number: impl Into<u64>) {
    writeln!(text, "{}", number.into());
}

fn bytes(sectors: u32) -> u64 {
    u64::from(sectors) * SECTOR_SIZE as u64
}

/// 0 where nothing can be discarded; else what the device tells, at least a block.
fn granularity(limits: &Limits) -> u32 {
    if limits.max_discard_sectors == 0 {
        0
    } else {
        limits.discard_granularity.max(limits.logical_block_size)
    }
}

/// `queue_var_store`: past 32 bits it is EINVAL, not ERANGE.
fn int(bytes: &[u8]) -> Result<u32> {
    let number = value::unsigned(bytes, Radix::Decimal).map_err(|_| Errno::EINVAL)?;
    u32::try_from(number).map_err(|_| Errno::EINVAL)
}

/// In whole pages.
fn set_read_ahead(queue: &Queue, bytes: &[u8]) -> Result<()> {
    queue.set_readahead_bytes((int(bytes)? & !3).saturating_mul(1024));
    Ok(())
}

fn nomerges(queue: &Queue, text: &mut Text) {
    number(text, queue.merges() as u32);
}

/// 2 is for nothing but itself.
fn set_nomerges(queue: &Queue, bytes: &[u8]) -> Result<()> {
    queue.set_merges(match int(bytes)? {
        0 => Merges::All,
        2 => Merges::None,
        _ => Merges::Simple,
    });
    Ok(())
}

/// All elevators, the present one in brackets.
fn scheduler(queue: &Queue, text: &mut Text) {
    let present = queue.elevator();
    for (index, name) in elevator::NAMES.iter().enumerate() {
        let blank = if index == 0 { "" } else { " " };
        if *name == present {
            write!(text, "{blank}[{name}]");
        } else {
            write!(text, "{blank}{name}");
        }
    }
    writeln!(text);
}

fn set_scheduler(queue: &Queue, bytes: &[u8]) -> Result<()> {
    queue.switch_elevator(value::word(bytes)?)
}

/// By its beginning, as Linux compares it.
fn set_write_cache(queue: &Queue, bytes: &[u8]) -> Result<()> {
    let text = value::text(bytes)?;
    if text.starts_with("write back") {
        return queue.set_write_cache(true);
    }
    if text.starts_with("write through") || text.starts_with("none") {
        return queue.set_write_cache(false);
    }
    Err(Errno::EINVAL)
}

/// Sets the elevator's value of that name. What is below 0 is taken as 0.
pub(crate) fn set_tunable(queue: &Queue, name: &str, bytes: &[u8]) -> Result<()> {
    let number = u64::try_from(value::int(bytes)?).unwrap_or(0);
    queue.set_tunable(name, number)
}
