//! `quill run`: from the command line to the exit status.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::OWN_TROUBLE;
use crate::cli::RunArgs;
use crate::cmdline::CommandLine;
use crate::disk::{self, Placed};
use crate::process::Qemu;
use crate::qemu::{Accelerator, Vm};
use crate::tools::Tool;
use crate::{kernel, monitor, session};

/// QEMU rounds a machine's memory up to whole pages of its own; in MiB nothing needs rounding.
const MEMORY_UNIT: u64 = 1 << 20;

/// The program to run.
#[derive(Debug, PartialEq, Eq)]
struct Program {
    /// The host file to place on the disk; `None` for one that is there.
    source: Option<PathBuf>,
    /// Its name in /bin, or its path.
    name: String,
    /// Its path in the guest.
    init: String,
}

/// Runs the program and returns the exit status.
pub fn run(args: &RunArgs) -> Result<u8> {
    let signals = session::catch_signals()?;
    let qemu = Tool::Qemu.find()?;
    ensure!(
        args.memory.is_multiple_of(MEMORY_UNIT),
        "--memory must be a multiple of 1M; {} is not",
        args.memory
    );
    let (program, arguments) = args.program.split_first().context("no program is named")?;
    let program = Program::parse(program)?;
    ensure!(
        program.source.is_some() || args.disk.is_some() || args.root.is_some() || args.no_disk,
        "a program inside the disk (:{}) needs --disk or --root",
        program.init
    );
    let append = command_line(args, &program, arguments)?;

    let work =
        tempfile::Builder::new().prefix("quill-").tempdir().context("cannot make a temporary folder")?;
    let image = kernel::stage(args.kernel.as_deref(), work.path())?;
    let disk = disk::prepare(args, program.placed(), work.path())?;
    let (monitor, monitor_end) = monitor::line()?;
    let vm = Vm {
        kernel: &image,
        append: &append,
        disk: disk.as_deref(),
        ramdisk: args.ramdisk,
        drives: &args.drive,
        machine: args.machine,
        accelerator: Accelerator::choose(args.cpu.as_deref()),
        cpu: args.cpu.as_deref(),
        cpus: args.cpus,
        memory: args.memory,
        more: &args.qemu_arg,
        monitor: monitor_end.number(),
    };
    let trace = args.trace_file.as_deref().map(trace_file).transpose()?;
    let qemu = Qemu::start(vm.command(&qemu), monitor)?;
    drop(monitor_end);
    let outcome = session::run(qemu, args.timeout, signals, trace)?;
    if let Some(sentence) = outcome.sentence(&program.init) {
        eprintln!("quill: {sentence}");
    }
    let is_clean = look(args, disk.as_deref(), work.path())?;
    Ok(match outcome.status() {
        0 if !is_clean => OWN_TROUBLE,
        status => status,
    })
}

fn trace_file(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("cannot write the trace to {}", path.display()))
}

fn command_line(args: &RunArgs, program: &Program, arguments: &[OsString]) -> Result<String> {
    let line = CommandLine {
        root: match args {
            RunArgs { no_disk: true, .. } => None,
            RunArgs { ramdisk: true, .. } => Some("/dev/ram0"),
            _ => Some("/dev/vda"),
        },
        init: &program.init,
        log: args.log,
        append: args.append.as_deref(),
        trace: args.trace.as_deref(),
        env: &args.env,
        args: arguments,
    };
    line.build()
}

/// `--show` and `--check`: looks at the disk; false when it was checked and is not clean.
fn look(args: &RunArgs, disk: Option<&Path>, work: &Path) -> Result<bool> {
    let Some(disk) = disk else { return Ok(true) };
    let mut out = io::stderr().lock();
    if args.show {
        disk::show(disk, work, &mut out)?;
    }
    if args.show || args.check { disk::check(disk, &mut out) } else { Ok(true) }
}

impl Program {
    /// A host file, or `:PATH` inside the disk.
    fn parse(word: &OsStr) -> Result<Self> {
        let text = word.to_str();
        if let Some(path) = text.and_then(|text| text.strip_prefix(':')) {
            ensure!(!path.is_empty(), "the program's path is empty");
            let init = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
            return Ok(Program { source: None, name: init.clone(), init });
        }
        let source = PathBuf::from(word);
        let shown = source.display();
        ensure!(source.exists(), "there is no program {shown}");
        ensure!(source.is_file(), "the program {shown} is not a file");
        let name = source.file_name().and_then(OsStr::to_str);
        let name = name.with_context(|| format!("the name of the program {shown} is not UTF-8"))?.to_owned();
        let init = format!("/bin/{name}");
        Ok(Program { source: Some(source), name, init })
    }

    fn placed(&self) -> Option<Placed<'_>> {
        self.source.as_deref().map(|file| Placed { file, name: &self.name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_on_the_host_and_on_the_disk() {
        let inside = Program::parse(OsStr::new(":sbin/x")).expect("a program");
        assert_eq!((inside.init.as_str(), inside.source), ("/sbin/x", None));
        let host = Program::parse(OsStr::new("/bin/sh")).expect("a program");
        assert_eq!((host.init.as_str(), host.name.as_str()), ("/bin/sh", "sh"));
        for wrong in [":", "/no/such/file", "/tmp"] {
            assert!(Program::parse(OsStr::new(wrong)).is_err(), "{wrong}");
        }
    }
}
