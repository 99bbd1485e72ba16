//! Programs made here, loaded on a machine in memory.

use super::*;
use crate::limits::Limits;
use crate::mm::MapFile;
use crate::mm::fake::FakeMachine;
use crate::mm::vma::{PageSource, SourcePage};
use base::arch::Access;
use base::{PAGE_SIZE, PageIndex, frame};
use core::fmt;
use elf::abi;
use elf::segment::ProgramHeader;
use pagecache::Pattern;
use std::string::String;
use std::vec;
use vfs::namei::At;
use vfs::ramfs::RamFs;
use vfs::{Mount, MountFlags, OpenFlags};

/// An ELF file to be made: text with the headers, data with a bss, and PT_GNU_STACK.
pub struct Elf {
    pub kind: u16,
    pub machine: u16,
    pub entry: u64,
    pub phoff: Option<u64>,
    pub phentsize: u16,
    pub headers: Vec<ProgramHeader>,
    pub interp: Option<&'static [u8]>,
}

pub fn load_header(p_offset: u64, p_vaddr: u64, p_filesz: u64, p_memsz: u64, p_flags: u32) -> ProgramHeader {
    let p_type = abi::PT_LOAD;
    ProgramHeader {
        p_type,
        p_offset,
        p_vaddr,
        p_paddr: p_vaddr,
        p_filesz,
        p_memsz,
        p_flags,
        p_align: 0x1_0000,
    }
}

const FILE_LEN: usize = 0x3000;

impl Elf {
    pub fn new(kind: u16) -> Elf {
        let mut elf = Elf {
            kind,
            machine: abi::EM_AARCH64,
            entry: 0,
            phoff: None,
            phentsize: 56,
            headers: vec![
                load_header(0, 0, 0x1800, 0x1800, abi::PF_R | abi::PF_X),
                load_header(0x2800, 0, 0x100, 0x2800, abi::PF_R | abi::PF_W),
                ProgramHeader { p_type: abi::PT_GNU_STACK, ..load_header(0, 0, 0, 0, abi::PF_R | abi::PF_W) },
            ],
            interp: None,
        };
        elf.set_addresses(0x40_0000);
        elf
    }

    pub fn set_addresses(&mut self, first: u64) {
        self.headers[0].p_vaddr = first;
        self.headers[1].p_vaddr = first + 0x1_2800;
        self.entry = first + 0x100;
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut headers = self.headers.clone();
        if let Some(interp) = self.interp {
            let at =
                ProgramHeader { p_type: abi::PT_INTERP, ..load_header(0x1000, 0, interp.len() as u64, 0, 4) };
            headers.push(at);
        }
        let mut out = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        out.extend(self.kind.to_le_bytes());
        out.extend(self.machine.to_le_bytes());
        out.extend(1u32.to_le_bytes());
        out.extend(self.entry.to_le_bytes());
        out.extend(self.phoff.unwrap_or(64).to_le_bytes());
        out.extend([0; 12]);
        for half in [64, self.phentsize, headers.len() as u16, 0, 0, 0] {
            out.extend(half.to_le_bytes());
        }
        for h in &headers {
            out.extend(h.p_type.to_le_bytes());
            out.extend(h.p_flags.to_le_bytes());
            for word in [h.p_offset, h.p_vaddr, h.p_paddr, h.p_filesz, h.p_memsz, h.p_align] {
                out.extend(word.to_le_bytes());
            }
        }
        // A file byte tells its place, so that a wrong offset shows.
        for at in out.len()..FILE_LEN.max(out.len()) {
            out.push(at as u8 | 1);
        }
        if let Some(interp) = self.interp {
            out[0x1000..0x1000 + interp.len()].copy_from_slice(interp);
            out[0x1000 + interp.len()] = 0;
        }
        out
    }

    pub fn file(&self) -> Bytes {
        Elf::raw(&self.bytes())
    }

    pub fn raw(bytes: &[u8]) -> Bytes {
        Bytes(bytes.into())
    }
}

/// A file in memory.
#[derive(Clone)]
pub struct Bytes(Arc<[u8]>);

