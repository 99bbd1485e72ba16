//! Disks as files: O_DIRECT, the commands, and any mix of all ways to the same bytes against an array.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};

use block::Request;
use proptest::prelude::*;

use super::*;

const DIRECT: OpenFlags = OpenFlags::DIRECT;

/// A disk in memory on which sectors may go bad.
struct Faulty {
    ram: Arc<RamDisk>,
    limits: Limits,
    bad: Mutex<BTreeSet<u64>>,
    failed: Mutex<Vec<InFlight>>,
}

impl Faulty {
    fn new(len: usize, limits: Limits) -> Arc<Faulty> {
        let ram = RamDisk::with_limits(vec![0; len], limits);
        Arc::new(Faulty { ram, limits, bad: Mutex::default(), failed: Mutex::default() })
    }

    fn is_bad(&self, request: &Request) -> bool {
        self.bad.lock().unwrap().range(request.sector().0..request.end().0).next().is_some()
    }
}

impl Driver for Faulty {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn capacity(&self) -> Sector {
        self.ram.capacity()
    }

    fn queue_request(&self, request: InFlight) -> core::result::Result<(), InFlight> {
        if self.is_bad(&request) {
            self.failed.lock().unwrap().push(request);
            return Ok(());
        }
        self.ram.queue_request(request)
    }

    fn commit(&self) {
        let failed = core::mem::take(&mut *self.failed.lock().unwrap());
        failed.into_iter().for_each(|request| request.complete(Err(Errno::EIO)));
        self.ram.commit();
    }
}

/// The device table is one for all tests: each has numbers of its own.
pub(super) fn fresh() -> DevId {
    static NEXT: AtomicU32 = AtomicU32::new(1000);
    DevId::new(254, NEXT.fetch_add(1, Ordering::Relaxed) * 16)
}

fn capable(ram: &Limits) -> Limits {
    Limits { max_discard_sectors: u32::MAX, max_write_zeroes_sectors: u32::MAX, ..*ram }
}

fn world(driver: Arc<dyn Driver>) -> World {
    let disk = Disk::new("vda", fresh(), driver, "noop").unwrap();
    World::new(&[disk], Arc::new(Fake::default()))
}

fn small(len: usize) -> (Arc<Faulty>, World) {
    let driver = Faulty::new(len, capable(&Limits::default()));
    (driver.clone(), world(driver))
}

fn pread(w: &World, file: &File, at: u64, n: usize, pos: u64) -> Result<usize> {
    rw::pread(&w.io(), file, UserAddr(at), n, pos as i64)
}

fn pwrite(w: &World, file: &File, at: u64, n: usize, pos: u64) -> Result<usize> {
    rw::pwrite(&w.io(), file, UserAddr(at), n, pos as i64)
}

#[test]
fn direct_transfers_are_aligned_or_refused() {
    let (_, w) = small(64 << 10);
    let file = w.open("/dev/vda", RDWR | DIRECT);
    for (at, n, pos) in [(BUF + 1, 512, 0), (BUF, 511, 0), (BUF, 512, 1), (BUF + 256, 512, 512)] {
        assert_eq!(pread(&w, &file, at, n, pos), Err(Errno::EINVAL), "{at:#x} {n} {pos}");
        assert_eq!(pwrite(&w, &file, at, n, pos), Err(Errno::EINVAL), "{at:#x} {n} {pos}");
    }
    assert_eq!(pwrite(&w, &file, BUF + 512, 1024, 512), Ok(1024));
    assert_eq!(pread(&w, &file, BUF + 0x1e00, 1024, 512), Ok(1024));
    assert_eq!(pread(&w, &file, BUF, 0, 7), Ok(0));
}

#[test]
fn a_disk_of_large_blocks_wants_large_blocks() {
    let driver = Faulty::new(
        64 << 10,
        Limits { logical_block_size: 4096, physical_block_size: 4096, ..Limits::default() },
    );
    let w = world(driver);
    let file = w.open("/dev/vda", RDWR | DIRECT);
    assert_eq!(pwrite(&w, &file, BUF, 512, 0), Err(Errno::EINVAL));
    assert_eq!(pwrite(&w, &file, BUF, 4096, 512), Err(Errno::EINVAL));
    assert_eq!(pwrite(&w, &file, BUF + 512, 4096, 4096), Ok(4096));
    assert_eq!(pread(&w, &file, BUF + 0x2200, 8192, 0), Ok(8192));
}

