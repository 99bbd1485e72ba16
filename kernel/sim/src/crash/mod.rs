//! The crash laboratory: the power goes at every write, and what is left is judged.
//!
//! ```text
//!   setup ──▶ play ──▶ recording + histories ──▶ cut ──▶ images ──▶ judge
//!   (disk,    (steps on   (what the disks saw;      (what of it     (mount, oracle,
//!    mount,    a machine)  what each program did     is on the       unmount, e2fsck)
//!    profile)              and was told)             media)
//! ```
//! * [`Setup`], [`Profile`]: one of many disks, mounts and kinds of programs, by its seed.
//! * [`CrashDisk`], [`Recorder`], [`Recording`]: disks with a cache that write down what is asked of them.
//! * [`play()`]: runs the programs, keeps a [`History`] of each.
//! * [`cut`]: what is on the media when the power goes at a place in the recording.
//! * [`oracle`]: whether a tree is what was promised at that place; [`judge`] does it all for one image.
//! * [`failing`]: disks that fail a request, at each place; the power goes afterwards.
//! * [`shake`]: holds threads up, so that programs at once meet in more ways.
//! * [`keep`]: a failure's disks and recording, as files.
//! * [`booted`], [`logwrites`]: the same for what a machine in QEMU did; [`between`]: where its program tells nothing.
//! * [`Campaign`]: all of it many times, for `make test-crash` and the tests.
//!
//! docs/crash-laboratory.md has the rules by which it is judged, and how to read a failure.

pub mod between;
pub mod booted;
pub mod campaign;
pub mod cut;
mod disk;
pub mod failing;
pub mod history;
pub mod judge;
pub mod keep;
mod log_disk;
pub mod logwrites;
pub mod oracle;
pub mod pattern;
mod play;
mod record;
mod setup;
pub mod shake;
mod step;
mod workload;

pub use between::Change;
pub use booted::Script;
pub use campaign::{Campaign, Failure, Outcome, judge_story, run_one, run_setup};
pub use cut::Keep;
pub use disk::CrashDisk;
pub use history::History;
pub use judge::Way;
pub use play::{Story, play, play_failing};
pub use record::{Event, Lie, Recorder, Recording, Write};
pub use setup::{Abilities, Data, Setup};
pub use step::Step;
pub use workload::Profile;
