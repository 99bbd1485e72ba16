//! Names and files without them: O_TMPFILE, orphans in the list and in the file, damaged indexes.

use base::Errno;
use sim::{Image, Machine, read_all, write_all};
use vfs::OpenFlags;

const MIB: u64 = 1 << 20;

fn image(mib: u64, args: &[&str]) -> Image {
    Image::mkfs(mib * MIB, args).unwrap()
}

fn done(m: Machine) -> Image {
    let image = m.unmount().unwrap();
    image.fsck().unwrap();
    image
}

const TMP: OpenFlags = OpenFlags::TMPFILE.union(OpenFlags::RDWR);

/// To read or to follow a link moves its atime, as to list a directory does; O_NOATIME forbids that.
#[test]
fn links_and_directories_have_atimes() {
    let m = Machine::mount(&image(16, &[])).unwrap();
    m.mkdir("/d").unwrap();
    m.write_file("/d/f", b"f").unwrap();
    m.symlink("d", "/l").unwrap();
    let past = base::Timespec { sec: 1000, nsec: 0 };
    let reset = |path: &str| {
        let update = vfs::attr_ops::TimeUpdate::To(past);
        m.utimens(path, update, update).unwrap();
    };
    let read_at = |path: &str| m.stat(path).unwrap().atime;
    for look in
        [&|| drop(m.readlink("/l").unwrap()), &|| drop(m.read_file("/l/f").unwrap())] as [&dyn Fn(); 2]
    {
        reset("/l");
        look();
        assert!(read_at("/l") > past);
    }
    for path in ["/d", "/d/f"] {
        reset(path);
        let file = m.open(path, OpenFlags::NOATIME, 0).unwrap();
        match path {
            "/d" => vfs::iterate_dir(&file, &mut |_: &vfs::DirEntry<'_>| true).unwrap(),
            _ => drop(read_all(&file).unwrap()),
        }
        assert_eq!(read_at(path), past, "{path}");
    }
    m.read_dir("/d").unwrap();
    assert!(read_at("/d") > past);
    done(m);
}

#[test]
fn a_file_without_a_name_gets_one_or_goes() {
    let m = Machine::mount(&image(16, &["-b", "1024"])).unwrap();
    let free = m.statfs().unwrap();
    m.mkdir("/d").unwrap();
    let kept = m.open("/d", TMP, 0o640).unwrap();
    write_all(&kept, b"kept", 0).unwrap();
    assert_eq!(kept.inode().attr().nlink, 0);
    m.link_file(&kept, "/d/kept").unwrap();
    assert_eq!(m.stat("/d/kept").unwrap().nlink, 1);
    assert_eq!(m.stat("/d/kept").unwrap().mode, 0o100640);
    // One more name, now that it has one; with its names its right to come back goes.
    m.link_file(&kept, "/again").unwrap();
    m.unlink("/again").unwrap();
    m.unlink("/d/kept").unwrap();
    assert_eq!(m.link_file(&kept, "/back"), Err(Errno::ENOENT));
    assert_eq!(read_all(&kept).unwrap(), b"kept");
    let secret = m.open("/", TMP | OpenFlags::EXCL, 0o600).unwrap();
    write_all(&secret, &[7; 5000], 0).unwrap();
    assert_eq!(m.link_file(&secret, "/secret"), Err(Errno::ENOENT));
    drop((kept, secret));
    m.rmdir("/d").unwrap();
    let after = m.statfs().unwrap();
    assert_eq!((free.files_free, free.blocks_free), (after.files_free, after.blocks_free));
    done(m);
}

#[test]
fn files_without_a_name_go_at_the_next_mount() {
    let m = Machine::mount(&image(16, &["-b", "1024"])).unwrap();
    let free = m.statfs().unwrap().files_free;
    let files: Vec<_> = (0..20).map(|_| m.open("/", TMP, 0o600).unwrap()).collect();
    m.link_file(&files[7], "/seven").unwrap();
    m.sync().unwrap();
    let cut = m.snapshot();
    drop(files);
    done(m);
    let m = Machine::mount(&cut).unwrap();
    assert_eq!(m.statfs().unwrap().files_free, free - 1);
    assert_eq!(m.stat("/seven").unwrap().nlink, 1);
    done(m);
}

/// A machine that stopped with files open and unlinked, and one that was being cut.
fn stopped_with_orphans(args: &[&str], count: usize) -> Image {
    let m = Machine::mount(&image(24, args)).unwrap();
    m.write_file("/stays", b"stays").unwrap();
    let mut open = Vec::new();
    for i in 0..count {
        let path = format!("/orphan{i}");
        m.write_file(&path, &vec![i as u8; 3000]).unwrap();
        open.push(m.open(&path, OpenFlags::RDWR, 0).unwrap());
        m.unlink(&path).unwrap();
    }
    m.sync().unwrap();
    let cut = m.snapshot();
    drop(open);
    done(m);
    cut
}

#[test]
fn orphans_of_both_kinds_go_at_the_next_mount() {
    let old = ["-b", "1024", "-O", "^orphan_file"];
    let file = ["-b", "1024", "-O", "orphan_file"];
    let plain = ["-b", "4096", "-O", "orphan_file,^metadata_csum"];
    for args in [&old[..], &file, &plain] {
        let image = stopped_with_orphans(args, 40);
        let m = Machine::mount(&image).unwrap();
        assert_eq!(m.read_file("/stays").unwrap(), b"stays");
        let image = done(m);
        assert!(!image.debugfs("stats").unwrap().contains("orphan_present"));
        // Nothing is left to do for the next one.
        done(Machine::mount(&image).unwrap());
    }
}

#[test]
fn a_full_orphan_file_goes_on_in_the_list() {
    // mke2fs gives it 32 blocks of 254 entries.
    let m = Machine::mount(&image(24, &["-b", "1024", "-N", "9000", "-O", "orphan_file"])).unwrap();
    let free = m.statfs().unwrap().files_free;
    let open: Vec<_> = (0..32 * 254 + 50).map(|_| m.open("/", TMP, 0o600).unwrap()).collect();
    m.sync().unwrap();
    let cut = m.snapshot();
    drop(open);
    done(m);
    // All are found again, also the 50 that the file had no room for. (The list's head is in the log yet, and
    // e2fsck's replay deletes the orphans too, where there is a file of them.)
    let m = Machine::mount(&cut).unwrap();
    assert_eq!(m.statfs().unwrap().files_free, free);
    done(m);
}

#[test]
fn entries_of_an_orphan_file_are_where_e2fsck_finds_them() {
    let image = stopped_with_orphans(&["-b", "1024", "-O", "orphan_file"], 5).replayed().unwrap();
    assert!(image.debugfs("stats").unwrap().contains("orphan_present"));
    // e2fsck deletes them by itself, and is content then.
    image.repaired().unwrap().fsck().unwrap();
}

/// Linux says `orphan_present` of a disk with a journal alone; without one the list serves.
#[test]
fn without_a_journal_the_orphan_file_stays_empty() {
    // mke2fs makes no such disk, tune2fs may.
    let made = image(24, &["-b", "1024", "-O", "orphan_file"]).changed("feature -has_journal").unwrap();
    let m = Machine::mount(&made).unwrap();
    let open: Vec<_> = (0..5).map(|_| m.open("/", TMP, 0o600).unwrap()).collect();
    m.sync().unwrap();
    let cut = m.snapshot();
    drop(open);
    m.unmount().unwrap();
    assert!(!cut.debugfs("stats").unwrap().contains("orphan_present"));
    assert_ne!(cut.stat_field("First orphan inode").unwrap(), "0");
    let m = Machine::mount(&cut).unwrap();
    assert_eq!(m.unmount().unwrap().stat_field("First orphan inode").ok().filter(|n| n != "0"), None);
}
