//! The command line of `quill`, declared once; `--help` is generated from it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::drive::Drive;
use crate::size::ByteSize;

/// Runs unmodified Linux/arm64 programs on the Quill kernel, in QEMU, on a real ext4 disk.
#[derive(Debug, Parser)]
#[command(name = "quill", version, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a program and exit with its status
    Run(Box<RunArgs>),
    /// Write the kernel as a flat arm64 Image, for use with QEMU directly
    Image(ImageArgs),
}

const EXAMPLES: &str = "\
Examples:
  quill run ./hello                           on a fresh 512 MiB disk that is thrown away
  quill run --keep out.img ./prog a b         the disk is in out.img afterwards
  quill run --root tree ./prog                a disk filled from the folder tree, which stays as it is
  quill run --disk db.img :/bin/sqlite3 /a.db a program that is on the disk already; db.img is written to
  quill run --mkfs '-b 1024 -O ^metadata_csum' --size 64M ./prog
  quill run --machine pci --memory 32M --timeout 10 ./prog
  quill run --env HOME=/root --log debug ./busybox ls -lR /
  quill run --drive log.img --drive ro.img,readonly ./prog    log.img is /dev/vdb, ro.img is /dev/vdc
  quill run --no-disk --drive gpt.img --append root=/dev/vda2 :/bin/prog
  quill run --trace block,vfs ./prog          and see what the kernel did, in the form of Linux's ftrace
  quill run --show ./prog                     and see the disk as the host's debugfs and e2fsck see it

Exit status:
  the program's own; 128+N when signal N ended it; 70 kernel panic; 124 time limit;
  125 trouble of the launcher or a system that could not start the program;
  130, 143 when the launcher itself was interrupted: the program gets SIGTERM and the disk is
  unmounted; a second Ctrl-C kills QEMU.

