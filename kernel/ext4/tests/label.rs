//! The volume's name: in the superblock, in its backups, and as a program asks for it.

use base::Errno;
use base::user::FakeUser;
use sim::{Image, Machine};
use vfs::{Caller, OpenFlags};

const GET: u32 = 0x8100_9431;
const SET: u32 = 0x4100_9432;

/// An ioctl of the root directory with 17 bytes.
fn ioctl(m: &Machine, cmd: u32, bytes: [u8; 17], capable: bool) -> Result<[u8; 17], Errno> {
    let memory = FakeUser::new(0x1000, 0x1000);
    memory.put(0x1000, &bytes);
    let file = m.open("/", OpenFlags::empty(), 0)?;
    let caller = Caller { memory: &memory, capable, uid: 0 };
    file.ops().ioctl(&file, cmd, 0x1000, &caller)?;
    Ok(memory.get(0x1000, 17).try_into().unwrap())
}

fn name(text: &str) -> [u8; 17] {
    let mut bytes = [0; 17];
    bytes[..text.len()].copy_from_slice(text.as_bytes());
    bytes
}

/// 1 KiB blocks: the backup of group 3 has a block of its own.
fn image(features: &str) -> Image {
    Image::mkfs(32 << 20, &["-b", "1024", "-L", "before", "-O", features]).unwrap()
}

/// `s_volume_name` of group 3's backup.
fn backup_name(image: &Image) -> String {
    let at = 24577 * 1024 + 120;
    String::from_utf8_lossy(&image.bytes[at..at + 16]).into_owned()
}

#[test]
fn a_name_goes_to_the_superblock_and_its_backups() {
    for features in ["metadata_csum", "^metadata_csum", "^has_journal", "sparse_super2"] {
        let m = Machine::mount(&image(features)).unwrap();
        assert_eq!(ioctl(&m, GET, [0xff; 17], true).unwrap(), name("before"), "{features}");
        ioctl(&m, SET, name("sixteen bytes ok"), true).unwrap();
        assert_eq!(ioctl(&m, GET, [0xff; 17], true).unwrap(), name("sixteen bytes ok"), "{features}");
        let image = m.unmount().unwrap();
        image.fsck().unwrap();
        assert_eq!(image.stat_field("Filesystem volume name").unwrap(), "sixteen bytes ok", "{features}");
        if features != "sparse_super2" {
            assert_eq!(backup_name(&image), "sixteen bytes ok", "{features}");
        }
    }
}

#[test]
fn who_may_and_what() {
    let m = Machine::mount(&image("metadata_csum")).unwrap();
    assert_eq!(ioctl(&m, SET, name("x"), false), Err(Errno::EPERM));
    assert_eq!(ioctl(&m, SET, [b'x'; 17], true), Err(Errno::EINVAL));
    ioctl(&m, SET, name(""), true).unwrap();
    let image = m.unmount().unwrap();
    assert_eq!(image.stat_field("Filesystem volume name").unwrap(), "<none>");
}

#[test]
fn a_damaged_backup_is_left_alone() {
    let mut image = image("metadata_csum");
    image.bytes[24577 * 1024 + 200] ^= 1;
    let m = Machine::mount(&image).unwrap();
    ioctl(&m, SET, name("after"), true).unwrap();
    let after = m.unmount().unwrap();
    let at = 24577 * 1024;
    assert_eq!(after.bytes[at..at + 1024], image.bytes[at..at + 1024]);
    assert_eq!(after.stat_field("Filesystem volume name").unwrap(), "after");
}
