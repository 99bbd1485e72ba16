//! Extended attributes on real images: against a map, and as debugfs and e2fsck see them.

use std::collections::BTreeMap;

use base::Errno;
use sim::{Image, Machine, Options, Rng, take_log};

const SIZE: u64 = 8 << 20;

/// Block sizes, inode sizes, features.
const SHAPES: [&[&str]; 8] = [
    &["-b", "1024", "-I", "128"],
    &["-b", "1024", "-I", "256"],
    &["-b", "1024", "-I", "1024"],
    &["-b", "2048", "-I", "256"],
    &["-b", "4096", "-I", "128"],
    &["-b", "4096", "-I", "256"],
    &["-b", "4096", "-I", "1024"],
    &["-b", "1024", "-I", "256", "-O", "^metadata_csum,uninit_bg"],
];

fn image(args: &[&str]) -> Image {
    Image::mkfs(SIZE, args).unwrap()
}

#[test]
fn a_store_is_a_map() {
    for (number, shape) in SHAPES.iter().enumerate() {
        random_run(shape, number as u64);
    }
}

/// Random changes to a few inodes of every kind, compared with maps; then remounted, compared again,
/// and e2fsck is asked.
fn random_run(shape: &[&str], seed: u64) {
    let mut rng = Rng::new(seed);
    let machine = Machine::mount(&image(shape)).unwrap();
    machine.create("/f", 0o644).unwrap();
    machine.create("/g", 0o600).unwrap();
    machine.mkdir("/d").unwrap();
    machine.symlink("f", "/l").unwrap();
    let paths = ["/f", "/g", "/d", "/l"];
    let mut model: Vec<BTreeMap<String, Vec<u8>>> = vec![BTreeMap::new(); paths.len()];
    for step in 0..400 {
        let which = rng.below(paths.len() as u64) as usize;
        let space = if paths[which] == "/l" || rng.one_in(3) { "trusted" } else { "user" };
        let name = format!("{space}.{}{}", "n".repeat(1 + rng.below(9) as usize), rng.below(6));
        let map = &mut model[which];
        let there = map.contains_key(&name);
        let what = format!("{shape:?} step {step}: {} {name}", paths[which]);
        if rng.one_in(4) {
            let expected = if there { Ok(()) } else { Err(Errno::ENODATA) };
            assert_eq!(machine.remove_xattr(paths[which], &name), expected, "{what}");
            map.remove(&name);
            continue;
        }
        let len = if rng.one_in(3) { rng.below(600) } else { rng.below(40) };
        let value = rng.bytes(len as usize);
        let flags = rng.below(8).min(3) as u32 % 3;
        match machine.set_xattr(paths[which], &name, &value, flags) {
            Ok(()) => {
                assert!(flags == 0 || there == (flags == 2), "{what}");
                map.insert(name, value);
            }
            Err(Errno::EEXIST) => assert!(flags == 1 && there, "{what}"),
            Err(Errno::ENODATA) => assert!(flags == 2 && !there, "{what}"),
            Err(e) => assert_eq!(e, Errno::ENOSPC, "{what}"),
        }
    }
    let compare = |machine: &Machine| {
        for (path, map) in paths.iter().zip(&model) {
            let names: Vec<String> = map.keys().cloned().collect();
            assert_eq!(machine.list_xattrs(path).unwrap(), names, "{shape:?} {path}");
            for (name, value) in map {
                assert_eq!(machine.get_xattr(path, name).as_ref(), Ok(value), "{shape:?} {path} {name}");
            }
        }
    };
    compare(&machine);
    let written = machine.unmount().unwrap();
    written.fsck().unwrap();
    let machine = Machine::mount(&written).unwrap();
    compare(&machine);
    for path in ["/f", "/g", "/l"] {
        machine.unlink(path).unwrap();
    }
    machine.rmdir("/d").unwrap();
    let emptied = machine.unmount().unwrap();
    emptied.fsck().unwrap();
    assert_eq!(
        emptied.stat_field("Free blocks").unwrap(),
        image(shape).stat_field("Free blocks").unwrap(),
        "{shape:?}"
    );
}

