//! FS_IOC_FIEMAP and FIBMAP against debugfs' view of the same file, and Linux's errnos.

use base::Errno;
use base::user::FakeUser;
use sim::{Image, Machine, Rng};
use vfs::{Caller, OpenFlags};

const FIEMAP: u32 = 0xc020_660b;
const FIBMAP: u32 = 1;
const FIGETBSZ: u32 = 2;
const ARG: u64 = 0x1000;
const MEMORY: usize = 0x8000;
const ALL: u64 = u64::MAX;

const SYNC: u32 = 1;
const XATTR: u32 = 2;
const LAST: u32 = 0x1;
const INLINE: u32 = 0x300;
const UNWRITTEN: u32 = 0x800;
const MERGED: u32 = 0x1000;

/// Logical, physical, length, flags.
type Extent = (u64, u64, u64, u32);

/// The answer, `fm_flags` and `fm_mapped_extents` as they came back, and the extents.
fn raw(
    m: &Machine,
    path: &str,
    range: (u64, u64),
    flags: u32,
    count: u32,
) -> (Result<u64, Errno>, u32, u32, Vec<Extent>) {
    let memory = FakeUser::new(ARG, MEMORY);
    let mut head = [range.0.to_ne_bytes(), range.1.to_ne_bytes()].concat();
    for word in [flags, 77, count, 0] {
        head.extend_from_slice(&word.to_ne_bytes());
    }
    memory.put(ARG, &head);
    let file = m.open(path, OpenFlags::empty(), 0).unwrap();
    let caller = Caller { memory: &memory, capable: false, uid: 1 };
    let done = file.ops().ioctl(&file, FIEMAP, ARG, &caller);
    let long = |at: u64| u64::from_ne_bytes(memory.get(at, 8).try_into().unwrap());
    let word = |at: u64| u32::from_ne_bytes(memory.get(at, 4).try_into().unwrap());
    let mapped = word(ARG + 20);
    let told = if done.is_ok() { mapped.min(count) } else { 0 };
    let extent = |i: u32| {
        let at = ARG + 32 + 56 * u64::from(i);
        (long(at), long(at + 8), long(at + 16), word(at + 40))
    };
    (done, word(ARG + 16), mapped, (0..told).map(extent).collect())
}

fn extents(m: &Machine, path: &str, range: (u64, u64), flags: u32, count: u32) -> Vec<Extent> {
    let (done, back, mapped, extents) = raw(m, path, range, flags, count);
    assert_eq!(done, Ok(0));
    assert_eq!(back, flags & SYNC, "what was understood is gone, but SYNC");
    assert_eq!(mapped as usize, extents.len());
    extents
}

fn errno(m: &Machine, range: (u64, u64), flags: u32, count: u32) -> (Errno, u32) {
    let (done, back, ..) = raw(m, "/f", range, flags, count);
    (done.unwrap_err(), back)
}

fn bmap(m: &Machine, path: &str, block: i32, capable: bool) -> Result<i32, Errno> {
    let memory = FakeUser::new(ARG, 4096);
    memory.put(ARG, &block.to_ne_bytes());
    let file = m.open(path, OpenFlags::empty(), 0).unwrap();
    file.ops().ioctl(&file, FIBMAP, ARG, &Caller { memory: &memory, capable, uid: 1 })?;
    Ok(i32::from_ne_bytes(memory.get(ARG, 4).try_into().unwrap()))
}

/// debugfs' list of the leaves of a file, in bytes.
fn tree_of(image: &Image, path: &str, block: u64) -> Vec<Extent> {
    let text = image.debugfs(&format!("ex -l {path}")).unwrap();
    let row = |line: &str| {
        let line = line.replace(['/', '-'], " ");
        let n: Vec<u64> = line.split_whitespace().map_while(|w| w.parse().ok()).collect();
        let flags = if line.contains("Uninit") { UNWRITTEN } else { 0 };
        (n.len() == 9).then(|| (n[4] * block, n[6] * block, n[8] * block, flags))
    };
    text.lines().filter_map(row).collect()
}

