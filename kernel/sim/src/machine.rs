//! An image mounted, and the operations of a program on it, through the vfs.
//!
//! ```text
//!   Machine ── vfs ── ext4 ── pagecache, writeback ── block ── Tracer ── FaultDisk ── RamDisk
//! ```
//!
//! Paths are of the image, from its root. Every method asks with root's credentials unless
//! [`Machine::set_cred`] said otherwise.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use base::{DevId, Errno, Result};
use block::{Disk, Driver, Limits, RamDisk};
use pagecache::BlockDevice;
use vfs::attr_ops::TimeUpdate;
use vfs::namei::{self, At, LookupFlags};
use vfs::xattr::{self, XattrFlags};
use vfs::{
    Attr, Cred, DirEntry, File, FileType, Mount, MountFlags, OpenFlags, Path, StatFs, attr_ops, fsync,
    iterate_dir, read_write,
};

use crate::crash::CrashDisk;
use crate::faults::FaultDisk;
use crate::file_disk::FileDisk;
use crate::image::Image;
use crate::tracer::Tracer;

/// A name of a directory, its inode, and its kind where the directory tells it.
pub type Name = (Vec<u8>, u64, Option<FileType>);

/// How to mount.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Read-only.
    pub read_only: bool,
    /// The disk takes no writes.
    pub read_only_disk: bool,
    /// The comma list of mount(2).
    pub options: String,
    /// `ext2`, `ext3`; ext4 when empty.
    pub fs_type: &'static str,
    /// `noop` when empty.
    pub elevator: &'static str,
    /// Of the mount: which reads move atime.
    pub flags: MountFlags,
    /// What the disk can take; it always has a write cache.
    pub limits: Limits,
}

/// The disk at the bottom.
trait Store: Driver {
    /// What it holds.
    fn bytes(&self) -> Vec<u8>;
    /// The same; it holds nothing afterwards.
    fn take_bytes(&self) -> Vec<u8>;
}

impl Store for RamDisk {
    fn bytes(&self) -> Vec<u8> {
        self.bytes()
    }

    fn take_bytes(&self) -> Vec<u8> {
        self.take_bytes()
    }
}

impl Store for CrashDisk {
    fn bytes(&self) -> Vec<u8> {
        self.bytes()
    }

    fn take_bytes(&self) -> Vec<u8> {
        self.take_bytes()
    }
}

/// Too large for memory: who has the disk looks into its file.
impl Store for FileDisk {
    fn bytes(&self) -> Vec<u8> {
        Vec::new()
    }

    fn take_bytes(&self) -> Vec<u8> {
        Vec::new()
    }
}

/// A mounted image.
pub struct Machine {
    store: Arc<dyn Store>,
    faults: Arc<FaultDisk>,
    tracer: Arc<Tracer>,
    mount: Arc<Mount>,
    root: Path,
    cred: Cred,
}

/// Device numbers of the disks that tests make: none is used twice in a run.
static NEXT: AtomicU32 = AtomicU32::new(0);

impl Machine {
    /// Mounts read-write.
    pub fn mount(image: &Image) -> Result<Machine> {
        Machine::mount_with(image, &Options::default())
    }

    /// Mounts as told.
    pub fn mount_with(image: &Image, options: &Options) -> Result<Machine> {
        let limits = Limits { write_cache: true, ..options.limits };
        let ram = RamDisk::with_limits(image.bytes.clone(), limits);
        Machine::on(ram.clone(), ram, options)
    }

    /// Mounts a disk that is recorded; `options.limits` are the disk's own business.
    pub fn mount_recorded(disk: Arc<CrashDisk>, options: &Options) -> Result<Machine> {
        Machine::on(disk.clone(), disk, options)
    }

    /// Mounts a disk that is a file. The images of this machine are empty: the file is the image.
    pub fn mount_file(disk: &Arc<FileDisk>) -> Result<Machine> {
        Machine::on(disk.clone(), disk.clone(), &Options::default())
    }