impl ProgramFile for Bytes {
    fn read_at(&self, buf: &mut [u8], pos: u64) -> Result<usize> {
        let from = (pos as usize).min(self.0.len());
        // Short reads must not matter.
        let n = buf.len().min(self.0.len() - from).min(100);
        buf[..n].copy_from_slice(&self.0[from..from + n]);
        Ok(n)
    }

    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn pages(&self) -> Result<MapFile> {
        let source: Arc<dyn PageSource> = Arc::new(self.clone());
        Ok(MapFile {
            source: Ok(Some(source)),
            max_bytes: u64::MAX,
            readable: true,
            writable: false,
            append_only: false,
            noexec: false,
        })
    }
}

impl PageSource for Bytes {
    fn page(&self, index: PageIndex, _pattern: Pattern) -> Result<SourcePage> {
        let from = index.byte() as usize;
        let rest = self.0.get(from..).filter(|r| !r.is_empty()).ok_or(Errno::EINVAL)?;
        let page = frame::alloc_zeroed()?;
        page.write(0, &rest[..rest.len().min(PAGE_SIZE)]);
        Ok(SourcePage::held(page, None))
    }

    fn describe(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("/prog")
    }
}

/// A root directory, for what is not looked at here.
fn load(file: &dyn ProgramFile) -> core::result::Result<(&'static FakeMachine, Mm, Loaded), ExecError> {
    let machine = FakeMachine::leak();
    let limits = Arc::new(Limits::new(1 << 20));
    let surroundings = Surroundings {
        machine,
        memory_pages: 1 << 20,
        argv: &[b"prog".to_vec(), b"arg".to_vec()],
        envp: &[],
        cred: &Cred::ROOT,
    };
    let (mm, loaded) = surroundings.address_space(file, b"/bin/prog", &limits)?;
    Ok((machine, mm, loaded))
}

fn get(mm: &Mm, at: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    let n = mm.read(UserAddr(at), &mut out);
    out.truncate(n);
    out
}

#[test]
fn segments_hold_the_file_and_zeros() {
    let elf = Elf::new(abi::ET_EXEC);
    let (_, mm, loaded) = load(&elf.file()).unwrap();
    let bytes = elf.bytes();
    assert_eq!(loaded.entry, 0x40_0100);
    assert_eq!(get(&mm, 0x40_0000, 0x1800), bytes[..0x1800]);
    assert_eq!(get(&mm, 0x41_2800, 0x100), bytes[0x2800..0x2900]);
    assert!(get(&mm, 0x41_2900, 0x2700).iter().all(|&b| b == 0));
    assert_eq!(get(&mm, 0x41_2900, 0x1_0000).len(), 0x2700);
    // The heap follows the bss.
    assert_eq!(mm.brk(UserAddr(0)).0, 0x41_5000);
    assert!(mm.fault(UserAddr(0x40_0000), Access::Write).is_err());
    assert!(mm.fault(UserAddr(0x41_3000), Access::Execute).is_err());
    assert!(mm.fault(UserAddr(0x40_0000), Access::Execute).is_ok());
    assert_eq!(get(&mm, loaded.restorer, 8), [0x68, 0x11, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4]);
}

#[test]
fn only_what_is_touched_is_loaded() {
    let (machine, mm, loaded) = load(&Elf::new(abi::ET_EXEC).file()).unwrap();
    // The page where data passes to bss, and the stack's.
    assert_eq!(machine.pages().len(), 2);
    assert_eq!(loaded.sp % 16, 0);
    assert_eq!(get(&mm, loaded.sp, 8), 2u64.to_le_bytes());
    assert_eq!(mm.write(UserAddr(loaded.sp - (1 << 20)), &[1]), 1);
    let mut maps = String::new();
    mm.write_maps(&mut maps).unwrap();
    let names: Vec<_> = maps.lines().filter_map(|l| l.split_whitespace().nth(5)).collect();
    assert_eq!(names, ["/prog", "/prog", "[sigpage]", "[stack]"]);
}

