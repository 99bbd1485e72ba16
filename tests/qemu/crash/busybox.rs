//! Debian's busybox at work in a booted machine, and the power goes: one command after the other on the same disk,
//! each in a machine of its own that ends in order.
//!
//! Busybox tells nobody which of its system calls have returned. So what a command found is durable, what it left
//! is durable after it, and in between the tree lies between the two (`sim::crash::between`).

use std::fs;
use std::path::Path;

use qemu_tests::{Verdict, debian_arm64, ensure};
use sim::crash::{Change, Data, Setup, between, booted};
use sim::{Image, Machine, Tree};

use super::bench::{Bench, text};
use super::cuts;

/// What is done, and how it goes from the old tree to the new one.
const COMMANDS: [(&str, Change); 17] = [
    ("mkdir /w0/deep", Change::Atomic),
    ("cp -r /from /w0/copy", Change::Whole),
    ("dd if=/from/large of=/w0/large bs=3000 conv=fsync", Change::Whole),
    ("mv /w0/copy/words /w0/deep/words", Change::Atomic),
    ("mv /w0/copy/numbers /w0/deep/words", Change::Atomic),
    ("sed -i s/7/seven/ /w0/deep/words", Change::Whole),
    ("tar cf /w0/all.tar /from", Change::Whole),
    ("tar xf /w0/all.tar -C /w0/deep", Change::Whole),
    ("dd if=/from/numbers of=/w0/large bs=1000 seek=33 conv=notrunc,fsync", Change::InPlace),
    ("cp /from/words /w0/large", Change::InPlace),
    ("ln /w0/large /w0/second", Change::Atomic),
    ("mv /w0/deep/from /w0/moved", Change::Atomic),
    ("sync", Change::Atomic),
    ("truncate -s 2000 /w0/all.tar", Change::InPlace),
    ("chmod 600 /w0/all.tar", Change::Atomic),
    ("rm -r /w0/moved", Change::Whole),
    ("cp -a /from /w0/deep/again", Change::Whole),
];

/// What the commands work on.
fn make_tree(bench: &Bench, busybox: &Path) -> Result<std::path::PathBuf, String> {
    let tree = bench.tree(&[busybox])?;
    let from = tree.join("from");
    fs::create_dir_all(from.join("sub/deeper")).map_err(text)?;
    let put = |name: &str, bytes: Vec<u8>| fs::write(from.join(name), bytes).map_err(text);
    let lines = |factor: u32| (0..1200).map(|n| format!("{}\n", n * factor % 1000)).collect::<String>();
    put("words", lines(3).into_bytes())?;
    put("numbers", lines(7919).into_bytes())?;
    put("large", (0..150_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect())?;
    put("sub/deeper/none", Vec::new())?;
    for n in 0..12 {
        put(&format!("sub/{n}"), lines(n + 1).into_bytes()[..300 * n as usize].to_vec())?;
    }
    Ok(tree)
}

fn tree_of(disk: &[u8]) -> Result<Tree, String> {
    let image = Image { bytes: booted::file_system(disk).to_vec() };
    let machine = Machine::mount(&image).map_err(|errno| format!("mount: {errno}"))?;
    let tree = Tree::of_machine(&machine).map_err(text);
    machine.unmount().map_err(text)?;
    tree
}

/// All commands, the recording of each cut in `images` ways together.
pub fn cut_everywhere(data: Data, images: u64) -> Verdict {
    let setup = super::setup(if data == Data::Journal { 5 } else { 0 }, data);
    let bench = Bench::new()?;
    let tree = make_tree(&bench, &debian_arm64("bin/busybox").ok_or("no busybox")?)?;
    let mut disk = booted::disk(&setup, &tree, 16 << 20).map_err(text)?;
    bench.put("disk", &disk)?;
    let mut before = tree_of(&disk)?;
    let mut judged = 0;
    for (command, change) in COMMANDS {
        let wrong = |why: String| format!("{command}: {why}");
        bench.boot_logged(&setup, &format!("init=/bin/busybox -- {command}")).map_err(wrong)?;
        let left = bench.get("disk")?;
        let after = tree_of(&left).map_err(wrong)?;
        let share = images.div_ceil(COMMANDS.len() as u64);
        judged += cut_one(&setup, &bench, &disk, (&before, &after, change), share).map_err(wrong)?;
        (disk, before) = (left, after);
    }
    println!("busybox, {}: {judged} images of {} commands", setup.name(), COMMANDS.len());
    Ok(())
}

fn cut_one(
    setup: &Setup,
    bench: &Bench,
    disk: &[u8],
    (before, after, change): (&Tree, &Tree, Change),
    images: u64,
) -> Result<u64, String> {
    let (recording, _) = booted::marked(disk, &bench.get("log")?)?;
    let end = recording.events.len();
    ensure!(end > 0, "nothing was written");
    let look = |machine: &Machine, position: usize| {
        let found = Tree::of_machine(machine).map_err(|errno| format!("the tree cannot be read: {errno}"))?;
        match position {
            0 => between::same(&found, before),
            position if position == end => between::same(&found, after),
            _ => between::check(&found, before, after, change),
        }
    };
    cuts::judged(setup, &recording, images, &|position| (position == 0, position == end), &look)
}
