//! Devices as a program meets them: through paths, open, read, write, ioctl.

mod async_io;
mod bdev;

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::vec;

use base::user::FakeUser;
use base::{DevId, Errno, Result, Sector, UserAddr};
use block::{Disk, Driver, InFlight, Limits, RamDisk};
use vfs::namei::{self, At, LookupFlags};
use vfs::ramfs::RamFs;
use vfs::read_write::{self as rw, Io, IoAccounting};
use vfs::{Caller, Cred, DirEntry, File, Mount, MountFlags, OpenFlags, Path};

use crate::console::{ConsoleDriver, InputState, Tty};
use crate::{mount, register};

const BUF: u64 = 0x1000;
static ROOT: Cred = Cred::ROOT;
const RDWR: OpenFlags = OpenFlags::RDWR;

/// A driver with input that a test gives and output that it looks at.
#[derive(Default)]
struct Fake {
    input: Mutex<VecDeque<u8>>,
    output: Mutex<Vec<u8>>,
    signals: Mutex<Vec<u8>>,
    framed: bool,
}

impl ConsoleDriver for Fake {
    fn write(&self, bytes: &[u8]) {
        self.output.lock().unwrap().extend_from_slice(bytes);
    }

    fn read(&self, buf: &mut [u8]) -> usize {
        let mut input = self.input.lock().unwrap();
        let n = buf.len().min(input.len());
        buf[..n].iter_mut().for_each(|b| *b = input.pop_front().unwrap_or(0));
        n
    }

    fn wait(&self, timeout_ns: Option<u64>) -> Result<InputState> {
        match (self.input.lock().unwrap().is_empty(), timeout_ns) {
            (false, _) => Ok(InputState::Ready),
            (true, Some(_)) => Ok(InputState::Nothing),
            // For ever would be too long for a test: what has come is all.
            (true, None) => Ok(InputState::Ended),
        }
    }

    fn framed(&self) -> bool {
        self.framed
    }

    fn signal(&self, number: u8) {
        self.signals.lock().unwrap().push(number);
    }
}

struct World {
    root: Path,
    user: FakeUser,
    account: IoAccounting,
}

impl World {
    fn new(disks: &[Arc<Disk>], driver: Arc<dyn ConsoleDriver>) -> World {
        let root = Mount::new_root(RamFs::new(), MountFlags::empty(), "none").root();
        let w = World { root, user: FakeUser::new(BUF, 0x10000), account: IoAccounting::new() };
        namei::mkdir(&w.at(), b"/dev", 0o755).unwrap();
        register(driver, disks);
        mount(&w.root, disks).unwrap();
        w
    }

    fn at(&self) -> At<'_> {
        At { root: &self.root, base: &self.root, cred: &ROOT, umask: 0 }
    }

    fn io(&self) -> Io<'_> {
        Io { memory: &self.user, account: &self.account, fsize_limit: u64::MAX, capable: true }
    }

    fn caller(&self) -> Caller<'_> {
        Caller { memory: &self.user, capable: true, uid: 0 }
    }

    fn open(&self, path: &str, flags: OpenFlags) -> Arc<File> {
        namei::open(&self.at(), path.as_bytes(), flags, 0).unwrap()
    }

    fn read(&self, file: &File, n: usize) -> Result<Vec<u8>> {
        rw::read(&self.io(), file, UserAddr(BUF), n).map(|n| self.user.get(BUF, n))
    }

    fn write(&self, file: &File, bytes: &[u8]) -> Result<usize> {
        self.user.put(BUF, bytes);
        rw::write(&self.io(), file, UserAddr(BUF), bytes.len())
    }

    fn ioctl(&self, file: &File, cmd: u32, len: usize) -> Result<Vec<u8>> {
        file.ops().ioctl(file, cmd, BUF, &self.caller())?;
        Ok(self.user.get(BUF, len))
    }
}

fn plain() -> World {
    World::new(&[], Arc::new(Fake::default()))
}