#[test]
fn the_end_of_the_disk() {
    let (_, w) = small(64 << 10);
    for flags in [RDWR, RDWR | DIRECT] {
        let file = w.open("/dev/vda", flags);
        let end = 64 << 10;
        assert_eq!(pread(&w, &file, BUF, 4096, end - 1024), Ok(1024));
        assert_eq!(pread(&w, &file, BUF, 4096, end), Ok(0));
        assert_eq!(pwrite(&w, &file, BUF, 4096, end - 1024), Ok(1024));
        assert_eq!(pwrite(&w, &file, BUF, 4096, end), Err(Errno::ENOSPC));
        assert_eq!(vfs::lseek::lseek(&file, 0, 2), Ok(end));
        assert_eq!(vfs::lseek::lseek(&file, 1, 2), Err(Errno::EINVAL));
        assert_eq!(vfs::lseek::lseek(&file, 0, 3), Err(Errno::EINVAL));
    }
}

#[test]
fn a_bad_address_makes_a_direct_transfer_short() {
    let (_, w) = small(64 << 10);
    let file = w.open("/dev/vda", RDWR | DIRECT);
    let end = BUF + 0x10000;
    assert_eq!(pwrite(&w, &file, end - 1024, 4096, 0), Ok(1024));
    assert_eq!(pread(&w, &file, end - 512, 4096, 0), Ok(512));
    assert_eq!(pread(&w, &file, end, 512, 0), Err(Errno::EFAULT));
    assert_eq!(pwrite(&w, &file, end, 512, 0), Err(Errno::EFAULT));
    w.user.protect(BUF + 0x1000);
    assert_eq!(pwrite(&w, &file, BUF, 8192, 0), Ok(8192), "to be read it is there");
}

#[test]
fn who_may_not_wait_is_told() {
    const NOWAIT: u32 = 8;
    let (_, w) = small(64 << 10);
    let (cached, direct) = (w.open("/dev/vda", RDWR), w.open("/dev/vda", RDWR | DIRECT));
    let call = |call: fn(&Io<'_>, &File, rw::UserVec, i64, u32) -> Result<usize>, file: &File, pos: i64| {
        w.user.put(BUF, &[BUF + 4096, 4096].map(u64::to_ne_bytes).concat());
        call(&w.io(), file, rw::UserVec { base: UserAddr(BUF), len: 1 }, pos, NOWAIT)
    };
    assert_eq!(call(rw::preadv2, &cached, 0), Err(Errno::EAGAIN));
    assert_eq!(call(rw::preadv2, &direct, 0), Ok(4096));
    assert_eq!(call(rw::pwritev2, &cached, 0), Err(Errno::EOPNOTSUPP));
    assert_eq!(call(rw::pwritev2, &direct, 0), Ok(4096));
    assert_eq!(call(rw::pwritev2, &direct, 64 << 10), Err(Errno::ENOSPC));
    assert_eq!(pwrite(&w, &cached, BUF, 4096, 0), Ok(4096));
    assert_eq!(call(rw::preadv2, &cached, 0), Ok(4096));
    assert_eq!(call(rw::preadv2, &cached, 2048), Ok(2048), "up to what is not cached");
    assert_eq!(call(rw::preadv2, &direct, 0), Err(Errno::EAGAIN), "a dirty page is there");
    assert_eq!(call(rw::pwritev2, &direct, 0), Err(Errno::EAGAIN));
    vfs::fsync::fsync(&cached, false).unwrap();
    assert_eq!(call(rw::preadv2, &direct, 0), Ok(4096));
    assert_eq!(call(rw::pwritev2, &direct, 0), Err(Errno::EAGAIN), "a page is there");
    assert_eq!(call(rw::pwritev2, &direct, 4096), Ok(4096));
    assert_eq!(call(rw::preadv2, &direct, 64 << 10), Ok(0));
}