    fn on(store: Arc<dyn Store>, driver: Arc<dyn Driver>, options: &Options) -> Result<Machine> {
        crate::quiet();
        vfs::current::set_current(Arc::new(Cred::ROOT));
        let faults = FaultDisk::new(driver);
        let tracer = Tracer::new(faults.clone());
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let elevator = if options.elevator.is_empty() { "noop" } else { options.elevator };
        let disk = Disk::new(&format!("sim{number}"), DevId::new(240, number), tracer.clone(), elevator)?;
        disk.set_read_only(options.read_only_disk);
        let read_only = if options.read_only { MountFlags::RDONLY } else { MountFlags::empty() };
        let flags = options.flags | read_only;
        let device = BlockDevice::of(&disk);
        let mut types = ext4::OLDER_TYPES.into_iter();
        let kind = types.find(|t| t.name() == options.fs_type).unwrap_or(ext4::FS_TYPE);
        let sb = kind.mount(Some(device), flags, &options.options)?;
        let mount = Mount::new_root(sb, flags, "/dev/sim");
        let root = mount.root();
        Ok(Machine { store, faults, tracer, mount, root, cred: Cred::ROOT })
    }

    /// Writes everything and gives the image back. EBUSY when a file is open for writing; then the
    /// machine is lost all the same.
    pub fn unmount(self) -> Result<Image> {
        let Machine { store, mount, root, .. } = self;
        drop(root);
        vfs::unmount(&mount)?;
        Ok(Image { bytes: store.take_bytes() })
    }

    /// Ends the mount whatever it says, and gives back what is on the disk.
    pub fn give_up(self) -> Image {
        let Machine { store, mount, root, .. } = self;
        drop(root);
        let _ = vfs::unmount_all(&mount);
        Image { bytes: store.take_bytes() }
    }

    /// What lies on the disk now, written back or not.
    pub fn snapshot(&self) -> Image {
        Image { bytes: self.store.bytes() }
    }

    /// The faults of the disk.
    pub fn faults(&self) -> &FaultDisk {
        &self.faults
    }

    /// The requests that reach the disk.
    pub fn tracer(&self) -> &Tracer {
        &self.tracer
    }

    /// The mount.
    pub fn vfs_mount(&self) -> &Arc<Mount> {
        &self.mount
    }

    /// From now on asks as this one, and so does this thread with whatever it calls itself.
    pub fn set_cred(&mut self, cred: Cred) {
        vfs::current::set_current(Arc::new(cred.clone()));
        self.cred = cred;
    }

    /// Who it asks as.
    pub(crate) fn cred(&self) -> &Cred {
        &self.cred
    }

