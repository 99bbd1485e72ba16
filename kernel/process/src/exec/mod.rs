//! Starting a program: from a file to an address space, a first stack and registers.
//!
//! * `image`: the headers, checked. `load`: segments into areas. `stack`: arguments and auxiliary vector.
//! * `sigpage`: where signal handlers return to. `error`: why not.
//!
//! ```text
//! let start = Start { machine, memory_pages, root, argv: &argv, envp: &envp, cred: Cred::ROOT };
//! let (process, regs) = start.program(&file, b"/bin/prog")?;
//! let mut cpu = machine.new_user_cpu(regs);
//! ```

mod error;
mod image;
mod load;
mod sigpage;
mod stack;

use alloc::sync::Arc;
use alloc::vec::Vec;

use base::arch::{Machine, UserRegs};
use base::{Errno, Result, UserAddr, UserMemory};
use vfs::{Cred, File, FileType, Path, Running, Want, namei, read_write};

pub use error::ExecError;
pub use image::{Image, Segment};
pub use stack::{FirstStack, StartInfo};

use crate::limits::{Limits, Resource};
use crate::mm::layout::{STACK_TOP, Span, page_down};
use crate::mm::vma::{Backing, VmFlags, Vma};
use crate::mm::{MapFile, Mm};
use crate::process::{Parts, Process};

/// Room for the stack that is there from the start, below the first stack's bytes.
const STACK_ROOM: u64 = 128 << 10;

/// A file as the loader reads it.
pub trait ProgramFile {
    /// Reads from `pos` on; 0 at the end.
    fn read_at(&self, buf: &mut [u8], pos: u64) -> Result<usize>;
    /// Its length in bytes.
    fn size(&self) -> u64;
    /// Its pages.
    fn pages(&self) -> Result<MapFile>;
}

impl ProgramFile for Arc<File> {
    fn read_at(&self, buf: &mut [u8], pos: u64) -> Result<usize> {
        read_write::kernel_read(self, buf, pos)
    }

    fn size(&self) -> u64 {
        self.inode().size()
    }

    fn pages(&self) -> Result<MapFile> {
        MapFile::open(self)
    }
}

/// The surroundings of a program to be started.
pub struct Start<'a> {
    /// What it runs on.
    pub machine: &'static dyn Machine,
    /// The machine's memory, in pages.
    pub memory_pages: u64,
    /// Its root and working directory.
    pub root: Path,
    /// Its arguments, the first its name.
    pub argv: &'a [Vec<u8>],
    /// Its environment.
    pub envp: &'a [Vec<u8>],
    /// Who it runs as.
    pub cred: Cred,
}

impl Start<'_> {
    /// Starts the program in `file`, opened for reading by the path `name`: its process, and its first
    /// registers. Its address space is the active one afterwards.
    pub fn program(
        self,
        file: &Arc<File>,
        name: &[u8],
    ) -> core::result::Result<(Arc<Process>, UserRegs), ExecError> {
        let inode = file.inode();
        if inode.file_type() != FileType::Regular {
            return Err(ExecError::NotRegular);
        }
        namei::permission(&**inode, Want::EXEC, &self.cred).map_err(|_| ExecError::NotExecutable)?;
        let busy = |e| ExecError::Failed("somebody writes to it", e);
        let running = Running::begin(inode).map_err(busy)?;
        self.load(file, file.path().clone(), Some(running), name)
    }

    /// The same for what may be executed, from anything that can be read and mapped.
    fn load(
        self,
        file: &dyn ProgramFile,
        exe: Path,
        running: Option<Running>,
        name: &[u8],
    ) -> core::result::Result<(Arc<Process>, UserRegs), ExecError> {
        let limits = Arc::new(Limits::new(self.memory_pages));
        let surroundings = Surroundings {
            machine: self.machine,
            memory_pages: self.memory_pages,
            argv: self.argv,
            envp: self.envp,
            cred: &self.cred,
        };
        let (mm, loaded) = surroundings.address_space(file, name, &limits)?;
        let parts = Parts {
            mm,
            limits,
            exe,
            running,
            comm: name.rsplit(|&b| b == b'/').next().unwrap_or(name).to_vec(),
            root: self.root,
            cred: self.cred,
            restorer: loaded.restorer,
        };
        Ok((Arc::new(Process::new(parts)), UserRegs::start(loaded.entry, loaded.sp)))
    }
}

/// What the address space depends on.
struct Surroundings<'a> {
    machine: &'static dyn Machine,
    memory_pages: u64,
    argv: &'a [Vec<u8>],
    envp: &'a [Vec<u8>],
    cred: &'a Cred,
}

impl Surroundings<'_> {
    fn address_space(
        &self,
        file: &dyn ProgramFile,
        name: &[u8],
        limits: &Arc<Limits>,
    ) -> core::result::Result<(Mm, Loaded), ExecError> {
        let image = Image::read(file)?;
        let pages = file.pages().map_err(|e| ExecError::Failed("it cannot be mapped", e))?;
        if pages.noexec {
            return Err(ExecError::NotExecutable);
        }
        let mut random = [0; 16];
        self.machine.entropy(&mut random);
        let first = stack::build(&StartInfo {
            argv: self.argv,
            envp: self.envp,
            execfn: name,
            image: &image,
            cred: self.cred,
            random,
            hwcap: self.machine.hwcap(),
            hwcap2: self.machine.hwcap2(),
            stack_limit: limits.soft(Resource::Stack),
        })?;
        let no_memory = |e| ExecError::Failed("its memory cannot be set up", e);
        let mm = Mm::new(self.machine, limits.clone(), self.memory_pages).map_err(no_memory)?;
        mm.activate();
        load::map(&mm, &image, &pages).map_err(no_memory)?;
        place_stack(&mm, &image, &first).map_err(no_memory)?;
        let restorer = sigpage::map(&mm).map_err(no_memory)?;
        let layout = load::layout(&image, first.sp).ok_or(ExecError::Corrupt("it ends past all memory"))?;
        mm.set_image(layout, first.strings);
        Ok((mm, Loaded { entry: image.entry, sp: first.sp, restorer: restorer.0 }))
    }
}

/// Where a loaded program begins.
struct Loaded {
    entry: u64,
    sp: u64,
    restorer: u64,
}

fn place_stack(mm: &Mm, image: &Image, first: &FirstStack) -> Result<()> {
    let mut flags = VmFlags::READ | VmFlags::WRITE | VmFlags::MAY_WRITE | VmFlags::GROWSDOWN;
    flags.set(VmFlags::EXEC, image.stack_exec);
    let span = Span { start: page_down(first.sp) - STACK_ROOM, end: STACK_TOP };
    mm.place(Vma { span, flags, backing: Backing::Anonymous })?;
    if mm.write(UserAddr(first.sp), &first.bytes) < first.bytes.len() { Err(Errno::ENOMEM) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
