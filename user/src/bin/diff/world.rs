//! What the calls work on: a folder with files, descriptors of all kinds, memory at fixed addresses; and the edges
//! of numbers.
//!
//! Descriptors lie in slots, by kind, so that half of the calls find what they want and the rest does not. Pipes
//! and the eventfd never block.

use core::ffi::CStr;

use user::sys::{
    self, AT_FDCWD, IoVec, O_APPEND, O_CREAT, O_DIRECT, O_DIRECTORY, O_PATH, O_RDONLY, O_RDWR, O_WRONLY,
};

use crate::report::{line, sum};
use crate::say;

pub const PAGE: usize = 4096;
pub const O_NONBLOCK: i32 = 0o4000;
const FIXED_ANON: i32 = 0x32;
const F_GETFL: i32 = 3;

/// Bytes to be written; behind them lies nothing.
pub const SOURCE: usize = 0x10_0000_0000;
/// Where reads go; behind it lies nothing.
pub const TARGET: usize = 0x10_1000_0000;
/// Their size.
pub const ROOM: usize = 512 << 10;
/// Two pages that can only be read.
const CONSTANT: usize = 0x10_2000_0000;
/// Two pages that cannot be touched.
const NOTHING: usize = 0x10_3000_0000;
/// Mappings: a place for each, `MAP_STRIDE` apart.
const MAPS: usize = 0x10_4000_0000;
const MAP_STRIDE: usize = 0x100_0000;
pub const MAP_COUNT: usize = 6;

/// Slots of files; then the folder, O_PATH, two pipes, eventfd, null, zero, full.
pub const FILES: usize = 8;
pub const FOLDER: usize = 8;
pub const PIPES: usize = 10;
const SLOTS: usize = 18;

/// Names in the folder: files, a folder, what is in it, links, what is not there, what cannot be.
pub const NAMES: [&CStr; 14] =
    [c"a", c"b", c"c", c"d", c"d/e", c"f", c"link", c"gone", c"none", c"a/x", c"a/", c"none/x", c"", c"."];

pub struct World {
    random: u64,
    pub fds: [i32; SLOTS],
    pub context: usize,
    /// The last file was open with O_DIRECT: memory that ends badly, or a length that reaches there, makes Linux
    /// write a part and say EFAULT, where Quill says how much; so there is none of it. Nor for a pipe, into which
    /// Linux's write puts an empty page then that a tee finds.
    tame: bool,
}

/// Memory at a fixed address.
fn map(at: usize, len: usize, prot: i32) {
    sys::mmap(at, len, prot, FIXED_ANON, -1, 0);
}

/// What lies at a fixed address.
pub fn bytes(at: usize, len: usize) -> &'static mut [u8] {
    // SAFETY: the callers name `SOURCE` or `TARGET` and no more than `ROOM`; there is one thread.
    unsafe { core::slice::from_raw_parts_mut(at as *mut u8, len) }
}