/// The table of devices is one for all tests, so a test of a terminal makes its own and opens a
/// file over it by hand.
fn terminal(fake: &Arc<Fake>) -> (World, Arc<File>) {
    let w = plain();
    let path = w.open("/dev/console", OpenFlags::PATH).path().clone();
    let tty = Arc::new(Tty::new(fake.clone()));
    let file = File::new(path, tty, RDWR, false).unwrap();
    (w, file)
}

fn type_in(fake: &Fake, bytes: &[u8]) {
    fake.input.lock().unwrap().extend(bytes);
}

fn shown(fake: &Fake) -> String {
    String::from_utf8(core::mem::take(&mut *fake.output.lock().unwrap())).unwrap()
}

#[test]
fn the_nodes() {
    let w = plain();
    let stat = |path: &str| {
        let place = namei::lookup(&w.at(), path.as_bytes(), LookupFlags::empty()).unwrap();
        let attr = place.inode().unwrap().attr();
        (attr.mode, attr.rdev.major, attr.rdev.minor)
    };
    assert_eq!(stat("/dev/null"), (0o020666, 1, 3));
    assert_eq!(stat("/dev/urandom"), (0o020666, 1, 9));
    assert_eq!(stat("/dev/console"), (0o020600, 5, 1));
    assert_eq!(stat("/dev/fd").0, 0o120777);
    assert_eq!(namei::readlink(&w.at(), b"/dev/stdout"), Ok(b"/proc/self/fd/1".to_vec()));
    let dir = w.open("/dev", OpenFlags::DIRECTORY);
    let mut names = Vec::new();
    let mut sink = |e: &DirEntry<'_>| {
        names.push(String::from_utf8_lossy(e.name).to_string());
        true
    };
    vfs::iterate_dir(&dir, &mut sink).unwrap();
    assert_eq!(names.len(), 2 + 8 + 4 + 1);
}

#[test]
fn a_root_without_the_directory_is_no_error() {
    let root = Mount::new_root(RamFs::new(), MountFlags::empty(), "none").root();
    assert_eq!(mount(&root, &[]), Ok(()));
    assert_eq!(root.mount.tree().len(), 1);
}

#[test]
fn null_zero_full() {
    let w = plain();
    let (null, zero, full) =
        (w.open("/dev/null", RDWR), w.open("/dev/zero", RDWR), w.open("/dev/full", RDWR));
    assert_eq!(w.write(&null, b"abc"), Ok(3));
    assert_eq!(w.read(&null, 10), Ok(vec![]));
    assert_eq!(w.write(&zero, b"abc"), Ok(3));
    assert_eq!(w.read(&zero, 5000), Ok(vec![0; 5000]));
    assert_eq!(w.write(&full, b"abc"), Err(Errno::ENOSPC));
    assert_eq!(w.read(&full, 3), Ok(vec![0; 3]));
    assert_eq!(rw::read(&w.io(), &zero, UserAddr(4), 3), Err(Errno::EFAULT));
    assert_eq!(vfs::lseek::lseek(&null, 100, 0), Ok(0));
    assert_eq!(rw::pread(&w.io(), &zero, UserAddr(BUF), 3, 1 << 40), Ok(3));
    assert_eq!(vfs::fsync::fsync(&null, false), Err(Errno::EINVAL));
    assert_eq!(w.ioctl(&null, 0x5401, 0), Err(Errno::ENOTTY));
    assert!(matches!(zero.ops().mmap(&zero), Ok(vfs::Mmap::Zero)));
    assert_eq!(null.ops().mmap(&null).err(), Some(Errno::ENODEV));
    let truncated =
        namei::open(&w.at(), b"/dev/null", OpenFlags::WRONLY | OpenFlags::TRUNC | OpenFlags::CREAT, 0);
    assert!(truncated.is_ok());
}

