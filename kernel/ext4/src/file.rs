//! Regular files, opened: `ext4_file_read_iter`, `ext4_file_write_iter`, seeks, fsync.
//!
//! # Locking
//! Writes take `rwsem` alone, from the checks (O_APPEND's position among them) to the last byte;
//! reads take no lock of the inode, as in Linux: a page's own lock orders a reader with a writer of
//! the same page. fsync takes none. What goes around the cache is in [`crate::direct`].

use alloc::sync::Arc;
use core::ops::Range;

use base::{Errno, IovIter, Result};
use pagecache::{AddressSpace, filemap_splice_read, generic_file_read, generic_perform_write};
use vfs::{
    Caller, FMode, File, FileOperations, IoEnd, Kiocb, KiocbFlags, Mmap, MountFlags, Pages, S_IALLUGO,
    SpliceSink, Whence,
};

use crate::balloc::window;
use crate::disk::inode::InodeFlags;
use crate::inode::{Ext4Inode, Node, Touch};
use crate::journal::credits;
use crate::options::Flag;
use crate::{seek, trace};

/// A regular file, opened.
pub(crate) struct RegularFile {
    inode: Arc<Ext4Inode>,
}

impl RegularFile {
    /// Of an inode that is a regular file.
    pub fn new(inode: Arc<Ext4Inode>) -> Arc<RegularFile> {
        Arc::new(RegularFile { inode })
    }

    /// The inode's memory.
    pub(crate) fn node(&self) -> &Node {
        &self.inode
    }

    /// Through the page cache.
    #[inline]
    pub(crate) fn read_cached(&self, file: &File, iocb: &mut Kiocb, to: &mut IovIter<'_>) -> Result<usize> {
        let node = self.node();
        if iocb.flags.contains(KiocbFlags::NOWAIT) {
            pagecache::truncate_to_cached(node.mapping(), node, iocb.pos, to)?;
        }
        let done = generic_file_read(node.mapping(), node, file.ra(), iocb.pos, to)?;
        iocb.pos += done as u64;
        if !iocb.flags.contains(KiocbFlags::NOATIME) {
            node.accessed(file.path().mount.flags());
        }
        Ok(done)
    }

    /// Through the page cache. EOPNOTSUPP with RWF_NOWAIT, as in Linux.
    #[cold]
    pub(crate) fn write_cached(
        &self,
        file: &File,
        iocb: &mut Kiocb,
        from: &mut IovIter<'_>,
    ) -> Result<usize> {
        if iocb.flags.contains(KiocbFlags::NOWAIT) {
            return Err(Errno::EOPNOTSUPP);
        }
        // There is one place for the hot way, so that all of it is inlined there.
        iocb.flags -= KiocbFlags::DIRECT;
        self.write_iter(file, iocb, from)
    }

    /// A write with flags that few have: kept out of the way of those that have none.
    #[cold]
    fn write_rarely(&self, file: &File, iocb: &mut Kiocb, from: &mut IovIter<'_>) -> Result<usize> {
        if goes_around(iocb.flags, from) {
            return self.write_direct(file, iocb, from);
        }
        if iocb.flags.contains(KiocbFlags::DIRECT) && iocb.pos < iocb.fsize_limit.min(file.max_bytes()) {
            self.inode.check_direct_write(iocb.pos, from.count())?;
        }
        self.write_cached(file, iocb, from)
    }

    /// Whether all writes are durable, by `chattr +S` or the mount.
    #[inline(always)]
    fn always_syncs(&self, flags: InodeFlags) -> bool {
        flags.contains(InodeFlags::SYNC) || self.inode.fs().flags_on().contains(Flag::SYNC)
    }

    /// What a write has to bring to the medium before it returns.
    #[cold]
    pub(crate) fn write_sync(&self, iocb: &Kiocb) -> WriteSync {
        let always = self.always_syncs(self.inode.flags());
        match iocb.flags.intersects(KiocbFlags::DSYNC.union(KiocbFlags::SYNC)) || always {
            false => WriteSync::None,
            true if iocb.flags.contains(KiocbFlags::SYNC) => WriteSync::All,
            true => WriteSync::Data,
        }
    }
}

