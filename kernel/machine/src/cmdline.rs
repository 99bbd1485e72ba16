//! The kernel's command line, by Linux's conventions.
//!
//! ```text
//! root=/dev/vda rw init=/bin/prog loglevel=5 elevator=noop HOME=/root -- first second
//! ```
//! Spaces separate words; double quotes group. What the kernel knows it takes; `name.parameter` is a
//! module's and is dropped; any other `K=V` goes to the program's environment and any other word to
//! its arguments, as does everything after `--`. With `quill.args=percent`, arguments and environment
//! values are %XX-encoded (docs/console.md).
//!
//! Nothing here fails: what can't be understood is kept in [`Options::odd`] for the log.
//! Source: Linux, Documentation/admin-guide/kernel-parameters and lib/cmdline's `next_arg`.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::str::FromStr;

/// Linux's CONSOLE_LOGLEVEL_QUIET and CONSOLE_LOGLEVEL_DEBUG.
const QUIET: u8 = 4;
const DEBUG: u8 = 10;

/// Parameters of Linux that mean nothing here and go to nobody.
const IGNORED: &[&str] = &[
    "console",
    "earlycon",
    "panic",
    "mitigations",
    "kpti",
    "nokaslr",
    "rootwait",
    "rootdelay",
    "noinitrd",
    "nosmp",
    "maxcpus",
    "BOOT_IMAGE",
    "ignore_loglevel",
    "printk.time",
];

/// What the command line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `root=`.
    pub root: Option<String>,
    /// `rootfstype=`.
    pub root_type: Option<String>,
    /// `rootflags=`.
    pub root_flags: String,
    /// `ro` rather than `rw`; the last one counts. Quill's default is `rw`.
    pub read_only: bool,
    /// `init=`.
    pub init: Option<Vec<u8>>,
    /// The program's arguments without `argv[0]`.
    pub args: Vec<Vec<u8>>,
    /// The program's environment, `K=V` each.
    pub env: Vec<Vec<u8>>,
    /// `loglevel=`, `quiet`, `debug`.
    pub loglevel: Option<u8>,
    /// `elevator=`.
    pub elevator: Option<String>,
    /// `ramdisk_size=` in KiB, or `brd.rd_size=`.
    pub ramdisk_kib: Option<u64>,
    /// `rd_nr=`, or `brd.rd_nr=`: how many RAM disks there are.
    pub ramdisks: Option<u8>,
    /// `quill.console=framed`.
    pub framed: bool,
    /// `trace_event=`: events that are on from boot on, separated by commas.
    pub trace_event: String,
    /// `trace_buf_size=`: bytes of the trace's ring.
    pub trace_buf_size: Option<usize>,
    /// `tp_printk`: events go to the log too.
    pub tp_printk: bool,
    /// `quill.trace`: what was recorded is shown at the end. `quill.trace=EVENTS`: and these are on
    /// from the program's start on.
    pub trace: Option<String>,
    /// `quill.selftest`: run the machine's own tests instead of a program.
    pub selftest: Option<String>,
    /// Words that could not be understood.
    pub odd: Vec<String>,
}

impl Options {
    /// Reads a command line.
    pub fn parse(line: &str) -> Options {
        let mut options = Options::default();
        let (mut percent, mut ours) = (false, true);
        let (mut args, mut env) = (Vec::new(), Vec::new());
        for word in Words(line) {
            match word {
                Word { key: "--", value: None } if ours => ours = false,
                Word { key, value: None } if !ours => args.push(key.to_owned()),
                Word { key, value: Some(value) } if !ours => args.push([key, "=", value].concat()),
                Word { key: "quill.args", value: Some("percent") } => percent = true,
                word if options.take(&word) => {}
                Word { key, .. } if key.contains('.') => {}
                Word { key, value: Some(value) } => env.push((key.to_owned(), value.to_owned())),
                Word { key, value: None } => args.push(key.to_owned()),
            }
        }
        let decode = |text: &str| if percent { percent_decoded(text) } else { text.as_bytes().to_owned() };
        options.args = args.iter().map(|arg| decode(arg)).collect();
        options.env =
            env.iter().map(|(key, value)| [key.as_bytes(), b"=", &decode(value)].concat()).collect();
        options
    }

