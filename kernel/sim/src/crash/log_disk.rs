//! The second disk of a machine: an external journal (`mke2fs -O journal_dev`).
//!
//! ext4 finds it by its number among the registered disks, and those stay for ever. So what is registered is a socket,
//! into which a recorded disk is plugged for the time of a mount; a socket that is free is taken again.
//!
//! [`Disks`] are a file system's disk and perhaps its journal's, as files for e2fsck.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::{DevId, Errno, Result, Sector};
use block::{DiskKind, Driver, InFlight, Limits};

use super::disk::CrashDisk;
use super::record::Recorder;
use crate::image::Image;
use crate::tools::{self, Replay, Trouble};

const UUID: &str = "51c1a7e0-0000-4000-8000-000000000002";

/// A disk and its journal's: `args` make the file system, which has none of its own.
pub(super) fn make(main: &Image, block: u32) -> std::result::Result<Vec<Vec<u8>>, Trouble> {
    let block_size = block.to_string();
    let args = ["-b", &block_size, "-O", "journal_dev", "-U", UUID];
    // The smallest that mke2fs makes.
    let mut log = Image::mkfs(1056 * u64::from(block), &args)?.bytes;
    // `s_nr_users` of the journal's superblock, behind the block with the disk's; mke2fs sets it for a device alone.
    let superblock = if block == 1024 { 2048 } else { block as usize };
    log[superblock + 0x43] = 1;
    let main = main.changed("feature has_journal")?.changed(&format!("ssv journal_uuid {UUID}"))?;
    Ok(vec![main.bytes, log])
}

/// What is registered.
struct Socket {
    limits: Limits,
    disk: Mutex<Option<Arc<CrashDisk>>>,
}

/// The sockets into which nothing is plugged.
static FREE: Mutex<Vec<(Arc<Socket>, DevId)>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Driver for Socket {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn capacity(&self) -> Sector {
        lock(&self.disk).as_ref().map_or(Sector(0), |disk| disk.capacity())
    }

    fn queue_request(&self, request: InFlight) -> std::result::Result<(), InFlight> {
        match lock(&self.disk).as_ref() {
            Some(disk) => disk.queue_request(request),
            None => Err(request),
        }
    }

    fn commit(&self) {
        let disk = lock(&self.disk).clone();
        disk.iter().for_each(|disk| disk.commit());
    }
}

/// A journal's disk that is plugged in. Who lets go of it without [`LogDisk::pull`] leaves it there: a mount may
/// still have it.
pub(super) struct LogDisk {
    socket: Arc<Socket>,
    dev: DevId,
}

impl LogDisk {
    /// A disk with these bytes in a free socket.
    pub fn plug(bytes: Vec<u8>, limits: Limits, recorder: &Arc<Recorder>, seed: u64) -> Result<LogDisk> {
        let disk = Some(CrashDisk::new(bytes, limits, recorder, seed));
        let mut free = lock(&FREE);
        if let Some(index) = free.iter().position(|(socket, _)| socket.limits == limits) {
            let (socket, dev) = free.swap_remove(index);
            *lock(&socket.disk) = disk;
            return Ok(LogDisk { socket, dev });
        }
        let socket = Arc::new(Socket { limits, disk: Mutex::new(disk) });
        let dev = block::register(DiskKind::Ram, socket.clone(), "noop")?.dev();
        Ok(LogDisk { socket, dev })
    }

    /// The mount option that names it.
    pub fn option(&self) -> String {
        let DevId { major, minor } = self.dev;
        format!("journal_dev={:#x}", (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12))
    }

    /// Its bytes, once the file system is unmounted; the socket is free.
    pub fn pull(self) -> Result<Vec<u8>> {
        let disk = lock(&self.socket.disk).take().ok_or(Errno::ENODEV)?;
        lock(&FREE).push((self.socket, self.dev));
        Ok(disk.take_bytes())
    }
}

/// A file system's disk, and its journal's where that is another one.
pub(super) struct Disks {
    main: Image,
    log: Option<Image>,
}

impl Disks {
    pub fn new(main: Image, log: Option<Vec<u8>>) -> Disks {
        Disks { main, log: log.map(|bytes| Image { bytes }) }
    }

    pub fn of(disks: Vec<Vec<u8>>) -> std::result::Result<Disks, String> {
        let mut disks = disks.into_iter();
        let bytes = disks.next().ok_or("there is no disk")?;
        Ok(Disks::new(Image { bytes }, disks.next()))
    }

    pub fn into_bytes(self) -> Vec<Vec<u8>> {
        std::iter::once(self.main).chain(self.log).map(|image| image.bytes).collect()
    }

    /// The file system's.
    pub fn main(&self) -> &Image {
        &self.main
    }

    /// Fast commits that e2fsck takes for an error are wiped.
    pub fn without_old_fast_commits(self) -> Disks {
        Disks { main: self.main.without_old_fast_commits(), ..self }
    }

    /// Does something with both as files.
    fn as_files<R>(
        &self,
        f: impl FnOnce(&Path, Option<&Path>) -> std::result::Result<R, Trouble>,
    ) -> std::result::Result<R, Trouble> {
        self.main.as_file(|main| match &self.log {
            None => f(main, None),
            Some(log) => log.as_file(|log| f(main, Some(log))),
        })
    }

    /// `e2fsck -fn`: Err with all it said unless they are clean.
    pub fn fsck(&self) -> std::result::Result<(), Trouble> {
        self.as_files(tools::e2fsck)
    }

    /// What `e2fsck -fy` makes of them.
    pub fn repaired(&self) -> std::result::Result<Disks, Trouble> {
        self.as_files(|main, log| {
            tools::e2fsck_repair(main, log)?;
            read(main, log)
        })
    }

    /// What e2fsck's replay makes of them, with nothing else to repair; None when it left out a part of a transaction.
    pub fn replayed(&self, may_end_early: bool) -> std::result::Result<Option<Disks>, Trouble> {
        self.as_files(|main, log| match tools::e2fsck_replay(main, log, may_end_early)? {
            Replay::InPart => Ok(None),
            Replay::Whole => {
                tools::e2fsck(main, log)?;
                read(main, log).map(Some)
            }
        })
    }
}

fn read(main: &Path, log: Option<&Path>) -> std::result::Result<Disks, Trouble> {
    let log = log.map(fs::read).transpose()?;
    Ok(Disks::new(Image { bytes: fs::read(main)? }, log))
}