#[test]
fn what_fcntl_sets_is_honoured() {
    let (driver, w) = small(64 << 10);
    let file = w.open("/dev/vda", RDWR);
    assert_eq!(w.write(&file, &[1; 512]), Ok(512));
    assert_eq!(driver.ram.bytes()[0], 0);
    file.set_flags(file.flags() | DIRECT).unwrap();
    w.user.put(BUF, &[2; 512]);
    assert_eq!(pwrite(&w, &file, BUF, 512, 512), Ok(512));
    assert_eq!(driver.ram.bytes()[..1024], [[1; 512], [2; 512]].concat());
}

#[test]
fn a_mapping_shows_what_went_around_the_cache() {
    let (_, w) = small(64 << 10);
    let file = w.open("/dev/vda", RDWR);
    let Ok(vfs::Mmap::Pages { mapping, ops }) = file.ops().mmap(&file) else { panic!() };
    let mapped = pagecache::read_mapping_page(&mapping, &*ops, base::PageIndex(1)).unwrap().frame().clone();
    let seen = |at: usize| {
        let mut byte = [0];
        mapped.read(at, &mut byte);
        byte[0]
    };
    let direct = w.open("/dev/vda", RDWR | DIRECT);
    w.user.put(BUF, &[9; 4096]);
    assert_eq!(pwrite(&w, &direct, BUF, 1024, 4096 + 512), Ok(1024));
    assert_eq!((seen(511), seen(512), seen(1535), seen(1536)), (0, 9, 9, 0));
    file.ops().fallocate(&file, 0x11, 4096 + 1024, 512).unwrap();
    assert_eq!((seen(1023), seen(1024), seen(1535)), (9, 0, 0));
}

#[test]
fn the_commands_and_their_checks() {
    let (driver, w) = small(1 << 20);
    let file = w.open("/dev/vda", RDWR);
    let reader = w.open("/dev/vda", OpenFlags::empty());
    let range = |start: u64, len: u64| w.user.put(BUF, &[start.to_le_bytes(), len.to_le_bytes()].concat());
    let command = |file: &File, cmd| w.ioctl(file, cmd, 0).map(|_| ());
    range(512, 512);
    for cmd in [0x1277, 0x127d, 0x127f] {
        assert_eq!(command(&reader, cmd), Err(Errno::EBADF));
    }
    assert_eq!(command(&file, 0x127d), Err(Errno::EOPNOTSUPP));
    for (start, len) in [(1, 512), (512, 1), (1 << 20, 512), (512, 1 << 20), (u64::MAX - 511, 512), (0, 0)] {
        range(start, len);
        for cmd in [0x1277, 0x127f] {
            assert_eq!(command(&file, cmd), Err(Errno::EINVAL), "{start} {len}");
        }
    }
    assert_eq!(w.write(&file, &[3; 2048]), Ok(2048));
    range(512, 512);
    assert_eq!(command(&file, 0x127f), Ok(()));
    assert_eq!(pread(&w, &reader, BUF, 2048, 0), Ok(2048));
    assert_eq!(w.user.get(BUF, 2048), [[3; 512], [0; 512], [3; 512], [3; 512]].concat());
    assert_eq!(command(&file, 0x1261), Ok(()));
    assert_eq!(file.ops().mapping().unwrap().nrpages(), 0);
    assert_eq!(driver.ram.bytes()[..2048], w.user.get(BUF, 2048));
    // Read-only by order, and no longer.
    for (on, answer) in [(1u32, Err(Errno::EPERM)), (0, Ok(1))] {
        w.user.put(BUF, &on.to_le_bytes());
        assert_eq!(command(&file, 0x125d), Ok(()));
        assert_eq!(w.write(&file, b"x"), answer);
    }
    let nobody = Caller { memory: &w.user, capable: false, uid: 1 };
    for cmd in [0x125d, 0x125f, 0x1261, 0x1262, 0x4008_1271] {
        assert_eq!(file.ops().ioctl(&file, cmd, BUF, &nobody), Err(Errno::EACCES));
    }
    assert_eq!(file.ops().ioctl(&file, 0x1262, 64, &w.caller()), Ok(0));
    assert_eq!(w.ioctl(&file, 0x1263, 8), Ok(64u64.to_le_bytes().to_vec()));
    w.user.put(BUF, &1024u32.to_le_bytes());
    assert_eq!(command(&file, 0x4008_1271), Ok(()));
    assert_eq!(w.ioctl(&file, 0x8008_1270, 4), Ok(1024u32.to_le_bytes().to_vec()));
    assert_eq!(command(&file, 0x0301), Err(Errno::ENOTTY));
}