    /// Takes a word that is the kernel's.
    fn take(&mut self, word: &Word<'_>) -> bool {
        match (word.key, word.value) {
            ("root", Some(v)) => self.root = Some(v.to_owned()),
            ("rootfstype", Some(v)) => self.root_type = Some(v.to_owned()),
            ("rootflags", Some(v)) => self.root_flags = v.to_owned(),
            ("ro", None) => self.read_only = true,
            ("rw", None) => self.read_only = false,
            ("init", Some(v)) => self.init = Some(v.as_bytes().to_owned()),
            ("loglevel", Some(v)) => self.loglevel = self.number(word, v).or(self.loglevel),
            ("ramdisk_size" | "brd.rd_size", Some(v)) => {
                self.ramdisk_kib = self.number(word, v).or(self.ramdisk_kib);
            }
            ("rd_nr" | "brd.rd_nr", Some(v)) => self.ramdisks = self.number(word, v).or(self.ramdisks),
            ("quiet", None) => self.loglevel = Some(QUIET),
            ("debug", None) => self.loglevel = Some(DEBUG),
            ("elevator", Some(v)) => self.elevator = Some(v.to_owned()),
            ("trace_event", Some(v)) => add_list(&mut self.trace_event, v),
            ("trace_buf_size", Some(v)) => match memparse(v) {
                Some(size) => self.trace_buf_size = Some(size),
                None => self.odd.push([word.key, "=", v].concat()),
            },
            ("tp_printk", None) => self.tp_printk = true,
            ("quill.trace", v) => add_list(self.trace.get_or_insert_default(), v.unwrap_or_default()),
            ("quill.console", Some("framed")) => self.framed = true,
            ("quill.selftest", v) => self.selftest = Some(v.unwrap_or("all").to_owned()),
            (key, v) if key.starts_with("quill.") => {
                self.odd.push(v.map_or(key.to_owned(), |v| [key, "=", v].concat()));
            }
            (key, _) => return IGNORED.contains(&key),
        }
        true
    }

    /// A number; what is none is odd.
    fn number<N: FromStr>(&mut self, word: &Word<'_>, value: &str) -> Option<N> {
        let number = value.parse().ok();
        if number.is_none() {
            self.odd.push([word.key, "=", value].concat());
        }
        number
    }
}

/// Appends to a list with commas.
fn add_list(list: &mut String, more: &str) {
    if !list.is_empty() && !more.is_empty() {
        list.push(',');
    }
    list.push_str(more);
}

/// A size with k, m or g behind it, as Linux's `memparse` reads it.
fn memparse(text: &str) -> Option<usize> {
    let shift = match text.bytes().last()?.to_ascii_lowercase() {
        b'k' => 10,
        b'm' => 20,
        b'g' => 30,
        _ => 0,
    };
    let digits = if shift == 0 { text } else { text.get(..text.len() - 1)? };
    digits.parse::<usize>().ok()?.checked_mul(1 << shift)
}

/// `key` or `key=value`, quotes taken off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Word<'a> {
    key: &'a str,
    value: Option<&'a str>,
}

/// The words of a line, as Linux's `next_arg` cuts them.
struct Words<'a>(&'a str);

impl<'a> Iterator for Words<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        let line = self.0.trim_start_matches(is_space);
        if line.is_empty() {
            return None;
        }
        let mut quoted = false;
        let end = line.find(|c| {
            quoted ^= c == '"';
            is_space(c) && !quoted
        });
        let (text, rest) = line.split_at(end.unwrap_or(line.len()));
        self.0 = rest;
        // Quotes around the whole word, or around the value alone; others stay.
        let whole = text.strip_prefix('"').map(|t| t.strip_suffix('"').unwrap_or(t));
        Some(match whole.unwrap_or(text).split_once('=') {
            None => Word { key: whole.unwrap_or(text), value: None },
            Some((key, value)) => {
                let inner = value.strip_prefix('"').map(|v| v.strip_suffix('"').unwrap_or(v));
                Word { key, value: Some(inner.unwrap_or(value)) }
            }
        })
    }
}

/// As Linux's isspace.
const fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

