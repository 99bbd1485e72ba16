//! Blocks that are unwritten until their bytes are there (`dioread_nolock`): what a commit waits for, what a crash
//! shows, and who waits for whom.

use std::sync::Arc;
use std::thread;

use base::Errno;
use block::{BioOp, InFlight};
use sim::{Fault, Image, Machine, Options, write_all};
use vfs::OpenFlags;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const NEW: u8 = 7;

fn disk(args: &[&str]) -> Image {
    Image::mkfs(32 * MIB, args).unwrap()
}

fn mount(image: &Image, options: &'static str) -> Arc<Machine> {
    Arc::new(Machine::mount_with(image, &Options { options: options.into(), ..Options::default() }).unwrap())
}

/// Data, and not the few blocks of a commit.
fn is_data(request: &InFlight) -> bool {
    request.op() == BioOp::Write && request.end().0 - request.sector().0 >= 64
}

/// A file whose bytes are on their way to the disk, and do not get there.
fn on_its_way(machine: &Arc<Machine>, path: &'static str, len: u64) -> thread::JoinHandle<()> {
    let file = machine.open(path, OpenFlags::WRONLY | OpenFlags::CREAT, 0o644).unwrap();
    write_all(&file, &vec![NEW; len as usize], 0).unwrap();
    machine.faults().keep(is_data);
    let before = machine.faults().kept();
    let writer = {
        let machine = machine.clone();
        thread::spawn(move || {
            // In the kernel each thread has credentials of its own.
            vfs::current::set_current(Arc::new(vfs::Cred::ROOT));
            machine.fsync(path).unwrap();
        })
    };
    while machine.faults().kept() == before {
        thread::yield_now();
    }
    writer
}

fn unmount(machine: Arc<Machine>) -> Image {
    let image = Arc::into_inner(machine).unwrap().unmount().unwrap();
    image.fsck().unwrap();
    image
}

fn commit(machine: &Machine) {
    machine.create("/commit", 0o644).unwrap();
    machine.fsync("/commit").unwrap();
}

/// What the file has after the power went, and how many of its extents are unwritten.
fn after_a_crash(machine: &Machine, path: &str) -> (Vec<u8>, usize) {
    let image = machine.snapshot().replayed().unwrap();
    image.fsck().unwrap();
    let extents = image.debugfs(&format!("dump_extents -l \"{path}\"")).unwrap();
    let unwritten = extents.lines().filter(|line| line.contains("Uninit")).count();
    (Machine::mount(&image).unwrap().read_file(path).unwrap(), unwritten)
}

#[test]
fn a_commit_does_not_wait_for_others_data_and_a_crash_shows_none_of_it() {
    for args in [&["-b", "1024"][..], &["-b", "4096"]] {
        for options in ["", "data=writeback"] {
            let machine = mount(&disk(args), options);
            let writer = on_its_way(&machine, "/f", 256 * KIB);
            commit(&machine);
            let (bytes, unwritten) = after_a_crash(&machine, "/f");
            assert!(bytes.is_empty() && unwritten > 0, "{} bytes, {unwritten} extents", bytes.len());
            machine.faults().release();
            writer.join().unwrap();
            let (bytes, unwritten) = after_a_crash(&machine, "/f");
            assert!(bytes.len() as u64 == 256 * KIB && bytes.iter().all(|b| *b == NEW) && unwritten == 0);
            unmount(machine);
        }
    }
}

#[test]
fn blocks_of_fallocate_are_converted_after_the_io_too() {
    let machine = mount(&disk(&["-b", "1024"]), "");
    machine.create("/f", 0o644).unwrap();
    machine.fallocate("/f", 0, 0, MIB).unwrap();
    let writer = on_its_way(&machine, "/f", 256 * KIB);
    commit(&machine);
    assert_eq!(after_a_crash(&machine, "/f").0, vec![0; MIB as usize]);
    machine.faults().release();
    writer.join().unwrap();
    let bytes = after_a_crash(&machine, "/f").0;
    assert!(bytes.iter().zip(0..).all(|(b, at)| *b == if at < 256 * KIB { NEW } else { 0 }));
    unmount(machine);
}