#[test]
fn a_bss_alone_and_a_full_page() {
    let mut elf = Elf::new(abi::ET_EXEC);
    elf.headers[1].p_filesz = 0;
    elf.headers[1].p_offset = 7;
    let (_, mm, _) = load(&elf.file()).unwrap();
    assert_eq!(get(&mm, 0x41_2000, 0x4000), vec![0; 0x3000]);
    let mut elf = Elf::new(abi::ET_EXEC);
    elf.headers[1].p_filesz = 0x800;
    let (_, mm, _) = load(&elf.file()).unwrap();
    assert_eq!(get(&mm, 0x41_2800, 0x800), elf.bytes()[0x2800..]);
    assert_eq!(get(&mm, 0x41_3000, 0x1000), vec![0; 0x1000]);
}

#[test]
fn the_program_cannot_reach_into_its_file() {
    let file = Elf::new(abi::ET_EXEC).file();
    let (_, mm, _) = load(&file).unwrap();
    assert_eq!(mm.write(UserAddr(0x41_2800), b"changed"), 7);
    assert_ne!(&file.0[0x2800..0x2807], b"changed");
}

#[test]
fn what_cannot_be_loaded_leaves_a_reason() {
    assert!(matches!(load(&Elf::raw(b"hello")), Err(ExecError::NotElf)));
    let mut elf = Elf::new(abi::ET_EXEC);
    // In the way of the stack.
    elf.headers[1].p_vaddr = STACK_TOP - 0x1_0000 + 0x800;
    elf.headers[1].p_memsz = 0x1000;
    assert!(matches!(load(&elf.file()), Err(ExecError::Failed(_, Errno::ENOMEM))));
}

/// A tree with one directory, and what is started there.
fn start<'a>(argv: &'a [Vec<u8>], envp: &'a [Vec<u8>], cred: Cred) -> Start<'a> {
    let root = Mount::new_root(RamFs::new(), MountFlags::empty(), "none").root();
    Start { machine: FakeMachine::leak(), memory_pages: 1 << 20, root, argv, envp, cred }
}

#[test]
fn a_process_begins() {
    let argv = [b"prog".to_vec(), b"-x".to_vec()];
    let envp = [b"HOME=/".to_vec()];
    let start = start(&argv, &envp, Cred::ROOT);
    let exe = start.root.clone();
    let (process, regs) =
        start.load(&Elf::new(abi::ET_EXEC).file(), exe, None, b"/usr/bin/a-rather-long-name").unwrap();
    assert_eq!(regs.pc, 0x40_0100);
    assert_eq!(process.comm(), b"a-rather-long-n");
    assert_eq!(process.cmdline(), b"prog\0-x\0");
    assert_eq!(process.environ(), b"HOME=/\0");
    assert_eq!(process.auxv().len(), 20 * 16);
    assert_eq!((process.pid(), process.files_limit(), process.fs().umask()), (1, 1024, 0o022));
    assert!(process.fs().cwd().same(&process.fs().root()));
    assert_eq!(process.set_rlimit(7, (100, 200)), Ok(()));
    assert_eq!(process.rlimits().get(7), Ok((100, 200)));
    process.set_cred(Cred::user(5, 5));
    assert_eq!(process.set_rlimit(7, (100, 300)), Err(Errno::EPERM));
    assert_eq!(process.rlimits().get(99), Err(Errno::EINVAL));
    assert!(!process.io().capable);
}

#[test]
fn only_executable_files_are_started() {
    let argv = [b"prog".to_vec()];
    let (open, create) = (OpenFlags::from_user(0), OpenFlags::from_user(0o102));
    let start_file = |mode: u32, name: &[u8], written: bool| {
        let start = start(&argv, &[], Cred::ROOT);
        let root = start.root.clone();
        let at = At { root: &root, base: &root, cred: &Cred::ROOT, umask: 0 };
        let made = namei::open(&at, b"file", create, mode).unwrap();
        read_write::kernel_write(&made, b"#!/bin/sh\n", 0).unwrap();
        let _made = written.then_some(made);
        let file = namei::open(&at, name, open, 0).unwrap();
        start.program(&file, name).err().unwrap()
    };
    assert_eq!(start_file(0o755, b".", false), ExecError::NotRegular);
    assert_eq!(start_file(0o644, b"file", true), ExecError::NotExecutable);
    assert_eq!(start_file(0o755, b"file", true).errno(), Errno::ETXTBSY);
    assert_eq!(start_file(0o755, b"file", false), ExecError::Script(b"/bin/sh".to_vec()));
}