Program output goes to stdout byte by byte, the kernel log to stderr.
QUILL_QEMU names another QEMU than the first qemu-system-aarch64 on PATH.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct RunArgs {
    /// Run on this ext4 image; it is written to (with --keep, a copy is)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["root", "mkfs", "size"])]
    pub disk: Option<PathBuf>,

    /// Fill the fresh disk with the content of this folder
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,

    /// Start without a disk (bring your own with --drive)
    #[arg(long, conflicts_with_all = ["disk", "root", "mkfs", "size", "keep", "show", "check"])]
    pub no_disk: bool,

    /// Load the disk into memory and run on that, /dev/ram0; what the program writes is gone at the end
    #[arg(long, conflicts_with_all = ["no_disk", "keep", "show", "check"])]
    pub ramdisk: bool,

    /// One more disk, raw: FILE[,readonly][,OPTION=VALUE…] with options of QEMU's virtio-blk and -drive,
    /// such as serial=S, logical_block_size=4096, throttling.iops-total=100 (may be repeated)
    #[arg(long, value_name = "FILE,…")]
    pub drive: Vec<Drive>,

    /// Leave the disk here as it was at the end, whatever the end was
    #[arg(long, value_name = "FILE")]
    pub keep: Option<PathBuf>,

    /// Options for mke2fs, split into words like a shell does
    #[arg(long, value_name = "OPTS", allow_hyphen_values = true)]
    pub mkfs: Option<String>,

    /// Size of the fresh disk [default: 512M; 64M with --ramdisk]
    #[arg(long, value_name = "SIZE")]
    pub size: Option<ByteSize>,

    /// Memory of the machine
    #[arg(long, value_name = "SIZE", default_value = "256M")]
    pub memory: ByteSize,

    /// Number of CPUs
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=123))]
    pub cpus: u16,

    /// More words for the kernel command line, such as elevator=noop
    #[arg(long, value_name = "S", allow_hyphen_values = true)]
    pub append: Option<String>,

    /// Set an environment variable of the program (may be repeated)
    #[arg(long, value_name = "K=V")]
    pub env: Vec<EnvVar>,

    /// Stop the program after this many seconds (exit status 124)
    #[arg(long, value_name = "SECS", value_parser = parse_seconds)]
    pub timeout: Option<Duration>,

    /// How the disk is attached
    #[arg(long, value_enum, default_value_t = Machine::Mmio)]
    pub machine: Machine,

    /// QEMU CPU model; naming one selects emulation even on an arm64 host [default: host under KVM and HVF, else cortex-a72]
    #[arg(long, value_name = "MODEL")]
    pub cpu: Option<String>,

    /// One more argument for QEMU (may be repeated)
    #[arg(long, value_name = "A", allow_hyphen_values = true)]
    pub qemu_arg: Vec<OsString>,

    /// Kernel messages to show: off, error, warn, notice, info, debug, or 0 to 8 as in Linux's loglevel=
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    pub log: LogLevel,

    /// Record these events while the program runs and print them afterwards: systems or system:event, with commas; "all" for every one
    #[arg(long, value_name = "EVENTS", value_parser = parse_events)]
    pub trace: Option<String>,

    /// Write the trace to this file instead of stderr
    #[arg(long, value_name = "FILE", requires = "trace")]
    pub trace_file: Option<PathBuf>,

    /// Boot this kernel (ELF or flat Image) instead of the built-in one
    #[arg(long, value_name = "IMAGE")]
    pub kernel: Option<PathBuf>,

    /// Afterwards, print the disk's tree and short text files as debugfs sees them, then as --check
    #[arg(long)]
    pub show: bool,

    /// Afterwards, run e2fsck -fn; errors on the disk turn a success into status 125
    #[arg(long)]
    pub check: bool,

    /// A host file, placed on the disk as /bin/NAME, or ":PATH" for one that is on the disk; then its arguments
    // One list, so that everything after PROGRAM belongs to it, whatever it looks like.
    #[arg(value_names = ["PROGRAM", "ARGS"], num_args = 1.., required = true, trailing_var_arg = true)]
    pub program: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct ImageArgs {
    /// Convert this kernel instead of the built-in one
    #[arg(long, value_name = "ELF")]
    pub kernel: Option<PathBuf>,

    /// Where to write the Image
    #[arg(value_name = "FILE")]
    pub output: PathBuf,
}

/// How the disk is attached to the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Machine {
    /// virtio-mmio, VirtIO 1.x registers
    Mmio,
    /// virtio-blk on PCI
    Pci,
    /// virtio-mmio with the legacy register layout, QEMU's own default
    MmioLegacy,
}

/// One `K=V` of the program's environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvVar {
    pub name: String,
    pub value: String,
}

/// Words that the kernel takes from its command line; as variables they would never reach the program.
const KERNEL_PARAMETERS: [&str; 10] = [
    "root",
    "rootfstype",
    "rootflags",
    "init",
    "loglevel",
    "elevator",
    "ramdisk_size",
    "rd_nr",
    "trace_event",
    "trace_buf_size",
];

impl FromStr for EnvVar {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if name.is_empty() || !name.bytes().all(word) || name.as_bytes()[0].is_ascii_digit() {
            return Err(format!("{name:?} is not a variable name (letters, digits and _)"));
        }
        if KERNEL_PARAMETERS.contains(&name) {
            return Err(format!("{name} is a kernel parameter; pass it with --append"));
        }
        Ok(EnvVar { name: name.to_owned(), value: value.to_owned() })
    }
}

/// Linux's `loglevel=`: messages with a smaller number are shown. 0 to 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLevel(u8);

impl LogLevel {
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl FromStr for LogLevel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A message of priority p is shown when p < N: warnings have priority 4, so `warn` is 5.
        let number = match text {
            "off" => 0,
            "error" => 4,
            "warn" => 5,
            "notice" => 6,
            "info" => 7,
            "debug" => 8,
            _ => match text.as_bytes() {
                [digit @ b'0'..=b'8'] => digit - b'0',
                _ => return Err("expected off, error, warn, notice, info, debug or 0 to 8".to_owned()),
            },
        };
        Ok(LogLevel(number))
    }
}

