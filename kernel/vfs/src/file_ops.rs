//! What an open file calls in its file system or device: `file_operations` and its `kiocb`.
//!
//! The vfs has checked access, position and length before `read_iter` and `write_iter`
//! (`read_write.rs`). A method left out answers what Linux answers for a null pointer there.

use alloc::boxed::Box;
use alloc::sync::Arc;

use base::{Errno, Frame, IovIter, Result, UserAddr, UserMemory};
use bitflags::bitflags;
use pagecache::{AddressSpace, AddressSpaceOperations};

use crate::dir_sink::DirContext;
use crate::eventfd::EventFd;
use crate::file::File;
use crate::pipe::Pipe;
use crate::poll::PollQueue;

bitflags! {
    /// How one read or write is to be done.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct KiocbFlags: u32 {
        /// At the end of the file, wherever that is once the inode is locked.
        const APPEND = 1;
        /// On the medium before it returns.
        const DSYNC = 2;
        /// As DSYNC, with all metadata.
        const SYNC = 4;
        /// Around the page cache.
        const DIRECT = 8;
        /// EAGAIN instead of waiting (RWF_NOWAIT).
        const NOWAIT = 16;
        /// The writer lacks CAP_FSETID: suid and sgid go (`file_remove_privs`).
        const KILL_PRIV = 32;
        /// Leave atime alone.
        const NOATIME = 64;
        /// The file is O_NONBLOCK: EAGAIN where a device or pipe would wait; files do not care.
        const NONBLOCK = 128;
    }
}

/// One read or write on its way down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kiocb {
    /// Where it is; the file system moves it on by what was done (and with APPEND to the end first).
    pub pos: u64,
    /// How.
    pub flags: KiocbFlags,
    /// RLIMIT_FSIZE: a write at or past it is EFBIG, one that crosses it is cut short
    /// (`generic_write_checks`). The system call sends SIGXFSZ.
    pub fsize_limit: u64,
}

impl Kiocb {
    /// A plain read or write at a place.
    pub const fn at(pos: u64) -> Kiocb {
        Kiocb { pos, flags: KiocbFlags::empty(), fsize_limit: u64::MAX }
    }
}

/// What is called when a read or write that nobody waits for is over (`ki_complete`): once, with what it
/// would have returned, perhaps in an interrupt.
pub type IoEnd = Box<dyn FnOnce(Result<usize>) + Send>;

/// `whence` of lseek(2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Whence {
    /// From the start.
    Set = 0,
    /// From where it is.
    Cur = 1,
    /// From the end.
    End = 2,
    /// To the next data.
    Data = 3,
    /// To the next hole.
    Hole = 4,
}

impl Whence {
    /// From the system call's argument; EINVAL.
    pub const fn from_user(n: u32) -> Result<Whence> {
        Ok(match n {
            0 => Whence::Set,
            1 => Whence::Cur,
            2 => Whence::End,
            3 => Whence::Data,
            4 => Whence::Hole,
            _ => return Err(Errno::EINVAL),
        })
    }
}

/// What mmap(2) of a file maps.
#[derive(Clone)]
pub enum Mmap {
    /// The file's pages: fault one in with `pagecache::read_mapping_page(mapping, ops, index)`.
    Pages {
        /// The cache.
        mapping: Arc<AddressSpace>,
        /// How it is filled.
        ops: Arc<dyn AddressSpaceOperations>,
    },
    /// Zeros, as /dev/zero: the mapping is anonymous.
    Zero,
}

/// A file's pages and how they come and go, for who advises and syncs.
#[derive(Clone, Copy)]
pub struct Pages<'a> {
    /// The cache.
    pub mapping: &'a AddressSpace,
    /// How it is filled and written back.
    pub ops: &'a dyn AddressSpaceOperations,
}

/// Who asks for an ioctl(2).
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    /// Its memory.
    pub memory: &'a dyn UserMemory,
    /// Whether it may do what the superuser may ([`crate::Cred::capable`]).
    pub capable: bool,
    /// The user that file access goes by.
    pub uid: u32,
}

impl Caller<'_> {
    /// Puts a value where the argument points, as it lies in memory. EFAULT. 0, as most commands answer.
    pub fn put(&self, arg: u64, value: &[u8]) -> Result<u64> {
        self.memory.write_all(UserAddr(arg), value).map(|()| 0)
    }

    /// Takes `N` bytes from where the argument points. EFAULT.
    pub fn get<const N: usize>(&self, arg: u64) -> Result<[u8; N]> {
        let mut value = [0; N];
        self.memory.read_exact(UserAddr(arg), &mut value).map(|()| value)
    }
}

/// Takes bytes of a frame, and says whether it takes more.
pub type SpliceSink<'a> = dyn FnMut(Frame, usize, usize) -> bool + 'a;

/// The operations of an open file. Use counts: a [`File`] holds one `Arc` of it.
pub trait FileOperations: Send + Sync {
    /// Whether `read_iter` is there (FMODE_CAN_READ).
    fn can_read(&self) -> bool {
        false
    }

    /// Whether `write_iter` is there (FMODE_CAN_WRITE).
    fn can_write(&self) -> bool {
        false
    }

    /// Whether io_submit(2) and splice(2) write to it: not where all that Linux has is the `write` of old times.
    fn has_write_iter(&self) -> bool {
        self.can_write()
    }

