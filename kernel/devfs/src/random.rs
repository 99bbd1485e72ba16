//! Random numbers: /dev/random, /dev/urandom, and what getrandom(2) and AT_RANDOM take.
//!
//! One key, kept under a lock. Each request takes two keys out of it with ChaCha20: one replaces the
//! kept key, the other makes the bytes of this request, outside the lock. So what the kernel holds
//! later tells nothing of what it gave before (fast key erasure).
//!
//! `boot` mixes in what the machine has of entropy with [`seed`] before the first program runs; after
//! that /dev/random never waits, as on Linux since 5.6. Source: random(4), random(7).

use alloc::sync::Arc;

use base::{DevId, Errno, IovIter, Result};
use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use sync::SpinLock;
use vfs::device::{self, Device};
use vfs::{Caller, File, FileOperations, FileType, Kiocb, OpenFlags, Whence};

type Key = [u8; 32];

static POOL: SpinLock<Key> = SpinLock::new([0; 32]);

/// Mixes bytes into the pool: nothing that was in it gets lost, whatever the bytes are.
pub fn seed(bytes: &[u8]) {
    let mut pool = POOL.lock();
    mix(&mut pool, &base::time::monotonic_ns().to_le_bytes());
    for chunk in bytes.chunks(32) {
        mix(&mut pool, chunk);
    }
}

/// Xors up to 32 bytes in and stirs.
fn mix(pool: &mut Key, bytes: &[u8]) {
    for (p, b) in pool.iter_mut().zip(bytes) {
        *p ^= b;
    }
    let mut stirred = [0; 32];
    ChaCha20Rng::from_seed(*pool).fill_bytes(&mut stirred);
    *pool = stirred;
}

/// A generator for one request; the pool has moved on.
fn generator() -> ChaCha20Rng {
    let mut keys = [0; 64];
    let mut pool = POOL.lock();
    ChaCha20Rng::from_seed(*pool).fill_bytes(&mut keys);
    let mut mine = [0; 32];
    pool.copy_from_slice(&keys[..32]);
    drop(pool);
    mine.copy_from_slice(&keys[32..]);
    ChaCha20Rng::from_seed(mine)
}

/// Fills `out` with unpredictable bytes.
pub fn fill(out: &mut [u8]) {
    generator().fill_bytes(out);
}

/// Fills a reader's memory: getrandom(2) and read(2). Short where the memory ends; EFAULT when that
/// is at once.
pub fn fill_iter(to: &mut IovIter<'_>) -> Result<usize> {
    let wanted = to.count();
    if wanted == 0 {
        return Ok(0);
    }
    let mut generator = generator();
    let mut chunk = [0; 256];
    let mut done = 0;
    while to.count() > 0 {
        let want = chunk.len().min(to.count());
        generator.fill_bytes(&mut chunk[..want]);
        let got = to.copy_from_slice(&chunk[..want]);
        done += got;
        if got < want {
            break;
        }
    }
    if done > 0 { Ok(done) } else { Err(Errno::EFAULT) }
}

/// Enters both devices into the device table.
pub fn register() {
    for minor in [8, 9] {
        device::register(FileType::CharDevice, DevId::new(1, minor), Arc::new(Random));
    }
}

struct Random;

/// RNDGETENTCNT, `_IOR('R', 0, int)`.
const RNDGETENTCNT: u32 = 0x8004_5200;
/// Bits a seeded pool counts as.
const ENTROPY_BITS: i32 = 256;

impl Device for Random {
    fn open(self: Arc<Self>, _flags: OpenFlags) -> Result<Arc<dyn FileOperations>> {
        Ok(self)
    }
}

impl FileOperations for Random {
    fn can_read(&self) -> bool {
        true
    }

    fn can_write(&self) -> bool {
        true
    }

    fn read_iter(&self, _file: &File, _iocb: &mut Kiocb, to: &mut IovIter<'_>) -> Result<usize> {
        fill_iter(to)
    }

    /// What is written is mixed in.
    fn write_iter(&self, _file: &File, _iocb: &mut Kiocb, from: &mut IovIter<'_>) -> Result<usize> {
        let mut chunk = [0; 32];
        let mut done = 0;
        while from.count() > 0 {
            let want = chunk.len().min(from.count());
            let got = from.copy_to_slice(&mut chunk[..want]);
            if got == 0 {
                return if done > 0 { Ok(done) } else { Err(Errno::EFAULT) };
            }
            mix(&mut POOL.lock(), &chunk[..got]);
            done += got;
        }
        Ok(done)
    }

    /// A seek leads nowhere and is no error (`noop_llseek`).
    fn llseek(&self, _file: &File, pos: u64, _offset: i64, _whence: Whence) -> Result<u64> {
        Ok(pos)
    }

    fn ioctl(&self, _file: &File, cmd: u32, arg: u64, caller: &Caller<'_>) -> Result<u64> {
        match cmd {
            RNDGETENTCNT => caller.put(arg, &ENTROPY_BITS.to_le_bytes()),
            _ => Err(Errno::EINVAL),
        }
    }
}