#[test]
fn whoever_opens_it_exclusively_has_it_alone() {
    let (_, w) = small(64 << 10);
    let open = |flags| namei::open(&w.at(), b"/dev/vda", flags, 0);
    let other = w.open("/dev/vda", RDWR);
    let mine = open(RDWR | OpenFlags::EXCL).unwrap();
    assert_eq!(open(OpenFlags::EXCL).err(), Some(Errno::EBUSY));
    assert_eq!(w.write(&mine, b"x"), Ok(1));
    assert_eq!(w.write(&other, b"x"), Ok(1));
    w.user.put(BUF, &1024u32.to_le_bytes());
    assert_eq!(w.ioctl(&other, 0x4008_1271, 0), Err(Errno::EBUSY));
    drop(mine);
    assert!(open(OpenFlags::EXCL).is_ok());
}

#[test]
fn a_cached_read_brings_the_memory_in() {
    let (driver, w) = small(64 << 10);
    let file = w.open("/dev/vda", RDWR);
    let bytes: Vec<u8> = (0..16384).map(|i| (i / 7) as u8).collect();
    assert_eq!(w.write(&file, &bytes), Ok(16384));
    for page in 0..5 {
        w.user.page_out(BUF + page * 4096);
    }
    assert_eq!(pread(&w, &file, BUF + 100, 16384, 0), Ok(16384));
    assert!(w.user.get(BUF + 100, 16384) == bytes);
    assert_eq!(pread(&w, &file, BUF + 0x10000 - 5, 4096, 0), Ok(5));
    drop(file);
    assert_eq!(driver.ram.bytes()[..16384], bytes);
}

#[test]
fn advice_is_taken() {
    let (_, w) = small(256 << 10);
    let file = w.open("/dev/vda", RDWR);
    let pages = || file.ops().mapping().unwrap().nrpages();
    let advise = |offset, len, advice| vfs::fadvise::fadvise(&file, offset, len, advice);
    assert_eq!(advise(4096, 8192, 3), Ok(()));
    assert_eq!(pages(), 2);
    assert_eq!(vfs::fadvise::readahead(&file, 0, 1), Ok(()));
    assert_eq!(pages(), 3);
    assert_eq!(w.write(&file, &[1; 100]), Ok(100));
    assert_eq!(advise(0, 8192 + 4095, 4), Ok(()));
    assert_eq!(pages(), 1, "half a page is needed still");
    assert_eq!(advise(0, 0, 4), Ok(()));
    assert_eq!(pages(), 0);
    assert_eq!((advise(0, -1, 3), advise(0, 0, 6)), (Err(Errno::EINVAL), Err(Errno::EINVAL)));
    assert_eq!(vfs::fadvise::readahead(&file, 0, u64::MAX), Err(Errno::EINVAL));
}

#[test]
fn a_part_of_a_file_is_synced_as_asked() {
    const WAIT_BEFORE: u32 = 1;
    const WRITE: u32 = 2;
    const WAIT_AFTER: u32 = 4;
    let (driver, w) = small(64 << 10);
    let file = w.open("/dev/vda", RDWR);
    let sync = |offset, len, flags| vfs::sync_range::sync_file_range(&file, offset, len, flags);
    assert_eq!(w.write(&file, &[7; 16384]), Ok(16384));
    let on_disk = || driver.ram.bytes()[..16384].chunks(4096).map(|page| page[4095]).collect::<Vec<_>>();

    assert_eq!(sync(0, 0, WAIT_BEFORE | WAIT_AFTER), Ok(()));
    assert_eq!(on_disk(), [0; 4], "nobody asked for a write");
    assert_eq!(sync(4096, 1, WRITE | WAIT_AFTER), Ok(()));
    assert_eq!(on_disk(), [0, 7, 0, 0]);
    assert_eq!(sync(8192, 4097, WAIT_BEFORE | WRITE | WAIT_AFTER), Ok(()));
    assert_eq!(on_disk(), [0, 7, 7, 7]);
    assert_eq!(sync(0, 0, 0), Ok(()));

    for (offset, len, flags) in [(-1, 0, 2), (0, -1, 2), (i64::MAX, 1, 2), (0, 0, 8)] {
        assert_eq!(sync(offset, len, flags), Err(Errno::EINVAL), "{offset} {len} {flags}");
    }
    assert_eq!(sync(i64::MAX, 0, WRITE), Ok(()));
    let null = w.open("/dev/null", RDWR);
    assert_eq!(vfs::sync_range::sync_file_range(&null, 0, 0, 2), Err(Errno::ESPIPE));

    // What could not be written is told to who waits for it, once, and not to who does not.
    driver.bad.lock().unwrap().insert(0);
    assert_eq!(pwrite(&w, &file, BUF, 4096, 0), Ok(4096));
    assert_eq!(sync(0, 1, WRITE), Ok(()));
    assert_eq!(sync(0, 1, WAIT_BEFORE), Err(Errno::EIO));
    assert_eq!(sync(0, 1, WAIT_BEFORE), Ok(()));
    driver.bad.lock().unwrap().clear();
    assert_eq!(sync(0, 0, 7), Ok(()));
    assert_eq!(on_disk(), [7; 4]);
}