    /// Whether splice(2) and sendfile(2) read from it.
    fn has_splice_read(&self) -> bool {
        self.can_read()
    }

    /// Whether lseek(2) is allowed: an eventfd allows it, though it leads nowhere.
    fn has_llseek(&self) -> bool {
        self.seekable()
    }

    /// Whether the file has positions at all: false makes pread and pwrite ESPIPE, and lseek, as on a
    /// terminal.
    fn seekable(&self) -> bool {
        true
    }

    /// Reads from `iocb.pos` on and moves it. 0 at the end. EFAULT only when nothing was read.
    fn read_iter(&self, _file: &File, _iocb: &mut Kiocb, _to: &mut IovIter<'_>) -> Result<usize> {
        Err(Errno::EINVAL)
    }

    /// Reads at most `len` bytes from `iocb.pos` on, and moves it, into frames that `sink` takes: frame,
    /// offset, length. By default they are copies; a file with pages gives those (`filemap_splice_read`).
    /// `sink` answers whether it takes more.
    fn splice_read(
        &self,
        file: &File,
        iocb: &mut Kiocb,
        len: usize,
        sink: &mut SpliceSink<'_>,
    ) -> Result<usize> {
        crate::pipe::copy_splice_read(self, file, iocb, len, sink)
    }

    /// Writes at `iocb.pos` and moves it.
    fn write_iter(&self, _file: &File, _iocb: &mut Kiocb, _from: &mut IovIter<'_>) -> Result<usize> {
        Err(Errno::EINVAL)
    }

    /// Begins what `read_iter` does and returns; `end` is called when it is over, before this returns where
    /// the file must be waited for. `iocb.pos` does not tell where it ended. The caller keeps `file`
    /// until `end` was called.
    fn start_read(&self, file: &Arc<File>, iocb: &mut Kiocb, to: &mut IovIter<'_>, end: IoEnd) {
        end(self.read_iter(file, iocb, to));
    }

    /// The same for `write_iter`.
    fn start_write(&self, file: &Arc<File>, iocb: &mut Kiocb, from: &mut IovIter<'_>, end: IoEnd) {
        end(self.write_iter(file, iocb, from));
    }

    /// Where a seek leads; the vfs stores it. `pos` is where the file is. Most file systems want
    /// [`crate::lseek::generic`], which this is by default, with i_size and s_maxbytes.
    fn llseek(&self, file: &File, pos: u64, offset: i64, whence: Whence) -> Result<u64> {
        crate::lseek::generic_file(file, pos, offset, whence)
    }

    /// Offers directory entries from `ctx.pos` on, until it is told to stop. ENOTDIR.
    fn iterate(&self, _file: &File, _ctx: &mut DirContext<'_>) -> Result<()> {
        Err(Errno::ENOTDIR)
    }

    /// Brings the bytes `start..=end` to the medium, with `datasync` only the metadata needed to
    /// read them. EINVAL where there is nothing to sync. Errors of earlier writebacks are the vfs's
    /// affair (errseq).
    fn fsync(&self, _file: &File, _start: u64, _end: u64, _datasync: bool) -> Result<()> {
        Err(Errno::EINVAL)
    }

    /// A command to a device. ENOTTY when it is none of its.
    fn ioctl(&self, _file: &File, _cmd: u32, _arg: u64, _caller: &Caller<'_>) -> Result<u64> {
        Err(Errno::ENOTTY)
    }

    /// The page cache behind it, where errors of writeback are noted. None for devices without.
    fn mapping(&self) -> Option<&Arc<AddressSpace>> {
        None
    }

    /// The page cache and its operations, unless the file has none or lives in it alone.
    fn pages(&self) -> Option<Pages<'_>> {
        None
    }

    /// What mmap maps. ENODEV when it cannot be mapped.
    fn mmap(&self, _file: &File) -> Result<Mmap> {
        Err(Errno::ENODEV)
    }

    /// Whether fallocate(2) can do that at all here: asked before the limits. EOPNOTSUPP.
    fn check_fallocate(&self, _mode: u32) -> Result<()> {
        Ok(())
    }

    /// fallocate(2), after the vfs's checks. `mode` is its flag word.
    fn fallocate(&self, _file: &File, _mode: u32, _offset: u64, _len: u64) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }

    /// What would not block now: POLLIN 1, POLLOUT 4, POLLRDNORM 0x40, POLLWRNORM 0x100.
    fn poll(&self, _file: &File) -> u32 {
        0x145
    }

    /// Who wakes those who wait for another answer of [`FileOperations::poll`]. None: it never changes, or nobody does.
    fn poll_queue(&self) -> Option<&PollQueue> {
        None
    }

    /// Whether O_DIRECT is honoured; else open refuses it with EINVAL.
    fn direct(&self) -> bool {
        false
    }

    /// Whether RWF_NOWAIT is honoured (FMODE_NOWAIT); else it is EOPNOTSUPP.
    fn nowait(&self) -> bool {
        false
    }

    /// The counter, where it is an eventfd.
    fn as_eventfd(&self) -> Option<&Arc<EventFd>> {
        None
    }

    /// The pipe, where it is one.
    fn as_pipe(&self) -> Option<&Arc<Pipe>> {
        None
    }

    /// The last handle of the open file is gone.
    fn release(&self, _file: &File) {}
}
