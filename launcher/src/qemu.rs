//! QEMU's command line: one virt machine with a serial console on stdio, a disk, and perhaps more.

use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::os::fd::RawFd;
use std::path::Path;
use std::process::Command;

use crate::cli::Machine;
use crate::drive::Drive;
use crate::size::ByteSize;
use crate::tools;

/// The CPU model under emulation: fast in QEMU, and what the figures of this project were taken on.
const EMULATED_CPU: &str = "cortex-a72";

/// The guest hears of every failed request; QEMU's default is to stop the machine when the host's
/// file system is full, and nobody is there to start it again.
const ERRORS: &str = ",werror=report,rerror=report";

/// Who executes the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// QEMU translates them, anywhere.
    Tcg,
    /// The host's CPU, under Linux.
    Kvm,
    /// The host's CPU, under macOS.
    Hvf,
}

impl Accelerator {
    /// The fastest that this host offers. A CPU model by name is emulation's business.
    pub fn choose(cpu: Option<&str>) -> Self {
        let hardware = cpu.is_none_or(|model| model == "host") && cfg!(target_arch = "aarch64");
        if hardware && cfg!(target_os = "macos") {
            Accelerator::Hvf
        } else if hardware && OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok() {
            Accelerator::Kvm
        } else {
            Accelerator::Tcg
        }
    }

    /// `-accel`. One thread executes all CPUs: `-icount` needs it, and the guest's CPUs mostly wait.
    const fn option(self) -> &'static str {
        match self {
            Accelerator::Tcg => "tcg,thread=single",
            Accelerator::Kvm => "kvm",
            Accelerator::Hvf => "hvf",
        }
    }

    /// `-M`. KVM can offer only the interrupt controller that the host has.
    const fn machine(self) -> &'static str {
        match self {
            Accelerator::Tcg | Accelerator::Hvf => "virt,gic-version=3",
            Accelerator::Kvm => "virt,gic-version=host",
        }
    }

    /// `-cpu`. Pointer authentication by QEMU's default cipher makes `max` ten times slower.
    fn cpu(self, model: Option<&str>) -> &str {
        match (self, model) {
            (Accelerator::Tcg, Some("max")) => "max,pauth-impdef=on",
            (_, Some(model)) => model,
            (Accelerator::Tcg, None) => EMULATED_CPU,
            (Accelerator::Kvm | Accelerator::Hvf, None) => "host",
        }
    }
}

/// The machine to start.
#[derive(Debug)]
pub struct Vm<'a> {
    pub kernel: &'a Path,
    pub append: &'a str,
    pub disk: Option<&'a Path>,
    /// The disk goes to memory rather than to a device.
    pub ramdisk: bool,
    /// Further disks.
    pub drives: &'a [Drive],
    pub machine: Machine,
    pub accelerator: Accelerator,
    pub cpu: Option<&'a str>,
    pub cpus: u16,
    pub memory: ByteSize,
    pub more: &'a [OsString],
    /// The descriptor of its monitor.
    pub monitor: RawFd,
}

impl Vm<'_> {
    /// QEMU's arguments.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut args: Vec<OsString> = Vec::new();
        let mut add = |words: &[&str]| args.extend(words.iter().map(OsString::from));
        add(&["-M", self.accelerator.machine(), "-accel", self.accelerator.option()]);
        add(&["-cpu", self.accelerator.cpu(self.cpu), "-smp", &self.cpus.to_string()]);
        add(&["-m", &format!("{}B", self.memory.bytes())]);
        add(&["-nodefaults", "-nographic", "-no-reboot"]);
        add(&["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]);
        add(&["-chardev", &format!("socket,id=quill-monitor,fd={}", self.monitor)]);
        add(&["-mon", "chardev=quill-monitor,mode=control"]);
        if self.accelerator == Accelerator::Tcg {
            // Elsewhere the exit status comes over the console alone.
            add(&["-semihosting-config", "enable=on,target=native"]);
        }
        if self.machine == Machine::Mmio {
            add(&["-global", "virtio-mmio.force-legacy=false"]);
        }
        match self.disk {
            Some(disk) if self.ramdisk => args.extend(["-initrd".into(), disk.into()]),
            Some(disk) => {
                args.extend(["-blockdev".into(), block_device(disk)]);
                args.extend(["-device".into(), format!("{},drive=disk0{ERRORS}", self.disk_model()).into()]);
            }
            None => {}
        }
        for (n, drive) in (1..).zip(self.drives) {
            args.extend(drive.arguments(n, self.disk_model()).map(OsString::from));
        }
        args.extend(["-kernel".into(), self.kernel.into(), "-append".into(), self.append.into()]);
        args.extend(self.more.iter().cloned());
        args
    }

    const fn disk_model(&self) -> &'static str {
        match self.machine {
            Machine::Mmio | Machine::MmioLegacy => "virtio-blk-device",
            Machine::Pci => "virtio-blk-pci",
        }
    }

    /// The command that starts QEMU. Where util-linux is there, QEMU dies with the launcher even if
    /// that is killed without a chance to clean up.
    pub fn command(&self, qemu: &Path) -> Command {
        let setpriv = if cfg!(target_os = "linux") { tools::find_program("setpriv") } else { None };
        let mut command = match setpriv {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL", "--"]).arg(qemu);
                command
            }
            None => Command::new(qemu),
        };
        command.args(self.arguments());
        command
    }
}