impl World {
    pub fn new(folder: &CStr, seed: u64) -> Option<World> {
        let mut world = World {
            random: (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            fds: [-1; SLOTS],
            context: 0,
            tame: false,
        };
        for _ in 0..8 {
            world.next();
        }
        world.lay_out_memory();
        sys::umask(0o22);
        world.enter(folder, seed)?;
        world.make_files();
        world.open_all();
        // A call that never comes back is told as EINTR.
        let once = [0i64, 0, 60, 0];
        sys::setitimer(0, once.as_ptr() as usize, 0);
        Some(world)
    }

    fn lay_out_memory(&mut self) {
        sys::munmap(MAPS, MAP_STRIDE * MAP_COUNT);
        map(SOURCE, ROOM, 3);
        map(TARGET, ROOM, 3);
        map(CONSTANT, 2 * PAGE, 1);
        map(NOTHING, 2 * PAGE, 0);
        for word in bytes(SOURCE, ROOM).chunks_exact_mut(8) {
            word.copy_from_slice(&self.next().to_le_bytes());
        }
        bytes(TARGET, ROOM).fill(0x5a);
    }

    /// A folder of its own, which it works in.
    fn enter(&mut self, folder: &CStr, seed: u64) -> Option<()> {
        sys::chdir(c"/".as_ptr() as usize);
        let mut name = [0u8; 64];
        let path = folder.to_bytes();
        name.get_mut(..path.len())?.copy_from_slice(path);
        let digits = (0..10).rev().map(|n| b'0' + (seed / 10u64.pow(n) % 10) as u8);
        for (place, digit) in name.get_mut(path.len()..path.len() + 10)?.iter_mut().zip(digits) {
            *place = digit;
        }
        let at = name.as_ptr() as usize;
        (sys::mkdirat(AT_FDCWD, at, 0o755) == 0 && sys::chdir(at) == 0).then_some(())
    }

    fn make_files(&mut self) {
        for (name, len) in [(c"a", 3 * PAGE + 100), (c"b", 40 * PAGE), (c"c", 700)] {
            let fd = sys::open(name, O_CREAT | O_WRONLY, 0o644) as i32;
            sys::write_raw(fd, SOURCE + len, len);
            sys::close(fd);
        }
        sys::mkdir(c"d", 0o755);
        sys::close(sys::open(c"d/e", O_CREAT | O_WRONLY, 0o644) as i32);
        sys::symlinkat(c"a".as_ptr() as usize, AT_FDCWD, c"link".as_ptr() as usize);
        sys::symlinkat(c"nowhere".as_ptr() as usize, AT_FDCWD, c"gone".as_ptr() as usize);
    }

    fn open_all(&mut self) {
        let files = [
            (c"a", O_RDWR),
            (c"a", O_RDONLY),
            (c"b", O_WRONLY),
            (c"b", O_RDWR | O_APPEND),
            (c"c", O_RDWR | O_DIRECT),
            (c"c", O_RDWR),
            (c"b", O_RDWR | O_DIRECT),
            (c"f", O_RDWR | O_CREAT),
            (c".", O_RDONLY | O_DIRECTORY),
            (c"a", O_PATH),
        ];
        for (slot, (name, flags)) in files.into_iter().enumerate() {
            self.fds[slot] = sys::open(name, flags, 0o644) as i32;
        }
        sys::pipe2(&raw mut self.fds[PIPES] as usize, O_NONBLOCK);
        sys::pipe2(&raw mut self.fds[PIPES + 2] as usize, O_NONBLOCK);
        self.fds[14] = sys::eventfd2(3, O_NONBLOCK) as i32;
        for (slot, name) in (15..).zip([c"/dev/null", c"/dev/zero", c"/dev/full"]) {
            self.fds[slot] = sys::open(name, O_RDWR, 0) as i32;
        }
        sys::io_setup(8, &raw mut self.context as usize);
        for (slot, fd) in self.fds.iter().enumerate() {
            say!(*fd as isize, "slot {slot}");
        }
    }

    /// All files as they are in the end, and on the disk; closes everything.
    pub fn end(&mut self) {
        let unlimited = [u64::MAX; 2];
        sys::prlimit64(0, 1, unlimited.as_ptr() as usize, 0);
        sys::io_destroy(self.context);
        for fd in self.fds {
            sys::close(fd);
        }
        for name in &NAMES[..7] {
            self.describe(name);
        }
        sys::munmap(MAPS, MAP_STRIDE * MAP_COUNT);
    }

    fn describe(&mut self, name: &CStr) {
        let shown = name.to_str().unwrap_or("?");
        let fd = sys::open(name, O_RDONLY, 0) as i32;
        if fd < 0 {
            return say!(fd as isize, "{shown}");
        }
        let mut stat = [0u64; 16];
        sys::fsync(fd);
        let answer = sys::fstat(fd, stat.as_mut_ptr() as usize);
        let (mode, links) = (stat[2] as u32, stat[2] >> 32);
        let read = sys::pread(fd, bytes(TARGET, ROOM), 0).max(0) as usize;
        let sum = sum(bytes(TARGET, read));
        let more = format_args!("size {:#x} mode {mode:o} links {links} sum {sum:x}", stat[6]);
        line(format_args!("{shown}"), answer, more);
        sys::close(fd);
    }

    // ---- chance

    /// xorshift64*.
    pub fn next(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        ((self.next() >> 33) as usize) % n.max(1)
    }

    /// Once in `n` times.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    // ---- descriptors and names

    /// A file most of the time, else anything, else nothing.
    pub fn file(&mut self) -> i32 {
        let slot = self.below(FILES);
        let fd = if self.once_in(8) { self.any_fd() } else { self.fds[slot] };
        let flags = sys::fcntl(fd, F_GETFL, 0);
        let is_pipe = self.fds[PIPES..PIPES + 4].contains(&fd);
        self.tame = is_pipe || (flags > 0 && flags as i32 & O_DIRECT != 0);
        fd
    }

    /// The same for splice, which devices know since Linux 6.5 only.
    pub fn file_to_splice(&mut self) -> i32 {
        let fd = self.file();
        let mut stat = [0u64; 16];
        let device = sys::fstat(fd, stat.as_mut_ptr() as usize) == 0 && stat[2] as u32 & 0o170000 == 0o020000;
        if device { -1 } else { fd }
    }

    pub fn any_fd(&mut self) -> i32 {
        if self.once_in(8) {
            self.pick(&[-1, 999, i32::MAX, i32::MIN, AT_FDCWD])
        } else {
            let slot = self.below(SLOTS);
            self.fds[slot]
        }
    }

    /// The end of a pipe most of the time.
    pub fn pipe(&mut self, writing: usize) -> i32 {
        self.tame = true;
        if self.once_in(10) {
            return self.any_fd();
        }
        let which = self.below(2) * 2;
        let end = if self.once_in(12) { 1 - writing } else { writing };
        self.fds[PIPES + which + end]
    }

    /// A name, most of the time of a file that is there.
    pub fn name(&mut self) -> &'static CStr {
        let few = if self.once_in(3) { NAMES.len() } else { 7 };
        self.pick(&NAMES[..few])
    }