#[test]
fn random_numbers() {
    crate::random::seed(b"some entropy of whatever length, more than thirty-two bytes");
    let w = plain();
    let random = w.open("/dev/urandom", RDWR);
    let (a, b) = (w.read(&random, 64).unwrap(), w.read(&random, 64).unwrap());
    assert_ne!(a, b);
    assert_eq!(w.write(&random, b"more"), Ok(4));
    let big = w.read(&random, 0x8000).unwrap();
    let ones: u32 = big.iter().map(|b| b.count_ones()).sum();
    assert!((120_000..142_000).contains(&ones));
    assert_eq!(w.ioctl(&random, 0x8004_5200, 4), Ok(256u32.to_le_bytes().to_vec()));
    assert_eq!(rw::read(&w.io(), &random, UserAddr(4), 3), Err(Errno::EFAULT));
    let mut key = [0; 32];
    crate::random::fill(&mut key);
    assert_ne!(key, [0; 32]);
}

#[test]
fn a_terminal_reads_lines_and_echoes() {
    let fake = Arc::new(Fake::default());
    let (w, tty) = terminal(&fake);
    type_in(&fake, b"first\rsecond\nrest");
    assert_eq!(w.read(&tty, 100), Ok(b"first\n".to_vec()));
    assert_eq!(shown(&fake), "first\r\nsecond\r\nrest");
    assert_eq!(w.read(&tty, 3), Ok(b"sec".to_vec()));
    assert_eq!(w.read(&tty, 100), Ok(b"ond\n".to_vec()));
    assert_eq!(w.read(&tty, 100), Ok(b"rest".to_vec()));
    assert_eq!(w.read(&tty, 100), Ok(vec![]));
    assert_eq!(w.write(&tty, b"a\nb"), Ok(3));
    assert_eq!(shown(&fake), "a\r\nb");
    type_in(&fake, b"x\x03");
    tty.ops().poll(&tty);
    assert_eq!(*fake.signals.lock().unwrap(), [2]);
}

#[test]
fn a_terminal_has_no_positions() {
    let (w, tty) = terminal(&Arc::new(Fake::default()));
    assert_eq!(vfs::lseek::lseek(&tty, 0, 1), Err(Errno::ESPIPE));
    assert_eq!(rw::pread(&w.io(), &tty, UserAddr(BUF), 1, 0), Err(Errno::ESPIPE));
    assert_eq!(rw::pwrite(&w.io(), &tty, UserAddr(BUF), 1, 0), Err(Errno::ESPIPE));
    assert_eq!(vfs::fsync::fsync(&tty, false), Err(Errno::EINVAL));
    assert_eq!(rw::write(&w.io(), &tty, UserAddr(4), 1), Err(Errno::EFAULT));
}

#[test]
fn a_framed_line_is_clean() {
    let fake = Arc::new(Fake { framed: true, ..Fake::default() });
    let (w, tty) = terminal(&fake);
    let all: Vec<u8> = (0..=255).collect();
    assert_eq!(w.write(&tty, b"a\n\x10b"), Ok(4));
    assert_eq!(shown(&fake), "a\n\x10b");
    type_in(&fake, &all);
    let mut got = Vec::new();
    loop {
        let part = w.read(&tty, 1000).unwrap();
        if part.is_empty() {
            break;
        }
        got.extend(part);
    }
    assert_eq!(got, all);
    assert_eq!(shown(&fake), "");
}

