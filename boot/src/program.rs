//! The program of `init=`: started with its console, run to its end, and everything that it wrote
//! brought to the disk.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use base::Errno;
use base::arch::{Machine, UserRegs};
use machine::cmdline::Options;
use machine::machine::QuillMachine;
use machine::memory::frames;
use process::Process;
use process::exec::Start;
use syscall::End;
use vfs::namei::{self, At};
use vfs::{Cred, File, Mount, MountFlags, OpenFlags, Path};

use crate::power_key;
use crate::proc_source;
use crate::root;
use crate::system::KernelSystem;
use crate::trouble::Trouble;

/// What Linux gives its init when the command line says nothing else.
const ENVIRONMENT: [&str; 2] = ["HOME=/", "TERM=linux"];

/// Runs the program; how it ended. The root is synced and unmounted afterwards.
pub fn run(root: &Arc<Mount>, options: &Options) -> Result<End, Trouble> {
    let Some(init) = &options.init else {
        return Err(Trouble::new("there is no program to run: give init= on the kernel command line"));
    };
    let (process, regs) = start(root, init, options)?;
    proc_source::set_process(&process);
    power_key::serve();
    let mut cpu = QuillMachine.new_user_cpu(regs);
    let end = syscall::run(&process, &mut *cpu, &KernelSystem);
    log::info!("{}: {end:?}", shown(init));
    // The program's files and mappings go before the file system does.
    proc_source::forget_process();
    power_key::program_ended();
    process.files().close_all();
    drop(cpu);
    drop(process);
    Ok(end)
}

/// Writes everything back and marks the disks clean.
pub fn unmount(root: &Arc<Mount>) {
    // It may be looking at names of what is about to be unmounted.
    pagecache::stop_kswapd();
    if let Err(error) = vfs::unmount_all(root) {
        log::error!("unmounting failed: {error}");
    }
}

fn start(root: &Arc<Mount>, init: &[u8], options: &Options) -> Result<(Arc<Process>, UserRegs), Trouble> {
    let place = root.root();
    let file = open(&place, init, OpenFlags::empty())
        .map_err(|error| Trouble::new(format!("init={}: {error}", shown(init))))?;
    let mut argv = Vec::from([init.to_vec()]);
    argv.extend(options.args.iter().cloned());
    let start = Start {
        machine: &QuillMachine,
        memory_pages: frames::stats().total,
        root: place.clone(),
        argv: &argv,
        envp: &environment(options),
        cred: Cred::ROOT,
    };
    let (process, regs) = start
        .program(&file, init)
        .map_err(|error| Trouble::new(format!("init={} cannot be run: {error}", shown(init))))?;
    open_console(&process, &place);
    Ok((process, regs))
}

/// Linux's own, where the command line gives no other value, and what it gives.
fn environment(options: &Options) -> Vec<Vec<u8>> {
    let name = |variable: &[u8]| variable.split(|&b| b == b'=').next().map(<[u8]>::to_vec);
    let own = ENVIRONMENT.iter().map(|variable| variable.as_bytes().to_vec());
    let kept = own.filter(|variable| !options.env.iter().any(|given| name(given) == name(variable)));
    kept.chain(options.env.iter().cloned()).collect()
}

/// Descriptors 0, 1 and 2: /dev/console, or where the disk has no /dev the console of a devtmpfs that
/// is mounted nowhere, as the first program of Linux has it from the initial root file system.
fn open_console(process: &Process, root: &Path) {
    let console = open(root, b"/dev/console", OpenFlags::RDWR).or_else(|_| {
        let devices = root::devtmpfs()?;
        open(&Mount::new_root(devices, MountFlags::NOSUID, "devtmpfs").root(), b"/console", OpenFlags::RDWR)
    });
    let console = match console {
        Ok(console) => console,
        Err(error) => {
            log::warn!("the program has no standard input and output: {error}");
            return;
        }
    };
    for _ in 0..3 {
        if let Err(error) = process.files().install(console.clone(), false, process.files_limit()) {
            log::warn!("no descriptor for the console: {error}");
        }
    }
}

fn open(root: &Path, path: &[u8], flags: OpenFlags) -> Result<Arc<File>, Errno> {
    namei::open(&At { root, base: root, cred: &Cred::ROOT, umask: 0 }, path, flags, 0)
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