#[test]
fn the_last_writer_leaves_nothing_behind() {
    let (driver, w) = small(64 << 10);
    let file = w.open("/dev/vda", RDWR);
    assert_eq!(w.write(&file, &[5; 100]), Ok(100));
    assert_eq!(driver.ram.bytes()[0], 0);
    drop(file);
    assert_eq!(driver.ram.bytes()[..101], [&[5; 100][..], &[0]].concat());
}

#[test]
fn a_failed_transfer_is_an_error_of_that_call() {
    let (driver, w) = small(256 << 10);
    let file = w.open("/dev/vda", RDWR | DIRECT);
    driver.bad.lock().unwrap().insert(20);
    assert_eq!(pwrite(&w, &file, BUF, 0x8000, 0), Err(Errno::EIO));
    assert_eq!(pread(&w, &file, BUF, 0x8000, 0), Err(Errno::EIO));
    assert_eq!(pread(&w, &file, BUF, 20 * 512, 0), Ok(20 * 512));
    driver.bad.lock().unwrap().clear();
    assert_eq!(pread(&w, &file, BUF, 0x8000, 0), Ok(0x8000));
}

/// One step of the mix. Places and lengths in sectors.
#[derive(Clone, Debug)]
enum Step {
    Write { direct: bool, odd: u16, sector: u64, sectors: usize, seed: u8 },
    Read { direct: bool, odd: u16, sector: u64, sectors: usize },
    Zero { mode: u32, sector: u64, sectors: u64 },
    Fsync,
    Drop,
    Break(u64),
    Mend,
}

/// An odd number of sectors: blocks of 512 bytes.
const SECTORS: u64 = 67;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let place = || (0..SECTORS, 1usize..30);
    let step = prop_oneof![
        4 => (any::<bool>(), 0u16..600, place(), any::<u8>())
            .prop_map(|(direct, odd, (sector, sectors), seed)| Step::Write { direct, odd, sector, sectors, seed }),
        4 => (any::<bool>(), 0u16..600, place())
            .prop_map(|(direct, odd, (sector, sectors))| Step::Read { direct, odd, sector, sectors }),
        2 => (prop_oneof![Just(0x10u32), Just(0x11), Just(3), Just(7)], place())
            .prop_map(|(mode, (sector, sectors))| Step::Zero { mode, sector, sectors: sectors as u64 }),
        1 => Just(Step::Fsync),
        1 => Just(Step::Drop),
        1 => (0..SECTORS).prop_map(Step::Break),
        2 => Just(Step::Mend),
    ];
    prop::collection::vec(step, 1..60)
}

struct Mix {
    driver: Arc<Faulty>,
    w: World,
    cached: Arc<File>,
    direct: Arc<File>,
    model: Vec<u8>,
}

impl Mix {
    fn new(limits: Limits) -> Mix {
        let driver = Faulty::new(SECTORS as usize * 512, limits);
        let w = world(driver.clone());
        let (cached, direct) = (w.open("/dev/vda", RDWR), w.open("/dev/vda", RDWR | DIRECT));
        Mix { driver, w, cached, direct, model: vec![0; SECTORS as usize * 512] }
    }