    // ---- memory

    /// A place for a mapping.
    pub fn place(&mut self) -> usize {
        MAPS + self.below(MAP_COUNT) * MAP_STRIDE
    }

    /// Where there is no memory, or not of the right kind.
    fn bad_memory(&mut self) -> usize {
        let map = self.place();
        self.pick(&[
            0,
            1,
            CONSTANT,
            CONSTANT + PAGE - 1,
            NOTHING,
            SOURCE + ROOM,
            0xffff_8000_0000_0000,
            usize::MAX,
            1 << 52,
            map,
            map + PAGE,
        ])
    }

    /// `len` bytes that can be read, most of the time; on a page's or a sector's edge, often.
    pub fn source(&mut self, len: usize) -> usize {
        match self.below(24) {
            0..3 if self.tame => SOURCE + self.offset_in(len),
            0 => self.bad_memory(),
            1 => SOURCE + ROOM - len.min(ROOM) / 2,
            2 => SOURCE + ROOM - PAGE,
            _ => SOURCE + self.offset_in(len),
        }
    }

    /// The same to be written to.
    ///
    /// What a read leaves before a place that faults is exact to the word that the kernel's copy moves at once: a
    /// range that ends there begins where that is a multiple of anything.
    pub fn target(&mut self, len: usize) -> usize {
        match self.below(24) {
            0 if !self.tame => self.bad_memory(),
            _ => TARGET + self.offset_in(len),
        }
    }

    fn offset_in(&mut self, len: usize) -> usize {
        let room = ROOM.saturating_sub(len).max(1);
        let offset = self.below(room);
        match self.below(4) {
            0 => offset,
            1 => offset & !511,
            _ => offset & !(PAGE - 1),
        }
    }

    /// One to four ranges in `len` bytes at `at`, some empty, some bad; how many.
    pub fn vector(&mut self, reading: bool) -> ([IoVec; 4], usize) {
        let mut vector = [IoVec { base: 0, len: 0 }; 4];
        let count = 1 + self.below(4);
        for part in &mut vector[..count] {
            let len = self.short_len();
            *part = IoVec { base: if reading { self.target(len) } else { self.source(len) }, len };
        }
        if !self.tame && self.once_in(20) {
            vector[0].len = self.pick(&[usize::MAX, i64::MAX as usize, 1 << 40]);
        }
        (vector, count)
    }

    // ---- numbers

    /// A length that is no more than `ROOM` / 2.
    pub fn short_len(&mut self) -> usize {
        let edge = self.pick(&[0, 1, 512, 1024, PAGE, 2 * PAGE, 3 * PAGE, 5 * PAGE, 16 * PAGE]);
        match self.below(6) {
            0 | 1 => edge,
            2 => edge + 1,
            3 => edge.saturating_sub(1),
            4 => self.below(3 * PAGE),
            _ => self.below(20 * PAGE),
        }
    }

    /// A length, now and then a huge one.
    pub fn len(&mut self) -> usize {
        if !self.tame && self.once_in(40) {
            self.pick(&[usize::MAX, i64::MAX as usize, 0x7fff_f000, 1 << 32, 1 << 63])
        } else {
            self.short_len()
        }
    }

    /// A place in a file, now and then beyond anything.
    pub fn offset(&mut self) -> i64 {
        match self.below(40) {
            0 => self.pick(&[-1, i64::MIN, i64::MAX, i64::MAX - 4095, -4096]),
            1 => self.pick(&[
                0xfff_ffff_f000,
                0xfff_ffff_efff,
                0xfff_ffff_e000,
                0x1000_0000_0000,
                1 << 40,
                (1 << 32) - 1,
                1 << 32,
            ]),
            2..20 => (self.below(50) * PAGE) as i64 + self.pick(&[0, 0, 1, -1, 512, 1024, 4095]),
            _ => self.below(50 * PAGE) as i64,
        }
    }

    /// A place that direct I/O likes, half of the time.
    pub fn place_in_file(&mut self) -> i64 {
        let at = self.offset();
        if self.once_in(2) { at & !511 } else { at }
    }
}