#[test]
fn terminal_settings() {
    let fake = Arc::new(Fake::default());
    let (w, tty) = terminal(&fake);
    let mut settings = w.ioctl(&tty, 0x5401, 36).unwrap();
    settings[12] &= !(2 | 8); // without ICANON and ECHO
    settings[17 + 6] = 3; // VMIN
    w.user.put(BUF, &settings);
    assert_eq!(w.ioctl(&tty, 0x5402, 36), Ok(settings.clone()));
    assert_eq!(w.ioctl(&tty, 0x5401, 36), Ok(settings));
    type_in(&fake, b"abcd");
    assert_eq!(w.ioctl(&tty, 0x541b, 4), Ok(4u32.to_le_bytes().to_vec()));
    assert_eq!(w.read(&tty, 100), Ok(b"abcd".to_vec()));
    assert_eq!(shown(&fake), "");
    tty.set_flags(OpenFlags::NONBLOCK).unwrap();
    assert_eq!(w.read(&tty, 100), Err(Errno::EAGAIN));
    type_in(&fake, b"12");
    assert_eq!(w.read(&tty, 100), Err(Errno::EAGAIN));
    assert_eq!(w.read(&tty, 1), Ok(b"1".to_vec()));
    // VMIN 0: a read takes what there is, and nothing is no error.
    let mut settings = w.ioctl(&tty, 0x5401, 36).unwrap();
    settings[17 + 6] = 0;
    w.user.put(BUF, &settings);
    w.ioctl(&tty, 0x5402, 0).unwrap();
    assert_eq!(w.read(&tty, 100), Ok(b"2".to_vec()));
    assert_eq!(w.read(&tty, 100), Ok(vec![]));
    assert_eq!(w.ioctl(&tty, 0x5413, 8), Ok(vec![0; 8]));
    w.user.put(BUF, &[24, 0, 80, 0, 0, 0, 0, 0]);
    w.ioctl(&tty, 0x5414, 0).unwrap();
    assert_eq!(w.ioctl(&tty, 0x5413, 8), Ok(vec![24, 0, 80, 0, 0, 0, 0, 0]));
    assert_eq!(w.ioctl(&tty, 0x540f, 4), Ok(1u32.to_le_bytes().to_vec()));
    assert_eq!(w.ioctl(&tty, 0x1234, 0), Err(Errno::ENOTTY));
    assert_eq!(tty.ops().ioctl(&tty, 0x5401, 4, &w.caller()), Err(Errno::EFAULT));
}

/// A RAM disk that cannot be written.
struct ReadOnly(Arc<RamDisk>);

impl Driver for ReadOnly {
    fn limits(&self) -> Limits {
        self.0.limits()
    }
    fn capacity(&self) -> Sector {
        self.0.capacity()
    }
    fn queue_request(&self, request: InFlight) -> core::result::Result<(), InFlight> {
        self.0.queue_request(request)
    }
    fn commit(&self) {
        self.0.commit();
    }
    fn serial(&self) -> String {
        self.0.serial()
    }
    fn read_only(&self) -> bool {
        true
    }
}

/// A disk of a number of its own: all tests share one device table.
fn disk(minor: u32, driver: Arc<dyn Driver>) -> Arc<Disk> {
    Disk::new("vda", DevId::new(254, minor), driver, "noop").unwrap()
}

fn with_disk(minor: u32, driver: Arc<dyn Driver>) -> (World, Arc<File>) {
    let disk = disk(minor, driver);
    let w = World::new(&[disk], Arc::new(Fake::default()));
    let file = w.open("/dev/vda", RDWR);
    (w, file)
}

#[test]
fn a_disk_is_a_file() {
    let ram = RamDisk::new(vec![0x5a; 64 << 10]);
    let (w, file) = with_disk(16, ram.clone());
    assert_eq!(w.read(&file, 4), Ok(vec![0x5a; 4]));
    assert_eq!(vfs::lseek::lseek(&file, 0, 2), Ok(64 << 10));
    assert_eq!(w.read(&file, 4), Ok(vec![]));
    assert_eq!(w.write(&file, b"x"), Err(Errno::ENOSPC));
    assert_eq!(vfs::lseek::lseek(&file, 1, 1), Err(Errno::EINVAL));
    assert_eq!(vfs::lseek::lseek(&file, -3, 1), Ok((64 << 10) - 3));
    assert_eq!(w.write(&file, b"12345"), Ok(3));
    assert_eq!(w.write(&file, b""), Ok(0));
    w.user.put(BUF, b"hello");
    assert_eq!(rw::pwrite(&w.io(), &file, UserAddr(BUF), 5, 1000), Ok(5));
    assert_eq!(ram.bytes()[1000], 0x5a);
    assert_eq!(vfs::fsync::fsync(&file, false), Ok(()));
    assert_eq!(&ram.bytes()[999..1006], b"\x5ahello\x5a");
    assert_eq!(&ram.bytes()[(64 << 10) - 4..], b"\x5a123");
    // Every open sees the same bytes.
    let other = w.open("/dev/vda", OpenFlags::empty());
    assert_eq!(rw::pread(&w.io(), &other, UserAddr(BUF), 5, 1000), Ok(5));
    assert_eq!(w.user.get(BUF, 5), b"hello");
    assert_eq!(rw::pwrite(&w.io(), &other, UserAddr(BUF), 5, 0), Err(Errno::EBADF));
}