/// Each within a handle, waiting for a page whose conversion needs one: for a commit waits already.
#[test]
fn who_waits_for_a_page_within_a_handle_gets_it() {
    for round in 0..8 {
        let machine = mount(&disk(&["-b", "4096"]), "");
        let writer = on_its_way(&machine, "/f", MIB);
        let spawn = |work: fn(&Machine)| {
            let machine = machine.clone();
            thread::spawn(move || {
                vfs::current::set_current(Arc::new(vfs::Cred::ROOT));
                work(&machine);
            })
        };
        let others = [
            spawn(|machine| machine.truncate("/f", 1000).unwrap()),
            spawn(commit),
            spawn(|machine| machine.sync().unwrap()),
            spawn(|machine| machine.write_file("/g", &[1; 100_000]).unwrap()),
        ];
        (0..round * 50).for_each(|_| thread::yield_now());
        machine.faults().release();
        for other in others.into_iter().chain([writer]) {
            other.join().unwrap();
        }
        assert_eq!(machine.read_file("/f").unwrap(), [NEW; 1000]);
        unmount(machine);
    }
}

#[test]
fn a_file_that_replaces_another_is_there_when_its_name_is() {
    let machine = mount(&disk(&["-b", "4096"]), "");
    machine.write_file("/old", b"old").unwrap();
    machine.sync().unwrap();
    let writer = on_its_way(&machine, "/new", MIB);
    let renamer = {
        let machine = machine.clone();
        thread::spawn(move || {
            vfs::current::set_current(Arc::new(vfs::Cred::ROOT));
            machine.rename("/new", "/old").unwrap();
            commit(&machine);
        })
    };
    (0..200).for_each(|_| thread::yield_now());
    assert_eq!(after_a_crash(&machine, "/old").0, b"old");
    machine.faults().release();
    writer.join().unwrap();
    renamer.join().unwrap();
    assert_eq!(after_a_crash(&machine, "/old").0, vec![NEW; MIB as usize]);
    unmount(machine);
}

/// The rest of a page whose first block is on its way, too.
#[test]
fn a_file_that_replaces_another_is_there_to_its_end() {
    let machine = mount(&disk(&["-b", "1024"]), "");
    machine.write_file("/old", b"old").unwrap();
    machine.sync().unwrap();
    let writer = on_its_way(&machine, "/new", 33 * KIB);
    let file = machine.open("/new", OpenFlags::WRONLY, 0).unwrap();
    write_all(&file, &[NEW; 2 << 10], 33 * KIB).unwrap();
    let renamer = beside(&machine, |machine| {
        machine.rename("/new", "/old").unwrap();
        commit(machine);
    });
    (0..200).for_each(|_| thread::yield_now());
    assert_eq!(after_a_crash(&machine, "/old").0, b"old");
    machine.faults().release();
    [writer, renamer].into_iter().for_each(|thread| thread.join().unwrap());
    let bytes = after_a_crash(&machine, "/old").0;
    assert!(bytes == [NEW; 35 << 10], "{} bytes", bytes.len());
    drop(file);
    unmount(machine);
}

#[test]
fn what_failed_is_dirty_delayed_and_written_once_more() {
    for args in [&["-b", "1024"][..], &["-b", "4096"], &["-b", "1024", "-O", "^has_journal"]] {
        let machine = mount(&disk(args), "");
        machine.write_file("/f", &[NEW; 200_000]).unwrap();
        machine.faults().inject(Fault { times: 1, ..Fault::every(BioOp::Write) });
        assert!(machine.fsync("/f").is_err());
        machine.faults().heal();
        machine.fsync("/f").unwrap();
        let image = unmount(machine);
        let extents = image.debugfs("dump_extents -l /f").unwrap();
        assert!(!extents.contains("Uninit"), "{extents}");
        assert_eq!(image.cat("/f").unwrap(), [NEW; 200_000]);
    }
}

#[test]
fn without_it_a_commit_has_the_data_too() {
    let machine = mount(&disk(&["-b", "4096"]), "dioread_lock");
    let writer = on_its_way(&machine, "/f", MIB);
    let commits = {
        let machine = machine.clone();
        thread::spawn(move || {
            vfs::current::set_current(Arc::new(vfs::Cred::ROOT));
            commit(&machine);
        })
    };
    (0..200).for_each(|_| thread::yield_now());
    assert!(!commits.is_finished());
    machine.faults().release();
    writer.join().unwrap();
    commits.join().unwrap();
    assert_eq!(after_a_crash(&machine, "/f").0, vec![NEW; MIB as usize]);
    unmount(machine);
}

