//! A run from outside: streams, exit statuses, input, signals, and what is said when something is missing.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

use crate::bench::Bench;
use predicates::prelude::PredicateBooleanExt as _;
use predicates::str::{contains, is_empty};

/// A small disk, made quickly.
const SMALL: [&str; 2] = ["--size", "1M"];

fn run(bench: &Bench, options: &[&str]) -> assert_cmd::Command {
    bench.run(&[&SMALL, options].concat())
}

#[test]
fn output_goes_to_stdout_byte_by_byte_and_the_log_to_stderr() {
    let bench = Bench::new("printf 'boot\\n\\020Phi\\000\\377\\r\\n\\020\\020\\020Lbye\\n\\020X42\\n'");
    run(&bench, &["./prog"]).assert().code(42).stdout(&b"hi\0\xff\r\n\x10"[..]).stderr("boot\nbye\n");
}

#[test]
fn every_end_has_its_status() {
    let ends = [
        ("printf '\\020X0\\n'", 0, ""),
        ("printf '\\020X139\\n'; exit 3", 139, ""),
        ("printf '\\020X255\\n'", 255, ""),
        ("printf 'no root\\n\\020F125\\n'", 125, "no root\n"),
        ("printf '\\020K\\n'; exit 70", 70, "panicked"),
        (
            "echo 'no such device' >&2; exit 1",
            125,
            "before the kernel said how /bin/prog did: no such device",
        ),
        ("kill -SEGV $$", 125, "QEMU ended (signal: 11"),
        ("printf 'half a frame\\n\\020X1'", 125, "QEMU ended (exit status: 0)"),
    ];
    for (qemu, status, words) in ends {
        run(&Bench::new(qemu), &["./prog"]).assert().code(status).stderr(contains(words));
    }
}

#[test]
fn the_first_word_counts() {
    let bench = Bench::new("printf '\\020X1\\n\\020X2\\n'");
    run(&bench, &["./prog"]).assert().code(1);
}

#[test]
fn a_qemu_that_hangs_after_the_end_is_not_waited_for() {
    let bench = Bench::new("printf '\\020X9\\n'; exec sleep 600");
    run(&bench, &["./prog"]).assert().code(9);
}

#[test]
fn input_is_relayed_encoded_and_its_end_told() {
    let bench = Bench::new("printf '\\020P'; head -c 6 | od -An -tx1 | tr -d '\\n'; printf '\\020X0\\n'");
    run(&bench, &["./prog"]).write_stdin(&b"a\x10b"[..]).assert().success().stdout(" 61 10 10 62 10 45");
}

#[test]
fn input_reaches_a_guest_that_says_nothing_first() {
    let bench = Bench::new("read -r line; printf '\\020P%s\\020X0\\n' \"$line\"");
    run(&bench, &["./prog"]).write_stdin("hello\n").assert().success().stdout("hello");
}

#[test]
fn much_output_and_much_input_pass() {
    // Four bytes are encoded as themselves; the guest counts what arrives before the end of input.
    let bench = Bench::new("printf '\\020P'; head -c 4000000 | tr abcd ABCD; printf '\\020X0\\n'");
    let input = b"abcd".repeat(1_000_000);
    run(&bench, &["./prog"]).write_stdin(input).assert().success().stdout(b"ABCD".repeat(1_000_000));
}

#[test]
fn the_time_limit_stops_qemu_and_keeps_the_disk() {
    let bench = Bench::new("printf '\\020Ppartial'; exec sleep 600");
    let options = ["--timeout", "0.5", "--keep", "out.img", "./prog"];
    run(&bench, &options).assert().code(124).stdout("partial").stderr(contains("did not end within 0.5 s"));
    bench.assert_clean("out.img");
}

#[test]
fn a_flood_of_output_does_not_hold_off_the_time_limit() {
    let bench = Bench::new("printf '\\020P'; exec yes");
    let mut command = bench.std_run(&["--size", "1M", "--timeout", "0.5", "./prog"]);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().expect("quill runs");
    assert_eq!(status.code(), Some(124));
}