/// The same of a file with block pointers, runs that go on as one.
fn pointers_of(image: &Image, path: &str, block: u64) -> Vec<Extent> {
    let text = image.debugfs(&format!("stat {path}")).unwrap();
    let list = text.split("BLOCKS:\n").nth(1).unwrap_or("").split("TOTAL").next().unwrap();
    let mut all: Vec<Extent> = Vec::new();
    for item in list.split(", ") {
        let Some((logical, physical)) = item.trim().trim_start_matches('(').split_once("):") else {
            continue;
        };
        let number = |text: &str| text.split('-').map_while(|n| n.parse().ok()).collect::<Vec<u64>>();
        let (l, p) = (number(logical), number(physical));
        if l.is_empty() {
            continue;
        }
        let next = (l[0] * block, p[0] * block, (l[l.len() - 1] - l[0] + 1) * block, MERGED);
        match all.last_mut() {
            Some(e) if e.0 + e.2 == next.0 && e.1 + e.2 == next.1 => e.2 += next.2,
            _ => all.push(next),
        }
    }
    all
}

/// What of the whole list a range shows, with room for so many.
fn part(all: &[Extent], block: u64, start: u64, len: u64, room: usize) -> Vec<Extent> {
    let (from, to) = (start / block * block, start.saturating_add(len).div_ceil(block).saturating_mul(block));
    let cut = |e: &Extent| {
        let (low, high) = (e.0.max(from), (e.0 + e.2).min(to));
        (low < high).then(|| (low, e.1 + (low - e.0), high - low, e.3))
    };
    let mut all: Vec<Extent> = all.iter().filter_map(cut).collect();
    if let Some(last) = all.last_mut() {
        last.3 |= LAST;
    }
    all.truncate(room);
    all
}

fn compare(seed: u64, args: &[&str], block: u64, pointers: bool) {
    let mut rng = Rng::new(seed);
    let machine = Machine::mount(&Image::mkfs_over_garbage(12 << 20, args).unwrap()).unwrap();
    machine.create("/f", 0o644).unwrap();
    for _ in 0..40 {
        let (start, len) = (rng.below(400_000), 1 + rng.below(30_000));
        let mode = *rng.pick(&[0, 1, 3, 0x10]);
        if rng.one_in(2) {
            machine.pwrite("/f", start, &rng.bytes(len as usize)).unwrap();
        } else if !pointers || mode == 3 {
            machine.fallocate("/f", mode, start, len).unwrap();
        }
    }
    let whole = extents(&machine, "/f", (0, ALL), SYNC, 400);
    let image = machine.unmount().unwrap();
    let list = if pointers { pointers_of(&image, "/f", block) } else { tree_of(&image, "/f", block) };
    assert!(list.len() > 5);
    assert_eq!(whole, part(&list, block, 0, ALL, 400), "seed {seed}, {args:?}");
    let machine = Machine::mount(&image).unwrap();
    for _ in 0..60 {
        let (start, len) = (rng.below(500_000), 1 + rng.below(200_000));
        let room = 1 + rng.below(12) as usize;
        let got = extents(&machine, "/f", (start, len), 0, room as u32);
        assert_eq!(got, part(&list, block, start, len, room), "seed {seed}: {start} {len} {room}");
        let (done, _, counted, _) = raw(&machine, "/f", (start, len), 0, 0);
        assert_eq!((done, counted as usize), (Ok(0), part(&list, block, start, len, 1000).len()));
        let number = start / block;
        let here = part(&list, block, number * block, block, 1);
        let want = here.first().filter(|e| e.3 & UNWRITTEN == 0).map_or(0, |e| e.1 / block);
        assert_eq!(bmap(&machine, "/f", number as i32, true), Ok(want as i32), "seed {seed}: block {number}");
    }
    let root = extents(&machine, "/", (0, ALL), 0, 9);
    let list = if pointers { pointers_of(&image, "/", block) } else { tree_of(&image, "/", block) };
    assert_eq!(root, part(&list, block, 0, ALL, 9));
    machine.unmount().unwrap().fsck().unwrap();
}

#[test]
fn extents_as_debugfs_lists_them() {
    for (seed, block) in [(1, 1024u64), (2, 2048), (3, 4096), (4, 1024)] {
        compare(seed, &["-b", &block.to_string()], block, false);
    }
}

#[test]
fn pointers_as_debugfs_lists_them() {
    for (seed, block) in [(1, 1024u64), (2, 4096)] {
        compare(seed, &["-t", "ext2", "-b", &block.to_string()], block, true);
    }
}