/// What is on the medium when a write returns.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteSync {
    /// Nothing need be.
    None,
    /// The bytes, and what is needed to read them.
    Data,
    /// All of the inode besides.
    All,
}

impl WriteSync {
    /// Brings it there (`generic_write_sync`). The bytes are not empty.
    #[cold]
    pub fn run(self, file: &File, bytes: Range<u64>) -> Result<()> {
        match self {
            WriteSync::None => Ok(()),
            _ => vfs::fsync::fsync_range(file, bytes.start, bytes.end - 1, self == WriteSync::Data),
        }
    }
}

/// Whether a call goes around the cache. The kernel's own memory (sendfile) does not, though it is refused where the
/// program's would be ([`Node::check_direct_read`]).
#[inline]
fn goes_around(flags: KiocbFlags, iter: &IovIter<'_>) -> bool {
    flags.contains(KiocbFlags::DIRECT) && iter.is_user()
}

impl FileOperations for RegularFile {
    fn can_read(&self) -> bool {
        true
    }

    fn can_write(&self) -> bool {
        true
    }

    fn direct(&self) -> bool {
        true
    }

    fn nowait(&self) -> bool {
        true
    }

    fn read_iter(&self, file: &File, iocb: &mut Kiocb, to: &mut IovIter<'_>) -> Result<usize> {
        if to.count() == 0 {
            return Ok(0);
        }
        self.inode.fs().check_running()?;
        if goes_around(iocb.flags, to) {
            return self.read_direct(file, iocb, to);
        }
        if iocb.flags.contains(KiocbFlags::DIRECT) {
            self.inode.check_direct_read(iocb.pos, to.count())?;
        }
        self.read_cached(file, iocb, to)
    }

    fn splice_read(
        &self,
        file: &File,
        iocb: &mut Kiocb,
        len: usize,
        sink: &mut SpliceSink<'_>,
    ) -> Result<usize> {
        if iocb.flags.contains(KiocbFlags::DIRECT) {
            // As a whole: a part of it that is aligned is not read first.
            self.inode.check_direct_read(iocb.pos, len)?;
            return vfs::pipe::copy_splice_read(self, file, iocb, len, sink);
        }
        let node: &Node = &self.inode;
        node.fs().check_running()?;
        let done = filemap_splice_read(node.mapping(), node, file.ra(), iocb.pos, len, sink)?;
        iocb.pos += done as u64;
        if !iocb.flags.contains(KiocbFlags::NOATIME) {
            node.accessed(file.path().mount.flags());
        }
        Ok(done)
    }

    fn write_iter(&self, file: &File, iocb: &mut Kiocb, from: &mut IovIter<'_>) -> Result<usize> {
        if iocb.flags.intersects(KiocbFlags::DIRECT.union(KiocbFlags::NOWAIT)) {
            return self.write_rarely(file, iocb, from);
        }
        let node = self.node();
        let start;
        let flags;
        let done = {
            let _alone = node.rwsem().write();
            flags = node.flags();
            let size = node.write_checks(flags, iocb, from)?;
            if from.count() == 0 {
                return Ok(0);
            }
            start = iocb.pos;
            node.write_locked(flags, size, iocb, from)?
        };
        iocb.pos = start + done as u64;
        let synchronous = iocb.flags.intersects(KiocbFlags::DSYNC.union(KiocbFlags::SYNC));
        if done > 0 && (synchronous || self.always_syncs(flags)) {
            self.write_sync(iocb).run(file, start..iocb.pos)?;
        }
        Ok(done)
    }

    fn start_read(&self, file: &Arc<File>, iocb: &mut Kiocb, to: &mut IovIter<'_>, end: IoEnd) {
        if to.count() == 0 || !goes_around(iocb.flags, to) {
            return end(self.read_iter(file, iocb, to));
        }
        match self.inode.fs().check_running() {
            Ok(()) => self.start_read_direct(file, iocb, to, end),
            Err(error) => end(Err(error)),
        }
    }

