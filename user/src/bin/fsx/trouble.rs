//! What can go wrong, and what was done before.

use core::fmt::{self, Display, Formatter};

use user::println;

/// What an operation comes to.
pub type Step = Result<(), Trouble>;

/// What went wrong.
pub enum Trouble {
    /// A call answered this, and not that.
    Call { name: &'static str, answer: isize, want: isize },
    /// A byte is not what was put there.
    Differs { name: &'static str, at: usize, got: u8, want: u8 },
    /// Bytes were not what was put there, and then they were.
    Changing { name: &'static str, at: usize },
    /// fstat tells another size.
    Size { got: u64, want: usize },
}

impl Display for Trouble {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Call { name, answer, want } => write!(f, "{name} answered {answer}, not {want}"),
            Trouble::Differs { name, at, got, want } => {
                write!(f, "{name} got {got:#04x} at {at:#x}, not {want:#04x}")
            }
            Trouble::Changing { name, at } => write!(f, "{name} from {at:#x} on got bytes that change"),
            Trouble::Size { got, want } => write!(f, "fstat told {got} bytes, not {want}"),
        }
    }
}

/// How many operations are remembered.
const LAST: usize = 32;

/// One operation: what, where, how much.
#[derive(Clone, Copy)]
struct Done(&'static str, usize, usize);

/// The last operations.
pub struct History {
    done: [Done; LAST],
    count: usize,
}

impl History {
    /// Nothing done yet.
    pub const fn new() -> History {
        History { done: [Done("", 0, 0); LAST], count: 0 }
    }

    /// Remembers one.
    pub fn add(&mut self, name: &'static str, at: usize, len: usize) {
        self.done[self.count % LAST] = Done(name, at, len);
        self.count += 1;
    }

    /// Prints them, the oldest first.
    pub fn print(&self) {
        for n in self.count.saturating_sub(LAST)..self.count {
            let Done(name, at, len) = self.done[n % LAST];
            println!("  {name:<24} {at:#8x} + {len:#7x} -> {:#8x}", at + len);
        }
    }
}
