//! The disk of a run: fresh, filled from a folder, used in place, copied, kept; and what is on it.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};

use crate::bench::{Bench, names};
use predicates::prelude::PredicateBooleanExt as _;
use predicates::str::contains;

const ENDS_WELL: &str = "printf '\\020X0\\n'";

#[test]
fn a_kept_disk_holds_the_program_and_the_usual_folders() {
    let bench = Bench::new(ENDS_WELL);
    bench.run(&["--keep", "out.img", "./prog"]).assert().success();
    bench.assert_clean("out.img");
    assert_eq!(bench.debugfs("out.img", "cat /bin/prog"), fs::read(bench.path("prog")).expect("the program"));

    let root = String::from_utf8(bench.debugfs("out.img", "ls -p /")).expect("text");
    for folder in ["040755/0/0/bin/", "040755/0/0/dev/", "041777/0/0/tmp/", "040700/0/0/root/", "/0/0/proc/"]
    {
        assert!(root.contains(folder), "{folder} in {root}");
    }
    let bin = String::from_utf8(bench.debugfs("out.img", "ls -p /bin")).expect("text");
    assert!(bin.contains("/100755/0/0/prog/"), "{bin}");

    let meta = bench.path("out.img").metadata().expect("metadata");
    assert_eq!(meta.len(), 512 << 20);
    assert!(meta.blocks() * 512 < 64 << 20, "the image is sparse");
}

#[test]
fn mkfs_options_and_size_are_honoured() {
    let bench = Bench::new(ENDS_WELL);
    let options =
        ["--keep", "out.img", "--size", "24M", "--mkfs", "-b 1024 -O ^metadata_csum -L 'two words'"];
    bench.run(&[&options[..], &["./prog"]].concat()).assert().success();
    assert_eq!(bench.path("out.img").metadata().expect("metadata").len(), 24 << 20);
    let stats = String::from_utf8(bench.debugfs("out.img", "stats -h")).expect("text");
    assert!(stats.contains("two words") && !stats.contains("metadata_csum"), "{stats}");
    assert!(stats.lines().any(|line| line.starts_with("Block size:") && line.ends_with(" 1024")), "{stats}");

    bench.run(&["--size", "1000", "./prog"]).assert().code(125).stderr(contains("multiple of 4K"));
    bench.run(&["--mkfs", "-b 999", "./prog"]).assert().code(125).stderr(contains("mke2fs"));
    bench.run(&["--mkfs", "'", "./prog"]).assert().code(125).stderr(contains("--mkfs"));
}

#[test]
fn a_root_folder_is_copied_and_stays_as_it_was() {
    let bench = Bench::new(ENDS_WELL);
    let root = bench.path("tree");
    fs::create_dir_all(root.join("usr/bin")).expect("folders");
    fs::write(root.join("usr/bin/tool"), "a tool").expect("a file");
    // As in a merged-usr distribution.
    symlink("usr/bin", root.join("bin")).expect("a link");

    bench.run(&["--root", "tree", "--keep", "out.img", "--size", "16M", "./prog"]).assert().success();
    bench.assert_clean("out.img");
    assert_eq!(bench.debugfs("out.img", "cat /usr/bin/tool"), b"a tool");
    assert_eq!(
        bench.debugfs("out.img", "cat /usr/bin/prog"),
        fs::read(bench.path("prog")).expect("the program")
    );
    assert_eq!(names(&root), ["bin", "usr"]);
    assert_eq!(names(&root.join("usr/bin")), ["tool"]);

    bench.run(&["--root", "tree", "--size", "16M", ":usr/bin/tool"]).assert().success();
    assert!(bench.qemu_arguments().contains(" init=/usr/bin/tool "), "{}", bench.qemu_arguments());
    bench
        .run(&["--root", "nowhere", "./prog"])
        .assert()
        .code(125)
        .stderr(contains("there is no folder nowhere"));
}

#[test]
fn a_given_disk_is_written_to_and_a_placed_program_replaced() {
    let bench = Bench::new(
        "[ -e made ] || debugfs -w -R 'mkdir /made' \"$disk\" 2>/dev/null; touch made; printf '\\020X0\\n'",
    );
    bench.make_disk("d.img", &[]);
    bench.run(&["--disk", "d.img", "./prog"]).assert().success();
    assert_eq!(bench.debugfs("d.img", "cat /bin/prog"), fs::read(bench.path("prog")).expect("the program"));
    assert!(String::from_utf8_lossy(&bench.debugfs("d.img", "ls -p /")).contains("/made/"));

    fs::write(bench.path("prog"), "newer, and longer than it was before").expect("a file");
    bench.run(&["--disk", "d.img", "./prog"]).assert().success();
    assert_eq!(bench.debugfs("d.img", "cat /bin/prog"), b"newer, and longer than it was before");
    bench.assert_clean("d.img");
}