    fn start_write(&self, file: &Arc<File>, iocb: &mut Kiocb, from: &mut IovIter<'_>, end: IoEnd) {
        if goes_around(iocb.flags, from) {
            self.start_write_direct(file, iocb, from, end);
        } else {
            end(self.write_cached(file, iocb, from));
        }
    }

    fn llseek(&self, file: &File, pos: u64, offset: i64, whence: Whence) -> Result<u64> {
        match whence {
            Whence::Data => seek::data(&self.inode, offset),
            Whence::Hole => seek::hole(&self.inode, offset),
            _ => vfs::lseek::generic_file(file, pos, offset, whence),
        }
    }

    fn ioctl(&self, file: &File, cmd: u32, arg: u64, caller: &Caller<'_>) -> Result<u64> {
        crate::ioctl::ioctl(&self.inode, file, cmd, arg, caller)
    }

    fn fsync(&self, file: &File, start: u64, end: u64, datasync: bool) -> Result<()> {
        trace::sync_file_enter(&self.inode, file, datasync);
        let done = self.inode.fsync(start, end, datasync);
        trace::sync_file_exit(&self.inode, &done);
        done
    }

    fn check_fallocate(&self, mode: u32) -> Result<()> {
        self.inode.check_fallocate(mode)
    }

    fn fallocate(&self, file: &File, mode: u32, offset: u64, len: u64) -> Result<()> {
        self.inode.fallocate(mode, offset, len)?;
        let asked = file.kiocb_flags();
        if asked.intersects(KiocbFlags::DSYNC.union(KiocbFlags::SYNC)) || self.inode.needs_sync() {
            let datasync = !asked.contains(KiocbFlags::SYNC);
            vfs::fsync::fsync_range(file, offset, offset.saturating_add(len - 1), datasync)?;
        }
        Ok(())
    }

    fn release(&self, _file: &File) {
        if self.inode.delayed.is_written_at_close() {
            // It was cut to nothing and written anew. What fails is told by fsync.
            let _ = self.inode.alloc_delayed();
        }
        window::discard(&self.inode);
    }

    fn mapping(&self) -> Option<&Arc<AddressSpace>> {
        Some(self.inode.mapping())
    }

    fn pages(&self) -> Option<Pages<'_>> {
        Some(Pages { mapping: self.inode.mapping(), ops: &**self.inode })
    }

    fn mmap(&self, file: &File) -> Result<Mmap> {
        self.inode.fs().check_running()?;
        self.inode.accessed_by(file);
        let ops = self.inode.arc().ok_or(Errno::EIO)?;
        if self.inode.is_inline() && file.mode().contains(FMode::WRITE) && !self.inode.fs().read_only() {
            // A page that a program writes needs a block to be written to.
            let _alone = self.inode.rwsem().write();
            self.inode.convert_inline()?;
        }
        Ok(Mmap::Pages { mapping: self.inode.mapping().clone(), ops })
    }
}

impl Node {
    /// What a write must pass before its first byte: O_APPEND's position and the limits on size. Cuts
    /// `from` to what may be written. The answer: i_size.
    #[inline(always)]
    pub(crate) fn write_checks(
        &self,
        flags: InodeFlags,
        iocb: &mut Kiocb,
        from: &mut IovIter<'_>,
    ) -> Result<u64> {
        self.fs().check_running()?;
        self.fs().check_writable()?;
        if flags.contains(InodeFlags::IMMUTABLE) {
            return Err(Errno::EPERM);
        }
        let size = self.size();
        let count = vfs::generic_write_checks(iocb, from.count(), size, self.max_bytes_by(flags))?;
        from.truncate(count);
        Ok(size)
    }