    fn at(&self) -> At<'_> {
        At { root: &self.root, base: &self.root, cred: &self.cred, umask: 0 }
    }

    /// What a path leads to, not through a link at the end.
    pub fn place(&self, path: impl AsRef<[u8]>) -> Result<Path> {
        namei::lookup(&self.at(), path.as_ref(), LookupFlags::empty())
    }

    /// open(2).
    pub fn open(&self, path: impl AsRef<[u8]>, flags: OpenFlags, mode: u32) -> Result<Arc<File>> {
        namei::open(&self.at(), path.as_ref(), flags, mode)
    }

    /// open(2) with O_CREAT|O_EXCL, and close.
    pub fn create(&self, path: impl AsRef<[u8]>, mode: u32) -> Result<()> {
        self.open(path, OpenFlags::CREAT | OpenFlags::EXCL | OpenFlags::WRONLY, mode).map(drop)
    }

    /// mkdir(2), mode 0755.
    pub fn mkdir(&self, path: impl AsRef<[u8]>) -> Result<()> {
        namei::mkdir(&self.at(), path.as_ref(), 0o755)
    }

    /// mkdir(2).
    pub fn mkdir_mode(&self, path: impl AsRef<[u8]>, mode: u32) -> Result<()> {
        namei::mkdir(&self.at(), path.as_ref(), mode)
    }

    /// mknod(2).
    pub fn mknod(&self, path: impl AsRef<[u8]>, mode: u32, rdev: DevId) -> Result<()> {
        namei::mknod(&self.at(), path.as_ref(), mode, rdev)
    }

    /// symlink(2).
    pub fn symlink(&self, target: impl AsRef<[u8]>, path: impl AsRef<[u8]>) -> Result<()> {
        namei::symlink(&self.at(), target.as_ref(), path.as_ref())
    }

    /// readlink(2).
    pub fn readlink(&self, path: impl AsRef<[u8]>) -> Result<Vec<u8>> {
        namei::readlink(&self.at(), path.as_ref())
    }

    /// link(2).
    pub fn link(&self, old: impl AsRef<[u8]>, new: impl AsRef<[u8]>) -> Result<()> {
        namei::link(&self.at(), old.as_ref(), LookupFlags::empty(), &self.at(), new.as_ref())
    }

    /// linkat(2) of an open file, with AT_EMPTY_PATH.
    pub fn link_file(&self, file: &File, new: impl AsRef<[u8]>) -> Result<()> {
        let old = At { base: file.path(), ..self.at() };
        namei::link(&old, b"", LookupFlags::EMPTY, &self.at(), new.as_ref())
    }

    /// unlink(2).
    pub fn unlink(&self, path: impl AsRef<[u8]>) -> Result<()> {
        namei::unlink(&self.at(), path.as_ref())
    }

    /// rmdir(2).
    pub fn rmdir(&self, path: impl AsRef<[u8]>) -> Result<()> {
        namei::rmdir(&self.at(), path.as_ref())
    }

    /// rename(2).
    pub fn rename(&self, old: impl AsRef<[u8]>, new: impl AsRef<[u8]>) -> Result<()> {
        self.rename_flags(old, new, 0)
    }

    /// renameat2(2).
    pub fn rename_flags(&self, old: impl AsRef<[u8]>, new: impl AsRef<[u8]>, flags: u32) -> Result<()> {
        namei::rename(&self.at(), old.as_ref(), &self.at(), new.as_ref(), flags)
    }

    /// lstat(2).
    pub fn stat(&self, path: impl AsRef<[u8]>) -> Result<Attr> {
        Ok(self.place(path)?.inode()?.attr())
    }

    /// fallocate(2), with FALLOC_FL_* in `mode`.
    pub fn fallocate(&self, path: impl AsRef<[u8]>, mode: u32, offset: u64, len: u64) -> Result<()> {
        self.fallocate_file(&*self.open(path, OpenFlags::RDWR, 0)?, mode, offset, len)
    }

    /// The same of an open file.
    pub fn fallocate_file(&self, file: &File, mode: u32, offset: u64, len: u64) -> Result<()> {
        let signed = |n: u64| i64::try_from(n).map_err(|_| Errno::EINVAL);
        attr_ops::fallocate(file, mode, signed(offset)?, signed(len)?, u64::MAX, &self.cred)
    }

    /// truncate(2).
    pub fn truncate(&self, path: impl AsRef<[u8]>, len: u64) -> Result<()> {
        let len = i64::try_from(len).map_err(|_| Errno::EINVAL)?;
        attr_ops::truncate(&self.place(path)?, len, u64::MAX, &self.cred)
    }

    /// chmod(2).
    pub fn chmod(&self, path: impl AsRef<[u8]>, mode: u32) -> Result<()> {
        attr_ops::chmod(&self.place(path)?, mode, &self.cred)
    }

    /// lchown(2).
    pub fn chown(&self, path: impl AsRef<[u8]>, uid: u32, gid: u32) -> Result<()> {
        attr_ops::chown(&self.place(path)?, Some(uid), Some(gid), &self.cred)
    }

    /// lsetxattr(2); `flags` is its word: XATTR_CREATE 1, XATTR_REPLACE 2.
    pub fn set_xattr(&self, path: impl AsRef<[u8]>, name: &str, value: &[u8], flags: u32) -> Result<()> {
        let place = self.place(path)?;
        let flags = XattrFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
        let write = place.mount.want_write()?;
        xattr::set(&place, name.as_bytes(), value, flags, &self.cred, &write)
    }

    /// lgetxattr(2).
    pub fn get_xattr(&self, path: impl AsRef<[u8]>, name: &str) -> Result<Vec<u8>> {
        xattr::get(self.place(path)?.inode()?, name.as_bytes(), &self.cred)
    }

    /// lremovexattr(2).
    pub fn remove_xattr(&self, path: impl AsRef<[u8]>, name: &str) -> Result<()> {
        let place = self.place(path)?;
        let write = place.mount.want_write()?;
        xattr::remove(&place, name.as_bytes(), &self.cred, &write)
    }

    /// llistxattr(2): the names, sorted.
    pub fn list_xattrs(&self, path: impl AsRef<[u8]>) -> Result<Vec<String>> {
        let names = xattr::list(self.place(path)?.inode()?, &self.cred)?;
        let names = String::from_utf8_lossy(&names).into_owned();
        let mut names: Vec<String> = names.split_terminator('\0').map(String::from).collect();
        names.sort();
        Ok(names)
    }

    /// utimensat(2) with AT_SYMLINK_NOFOLLOW.
    pub fn utimens(&self, path: impl AsRef<[u8]>, atime: TimeUpdate, mtime: TimeUpdate) -> Result<()> {
        attr_ops::utimens(&self.place(path)?, Some([atime, mtime]), &self.cred)
    }

    /// All of a file.
    pub fn read_file(&self, path: impl AsRef<[u8]>) -> Result<Vec<u8>> {
        let file = self.open(path, OpenFlags::empty(), 0)?;
        read_all(&file)
    }

    /// open(2) with O_CREAT|O_TRUNC, write, close.
    pub fn write_file(&self, path: impl AsRef<[u8]>, bytes: &[u8]) -> Result<()> {
        let file = self.open(path, OpenFlags::CREAT | OpenFlags::TRUNC | OpenFlags::WRONLY, 0o644)?;
        write_all(&file, bytes, 0)
    }

    /// open(2), pwrite(2) of all the bytes, close.
    pub fn pwrite(&self, path: impl AsRef<[u8]>, pos: u64, bytes: &[u8]) -> Result<()> {
        let file = self.open(path, OpenFlags::WRONLY, 0)?;
        write_all(&file, bytes, pos)
    }

    /// open(2) with O_APPEND, write(2), close.
    pub fn append(&self, path: impl AsRef<[u8]>, bytes: &[u8]) -> Result<()> {
        let file = self.open(path, OpenFlags::WRONLY | OpenFlags::APPEND, 0)?;
        write_all(&file, bytes, 0)
    }

    /// open(2), fsync(2), close.
    pub fn fsync(&self, path: impl AsRef<[u8]>) -> Result<()> {
        fsync::fsync(&*self.open(path, OpenFlags::empty(), 0)?, false)
    }

    /// syncfs(2).
    pub fn sync(&self) -> Result<()> {
        fsync::sync_filesystem(&self.mount)
    }

    /// statfs(2).
    pub fn statfs(&self) -> Result<StatFs> {
        self.mount.superblock().statfs()
    }

    /// All names of a directory with inode and kind, in the order getdents tells them.
    pub fn read_dir(&self, path: impl AsRef<[u8]>) -> Result<Vec<Name>> {
        self.read_dir_by(path, usize::MAX)
    }

    /// The same with a buffer for so many names.
    pub fn read_dir_by(&self, path: impl AsRef<[u8]>, at_once: usize) -> Result<Vec<Name>> {
        read_names(&*self.open(path, OpenFlags::DIRECTORY, 0)?, at_once)
    }
}

