//! Tests of the whole cache over a fake file system.
