//! Tests of the whole cache over a fake file system on a disk that fails on demand.
mod accounting;
mod buffers;
mod direct;
mod errors;
mod faults;
mod mapped;
mod model;
mod reading;
mod support;
mod table;
mod threads;
mod user;
