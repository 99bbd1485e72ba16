//! The trace events of delayed allocation and of fast commits: in which order they come, and what they say, in the
//! words of Linux 6.1. One test, as events are enabled for all.

use base::trace::{self, Read, Reader};
use base::user::FakeUser;
use sim::{Image, Machine, write_all};
use vfs::{Caller, OpenFlags};

/// What was recorded since the last look: names and texts, of these events.
fn seen(reader: &mut Reader, wanted: &str) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        match reader.read() {
            Read::Record(record) => {
                let name = record.event().map_or("", |event| event.name());
                if name.starts_with(wanted) {
                    all.push(format!("{name}: {record}"));
                }
            }
            Read::Lost(_) => panic!("the ring is too small"),
            Read::End => return all,
        }
    }
}

/// Without what differs from run to run: the device, inodes and transactions.
fn plain(lines: &[String]) -> Vec<String> {
    let words = |line: &String| {
        let mut words: Vec<&str> = line.split(' ').collect();
        let number = |before: &&str| ["dev", "ino", "inode", "t_tid", "i_sync_tid", "tid"].contains(before);
        let gone: Vec<usize> = (1..words.len()).filter(|&n| number(&words[n - 1])).collect();
        for n in gone.into_iter().rev() {
            words.remove(n);
        }
        words.join(" ")
    };
    lines.iter().map(words).collect()
}

#[test]
fn delayed_allocation_and_fast_commits_are_seen() {
    trace::register(&ext4::trace::EVENTS);
    trace::set_events("ext4:ext4_*", true).unwrap();
    let mut reader = Reader::new();
    let args = ["-b", "4096", "-J", "size=16,fast_commit_size=64", "-O", "fast_commit"];
    let machine = Machine::mount(&Image::mkfs(64 << 20, &args).unwrap()).unwrap();
    delayed(&machine, &mut reader);
    fast_commits(&machine, &mut reader);
    replayed(&machine, &mut reader);
}

fn delayed(machine: &Machine, reader: &mut Reader) {
    machine.create("/f", 0o640).unwrap();
    let file = machine.open("/f", OpenFlags::WRONLY, 0).unwrap();
    seen(reader, "");
    write_all(&file, &[1; 12_000], 0).unwrap();
    machine.truncate("/f", 4096).unwrap();
    machine.fsync("/f").unwrap();
    let of = |what, rest| format!("ext4_da_{what}: dev ino {rest}");
    let reserve = |n| of("reserve_space", format!("mode 0100640 i_blocks 0 reserved_data_blocks {n}"));
    let expected = [
        reserve(1),
        reserve(2),
        reserve(3),
        of("release_space", "mode 0100640 i_blocks 0 freed_blocks 2 reserved_data_blocks 3".into()),
        of("write_pages", "first_page 0 nr_to_write 9223372036854775807 sync_mode 1".into()),
        of("write_pages_extent", "lblk 0 len 1 flags ".into()),
        of(
            "update_reserve_space",
            "mode 0100640 i_blocks 0 used_blocks 1 reserved_data_blocks 1 quota_claim 1".into(),
        ),
    ];
    assert_eq!(plain(&seen(reader, "ext4_da_")), expected);
    write_all(&file, &[1; 8192], 4096).unwrap();
    let memory = FakeUser::new(0x1000, 8);
    file.ops().ioctl(&file, 0x660c, 0, &Caller { memory: &memory, capable: true, uid: 0 }).unwrap();
    let asked = plain(&seen(reader, "ext4_alloc_da"));
    assert_eq!(asked, ["ext4_alloc_da_blocks: dev ino reserved_data_blocks 2"]);
}

fn fast_commits(machine: &Machine, reader: &mut Reader) {
    machine.sync().unwrap();
    seen(reader, "");
    machine.create("/g", 0o644).unwrap();
    machine.link("/g", "/h").unwrap();
    machine.unlink("/h").unwrap();
    machine.pwrite("/g", 0, &[3; 5000]).unwrap();
    machine.fsync("/g").unwrap();
    let lines = plain(&seen(reader, "ext4_fc_"));
    let expected = [
        "ext4_fc_track_create: dev t_tid ino i_sync_tid error 0",
        "ext4_fc_track_link: dev t_tid ino i_sync_tid error 0",
        "ext4_fc_track_unlink: dev t_tid ino i_sync_tid error 0",
        "ext4_fc_track_range: dev t_tid inode i_sync_tid error 0, start 0, end 1",
        "ext4_fc_commit_start: dev tid",
        "ext4_fc_commit_stop: dev nblks 2, reason 0, fc = 2, ineligible = 0, agg_nblks 4, tid",
    ];
    let mut left = lines.iter();
    for line in expected {
        assert!(left.any(|found| found == line), "{line}\n{lines:#?}");
    }
    for error in ["0", "-17"] {
        let line = format!("ext4_fc_track_inode: dev t_tid inode i_sync_tid error {error}");
        assert!(lines.contains(&line), "{line}\n{lines:#?}");
    }
}

/// Tags: 3 a name that is its inode's first, 4 another, 5 one that is gone; 6 an inode; 1 blocks that it has, 2 that
/// it has not, up to the last one there can be.
fn replayed(machine: &Machine, reader: &mut Reader) {
    seen(reader, "");
    Machine::mount(&machine.snapshot()).unwrap();
    let lines = plain(&seen(reader, "ext4_fc_replay"));
    let expected = [
        "ext4_fc_replay_scan: dev error 1, off 0",
        "ext4_fc_replay_scan: dev error 1, off 1",
        "ext4_fc_replay_scan: dev error 0, off 2",
        "ext4_fc_replay: dev tag 3, ino data1 2, data2 1",
        "ext4_fc_replay: dev tag 4, ino data1 2, data2 1",
        "ext4_fc_replay: dev tag 5, ino data1 2, data2 1",
        "ext4_fc_replay: dev tag 1, ino data1 0, data2 2",
        "ext4_fc_replay: dev tag 2, ino data1 2, data2 -3",
        "ext4_fc_replay: dev tag 6, ino data1 0, data2 0",
    ];
    for line in expected {
        assert!(lines.iter().any(|found| found == line), "{line}\n{lines:#?}");
    }
}