    fn mend(&mut self) {
        self.driver.bad.lock().unwrap().clear();
    }

    /// A step that failed left its range undefined: now it is defined again.
    fn failed(&mut self, error: Errno, pos: usize, len: usize) {
        assert_eq!(error, Errno::EIO);
        assert!(!self.driver.bad.lock().unwrap().is_empty(), "an error out of nothing");
        self.mend();
        let end = (pos + len).min(self.model.len());
        self.w.user.put(BUF, &vec![0xd5; end - pos]);
        assert_eq!(pwrite(&self.w, &self.cached, BUF, end - pos, pos as u64), Ok(end - pos));
        self.model[pos..end].fill(0xd5);
    }

    fn step(&mut self, step: &Step) {
        let size = self.model.len();
        match *step {
            Step::Write { direct, odd, sector, sectors, seed } => {
                // Through the cache to any byte.
                let shift = if direct { 0 } else { usize::from(odd) };
                let (pos, len) = ((sector as usize * 512 + shift).min(size - 1), sectors * 512);
                let memory = BUF + u64::from(odd) / 512 * 512;
                let bytes: Vec<u8> = (0..len).map(|i| (i / 3) as u8 ^ seed).collect();
                self.w.user.put(memory, &bytes);
                let file = if direct { &self.direct } else { &self.cached };
                let want = len.min(size - pos);
                match pwrite(&self.w, file, memory, len, pos as u64) {
                    Ok(n) => {
                        // A bad sector makes a buffered write short.
                        self.model[pos..pos + n].copy_from_slice(&bytes[..n]);
                        assert!(n == want || !self.driver.bad.lock().unwrap().is_empty());
                    }
                    Err(error) => self.failed(error, pos, want),
                }
            }
            Step::Read { direct, odd, sector, sectors } => {
                let shift = if direct { 0 } else { usize::from(odd) };
                let (pos, len) = (sector as usize * 512 + shift, sectors * 512);
                let file = if direct { &self.direct } else { &self.cached };
                match pread(&self.w, file, BUF + 512, len, pos as u64) {
                    Ok(n) => {
                        let whole = n == len.min(size.saturating_sub(pos));
                        assert!(whole || !self.driver.bad.lock().unwrap().is_empty());
                        let from = pos.min(size);
                        assert!(self.w.user.get(BUF + 512, n) == self.model[from..from + n]);
                    }
                    Err(error) => assert_eq!(error, Errno::EIO),
                }
            }
            Step::Zero { mode, sector, sectors } => {
                let (pos, len) = (sector as usize * 512, sectors as usize * 512);
                let end = (pos + len).min(size);
                match self.cached.ops().fallocate(&self.cached, mode, pos as u64, len as u64) {
                    Ok(()) => self.model[pos..end].fill(0),
                    Err(Errno::EINVAL) => assert!(pos + len > size && mode & 1 == 0),
                    Err(Errno::EOPNOTSUPP) => assert!(self.driver.limits.max_discard_sectors == 0),
                    // The pages at its edges may not have been written.
                    Err(error) => self.failed(error, pos, end - pos),
                }
            }
            Step::Fsync => {
                if vfs::fsync::fsync(&self.cached, true).is_ok() {
                    assert!(self.driver.ram.bytes() == self.model);
                }
            }
            Step::Drop => {
                let _ = self.w.ioctl(&self.cached, 0x1261, 0);
            }
            Step::Break(sector) => {
                self.driver.bad.lock().unwrap().insert(sector);
            }
            Step::Mend => self.mend(),
        }
    }

    fn end(mut self) {
        self.mend();
        let _ = vfs::fsync::fsync(&self.cached, true);
        assert_eq!(vfs::fsync::fsync(&self.cached, true), Ok(()));
        assert!(self.driver.ram.bytes() == self.model);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn all_ways_lead_to_the_same_bytes(steps in steps(), able in any::<bool>()) {
        let small = Limits { max_segments: 3, max_sectors: 16, ..Limits::default() };
        let mut mix = Mix::new(if able { capable(&small) } else { small });
        for step in &steps {
            mix.step(step);
        }
        mix.end();
    }
}