    /// The write itself to a file of `old` bytes, `rwsem` held alone: privileges, times, bytes, and the inode to its table,
    /// however it ends.
    #[inline]
    fn write_locked(
        &self,
        flags: InodeFlags,
        old: u64,
        iocb: &Kiocb,
        from: &mut IovIter<'_>,
    ) -> Result<usize> {
        if iocb.pos > old {
            // The gap reads as zeros, whatever stores to a mapped page have left behind the end.
            self.zero_behind(old)?;
        }
        let done = self.write_bytes(flags, old, iocb, from);
        self.grown_from(old);
        self.store_if_stale();
        done
    }

    /// Privileges and times, before the content changes (`file_modified`).
    #[inline(always)]
    pub(crate) fn file_modified(&self, iocb: &Kiocb) -> Result<()> {
        if iocb.flags.contains(KiocbFlags::KILL_PRIV) {
            self.remove_privileges();
        }
        self.drop_capability()?;
        if self.touch_lazily(Touch::Modified) {
            self.set_stale();
        }
        Ok(())
    }

    /// Whether a write has no privileges to take away, as far as is known without a look at the attributes
    /// (IS_NOSEC).
    pub(crate) fn is_nosec(&self, iocb: &Kiocb) -> bool {
        let kills = iocb.flags.contains(KiocbFlags::KILL_PRIV);
        self.no_capability() && !(kills && self.mode_after_write().is_some())
    }

    #[inline]
    fn write_bytes(
        &self,
        flags: InodeFlags,
        old: u64,
        iocb: &Kiocb,
        from: &mut IovIter<'_>,
    ) -> Result<usize> {
        self.file_modified(iocb)?;
        // What has a size and no such flag lies in blocks.
        if (old == 0 || flags.contains(InodeFlags::INLINE_DATA))
            && let Some(done) = self.write_inline(iocb.pos, from)?
        {
            return Ok(done);
        }
        let wanted = from.count();
        let done = generic_perform_write(self.mapping(), self, iocb.pos, from);
        if done.as_ref().map_or(0, |&n| n) < wanted {
            self.end_short_write(iocb.pos.saturating_add(wanted as u64))?;
        }
        done
    }

    /// A write that was to reach to `end` has ended before: blocks that were taken for bytes that never came go
    /// back. The inode is on the orphan list because of them.
    #[cold]
    fn end_short_write(&self, end: u64) -> Result<()> {
        if end > self.size() {
            self.trim()?;
            let _handle = self.fs().start(credits::orphan())?;
            self.end_orphan()?;
        }
        Ok(())
    }

    fn mode_after_write(&self) -> Option<u32> {
        vfs::attr_ops::mode_after_write(&self.ownership(), &vfs::current::current())
    }

    /// A write by somebody without CAP_FSETID takes suid and sgid away (`file_remove_privs`).
    #[cold]
    fn remove_privileges(&self) {
        if let Some(mode) = self.mode_after_write() {
            // 12 bits: they fit 16.
            self.with_meta(|m| m.mode = (m.mode & !(S_IALLUGO as u16)) | (mode & S_IALLUGO) as u16);
            self.set_stale();
        }
    }

    /// The same through an open file, which may be open with O_NOATIME (`file_accessed`).
    pub(crate) fn accessed_by(&self, file: &File) {
        if !file.kiocb_flags().contains(KiocbFlags::NOATIME) {
            self.accessed(file.path().mount.flags());
        }
    }

    /// The content was read: atime, unless the mount or the inode says noatime; under relatime only when
    /// it is older than the last change or than a day (`touch_atime`).
    pub(crate) fn accessed(&self, mount: MountFlags) {
        const DAY: i64 = 24 * 60 * 60;
        if mount.intersects(MountFlags::NOATIME.union(MountFlags::RDONLY)) || self.fs().read_only() {
            return;
        }
        let now = base::time::coarse_now();
        let strict = !mount.contains(MountFlags::RELATIME);
        let due = self.with_meta(|m| {
            let old = m.atime <= m.mtime || m.atime <= m.ctime || now.sec - m.atime.sec >= DAY;
            !m.flags.contains(InodeFlags::NOATIME) && (strict || old)
        });
        if due && self.touch_lazily(Touch::Read) {
            self.set_stale();
            self.store_if_stale();
        }
    }
}