#[test]
fn with_keep_a_given_disk_is_copied_first() {
    let bench = Bench::new(ENDS_WELL);
    bench.make_disk("d.img", &[]);
    let before = fs::read(bench.path("d.img")).expect("the disk");
    fs::write(bench.path("out.img"), "an older result").expect("a file");
    bench.run(&["--disk", "d.img", "--keep", "out.img", "./prog"]).assert().success();
    assert!(before == fs::read(bench.path("d.img")).expect("the disk"), "the given disk was changed");
    assert!(!bench.debugfs("out.img", "cat /bin/prog").is_empty());

    bench.run(&["--disk", "d.img", "--keep", "d.img", "./prog"]).assert().success();
    assert!(!bench.debugfs("d.img", "cat /bin/prog").is_empty());
}

#[test]
fn nothing_is_placed_on_a_disk_that_cannot_take_it() {
    let bench = Bench::new(ENDS_WELL);
    let refused = |disk: &str, why: &str| {
        let before = fs::read(bench.path(disk)).ok();
        bench.run(&["--disk", disk, "./prog"]).assert().code(125).stderr(contains(why));
        assert!(before == fs::read(bench.path(disk)).ok(), "{disk} was changed");
    };
    refused("missing.img", "there is no disk missing.img");
    fs::write(bench.path("empty.img"), "").expect("a file");
    refused("empty.img", "holds no ext4");
    fs::write(bench.path("zeros.img"), vec![0; 1 << 20]).expect("a file");
    refused("zeros.img", "holds no ext4");
    bench.make_disk("dirty.img", &[]);
    bench.debugfs_write("dirty.img", "feature needs_recovery");
    refused("dirty.img", "needs recovery");

    // A disk that nothing is placed on is the kernel's business.
    bench.run(&["--disk", "empty.img", ":/bin/prog"]).assert().success();
}

#[test]
fn a_full_disk_is_noticed() {
    let bench = Bench::new(ENDS_WELL);
    bench.make_disk("d.img", &[]);
    fs::write(bench.path("prog"), vec![b'x'; 17 << 20]).expect("a large program");
    bench.run(&["--disk", "d.img", "./prog"]).assert().code(125).stderr(contains("cannot place"));
    bench.run(&["--size", "16M", "./prog"]).assert().code(125).stderr(contains("cannot place"));
}

#[test]
fn keep_needs_a_place_for_a_regular_file() {
    let bench = Bench::new(ENDS_WELL);
    bench.run(&["--keep", "no/such/out.img", "./prog"]).assert().code(125).stderr(contains("no/such"));
    bench.run(&["--keep", ".", "./prog"]).assert().code(125).stderr(contains("regular file"));
}

#[test]
fn show_prints_the_tree_the_text_and_the_verdict() {
    let bench = Bench::new(
        "printf 'two\\nlines\\n' > note; debugfs -w -R 'write note note.txt' \"$disk\" >/dev/null 2>&1
         debugfs -w -R 'symlink /lnk note.txt' \"$disk\" >/dev/null 2>&1; printf '\\020X3\\n'",
    );
    let assert = bench.run(&["--show", "--size", "16M", "./prog"]).assert().code(3).stdout("");
    let assert = assert.stderr(contains("    | two\n    | lines\n")).stderr(contains("/lnk -> note.txt"));
    assert
        .stderr(contains("-rwxr-xr-x"))
        .stderr(contains("/bin/prog"))
        .stderr(contains("e2fsck -fn: clean"))
        .stderr(contains("?---").not());
}

#[test]
fn check_turns_a_success_on_a_broken_disk_into_trouble() {
    let broken = |status: u8| {
        Bench::new(&format!(
            "debugfs -w -R 'clri /bin' \"$disk\" >/dev/null 2>&1; printf '\\020X{status}\\n'"
        ))
    };
    broken(0).run(&["--check", "--size", "16M", "./prog"]).assert().code(125).stderr(contains("NOT clean"));
    broken(7).run(&["--check", "--size", "16M", "./prog"]).assert().code(7).stderr(contains("NOT clean"));
    Bench::new(ENDS_WELL)
        .run(&["--check", "--size", "16M", "./prog"])
        .assert()
        .code(0)
        .stderr(contains("clean"));
}

#[test]
fn nothing_is_left_behind() {
    let bench = Bench::new(ENDS_WELL);
    fs::create_dir(bench.path("tmp")).expect("a folder");
    bench
        .run(&["--keep", "out.img", "--size", "16M", "./prog"])
        .env("TMPDIR", bench.path("tmp"))
        .assert()
        .success();
    assert_eq!(names(&bench.path("tmp")), [""; 0]);
    assert_eq!(names(&bench.path(".")), ["arguments", "kernel", "out.img", "prog", "qemu", "tmp"]);
}
