//! The launcher as its users see it, with a QEMU that is a shell script.

mod bench;
mod disk;
mod run;
