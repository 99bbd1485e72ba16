//! What is told the kernel about mappings, and what it tells: madvise, mincore, mlock, getrusage.

use core::ffi::CStr;
use core::sync::atomic::{AtomicBool, Ordering};

use user::check::{equal, holds};
use user::sys::{self, *};

use super::{
    ANON, MS_INVALIDATE, MS_SYNC, PAGE, POPULATE, PRIVATE, READ, RW, SHARED, byte, file, map, peek, poke,
    unmap,
};

const EAGAIN: isize = -11;

/// The data goes through the journal, which keeps pages in memory until it has written them home.
static JOURNAL: AtomicBool = AtomicBool::new(false);

pub fn set_journal(word: &CStr) {
    JOURNAL.store(word == c"journal", Ordering::Relaxed);
}

/// Asks for the file's pages to be let go of. Whether they are gone.
fn let_go(fd: i32, pages: usize) -> bool {
    const DONTNEED: i32 = 4;
    let mut seen = [1u8; 16];
    equal("fadvise(DONTNEED)", sys::fadvise64(fd, 0, 0, DONTNEED), 0);
    let at = map(fd, pages * PAGE, READ, SHARED);
    equal("mincore", sys::mincore(at, pages * PAGE, seen.as_mut_ptr() as usize), 0);
    unmap(at, pages * PAGE);
    let gone = seen[..pages].iter().all(|b| b & 1 == 0);
    holds("not cached", gone || JOURNAL.load(Ordering::Relaxed));
    gone
}

pub fn in_core() {
    let fd = file(c"core", 8 * PAGE, 1);
    equal("fsync", sys::fsync(fd), 0);
    let at = map(fd, 8 * PAGE, READ, SHARED);
    let mut seen = [0u8; 8];
    equal("mincore", sys::mincore(at, 8 * PAGE, seen.as_mut_ptr() as usize), 0);
    equal("cached, though not mapped", seen.map(|b| b & 1), [1; 8]);
    unmap(at, 8 * PAGE);
    let_go(fd, 8);
    let at = map(fd, 8 * PAGE, RW, SHARED | POPULATE);
    equal("mincore", sys::mincore(at, 8 * PAGE, seen.as_mut_ptr() as usize), 0);
    equal("MAP_POPULATE", seen.map(|b| b & 1), [1; 8]);
    equal("of a hole", sys::mincore(at - (1 << 40), PAGE, seen.as_mut_ptr() as usize), ENOMEM);
    equal("off a page", sys::mincore(at + 1, PAGE, seen.as_mut_ptr() as usize), EINVAL);
    unmap(at, 8 * PAGE);
    sys::close(fd);
}

/// WILLNEED and REMOVE.
pub fn advice() {
    const WILLNEED: i32 = 3;
    const REMOVE: i32 = 9;
    let fd = file(c"advice", 4 * PAGE, 1);
    let at = map(fd, 4 * PAGE, RW, SHARED);
    poke(at + PAGE, 2);
    equal("madvise(WILLNEED)", sys::madvise(at, 4 * PAGE, WILLNEED), 0);
    equal("madvise(REMOVE)", sys::madvise(at + PAGE, 2 * PAGE, REMOVE), 0);
    equal("punches", (peek(at), peek(at + PAGE), byte(fd, 2 * PAGE), peek(at + 3 * PAGE)), (1, 0, 0, 1));
    poke(at + PAGE, 3);
    equal("and can be stored to", byte(fd, PAGE), 3);
    unmap(at, 4 * PAGE);
    let at = map(fd, 4 * PAGE, RW, PRIVATE);
    equal("REMOVE of a private mapping", sys::madvise(at, PAGE, REMOVE), EACCES);
    unmap(at, 4 * PAGE);
    sys::close(fd);
    let fd = sys::open(c"advice", O_RDONLY, 0) as i32;
    let at = map(fd, 4 * PAGE, READ, SHARED);
    equal("REMOVE of what is only read", sys::madvise(at, PAGE, REMOVE), EACCES);
    unmap(at, 4 * PAGE);
    sys::close(fd);
}

