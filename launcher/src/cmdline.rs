//! The kernel's command line, by Linux's conventions.
//!
//! ```text
//! quill.console=framed root=/dev/vda rw rootfstype=ext4 init=/bin/prog loglevel=5 elevator=noop HOME=/root -- a b
//! ```
//!
//! The kernel cuts it into words at spaces; double quotes group. What could not pass that way
//! (spaces, quotes, control characters, empty arguments, bytes outside ASCII) makes the launcher say
//! `quill.args=percent`; every word after `--` and every environment value is then %XX-encoded, and
//! an empty argument is the lone word `%`.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;

use anyhow::{Result, bail};

use crate::cli::{EnvVar, LogLevel};

/// What the kernel is told.
#[derive(Debug)]
pub struct CommandLine<'a> {
    /// The disk to name as the root, if there is one.
    pub root: Option<&'a str>,
    /// The program's path inside the disk.
    pub init: &'a str,
    pub log: LogLevel,
    /// The events to be traced.
    pub trace: Option<&'a str>,
    /// The user's own words.
    pub append: Option<&'a str>,
    pub env: &'a [EnvVar],
    pub args: &'a [OsString],
}

impl CommandLine<'_> {
    /// The line as QEMU's `-append` takes it.
    pub fn build(&self) -> Result<String> {
        let percent = self.needs_percent();
        let mut words = vec!["quill.console=framed".to_owned()];
        if percent {
            words.push("quill.args=percent".to_owned());
        }
        if let Some(root) = self.root {
            words.push(format!("root={root} rw rootfstype=ext4"));
        }
        words.push(format!("init={}", quoted_path(self.init)?));
        words.push(format!("loglevel={}", self.log.number()));
        if let Some(events) = self.trace {
            words.push(format!("quill.trace={events}"));
        }
        words.extend(self.append_words()?);
        for EnvVar { name, value } in self.env {
            words.push(format!("{name}={}", encoded(value.as_bytes(), percent)));
        }
        if !self.args.is_empty() {
            words.push("--".to_owned());
            words.extend(self.args.iter().map(|arg| argument(arg.as_bytes(), percent)));
        }
        Ok(words.join(" "))
    }

    fn needs_percent(&self) -> bool {
        self.args.iter().any(|arg| arg.is_empty() || !arg.as_bytes().iter().all(|&b| is_plain(b)))
            || self.env.iter().any(|var| !var.value.bytes().all(is_plain))
    }

    /// The user's words as they are, unless they would swallow what comes after them.
    fn append_words(&self) -> Result<Option<String>> {
        let Some(text) = self.append else { return Ok(None) };
        if text.split_ascii_whitespace().any(|word| word == "--") {
            bail!("--append must not contain `--`: arguments go after PROGRAM");
        }
        if text.contains(|c: char| c.is_control()) || text.matches('"').count() % 2 != 0 {
            bail!("--append must not contain control characters or an unclosed quote");
        }
        Ok(Some(text.to_owned()))
    }
}

/// Bytes that pass a command line unharmed.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'"'
}

fn argument(bytes: &[u8], percent: bool) -> String {
    if bytes.is_empty() { "%".to_owned() } else { encoded(bytes, percent) }
}

/// The bytes as a word. Without `percent` they are known to be plain.
fn encoded(bytes: &[u8], percent: bool) -> String {
    let mut word = String::with_capacity(bytes.len());
    for &byte in bytes {
        if is_plain(byte) && !(percent && byte == b'%') {
            word.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(word, "%{byte:02X}");
        }
    }
    word
}

/// A path for `init=`, in quotes where it has spaces.
fn quoted_path(path: &str) -> Result<String> {
    if path.contains(|c: char| c == '"' || c.is_control()) {
        bail!("the program's path {path:?} has characters that the kernel command line cannot carry");
    }
    Ok(if path.contains(' ') { format!("\"{path}\"") } else { path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::ffi::OsStringExt as _;

    fn warn() -> LogLevel {
        "warn".parse().expect("a level")
    }

    fn build(init: &str, append: Option<&str>, env: &[&str], args: &[&str]) -> Result<String> {
        let env: Vec<EnvVar> = env.iter().map(|text| text.parse().expect("a variable")).collect();
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        CommandLine { root: Some("/dev/vda"), init, log: warn(), append, trace: None, env: &env, args: &args }
            .build()
    }

    #[test]
    fn plain_words_stay_as_they_are() {
        let line = build("/bin/p", Some("elevator=noop"), &["A=b"], &["-x", "50%", "a=b,c"]).expect("a line");
        let head = "quill.console=framed root=/dev/vda rw rootfstype=ext4 init=/bin/p loglevel=5";
        assert_eq!(line, format!("{head} elevator=noop A=b -- -x 50% a=b,c"));
    }

    #[test]
    fn difficult_arguments_are_percent_encoded() {
        let line = build("/bin/p", None, &["A=b c"], &["a b", "", "50%", "\"", "é"]).expect("a line");
        assert!(line.contains(" quill.args=percent "), "{line}");
        assert!(line.ends_with(" A=b%20c -- a%20b % 50%25 %22 %C3%A9"), "{line}");
    }

    #[test]
    fn paths_with_spaces_are_quoted_and_with_quotes_refused() {
        assert!(
            build("/bin/my prog", None, &[], &[]).is_ok_and(|line| line.contains("init=\"/bin/my prog\" "))
        );
        assert!(build("/bin/a\"b", None, &[], &[]).is_err());
    }

    #[test]
    fn append_cannot_swallow_the_arguments() {
        assert!(build("/bin/p", Some("quiet -- x"), &[], &[]).is_err());
        assert!(build("/bin/p", Some("a=\"b"), &[], &[]).is_err());
    }

    #[test]
    fn without_a_disk_there_is_no_root_and_a_trace_is_asked_for() {
        let line = CommandLine {
            root: None,
            init: "/p",
            log: warn(),
            append: None,
            trace: Some("block,vfs:*"),
            env: &[],
            args: &[],
        }
        .build();
        let expected = "quill.console=framed init=/p loglevel=5 quill.trace=block,vfs:*";
        assert_eq!(line.expect("a line"), expected);
    }

    /// The kernel's side of `quill.args=percent`.
    fn decode(word: &str) -> Vec<u8> {
        if word == "%" {
            return Vec::new();
        }
        let (mut bytes, mut rest) = (Vec::new(), word.as_bytes());
        while let Some((&first, tail)) = rest.split_first() {
            if first == b'%' {
                let hex = std::str::from_utf8(&tail[..2]).expect("two hex digits");
                bytes.push(u8::from_str_radix(hex, 16).expect("two hex digits"));
                rest = &tail[2..];
            } else {
                bytes.push(first);
                rest = tail;
            }
        }
        bytes
    }

    proptest! {
        #[test]
        fn every_argument_arrives(args in proptest::collection::vec(proptest::collection::vec(1u8.., 0..12), 1..6)) {
            let given: Vec<OsString> = args.iter().cloned().map(OsString::from_vec).collect();
            let line = CommandLine { root: Some("/dev/vda"), init: "/p", log: warn(), append: None, trace: None, env: &[], args: &given }
                .build().expect("a line");
            let (head, tail) = line.split_once(" -- ").expect("arguments");
            let percent = head.contains("quill.args=percent");
            let arrived: Vec<Vec<u8>> = tail.split(' ')
                .map(|word| if percent { decode(word) } else { word.as_bytes().to_vec() }).collect();
            prop_assert_eq!(arrived, args);
        }
    }
}