#[test]
fn debugfs_reads_what_quill_wrote_and_the_other_way_round() {
    for shape in SHAPES {
        let machine = Machine::mount(&image(shape)).unwrap();
        machine.create("/f", 0o644).unwrap();
        machine.set_xattr("/f", "user.color", b"blue", 0).unwrap();
        machine.set_xattr("/f", "security.label", &[b'x'; 300], 0).unwrap();
        machine.set_xattr("/f", "trusted.t", b"tt", 0).unwrap();
        let written = machine.unmount().unwrap();
        let listed = written.debugfs("ea_list /f").unwrap();
        for name in ["user.color (4) = \"blue\"", "security.label (300)", "trusted.t (2) = \"tt\""] {
            assert!(listed.contains(name), "{shape:?}: {listed}");
        }
        let changed = written.changed("ea_set /f user.other value").unwrap();
        let changed = changed.changed("ea_rm /f trusted.t").unwrap();
        changed.fsck().unwrap();
        let machine = Machine::mount(&changed).unwrap();
        assert_eq!(
            machine.list_xattrs("/f").unwrap(),
            ["security.label", "user.color", "user.other"],
            "{shape:?}"
        );
        assert_eq!(machine.get_xattr("/f", "user.other").unwrap(), b"value");
        machine.unmount().unwrap().fsck().unwrap();
    }
}

/// A file's block of attributes made to be shared by another file, as Linux does.
fn shared() -> Image {
    let machine = Machine::mount(&image(&["-b", "1024", "-I", "128", "-O", "^metadata_csum"])).unwrap();
    machine.create("/f", 0o644).unwrap();
    machine.create("/g", 0o644).unwrap();
    machine.set_xattr("/f", "user.a", b"shared", 0).unwrap();
    machine.set_xattr("/g", "user.a", b"other", 0).unwrap();
    machine.remove_xattr("/g", "user.a").unwrap();
    let mut written = machine.unmount().unwrap();
    let block: usize = number(&written, "/f", "File ACL");
    written.bytes[block * 1024 + 4] = 2;
    let sectors: usize = number(&written, "/g", "Blockcount");
    written
        .changed(&format!("set_inode_field /g file_acl {block}"))
        .unwrap()
        .changed(&format!("set_inode_field /g blocks {}", sectors + 2))
        .unwrap()
}