/// What each advice is for: memory of its own, shared memory, a file, locked memory.
pub fn advice_for() {
    let fd = file(c"advised", 4 * PAGE, 1);
    let own = map(-1, 4 * PAGE, RW, PRIVATE | ANON);
    let shared = map(-1, 4 * PAGE, RW, SHARED | ANON);
    let of_file = map(fd, 4 * PAGE, RW, SHARED);
    let locked = map(-1, 4 * PAGE, RW, PRIVATE | ANON);
    equal("mlock", sys::mlock(locked, 4 * PAGE), 0);
    for (advice, want) in [
        (0, [0, 0, 0, 0]),
        (1, [0, 0, 0, 0]),
        (2, [0, 0, 0, 0]),
        (3, [0, 0, 0, 0]),
        (4, [0, 0, 0, EINVAL]),
        (5, [EINVAL; 4]),
        (8, [0, EINVAL, EINVAL, EINVAL]),
        (10, [0, 0, 0, 0]),
        (18, [0, EINVAL, EINVAL, 0]),
        (19, [0, 0, 0, 0]),
        (20, [0, 0, 0, EINVAL]),
        (21, [0, 0, 0, EINVAL]),
        (22, [0, 0, 0, 0]),
        (23, [0, 0, 0, 0]),
        (24, [0, 0, 0, 0]),
        (99, [EINVAL; 4]),
    ] {
        let got = [own, shared, of_file, locked].map(|at| sys::madvise(at + PAGE, 2 * PAGE, advice));
        equal("madvise", (advice, got), (advice, want));
    }
    equal("nothing", sys::madvise(own, 0, 4), 0);
    equal("off a page", sys::madvise(own + 1, PAGE, 4), EINVAL);
    unmap(own + PAGE, PAGE);
    equal("over a hole", sys::madvise(own, 4 * PAGE, 1), ENOMEM);
    [own, shared, of_file, locked].iter().for_each(|&at| unmap(at, 4 * PAGE));
    sys::close(fd);
}

/// getrusage: what is in memory is a minor fault, what is not a major one, once for what is read with it.
pub fn faults() {
    const RANDOM: i32 = 1;
    let counts = || {
        let mut usage = [0u64; 18];
        equal("getrusage", sys::getrusage(0, usage.as_mut_ptr() as usize), 0);
        (usage[8], usage[9])
    };
    let own = map(-1, 16 * PAGE, RW, PRIVATE | ANON);
    let before = counts();
    (0..16).for_each(|n| poke(own + n * PAGE, 1));
    let after = counts();
    equal("minor, major", (after.0 - before.0 >= 16, after.1 - before.1), (true, 0));
    unmap(own, 16 * PAGE);
    let fd = file(c"faults", 16 * PAGE, 1);
    equal("fsync", sys::fsync(fd), 0);
    // Linux counts one more where it met pages on their way.
    for (advice, want) in [(0, 1..=2), (RANDOM, 16..=16)] {
        if !let_go(fd, 16) {
            continue;
        }
        let at = map(fd, 16 * PAGE, READ, SHARED);
        equal("madvise", sys::madvise(at, 16 * PAGE, advice), 0);
        let before = counts().1;
        (0..16).for_each(|n| equal("a byte", peek(at + n * PAGE), 1));
        let major = counts().1 - before;
        equal("major faults", (major, want.contains(&major)), (major, true));
        unmap(at, 16 * PAGE);
    }
    sys::close(fd);
}

pub fn locking() {
    const RLIMIT_MEMLOCK: i32 = 8;
    let fd = file(c"locked", 4 * PAGE, 1);
    let at = map(fd, 4 * PAGE, RW, SHARED);
    equal("mlock", sys::mlock(at, 2 * PAGE), 0);
    equal("MS_INVALIDATE of what is locked", sys::msync(at, 4 * PAGE, MS_SYNC | MS_INVALIDATE), EBUSY);
    equal("madvise(DONTNEED) of what is locked", sys::madvise(at, PAGE, 4), EINVAL);
    equal("munlock", sys::munlock(at, 4 * PAGE), 0);
    equal("MS_INVALIDATE", sys::msync(at, 4 * PAGE, MS_SYNC | MS_INVALIDATE), 0);
    equal("mlock2", sys::mlock2(at, 4 * PAGE, 1), 0);
    equal("mlock2, a flag that is none", sys::mlock2(at, 4 * PAGE, 2), EINVAL);
    equal("munlockall", sys::munlockall(), 0);
    equal("mlock of a hole", sys::mlock(at - (1 << 40), PAGE), ENOMEM);
    let mut limit = [0u64; 2];
    equal("a limit", sys::prlimit64(0, RLIMIT_MEMLOCK, 0, limit.as_mut_ptr() as usize), 0);
    unmap(at, 4 * PAGE);
    sys::close(fd);
}

