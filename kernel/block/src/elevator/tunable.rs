//! What may be set on an elevator while it runs: the files of `/sys/block/*/queue/iosched/`.

use base::{Errno, Result};

/// One value of an elevator of type `E`, in the unit of its file (times in milliseconds, switches 0
/// and 1).
pub(crate) struct Tunable<E> {
    /// The file's name.
    pub name: &'static str,
    /// Its present value.
    pub get: fn(&E) -> u64,
    /// Takes another; within `min..=max`.
    pub set: fn(&mut E, u64),
    /// What is smaller is taken as this.
    pub min: u64,
    /// What is greater is taken as this.
    pub max: u64,
}

/// The value of that name.
pub(crate) fn get<E>(table: &[Tunable<E>], of: &E, name: &str) -> Option<u64> {
    table.iter().find(|t| t.name == name).map(|t| (t.get)(of))
}

/// Sets the value of that name; out of its range it is moved to the nearer end, as Linux does. ENOENT.
pub(crate) fn set<E>(table: &[Tunable<E>], of: &mut E, name: &str, value: u64) -> Result<()> {
    let tunable = table.iter().find(|t| t.name == name).ok_or(Errno::ENOENT)?;
    (tunable.set)(of, value.clamp(tunable.min, tunable.max));
    Ok(())
}
