//! `--drive`: one more disk, with QEMU's own options.
//!
//! ```text
//!   --drive log.img,serial=L1,logical_block_size=4096,throttling.iops-total=50,readonly
//!           └ file  └ of the device ────────────────┘ └ of the drive ─────────┘ └ read-only=on
//! ```
//! Options of the device are those of QEMU's virtio-blk that are listed here; all others are the
//! drive's (`-drive`), whatever they are: QEMU says what it does not know. A comma in a file's name is
//! doubled. A FILE that does not exist may be one of QEMU's own names: `blkdebug:rules:log.img`.

use std::path::Path;
use std::str::FromStr;

/// What belongs to the device rather than to the file behind it.
const OF_THE_DEVICE: [&str; 21] = [
    "bootindex",
    "config-wce",
    "discard",
    "discard_granularity",
    "event_idx",
    "indirect_desc",
    "logical_block_size",
    "max-discard-sectors",
    "max-write-zeroes-sectors",
    "min_io_size",
    "num-queues",
    "opt_io_size",
    "physical_block_size",
    "queue-size",
    "report-discard-granularity",
    "request-merging",
    "seg-max-adjust",
    "serial",
    "share-rw",
    "write-cache",
    "write-zeroes",
];

/// The guest hears of every failed request, as with the main disk.
const ERRORS: &str = "werror=report,rerror=report";

/// One further disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drive {
    /// A file, or one of QEMU's names.
    file: String,
    /// `-drive`'s options.
    node: Vec<String>,
    /// The device's options.
    device: Vec<String>,
}

impl FromStr for Drive {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = split(text).into_iter();
        let file = words.next().filter(|file| !file.is_empty()).ok_or("expected FILE[,OPTION=VALUE…]")?;
        let mut drive = Drive { file, node: Vec::new(), device: Vec::new() };
        for word in words {
            match word.split_once('=') {
                None if word == "readonly" => drive.node.push("read-only=on".to_owned()),
                Some((key, _)) if OF_THE_DEVICE.contains(&key) => drive.device.push(doubled(&word)),
                Some((key, _)) if !key.is_empty() => drive.node.push(doubled(&word)),
                _ => return Err(format!("{word:?} is neither OPTION=VALUE nor readonly")),
            }
        }
        Ok(drive)
    }
}

impl Drive {
    /// The two arguments that QEMU wants: what is behind the n-th further disk, and the disk. `model` is
    /// the device's.
    pub fn arguments(&self, n: usize, model: &str) -> [String; 4] {
        // QEMU takes the part before a colon for a protocol; "file:" says that there is none.
        let file = if Path::new(&self.file).exists() { "file:" } else { "" };
        let mut node = format!("if=none,id=drive{n},format=raw,file={file}{}", doubled(&self.file));
        let mut device = format!("{model},drive=drive{n},{ERRORS}");
        self.node.iter().for_each(|option| node.extend([",", option]));
        self.device.iter().for_each(|option| device.extend([",", option]));
        ["-drive".to_owned(), node, "-device".to_owned(), device]
    }
}

/// At single commas; a doubled one is a comma.
fn split(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c == ',' && rest.next_if_eq(&',').is_none() {
            words.push(String::new());
        } else if let Some(word) = words.last_mut() {
            word.push(c);
        }
    }
    words
}

fn doubled(text: &str) -> String {
    text.replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> String {
        text.parse::<Drive>().expect("a drive").arguments(1, "virtio-blk-device").join(" ")
    }

    #[test]
    fn options_go_where_they_belong() {
        assert_eq!(
            line("/no/a.img,serial=S 1,readonly,logical_block_size=4096,throttling.iops-total=50"),
            "-drive if=none,id=drive1,format=raw,file=/no/a.img,read-only=on,throttling.iops-total=50 \
             -device virtio-blk-device,drive=drive1,werror=report,rerror=report,serial=S 1,logical_block_size=4096"
        );
        assert!(line("blkdebug:/r:/a").contains("file=blkdebug:/r:/a "));
        assert!(line("/proc/version").contains("file=file:/proc/version "));
    }

    #[test]
    fn a_doubled_comma_is_a_comma() {
        assert!(line("/no/a,,b.img,serial=x,,y").contains("file=/no/a,,b.img "));
        assert!(line("/no/a,,b.img,serial=x,,y").ends_with("serial=x,,y"));
    }

    #[test]
    fn words_without_a_value_are_refused() {
        for wrong in ["", ",readonly", "a,ro", "a,", "a,=1"] {
            assert!(wrong.parse::<Drive>().is_err(), "{wrong}");
        }
    }
}