/// The smallest journal has no room for many: then blocks are written ones at once, and ordered.
#[test]
fn a_small_journal_does_with_less() {
    let machine = mount(&disk(&["-b", "1024", "-J", "size=1"]), "");
    for n in 0..40 {
        machine.write_file(format!("/f{n}"), &[n; 50_000]).unwrap();
    }
    machine.faults().keep(is_data);
    let syncs = {
        let machine = machine.clone();
        thread::spawn(move || {
            vfs::current::set_current(Arc::new(vfs::Cred::ROOT));
            machine.sync().unwrap();
        })
    };
    while machine.faults().kept() < 20 {
        thread::yield_now();
    }
    machine.faults().release();
    syncs.join().unwrap();
    for n in 0..40 {
        let (bytes, unwritten) = after_a_crash(&machine, &format!("/f{n}"));
        assert!(bytes == [n; 50_000] && unwritten == 0, "file {n}");
    }
    unmount(machine);
}

/// What `work` does beside the test, as root.
fn beside<T: Send + 'static>(
    machine: &Arc<Machine>,
    work: impl FnOnce(&Machine) -> T + Send + 'static,
) -> thread::JoinHandle<T> {
    let machine = machine.clone();
    thread::spawn(move || {
        vfs::current::set_current(Arc::new(vfs::Cred::ROOT));
        work(&machine)
    })
}

fn wait_for_kept(machine: &Machine, kept: usize) {
    while machine.faults().kept() < kept {
        thread::yield_now();
    }
}

/// A file that grows: what is there first, and lies behind what is not, is no part of it yet, and no damage.
#[test]
fn what_lands_first_waits_for_what_was_sent_before() {
    let machine = mount(&disk(&["-b", "4096"]), "");
    let first = on_its_way(&machine, "/f", 256 * KIB);
    let file = machine.open("/f", OpenFlags::WRONLY, 0).unwrap();
    write_all(&file, &[NEW; 256 << 10], 256 * KIB).unwrap();
    let end = 512 * KIB - 1;
    let second = beside(&machine, move |_| vfs::fsync::fsync_range(&file, 256 * KIB, end, false).unwrap());
    wait_for_kept(&machine, 2);
    machine.faults().release_nth(1);
    (0..300).for_each(|_| thread::yield_now());
    commit(&machine);
    assert!(!second.is_finished());
    assert_eq!(after_a_crash(&machine, "/f").0, []);
    machine.faults().release_nth(0);
    [first, second].into_iter().for_each(|thread| thread.join().unwrap());
    assert!(after_a_crash(&machine, "/f").0 == [NEW; 512 << 10]);
    machine.faults().release();
    unmount(machine);
}

/// What a sync has waited for is there, however much is written before it in the file meanwhile.
#[test]
fn bytes_that_come_later_hold_no_synced_size_back() {
    for sync in [|m: &Machine| m.sync().unwrap(), |m: &Machine| m.fsync("/f").unwrap()] {
        let machine = mount(&disk(&["-b", "4096"]), "");
        let file = machine.open("/f", OpenFlags::WRONLY | OpenFlags::CREAT, 0o644).unwrap();
        write_all(&file, &[NEW; 256 << 10], MIB).unwrap();
        machine.faults().keep(is_data);
        let synced = beside(&machine, sync);
        wait_for_kept(&machine, 1);
        (0..300).for_each(|_| thread::yield_now());
        write_all(&file, &[1; 128 << 10], 512 * KIB).unwrap();
        let other = file.clone();
        let later =
            beside(&machine, move |_| vfs::fsync::fsync_range(&other, 512 * KIB, MIB - 1, false).unwrap());
        wait_for_kept(&machine, 2);
        // One more, before that.
        write_all(&file, &[1; 128 << 10], 0).unwrap();
        let other = file.clone();
        let last = beside(&machine, move |_| vfs::fsync::fsync_range(&other, 0, MIB / 4, false).unwrap());
        wait_for_kept(&machine, 3);
        machine.faults().release_nth(0);
        for _ in 0..1000 {
            if synced.is_finished() {
                break;
            }
            thread::yield_now();
        }
        machine.faults().release_nth(0);
        for _ in 0..1000 {
            if synced.is_finished() {
                break;
            }
            thread::yield_now();
        }
        // It may have seen the later ones, too, and wait for them.
        if synced.is_finished() {
            let bytes = after_a_crash(&machine, "/f").0;
            assert_eq!(bytes.len() as u64, MIB + 256 * KIB);
            assert!(bytes[MIB as usize..].iter().all(|b| *b == NEW));
        }
        machine.faults().release();
        [synced, later, last].into_iter().for_each(|thread| thread.join().unwrap());
        drop(file);
        unmount(machine);
    }
}