#[test]
fn a_reader_that_sleeps_does_not_hold_off_the_time_limit() {
    let bench = Bench::new("printf '\\020P'; exec yes");
    let mut command = bench.std_run(&["--size", "1M", "--timeout", "0.5", "./prog"]);
    let mut quill = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("quill starts");
    // Held open, and nobody reads.
    let _stdout = quill.stdout.take();
    assert_eq!(quill.wait().expect("quill ends").code(), Some(124));
}

#[test]
fn a_signal_stops_qemu_and_keeps_the_disk() {
    for (name, status) in [("TERM", 143), ("INT", 130)] {
        let bench = Bench::new("printf '\\020P%s\\n' $$; exec sleep 600");
        let mut quill = bench
            .std_run(&["--size", "1M", "--keep", "out.img", "./prog"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("quill starts");
        let mut qemu = String::new();
        BufReader::new(quill.stdout.take().expect("a pipe")).read_line(&mut qemu).expect("QEMU's process id");
        let killed = Command::new("kill").args(["-s", name, &quill.id().to_string()]).status();
        assert!(killed.is_ok_and(|status| status.success()));
        assert_eq!(quill.wait().expect("quill ends").code(), Some(status));
        let alive = Command::new("kill").args(["-0", qemu.trim()]).stderr(Stdio::null()).status();
        assert!(alive.is_ok_and(|status| !status.success()), "QEMU {qemu} is still there");
        bench.assert_clean("out.img");
    }
}

/// A QEMU that has a power key: it greets on its monitor, and does `pressed` when the key is pressed.
fn with_power_key(pressed: &str) -> Bench {
    Bench::new(&format!(
        "fd=$(sed -n 's/.*quill-monitor,fd=//p' \"${{0%/*}}/arguments\")\n\
        eval \"printf '{{}}\\n' >&$fd\"\n\
        printf '\\020Pready\\n'\n\
        eval \"read -r line <&$fd; read -r line <&$fd\"\n\
        case $line in *system_powerdown*) ;; *) exit 1;; esac\n\
        {pressed}"
    ))
}

#[test]
fn a_signal_presses_the_power_key() {
    let ends = [
        ("printf '\\020Pbye\\n\\020X7\\n'", 1, 143, "ready\nbye\n", "stopped by signal 15\n"),
        ("printf '\\020K\\n'", 1, 70, "ready\n", "panicked"),
        ("exec sleep 600", 2, 143, "ready\n", "QEMU was killed"),
    ];
    for (pressed, signals, status, stdout, stderr) in ends {
        let bench = with_power_key(pressed);
        let mut quill = bench
            .std_run(&["--size", "1M", "./prog"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("quill starts");
        let mut reader = BufReader::new(quill.stdout.take().expect("a pipe"));
        let mut said = String::new();
        reader.read_line(&mut said).expect("the first line");
        for _ in 0..signals {
            let killed = Command::new("kill").args(["-s", "TERM", &quill.id().to_string()]).status();
            assert!(killed.is_ok_and(|status| status.success()));
            std::thread::sleep(std::time::Duration::from_millis(600));
        }
        reader.read_to_string(&mut said).expect("the rest");
        let output = quill.wait_with_output().expect("quill ends");
        let log = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), said.as_str()), (Some(status), stdout), "{pressed}: {log}");
        assert!(log.contains(stderr), "{pressed}: {log}");
    }
}

#[test]
fn a_reader_that_goes_away_ends_the_run() {
    let bench = Bench::new("printf '\\020P'; exec yes");
    let mut command = bench.std_run(&["--size", "1M", "./prog"]);
    let mut quill = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("quill starts");
    let mut stdout = quill.stdout.take().expect("a pipe");
    stdout.read_exact(&mut [0; 100]).expect("output");
    drop(stdout);
    assert_eq!(quill.wait().expect("quill ends").code(), Some(141));
}

#[test]
fn qemu_is_given_what_was_asked_for() {
    let bench = Bench::new("printf '\\020X0\\n'");
    let options = [
        "--memory",
        "32M",
        "--cpus",
        "3",
        "--cpu",
        "max",
        "--machine",
        "pci",
        "--log",
        "debug",
        "--append",
        "elevator=noop",
        "--env",
        "A=b c",
        "--qemu-arg",
        "-icount",
        "--qemu-arg",
        "shift=0",
        "./prog",
        "-x",
        "a b",
        "",
    ];
    run(&bench, &options).assert().success();
    let arguments = bench.qemu_arguments();
    for words in
        ["-m\n33554432B\n", "-smp\n3\n", "max,pauth-impdef=on\n", "virtio-blk-pci,", "\n-icount\nshift=0\n"]
    {
        assert!(arguments.contains(words), "{words} in {arguments}");
    }
    let line = "quill.console=framed quill.args=percent root=/dev/vda rw rootfstype=ext4 \
        init=/bin/prog loglevel=8 elevator=noop A=b%20c -- -x a%20b %\n";
    assert!(arguments.contains(line), "{arguments}");
}

#[test]
fn a_run_without_a_disk() {
    let bench = Bench::new("printf '\\020X0\\n'");
    bench.run(&["--no-disk", ":/prog"]).assert().success();
    assert!(!bench.qemu_arguments().contains("virtio-blk") && !bench.qemu_arguments().contains("root="));
    bench.run(&["--no-disk", "./prog"]).assert().code(125).stderr(contains("without a disk"));
}

#[test]
fn what_is_missing_is_named() {
    let bench = Bench::new("printf '\\020X0\\n'");
    let missing = |options: &[&str], words: &str| {
        bench
            .run(options)
            .assert()
            .code(125)
            .stdout(is_empty())
            .stderr(contains("quill: ").and(contains(words)));
    };
    missing(&["./absent"], "there is no program ./absent");
    missing(&["."], "is not a file");
    missing(&[":/bin/prog"], "needs --disk or --root");
    missing(&["--memory", "100K", "./prog"], "multiple of 1M");
    missing(&["--append", "quiet -- x", "./prog"], "--append must not");
}

#[test]
fn a_missing_qemu_names_its_package() {
    let bench = Bench::new("");
    let mut command = bench.run(&["./prog"]);
    command.env_remove("QUILL_QEMU").env("PATH", "/nowhere");
    command
        .assert()
        .code(125)
        .stderr(contains("qemu-system-aarch64 is not installed").and(contains("qemu-system-arm")));
    let mut command = bench.run(&["./prog"]);
    command
        .env("QUILL_QEMU", "/nowhere/qemu")
        .assert()
        .code(125)
        .stderr(contains("QUILL_QEMU names /nowhere/qemu"));
}

#[test]
fn a_file_that_is_no_kernel_is_refused() {
    let bench = Bench::new("printf '\\020X0\\n'");
    for (bytes, words) in
        [(&b"text"[..], "neither an ELF file nor an arm64 Image"), (b"\x7fELF", "not a well-formed ELF")]
    {
        std::fs::write(bench.path("kernel"), bytes).expect("written");
        bench.run(&["./prog"]).assert().code(125).stderr(contains(words));
    }
}

#[test]
fn the_image_is_written() {
    let bench = Bench::new("");
    let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_quill"));
    command.args(["image", "--kernel"]).arg(bench.path("kernel")).arg(bench.path("Image")).assert().success();
    assert_eq!(std::fs::read(bench.path("Image")).ok(), std::fs::read(bench.path("kernel")).ok());
}

#[test]
fn help_is_a_success_and_a_wrong_option_is_trouble() {
    let quill = |words: &[&str]| assert_cmd::Command::new(env!("CARGO_BIN_EXE_quill")).args(words).assert();
    quill(&["run", "--help"]).success().stdout(contains("Examples:").and(contains("124 time limit")));
    quill(&["--version"]).success();
    quill(&["run", "--frobnicate"]).code(125).stderr(contains("--frobnicate"));
    quill(&[]).code(125);
}