#[test]
fn a_synchronous_write_is_on_the_disk() {
    let ram = RamDisk::new(vec![0; 64 << 10]);
    let (w, _) = with_disk(32, ram.clone());
    let file = w.open("/dev/vda", RDWR | OpenFlags::SYNC);
    assert_eq!(w.write(&file, b"now"), Ok(3));
    assert_eq!(&ram.bytes()[..4], b"now\0");
}

#[test]
fn what_a_disk_tells_of_itself() {
    let (w, file) = with_disk(48, RamDisk::new(vec![0; 64 << 10]));
    let bytes = |cmd, len| w.ioctl(&file, cmd, len).unwrap();
    assert_eq!(bytes(0x8008_1272, 8), (64u64 << 10).to_le_bytes());
    assert_eq!(bytes(0x1260, 8), 128u64.to_le_bytes());
    assert_eq!(bytes(0x1268, 4), 512u32.to_le_bytes());
    assert_eq!(bytes(0x125e, 4), 0u32.to_le_bytes());
    assert_eq!(bytes(0x127b, 4).len(), 4);
    assert_eq!(w.ioctl(&file, 0x1261, 0), Ok(vec![]));
    assert_eq!(w.ioctl(&file, 0x5401, 0), Err(Errno::ENOTTY));
    assert_eq!(file.ops().ioctl(&file, 0x1268, 4, &w.caller()), Err(Errno::EFAULT));
}

#[test]
fn a_read_only_disk() {
    let (w, file) = with_disk(64, Arc::new(ReadOnly(RamDisk::new(vec![7; 64 << 10]))));
    assert_eq!(w.read(&file, 2), Ok(vec![7; 2]));
    assert_eq!(w.write(&file, b"x"), Err(Errno::EPERM));
    assert_eq!(w.ioctl(&file, 0x125e, 4), Ok(1u32.to_le_bytes().to_vec()));
}

#[test]
fn a_mounted_disk_is_read_only() {
    let disk = disk(80, RamDisk::new(vec![7; 64 << 10]));
    let device = pagecache::BlockDevice::of(&disk);
    let w = World::new(&[disk], Arc::new(Fake::default()));
    let before = w.open("/dev/vda", RDWR);
    let claim = device.claim().unwrap();
    assert_eq!(device.claim().err(), Some(Errno::EBUSY));
    assert_eq!(w.write(&before, b"x"), Err(Errno::EBUSY));
    assert_eq!(w.read(&before, 2), Ok(vec![7; 2]));
    for flags in [RDWR, OpenFlags::WRONLY, OpenFlags::EXCL] {
        let opened = namei::open(&w.at(), b"/dev/vda", flags, 0);
        assert_eq!(opened.err(), Some(Errno::EBUSY), "{flags:?}");
    }
    assert_eq!(w.read(&w.open("/dev/vda", OpenFlags::empty()), 2), Ok(vec![7; 2]));
    drop(claim);
    assert_eq!(w.write(&before, b"x"), Ok(1));
    assert!(namei::open(&w.at(), b"/dev/vda", RDWR, 0).is_ok());
}