/// The raw image as a block node; QEMU reads a doubled comma as a comma.
fn block_device(disk: &Path) -> OsString {
    let mut option =
        OsString::from("driver=raw,node-name=disk0,discard=unmap,file.driver=file,file.discard=unmap,");
    option.push("file.filename=");
    option.push(double_commas(disk.as_os_str()));
    option
}

fn double_commas(text: &OsStr) -> OsString {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    let mut doubled = Vec::with_capacity(text.len());
    for &byte in text.as_bytes() {
        if byte == b',' {
            doubled.push(b',');
        }
        doubled.push(byte);
    }
    OsString::from_vec(doubled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vm() -> Vm<'static> {
        Vm {
            kernel: Path::new("/k"),
            append: "init=/p -- a,b",
            disk: Some(Path::new("/a,b.img")),
            ramdisk: false,
            drives: &[],
            machine: Machine::Mmio,
            accelerator: Accelerator::Tcg,
            cpu: None,
            cpus: 2,
            memory: ByteSize::mib(32),
            more: &[],
            monitor: 7,
        }
    }

    fn line(vm: &Vm<'_>) -> String {
        let words: Vec<_> =
            vm.arguments().into_iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
        words.join(" ")
    }

    #[test]
    fn the_disk_hangs_where_it_is_told() {
        let mmio = line(&vm());
        assert!(
            mmio.contains("virtio-mmio.force-legacy=false") && mmio.contains("virtio-blk-device,drive=disk0")
        );
        let legacy = line(&Vm { machine: Machine::MmioLegacy, ..vm() });
        assert!(!legacy.contains("force-legacy") && legacy.contains("virtio-blk-device"));
        assert!(line(&Vm { machine: Machine::Pci, ..vm() }).contains("virtio-blk-pci,drive=disk0"));
        assert!(!line(&Vm { disk: None, ..vm() }).contains("blk"));
    }

    #[test]
    fn a_ram_disk_is_loaded_and_drives_follow_the_disk() {
        let ram = line(&Vm { ramdisk: true, ..vm() });
        assert!(ram.contains("-initrd /a,b.img ") && !ram.contains("-blockdev"), "{ram}");
        let drives = ["/no/b".parse().expect("a drive"), "/no/c".parse().expect("a drive")];
        let line = line(&Vm { drives: &drives, machine: Machine::Pci, ..vm() });
        let places = ["drive=disk0", "virtio-blk-pci,drive=drive1", "virtio-blk-pci,drive=drive2"]
            .map(|device| line.find(device).expect(device));
        assert!(places.is_sorted(), "{line}");
    }

    #[test]
    fn commas_in_file_names_are_doubled_and_elsewhere_not() {
        let line = line(&vm());
        assert!(
            line.contains("file.filename=/a,,b.img ") && line.contains("-append init=/p -- a,b"),
            "{line}"
        );
    }

    #[test]
    fn accelerators_and_cpu_models() {
        assert_eq!(Accelerator::choose(Some("cortex-a53")), Accelerator::Tcg);
        assert_eq!(Accelerator::Tcg.cpu(None), "cortex-a72");
        assert_eq!(Accelerator::Tcg.cpu(Some("max")), "max,pauth-impdef=on");
        assert_eq!(Accelerator::Hvf.cpu(None), "host");
        let kvm = line(&Vm { accelerator: Accelerator::Kvm, ..vm() });
        assert!(kvm.contains("gic-version=host") && !kvm.contains("semihosting"), "{kvm}");
    }

    #[test]
    fn the_users_arguments_come_last() {
        let more = [OsString::from("-icount"), OsString::from("shift=0")];
        assert!(line(&Vm { more: &more, ..vm() }).ends_with(" -icount shift=0"));
    }
}