/// A number that `debugfs stat` tells.
fn number(image: &Image, path: &str, field: &str) -> usize {
    let stat = image.debugfs(&format!("stat {path}")).unwrap();
    let after = stat.split(&format!("{field}: ")).nth(1).unwrap();
    after.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn a_shared_block_is_copied_when_it_changes() {
    let before = shared();
    before.fsck().unwrap();
    let machine = Machine::mount(&before).unwrap();
    machine.set_xattr("/g", "user.a", b"changed", 0).unwrap();
    assert_eq!(machine.get_xattr("/f", "user.a").unwrap(), b"shared");
    assert_eq!(machine.get_xattr("/g", "user.a").unwrap(), b"changed");
    let written = machine.unmount().unwrap();
    written.fsck().unwrap();
    assert_ne!(number(&written, "/f", "File ACL"), number(&written, "/g", "File ACL"));

    let machine = Machine::mount(&before).unwrap();
    machine.unlink("/f").unwrap();
    assert_eq!(machine.get_xattr("/g", "user.a").unwrap(), b"shared");
    machine.remove_xattr("/g", "user.a").unwrap();
    machine.unmount().unwrap().fsck().unwrap();
}

#[test]
fn hostile_blocks_and_bodies() {
    let damages: [(usize, &[u8], &str); 8] = [
        (0, &[9], "h_magic"),
        (4, &[0, 0, 0, 0], "h_refcount"),
        (8, &[2], "h_blocks"),
        (52, &[1, 1, 0, 0], "reaches past the end"),
        (34, &[33, 0], "e_value_offs"),
        (36, &[7], "e_value_inum"),
        (40, &[0, 0, 0, 9], "e_value_size"),
        (48, &[0], "e_name"),
    ];
    let made = {
        let machine = Machine::mount(&image(&["-b", "1024", "-I", "128", "-O", "^metadata_csum"])).unwrap();
        machine.create("/f", 0o644).unwrap();
        machine.set_xattr("/f", "user.name", &[7; 968], 0).unwrap();
        machine.unmount().unwrap()
    };
    let block = number(&made, "/f", "File ACL") * 1024;
    for (at, bytes, word) in damages {
        let mut broken = made.clone();
        broken.bytes[block + at..block + at + bytes.len()].copy_from_slice(bytes);
        let machine = Machine::mount(&broken).unwrap();
        take_log();
        assert_eq!(machine.get_xattr("/f", "user.name"), Err(Errno::EUCLEAN), "{word}");
        let log = take_log().join("\n");
        assert!(log.contains(word) && log.contains("inode #"), "{word}: {log}");
        let _ = machine.set_xattr("/f", "user.b", b"1", 0);
        let _ = machine.unlink("/f");
        machine.give_up();
    }
    let with_sum = {
        let machine = Machine::mount(&image(&["-b", "1024", "-I", "128"])).unwrap();
        machine.create("/f", 0o644).unwrap();
        machine.set_xattr("/f", "user.name", &[7; 968], 0).unwrap();
        machine.unmount().unwrap()
    };
    let mut broken = with_sum.clone();
    broken.bytes[number(&with_sum, "/f", "File ACL") * 1024 + 1000] ^= 1;
    let machine = Machine::mount(&broken).unwrap();
    take_log();
    assert_eq!(machine.list_xattrs("/f"), Err(Errno::EUCLEAN));
    assert!(take_log().join("\n").contains("h_checksum"));
    machine.give_up();
}

#[test]
fn too_large_and_off() {
    let options = Options { options: "nouser_xattr".into(), ..Options::default() };
    let made = image(&["-b", "1024", "-I", "256"]);
    let machine = Machine::mount_with(&made, &options).unwrap();
    machine.create("/f", 0o644).unwrap();
    assert_eq!(machine.set_xattr("/f", "user.a", b"", 0), Err(Errno::EOPNOTSUPP));
    assert_eq!(machine.set_xattr("/f", "trusted.a", &[0; 2000], 0), Err(Errno::ENOSPC));
    assert_eq!(machine.set_xattr("/f", "trusted.a", b"", 0), Ok(()));
    assert_eq!(machine.get_xattr("/f", "trusted.a"), Ok(Vec::new()));
    machine.unmount().unwrap().fsck().unwrap();
}

/// A disk with ea_inode, and a file on it with a value of its own inode, by e2fsprogs.
fn with_value_inode() -> (Image, Vec<u8>) {
    let machine = Machine::mount(&image(&["-b", "1024", "-O", "ea_inode"])).unwrap();
    machine.create("/f", 0o644).unwrap();
    machine.set_xattr("/f", "user.small", b"s", 0).unwrap();
    let written = machine.unmount().unwrap();
    let value: Vec<u8> = (0..1024u32).map(|n| (n % 251) as u8).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &value).unwrap();
    let set = format!("ea_set -f {} /f user.large", file.path().display());
    // debugfs takes one block of the file, and forgets to count it in /f.
    (written.changed(&set).unwrap().repaired().unwrap(), value)
}

#[test]
fn a_value_in_an_inode_of_its_own() {
    let (made, value) = with_value_inode();
    made.fsck().unwrap();
    assert!(made.debugfs("ea_list /f").unwrap().contains("user.large (1024)"));
    let machine = Machine::mount(&made).unwrap();
    assert_eq!(machine.list_xattrs("/f").unwrap(), ["user.large", "user.small"]);
    assert!(machine.get_xattr("/f", "user.large").unwrap() == value);
    machine.set_xattr("/f", "user.small", b"changed", 0).unwrap();
    assert!(machine.get_xattr("/f", "user.large").unwrap() == value);
    let written = machine.unmount().unwrap();
    written.fsck().unwrap();
    let machine = Machine::mount(&written).unwrap();
    machine.remove_xattr("/f", "user.large").unwrap();
    assert_eq!(machine.get_xattr("/f", "user.large"), Err(Errno::ENODATA));
    machine.unmount().unwrap().fsck().unwrap();
    let machine = Machine::mount(&written).unwrap();
    machine.unlink("/f").unwrap();
    machine.unmount().unwrap().fsck().unwrap();
}
