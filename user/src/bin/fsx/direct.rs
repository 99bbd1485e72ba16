//! O_DIRECT: one call at a time, or several at once by io_submit.

use core::cmp::Ordering;

use user::aio::{Event, Iocb};
use user::sys;

use crate::model::{MOST, PAGE, PART, Run};
use crate::trouble::{Step, Trouble};

/// How many are under way at once.
const SEVERAL: usize = 4;
/// The bytes of each, at most.
const SHARE: usize = PART / SEVERAL;

/// One of several.
#[derive(Clone, Copy, Default)]
struct One {
    write: bool,
    at: usize,
    len: usize,
}

impl Run {
    pub fn read_direct(&mut self) -> Step {
        let (at, len) = (self.below(MOST / PAGE) * PAGE, (1 + self.below(PART / PAGE)) * PAGE);
        if self.direct < 0 || at >= self.size {
            return Ok(());
        }
        let done = sys::pread(self.direct, &mut self.part[..len], at as i64);
        let want = len.min(self.size - at);
        self.expect("direct pread", done, want, at, len)?;
        self.compare("direct pread", at, &self.part[..want])
    }

    /// Whole pages, or parts of blocks.
    pub fn write_direct(&mut self) -> Step {
        let unit = if self.below(3) == 0 { 512 } else { PAGE };
        let (at, len) = (self.below(MOST / unit) * unit, (1 + self.below(PART / unit)) * unit);
        if self.direct < 0 || at + len > MOST {
            return Ok(());
        }
        self.fill(at, len);
        let done = sys::pwrite(self.direct, &self.part[..len], at as i64);
        self.expect("direct pwrite", done, len, at, len)
    }

    /// Reads and writes of ranges that do not overlap, all under way at the same time.
    pub fn several_at_once(&mut self) -> Step {
        if self.direct < 0 || self.context == 0 {
            return Ok(());
        }
        let before = self.size;
        let mut all = [One::default(); SEVERAL];
        // Each in its quarter of the file, or of all that it may become; in any order.
        let room = if self.below(3) == 0 { MOST } else { before.next_multiple_of(SEVERAL * PAGE) };
        let quarter = (room / SEVERAL / PAGE * PAGE).clamp(PAGE, MOST / SEVERAL);
        let (turn, most) = (self.below(SEVERAL), quarter.min(SHARE) / PAGE);
        for (n, one) in all.iter_mut().enumerate() {
            let len = (1 + self.below(most)) * PAGE;
            let at = (n + turn) % SEVERAL * quarter + self.below((quarter - len) / PAGE + 1) * PAGE;
            *one = One { write: self.below(2) == 0, at, len };
            if one.write {
                self.fill_part(n * SHARE, at, len);
            }
            self.history.add(if one.write { "io_submit write" } else { "io_submit read" }, at, len);
        }
        self.submit(&all)?;
        for (n, one) in all.iter().enumerate().filter(|(_, one)| !one.write) {
            let len = one.len.min(before.saturating_sub(one.at));
            self.compare("asynchronous read", one.at, &self.part[n * SHARE..][..len])?;
        }
        Ok(())
    }

    /// Sends them and waits for all. A read may or may not see the file grow by one of the writes.
    fn submit(&mut self, all: &[One; SEVERAL]) -> Step {
        let before = self.fstat_size();
        let iocbs: [Iocb; SEVERAL] = core::array::from_fn(|n| Iocb {
            data: n as u64,
            opcode: u16::from(all[n].write),
            fd: self.direct,
            buf: self.part[n * SHARE..].as_mut_ptr() as u64,
            nbytes: all[n].len as u64,
            offset: all[n].at as i64,
            ..Iocb::default()
        });
        let at: [*const Iocb; SEVERAL] = core::array::from_fn(|n| &raw const iocbs[n]);
        let done = sys::io_submit(self.context, SEVERAL as i64, at.as_ptr() as usize);
        self.expect("io_submit", done, SEVERAL, 0, 0)?;
        let mut events = [Event::default(); SEVERAL];
        let few = SEVERAL as i64;
        let done = sys::io_getevents(self.context, few, few, events.as_mut_ptr() as usize, 0);
        self.expect("io_getevents", done, SEVERAL, 0, 0)?;
        for event in events {
            let one = all[event.data as usize % SEVERAL];
            let (name, least, most) = match one.write {
                true => ("an asynchronous write", one.len, one.len),
                false => {
                    let within = |size: usize| one.len.min(size.saturating_sub(one.at));
                    ("an asynchronous read", within(before), within(self.size))
                }
            };
            let answer = event.res as isize;
            if answer.cmp(&(least as isize)) == Ordering::Less || answer > most as isize {
                return Err(Trouble::Call { name, answer, want: least as isize });
            }
        }
        Ok(())
    }

    fn fstat_size(&self) -> usize {
        let mut stat = [0u64; 16];
        sys::fstat(self.fd, stat.as_mut_ptr() as usize);
        stat[6] as usize
    }
}