/// The names of an open directory from where it stands, so many at once.
pub(crate) fn read_names(file: &File, at_once: usize) -> Result<Vec<Name>> {
    let mut names = Vec::new();
    loop {
        let (before, mut left) = (names.len(), at_once);
        let mut take = |entry: &DirEntry<'_>| {
            if left == 0 {
                return false;
            }
            left -= 1;
            names.push((entry.name.to_vec(), entry.ino.0, entry.kind));
            true
        };
        iterate_dir(file, &mut take)?;
        if names.len() == before {
            return Ok(names);
        }
    }
}
/// All bytes of an open file.
pub fn read_all(file: &File) -> Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(file.inode().size()).map_err(|_| Errno::EFBIG)?];
    let mut done = 0;
    while done < bytes.len() {
        match read_write::kernel_read(file, &mut bytes[done..], done as u64)? {
            0 => break,
            n => done += n,
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}

/// Writes bytes at a place of an open file as far as that goes: how many, and why no more.
pub(crate) fn write_some(file: &File, bytes: &[u8], pos: u64) -> (usize, Result<()>) {
    let mut done = 0;
    while done < bytes.len() {
        match read_write::kernel_write(file, &bytes[done..], pos + done as u64) {
            Ok(0) => return (done, Err(Errno::EIO)),
            Ok(n) => done += n,
            Err(errno) => return (done, Err(errno)),
        }
    }
    (done, Ok(()))
}

/// Writes all bytes at a place of an open file (with O_APPEND, at its end).
pub fn write_all(file: &File, bytes: &[u8], pos: u64) -> Result<()> {
    write_some(file, bytes, pos).1
}