/// Who may lock how much, when he is not root.
pub fn locking_as_a_user() {
    const RLIMIT_MEMLOCK: i32 = 8;
    const LOCKED: i32 = 0x2000;
    const CURRENT: i32 = 1;
    const FUTURE: i32 = 2;
    const MAYMOVE: i32 = 1;
    const ONFAULT: u32 = 1;
    let mut before = [0u64; 2];
    equal("its limit", sys::prlimit64(0, RLIMIT_MEMLOCK, 0, before.as_mut_ptr() as usize), 0);
    let limit = |pages: usize| {
        let both = [pages * PAGE; 2];
        equal("a limit", sys::prlimit64(0, RLIMIT_MEMLOCK, both.as_ptr() as usize, 0), 0);
    };
    // Like map, but with what it answers.
    let try_map = |pages: usize, flags: i32| sys::mmap(0, pages * PAGE, RW, flags | PRIVATE | ANON, -1, 0);
    limit(4);
    let at = map(-1, 16 * PAGE, RW, PRIVATE | ANON);
    equal("setresuid", sys::setresuid(0, 1000, 0), 0);
    equal("up to the limit", sys::mlock(at, 4 * PAGE), 0);
    equal("the same again", sys::mlock(at + PAGE, 2 * PAGE), 0);
    equal("one more", sys::mlock(at + 4 * PAGE, PAGE), ENOMEM);
    equal("one more, and three that are", sys::mlock(at + PAGE, 4 * PAGE), ENOMEM);
    equal("when they are touched", sys::mlock2(at + 8 * PAGE, PAGE, ONFAULT), ENOMEM);
    equal("a mapping", try_map(1, LOCKED), EAGAIN);
    equal("one less", sys::munlock(at, PAGE), 0);
    equal("another for it", sys::mlock2(at + 8 * PAGE, 1, ONFAULT), 0);
    equal("munlockall", sys::munlockall(), 0);
    let locked = try_map(4, LOCKED);
    holds("a mapping of four", locked > 0);
    equal("a fifth", sys::mlock(at, 1), ENOMEM);
    equal("it grows", sys::mremap(locked as usize, 4 * PAGE, 5 * PAGE, MAYMOVE, 0), EAGAIN);
    unmap(locked as usize, 4 * PAGE);
    equal("five at once", try_map(5, LOCKED), EAGAIN);
    equal("all there is", sys::mlockall(CURRENT), ENOMEM);
    equal("what comes", sys::mlockall(FUTURE), 0);
    equal("too much", try_map(5, 0), EAGAIN);
    let some = try_map(2, 0);
    holds("not too much", some > 0);
    equal("and two more", try_map(3, 0), EAGAIN);
    equal("munlockall", sys::munlockall(), 0);
    unmap(some as usize, 2 * PAGE);
    equal("setresuid", sys::setresuid(0, 0, 0), 0);
    limit(0);
    equal("root does not ask", sys::mlock(at, 8 * PAGE), 0);
    equal("setresuid", sys::setresuid(0, 1000, 0), 0);
    equal("nothing may be locked", sys::mlock(at, PAGE), EPERM);
    equal("nothing at all", (sys::mlock(at, 0), sys::mlock2(at, PAGE, 2)), (EPERM, EINVAL));
    equal("nor all", (sys::mlockall(CURRENT), sys::mlockall(FUTURE)), (EPERM, EPERM));
    equal("nor a mapping", try_map(1, LOCKED), EPERM);
    equal("unlock what is", sys::munlock(at, 8 * PAGE), 0);
    equal("setresuid", sys::setresuid(0, 0, 0), 0);
    equal("its limit", sys::prlimit64(0, RLIMIT_MEMLOCK, before.as_ptr() as usize, 0), 0);
    unmap(at, 16 * PAGE);
}

/// COLD and PAGEOUT.
pub fn giving_up() {
    const COLD: i32 = 20;
    const PAGEOUT: i32 = 21;
    let fd = file(c"given", 8 * PAGE, 1);
    equal("fsync", sys::fsync(fd), 0);
    let at = map(fd, 8 * PAGE, RW, SHARED | POPULATE);
    let seen = || {
        let mut seen = [9u8; 8];
        equal("mincore", sys::mincore(at, 8 * PAGE, seen.as_mut_ptr() as usize), 0);
        seen.map(|byte| byte & 1)
    };
    equal("cold", (sys::madvise(at, 8 * PAGE, COLD), seen(), peek(at)), (0, [1; 8], 1));
    poke(at + 3 * PAGE, 2);
    equal("out", sys::madvise(at + PAGE, 4 * PAGE, PAGEOUT), 0);
    // The journal keeps pages until it has written them home.
    if !JOURNAL.load(Ordering::Relaxed) {
        equal("what is clean is gone", seen(), [1, 0, 0, 1, 0, 1, 1, 1]);
    }
    equal("and comes back", [1, 2, 3, 4].map(|page| peek(at + page * PAGE)), [1, 1, 2, 1]);
    // Who reads another's file learns nothing of it by this, and changes nothing.
    equal("setresuid", sys::setresuid(0, 1000, 0), 0);
    equal("of another's file", sys::madvise(at + 5 * PAGE, PAGE, PAGEOUT), 0);
    equal("setresuid", sys::setresuid(0, 0, 0), 0);
    equal("it stays", seen()[5], 1);
    unmap(at, 8 * PAGE);
    // A private copy has no file to come back from.
    let own = map(fd, 8 * PAGE, RW, PRIVATE);
    poke(own, 7);
    equal("a copy", (sys::madvise(own, 2 * PAGE, PAGEOUT), peek(own), peek(own + PAGE)), (0, 7, 1));
    unmap(own, 8 * PAGE);
    sys::close(fd);
}