/// Undoes %XX. A lone `%` is nothing; a `%` before anything else stays.
fn percent_decoded(text: &str) -> Vec<u8> {
    if text == "%" {
        return Vec::new();
    }
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [byte, after @ ..] = rest {
        rest = after;
        match after {
            [high, low, tail @ ..] if *byte == b'%' => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    rest = tail;
                }
                _ => out.push(b'%'),
            },
            _ => out.push(*byte),
        }
    }
    out
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(words: &[&str]) -> Vec<Vec<u8>> {
        words.iter().map(|w| w.as_bytes().to_vec()).collect()
    }

    #[test]
    fn the_launchers_line() {
        let o = Options::parse(
            "quill.console=framed root=/dev/vda rw rootfstype=ext4 init=/bin/p loglevel=5 elevator=noop A=b -- -x 50% a=b,c",
        );
        assert!(o.framed && !o.read_only && o.odd.is_empty());
        assert_eq!((o.root.as_deref(), o.root_type.as_deref()), (Some("/dev/vda"), Some("ext4")));
        assert_eq!((o.init.as_deref(), o.loglevel), (Some(&b"/bin/p"[..]), Some(5)));
        assert_eq!(o.elevator.as_deref(), Some("noop"));
        assert_eq!(o.args, bytes(&["-x", "50%", "a=b,c"]));
        assert_eq!(o.env, bytes(&["A=b"]));
    }

    #[test]
    fn percent_carries_anything() {
        let o = Options::parse("quill.args=percent A=b%20c -- two%20words % 50%25 %C3%A9 %zz %2");
        assert_eq!(o.args, bytes(&["two words", "", "50%", "é", "%zz", "%2"]));
        assert_eq!(o.env, bytes(&["A=b c"]));
    }

    #[test]
    fn quotes_group_as_in_linux() {
        let o = Options::parse("init=\"/bin/my prog\" \"B=c d\" -- \"x y\" k=\"v w\" a\"b c\"d");
        assert_eq!(o.init.as_deref(), Some(&b"/bin/my prog"[..]));
        assert_eq!(o.env, bytes(&["B=c d"]));
        assert_eq!(o.args, bytes(&["x y", "k=v w", "a\"b c\"d"]));
    }

    #[test]
    fn words_of_nobody_go_to_the_program_and_modules_words_to_nobody() {
        let o = Options::parse("single virtio_blk.poll=1 quiet console=ttyAMA0 TERM=x ro");
        assert_eq!(o.args, bytes(&["single"]));
        assert_eq!(o.env, bytes(&["TERM=x"]));
        assert_eq!((o.loglevel, o.read_only), (Some(4), true));
    }

    #[test]
    fn the_kernels_words_after_the_dashes_are_arguments() {
        let o = Options::parse("debug -- ro root=/dev/vdb -- quill.args=percent");
        assert_eq!((o.root, o.read_only, o.loglevel), (None, false, Some(10)));
        assert_eq!(o.args, bytes(&["ro", "root=/dev/vdb", "--", "quill.args=percent"]));
    }

    #[test]
    fn ram_disks_are_sized_and_counted() {
        let o = Options::parse("ramdisk_size=8192 brd.rd_nr=4 brd.max_part=2 root=PARTUUID=1234abcd-02");
        assert_eq!((o.ramdisk_kib, o.ramdisks), (Some(8192), Some(4)));
        assert_eq!(o.root.as_deref(), Some("PARTUUID=1234abcd-02"));
        let o = Options::parse("ramdisk_size=8M rd_nr=0 rd_nr=300");
        assert_eq!((o.ramdisk_kib, o.ramdisks), (None, Some(0)));
        assert_eq!(o.odd, ["ramdisk_size=8M", "rd_nr=300"]);
    }

    #[test]
    fn what_is_odd_is_told() {
        let o = Options::parse("loglevel=loud quill.colour=red quill.console=x");
        assert_eq!(o.odd, ["loglevel=loud", "quill.colour=red", "quill.console=x"]);
        assert_eq!(o.loglevel, None);
    }

    proptest! {
        #[test]
        fn no_line_panics(line in "[ a=\"%.-]{0,40}") {
            let _ = Options::parse(&line);
        }

        #[test]
        fn what_was_encoded_comes_back(arg in prop::collection::vec(any::<u8>(), 1..20)) {
            let encoded: String = arg.iter().map(|b| std::format!("%{b:02X}")).collect();
            let o = Options::parse(&std::format!("quill.args=percent -- {encoded}"));
            prop_assert_eq!(o.args, [arg]);
        }
    }

    #[test]
    fn what_is_traced() {
        let line = "trace_event=block,ext4:* trace_event=vfs trace_buf_size=4M tp_printk quill.trace=a:b";
        let options = Options::parse(line);
        assert_eq!(options.trace_event, "block,ext4:*,vfs");
        assert_eq!((options.trace_buf_size, options.tp_printk), (Some(4 << 20), true));
        assert_eq!(options.trace.as_deref(), Some("a:b"));
        assert!(options.odd.is_empty() && options.env.is_empty());
        assert_eq!(Options::parse("quill.trace").trace.as_deref(), Some(""));
        assert_eq!(Options::parse("trace_buf_size=12x").odd, ["trace_buf_size=12x"]);
        assert_eq!(
            [memparse("7"), memparse("k"), memparse(""), memparse("99999999999G")],
            [Some(7), None, None, None]
        );
    }
}
