//! What a queue shows and takes.

use super::*;
use block::elevator;

const EINVAL: Result<()> = Err(Errno::EINVAL);

#[test]
fn the_scheduler_is_switched_by_its_name() {
    let world = World::new();
    for name in elevator::NAMES {
        assert_eq!(world.set("scheduler", name), Ok(()));
        assert_eq!(world.vda.queue().elevator(), name);
        let shown = world.queue("scheduler");
        let words: Vec<&str> = shown.split(' ').collect();
        assert_eq!(words.iter().filter(|word| **word == format!("[{name}]")).count(), 1, "{shown}");
        assert_eq!(words.len(), elevator::NAMES.len());
    }
    assert_eq!(world.set("scheduler", "  deadline \t"), Ok(()));
    for bad in ["", "dead", "deadlines", "[deadline]", "deadline noop", "none\u{e9}"] {
        assert_eq!(world.set("scheduler", bad), EINVAL, "{bad:?}");
    }
    assert_eq!(world.vda.queue().elevator(), "deadline");
}

#[test]
fn tunables_come_and_go_with_their_elevator() {
    let world = World::new();
    let iosched = format!("{QUEUE}/iosched");
    let names = || world.ls(&iosched).unwrap().split_off(2);
    assert_eq!(names(), ["read_expire", "write_expire", "writes_starved", "front_merges", "fifo_batch"]);
    assert_eq!(world.queue("iosched/read_expire"), "500");
    let kept = world.open(&format!("{iosched}/fifo_batch"), OpenFlags::RDWR).unwrap();
    assert_eq!(world.set("iosched/fifo_batch", "32"), Ok(()));
    assert_eq!(world.read(&kept, 10).as_deref(), Ok(&b"32\n"[..]));

    world.set("scheduler", "noop").unwrap();
    assert_eq!(names(), Vec::<String>::new());
    assert_eq!(world.bytes(&format!("{iosched}/fifo_batch")), Err(Errno::ENOENT));
    assert_eq!(world.write(&kept, b"1"), Err(Errno::ENODEV));
    let reopened = vfs::lseek::lseek(&kept, 0, 0).and_then(|_| world.read(&kept, 10));
    assert_eq!(reopened, Err(Errno::ENODEV));

    // The next elevator of that name starts with its defaults.
    world.set("scheduler", "deadline").unwrap();
    assert_eq!(world.queue("iosched/fifo_batch"), "16");
}

#[test]
fn tunables_take_what_linux_takes() {
    let world = World::new();
    for (text, answer, then) in [
        ("100", Ok(()), "100"),
        ("0x10", Ok(()), "16"),
        ("-1", Ok(()), "0"),
        ("abc", EINVAL, "0"),
        ("12 ", EINVAL, "0"),
        ("99999999999", Err(Errno::ERANGE), "0"),
    ] {
        assert_eq!(world.set("iosched/read_expire", text), answer, "{text}");
        assert_eq!(world.queue("iosched/read_expire"), then, "{text}");
    }
    assert_eq!(world.set("iosched/front_merges", "7"), Ok(()));
    assert_eq!(world.queue("iosched/front_merges"), "1");
}

/// Value written, answer, value read after it.
type Case = (&'static str, Result<()>, &'static str);

#[test]
fn numbers_are_taken_or_refused_as_linux_does() {
    let world = World::new();
    let files: [(&str, &[Case]); 7] = [
        (
            "nr_requests",
            &[("0", Ok(()), "4"), ("100", Ok(()), "100"), ("-1", EINVAL, "100"), ("0x10", EINVAL, "100")],
        ),
        ("nr_requests", &[("99999999999", EINVAL, "256"), (" 12", EINVAL, "256"), ("+12", Ok(()), "12")]),
        ("max_sectors_kb", &[("3", EINVAL, "1280"), ("100", Ok(()), "100"), ("2000000", EINVAL, "100")]),
        (
            "nomerges",
            &[
                ("1", Ok(()), "1"),
                ("2", Ok(()), "2"),
                ("3", Ok(()), "1"),
                ("0", Ok(()), "0"),
                ("x", EINVAL, "0"),
            ],
        ),
        ("rotational", &[("0", Ok(()), "0"), ("5", Ok(()), "1"), ("", EINVAL, "1")]),
        ("iostats", &[("0", Ok(()), "0"), ("2", Ok(()), "1")]),
        ("io_timeout", &[("1000", Ok(()), "1000"), ("0", EINVAL, "1000"), ("abc", EINVAL, "1000")]),
    ];
    for (name, cases) in files {
        let world = if name == "nr_requests" { &World::new() } else { &world };
        for (value, answer, then) in cases {
            assert_eq!(world.set(name, value), *answer, "{name} {value}");
            assert_eq!(world.queue(name), *then, "{name} {value}");
        }
    }
}

#[test]
fn the_cache_is_set_by_either_file() {
    let world = World::new();
    let cache = || (world.queue("write_cache"), world.cat("/sys/block/vda/cache_type"));
    let both = |text: &str| (String::from(text), format!("{text}\n"));
    assert_eq!(cache(), both("write through"));
    assert_eq!(world.set("write_cache", "write back"), Ok(()));
    assert_eq!(cache(), both("write back"));
    assert_eq!(world.echo("write through", "/sys/block/vda/cache_type"), Ok(()));
    assert_eq!(cache(), both("write through"));
    for bad in ["1", "write", "", "writeback"] {
        assert_eq!(world.set("write_cache", bad), EINVAL, "{bad}");
        assert_eq!(world.echo(bad, "/sys/block/vda/cache_type"), EINVAL, "{bad}");
    }
    // One compares the beginning, the other all of it.
    assert_eq!(world.set("write_cache", "none of your business"), Ok(()));
    assert_eq!(world.echo("write back ", "/sys/block/vda/cache_type"), EINVAL);
}

#[test]
fn what_a_request_may_be() {
    let world = World::new();
    let limits = world.vda.limits();
    for (name, value) in [
        ("logical_block_size", u64::from(limits.logical_block_size)),
        ("hw_sector_size", u64::from(limits.logical_block_size)),
        ("physical_block_size", u64::from(limits.physical_block_size)),
        ("minimum_io_size", u64::from(limits.io_min.max(limits.physical_block_size))),
        ("optimal_io_size", u64::from(limits.io_opt)),
        ("max_discard_segments", u64::from(limits.max_discard_segments)),
        ("max_segments", u64::from(limits.max_segments)),
        ("max_segment_size", u64::from(limits.max_segment_size)),
        ("max_hw_sectors_kb", u64::from(limits.max_sectors) / 2),
        ("discard_max_bytes", u64::from(limits.max_discard_sectors) * 512),
        ("write_zeroes_max_bytes", u64::from(limits.max_write_zeroes_sectors) * 512),
        ("read_ahead_kb", 512),
        ("max_integrity_segments", 0),
    ] {
        assert_eq!(world.queue(name), format!("{value}"), "{name}");
    }
    assert_eq!(world.queue("zoned"), "none");
}