/// The byte of the device where an inode begins, by debugfs: "located at block 37, offset 0x0b00".
fn inode_byte(image: &Image, path: &str, block: u64) -> u64 {
    let text = image.debugfs(&format!("imap {path}")).unwrap();
    let (_, place) = text.split_once("located at block ").unwrap();
    let (number, offset) = place.trim().split_once(", offset 0x").unwrap();
    number.parse::<u64>().unwrap() * block + u64::from_str_radix(offset, 16).unwrap()
}

#[test]
fn inline_data_and_attributes() {
    let made = Image::mkfs(8 << 20, &["-b", "1024", "-O", "inline_data", "-I", "256"]).unwrap();
    let m = Machine::mount(&made).unwrap();
    m.write_file("/f", b"few bytes").unwrap();
    m.write_file("/g", &[1; 5000]).unwrap();
    m.create("/none", 0o600).unwrap();
    m.set_xattr("/g", "user.large", &[b'x'; 600], 0).unwrap();
    let inline = extents(&m, "/f", (0, ALL), 0, 2);
    let (body, block) = (extents(&m, "/f", (0, ALL), XATTR, 2), extents(&m, "/g", (0, ALL), XATTR, 2));
    assert_eq!(extents(&m, "/f", (9, 1), 0, 2), []);
    assert_eq!(extents(&m, "/none", (0, ALL), 0, 2), []);
    assert_eq!(extents(&m, "/none", (0, ALL), XATTR, 2), []);
    assert_eq!(extents(&m, "/g", (1024, ALL), XATTR, 2), []);
    assert_eq!(bmap(&m, "/f", 0, true), Ok(0));
    let image = m.unmount().unwrap();
    let inode = inode_byte(&image, "/f", 1024);
    assert_eq!(inline, [(0, inode + 0x28, 9, INLINE | LAST)]);
    assert_eq!(body, [(0, inode + 128 + 32, 256 - 128 - 32, INLINE | LAST)]);
    let text = image.debugfs("stat /g").unwrap();
    let acl = text.split("File ACL: ").nth(1).unwrap().split_whitespace().next().unwrap();
    assert_eq!(block, [(0, acl.parse::<u64>().unwrap() * 1024, 1024, LAST)]);
}

#[test]
fn errnos() {
    let m = Machine::mount(&Image::mkfs(8 << 20, &["-b", "1024"]).unwrap()).unwrap();
    m.write_file("/f", &[1; 5000]).unwrap();
    m.mkdir("/d").unwrap();
    let most = u64::from(u32::MAX) << 10;
    assert_eq!(errno(&m, (0, 0), 4, 9), (Errno::EINVAL, 0));
    assert_eq!(errno(&m, (most, 1), 8, 9), (Errno::EFBIG, 8));
    assert_eq!(errno(&m, (0, ALL), SYNC | XATTR | 4 | 8, 9), (Errno::EBADR, 8));
    assert_eq!(errno(&m, (0, ALL), SYNC, u32::MAX / 56 + 1), (Errno::EINVAL, SYNC));
    assert_eq!(extents(&m, "/f", (most - 1, ALL), 0, 9), []);
    let room = (MEMORY / 56) as u32 * 2;
    assert_eq!(raw(&m, "/f", (0, ALL), 4, room).0, Ok(0), "an array is written as far as it is needed");

    assert_eq!(bmap(&m, "/f", 0, false), Err(Errno::EPERM));
    assert_eq!(bmap(&m, "/f", -1, true), Err(Errno::EINVAL));
    assert_eq!(bmap(&m, "/f", i32::MAX, true), Ok(0));
    assert_eq!(bmap(&m, "/d", 0, true), Err(Errno::ENOTTY));

    let file = m.open("/f", OpenFlags::empty(), 0).unwrap();
    let memory = FakeUser::new(ARG, 4096);
    let caller = Caller { memory: &memory, capable: true, uid: 0 };
    for command in [FIEMAP, FIBMAP, FIGETBSZ] {
        assert_eq!(file.ops().ioctl(&file, command, 8, &caller), Err(Errno::EFAULT));
    }
    // The head is there, the array is not.
    let mut head = [0; 32];
    head[8..16].fill(0xff);
    head[24] = 1;
    let at = ARG + 4096 - 32;
    memory.put(at, &head);
    assert_eq!(file.ops().ioctl(&file, FIEMAP, at, &caller), Err(Errno::EFAULT));
    assert_eq!(file.ops().ioctl(&file, FIGETBSZ, ARG, &caller), Ok(0));
    assert_eq!(memory.get(ARG, 4), 1024u32.to_ne_bytes());
}
