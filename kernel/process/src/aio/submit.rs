//! io_submit(2): an iocb is checked and begun.

use alloc::boxed::Box;
use alloc::sync::Arc;

use base::{Errno, Result, UserAddr};
use block::ioprio::{self, IoClass, IoPrio};
use vfs::aio::{self, Memory};
use vfs::eventfd::{self, EventFd};
use vfs::read_write::UserVec;
use vfs::{File, FileType, fsync};

use super::{Context, Event, WORK, poll};
use crate::process::Process;

/// What the kernel writes to `aio_key`, and what io_cancel(2) looks for (KIOCB_KEY).
pub const KEY: u32 = 0;

const OFFSET_OF_KEY: u64 = 8;

/// `aio_flags`.
const FLAG_RESFD: u32 = 1;
const FLAG_IOPRIO: u32 = 2;

/// `aio_lio_opcode`.
mod command {
    pub const PREAD: u16 = 0;
    pub const PWRITE: u16 = 1;
    pub const FSYNC: u16 = 2;
    pub const FDSYNC: u16 = 3;
    pub const POLL: u16 = 5;
    pub const PREADV: u16 = 7;
    pub const PWRITEV: u16 = 8;
}

/// `struct iocb`, field by field.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Iocb {
    /// `aio_data`: told with the event.
    pub data: u64,
    /// `aio_rw_flags`: RWF_*.
    pub rw_flags: u32,
    /// `aio_lio_opcode`: IOCB_CMD_*.
    pub opcode: u16,
    /// `aio_reqprio`.
    pub reqprio: u16,
    /// `aio_fildes`.
    pub fd: i32,
    /// `aio_buf`; of a poll, the events.
    pub buf: u64,
    /// `aio_nbytes`.
    pub nbytes: u64,
    /// `aio_offset`.
    pub offset: i64,
    /// `aio_reserved2`.
    pub reserved: u64,
    /// `aio_flags`.
    pub flags: u32,
    /// `aio_resfd`.
    pub resfd: i32,
}

/// A request under way. Dropped before it has ended, it gives its slot back.
pub(super) struct Request {
    context: Arc<Context>,
    file: Option<Arc<File>>,
    eventfd: Option<Arc<EventFd>>,
    data: u64,
    obj: u64,
    told: bool,
}

impl Request {
    /// Where its iocb was.
    pub fn obj(&self) -> u64 {
        self.obj
    }

    /// Its context.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Its open file.
    pub fn file(&self) -> Option<&Arc<File>> {
        self.file.as_ref()
    }

    /// Whether its end signals an eventfd.
    pub fn signals(&self) -> bool {
        self.eventfd.is_some()
    }

    /// It is over. In an interrupt, perhaps.
    pub fn complete(mut self, done: Result<usize>) {
        let res = match done {
            // At most MAX_RW_COUNT.
            Ok(n) => n as i64,
            Err(error) => error.as_return() as i64,
        };
        close(self.file.take());
        self.told = true;
        self.context.tell(&Event { data: self.data, obj: self.obj, res });
        if let Some(eventfd) = &self.eventfd {
            eventfd.signal(1);
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if !self.told {
            self.context.forget();
        }
    }
}

/// Lets go of a file; the last use is left to the thread.
pub(super) fn close(file: Option<Arc<File>>) {
    if let Some(last) = file.and_then(Arc::into_inner) {
        WORK.queue(Box::new(move || drop(last)));
    }
}

impl Process {
    /// Begins what an iocb, which lies at `at`, says. EINVAL, EAGAIN, EBADF, EFAULT, EOPNOTSUPP, EPERM.
    pub fn submit(&self, context: &Arc<Context>, at: UserAddr, iocb: &Iocb) -> Result<()> {
        if iocb.reserved != 0 || i64::try_from(iocb.nbytes).is_err() {
            return Err(Errno::EINVAL);
        }
        context.begin()?;
        let mut request = Request {
            context: context.clone(),
            file: None,
            eventfd: None,
            data: iocb.data,
            obj: at.0,
            told: false,
        };
        let file = self.files().get_io(iocb.fd)?;
        request.file = Some(file.clone());
        if iocb.flags & FLAG_RESFD != 0 {
            let other = self.files().get_io(iocb.resfd)?;
            request.eventfd = Some(eventfd::of(&other).ok_or(Errno::EINVAL)?.clone());
        }
        self.memory().write_all(at.add(OFFSET_OF_KEY), &KEY.to_ne_bytes())?;
        match iocb.opcode {
            command::PREAD | command::PREADV | command::PWRITE | command::PWRITEV => {
                self.begin_transfer(&file, iocb, request)
            }
            command::POLL => poll::begin(context, &file, iocb, request),
            command::FSYNC | command::FDSYNC => begin_sync(&file, iocb, request),
            _ => Err(Errno::EINVAL),
        }
    }

    fn begin_transfer(&self, file: &Arc<File>, iocb: &Iocb, request: Request) -> Result<()> {
        let _prio = match iocb.flags & FLAG_IOPRIO != 0 {
            true => Some(self.with_priority(iocb.reqprio)?),
            false => None,
        };
        let address = UserAddr(iocb.buf);
        // It fits: a usize has 64 bits.
        let len = iocb.nbytes as usize;
        let memory = match iocb.opcode {
            command::PREAD | command::PWRITE => Memory::One(address, len),
            // Of a count of parts Linux takes 32 bits, as readv(2) does.
            _ => Memory::Many(UserVec { base: address, len: iocb.nbytes as u32 as usize }),
        };
        let transfer = aio::Request { memory, pos: iocb.offset, rwf: iocb.rw_flags };
        let end = Box::new(move |done| request.complete(done));
        match iocb.opcode {
            command::PREAD | command::PREADV => aio::start_read(&self.io(), file, &transfer, end),
            _ => aio::start_write(&self.io(), file, &transfer, end),
        }
    }

    /// The I/O priority of a request, for the thread as long as it submits. EINVAL, EPERM.
    fn with_priority(&self, raw: u16) -> Result<Priority> {
        let prio = IoPrio::from_raw(raw.into())?;
        if prio.class() == IoClass::RealTime && !self.cred().capable() {
            return Err(Errno::EPERM);
        }
        let before = ioprio::current_set();
        ioprio::set_current(prio);
        Ok(Priority(before))
    }
}

/// The priority that comes back.
struct Priority(IoPrio);

impl Drop for Priority {
    fn drop(&mut self) {
        ioprio::set_current(self.0);
    }
}

fn begin_sync(file: &Arc<File>, iocb: &Iocb, request: Request) -> Result<()> {
    if iocb.buf != 0 || iocb.offset != 0 || iocb.nbytes != 0 || iocb.rw_flags != 0 {
        return Err(Errno::EINVAL);
    }
    let kind = file.inode().file_type();
    if !matches!(kind, FileType::Regular | FileType::Directory | FileType::BlockDevice) {
        return Err(Errno::EINVAL);
    }
    let (file, datasync) = (file.clone(), iocb.opcode == command::FDSYNC);
    WORK.queue(Box::new(move || {
        let done = fsync::fsync(&file, datasync);
        drop(file);
        request.complete(done.map(|()| 0));
    }));
    Ok(())
}
