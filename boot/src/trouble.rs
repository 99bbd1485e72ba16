//! Why no program runs: one sentence.

use alloc::borrow::Cow;
use core::fmt;

use base::Errno;
use machine::devicetree;

/// The status that says "the kernel could not run a program".
pub const STATUS: u8 = 125;

/// See the module.
#[derive(Debug)]
pub enum Trouble {
    /// A sentence.
    Text(Cow<'static, str>),
    /// What failed, and how.
    Step(&'static str, Errno),
    /// The device tree.
    Tree(devicetree::Error),
}

impl Trouble {
    /// A sentence.
    pub fn new(text: impl Into<Cow<'static, str>>) -> Trouble {
        Trouble::Text(text.into())
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Text(text) => f.write_str(text),
            Trouble::Step(what, errno) => write!(f, "{what} can't be started: {errno}"),
            Trouble::Tree(error) => error.fmt(f),
        }
    }
}

impl From<devicetree::Error> for Trouble {
    fn from(error: devicetree::Error) -> Trouble {
        Trouble::Tree(error)
    }
}

/// Says what failed.
pub trait Context<T> {
    /// The error becomes "`what` can't be started".
    fn context(self, what: &'static str) -> Result<T, Trouble>;
}

impl<T> Context<T> for base::Result<T> {
    fn context(self, what: &'static str) -> Result<T, Trouble> {
        self.map_err(|errno| Trouble::Step(what, errno))
    }
}
