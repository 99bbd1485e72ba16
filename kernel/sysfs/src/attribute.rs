//! A file that shows one value and perhaps takes another: a row of a table.

use base::Result;
use kernfs::Text;

/// Takes what was written.
pub(crate) type Store<T> = fn(&T, &[u8]) -> Result<()>;

/// One file about a `T`.
pub(crate) struct Attribute<T: 'static> {
    pub name: &'static str,
    /// Whether this `T` has it.
    pub of: fn(&T) -> bool,
    pub show: fn(&T, &mut Text),
    /// What writing does; None: it cannot be written.
    pub store: Option<Store<T>>,
}

impl<T> Attribute<T> {
    /// Permission bits.
    pub fn mode(&self) -> u32 {
        if self.store.is_some() { 0o644 } else { 0o444 }
    }

    /// The same for some only.
    pub const fn only(self, of: fn(&T) -> bool) -> Attribute<T> {
        Attribute { of, ..self }
    }
}

/// A file that can only be read.
pub(crate) const fn shown<T>(name: &'static str, show: fn(&T, &mut Text)) -> Attribute<T> {
    Attribute { name, of: |_| true, show, store: None }
}

/// A file that can be set.
pub(crate) const fn settable<T>(
    name: &'static str,
    show: fn(&T, &mut Text),
    store: Store<T>,
) -> Attribute<T> {
    Attribute { name, of: |_| true, show, store: Some(store) }
}