/// A file that is cut while more of it is on its way, and grows again: its size on the disk knows nothing of that.
#[test]
fn what_was_cut_in_flight_counts_for_nothing() {
    let machine = mount(&disk(&["-b", "4096"]), "");
    let writer = on_its_way(&machine, "/f", MIB);
    let cut = beside(&machine, |machine| machine.truncate("/f", 40 * KIB).unwrap());
    while machine.stat("/f").unwrap().size != 40 * KIB {
        thread::yield_now();
    }
    machine.faults().release();
    cut.join().unwrap();
    writer.join().unwrap();
    let file = machine.open("/f", OpenFlags::WRONLY, 0).unwrap();
    write_all(&file, &[1; 4096], 80 * KIB).unwrap();
    write_all(&file, &[1; 4096], 200 * KIB).unwrap();
    vfs::fsync::fsync_range(&file, 80 * KIB, 84 * KIB - 1, false).unwrap();
    assert_eq!(after_a_crash(&machine, "/f").0.len() as u64, 84 * KIB);
    drop(file);
    unmount(machine);
}

#[test]
fn a_journal_that_is_given_up_ends_the_wait() {
    let machine = mount(&disk(&["-b", "4096"]), "errors=remount-ro");
    let file = machine.open("/f", OpenFlags::WRONLY | OpenFlags::CREAT, 0o644).unwrap();
    write_all(&file, &[NEW; 200_000], 0).unwrap();
    machine.faults().keep(is_data);
    let writer = {
        let machine = machine.clone();
        thread::spawn(move || {
            vfs::current::set_current(Arc::new(vfs::Cred::ROOT));
            assert!(machine.fsync("/f").is_err());
        })
    };
    while machine.faults().kept() == 0 {
        thread::yield_now();
    }
    // The next commit fails, and the journal with it.
    machine.faults().inject(Fault::every(BioOp::Write));
    machine.create("/commit", 0o644).unwrap();
    assert!(machine.fsync("/commit").is_err());
    machine.faults().heal();
    machine.faults().release();
    writer.join().unwrap();
    drop(file);
    assert_eq!(machine.create("/more", 0o644), Err(Errno::EROFS));
    Arc::into_inner(machine).unwrap().give_up().replayed().unwrap().fsck().unwrap();
}

/// Who says that bytes are written now may need a node for the tree, and cannot wait for a commit: blocks that are
/// free only after one are promised to nobody, so that what is kept for such nodes is there.
#[test]
fn what_is_kept_for_the_tree_is_there_before_a_commit() {
    const PIECES: u64 = 8;
    let machine = mount(&disk(&["-b", "1024", "-m", "0"]), "");
    for name in ["/f", "/old", "/rest", "/new"] {
        machine.create(name, 0o644).unwrap();
    }
    machine.fallocate("/f", 0, 0, PIECES * 64 * KIB).unwrap();
    machine.fallocate("/old", 0, 0, 4 * MIB).unwrap();
    machine.sync().unwrap();
    machine.fallocate("/rest", 0, 0, machine.statfs().unwrap().blocks_available * KIB).unwrap();
    machine.sync().unwrap();
    let full = machine.statfs().unwrap();
    assert_eq!(full.blocks_available, 0);

    let file = machine.open("/f", OpenFlags::WRONLY, 0).unwrap();
    (0..PIECES).for_each(|n| write_all(&file, &[NEW; 32 << 10], n * 64 * KIB).unwrap());
    machine.faults().keep(is_data);
    let writer = beside(&machine, |machine| machine.fsync("/f"));
    wait_for_kept(&machine, PIECES as usize);
    machine.unlink("/old").unwrap();
    machine.fallocate("/new", 0, 0, full.blocks_free * KIB).unwrap();
    machine.faults().release();
    assert_eq!(writer.join().unwrap(), Ok(()));
    drop(file);
    unmount(machine);
}
