//! What `quill run --trace` shows of one write and its fsync: every step from svc to ring and back, in
//! order, for the right sectors, in the form of Linux's ftrace.

use libtest_mimic::Trial;
use qemu_tests::{Outcome, Run, Verdict, ensure};

use crate::trial;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("trace::one_write_from_svc_to_ring", one_write),
        trial("trace::bios_held_back_are_inserted", held_back),
        trial("trace::a_program_that_is_killed", killed),
        trial("trace::a_small_ring_says_what_it_lost", small_ring),
        trial("trace::nothing_is_shown_unasked", silent),
    ]
}

/// The events in order: what stands behind the time, `name: fields`.
fn events(outcome: &Outcome) -> Vec<&str> {
    let lines = outcome.stderr.lines().filter(|line| line.contains("[000]"));
    lines.filter_map(|line| line.split_once("[000] ")?.1.split_once(": ").map(|(_, event)| event)).collect()
}

/// Checks that these are there in this order, each after the one before. Each begins as given.
fn in_order(outcome: &Outcome, expected: &[&str]) -> Verdict {
    let all = events(outcome);
    let mut at = 0;
    for step in expected {
        let found = all[at..].iter().position(|event| event.starts_with(step));
        let found = found.ok_or_else(|| format!("no `{step}` where it should be\n{outcome}"))?;
        at += found + 1;
    }
    Ok(())
}

fn one_write() -> Verdict {
    let outcome = Run::user("trace").block_size(4096).options(["--trace", "all"]).go().ends_with(0)?;
    // Where the file's data went.
    let queued =
        events(&outcome).into_iter().find_map(|event| event.strip_prefix("block_bio_queue: 254,0 WS "));
    let place = queued.and_then(|text| text.strip_suffix(" [trace]")).ok_or(format!("no data\n{outcome}"))?;
    ensure!(place.ends_with(" + 16"), "8 KiB in one bio: {place}\n{outcome}");
    let sector = place.split(' ').next().unwrap_or_default();
    in_order(
        &outcome,
        &[
            "sys_enter: NR 68 (3, ",
            "vfs_write: dev 254,0 ino ",
            "ext4_write_begin: dev 254,0 ino ",
            "ext4_write_end: dev 254,0 ino ",
            "writeback_dirty_folio: bdi 254:0: ino=",
            "sys_exit: NR 68 = 8192",
            "sys_enter: NR 82 (3, ",
            "vfs_fsync_range: dev 254,0 ino ",
            "ext4_sync_file_enter: dev 254,0 ino ",
            "ext4_writepages: dev 254,0 ino ",
            "ext4_ext_map_blocks_enter: dev 254,0 ino ",
            "ext4_allocate_blocks: dev 254,0 ino ",
            &format!("block_bio_queue: 254,0 WS {place} [trace]"),
            &format!("block_getrq: 254,0 WS {place} [trace]"),
            "block_plug: [trace]",
            "block_unplug: [trace] 1",
            &format!("block_rq_issue: 254,0 WS 8192 () {place} [trace]"),
            &format!("virtio_blk_add: 254,0 head 0 OUT sector {sector} bytes 8192 segments "),
            "virtio_blk_kick: ",
            "virtio_blk_interrupt: ",
            "virtio_blk_used: head 0 status 0 ",
            &format!("block_rq_complete: 254,0 WS () {place} [0]"),
            "jbd2_start_commit: dev 254,0 transaction ",
            "jbd2_commit_locking: dev 254,0 transaction ",
            "jbd2_commit_flushing: dev 254,0 transaction ",
            "jbd2_commit_logging: dev 254,0 transaction ",
            "block_bio_queue: 254,0 WSM ",
            "block_bio_queue: 254,0 FWFSM ",
            "block_rq_issue: 254,0 FF 0 () 0 + 0 [trace]",
            "block_rq_complete: 254,0 FF () 18446744073709551615 + 0 [0]",
            "block_rq_issue: 254,0 FWFSM 4096 () ",
            "block_rq_complete: 254,0 FWFSM () ",
            "writeback_dirty_folio: bdi 254:0: ino=0 index=",
            "jbd2_end_commit: dev 254,0 transaction ",
            "ext4_sync_file_exit: dev 254,0 ino ",
            "sys_exit: NR 82 = 0",
        ],
    )?;
    ensure!(outcome.stderr.contains("# tracer: nop\n#\n# entries-in-buffer/entries-written: "), "{outcome}");
    ensure!(outcome.stderr.contains("           trace-1       [000] ....."), "{outcome}");
    Ok(())
}

/// Metadata blocks of one fsync without a journal are held back together: each is queued before the first goes out.
fn held_back() -> Verdict {
    let options = ["--mkfs", "-O ^has_journal", "--trace", "block"];
    let outcome = Run::user("trace").options(options).go().ends_with(0)?;
    let all = events(&outcome);
    let unplugged = all.iter().position(|event| {
        event.strip_prefix("block_unplug: [trace] ").is_some_and(|n| n.parse::<u32>().is_ok_and(|n| n > 1))
    });
    let at = unplugged.ok_or(format!("nothing was held back together\n{outcome}"))?;
    ensure!(all[..at].contains(&"block_plug: [trace]"), "{outcome}");
    let goes_on = all[at + 1..].iter().any(|event| event.starts_with("block_rq_issue: 254,0 WSM "));
    ensure!(goes_on, "what was held back goes out\n{outcome}");
    Ok(())
}

fn killed() -> Verdict {
    let outcome = Run::user("wild").args(["write-null"]).options(["--trace", "raw_syscalls"]).go();
    ensure!(outcome.status == 139, "SIGSEGV should end it\n{outcome}");
    ensure!(outcome.stderr.contains("# tracer: nop\n"), "the trace is there all the same\n{outcome}");
    Ok(())
}

fn small_ring() -> Verdict {
    let options = ["--trace", "all", "--append", "trace_buf_size=4096"];
    let outcome = Run::user("trace").options(options).go().ends_with(0)?;
    let lines = events(&outcome).len();
    ensure!(lines > 10 && lines <= 4096 / 64, "{lines} lines of a ring of a page\n{outcome}");
    let counts =
        outcome.stderr.lines().find_map(|line| line.strip_prefix("# entries-in-buffer/entries-written: "));
    let (there, written) =
        counts.and_then(|text| text.split_once('/')).ok_or(format!("no counts\n{outcome}"))?;
    let written = written.split(' ').next().unwrap_or_default();
    ensure!(there.parse() == Ok(lines), "{there} counted, {lines} shown\n{outcome}");
    ensure!(written.parse::<usize>().is_ok_and(|written| written > lines), "{written} written\n{outcome}");
    Ok(())
}

fn silent() -> Verdict {
    let outcome = Run::user("trace").options(["--append", "trace_event=block"]).go().ends_with(0)?;
    ensure!(!outcome.stderr.contains("[000]"), "{outcome}");
    Ok(())
}
