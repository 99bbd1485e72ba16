//! Atomic words of the small protocols.
//!
//! On the machine these are `core`'s. On a host each operation is a point first where another thread may
//! run, if an explorer decides who runs ([`crate::explore`]); otherwise that is one load more. Counters that
//! nobody waits for have no need of them.
//!
//! An explorer sees each order of whole operations; what a processor or compiler makes of `Relaxed` it does not
//! see.

pub use core::sync::atomic::Ordering;

#[cfg(target_os = "none")]
pub use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize};

#[cfg(not(target_os = "none"))]
pub use host::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize};

#[cfg(not(target_os = "none"))]
mod host {
    use core::sync::atomic::Ordering;

    use crate::explore::point;

    /// Methods with the signatures of `core`'s: a point, then the operation.
    macro_rules! forward {
        ($value:ty: $($name:ident($($arg:ident: $type:ty),*) -> $answer:ty;)*) => {
            $(
                #[doc = concat!("As [`core::sync::atomic`]'s `", stringify!($name), "`.")]
                #[inline]
                pub fn $name(&self, $($arg: $type),*) -> $answer {
                    point();
                    self.0.$name($($arg),*)
                }
            )*
        };
    }

    macro_rules! atomic {
        ($name:ident, $value:ty) => {
            /// The word; see the module.
            #[derive(Debug, Default)]
            pub struct $name(core::sync::atomic::$name);

            impl $name {
                /// A word that begins as `value`.
                pub const fn new(value: $value) -> $name {
                    $name(core::sync::atomic::$name::new(value))
                }

                forward! { $value:
                    load(order: Ordering) -> $value;
                    store(value: $value, order: Ordering) -> ();
                    swap(value: $value, order: Ordering) -> $value;
                    fetch_or(value: $value, order: Ordering) -> $value;
                    fetch_and(value: $value, order: Ordering) -> $value;
                    compare_exchange(from: $value, to: $value, ok: Ordering, no: Ordering) -> Result<$value, $value>;
                    compare_exchange_weak(from: $value, to: $value, ok: Ordering, no: Ordering) -> Result<$value, $value>;
                }

                /// As [`core::sync::atomic`]'s `fetch_update`; as one step.
                #[inline]
                pub fn fetch_update(
                    &self,
                    ok: Ordering,
                    no: Ordering,
                    f: impl FnMut($value) -> Option<$value>,
                ) -> Result<$value, $value> {
                    point();
                    self.0.fetch_update(ok, no, f)
                }

                /// The word, nobody else having it.
                pub fn get_mut(&mut self) -> &mut $value {
                    self.0.get_mut()
                }
            }
        };
    }

    macro_rules! number {
        ($name:ident, $value:ty) => {
            atomic!($name, $value);

            impl $name {
                forward! { $value:
                    fetch_add(value: $value, order: Ordering) -> $value;
                    fetch_sub(value: $value, order: Ordering) -> $value;
                    fetch_max(value: $value, order: Ordering) -> $value;
                }
            }
        };
    }

    atomic!(AtomicBool, bool);
    number!(AtomicU32, u32);
    number!(AtomicU64, u64);
    number!(AtomicUsize, usize);
}