/// A list of events for the kernel's command line.
fn parse_events(text: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_*:,".contains(&b);
    match text {
        "" => Err("no event is named".to_owned()),
        "all" => Ok("*:*".to_owned()),
        _ if text.bytes().all(plain) => Ok(text.to_owned()),
        _ => Err("expected names such as block,ext4:ext4_sync_file_enter".to_owned()),
    }
}

/// A time limit: a positive number of seconds, fractions allowed.
fn parse_seconds(text: &str) -> Result<Duration, String> {
    let refused = || format!("{text:?} is not a positive number of seconds");
    let seconds: f64 = text.parse().map_err(|_| refused())?;
    let duration = Duration::try_from_secs_f64(seconds).map_err(|_| refused())?;
    if duration.is_zero() { Err(refused()) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_args(words: &[&str]) -> RunArgs {
        let cli = Cli::try_parse_from(["quill", "run"].iter().chain(words)).expect("valid arguments");
        match cli.command {
            Command::Run(args) => *args,
            Command::Image(_) => panic!("not `run`"),
        }
    }

    #[test]
    fn the_declaration_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn options_after_the_program_are_the_programs() {
        let args = run_args(&["--cpus", "2", "./prog", "--cpus", "9", "-x", "--", "--help"]);
        assert_eq!(args.cpus, 2);
        assert_eq!(args.program, ["./prog", "--cpus", "9", "-x", "--", "--help"]);
    }

    #[test]
    fn option_values_may_start_with_a_dash() {
        let args = run_args(&["--mkfs", "-b 1024", "--qemu-arg", "-icount", "--qemu-arg", "shift=0", "p"]);
        assert_eq!(args.mkfs.as_deref(), Some("-b 1024"));
        assert_eq!(args.qemu_arg, ["-icount", "shift=0"]);
    }

    #[test]
    fn defaults() {
        let args = run_args(&["p"]);
        assert_eq!((args.memory, args.cpus, args.machine), (ByteSize::mib(256), 1, Machine::Mmio));
        assert_eq!((args.log, args.size, args.timeout), (LogLevel(5), None, None));
    }

    #[test]
    fn wrong_words_are_refused() {
        let wrong: [&[&str]; 17] = [
            &[],
            &["--size", "1.5G", "p"],
            &["--disk", "a", "--root", "b", "p"],
            &["--disk", "a", "--mkfs", "-b 1024", "p"],
            &["--no-disk", "--keep", "a", "p"],
            &["--ramdisk", "--keep", "a", "p"],
            &["--drive", "a,serial", "p"],
            &["--cpus", "0", "p"],
            &["--timeout", "0", "p"],
            &["--timeout", "-1", "p"],
            &["--timeout", "nan", "p"],
            &["--log", "9", "p"],
            &["--machine", "isa", "p"],
            &["--trace", "", "p"],
            &["--trace", "block vfs", "p"],
            &["--trace-file", "t", "p"],
            &["--frobnicate", "p"],
        ];
        for words in wrong {
            assert!(Cli::try_parse_from(["quill", "run"].iter().chain(words)).is_err(), "{words:?}");
        }
    }

    #[test]
    fn environment_variables() {
        let parse = |text: &str| text.parse::<EnvVar>();
        assert_eq!(parse("A=b=c d"), Ok(EnvVar { name: "A".into(), value: "b=c d".into() }));
        assert_eq!(parse("_x1="), Ok(EnvVar { name: "_x1".into(), value: String::new() }));
        for wrong in ["A", "=b", "1A=b", "A B=c", "a.b=c", "root=/x", "init=/x"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn log_levels() {
        let number = |text: &str| text.parse().map(LogLevel::number);
        assert_eq!((number("off"), number("warn"), number("debug")), (Ok(0), Ok(5), Ok(8)));
        assert_eq!((number("0"), number("8")), (Ok(0), Ok(8)));
        assert!(number("").is_err() && number("10").is_err() && number("Warn").is_err());
    }
}
